//! How a command ends, and how its failures read: one line of what went wrong, one
//! of what to do about it.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use skep::btf::BtfError;
use skep::load::ObjectError;
use skep::load::capture::CaptureError;

use crate::terminal::{Paint, clean};

/// The exit status, the same for every subcommand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Done.
    Done,
    /// A program was rejected, trapped or differed.
    Refused,
    /// The input or the command line is unusable.
    Unusable,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        match status {
            Status::Done => ExitCode::SUCCESS,
            Status::Refused => ExitCode::from(1),
            Status::Unusable => ExitCode::from(2),
        }
    }
}

/// Why a command gave up.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The input or the command line is unusable.
    pub fn unusable(message: impl Display) -> Failure {
        Failure { status: Status::Unusable, message: message.to_string(), hint: None }
    }

    /// A program was rejected, trapped or differed.
    pub fn refused(message: impl Display) -> Failure {
        Failure { status: Status::Refused, message: message.to_string(), hint: None }
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Display) -> Failure {
        self.hint = Some(hint.to_string());
        self
    }

    /// The exit status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Writes it to the standard error; says nothing where nobody listens any more.
    pub fn print(&self) {
        if self.message.is_empty() {
            return;
        }
        let paint = Paint::stderr();
        eprintln!("{} {}", paint.red("error:"), clean(&self.message));
        if let Some(hint) = &self.hint {
            eprintln!("{} {}", paint.cyan("hint:"), clean(hint));
        }
    }
}

/// Writing to the standard output failed. A reader that has seen enough (`| head`) is
/// no failure to talk about.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => {
                Failure { status: Status::Done, message: String::new(), hint: None }
            }
            _ => Failure::unusable(format!("cannot write the output: {error}")),
        }
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Failure {
        let hint = error.hint();
        Failure { hint, ..Failure::unusable(error) }
    }
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Failure {
        let hint = error.hint();
        Failure { hint, ..Failure::unusable(error) }
    }
}

/// BTF of a file that the message does not name: see [`crate::files::in_file`].
impl From<BtfError> for Failure {
    fn from(error: BtfError) -> Failure {
        Failure::unusable(error)
    }
}
