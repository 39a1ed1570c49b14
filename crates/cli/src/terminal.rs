//! What a terminal gets to see: colour only where there is one and it is wanted, and
//! no control characters of anyone else's.
//!
//! Text of an input is printed through [`clean`] or through a [`Guard`], to a terminal or
//! not, since what goes through a pipe ends on one as well. Which characters do harm, and
//! what stands for them, is said once, in [`is_harmful`] and [`escape`].

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// Colours text, or leaves it alone.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// For the standard output.
    pub fn stdout() -> Paint {
        Paint { on: io::stdout().is_terminal() && wanted() }
    }

    /// For the standard error.
    pub fn stderr() -> Paint {
        Paint { on: io::stderr().is_terminal() && wanted() }
    }

    /// For no terminal.
    pub fn off() -> Paint {
        Paint { on: false }
    }

    /// Whether it colours.
    pub fn is_on(self) -> bool {
        self.on
    }

    /// Titles.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What may be passed over.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Errors.
    pub fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// What is as it should be.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What is missing.
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Advice.
    pub fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self.on {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.into(),
        }
    }
}

/// <https://no-color.org>, and terminals that cannot.
fn wanted() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !no_color && !dumb
}

/// The text with everything escaped that would move the cursor, ring the bell or turn
/// the direction of writing.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_harmful(character) {
            true => out.push_str(&escape(character, Form::Text)),
            false => out.push(character),
        }
    }
    Cow::Owned(out)
}

/// Control characters (of ASCII and those from U+0080 on, which terminals take for escape
/// sequences), line ends that only some see, and what turns the direction of writing.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// What text is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Text,
    /// JSON, whose strings are escaped already as far as JSON asks.
    Json,
}

/// What stands for a harmful character; all of them are in the first plane.
fn escape(character: char, form: Form) -> String {
    match form {
        Form::Text => character.escape_default().to_string(),
        Form::Json => format!("\\u{:04x}", u32::from(character)),
    }
}

/// Passes text on with harmful characters escaped, tabs and ends of lines aside. Bytes that
/// are no text are escaped, too.
pub struct Guard<'a> {
    out: &'a mut dyn Write,
    form: Form,
    /// The start of a character whose rest has not come yet.
    begun: Vec<u8>,
}

impl<'a> Guard<'a> {
    /// In front of text.
    pub fn new(out: &'a mut dyn Write) -> Guard<'a> {
        Guard { out, form: Form::Text, begun: Vec::new() }
    }

    /// In front of JSON, which stays JSON.
    pub fn json(out: &'a mut dyn Write) -> Guard<'a> {
        Guard { out, form: Form::Json, begun: Vec::new() }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let stops = |character: char| is_harmful(character) && !matches!(character, '\n' | '\t');
        let mut rest = text;
        while let Some((at, character)) = rest.char_indices().find(|(_, of)| stops(*of)) {
            self.out.write_all(&rest.as_bytes()[..at])?;
            self.out.write_all(escape(character, self.form).as_bytes())?;
            rest = &rest[at + character.len_utf8()..];
        }
        self.out.write_all(rest.as_bytes())
    }

    fn strangers(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.form {
            Form::Text => bytes.iter().try_for_each(|byte| write!(self.out, "\\x{byte:02x}")),
            Form::Json => self.out.write_all(b"\\ufffd"),
        }
    }

    /// Text as far as it is some; gives the start of a character that goes on.
    fn bytes(&mut self, mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let error = match std::str::from_utf8(bytes) {
                Ok(text) => return self.text(text).map(|()| Vec::new()),
                Err(error) => error,
            };
            let (text, rest) = bytes.split_at(error.valid_up_to());
            self.text(std::str::from_utf8(text).unwrap_or_default())?;
            let Some(len) = error.error_len() else { return Ok(rest.to_vec()) };
            self.strangers(&rest[..len])?;
            bytes = &rest[len..];
        }
    }

    fn end(&mut self) -> io::Result<()> {
        let begun = std::mem::take(&mut self.begun);
        match begun.is_empty() {
            true => Ok(()),
            false => self.strangers(&begun),
        }
    }
}

impl Write for Guard<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
        if self.begun.is_empty() && bytes.iter().all(is_plain) {
            self.out.write_all(bytes)?;
        } else {
            let mut all = std::mem::take(&mut self.begun);
            all.extend_from_slice(bytes);
            self.begun = self.bytes(&all)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end()?;
        self.out.flush()
    }
}

/// A character that never went on is not lost.
impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // There is no one left to tell; the writer itself fails again when it is flushed.
        let _ = self.end();
    }
}

/// Prints JSON, without a control character of anyone's.
pub fn print_json(out: &mut dyn Write, value: &serde_json::Value) -> io::Result<()> {
    writeln!(Guard::json(out), "{value:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(clean("a \"quoted\" name: größe"), "a \"quoted\" name: größe");
        assert_eq!(clean("\x1b[31mred\nline\u{202e}"), "\\u{1b}[31mred\\nline\\u{202e}");
    }

    #[test]
    fn a_guard_lets_lines_and_tabs_pass() {
        let mut out = Vec::new();
        Guard::new(&mut out).write_all(b"a\tb\n\x1b\x07c").unwrap();
        assert_eq!(out, b"a\tb\n\\u{1b}\\u{7}c");
    }

    #[test]
    fn a_guard_sees_characters_that_come_in_pieces() {
        let mut out = Vec::new();
        let mut guard = Guard::new(&mut out);
        for byte in "gr\u{f6}\u{df}e \u{9b}31m \u{202e}".bytes() {
            guard.write_all(&[byte]).unwrap();
        }
        guard.write_all(b"\xff\xe2\x82").unwrap();
        drop(guard);
        let expected = "gr\u{f6}\u{df}e \\u{9b}31m \\u{202e}\\xff\\xe2\\x82";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn json_behind_a_guard_is_still_json() {
        let value = serde_json::json!({ "name": "a\u{9b}b\u{7f}\n\u{202e}" });
        let mut out = Vec::new();
        serde_json::to_writer_pretty(Guard::json(&mut out), &value).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.chars().all(|of| of == '\n' || !is_harmful(of)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
