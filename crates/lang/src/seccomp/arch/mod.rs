//! Architectures: what a filter reads in `seccomp_data.arch`, and which number each call
//! has (Linux's `audit.h` and its tables of system calls).
//!
//! x32 has x86-64's audit value; its numbers have a bit of their own.

mod calls;
mod names;

pub(super) use calls::version;
pub use calls::{exists, names, since};
pub use names::{argument, arguments, constant};

use skep_abi::Version;

/// The bit in numbers of x32.
pub const X32_BIT: u32 = 0x4000_0000;

/// 64-bit registers (`__AUDIT_ARCH_64BIT`).
const WIDE: u32 = 0x8000_0000;
/// Little endian (`__AUDIT_ARCH_LE`).
const LITTLE: u32 = 0x4000_0000;
/// MIPS's n32 (`__AUDIT_ARCH_CONVENTION_MIPS64_N32`).
const N32: u32 = 0x2000_0000;

macro_rules! arches {
    ($($name:ident = $text:literal, $go:literal, $audit:expr, $column:literal, $base:expr;)*) => {
        /// An architecture, as a policy names it.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[allow(missing_docs, reason = "the names are the architectures")]
        pub enum Arch { $($name,)* }

        const ROWS: &[Row] = &[$(Row {
            arch: Arch::$name, name: $text, go: $go, audit: $audit, column: $column, base: $base,
        },)*];
    };
}

struct Row {
    arch: Arch,
    name: &'static str,
    /// Go's name for it, which container profiles use.
    go: &'static str,
    audit: u32,
    /// Its column in the table of calls.
    column: &'static str,
    /// What is added to the numbers there.
    base: u32,
}

arches! {
    X86 = "x86", "386", 3 | LITTLE, "x86", 0;
    X86_64 = "x86_64", "amd64", 62 | WIDE | LITTLE, "x86_64", 0;
    X32 = "x32", "x32", 62 | WIDE | LITTLE, "x32", X32_BIT;
    Arm = "arm", "arm", 40 | LITTLE, "arm", 0;
    Aarch64 = "aarch64", "arm64", 183 | WIDE | LITTLE, "aarch64", 0;
    Loongarch64 = "loongarch64", "loong64", 258 | WIDE | LITTLE, "loongarch64", 0;
    M68k = "m68k", "m68k", 4, "m68k", 0;
    Mips = "mips", "mips", 8, "mips", 4000;
    Mipsel = "mipsel", "mipsle", 8 | LITTLE, "mips", 4000;
    Mips64 = "mips64", "mips64", 8 | WIDE, "mips64", 5000;
    Mipsel64 = "mipsel64", "mips64le", 8 | WIDE | LITTLE, "mips64", 5000;
    Mips64n32 = "mips64n32", "mips64p32", 8 | WIDE | N32, "mips64n32", 6000;
    Mipsel64n32 = "mipsel64n32", "mips64p32le", 8 | WIDE | LITTLE | N32, "mips64n32", 6000;
    Parisc = "parisc", "parisc", 15, "parisc", 0;
    Parisc64 = "parisc64", "parisc64", 15 | WIDE, "parisc64", 0;
    Ppc = "ppc", "ppc", 20, "ppc", 0;
    Ppc64 = "ppc64", "ppc64", 21 | WIDE, "ppc64", 0;
    Ppc64le = "ppc64le", "ppc64le", 21 | WIDE | LITTLE, "ppc64", 0;
    Riscv64 = "riscv64", "riscv64", 243 | WIDE | LITTLE, "riscv64", 0;
    S390 = "s390", "s390", 22, "s390", 0;
    S390x = "s390x", "s390x", 22 | WIDE, "s390x", 0;
    Sh = "sh", "sh", 42 | LITTLE, "sh", 0;
    Sheb = "sheb", "sheb", 42, "sh", 0;
}

impl Arch {
    /// Every one.
    pub fn all() -> impl Iterator<Item = Arch> + Clone {
        ROWS.iter().map(|row| row.arch)
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The machine that this is built for; x86-64 where filters are unknown.
    pub fn native() -> Arch {
        let name = match std::env::consts::ARCH {
            "powerpc" => "ppc",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "mips" if cfg!(target_endian = "little") => "mipsel",
            "mips64" if cfg!(target_endian = "little") => "mipsel64",
            name => name,
        };
        Arch::of_name(name).unwrap_or(Arch::X86_64)
    }

    /// The architecture of a name: libseccomp's (`x86_64`), its constant
    /// (`SCMP_ARCH_X86_64`), systemd's (`x86-64`) or Go's (`amd64`).
    pub fn of_name(name: &str) -> Option<Arch> {
        let lower = name.strip_prefix("SCMP_ARCH_").unwrap_or(name).to_ascii_lowercase();
        let plain = match lower.as_str() {
            "native" => return Some(Arch::native()),
            "i386" | "i686" => "x86",
            "arm64" => "aarch64",
            "mips-le" => "mipsel",
            "mips64-le" => "mipsel64",
            "ppc-le" | "ppc64-le" => "ppc64le",
            "x86-64" => "x86_64",
            name => name,
        };
        let row = ROWS.iter().find(|row| row.name == plain || row.go == plain)?;
        Some(row.arch)
    }

    /// libseccomp's name for it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Go's name for it.
    pub fn go_name(self) -> &'static str {
        self.row().go
    }

    /// What a filter finds in `seccomp_data.arch`.
    pub fn audit(self) -> u32 {
        self.row().audit
    }

    /// Whether the lower half of an argument stands first.
    pub fn is_little(self) -> bool {
        self.audit() & LITTLE != 0
    }

    /// The number for `ENOSYS`, which some have of their own.
    pub fn enosys(self) -> u16 {
        match self.row().column {
            "mips" | "mips64" | "mips64n32" => 89,
            "parisc" | "parisc64" => 251,
            _ => 38,
        }
    }

    /// The number of a call.
    pub fn number(self, call: &str) -> Option<u32> {
        Some(calls::number(self.row().column, call)? + self.row().base)
    }

    /// The call that has a number.
    pub fn call(self, number: u32) -> Option<&'static str> {
        calls::name(self.row().column, number.checked_sub(self.row().base)?)
    }

    /// Its calls with their numbers, from the lowest.
    pub fn calls(self) -> impl Iterator<Item = (&'static str, u32)> {
        let base = self.row().base;
        calls::column(self.row().column).map(move |(number, name)| (name, number + base))
    }

    /// The highest number of the calls that a kernel has; those with numbers of their own
    /// far above do not count.
    pub fn last(self, kernel: Version) -> u32 {
        let known = |name| since(name).is_none_or(|since| since <= kernel);
        let near = |number: u32| number - self.row().base < 0x1_0000;
        let numbers = self.calls().filter(|&(name, number)| known(name) && near(number));
        numbers.map(|(_, number)| number).max().unwrap_or(self.row().base)
    }

    /// What a policy's number means here: with x32's bit, where that is the ABI.
    pub fn is_own(self, number: u32) -> bool {
        match self {
            // -1 is how a tracer says that there shall be no call.
            Arch::X86_64 => number & X32_BIT == 0 || number == u32::MAX,
            Arch::X32 => number & X32_BIT != 0,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_names() {
        for (index, arch) in Arch::all().enumerate() {
            assert_eq!(arch as usize, index);
            assert_eq!(Arch::of_name(arch.name()), Some(arch));
            assert_eq!(Arch::of_name(arch.go_name()), Some(arch));
            assert!(arch.calls().count() > 200, "{arch:?}");
        }
    }

    #[test]
    fn numbers_are_the_architectures_own() {
        assert_eq!(Arch::X86_64.number("openat"), Some(257));
        assert_eq!(Arch::X32.number("readv"), Some(X32_BIT + 515));
        assert_eq!(Arch::Mips64.number("read"), Some(5000));
        assert_eq!(Arch::X86.number("accept"), None);
        assert_eq!(Arch::X86_64.call(257), Some("openat"));
        let kernel = Version { major: 5, minor: 10 };
        assert_eq!(Arch::X86_64.last(kernel), 440);
        assert_eq!(Arch::Arm.last(kernel), 440);
    }
}
