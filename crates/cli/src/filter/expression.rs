//! The expression of a command line, and what is said when it is none.

use std::path::Path;

use skep_lang::pcap::{Error, Explainer, Filter, Options, compile as compile_text};

use crate::failure::Failure;
use crate::files;

/// Columns of an expression that are shown around what is wrong.
const AROUND: usize = 60;

/// The text of an expression: words of the command line, or a file.
pub fn text(words: &[String], file: Option<&Path>) -> Result<String, Failure> {
    match file {
        Some(file) => Ok(files::read_text(file)?.trim_end().to_owned()),
        None => Ok(words.join(" ")),
    }
}

/// Compiles it.
pub fn compile(text: &str, options: &Options<'_>) -> Result<Filter, Failure> {
    compile_text(text, options).map_err(|error| failure(text, &error))
}

/// What says why packets match.
pub fn explainer(text: &str, options: &Options<'_>) -> Result<Explainer, Failure> {
    Explainer::new(text, options).map_err(|error| failure(text, &error))
}

/// The expression with carets below what is wrong, then libpcap's words for it.
pub fn failure(text: &str, error: &Error) -> Failure {
    let mut failure = Failure::unusable(&error.text);
    if let Some(detail) = carets(text, error) {
        failure = failure.detail(detail);
    }
    match &error.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Two lines; none where the whole expression is meant.
fn carets(text: &str, error: &Error) -> Option<String> {
    let span = error.span.clone();
    if text.is_empty() || span == (0..text.len()) {
        return None;
    }
    let before: Vec<char> = text.get(..span.start)?.chars().map(plain).collect();
    let at: Vec<char> = text.get(span.clone())?.chars().map(plain).collect();
    let after: Vec<char> = text.get(span.end..)?.chars().map(plain).collect();
    let from = before.len().saturating_sub(AROUND);
    let shown_at = at.len().min(AROUND);
    let rest: Vec<char> = at.iter().chain(&after).copied().collect();
    let to = rest.len().min(shown_at + AROUND);
    let lead = if from > 0 { "..." } else { "" };
    let tail = if to < rest.len() { "..." } else { "" };
    let line: String = before[from..].iter().chain(&rest[..to]).collect();
    let blanks = " ".repeat(2 + lead.len() + before.len() - from);
    Some(format!("  {lead}{line}{tail}\n{blanks}{}", "^".repeat(shown_at.max(1))))
}

/// One column for each character.
fn plain(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_stand_below_what_is_wrong() {
        let shown = |text: &str| {
            let error = compile_text(text, &Options::default()).unwrap_err();
            (carets(text, &error).unwrap_or_default(), error.text)
        };
        let (carets, text) = shown("ip and prot 6");
        // `prot` may be a name; what follows it may not.
        assert_eq!(carets, "  ip and prot 6\n              ^");
        assert_eq!(text, "can't parse filter expression: syntax error");
        let (carets, text) = shown("tcp port 70000 or udp");
        assert_eq!(carets, "  tcp port 70000 or udp\n           ^^^^^");
        assert_eq!(text, "port number 70000 greater than maximum 65535");
        let (carets, _) = shown("host 10.0.0.1 and (");
        assert_eq!(carets, "  host 10.0.0.1 and (\n                     ^");
    }
}
