//! What is wrong with an expression: libpcap's words, which tools match on, the place,
//! and what would be right.

use std::fmt;
use std::ops::Range;

/// Why an expression is no filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// libpcap's text for it.
    pub text: String,
    /// The bytes of the expression that it is about.
    pub span: Range<usize>,
    /// What would be right.
    pub hint: Option<String>,
}

impl Error {
    pub(super) fn new(span: Range<usize>, text: impl Into<String>) -> Error {
        Error { text: text.into(), span, hint: None }
    }

    /// The parser's only message.
    pub(super) fn syntax(span: Range<usize>, hint: impl Into<String>) -> Error {
        Error::new(span, "can't parse filter expression: syntax error").hint(hint)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
