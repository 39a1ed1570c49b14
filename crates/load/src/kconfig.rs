//! The kernel's configuration: its text, and values of it put into variables.
//!
//! Counterparts: libbpf's `bpf_object__process_kconfig_line` and `set_kcfg_value_*`.

use miniz_oxide::inflate::decompress_to_vec_with_limit;
use rustc_hash::FxHashMap;

use crate::object::KconfigType;

/// The longest text that a compressed configuration may unfold to.
const MAX_TEXT: usize = 16 << 20;

/// `CONFIG_` names and what stands behind their `=`.
pub(crate) struct Kconfig<'a> {
    given: FxHashMap<&'a str, &'a str>,
    machine: Option<FxHashMap<&'a str, &'a str>>,
}

impl<'a> Kconfig<'a> {
    /// Lines that are given, and the machine's text, which they go before.
    pub fn new(given: &'a str, machine: Option<&'a str>) -> Kconfig<'a> {
        Kconfig { given: settings(given), machine: machine.map(settings) }
    }

    /// The value of a name, as text.
    pub fn find(&self, name: &str) -> Option<&'a str> {
        let machine = || self.machine.as_ref()?.get(name);
        self.given.get(name).or_else(machine).copied()
    }

    /// Whether the machine has told its configuration.
    pub fn is_known(&self) -> bool {
        self.machine.is_some()
    }
}

/// The lines that set something; the first of several for a name counts.
fn settings(text: &str) -> FxHashMap<&str, &str> {
    let mut settings = FxHashMap::default();
    for line in text.lines() {
        if let Some((name, value)) = line.split_once('=')
            && name.starts_with("CONFIG_")
            && !value.is_empty()
        {
            settings.entry(name).or_insert(value);
        }
    }
    settings
}

/// The text of a configuration that is plain or compressed by gzip; `None` where it
/// is neither or unfolds without end.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let plain = match bytes {
        [0x1f, 0x8b, 8, flags, ..] => {
            let body = gzip_body(bytes, *flags)?;
            decompress_to_vec_with_limit(body, MAX_TEXT).ok()?
        }
        _ => bytes.to_vec(),
    };
    String::from_utf8(plain).ok()
}

/// What follows the header of a gzip file (RFC 1952, section 2.3).
fn gzip_body(bytes: &[u8], flags: u8) -> Option<&[u8]> {
    let string = |bytes: &'_ [u8]| bytes.iter().position(|&byte| byte == 0).map(|end| end + 1);
    let mut at = 10;
    if flags & 4 != 0 {
        let len = bytes.get(at..)?.first_chunk::<2>()?;
        at += 2 + usize::from(u16::from_le_bytes(*len));
    }
    for has_text in [flags & 8 != 0, flags & 16 != 0] {
        if has_text {
            at += string(bytes.get(at..)?)?;
        }
    }
    bytes.get(at + if flags & 2 != 0 { 2 } else { 0 }..)
}

/// The bytes of a variable for a value of the configuration.
///
/// # Errors
/// Why the value does not fit, in words.
pub(crate) fn encode(text: &str, kind: KconfigType, size: usize) -> Result<Vec<u8>, String> {
    match (text.as_bytes(), kind) {
        ([b'y' | b'n' | b'm', ..], _) => encode_tristate(text, kind, size),
        ([b'"', ..], KconfigType::CharArray) => {
            let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            let content = quoted.ok_or_else(|| format!("{text} has no end"))?.as_bytes();
            let mut bytes = content[..content.len().min(size.saturating_sub(1))].to_vec();
            bytes.resize(size, 0);
            Ok(bytes)
        }
        ([b'"', ..], _) => Err(format!("{text} should be in an array of char")),
        (_, KconfigType::Int { .. } | KconfigType::Char { .. }) => {
            let value = number(text).ok_or_else(|| format!("{text} is no number"))?;
            encode_number(value, kind, size)
        }
        _ => Err(format!("{text} should be in an integer")),
    }
}

fn encode_tristate(text: &str, kind: KconfigType, size: usize) -> Result<Vec<u8>, String> {
    let letter = text.as_bytes()[0];
    let value = match (kind, letter) {
        (KconfigType::Bool, b'm') => {
            return Err(format!("{text} should be in an enum libbpf_tristate or a char"));
        }
        (KconfigType::Bool, _) => u64::from(letter == b'y'),
        // TRI_NO, TRI_YES, TRI_MODULE.
        (KconfigType::Tristate, b'y') => 1,
        (KconfigType::Tristate, b'm') => 2,
        (KconfigType::Tristate, _) => 0,
        (KconfigType::Char { .. }, _) => letter.into(),
        _ => {
            return Err(format!("{text} should be in a bool, a char or an enum libbpf_tristate"));
        }
    };
    Ok(cut(value, size))
}

/// The bytes of a variable for a number.
///
/// # Errors
/// Why the number does not fit, in words.
pub(crate) fn encode_number(value: u64, kind: KconfigType, size: usize) -> Result<Vec<u8>, String> {
    let bits = 8 * size as u32;
    let fits = match kind {
        KconfigType::Bool => value <= 1,
        KconfigType::Int { signed: true } | KconfigType::Char { signed: true } if bits < 64 => {
            value.wrapping_add(1 << (bits - 1)) < 1 << bits
        }
        KconfigType::Int { .. } | KconfigType::Char { .. } => bits >= 64 || value >> bits == 0,
        KconfigType::Tristate | KconfigType::CharArray => {
            return Err(format!("{value} should be in an integer"));
        }
    };
    match fits {
        true => Ok(cut(value, size)),
        false => Err(format!("{value} does not fit in {size} bytes")),
    }
}

fn cut(value: u64, size: usize) -> Vec<u8> {
    let mut bytes = value.to_le_bytes().to_vec();
    bytes.resize(size, 0);
    bytes
}

/// A number as C's `strtoull` reads one.
fn number(text: &str) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(&digits[1..], 8),
        None => digits.parse(),
    };
    let value = value.ok()?;
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_the_shape_of_their_variable() {
        assert_eq!(encode("y", KconfigType::Bool, 1), Ok(vec![1]));
        assert_eq!(encode("m", KconfigType::Tristate, 4), Ok(vec![2, 0, 0, 0]));
        assert_eq!(encode("m", KconfigType::Char { signed: true }, 1), Ok(vec![b'm']));
        assert_eq!(encode("\"(none)\"", KconfigType::CharArray, 4), Ok(b"(no\0".to_vec()));
        assert_eq!(encode("0x10", KconfigType::Int { signed: false }, 2), Ok(vec![16, 0]));
        assert_eq!(encode("-1", KconfigType::Int { signed: true }, 2), Ok(vec![255, 255]));
        assert!(encode("-1", KconfigType::Int { signed: false }, 2).is_err());
        assert!(encode("m", KconfigType::Bool, 1).is_err());
        assert!(encode("70000", KconfigType::Int { signed: false }, 2).is_err());
    }

    #[test]
    fn what_is_given_goes_before_what_the_machine_has() {
        let config = Kconfig::new("CONFIG_A=n\n", Some("CONFIG_A=y\nCONFIG_B=3\n"));
        assert_eq!(config.find("CONFIG_A"), Some("n"));
        assert_eq!(config.find("CONFIG_B"), Some("3"));
        assert_eq!(config.find("CONFIG_C"), None);
    }

    #[test]
    fn a_compressed_configuration_is_unfolded_within_bounds() {
        let deflated = miniz_oxide::deflate::compress_to_vec(b"CONFIG_A=y\n", 6);
        let mut gzip = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
        gzip.extend(b"config\0");
        gzip.extend(&deflated);
        assert_eq!(text(&gzip).as_deref(), Some("CONFIG_A=y\n"));
        assert_eq!(text(&gzip[..12]), None);

        let bomb = miniz_oxide::deflate::compress_to_vec(&vec![b'\n'; MAX_TEXT + 1], 6);
        let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        gzip.extend(&bomb);
        assert_eq!(text(&gzip), None);
    }
}
