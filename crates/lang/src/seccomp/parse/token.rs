//! Words of expressions.

use super::ParseError;

/// A word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token<'a> {
    /// A name, a number, a set (`@basic-io`) or a version.
    Word(&'a str),
    /// Brackets, separators, operators.
    Sign(&'static str),
}

/// Signs, longer ones first.
const SIGNS: [&str; 18] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "&", "|", "!", "(", ")", "{", "}", "[", "]", ",",
];

/// Words, each with where it stands.
pub(super) struct Tokens<'a> {
    tokens: Vec<(Token<'a>, u32, u32)>,
    at: usize,
}

impl<'a> Tokens<'a> {
    /// Takes a text apart: comments (`#`, `//`, `/* */`) and white space are between words.
    pub fn new(text: &'a str) -> Result<Tokens<'a>, ParseError> {
        let mut tokens = Vec::new();
        let (mut rest, mut line, mut start) = (text, 1, 0);
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            let column = (text[start..at].chars().count() + 1) as u32;
            let error =
                |text: String| Err(ParseError::new(format!("line {line}, column {column}"), text));
            let len = if rest.starts_with('\n') {
                (line, start) = (line + 1, at + 1);
                1
            } else if rest.starts_with(|c: char| c.is_whitespace() || c == ';') {
                rest.chars().next().map_or(1, char::len_utf8)
            } else if rest.starts_with("//") || is_comment(rest) {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                let Some(end) = rest.find("*/") else { return error("no end `*/`".into()) };
                let lines = rest[..end].matches('\n').count();
                if let Some(last) = rest[..end].rfind('\n') {
                    (line, start) = (line + lines as u32, at + last + 1);
                }
                end + 2
            } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                tokens.push((Token::Sign(sign), line, column));
                sign.len()
            } else {
                let in_word = |c: char| c.is_ascii_alphanumeric() || "_@-.#:".contains(c);
                let len = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
                if len == 0 {
                    let letter = rest.chars().next().unwrap_or_default();
                    return error(format!("`{}` means nothing here", letter.escape_debug()));
                }
                tokens.push((Token::Word(&rest[..len]), line, column));
                len
            };
            rest = &rest[len..];
        }
        Ok(Tokens { tokens, at: 0 })
    }

    /// The next one.
    pub fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).map(|token| token.0)
    }

    /// The one so many behind the next.
    pub fn ahead(&self, count: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + count).map(|token| token.0)
    }

    pub fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    /// Takes a sign, if it is the next.
    pub fn take(&mut self, sign: &str) -> bool {
        let is =
            self.peek() == Some(Token::Sign(SIGNS.iter().find(|of| **of == sign).unwrap_or(&"")));
        self.at += usize::from(is);
        is
    }

    /// Takes a word, if it is the next; case does not matter.
    pub fn take_word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(of)) if of.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    /// The next one has to be this sign.
    pub fn expect(&mut self, sign: &str) -> Result<(), ParseError> {
        if self.take(sign) { Ok(()) } else { Err(self.error(format!("`{sign}`"))) }
    }

    /// The next one has to be a word.
    pub fn word(&mut self, what: &str) -> Result<&'a str, ParseError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.error(what)),
        }
    }

    /// Where the next one stands.
    pub fn place(&self) -> String {
        match self.tokens.get(self.at).or(self.tokens.last()) {
            Some((_, line, column)) => format!("line {line}, column {column}"),
            None => "line 1".into(),
        }
    }

    /// Something else was expected.
    pub fn error(&self, expected: impl std::fmt::Display) -> ParseError {
        let found = match self.peek() {
            Some(Token::Word(word)) => format!("`{word}`"),
            Some(Token::Sign(sign)) => format!("`{sign}`"),
            None => "the end".into(),
        };
        ParseError::new(self.place(), format!("expected {expected}, found {found}"))
    }
}

/// A `#` begins a comment, but for `#define` and `#include`.
fn is_comment(rest: &str) -> bool {
    let after = rest.strip_prefix('#');
    after.is_some_and(|after| !after.starts_with("define") && !after.starts_with("include"))
}
