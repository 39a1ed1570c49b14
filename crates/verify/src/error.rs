//! Why verification ended without a proof.

use std::fmt;

use skep_abi::{Errno, Reason};

/// A rejected program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// The instruction at fault, where one was being looked at.
    pub pc: Option<u32>,
    /// What `bpf()` would return.
    pub errno: Errno,
    /// The line that Linux's log ends with, as data.
    pub reason: Reason,
}

impl VerifyError {
    /// What Linux says nothing about.
    pub(crate) fn silent(errno: Errno) -> VerifyError {
        VerifyError { pc: None, errno, reason: Reason::Silent }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pc) = self.pc {
            write!(f, "insn {pc}: ")?;
        }
        match self.reason {
            Reason::Silent => write!(f, "{}", self.errno),
            _ => write!(f, "{}", self.reason),
        }
    }
}

impl std::error::Error for VerifyError {}

/// A fault found while following a path; whether it refuses the program depends on
/// whether the path is real or only speculated.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub errno: Errno,
    pub reason: Reason,
}

/// The result of a check. The fault is boxed to keep the good path small.
pub(crate) type Check<T = ()> = Result<T, Box<Fault>>;

impl Fault {
    pub(crate) fn new(errno: Errno, reason: Reason) -> Box<Fault> {
        Box::new(Fault { errno, reason })
    }
}

/// Returns a fault: `fail!(EACCES, NotReadable { reg })`.
macro_rules! fail {
    ($errno:ident, $($reason:tt)+) => {
        return Err($crate::error::Fault::new(
            skep_abi::Errno::$errno,
            skep_abi::Reason::$($reason)+,
        ))
    };
}

/// A fault of the verifier itself: a state that Linux calls a verifier bug.
macro_rules! bug {
    ($($what:tt)+) => {
        return Err($crate::error::Fault::new(
            skep_abi::Errno::EFAULT,
            skep_abi::Reason::InternalError { what: format!($($what)+) },
        ))
    };
}

pub(crate) use {bug, fail};

/// Linux's internal ENOTSUPP, which reaches user space as 524.
pub(crate) const ENOTSUPP: Errno = Errno(524);
