//! What can go wrong where programs are attached.

use skep_abi::Errno;

/// Why a program is not where it should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}{place}: {kind}", program_of(.program))]
pub struct LinkError {
    /// The program, where one is meant.
    pub program: Option<String>,
    /// The place, in words.
    pub place: String,
    /// Why.
    #[source]
    pub kind: LinkErrorKind,
}

fn program_of(program: &Option<String>) -> String {
    program.as_ref().map_or_else(String::new, |name| format!("program {name:?} at "))
}

/// Why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkErrorKind {
    /// The place is not there.
    #[error("{0}")]
    Missing(String),
    /// The kernel refuses.
    #[error("{doing} failed: {errno}")]
    Kernel {
        /// At what.
        doing: &'static str,
        /// Why.
        errno: Errno,
    },
    /// Program and link are not of one kernel.
    #[error("the program is another kernel's")]
    OtherKernel,
}

impl LinkError {
    /// The kernel's errno.
    pub fn errno(&self) -> Option<Errno> {
        match self.kind {
            LinkErrorKind::Kernel { errno, .. } => Some(errno),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self.errno()? {
            Errno::EPERM | Errno::EACCES => {
                "that takes root, or CAP_BPF with CAP_PERFMON for tracing and CAP_NET_ADMIN for \
                 networking"
                    .into()
            }
            Errno::EOPNOTSUPP => "this kernel cannot attach programs there".into(),
            Errno::EBUSY | Errno::EEXIST => "another program is there already".into(),
            _ => return None,
        })
    }
}
