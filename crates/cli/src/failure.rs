//! How a command ends, and how its failures read: one line of what went wrong, one
//! of what to do about it.

use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use skep::btf::BtfError;
use skep::load::capture::CaptureError;
use skep::load::{LinkError, ObjectError, RelocateError};

use crate::signal::Signal;
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
    /// A signal ended it before its input did; it has reported what was done.
    Stopped(Signal),
    /// A command that was run ended with this status.
    Command(u8),
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        match status {
            Status::Done => ExitCode::SUCCESS,
            Status::Refused => ExitCode::from(1),
            Status::Unusable => ExitCode::from(2),
            Status::Stopped(signal) => ExitCode::from(signal.status()),
            Status::Command(status) => ExitCode::from(status),
        }
    }
}

/// Why a command gave up.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    message: String,
    hint: Option<String>,
    /// What a kernel said, over several lines.
    detail: Option<String>,
}

impl Failure {
    fn new(status: Status, message: impl Display) -> Failure {
        Failure { status, message: message.to_string(), hint: None, detail: None }
    }

    /// The input or the command line is unusable.
    pub fn unusable(message: impl Display) -> Failure {
        Failure::new(Status::Unusable, message)
    }

    /// A program was rejected, trapped or differed.
    pub fn refused(message: impl Display) -> Failure {
        Failure::new(Status::Refused, message)
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Display) -> Failure {
        self.hint = Some(hint.to_string());
        self
    }

    /// Adds what a kernel said, to be shown above the error.
    pub fn detail(mut self, detail: impl Into<String>) -> Failure {
        self.detail = Some(detail.into());
        self
    }

    /// Says first what it is about: `packet 7: ...`.
    pub fn context(mut self, what: &str) -> Failure {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The line of what went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line of what to do about it, or nothing.
    pub fn hint_text(&self) -> &str {
        self.hint.as_deref().unwrap_or_default()
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
        for line in self.detail.iter().flat_map(|detail| detail.lines()) {
            eprintln!("{}", paint.dim(&clean(line)));
        }
        eprintln!("{} {}", paint.red("error:"), clean(&short(&self.message)));
        if let Some(hint) = &self.hint {
            eprintln!("{} {}", paint.cyan("hint:"), clean(&short(hint)));
        }
    }
}

/// A message without the middle of what somebody gave us by the hundred kilobytes.
fn short(text: &str) -> Cow<'_, str> {
    const ENDS: usize = 1000;
    let (start, end) = match (text.char_indices().nth(ENDS), text.char_indices().nth_back(ENDS)) {
        (Some((start, _)), Some((end, _))) if end > start + ENDS => (start, end),
        _ => return text.into(),
    };
    format!("{} [... {} bytes ...] {}", &text[..start], end - start, &text[end..]).into()
}

/// Writing to the standard output failed. A reader that has seen enough (`| head`) is
/// no failure to talk about.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Status::Done, ""),
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

impl From<RelocateError> for Failure {
    fn from(error: RelocateError) -> Failure {
        let hint = error.hint();
        Failure { hint, ..Failure::unusable(error) }
    }
}

/// What a kernel refuses is a refusal; what is not there is the command line's fault.
impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Failure {
        let status = if error.errno().is_some() { Status::Refused } else { Status::Unusable };
        let hint = error.hint();
        Failure { hint, ..Failure::new(status, error) }
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
