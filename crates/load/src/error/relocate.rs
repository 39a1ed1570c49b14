//! Why a program does not resolve.

use std::fmt;

use skep_btf::core::CoreError;

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
    /// A structure of operations that is not what the kernel has.
    #[error("structure {name:?}: {reason}")]
    Structure {
        /// The variable's name.
        name: String,
        /// What differs.
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

impl std::error::Error for RelocateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.kind.source()
    }
}
