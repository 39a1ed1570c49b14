//! Formats of `printf` and its like: text and conversions, and which types go with which.

use super::checked::{Conversion, Format, Piece};
use super::kind::{Kind, Type};
use super::names;
use super::records::Records;

/// Letters of conversions, longer ones before their beginnings.
const LETTERS: [&str; 25] = [
    "gr", "rh", "rx", "d", "i", "o", "u", "x", "X", "e", "E", "f", "F", "g", "G", "a", "A", "c",
    "s", "p", "n", "%", "r", "B", "b",
];

/// Takes a format apart. What begins with `%` and is no conversion is text.
pub fn parse(bytes: &[u8]) -> Format {
    let mut pieces = Vec::new();
    let mut text = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%'
            && let Some((conversion, length)) = conversion(&bytes[at..])
        {
            at += length;
            if conversion.letter == "%" {
                text.push(b'%');
                continue;
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Conversion(conversion));
            continue;
        }
        text.push(bytes[at]);
        at += 1;
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Format { pieces }
}

/// A conversion and its length; flags stand in one order.
fn conversion(bytes: &[u8]) -> Option<(Conversion, usize)> {
    let mut at = 1;
    let mut made = Conversion::default();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    for flag in b"-+ #0" {
        if byte(at) == *flag {
            made.flags.push(char::from(*flag));
            at += 1;
        }
    }
    let number = |at: &mut usize| {
        if byte(*at) == b'*' {
            *at += 1;
            return None;
        }
        let from = *at;
        while byte(*at).is_ascii_digit() {
            *at += 1;
        }
        let digits = std::str::from_utf8(&bytes[from..*at]).ok()?;
        digits.parse::<u32>().ok()
    };
    made.width = number(&mut at);
    if byte(at) == b'.' && (byte(at + 1) == b'*' || byte(at + 1).is_ascii_digit()) {
        at += 1;
        made.precision = number(&mut at);
    }
    while b"hlLjzt".contains(&byte(at)) && byte(at) != 0 {
        made.length.push(char::from(byte(at)));
        at += 1;
    }
    let letter = LETTERS
        .iter()
        .take(23)
        .find(|letter| bytes[at.min(bytes.len())..].starts_with(letter.as_bytes()))?;
    made.letter = (*letter).to_owned();
    Some((made, at + letter.len()))
}

/// The conversions of a format.
pub fn conversions(format: &Format) -> Vec<&Conversion> {
    format
        .pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Conversion(conversion) => Some(conversion),
            Piece::Text(_) => None,
        })
        .collect()
}

/// Why arguments do not go with a format.
pub fn mismatch(format: &Format, arguments: &[Type], records: &Records) -> Option<String> {
    let conversions = conversions(format);
    let (given, wanted) = (arguments.len(), conversions.len());
    if given != wanted {
        let how = if given < wanted { "not enough" } else { "too many" };
        return Some(format!(
            "{how} arguments for format string ({given} supplied, {wanted} expected)"
        ));
    }
    conversions
        .iter()
        .zip(arguments)
        .find_map(|(conversion, of)| wrong(&conversion.letter, of, records))
}

fn wrong(letter: &str, of: &Type, records: &Records) -> Option<String> {
    if matches!(of.kind, Kind::None | Kind::Void) {
        return Some(format!("unable to print none type for specifier: {letter}"));
    }
    let fits = match letter {
        "d" | "i" | "u" | "o" | "x" | "X" | "c" | "p" | "gr" => {
            of.is_int() || of.is_pointer() || of.kind == Kind::Bool
        }
        "r" | "rx" | "rh" => matches!(of.kind, Kind::Buffer(_)),
        "s" => true,
        _ => return Some(format!("unsupported format specifier: {letter}")),
    };
    (!fits).then(|| {
        format!("unsupported format specifier for type '{}': {letter}", names::full(of, records))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_formats() {
        let format = parse(b"a%-10lld%%b%rh%5.2s%q");
        let letters: Vec<_> = conversions(&format)
            .into_iter()
            .map(|one| (&*one.letter, one.width, &*one.length))
            .collect();
        assert_eq!(letters, [("d", Some(10), "ll"), ("rh", None, ""), ("s", Some(5), "")]);
        assert_eq!(format.pieces.len(), 6);
    }
}
