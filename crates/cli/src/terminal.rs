//! What a terminal gets to see: colour only where there is one and it is wanted, and
//! no control characters of anyone else's.

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
            true => out.extend(character.escape_default()),
            false => out.push(character),
        }
    }
    Cow::Owned(out)
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Passes text on with control bytes escaped, tabs and ends of lines aside.
pub struct Guard<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Guard<'a> {
    /// In front of a terminal.
    pub fn new(out: &'a mut dyn Write) -> Guard<'a> {
        Guard { out }
    }
}

impl Write for Guard<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.chunk_by(|&one, &next| is_control(one) == is_control(next)) {
            match piece {
                [first, ..] if is_control(*first) => {
                    piece.iter().try_for_each(|byte| write!(self.out, "\\x{byte:02x}"))?;
                }
                _ => self.out.write_all(piece)?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t')
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
        assert_eq!(out, b"a\tb\n\\x1b\\x07c");
    }
}
