//! Words and signs of C.

/// A word, number, string or sign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    /// A word.
    Word(String),
    /// A number as written.
    Number(String),
    /// A string or character with its quotes.
    Text(String),
    /// A sign.
    Sign(&'static str),
}

impl Token {
    /// How it is written.
    pub fn text(&self) -> &str {
        match self {
            Token::Word(text) | Token::Number(text) | Token::Text(text) => text,
            Token::Sign(sign) => sign,
        }
    }
}

/// Signs, longer ones before their beginnings.
const SIGNS: [&str; 48] = [
    "...", "<<=", ">>=", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=",
    "-=", "*=", "/=", "%=", "&=", "|=", "^=", "##", "{", "}", "(", ")", "[", "]", ";", ",", ":",
    "*", "=", "+", "-", "/", "%", "&", "|", "^", "~", "!", "<", ">", "?", ".", "#",
];

/// Takes a text apart; comments and what is no C are left out.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let rest = &text[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(comment) = rest.strip_prefix("/*") {
            at += 2 + comment.find("*/").map_or(comment.len(), |end| end + 2);
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let end = run(bytes, at, |b| b.is_ascii_alphanumeric() || b == b'_');
            out.push(Token::Word(text[at..end].to_owned()));
            at = end;
        } else if byte.is_ascii_digit() {
            let end = run(bytes, at, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
            out.push(Token::Number(text[at..end].to_owned()));
            at = end;
        } else if byte == b'"' || byte == b'\'' {
            let end = quoted(bytes, at);
            out.push(Token::Text(String::from_utf8_lossy(&bytes[at..end]).into_owned()));
            at = end;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            out.push(Token::Sign(sign));
            at += sign.len();
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    out
}

fn run(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    bytes[from..]
        .iter()
        .position(|byte| !belongs(*byte))
        .map_or(bytes.len(), |length| from + length)
}

fn quoted(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == bytes[from] => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}
