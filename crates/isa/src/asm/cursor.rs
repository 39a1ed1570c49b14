//! Reads one line of assembly: words, numbers and signs, with blanks and comments
//! between them. Each method either consumes what it names or nothing.

use super::error::{AsmError, AsmErrorKind};
use crate::{Reg, Size, Width};

pub(super) type Parsed<T> = Result<T, AsmError>;

/// A place in a line.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    line: &'a str,
    at: usize,
    number: u32,
}

impl<'a> Cursor<'a> {
    /// The start of line `number`.
    pub(super) fn new(line: &'a str, number: u32) -> Cursor<'a> {
        Cursor { line, at: 0, number }
    }

    /// What follows, blanks included.
    pub(super) fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    /// Whether nothing of the line has been read but blanks.
    pub(super) fn at_start(&self) -> bool {
        self.line[..self.at].trim().is_empty()
    }

    /// Skips blanks and comments between slashes and stars.
    pub(super) fn blanks(&mut self) {
        loop {
            let rest = self.rest();
            let text = rest.trim_start();
            self.at += rest.len() - text.len();
            match text.strip_prefix("/*").and_then(|comment| comment.find("*/")) {
                Some(len) => self.at += len + 4,
                None => return,
            }
        }
    }

    /// Skips the rest of the line.
    pub(super) fn line_end(&mut self) {
        self.at = self.line.len();
    }

    /// Whether the statement ends here: at the end of the line, a comment, or `;`.
    pub(super) fn at_end(&mut self) -> bool {
        self.blanks();
        let rest = self.rest();
        rest.is_empty() || rest.starts_with(['#', ';']) || rest.starts_with("//")
    }

    /// Whether these characters follow, after blanks.
    pub(super) fn peek(&self, sign: &str) -> bool {
        self.after_blanks().rest().starts_with(sign)
    }

    /// Consumes these characters after blanks.
    pub(super) fn eat(&mut self, sign: &str) -> bool {
        let mut next = *self;
        next.blanks();
        let found = next.rest().starts_with(sign);
        if found {
            next.at += sign.len();
            *self = next;
        }
        found
    }

    /// Consumes these characters if they come at once.
    pub(super) fn eat_adjacent(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// [`Cursor::eat`], or an error.
    pub(super) fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.eat(sign) { Ok(()) } else { Err(self.expected(format!("`{sign}`"))) }
    }

    /// A word: a keyword, a register, a name.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        let mut next = *self;
        next.blanks();
        let rest = next.rest();
        let inside = |c: char| c.is_ascii_alphanumeric() || "_.$@".contains(c);
        if rest.starts_with(|c: char| c.is_ascii_digit() || !inside(c)) {
            return None;
        }
        let len = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        if len == 0 {
            return None;
        }
        next.at += len;
        *self = next;
        Some(&rest[..len])
    }

    /// This word.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let mut next = *self;
        let found = next.word() == Some(word);
        if found {
            *self = next;
        }
        found
    }

    /// A number: an optional sign, then decimal, `0x` or `0b` digits.
    pub(super) fn number(&mut self) -> Parsed<Option<i128>> {
        let mut next = *self;
        let negative = next.eat("-");
        if !negative {
            next.eat("+");
        }
        next.blanks();
        let rest = next.rest();
        if !rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(None);
        }
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let text = &rest[..len];
        let (digits, radix) = match text.get(..2) {
            Some("0x" | "0X") => (&text[2..], 16),
            Some("0b" | "0B") => (&text[2..], 2),
            // Octal for some, decimal for others.
            Some(_) if text.starts_with('0') => ("", 10),
            _ => (text, 10),
        };
        // The upper limit keeps sums of such numbers within i128.
        match i128::from_str_radix(digits, radix) {
            Ok(value) if value <= 1 << 64 => {
                next.at += len;
                *self = next;
                Ok(Some(if negative { -value } else { value }))
            }
            _ => Err(next.expected("a decimal, 0x or 0b number of at most 64 bits")),
        }
    }

    /// A number from `min` to `max`.
    pub(super) fn ranged(&mut self, what: &'static str, min: i128, max: i128) -> Parsed<i128> {
        let start = self.after_blanks();
        match self.number()? {
            Some(value) if value < min || value > max => {
                Err(start.error(AsmErrorKind::Range { what, value, fits: (min, max) }))
            }
            Some(value) => Ok(value),
            None => Err(start.expected(what)),
        }
    }

    /// A 32-bit immediate, written signed or unsigned, or as its sign-extension to
    /// 64 bits.
    pub(super) fn imm32(&mut self) -> Parsed<i32> {
        let start = *self;
        match self.number()? {
            Some(value) if (0xffff_ffff_8000_0000..1 << 64).contains(&value) => Ok(value as i32),
            _ => {
                *self = start;
                let (min, max) = (i32::MIN.into(), u32::MAX.into());
                Ok(self.ranged("a 32-bit immediate", min, max)? as i32)
            }
        }
    }

    /// A register by the name for this width.
    pub(super) fn register(&mut self, width: Width) -> Parsed<Reg> {
        let mut next = *self;
        match next.any_register() {
            Some((found, reg)) if found == width => {
                *self = next;
                Ok(reg)
            }
            _ => Err(self.expected(match width {
                Width::W64 => "a register, r0 to r10",
                Width::W32 => "the lower half of a register, w0 to w10",
            })),
        }
    }

    /// A register that holds a value of this size: `w1` will do below 64 bits.
    pub(super) fn holder(&mut self, size: Size) -> Parsed<Reg> {
        let mut next = *self;
        match next.any_register() {
            Some((Width::W32, _)) if size == Size::DW => self.register(Width::W64),
            Some((_, reg)) => {
                *self = next;
                Ok(reg)
            }
            None => self.register(Width::W64),
        }
    }

    /// A register, as `r1` or `w1`.
    pub(super) fn any_register(&mut self) -> Option<(Width, Reg)> {
        let mut next = *self;
        let word = next.word()?;
        let (width, digits) = match word.split_at_checked(1)? {
            ("r", digits) => (Width::W64, digits),
            ("w", digits) => (Width::W32, digits),
            _ => return None,
        };
        let plain = digits.len() == 1 || digits == "10";
        let reg = Reg::new(digits.parse().ok().filter(|_| plain)?)?;
        *self = next;
        Some((width, reg))
    }

    /// Skips a printer's `<name>`.
    pub(super) fn annotation(&mut self) {
        let mut next = *self;
        if !next.eat("<") {
            return;
        }
        let mut depth = 1;
        for (at, c) in next.rest().char_indices() {
            match c {
                '<' => depth += 1,
                '>' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                next.at += at + 1;
                *self = next;
                return;
            }
        }
    }

    /// The place behind the blanks.
    pub(super) fn after_blanks(&self) -> Cursor<'a> {
        let mut next = *self;
        next.blanks();
        next
    }

    /// Line and column of this place, counted from 1.
    pub(super) fn position(&self) -> (u32, u32) {
        (self.number, self.line[..self.at].chars().count() as u32 + 1)
    }

    /// An error here.
    pub(super) fn error(&self, kind: AsmErrorKind) -> AsmError {
        let (line, column) = self.position();
        AsmError { line, column, kind }
    }

    /// "Expected `what`" at the next thing in the line.
    pub(super) fn expected(&self, what: impl Into<String>) -> AsmError {
        let mut here = self.after_blanks();
        let word = if here.at_end() { "" } else { here.rest() };
        let len = word.find(char::is_whitespace).unwrap_or(word.len());
        let found = word[..len].chars().take(24).collect();
        self.after_blanks().error(AsmErrorKind::Expected { what: what.into(), found })
    }
}
