//! The operands of directives: words, numbers and strings between commas.

/// What is wrong with a line, worded once, with the line's number from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    pub line: usize,
    pub reason: String,
}

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// An operand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Anything without quotes.
    Bare(String),
    /// The bytes of a string, without a NUL behind them.
    Quoted(Vec<u8>),
}

impl Word {
    /// The text of a word or of a string.
    ///
    /// # Errors
    /// A string that is no UTF-8.
    pub fn text(&self) -> Result<&str, String> {
        match self {
            Word::Bare(word) => Ok(word),
            Word::Quoted(bytes) => std::str::from_utf8(bytes).map_err(|error| error.to_string()),
        }
    }

    /// A string's bytes.
    ///
    /// # Errors
    /// It is a bare word.
    pub fn string(&self) -> Result<&[u8], String> {
        match self {
            Word::Quoted(bytes) => Ok(bytes),
            Word::Bare(word) => Err(format!("expected a string in quotes, found `{word}`")),
        }
    }

    /// A number of at most `bits` bits, signed or unsigned.
    ///
    /// # Errors
    /// It is none, or does not fit.
    pub fn number(&self, bits: u32) -> Result<u64, String> {
        let Word::Bare(word) = self else { return Err("expected a number".into()) };
        let value = number(word).ok_or_else(|| format!("expected a number, found `{word}`"))?;
        let (least, most) = (-(1i128 << (bits - 1)), (1i128 << bits) - 1);
        match (least..=most).contains(&value) {
            true => Ok(value as u64),
            false => Err(format!("{value} does not fit {bits} bits")),
        }
    }
}

/// `12`, `-12`, `0x1f`, `017`.
pub fn number(word: &str) -> Option<i128> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let value = match (hex, digits.strip_prefix('0').filter(|rest| !rest.is_empty())) {
        (Some(hex), _) => i128::from_str_radix(hex, 16).ok()?,
        (None, Some(octal)) => i128::from_str_radix(octal, 8).ok()?,
        (None, None) => digits.parse().ok()?,
    };
    Some(if negative { -value } else { value })
}

/// Splits operands at commas. `#` and `//` outside of strings start a comment.
///
/// # Errors
/// A string without end, an unknown escape, an operand that is missing.
pub fn split(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !ends(rest) {
        let (word, after) = match rest.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => bare(rest)?,
        };
        words.push(word);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) if ends(after.trim_start()) => {
                return Err("expected an operand behind the comma".into());
            }
            Some(after) => rest = after.trim_start(),
            None if ends(rest) => {}
            None => return Err(format!("expected a comma, found `{rest}`")),
        }
    }
    Ok(words)
}

/// Whether nothing but a comment is left.
fn ends(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('#') || rest.starts_with("//")
}

fn bare(rest: &str) -> Result<(Word, &str), String> {
    let end = rest.find([',', '#']).unwrap_or(rest.len());
    let end = rest.find("//").map_or(end, |comment| comment.min(end));
    let word = rest[..end].trim();
    match word.is_empty() {
        true => Err("expected an operand before the comma".into()),
        false => Ok((Word::Bare(word.into()), &rest[end..])),
    }
}

/// A string behind its first quote, with the escapes of the GNU assembler.
fn quoted(inside: &str) -> Result<(Word, &str), String> {
    let mut bytes = Vec::new();
    let mut characters = inside.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let escaped = match character {
            '"' => return Ok((Word::Quoted(bytes), &inside[at + 1..])),
            '\\' => characters.next().map(|next| next.1),
            other => {
                bytes.extend(other.encode_utf8(&mut [0; 4]).bytes());
                continue;
            }
        };
        match escaped {
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('r') => bytes.push(b'\r'),
            Some('b') => bytes.push(8),
            Some('f') => bytes.push(12),
            Some(same @ ('"' | '\\')) => bytes.push(same as u8),
            Some(digit @ '0'..='7') => {
                let mut value = digit.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(&(_, next @ '0'..='7')) = characters.peek() else { break };
                    value = value * 8 + next.to_digit(8).unwrap_or(0);
                    characters.next();
                }
                bytes.push(value as u8);
            }
            other => return Err(format!("unknown escape {other:?} in a string")),
        }
    }
    Err("a string without end".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_stand_between_commas() {
        let words = split(r#" .rodata, "a#\"b\0\101", 0x10 # remark"#).unwrap();
        assert_eq!(words[0], Word::Bare(".rodata".into()));
        assert_eq!(words[1], Word::Quoted(b"a#\"b\0A".to_vec()));
        assert_eq!(words[2].number(8), Ok(16));
        for (text, expected) in [
            ("a,", "expected an operand behind the comma"),
            (",a", "expected an operand before the comma"),
            ("\"a", "a string without end"),
            ("\"a\" b", "expected a comma, found `b`"),
        ] {
            assert_eq!(split(text), Err(expected.into()), "{text}");
        }
    }

    #[test]
    fn numbers_fit_signed_or_unsigned() {
        let number = |text: &str, bits| Word::Bare(text.into()).number(bits);
        assert_eq!(number("255", 8), Ok(255));
        assert_eq!(number("-128", 8), Ok(-128i64 as u64));
        assert_eq!(number("256", 8), Err("256 does not fit 8 bits".into()));
        assert_eq!(number("0xffffffffffffffff", 64), Ok(u64::MAX));
        assert_eq!(number("017", 8), Ok(15));
        assert_eq!(number("--1", 8), Err("expected a number, found `--1`".into()));
    }
}
