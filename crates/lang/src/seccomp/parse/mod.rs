//! Texts that are policies: container profiles (`oci.rs`), TOML (`toml.rs`), expressions
//! (`expr.rs`) and systemd's lines (`systemd.rs`).

mod expr;
mod logic;
mod oci;
pub mod sets;
mod systemd;
mod token;
mod toml;

pub use expr::condition;

use std::fmt;

use skep_abi::Version;

use super::arch::{self, Arch};
use super::policy::Policy;

/// The longest text that is read.
pub const MAX_TEXT: usize = 16 << 20;
/// Most rules of a policy; a call in a list of names counts as one.
pub const MAX_RULES: usize = 100_000;

/// Why a text is no policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Where: `syscalls[3].args[0]`, `line 7`; empty for the whole text.
    pub place: String,
    /// What is wrong.
    pub text: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl ParseError {
    fn new(place: impl Into<String>, text: impl Into<String>) -> ParseError {
        ParseError { place: place.into(), text: text.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> ParseError {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => f.write_str(&self.text),
            place => write!(f, "{place}: {}", self.text),
        }
    }
}

impl std::error::Error for ParseError {}

/// What a text is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A container profile: JSON as Docker, Podman and the OCI's runtimes read it.
    Oci,
    /// TOML with `[[rule]]`s.
    Toml,
    /// An expression: `default allow  errno(EPERM) { ptrace }`.
    Expression,
    /// Lines of a systemd unit.
    Systemd,
}

impl Format {
    /// The format that a text looks like.
    pub fn of_text(text: &str) -> Format {
        let lines = || text.lines().map(str::trim_start);
        let first = lines().find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
        let first = first.unwrap_or_default();
        let key = first.split_once('=').map_or("", |line| line.0.trim_end());
        let is_key = |key: &str| {
            !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_\"".contains(c))
        };
        if first.starts_with('{') {
            Format::Oci
        } else if lines().any(|line| line.starts_with("SystemCall")) {
            Format::Systemd
        } else if first.starts_with('[') || is_key(key) && !first.contains("==") {
            Format::Toml
        } else {
            Format::Expression
        }
    }
}

/// Where a policy is to hold: what profiles ask for when they say when an entry counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Environment {
    /// The machine.
    pub arch: Arch,
    /// Capabilities that the process has: `CAP_SYS_ADMIN`.
    pub caps: Vec<String>,
    /// The kernel; the newest where it is not known.
    pub kernel: Option<Version>,
}

impl Environment {
    /// Reads a version: `6.1`, `6.1.0-18-amd64`.
    pub fn version(text: &str) -> Option<Version> {
        arch::version(text)
    }
}

impl Default for Environment {
    /// This machine's architecture, no capability, the newest kernel.
    fn default() -> Environment {
        Environment { arch: Arch::native(), caps: Vec::new(), kernel: None }
    }
}

/// Reads a policy.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &str, format: Format, environment: &Environment) -> Result<Policy, ParseError> {
    if text.len() > MAX_TEXT {
        return Err(ParseError::new("", format!("the policy is longer than {MAX_TEXT} bytes")));
    }
    let policy = match format {
        Format::Oci => oci::parse(text, environment)?,
        Format::Toml => toml::parse(text, environment)?,
        Format::Expression => expr::parse(text, environment)?,
        Format::Systemd => systemd::parse(text, environment)?,
    };
    if policy.rules.len() > MAX_RULES {
        return Err(ParseError::new("", format!("the policy has more than {MAX_RULES} rules")));
    }
    Ok(policy)
}
