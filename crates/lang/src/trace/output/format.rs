//! `printf`: values put into a format.
//!
//! Conversions are C's for integers, text and characters, with the length modifiers that cut a
//! number before it is printed, and `%r`, `%rx`, `%rh` for bytes, `%gr` for the flags of an
//! allocation in the kernel. Widths and flags are C's. A value that does not fit its conversion
//! is printed as `!{reason}`.

use super::super::checked::{Conversion, Format, Piece};
use super::gfp;
use super::text::{Bytes, to_text, write_buffer};
use super::value::Value;

/// The text that a format and these values make.
pub fn format(format: &Format, values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut values = values.iter();
    for piece in &format.pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Conversion(of) => match values.next().map(|value| convert(of, value)) {
                Some(Ok(text)) => out.extend(text),
                Some(Err(reason)) => {
                    out.extend_from_slice(b"!{");
                    out.extend(reason);
                    out.push(b'}');
                }
                None => out.extend_from_slice(b"!{missing}"),
            },
        }
    }
    out
}

/// The widest field that is printed: a format cannot have skep print for ever.
const MAX_WIDTH: usize = 1 << 16;

fn has(of: &Conversion, flag: char) -> bool {
    of.flags.contains(flag)
}

fn precision(of: &Conversion) -> Option<usize> {
    of.precision.map(|digits| (digits as usize).min(MAX_WIDTH))
}

fn convert(of: &Conversion, value: &Value) -> Result<Vec<u8>, Vec<u8>> {
    let text = match (&of.letter[..], value) {
        ("r", Value::Buffer(bytes)) => bytes_as(bytes, Bytes::Plain),
        ("rx", Value::Buffer(bytes)) => bytes_as(bytes, Bytes::Escaped),
        ("rh", Value::Buffer(bytes)) => bytes_as(bytes, Bytes::Spaced),
        ("s" | "r" | "rx" | "rh" | "B", value) => {
            let mut text = to_text(value);
            text.truncate(precision(of).unwrap_or(usize::MAX));
            text
        }
        (letter, value) => {
            let Some(number) = value.number() else {
                let what = if letter == "gr" { "GFP flags" } else { "integer" };
                let mut reason = format!("invalid {what} conversion: ").into_bytes();
                reason.extend(to_text(value));
                return Err(reason);
            };
            return Ok(convert_number(of, number));
        }
    };
    Ok(padded(of, text))
}

fn convert_number(of: &Conversion, number: i128) -> Vec<u8> {
    let bits = match &of.length[..] {
        "hh" => 8,
        "h" => 16,
        "" if !matches!(&of.letter[..], "p" | "gr") => 32,
        _ => 64,
    };
    let unsigned = (number as u64) & (u64::MAX >> (64 - bits));
    let signed = (unsigned << (64 - bits)).cast_signed() >> (64 - bits);
    let base = |prefix: &'static str| if has(of, '#') && unsigned != 0 { prefix } else { "" };
    let (prefix, digits) = match &of.letter[..] {
        "d" | "i" if signed < 0 => ("-", signed.unsigned_abs().to_string()),
        "d" | "i" if has(of, '+') => ("+", signed.to_string()),
        "d" | "i" if has(of, ' ') => (" ", signed.to_string()),
        "d" | "i" => ("", signed.to_string()),
        "c" => return padded(of, vec![number as u8]),
        "gr" => return padded(of, gfp::names(number as u64).into_bytes()),
        "o" => (base("0"), format!("{unsigned:o}")),
        "x" => (base("0x"), format!("{unsigned:x}")),
        "X" => (base("0X"), format!("{unsigned:X}")),
        "p" => ("0x", format!("{unsigned:x}")),
        _ => ("", unsigned.to_string()),
    };
    let digits = format!("{digits:0>least$}", least = precision(of).unwrap_or(0));
    let zeros = has(of, '0') && !has(of, '-') && of.precision.is_none();
    let missing = width(of).saturating_sub(prefix.len() + digits.len());
    let filled = if zeros { "0".repeat(missing) } else { String::new() };
    padded(of, format!("{prefix}{filled}{digits}").into_bytes())
}

fn width(of: &Conversion) -> usize {
    of.width.map_or(0, |width| (width as usize).min(MAX_WIDTH))
}

/// Fills a field up with spaces. Bytes are counted, as C does.
fn padded(of: &Conversion, mut text: Vec<u8>) -> Vec<u8> {
    let fill = std::iter::repeat_n(b' ', width(of).saturating_sub(text.len()));
    match has(of, '-') {
        true => text.extend(fill),
        false => drop(text.splice(0..0, fill)),
    }
    text
}

fn bytes_as(bytes: &[u8], how: Bytes) -> Vec<u8> {
    let mut text = Vec::new();
    // Writing into memory does not fail.
    let _ = write_buffer(&mut text, bytes, how);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A format of conversions without `%%`, cut as the checker cuts it.
    fn cut(text: &str) -> Format {
        let mut pieces = Vec::new();
        let mut parts = text.split('%');
        pieces.push(Piece::Text(parts.next().unwrap().into()));
        for part in parts {
            let rest = part.trim_start_matches(['-', '+', ' ', '#', '0']);
            let flags = part[..part.len() - rest.len()].to_owned();
            let digits = |rest: &str| {
                rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len()
            };
            let (width, rest) = rest.split_at(digits(rest));
            let (precision, rest) = match rest.strip_prefix('.') {
                Some(rest) => rest.split_at(digits(rest)),
                None => ("", rest),
            };
            let (length, rest) =
                rest.split_at(rest.len() - rest.trim_start_matches(['h', 'l', 'j']).len());
            let long = ["rx", "rh", "gr"].into_iter().find(|letter| rest.starts_with(letter));
            let letter = long.unwrap_or(&rest[..1]).to_owned();
            let text = rest[letter.len()..].into();
            let (width, precision) = (width.parse().ok(), precision.parse().ok());
            let length = length.to_owned();
            pieces.push(Piece::Conversion(Conversion { flags, width, precision, length, letter }));
            pieces.push(Piece::Text(text));
        }
        Format { pieces }
    }

    fn print(text: &str, values: &[Value]) -> String {
        String::from_utf8_lossy(&format(&cut(text), values)).into_owned()
    }

    #[test]
    fn flags_and_widths_are_those_of_c() {
        let cases = [
            ("%5s|%-5s|", vec![Value::text("ba"), Value::text("ba")], "   ba|ba   |"),
            ("%04x %#x %X", vec![Value::Int(2), Value::Int(255), Value::Int(255)], "0002 0xff FF"),
            ("%+d % d %05d", vec![Value::Int(1), Value::Int(2), Value::Int(-3)], "+1  2 -0003"),
            ("%.2s %.3d", vec![Value::text("abc"), Value::Int(7)], "ab 007"),
            ("%c%c", vec![Value::Int(0x41), Value::Int(0x42)], "AB"),
        ];
        for (format, values, expected) in cases {
            assert_eq!(print(format, &values), expected, "{format}");
        }
    }

    #[test]
    fn lengths_cut_numbers() {
        let x = Value::Uint(0x0012_3456_78ab_cdef);
        let all = [x.clone(), x.clone(), x.clone(), x];
        assert_eq!(print("%hhx %hx %x %jx", &all), "ef cdef 78abcdef 12345678abcdef");
        assert_eq!(
            print("%d %ld", &[Value::Int(-1), Value::Int(i64::MIN)]),
            format!("-1 {}", i64::MIN)
        );
        assert_eq!(
            print("%u %lu", &[Value::Int(-1), Value::Int(-1)]),
            format!("{} {}", u32::MAX, u64::MAX)
        );
        assert_eq!(print("%p", &[Value::Uint(0xffff_8881_0000_0000)]), "0xffff888100000000");
    }

    #[test]
    fn names_and_bytes_have_their_own() {
        let symbol = Value::Symbol { text: b"ONE".to_vec(), number: 1 };
        assert_eq!(print("%d %s %-5s|", &[symbol.clone(), symbol.clone(), symbol]), "1 ONE ONE  |");
        let bytes = Value::Buffer(b"Hi\0".to_vec());
        let all = [bytes.clone(), bytes.clone(), bytes];
        assert_eq!(print("%r %rx %rh", &all), "Hi\\x00 \\x48\\x69\\x00 48 69 00");
    }

    #[test]
    fn what_does_not_fit_says_so() {
        let text = print("%d", &[Value::text("x")]);
        assert_eq!(text, "!{invalid integer conversion: x}");
    }
}
