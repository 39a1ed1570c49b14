//! Numbers: decimal, octal after `0`, hexadecimal after `0x`, of 32 bits.

/// Why a text is no number of 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberError {
    /// It has a character that is no digit of its base, which is named.
    Digit(&'static str),
    /// It does not fit; its base.
    Large(&'static str),
}

/// Reads a number.
///
/// # Errors
/// Not all are digits, or there are too many.
pub fn number(text: &str) -> Result<u32, NumberError> {
    let (digits, base, name) = match text.strip_prefix('0') {
        Some(rest) => match rest.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16, "hexadecimal"),
            None => (rest, 8, "octal"),
        },
        None => (text, 10, "decimal"),
    };
    let digit = if base == 16 { "hex" } else { name };
    let mut value = 0u32;
    for character in digits.chars() {
        let next = character.to_digit(base).ok_or(NumberError::Digit(digit))?;
        let grown = value.checked_mul(base).and_then(|value| value.checked_add(next));
        value = grown.ok_or(NumberError::Large(name))?;
    }
    Ok(value)
}

/// libpcap's words for it.
pub fn message(text: &str, error: NumberError) -> String {
    match error {
        NumberError::Digit(base) => format!("number {text} contains non-{base} digit"),
        NumberError::Large(base) => format!("{base} number {text} overflows 32 bits"),
    }
}
