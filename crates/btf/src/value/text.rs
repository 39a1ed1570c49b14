//! The text form of values: words, strings, `{ }` and `[ ]`, much like JSON.

use crate::BtfError;

/// How deep text may nest.
const MAX_DEPTH: u32 = 64;

/// A parsed text, before it has met a type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text {
    /// `80`, `10.0.0.7`, `XDP_DROP`.
    Word(String),
    /// `"eth0"`.
    Quoted(String),
    /// `[1, 2]`.
    List(Vec<Text>),
    /// `{ port: 80 }`; entries without a name are by position.
    Members(Vec<(Option<String>, Text)>),
}

/// Splits `key:value` at the first colon outside of brackets and quotes. (An IPv6
/// address as a key goes in quotes.)
pub fn split_entry(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0u32;
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            // `hex:0a0b` is one word.
            ':' if depth == 0 && text[..at].trim() != "hex" => {
                return Some((text[..at].trim(), text[at + 1..].trim()));
            }
            _ => {}
        }
    }
    None
}

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Text, BtfError> {
    let mut parser = Parser { text, at: 0 };
    let parsed = parser.value(0)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(parsed),
        Some(character) => Err(parser.error(format!("{character:?} after the end of the value"))),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, reason: String) -> BtfError {
        BtfError::Value { path: format!("text at offset {}", self.at), reason }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Takes `character` if it comes next, after space.
    fn take(&mut self, character: char) -> bool {
        self.skip_space();
        let found = self.peek() == Some(character);
        if found {
            self.at += character.len_utf8();
        }
        found
    }

    fn value(&mut self, depth: u32) -> Result<Text, BtfError> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply".into()));
        }
        if self.take('{') {
            return self.members(depth);
        }
        if self.take('[') {
            let mut list = Vec::new();
            while !self.take(']') {
                list.push(self.value(depth + 1)?);
                self.separator(']')?;
            }
            return Ok(Text::List(list));
        }
        match self.peek() {
            Some('"') => self.quoted().map(Text::Quoted),
            _ => self.word(|character| matches!(character, ',' | '}' | ']')).map(Text::Word),
        }
    }

    fn members(&mut self, depth: u32) -> Result<Text, BtfError> {
        let mut members = Vec::new();
        while !self.take('}') {
            let start = self.at;
            let name = match self.peek() {
                Some('"') => self.quoted().ok(),
                _ => self.word(|c| matches!(c, ',' | '}' | ']' | ':' | '=' | '{' | '[')).ok(),
            };
            let named = name.filter(|_| self.take(':') || self.take('='));
            if named.is_none() {
                self.at = start;
            }
            members.push((named, self.value(depth + 1)?));
            self.separator('}')?;
        }
        Ok(Text::Members(members))
    }

    /// A comma, unless the end comes next.
    fn separator(&mut self, end: char) -> Result<(), BtfError> {
        if self.take(',') || self.peek() == Some(end) {
            return Ok(());
        }
        Err(self.error(format!("expected ',' or {end:?}")))
    }

    fn word(&mut self, ends: impl Fn(char) -> bool) -> Result<String, BtfError> {
        let rest = &self.text[self.at..];
        let len = rest.find(ends).unwrap_or(rest.len());
        let word = rest[..len].trim();
        if word.is_empty() {
            return Err(self.error("expected a value".into()));
        }
        self.at += len;
        Ok(word.to_string())
    }

    fn quoted(&mut self) -> Result<String, BtfError> {
        let mut out = String::new();
        let mut characters = self.text[self.at..].char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += at + 1;
                    return Ok(out);
                }
                '\\' => match characters.next().map(|next| next.1) {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('0') => out.push('\0'),
                    Some(same @ ('"' | '\\' | '/' | '\'')) => out.push(same),
                    _ => return Err(self.error("unknown escape in a string".into())),
                },
                other => out.push(other),
            }
        }
        Err(self.error("a string without end".into()))
    }
}
