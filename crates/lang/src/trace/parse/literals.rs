//! Strings and numbers.

use super::cursor::{Parser, in_word, starts_word};

/// Suffixes of numbers, longer ones before their beginnings.
const SUFFIXES: [&[u8]; 7] = [b"ns", b"us", b"ms", b"s", b"m", b"h", b"d"];

impl Parser<'_> {
    /// Takes a string, whose opening quote is here.
    pub(super) fn take_string(&mut self) -> Vec<u8> {
        self.advance(1);
        let mut out = Vec::new();
        loop {
            if self.at_end() {
                self.error("unterminated string");
                return out;
            }
            match self.peek() {
                b'"' => {
                    self.advance(1);
                    return out;
                }
                b'\n' => {
                    self.error("unterminated string");
                    return out;
                }
                b'\\' => {
                    let from = self.at;
                    self.advance(1);
                    if self.at_end() {
                        self.error("unterminated string");
                        return out;
                    }
                    self.take_escape(from, &mut out);
                }
                byte => {
                    out.push(byte);
                    self.advance(1);
                }
            }
        }
    }

    fn take_escape(&mut self, from: usize, out: &mut Vec<u8>) {
        let letter = self.peek();
        match letter {
            b'0'..=b'7' => {
                let value = self.take_digits(3, 8);
                if value > 255 {
                    let digits = self.view(from + 1, self.at);
                    self.error_between(
                        from,
                        self.at,
                        format!("octal escape sequence out of range '\\{digits}'"),
                    );
                }
                out.push(value as u8);
                return;
            }
            b'x' | b'X' => {
                self.advance(1);
                let before = self.at;
                let value = self.take_digits(2, 16);
                if self.at == before {
                    self.error("invalid hex escape sequence");
                } else {
                    out.push(value as u8);
                }
                return;
            }
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'"' | b'\\' => out.push(letter),
            _ => self.error(format!("invalid escape character '\\{}'", char::from(letter))),
        }
        self.advance(1);
    }

    fn take_digits(&mut self, most: usize, base: u32) -> u32 {
        let mut value = 0;
        for _ in 0..most {
            let Some(digit) = char::from(self.peek()).to_digit(base) else {
                break;
            };
            value = value * base + digit;
            self.advance(1);
        }
        value
    }

    fn take_run(&mut self, belongs: impl Fn(u8) -> bool) {
        while belongs(self.peek()) && !self.at_end() {
            self.advance(1);
        }
    }

    fn check_underscore(&mut self, from: usize) {
        if self.at > from && self.byte(self.at - 1) == b'_' {
            self.error_between(self.at - 1, self.at, "trailing underscore in integer literal");
        }
    }

    /// Takes a number as it is written.
    pub(super) fn take_number(&mut self) -> String {
        self.layout();
        let from = self.at;
        if self.peek() == b'0' && matches!(self.ahead(1), b'x' | b'X') {
            self.advance(2);
            self.take_run(|b| b.is_ascii_hexdigit() || b == b'_');
            self.check_underscore(from);
            return self.view(from, self.at);
        }
        let digit = |b: u8| b.is_ascii_digit() || b == b'_';
        self.take_run(digit);
        self.check_underscore(from);
        if matches!(self.peek(), b'e' | b'E') {
            self.advance(1);
            self.take_run(digit);
            self.check_underscore(from);
        }
        self.take_suffix();
        let number = self.view(from, self.at);
        if starts_word(self.peek()) {
            let bad = self.at;
            self.take_run(in_word);
            let suffix = self.view(bad, self.at);
            self.error_between(bad, self.at, format!("invalid integer suffix '{suffix}'"));
        }
        number
    }

    fn take_suffix(&mut self) {
        let rest = &self.text[self.at.min(self.text.len())..];
        if let Some(suffix) = SUFFIXES.iter().find(|suffix| rest.starts_with(suffix)) {
            self.advance(suffix.len());
            return;
        }
        if matches!(self.peek(), b'u' | b'U') {
            self.advance(1);
        }
        for _ in 0..2 {
            if matches!(self.peek(), b'l' | b'L') {
                self.advance(1);
            }
        }
    }
}
