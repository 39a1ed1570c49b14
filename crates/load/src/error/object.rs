//! Why a file is no object.

use std::fmt;

use skep_abi::Loader;
use skep_btf::BtfError;

use super::ReadError;

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
    Read(#[source] ReadError),
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
    Btf(#[source] BtfError),
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
    /// Something that one loader refuses and others take.
    #[error("{} refuses it: {rule}", loader.title())]
    Rule {
        /// By whose rules the object was read.
        loader: Loader,
        /// What it does not take.
        rule: String,
        /// Who takes it.
        others: Vec<Loader>,
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

impl ObjectErrorKind {
    pub(crate) fn rule(loader: Loader, rule: String, others: &[Loader]) -> ObjectErrorKind {
        ObjectErrorKind::Rule { loader, rule, others: others.to_vec() }
    }
}

/// `cilium/ebpf and aya take it: --loader cilium`; nothing where no one does.
pub(crate) fn takers(others: &[Loader]) -> Option<String> {
    let first = others.first()?;
    let names: Vec<&str> = others.iter().map(|loader| loader.title()).collect();
    let verb = if names.len() == 1 { "takes" } else { "take" };
    Some(format!("{} {verb} it: --loader {}", names.join(" and "), first.name()))
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
                    "compile it first: clang -O2 -g --target=bpf -c {0}.c -o {1}.bpf.o",
                    stem,
                    stem.strip_suffix(".bpf").unwrap_or(stem)
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
            ObjectErrorKind::Rule { others, .. } => return takers(others),
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

impl std::error::Error for ObjectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.kind.source()
    }
}

fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86 (machine 3)".into(),
        62 => "x86-64 (machine 62)".into(),
        183 => "AArch64 (machine 183)".into(),
        243 => "RISC-V (machine 243)".into(),
        other => format!("machine {other}"),
    }
}
