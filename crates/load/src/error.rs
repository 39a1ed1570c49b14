//! What can go wrong on the way into a kernel, one type for each stage. Each is
//! worded once, here, in one line; `hint` says what to do about it.
//!
//! Names from a file are quoted and escaped in the messages.

use std::fmt;

use skep_abi::{Diagnostic, Errno, ProgType};
use skep_btf::BtfError;
use skep_btf::core::CoreError;

use crate::relocate::Poisoned;

/// Why a file is no object that we can use: the cause and where it is.
#[derive(Clone, Debug)]
pub struct ObjectError(Box<Located>);

#[derive(Clone, Debug)]
struct Located {
    file: String,
    section: Option<String>,
    offset: Option<u64>,
    kind: ObjectErrorKind,
}

/// The causes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ObjectErrorKind {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(String),
    /// The file is larger than any object.
    #[error("has {0} bytes, which is more than any object has")]
    TooLarge(u64),
    /// A file of 0 bytes.
    #[error("is empty, expected an ELF object")]
    Empty,
    /// Text where an object belongs.
    #[error("is a text file, expected an ELF object")]
    Text,
    /// Not ELF.
    #[error("is not an ELF file")]
    NotElf,
    /// An ELF file of 32 bits.
    #[error("is a 32-bit ELF file, expected 64 bits")]
    Class32,
    /// An object for big-endian machines.
    #[error("is a big-endian ELF file, expected little-endian")]
    BigEndian,
    /// An object for another machine.
    #[error("is an ELF file for {}, expected machine 247 (BPF)", machine_name(*.0))]
    Machine(u16),
    /// An executable or shared library.
    #[error("is an ELF file of type {0}, expected 1 (relocatable)")]
    NotRelocatable(u16),
    /// The file ends before what it announces.
    #[error("{what} needs {need} bytes, but the file has {have}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Its length.
        need: u64,
        /// The file's length.
        have: u64,
    },
    /// Headers and tables that contradict each other.
    #[error("{0}")]
    Malformed(String),
    /// No symbol table.
    #[error("has no symbol table, was it stripped?")]
    Stripped,
    /// BTF that is needed is missing.
    #[error("has no BTF, which its {0} need")]
    NoBtf(&'static str),
    /// Broken BTF.
    #[error("{0}")]
    Btf(BtfError),
    /// A map that cannot be.
    #[error("map {name:?}: {reason}")]
    Map {
        /// The map's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A function that cannot be.
    #[error("function {name:?}: {reason}")]
    Function {
        /// The function's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// An extern of a kind that nothing provides.
    #[error("extern {name:?}: {reason}")]
    Extern {
        /// The symbol's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A symbol that no one defines.
    #[error("undefined symbol {symbol:?}")]
    Undefined {
        /// The symbol's name.
        symbol: String,
    },
    /// A relocation that makes no sense.
    #[error("relocation against {symbol:?}: {reason}")]
    Relocation {
        /// The symbol's name, or that of its section.
        symbol: String,
        /// What is wrong.
        reason: String,
    },
}

impl ObjectError {
    /// The cause.
    pub fn kind(&self) -> &ObjectErrorKind {
        &self.0.kind
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The section, where the cause is in one.
    pub fn section(&self) -> Option<&str> {
        self.0.section.as_deref()
    }

    /// Bytes from the start of the section, or of the file where there is none.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match &self.0.kind {
            ObjectErrorKind::Text => match self.0.file.strip_suffix(".c") {
                Some(stem) => format!(
                    "compile it first: clang -O2 -g --target=bpf -c {0}.c -o {0}.bpf.o",
                    stem
                ),
                None => "give the object that `clang -O2 -g --target=bpf -c PROG.c -o PROG.bpf.o` \
                         makes"
                    .into(),
            },
            ObjectErrorKind::Empty => "did the compiler fail? build the object again".into(),
            ObjectErrorKind::Truncated { .. } => {
                "the file is cut short or damaged; build it again".into()
            }
            ObjectErrorKind::BigEndian => {
                "compile for this machine's byte order: --target=bpf or bpfel".into()
            }
            ObjectErrorKind::Machine(_) | ObjectErrorKind::Class32 => {
                "compile with --target=bpf".into()
            }
            ObjectErrorKind::NotRelocatable(_) => {
                "give the object from `clang -c`, not a linked file".into()
            }
            ObjectErrorKind::Stripped => {
                "keep the symbols: strip at most with `llvm-strip -g`, which takes DWARF only"
                    .into()
            }
            ObjectErrorKind::NoBtf(_) => "compile with -g, so that the object has BTF".into(),
            ObjectErrorKind::Undefined { .. } => {
                "define it in this object, or declare it `__ksym` or `__kconfig`, and `__weak` if \
                 it may be missing"
                    .into()
            }
            ObjectErrorKind::Map { .. } => {
                "define maps as `struct { __uint(type, BPF_MAP_TYPE_...); __type(key, ...); \
                 __type(value, ...); __uint(max_entries, ...); } name SEC(\".maps\");`"
                    .into()
            }
            _ => return None,
        })
    }

    pub(crate) fn in_section(mut self, name: &str) -> ObjectError {
        self.0.section.get_or_insert_with(|| name.into());
        self
    }

    pub(crate) fn at(mut self, offset: u64) -> ObjectError {
        self.0.offset.get_or_insert(offset);
        self
    }

    pub(crate) fn of_file(mut self, file: &str) -> ObjectError {
        self.0.file = file.into();
        self
    }
}

impl From<ObjectErrorKind> for ObjectError {
    fn from(kind: ObjectErrorKind) -> ObjectError {
        ObjectError(Box::new(Located { file: String::new(), section: None, offset: None, kind }))
    }
}

impl From<BtfError> for ObjectError {
    fn from(error: BtfError) -> ObjectError {
        ObjectErrorKind::Btf(error).into()
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Located { file, section, offset, kind } = &*self.0;
        let file = file.escape_debug();
        match (section, offset) {
            (None, None) => write!(f, "{file}: {kind}"),
            (None, Some(offset)) => write!(f, "{file}: offset {offset:#x}: {kind}"),
            (Some(section), None) => write!(f, "{file}: section {section:?}: {kind}"),
            (Some(section), Some(offset)) => {
                write!(f, "{file}: section {section:?}, offset {offset:#x}: {kind}")
            }
        }
    }
}

impl std::error::Error for ObjectError {}

fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86 (machine 3)".into(),
        62 => "x86-64 (machine 62)".into(),
        183 => "AArch64 (machine 183)".into(),
        243 => "RISC-V (machine 243)".into(),
        other => format!("machine {other}"),
    }
}

/// Why a program cannot be made one piece: the cause and where it is.
#[derive(Clone, Debug)]
pub struct RelocateError(Box<LocatedInCode>);

#[derive(Clone, Debug)]
struct LocatedInCode {
    file: String,
    function: Option<String>,
    at: Option<u32>,
    kind: RelocateErrorKind,
}

/// The causes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RelocateErrorKind {
    /// A strong extern that nothing provides.
    #[error("undefined symbol {name:?}: neither this object nor the kernel has it")]
    Undefined {
        /// The symbol's name.
        name: String,
    },
    /// An extern that exists, but not as it is declared.
    #[error("extern {name:?}: {reason}")]
    Extern {
        /// The symbol's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The kernel's types are needed and missing.
    #[error("{need} need the kernel's BTF: {reason}")]
    NoKernelBtf {
        /// Who needs them.
        need: String,
        /// Why they are missing.
        reason: String,
    },
    /// A CO-RE record without an answer.
    #[error("{0}")]
    Core(#[from] CoreError),
    /// An instruction that a CO-RE record does not fit.
    #[error("CO-RE record {record}: {reason}")]
    Patch {
        /// The record.
        record: String,
        /// What does not fit.
        reason: String,
    },
    /// A call that leads nowhere.
    #[error("{reason}")]
    Call {
        /// What is wrong.
        reason: &'static str,
    },
    /// More instructions than Linux takes.
    #[error("{slots} instructions, and at most {most} are possible")]
    TooLong {
        /// How many there are.
        slots: usize,
        /// How many there may be.
        most: usize,
    },
}

impl RelocateError {
    /// The cause.
    pub fn kind(&self) -> &RelocateErrorKind {
        &self.0.kind
    }

    /// The function, where the cause is in one.
    pub fn function(&self) -> Option<&str> {
        self.0.function.as_deref()
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match &self.0.kind {
            RelocateErrorKind::Undefined { .. } => {
                "declare it `__weak` if the program can do without, and test it before use".into()
            }
            RelocateErrorKind::NoKernelBtf { .. } => {
                "give a kernel's types with --btf FILE (from /sys/kernel/btf/vmlinux of a machine \
                 that has them)"
                    .into()
            }
            _ => return None,
        })
    }

    pub(crate) fn in_function(mut self, name: &str) -> RelocateError {
        self.0.function.get_or_insert_with(|| name.into());
        self
    }

    pub(crate) fn at(mut self, at: u32) -> RelocateError {
        self.0.at.get_or_insert(at);
        self
    }

    pub(crate) fn of_file(mut self, file: &str) -> RelocateError {
        self.0.file = file.into();
        self
    }
}

impl From<RelocateErrorKind> for RelocateError {
    fn from(kind: RelocateErrorKind) -> RelocateError {
        let file = String::new();
        RelocateError(Box::new(LocatedInCode { file, function: None, at: None, kind }))
    }
}

impl fmt::Display for RelocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LocatedInCode { file, function, at, kind } = &*self.0;
        write!(f, "{}: ", file.escape_debug())?;
        if let Some(function) = function {
            write!(f, "function {function:?}")?;
            if let Some(at) = at {
                write!(f, ", instruction {at}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{kind}")
    }
}

impl std::error::Error for RelocateError {}

/// What a kernel refused.
#[derive(Clone, Debug)]
pub struct LoadError {
    file: String,
    kind: Box<LoadErrorKind>,
}

/// The refusals.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadErrorKind {
    /// The object's types.
    #[error("the kernel refuses the object's BTF: {errno}")]
    Btf {
        /// Why.
        errno: Errno,
    },
    /// A map.
    #[error("map {name:?}: {doing} failed: {errno}")]
    Map {
        /// The map's name.
        name: String,
        /// What failed.
        doing: String,
        /// Why.
        errno: Errno,
    },
    /// A program whose section's name says no type.
    #[error("program {program:?}: its section {section:?} does not say what type it is of")]
    NoType {
        /// The program's name.
        program: String,
        /// Its section.
        section: String,
    },
    /// What a program attaches to does not exist.
    #[error("program {program:?}: {reason}")]
    AttachTarget {
        /// The program's name.
        program: String,
        /// What is missing.
        reason: String,
    },
    /// A program.
    #[error("program {name:?}: the kernel refuses it: {errno}{}", because(.poisoned.as_ref()))]
    Program {
        /// The program's name.
        name: String,
        /// Its type.
        prog_type: ProgType,
        /// Why.
        errno: Errno,
        /// The verifier's log.
        log: String,
        /// What the kernel says beyond that.
        diagnostic: Option<Diagnostic>,
        /// The unresolved instruction that it would get to, if that is the reason.
        poisoned: Option<Poisoned>,
    },
}

fn because(poisoned: Option<&Poisoned>) -> String {
    match poisoned {
        Some(Poisoned { at, what }) => {
            format!(", for instruction {at} could not be resolved: {what}")
        }
        None => String::new(),
    }
}

impl LoadError {
    /// The refusal.
    pub fn kind(&self) -> &LoadErrorKind {
        &self.kind
    }

    /// The kernel's errno.
    pub fn errno(&self) -> Option<Errno> {
        match &*self.kind {
            LoadErrorKind::Btf { errno }
            | LoadErrorKind::Map { errno, .. }
            | LoadErrorKind::Program { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether the object itself is unusable, as opposed to a program in it that a
    /// kernel does not want to run.
    pub fn is_unusable_input(&self) -> bool {
        match &*self.kind {
            LoadErrorKind::Map { errno, .. } => *errno != Errno::EPERM,
            LoadErrorKind::NoType { .. } | LoadErrorKind::AttachTarget { .. } => true,
            LoadErrorKind::Btf { .. } | LoadErrorKind::Program { .. } => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match &*self.kind {
            LoadErrorKind::Program { errno: Errno::EPERM, prog_type, .. } => format!(
                "loading this type of program needs {}; become root, or use the embedded kernel",
                capabilities(*prog_type)
            ),
            LoadErrorKind::Btf { errno: Errno::EPERM }
            | LoadErrorKind::Map { errno: Errno::EPERM, .. } => {
                "this needs CAP_BPF; become root, or use the embedded kernel".into()
            }
            LoadErrorKind::Map { errno: Errno::EINVAL, .. } => {
                "check type, sizes, max_entries and flags in the map's definition: none of them \
                 may be 0 where that type of map needs it"
                    .into()
            }
            LoadErrorKind::Map { errno: Errno::ENOMEM | Errno::E2BIG, .. } => {
                "the map is larger than the kernel allows; lower max_entries or the value's size"
                    .into()
            }
            LoadErrorKind::NoType { .. } => {
                "name the section by the program's type, such as SEC(\"xdp\") or SEC(\"tc\")".into()
            }
            _ => return None,
        })
    }

    pub(crate) fn of_file(mut self, file: &str) -> LoadError {
        self.file = file.into();
        self
    }
}

impl From<LoadErrorKind> for LoadError {
    fn from(kind: LoadErrorKind) -> LoadError {
        LoadError { file: String::new(), kind: Box::new(kind) }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.escape_debug(), self.kind)
    }
}

impl std::error::Error for LoadError {}

/// The capabilities that Linux wants for a type of program.
fn capabilities(prog_type: ProgType) -> &'static str {
    match prog_type {
        ProgType::Kprobe
        | ProgType::Tracepoint
        | ProgType::PerfEvent
        | ProgType::RawTracepoint
        | ProgType::RawTracepointWritable
        | ProgType::Tracing
        | ProgType::Lsm
        | ProgType::StructOps
        | ProgType::Ext => "CAP_BPF and CAP_PERFMON",
        ProgType::SocketFilter | ProgType::CgroupSkb | ProgType::Syscall => "CAP_BPF",
        _ => "CAP_BPF and CAP_NET_ADMIN",
    }
}

/// Why an object did not get into a kernel, at whichever stage.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It is no object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It does not resolve.
    #[error(transparent)]
    Relocate(#[from] RelocateError),
    /// The kernel refuses it.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Object(error) => error.hint(),
            Error::Relocate(error) => error.hint(),
            Error::Load(error) => error.hint(),
        }
    }
}
