//! What can go wrong on the way into a kernel, one type for each stage. Each is
//! worded once, here, in one line; `hint` says what to do about it.
//!
//! Names from a file are quoted and escaped in the messages.

mod access;
mod link;
mod load;
mod object;
mod read;
mod relocate;

pub use access::AccessError;
pub use link::{LinkError, LinkErrorKind};
pub use load::{LoadError, LoadErrorKind};
pub use object::{ObjectError, ObjectErrorKind};
pub use read::ReadError;
pub use relocate::{RelocateError, RelocateErrorKind};

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
    /// It is loaded, and not used as it can be.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It is not where it should be.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Object(error) => error.hint(),
            Error::Relocate(error) => error.hint(),
            Error::Load(error) => error.hint(),
            Error::Access(error) => error.hint(),
            Error::Link(error) => error.hint(),
        }
    }
}
