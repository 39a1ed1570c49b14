//! The lexer: at each place the longest token wins, and among equally long ones the more
//! special one (an address before a word).

mod address;
mod keyword;
mod number;

use std::net::Ipv6Addr;
use std::ops::Range;

pub use keyword::{Keyword, nearest};
pub use number::{NumberError, number};

use super::Error;

/// What a token is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    /// A word of the language.
    Keyword(Keyword),
    /// A number, or the name of one.
    Number(u32),
    /// Another word, or one behind `\`.
    Id(String),
    /// Two to four numbers with dots: an IPv4 address or a part of one.
    Ipv4(String),
    /// An IPv6 address, and how it is spelled.
    Ipv6(Ipv6Addr, String),
    /// An Ethernet address.
    Mac48([u8; 6]),
    /// `$` and an ARCnet address.
    Mac8(u8),
    /// A sign; `==` is `=`, `!` is the keyword `not`, `&&` is `and`, `||` is `or`.
    Sign(&'static str),
    /// The end.
    End,
}

/// A token with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lexeme {
    /// What.
    pub token: Token,
    /// Which bytes of the text.
    pub span: Range<usize>,
}

/// Signs, longer ones first.
const SIGNS: [(&str, &str); 24] = [
    (">=", ">="),
    ("<=", "<="),
    ("!=", "!="),
    ("==", "="),
    ("<<", "<<"),
    (">>", ">>"),
    ("&&", "&&"),
    ("||", "||"),
    ("+", "+"),
    ("-", "-"),
    ("*", "*"),
    ("/", "/"),
    ("%", "%"),
    (":", ":"),
    ("[", "["),
    ("]", "]"),
    ("!", "!"),
    ("<", "<"),
    (">", ">"),
    ("(", "("),
    (")", ")"),
    ("&", "&"),
    ("|", "|"),
    ("^", "^"),
];

/// Cuts a text into tokens; the last one is [`Token::End`].
///
/// # Errors
/// A character that starts no token, an address or a number that is none.
pub fn lex(text: &str) -> Result<Vec<Lexeme>, Error> {
    let mut lexemes = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with([' ', '\r', '\n', '\t']) {
            at += 1;
            continue;
        }
        let len = length(rest).ok_or_else(|| stranger(rest, at))?;
        let span = at..at + len;
        let token = token(&text[span.clone()]).map_err(|text| Error::new(span.clone(), text))?;
        lexemes.push(Lexeme { token, span });
        at += len;
    }
    lexemes.push(Lexeme { token: Token::End, span: text.len()..text.len() });
    Ok(lexemes)
}

fn stranger(rest: &str, at: usize) -> Error {
    let character = rest.chars().next().unwrap_or_default();
    let span = at..at + character.len_utf8();
    let hint = match character {
        '"' | '\'' => "names stand without quotes; a name that is also a keyword goes behind \\",
        ',' | ';' => "join conditions with `and` or `or`",
        _ => {
            "an expression consists of words, numbers, addresses and signs, as in \
              `tcp port 80 and host 10.0.0.7`"
        }
    };
    Error::syntax(span, hint)
}

/// The length of the token that a text starts with.
fn length(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let sign = SIGNS.iter().find(|sign| rest.starts_with(sign.0)).map(|sign| sign.0.len());
    let sign = sign.or(rest.starts_with('=').then_some(1));
    [
        address::mac48(bytes),
        address::ipv6(bytes),
        address::broken_mac48(bytes),
        address::ipv4(bytes),
        address::number(bytes),
        word(bytes),
        escaped(rest),
        arcnet(bytes),
        sign,
    ]
    .into_iter()
    .flatten()
    .max()
}

/// Letters and digits; within the word also `-`, `_` and `.`, at its end also `.`.
fn word(bytes: &[u8]) -> Option<usize> {
    bytes.first().filter(|byte| byte.is_ascii_alphanumeric())?;
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let run = bytes.iter().take_while(|byte| inner(byte)).count();
    let last = bytes[1..run].iter().rposition(|&byte| byte.is_ascii_alphanumeric() || byte == b'.');
    Some(last.map_or(1, |last| last + 2))
}

/// `\` and anything up to a blank, `!` or a parenthesis.
fn escaped(rest: &str) -> Option<usize> {
    let name = rest.strip_prefix('\\')?;
    let len = name.find([' ', '!', '(', ')', '\n', '\t']).unwrap_or(name.len());
    (len > 0).then_some(1 + len)
}

fn arcnet(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.strip_prefix(b"$")?;
    let digits = digits.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
    (digits > 0).then_some(1 + digits)
}

/// What a text of exactly one token is.
fn token(text: &str) -> Result<Token, String> {
    let bytes = text.as_bytes();
    let all = Some(text.len());
    if let Some(keyword) = keyword::keyword(text) {
        return Ok(Token::Keyword(keyword));
    }
    match text {
        "&&" => return Ok(Token::Keyword(Keyword::And)),
        "||" => return Ok(Token::Keyword(Keyword::Or)),
        "!" => return Ok(Token::Keyword(Keyword::Not)),
        "=" | "==" => return Ok(Token::Sign("=")),
        _ => {}
    }
    if let Some(sign) = SIGNS.iter().find(|sign| sign.0 == text) {
        return Ok(Token::Sign(sign.1));
    }
    if let Some(digits) = text.strip_prefix('$') {
        let value = u8::from_str_radix(digits, 16);
        return value.map(Token::Mac8).map_err(|_| format!("invalid MAC-8 address '{text}'"));
    }
    if address::mac48(bytes) == all {
        let bytes = address::mac48_bytes(text);
        return bytes.map(Token::Mac48).ok_or_else(|| format!("invalid MAC-48 address '{text}'"));
    }
    if address::number(bytes) == all {
        return number(text).map(Token::Number).map_err(|error| number::message(text, error));
    }
    if address::ipv4(bytes) == all {
        return Ok(Token::Ipv4(text.into()));
    }
    if address::ipv6(bytes) == all {
        let address = text.parse().map_err(|_| format!("invalid IPv6 address {text}"))?;
        return Ok(Token::Ipv6(address, text.into()));
    }
    if address::broken_mac48(bytes) == all {
        return Err(format!("invalid Ethernet address {text}"));
    }
    if let Some(value) = keyword::constant(text) {
        return Ok(Token::Number(value));
    }
    Ok(Token::Id(text.strip_prefix('\\').unwrap_or(text).into()))
}
