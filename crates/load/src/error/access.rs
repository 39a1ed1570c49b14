//! What can go wrong with loaded handles: names that are not there, types that do not
//! fit, and what the kernel answers.

use std::error::Error;
use std::sync::Arc;

use skep_abi::{Diagnostic, Errno};

/// Why a map, a program or a variable cannot be used as it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccessError {
    /// No map, program or variable of this name.
    #[error("no {what} {name:?}; there {}", list(.has))]
    Missing {
        /// `map`, `program`, `variable`.
        what: &'static str,
        /// The name.
        name: String,
        /// What there is.
        has: Vec<String>,
    },
    /// Several variables have the name.
    #[error("there are several variables {name:?}: say SECTION:{name} with {}", .sections.join(" or "))]
    Ambiguous {
        /// The name.
        name: String,
        /// The sections that have one.
        sections: Vec<String>,
    },
    /// A variable that is not as it was taken for.
    #[error("variable {name:?}: {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// What does not fit.
        reason: String,
    },
    /// A key or value that is not as it was taken for.
    #[error("map {name:?}: the {part} {reason}")]
    Element {
        /// The map's name.
        name: String,
        /// `key`, `value` or `record`.
        part: &'static str,
        /// What does not fit.
        reason: String,
        /// Who says so.
        #[source]
        source: Option<Arc<dyn Error + Send + Sync>>,
    },
    /// A map that the kernel does not serve.
    #[error("map {name:?}: {doing} failed: {errno}")]
    Map {
        /// The map's name.
        name: String,
        /// `look-up`, `update`, ...
        doing: &'static str,
        /// Why.
        #[source]
        errno: Errno,
    },
    /// A program that did not run to its end.
    #[error("program {name:?}: {}", run_failed(*.errno, .diagnostic.as_deref()))]
    Run {
        /// The program's name.
        name: String,
        /// Why.
        #[source]
        errno: Errno,
        /// What the kernel says beyond that: the embedded one, which instruction did what.
        diagnostic: Option<Box<Diagnostic>>,
    },
}

impl AccessError {
    /// The kernel's errno.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            AccessError::Map { errno, .. } | AccessError::Run { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            AccessError::Map { errno: Errno::EPERM, .. } => {
                "constants are frozen once they are loaded: set them in the Object".into()
            }
            AccessError::Run { errno: Errno::EINVAL, .. } => {
                "BPF_PROG_TEST_RUN takes frames of 15 bytes up to a page, whose IP header is \
                 whole"
                    .into()
            }
            _ => return None,
        })
    }
}

fn list(names: &[String]) -> String {
    const MOST: usize = 12;
    match names.len() {
        0 => "is none".into(),
        len if len > MOST => format!("are {} and {} more", names[..MOST].join(", "), len - MOST),
        1 => format!("is {}", names[0]),
        _ => format!("are {}", names.join(", ")),
    }
}

fn run_failed(errno: Errno, diagnostic: Option<&Diagnostic>) -> String {
    match diagnostic {
        Some(diagnostic) => diagnostic.message.clone(),
        None => format!("BPF_PROG_TEST_RUN failed: {errno}"),
    }
}
