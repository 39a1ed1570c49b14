//! What a place for programs is, and how one gets there.

use crate::error::{LinkError, LinkErrorKind as Kind};
use crate::load::Program;

use super::link::Link;

/// A place for programs.
pub trait Hook {
    /// The place in words, for messages: `tracepoint sched/sched_switch`.
    fn place(&self) -> String;

    /// Puts a program there. [`Program::attach`] names both in what may go wrong.
    ///
    /// # Errors
    /// The place is not there, or the kernel refuses the program at it.
    fn link(&self, program: &Program) -> Result<Link, Kind>;
}

impl<H: Hook + ?Sized> Hook for &H {
    fn place(&self) -> String {
        (**self).place()
    }
    fn link(&self, program: &Program) -> Result<Link, Kind> {
        (**self).link(program)
    }
}

impl<H: Hook + ?Sized> Hook for Box<H> {
    fn place(&self) -> String {
        (**self).place()
    }
    fn link(&self, program: &Program) -> Result<Link, Kind> {
        (**self).link(program)
    }
}

impl Program {
    /// Attaches it. It stays there until the link is dropped.
    ///
    /// # Errors
    /// The place is not there, or the kernel refuses the program at it.
    pub fn attach(&self, hook: impl Hook) -> Result<Link, LinkError> {
        hook.link(self).map(|link| link.at(hook.place())).map_err(|kind| LinkError {
            program: Some(self.name().to_owned()),
            place: hook.place(),
            kind,
        })
    }
}
