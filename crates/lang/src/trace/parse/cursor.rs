//! The text and where one stands in it: words, layout between them, and what a syntax
//! error points at.

use crate::trace::ast::{Expr, ExprKind, Ids};
use crate::trace::diagnostic::Diagnostics;
use crate::trace::place::{ExpansionId, Place, SourceId};

/// Nesting of expressions and blocks beyond this is refused.
pub const DEEPEST: u32 = 100;

/// Operators and members in one statement beyond this are refused.
pub const LONGEST: u32 = 500;

/// Reads one text.
pub struct Parser<'a> {
    pub(super) text: &'a [u8],
    pub(super) source: SourceId,
    pub(super) at: usize,
    pub(super) ids: &'a mut Ids,
    pub(super) diagnostics: &'a mut Diagnostics,
    /// How deep expressions and blocks nest here.
    pub(super) depth: u32,
    /// Links of chains in this statement.
    pub(super) links: u32,
    /// Comments that were passed, by their first and last byte.
    pub(super) comments: std::collections::BTreeMap<u32, u32>,
}

pub(super) fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

pub(super) fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

impl<'a> Parser<'a> {
    /// Begins at the text's start.
    pub fn new(
        text: &'a str,
        source: SourceId,
        ids: &'a mut Ids,
        diagnostics: &'a mut Diagnostics,
    ) -> Parser<'a> {
        Parser {
            text: text.as_bytes(),
            source,
            at: 0,
            ids,
            diagnostics,
            depth: 0,
            links: 0,
            comments: Default::default(),
        }
    }

    /// The byte here, 0 at the end.
    pub(super) fn peek(&self) -> u8 {
        self.byte(self.at)
    }

    /// The byte some way ahead.
    pub(super) fn ahead(&self, by: usize) -> u8 {
        self.byte(self.at + by)
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    pub(super) fn advance(&mut self, by: usize) {
        self.at = (self.at + by).min(self.text.len());
    }

    /// The text between two bytes.
    pub(super) fn view(&self, from: usize, to: usize) -> String {
        let to = to.min(self.text.len());
        String::from_utf8_lossy(&self.text[from.min(to)..to]).into_owned()
    }

    /// The place between two bytes.
    pub(super) fn place(&self, from: usize, to: usize) -> Place {
        Place {
            source: self.source,
            start: from as u32,
            end: to.max(from) as u32,
            expansion: ExpansionId::default(),
        }
    }

    /// The place from there to here.
    pub(super) fn since(&self, from: usize) -> Place {
        self.place(from, self.at)
    }

    /// A new expression.
    pub(super) fn expr(&mut self, kind: ExprKind, place: Place) -> Expr {
        Expr { id: self.ids.fresh(), kind, place }
    }

    /// No expression, here.
    pub(super) fn none(&mut self) -> Expr {
        let place = self.since(self.at);
        self.expr(ExprKind::None, place)
    }

    /// Where layout from there on ends: space and comments.
    pub(super) fn after_layout(&self, mut at: usize) -> usize {
        loop {
            if is_space(self.byte(at)) && at < self.text.len() {
                at += 1;
            } else if self.byte(at) == b'\\' && self.byte(at + 1) == b'\n' {
                // A line that goes on, as in C.
                at += 2;
            } else if self.byte(at) == b'/' && self.byte(at + 1) == b'/' {
                while at < self.text.len() && self.byte(at) != b'\n' {
                    at += 1;
                }
            } else if self.byte(at) == b'/' && self.byte(at + 1) == b'*' {
                at = self.after_block_comment(at);
            } else {
                return at;
            }
        }
    }

    fn after_block_comment(&self, at: usize) -> usize {
        let mut at = at + 2;
        while at < self.text.len() {
            if self.byte(at) == b'*' && self.byte(at + 1) == b'/' {
                return at + 2;
            }
            at += 1;
        }
        self.text.len()
    }

    pub(super) fn layout(&mut self) {
        let after = self.after_layout(self.at);
        while self.at < after {
            if self.peek() == b'/' {
                let end = if self.ahead(1) == b'*' {
                    self.after_block_comment(self.at)
                } else {
                    self.line_end(self.at)
                };
                self.comments.insert(self.at as u32, end as u32);
                self.at = end;
            } else {
                self.at += 1;
            }
        }
    }

    fn line_end(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        rest.iter().position(|byte| *byte == b'\n').map_or(self.text.len(), |end| at + end)
    }

    pub(super) fn word_end(&self, mut at: usize) -> usize {
        while in_word(self.byte(at)) {
            at += 1;
        }
        at
    }

    /// The word here, empty if there is none.
    pub(super) fn word(&self) -> &'a [u8] {
        &self.text[self.at.min(self.text.len())..self.word_end(self.at)]
    }

    /// After a bracket's partner, nested ones skipped; the same place if none opens here.
    pub(super) fn after_balanced(&self, at: usize, open: u8, close: u8) -> usize {
        if self.byte(at) != open {
            return at;
        }
        let mut depth = 1;
        let mut at = at + 1;
        while at < self.text.len() && depth > 0 {
            if self.byte(at) == open {
                depth += 1;
            } else if self.byte(at) == close {
                depth -= 1;
            }
            at += 1;
        }
        at
    }

    /// Takes a sign if it is next.
    pub(super) fn takes(&mut self, sign: u8) -> bool {
        self.layout();
        let found = self.peek() == sign && !self.at_end();
        if found {
            self.advance(1);
        }
        found
    }

    /// Whether a keyword is next.
    pub(super) fn is_keyword(&self, word: &str) -> bool {
        let at = self.after_layout(self.at);
        self.text[at.min(self.text.len())..].starts_with(word.as_bytes())
            && !in_word(self.byte(at + word.len()))
    }

    /// Takes a keyword if it is next.
    pub(super) fn takes_keyword(&mut self, word: &str) -> bool {
        self.layout();
        let found = self.is_keyword(word);
        if found {
            self.advance(word.len());
        }
        found
    }

    /// Takes a sign that must be next.
    pub(super) fn expect(&mut self, sign: u8) -> bool {
        let found = self.takes(sign);
        if !found {
            self.error(format!("expected '{}'", char::from(sign)));
        }
        found
    }

    /// Takes a keyword that must be next.
    pub(super) fn expect_keyword(&mut self, word: &str) -> bool {
        let found = self.takes_keyword(word);
        if !found {
            self.error(format!("expected '{word}'"));
        }
        found
    }

    /// Takes a word; without one says `otherwise`, if it is not empty.
    pub(super) fn take_word(&mut self, otherwise: &str) -> Option<String> {
        self.layout();
        if !starts_word(self.peek()) {
            if !otherwise.is_empty() {
                self.error(otherwise);
            }
            return None;
        }
        let from = self.at;
        self.at = self.word_end(from);
        Some(self.view(from, self.at))
    }

    /// Takes `$name`.
    pub(super) fn take_variable(&mut self) -> String {
        if !starts_word(self.ahead(1)) {
            self.error("expected identifier after '$'");
            return String::new();
        }
        let from = self.at;
        self.at = self.word_end(from + 1);
        self.view(from, self.at)
    }

    /// Takes `@name`, or `@` alone.
    pub(super) fn take_map(&mut self) -> String {
        let from = self.at;
        self.at = if starts_word(self.ahead(1)) { self.word_end(from + 1) } else { from + 1 };
        self.view(from, self.at)
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.diagnostics.is_ok()
    }

    /// A syntax error at the next word or sign.
    pub(super) fn error(&mut self, text: impl Into<String>) {
        let from = self.after_layout(self.at);
        let mut to = from;
        if to < self.text.len() {
            let first = self.byte(to);
            to += 1;
            if starts_word(first) || first == b'@' || first == b'$' {
                to = self.word_end(to);
            } else if first.is_ascii_digit() {
                while self.byte(to).is_ascii_alphanumeric() || self.byte(to) == b'.' {
                    to += 1;
                }
            }
        }
        self.error_between(from, to, text);
    }

    /// A syntax error between two bytes.
    pub(super) fn error_between(&mut self, from: usize, to: usize, text: impl Into<String>) {
        let place = self.place(from, to);
        let text = text.into();
        self.diagnostics.error(place, format!("syntax: {text}"));
    }

    /// Goes one level deeper; false, with an error, where it is too deep.
    pub(super) fn descend(&mut self) -> bool {
        if self.depth >= DEEPEST {
            if !self.has_errors() {
                self.error(format!("nested more than {DEEPEST} deep"));
            }
            self.at = self.text.len();
            return false;
        }
        self.depth += 1;
        true
    }

    /// Counts a link of a chain; false, with an error, where it is too long.
    pub(super) fn link(&mut self) -> bool {
        self.links += 1;
        if self.links > LONGEST {
            if !self.has_errors() {
                self.error(format!("more than {LONGEST} operators in one statement"));
            }
            self.at = self.text.len();
            return false;
        }
        true
    }
}
