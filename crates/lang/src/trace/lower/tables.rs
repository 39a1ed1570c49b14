//! Names of numbers that programs ask for: errors, signals, system calls. A table is a map of
//! constants with 64 bytes for each name; the last name is that of numbers which have none.

use skep_abi::MapType;
use skep_abi::helper::id;
use skep_isa::{AluOp, Cond, Operand, Reg, Size};
use skep_load::{MapDef, MapOrigin};

use super::super::checked::{Expr, Names};
use super::code::{Code, KEY, Lowered};
use crate::seccomp::Arch;

/// Bytes of a name.
const NAME: u32 = 64;

/// Signals by their numbers, from 1.
const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Errors have numbers below this one.
const ERRORS: i32 = 134;

/// The names of a table, by their numbers.
fn names(of: Names) -> Vec<String> {
    let mut names: Vec<String> = match of {
        Names::Errors => (0..ERRORS)
            .map(|number| {
                let text = match number {
                    0 => "Success".to_owned(),
                    _ => std::io::Error::from_raw_os_error(number).to_string(),
                };
                text.split(" (os error").next().unwrap_or_default().to_owned()
            })
            .collect(),
        Names::Signals => {
            let first = std::iter::once("unknown");
            first.chain(SIGNALS).map(str::to_owned).collect()
        }
        Names::SystemCalls => {
            let mut names = Vec::new();
            for (name, number) in Arch::X86_64.calls() {
                let at = number as usize;
                if names.len() <= at {
                    names.resize(at + 1, String::new());
                }
                names[at] = name.to_owned();
            }
            names
        }
    };
    for name in names.iter_mut().filter(|name| name.is_empty()) {
        name.push_str("unknown");
    }
    names.push(if of == Names::Errors { "Unknown error" } else { "unknown" }.to_owned());
    names
}

/// The map of a table.
fn map(of: Names) -> MapDef {
    let names = names(of);
    let mut contents = Vec::with_capacity(names.len() * NAME as usize);
    for name in &names {
        let mut bytes = name.as_bytes()[..name.len().min(NAME as usize - 1)].to_vec();
        bytes.resize(NAME as usize, 0);
        contents.extend(bytes);
    }
    let name = format!(".rodata.{of:?}").to_lowercase();
    let mut def = MapDef::new(&name, MapType::Array, 4, contents.len() as u32, 1);
    def.flags = skep_abi::flags::map::RDONLY_PROG;
    def.origin = MapOrigin::Rodata(name);
    def.contents = contents;
    def
}

impl<'a> Code<'_, 'a> {
    /// Puts the name of a number into the region.
    pub fn name_of(&mut self, of: Names, number: &'a Expr, e: &'a Expr, at: u32) -> Lowered {
        let def = map(of);
        let count = def.value_size / NAME;
        let map = self.shared.extra(def);
        self.number(number)?;
        let (known, done) = (self.b.label(), self.b.label());
        self.b.branch(Cond::Lt, Reg::R0, Operand::Imm(count.cast_signed() - 1), known);
        self.b.set(Reg::R0, count.cast_signed() - 1);
        self.b.place(known);
        self.b.copy(Reg::R8, Reg::R0);
        self.b.alu(AluOp::Mul, Reg::R8, Operand::Imm(NAME.cast_signed()));
        self.clear(at, e.of.size());
        self.b.store(Size::W, Reg::R10, KEY, Operand::Imm(0));
        self.map(Reg::R1, map);
        self.stack_address(Reg::R2, KEY);
        self.b.helper(id::MAP_LOOKUP_ELEM);
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), done);
        self.b.alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R8));
        self.b.copy(Reg::R1, Reg::R0);
        self.copy_in(at, NAME.min(e.of.size()));
        self.b.place(done);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_names_that_people_know() {
        assert_eq!(names(Names::Errors)[1], "Operation not permitted");
        assert_eq!(names(Names::Signals)[2], "SIGINT");
        assert_eq!(names(Names::SystemCalls)[0], "read");
        assert_eq!(names(Names::SystemCalls)[257], "openat");
    }
}
