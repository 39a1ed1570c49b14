//! A place among the tokens, and what is said where another one was wanted.

use std::ops::Range;

use crate::pcap::Error;
use crate::pcap::ast::Place;
use crate::pcap::lex::{Keyword, Lexeme, Token, nearest};

/// Parentheses, brackets and signs within each other. libpcap gives up at some thousands;
/// people do at some tens.
pub(super) const MAX_DEPTH: usize = 200;

pub(super) struct Cursor<'a> {
    lexemes: &'a [Lexeme],
    at: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    /// The tokens must end with [`Token::End`].
    pub fn new(lexemes: &'a [Lexeme]) -> Cursor<'a> {
        Cursor { lexemes, at: 0, depth: 0 }
    }

    /// The token that is `ahead` further on.
    fn lexeme(&self, ahead: usize) -> &'a Lexeme {
        let last = self.lexemes.len() - 1;
        &self.lexemes[(self.at + ahead).min(last)]
    }

    pub fn peek(&self) -> &'a Token {
        &self.lexeme(0).token
    }

    pub fn peek_at(&self, ahead: usize) -> &'a Token {
        &self.lexeme(ahead).token
    }

    pub fn span(&self) -> Range<usize> {
        self.lexeme(0).span.clone()
    }

    /// The place of a condition that started there and ends here.
    pub(super) fn place(&self, start: usize) -> Place {
        Place { span: self.since(start), start }
    }

    /// From the byte `start` to the last token that was taken.
    pub fn since(&self, start: usize) -> Range<usize> {
        let end = self.at.checked_sub(1).map_or(start, |last| self.lexemes[last].span.end);
        start..end.max(start)
    }

    pub fn next(&mut self) -> &'a Lexeme {
        let lexeme = self.lexeme(0);
        if lexeme.token != Token::End {
            self.at += 1;
        }
        lexeme
    }

    pub fn is_keyword(&self, keyword: Keyword) -> bool {
        *self.peek() == Token::Keyword(keyword)
    }

    pub fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    /// Takes a sign if it comes next.
    pub fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    /// Takes a keyword if it comes next.
    pub fn take_keyword(&mut self, keyword: Keyword) -> bool {
        let found = self.is_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    /// Goes one deeper; each must be followed by [`Cursor::leave`].
    pub fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            false => Ok(()),
            true => Err(Error::new(
                self.span(),
                format!("the expression is nested deeper than {MAX_DEPTH}"),
            )
            .hint("leave out parentheses that change nothing")),
        }
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// A syntax error at the next token.
    pub fn wanted(&self, what: &str) -> Error {
        let hint = match self.peek() {
            Token::End => format!("the expression ends where {what} should come"),
            Token::Id(word) => match nearest(word) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "here should come {what}; a name needs a word before it that \
                                 says what it is, as in `host {word}` or `port {word}`"
                ),
            },
            _ => format!("here should come {what}"),
        };
        Error::syntax(self.span(), hint)
    }
}
