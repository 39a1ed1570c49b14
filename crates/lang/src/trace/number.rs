//! Numbers as the language writes them: bases, `_`, exponents, and suffixes for types and
//! durations. Used for literals, attach points and parameters.

/// Why a text is no number. Shown it is the language's own message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NumberError {
    /// Too large for its type.
    #[error("overflow error, maximum value is {most}: {text}")]
    Overflow {
        /// The largest value.
        most: u64,
        /// The text.
        text: String,
    },
    /// Not a number.
    #[error("{why}: {text}")]
    Format {
        /// What is wrong.
        why: &'static str,
        /// The text.
        text: String,
    },
}

/// Largest value and factor of each suffix.
const SUFFIXES: [(&str, u64, u64); 13] = [
    ("", u64::MAX, 1),
    ("u", u32::MAX as u64, 1),
    ("ul", u64::MAX, 1),
    ("ull", u64::MAX, 1),
    ("l", i64::MAX as u64, 1),
    ("ll", i64::MAX as u64, 1),
    ("ns", u64::MAX, 1),
    ("us", u64::MAX, 1_000),
    ("ms", u64::MAX, 1_000_000),
    ("s", u64::MAX, 1_000_000_000),
    ("m", u64::MAX, 60_000_000_000),
    ("h", u64::MAX, 3_600_000_000_000),
    ("d", u64::MAX, 86_400_000_000_000),
];

/// The number that a text says, its base by its prefix.
pub fn unsigned(text: &str) -> Result<u64, NumberError> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let lower = digits.to_ascii_lowercase();
    if let Some(rest) = lower.strip_prefix("0x") {
        return of_base(text, &digits[digits.len() - rest.len()..], 16);
    }
    if let Some(rest) = lower.strip_prefix("0b") {
        return of_base(text, &digits[digits.len() - rest.len()..], 2);
    }
    let second = digits.as_bytes().get(1);
    if digits.starts_with('0') && second.is_some_and(|b| (b'0'..=b'7').contains(b)) {
        return of_base(text, &digits[1..], 8);
    }
    of_base(text, &digits, 10)
}

/// The number that a text says, which may begin with `-`.
pub fn signed(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(rest) => {
            let value = unsigned(rest).ok()?;
            (value <= i64::MAX as u64 + 1).then(|| (value as i64).wrapping_neg())
        }
        None => i64::try_from(unsigned(text).ok()?).ok(),
    }
}

fn of_base(whole: &str, digits: &str, base: u32) -> Result<u64, NumberError> {
    let format = |why| NumberError::Format { why, text: whole.to_owned() };
    let overflow = |most| NumberError::Overflow { most, text: whole.to_owned() };
    let digits = digits.trim_start();
    let length = digits.chars().take_while(|c| c.is_digit(base)).count();
    if length == 0 {
        return Err(format("invalid integer"));
    }
    let mut value = u64::from_str_radix(&digits[..length], base).map_err(|_| overflow(u64::MAX))?;
    let mut rest = &digits[length..];
    let exponent = rest.strip_prefix(['e', 'E']);
    if let Some(power) = exponent.filter(|p| p.starts_with(|c| ('1'..='9').contains(&c))) {
        if value == 0 || value >= 10 {
            return Err(format("coefficient part of scientific literal must be 1-9"));
        }
        let length = power.chars().take_while(char::is_ascii_digit).count();
        let power_value = power[..length].parse::<u32>().unwrap_or(u32::MAX);
        value = 10u64
            .checked_pow(power_value)
            .and_then(|factor| value.checked_mul(factor))
            .ok_or_else(|| overflow(u64::MAX))?;
        rest = &power[length..];
    }
    let Some((_, most, factor)) = SUFFIXES.iter().find(|(suffix, ..)| *suffix == rest) else {
        return Err(format("invalid trailing bytes"));
    };
    if value > most / factor {
        return Err(overflow(*most));
    }
    Ok(value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_forms() {
        for (text, value) in [
            ("0x1_0", 16),
            ("0b101", 5),
            ("017", 15),
            ("1_000", 1000),
            ("2e3", 2000),
            ("1m", 60_000_000_000),
            ("7ull", 7),
        ] {
            assert_eq!(unsigned(text), Ok(value), "{text}");
        }
        assert_eq!(signed("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(
            unsigned("1e21").unwrap_err().to_string(),
            "overflow error, maximum value is 18446744073709551615: 1e21"
        );
        assert_eq!(unsigned("1b").unwrap_err().to_string(), "invalid trailing bytes: 1b");
    }
}
