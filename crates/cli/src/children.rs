//! Commands whose system calls, functions, forks and execs are seen without rights
//! (`sys::host::tree`), as `skep run -c` and `skep trace -c` start them.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use skep::abi::context::memory::WORD;
use skep::abi::helper::id;
use skep::isa::{AluOp, Callee, Insn, Operand, Reg, Slot, decode_each};
use skep::load::attach::symbols;
use skep::seccomp::Arch;
use skep::sys::host::tree::{CALLS, Counts, Options, Tree, Watch};
use skep::vm::hooks::calls::{Layout, Point};

use crate::failure::Failure;

/// How long to wait for an event before looking whether the command has ended.
pub const TICK: Duration = Duration::from_millis(20);

/// Where the events of a tracepoint come from, if a command does them.
pub fn tracepoint(category: &str, name: &str) -> Option<(Point, Layout)> {
    let number = |call: &str| Arch::native().number(call);
    Some((Point::of(category, name, number)?, Layout::Record))
}

/// The same for a raw tracepoint.
pub fn raw_tracepoint(name: &str) -> Option<(Point, Layout)> {
    match name {
        "sys_enter" => Some((Point::Enter(None), Layout::Words)),
        "sys_exit" => Some((Point::Exit(None), Layout::Words)),
        _ => None,
    }
}

/// Functions of programs and libraries that are to be probed.
pub struct Functions {
    options: Options,
    /// Where functions are, by file and name.
    names: HashMap<PathBuf, HashMap<String, u64>>,
    /// By the number that the tree gives them: which file, and where in it.
    places: Vec<(PathBuf, u64)>,
}

impl Default for Functions {
    fn default() -> Functions {
        Functions { options: Options::none(), names: HashMap::new(), places: Vec::new() }
    }
}

impl Functions {
    /// One more. `name` is empty where the offset is the file's.
    ///
    /// # Errors
    /// There is no such file or function.
    pub fn add(
        &mut self,
        file: &Path,
        name: &str,
        offset: u64,
        watch: Watch,
    ) -> Result<u32, String> {
        let file = symbols::resolve(file)?;
        let start = match name {
            "" => 0,
            name => self.start(&file, name)?,
        };
        let offset = start.checked_add(offset).ok_or("no such offset")?;
        let number = self.options.function(&file, offset, watch);
        if number as usize == self.places.len() {
            self.places.push((file, offset));
        }
        Ok(number)
    }

    fn start(&mut self, file: &Path, name: &str) -> Result<u64, String> {
        if !self.names.contains_key(file) {
            let mut names: HashMap<String, (u64, bool)> = HashMap::new();
            for of in symbols::functions(file)? {
                let known = names.get(&of.name);
                // One that other files see goes before others of its name.
                if known.is_none_or(|(_, global)| of.is_global && !global) {
                    names.insert(of.name, (of.offset, of.is_global));
                }
            }
            let names = names.into_iter().map(|(name, (offset, _))| (name, offset));
            self.names.insert(file.to_owned(), names.collect());
        }
        let names = self.names.get(file);
        let start = names.and_then(|names| names.get(name.split('@').next().unwrap_or(name)));
        start.copied().ok_or_else(|| format!("{} has no function {name:?}", file.display()))
    }

    /// Which file a function is in, and where.
    pub fn place(&self, number: u32) -> Option<&(PathBuf, u64)> {
        self.places.get(number as usize)
    }
}

/// What a program looks at of which nothing is known.
pub fn everything(ret: bool) -> Watch {
    Watch { entry: !ret, ret, registers: true, stack: true, memory: 0x3f, result: ret }
}

/// What a program for functions looks at: `code` and what it calls.
pub fn watch<'a>(code: impl IntoIterator<Item = &'a [Slot]>, ret: bool) -> Watch {
    /// Words of `struct pt_regs` that are known anyhow: rbp, rip, cs, rsp.
    const CHEAP: [u32; 4] = [4, 16, 17, 19];
    const SP: u32 = 19;
    const RAX: u32 = 10;
    /// Where the six arguments are.
    const ARGUMENTS: [u32; 6] = [14, 13, 12, 11, 9, 8];
    let (mut loaded, mut reads, mut stack) = (Vec::new(), false, false);
    for slots in code {
        let insns: Vec<Insn> = decode_each(slots).into_iter().flatten().collect();
        // Registers that hold the context somewhere, and those that are copied from it.
        let mut holds = vec![Reg::R1];
        loop {
            let before = holds.len();
            for insn in &insns {
                if let Insn::Alu { op: AluOp::Mov, dst, src: Operand::Reg(src), .. } = insn
                    && holds.contains(src)
                    && !holds.contains(dst)
                {
                    holds.push(*dst);
                }
            }
            if holds.len() == before {
                break;
            }
        }
        for insn in &insns {
            match insn {
                Insn::Load { base, off, .. } if holds.contains(base) => {
                    loaded.push(u32::try_from(*off).unwrap_or(0) / WORD);
                }
                Insn::Call(Callee::Helper(helper)) => match *helper {
                    id::GET_STACKID | id::GET_STACK => stack = true,
                    id::PROBE_READ
                    | id::PROBE_READ_STR
                    | id::PROBE_READ_KERNEL
                    | id::PROBE_READ_KERNEL_STR => return everything(ret),
                    id::PROBE_READ_USER | id::PROBE_READ_USER_STR | id::COPY_FROM_USER => {
                        reads = true
                    }
                    _ => {}
                },
                Insn::Call(Callee::Kfunc { .. }) => reads = true,
                _ => {}
            }
        }
    }
    let has = |word: &u32| loaded.contains(word);
    let arguments = ARGUMENTS.iter().enumerate().filter(|(_, word)| reads && has(word));
    Watch {
        entry: !ret,
        ret,
        registers: loaded.iter().any(|word| !CHEAP.contains(word)),
        stack: stack || reads && has(&SP),
        memory: arguments.fold(0, |bits, (i, _)| bits | 1 << i),
        result: ret && reads && has(&RAX),
    }
}

/// What has to be seen of a command for programs at these points, and for these functions.
pub fn options(points: impl IntoIterator<Item = Point>, functions: &Functions) -> Options {
    let (mut options, mut wanted) = (functions.options.clone(), BTreeMap::new());
    let all = || 0..CALLS;
    for point in points {
        let (numbers, enter, exit) = match point {
            Point::Enter(Some(number)) => (number..number + 1, true, false),
            Point::Exit(Some(number)) => (number..number + 1, false, true),
            Point::Enter(None) => (all(), true, false),
            Point::Exit(None) => (all(), false, true),
            Point::Fork | Point::Exec | Point::End | Point::Call(_) | Point::Return(_) => continue,
        };
        for number in numbers {
            let known: &mut (bool, bool) = wanted.entry(number).or_default();
            *known = (known.0 || enter, known.1 || exit);
        }
    }
    // Paths of programs, names of threads, and ends of threads are known from calls.
    let also = ["execve", "execveat", "prctl", "exit", "exit_group"];
    for number in also.into_iter().filter_map(|call| Arch::native().number(call)) {
        wanted.entry(number).or_default().0 = true;
    }
    for (number, (enter, exit)) in wanted {
        // What it was given is asked for when it ends as well.
        options = options.call(number, enter, exit).captured(number);
    }
    options
}

/// Starts a command whose calls are seen.
///
/// # Errors
/// It is none, or cannot be started or seen.
pub fn start(command: &str, options: &Options) -> Result<Tree, Failure> {
    let words = shlex::split(command).filter(|words| !words.is_empty());
    let Some(words) = words else {
        return Err(Failure::unusable(format!("{command:?} is no command")));
    };
    let mut started = Command::new(&words[0]);
    started.args(&words[1..]);
    Tree::start(started, options).map_err(|error| cannot(command, &error))
}

/// What is said of functions that cannot be probed.
pub fn refused(tree: &Tree, functions: &Functions) -> Vec<String> {
    let line = |(number, why): &(u32, String)| {
        let place = functions.place(*number);
        let (file, offset) = place.map_or((Path::new("?"), 0), |(file, offset)| (file, *offset));
        let named = functions.names.get(file).and_then(|names| {
            names.iter().find(|(_, at)| **at == offset).map(|(name, _)| name.clone())
        });
        let name = named.unwrap_or_else(|| format!("{offset:#x}"));
        format!("{}:{name} is not probed: {why}", file.display())
    };
    tree.refused().iter().map(line).collect()
}

/// What keeps a command from being seen.
pub fn cannot(command: &str, error: &std::io::Error) -> Failure {
    Failure::unusable(format!("{command:?} cannot be traced: {error}"))
}

/// What a reader of the report should know.
pub fn notes(status: Option<ExitStatus>, counts: Counts) -> Vec<String> {
    let mut notes = Vec::new();
    match status {
        Some(status) => match (status.code(), status.signal()) {
            (Some(0), _) => {}
            (Some(code), _) => notes.push(format!("the command ended with status {code}")),
            (_, signal) => {
                notes.push(format!("the command was ended by signal {}", signal.unwrap_or(0)));
            }
        },
        None => notes.push("the command goes on, untraced".into()),
    }
    let told = [
        (counts.lost, "events were lost"),
        (
            counts.untraced,
            "programs or processes ran untraced (set-user-id, 32-bit, or out of reach)",
        ),
        (counts.left, "threads or processes were seen in part: they use what the agent needs"),
        (
            counts.unplanted,
            "functions were not probed: their files have changed, no memory is near, or a filter came",
        ),
        (counts.unreturned, "returns were not seen: too many calls were open at once"),
        (counts.odd, "calls were none of 64-bit Linux's, and are not among the events"),
    ];
    notes.extend(told.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    notes
}
