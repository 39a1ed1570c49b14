//! Bytes as hexadecimal text: `b7 00 00 00`, `0xb7,0x00`, `b7000000`.

/// Reads bytes; white space, commas and `0x` may stand between them.
///
/// # Errors
/// What is no hex digit, or an odd number of digits, with its place.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    for word in words {
        let digits = word.strip_prefix("0x").unwrap_or(word);
        if let Some(stranger) = digits.chars().find(|digit| !digit.is_ascii_hexdigit()) {
            return Err(format!("{stranger:?} in {word:?} is no hex digit"));
        }
        if digits.len() % 2 != 0 {
            return Err(format!("{word:?} has an odd number of hex digits"));
        }
        for pair in digits.as_bytes().chunks_exact(2) {
            let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
            bytes.push(digit(pair[0]) << 4 | digit(pair[1]));
        }
    }
    Ok(bytes)
}

/// `b7 00 00 00`.
pub fn spaced(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

/// `b7000000`.
pub fn plain(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_may_stand_in_any_grouping() {
        for text in ["b70a00ff", "b7 0a 00 ff", "0xb7,0x0a, 0x00ff\n", " B70A\t00FF "] {
            assert_eq!(parse(text), Ok(vec![0xb7, 0x0a, 0, 0xff]), "{text:?}");
        }
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(parse("b7 0"), Err("\"0\" has an odd number of hex digits".into()));
        assert_eq!(parse("r0 = 1"), Err("'r' in \"r0\" is no hex digit".into()));
        assert_eq!(spaced(&[1, 0xab]), "01 ab");
        assert_eq!(plain(&[1, 0xab]), "01ab");
    }
}
