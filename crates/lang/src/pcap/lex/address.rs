//! The spellings of addresses: longest prefixes of a text that are one.

/// Characters that an IPv6 address with all its digits takes, and some more.
const LONGEST: usize = 64;

/// The length of the longest prefix that is spelled as a MAC-48 address: six groups of one
/// or two hex digits between `:`, `-` or `.`, three groups of four between `.`, or twelve
/// digits.
pub fn mac48(text: &[u8]) -> Option<usize> {
    let six = [b':', b'-', b'.'].into_iter().filter_map(|by| groups(text, 6, 1, 2, by)).max();
    let three = groups(text, 3, 4, 4, b'.');
    let bare = (hex_digits(text) >= 12).then_some(12);
    six.max(three).max(bare)
}

/// `count` groups of so many hex digits, with a separator between them.
fn groups(text: &[u8], count: usize, least: usize, most: usize, by: u8) -> Option<usize> {
    let mut at = 0;
    for group in 0..count {
        let digits = hex_digits(&text[at..]).min(most);
        if digits < least {
            return None;
        }
        at += digits;
        if group + 1 < count {
            if text.get(at) != Some(&by) {
                return None;
            }
            at += 1;
        }
    }
    Some(at)
}

/// The bytes of a MAC-48 address in any of its spellings.
pub fn mac48_bytes(text: &str) -> Option<[u8; 6]> {
    let parts: Vec<&str> = text.split([':', '-', '.']).collect();
    let whole: String = match parts.len() {
        6 => parts.iter().map(|part| format!("{part:0>2}")).collect(),
        _ => parts.concat(),
    };
    let number = u64::from_str_radix(&whole, 16).ok()?;
    let [_, _, bytes @ ..] = number.to_be_bytes();
    (whole.len() == 12).then_some(bytes)
}

/// The length of the longest prefix that is spelled as an IPv6 address.
pub fn ipv6(text: &[u8]) -> Option<usize> {
    let run = text.iter().take(LONGEST).take_while(|&&byte| is_ipv6(byte)).count();
    let text = std::str::from_utf8(&text[..run]).ok()?;
    (2..=run).rev().find(|&len| looks_like_ipv6(&text[..len]))
}

fn is_ipv6(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
}

/// Whether groups and colons stand as in an address; numbers may still be too large.
fn looks_like_ipv6(text: &str) -> bool {
    let (groups, last) = match text.rsplit_once(':') {
        Some((_, last)) if last.contains('.') => (&text[..text.len() - last.len()], Some(last)),
        _ => (text, None),
    };
    if let Some(last) = last {
        let numbers: Vec<&str> = last.split('.').collect();
        let number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if numbers.len() != 4 || !numbers.iter().all(number) {
            return false;
        }
    }
    // A dotted quad stands for two groups.
    let room = if last.is_some() { 6 } else { 8 };
    let count = |side: &str| -> Option<usize> {
        if side.is_empty() {
            return Some(0);
        }
        let parts = side.split(':');
        let is_group = |part: &str| (1..=4).contains(&part.len()) && !part.contains('.');
        let parts: Vec<&str> = parts.collect();
        parts.iter().all(|part| is_group(part)).then_some(parts.len())
    };
    match groups.split_once("::") {
        Some((before, after)) => {
            let after =
                if last.is_some() { after.strip_suffix(':').unwrap_or(after) } else { after };
            match (count(before), count(after)) {
                (Some(before), Some(after)) => before + after < room,
                _ => false,
            }
        }
        None => {
            let groups =
                if last.is_some() { groups.strip_suffix(':').unwrap_or("") } else { groups };
            count(groups) == Some(room)
        }
    }
}

fn hex_digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count()
}

/// Groups of hex digits and colons that are neither address: `1:2:3:`.
pub fn broken_mac48(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut groups = 0;
    loop {
        let digits = hex_digits(&text[at..]).min(2);
        let colons = text[at + digits..].iter().take_while(|&&byte| byte == b':').count();
        if digits == 0 || colons == 0 {
            break;
        }
        at += digits + colons;
        groups += 1;
    }
    (groups >= 2).then_some(at)
}

/// The length of the longest prefix of two to four numbers with dots between them.
pub fn ipv4(text: &[u8]) -> Option<usize> {
    let mut at = number(text)?;
    let mut parts = 1;
    while parts < 4 && text.get(at) == Some(&b'.') {
        let Some(digits) = number(&text[at + 1..]) else { break };
        at += 1 + digits;
        parts += 1;
    }
    (parts > 1).then_some(at)
}

/// The length of the longest prefix that is a decimal or hexadecimal number.
pub fn number(text: &[u8]) -> Option<usize> {
    let decimal = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if text.starts_with(b"0x") || text.starts_with(b"0X") {
        let digits = hex_digits(&text[2..]);
        if digits > 0 {
            return Some(2 + digits);
        }
    }
    (decimal > 0).then_some(decimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_long_as_they_go() {
        for (text, len) in [
            ("::", 2),
            ("::1 and", 3),
            ("fe80::1/64", 7),
            ("1:2:3:4:5:6:7:8", 15),
            ("1:2:3:4:5:6:7::", 15),
            ("::ffff:1.2.3.4]", 14),
            ("1::2:3.4.5.6", 12),
        ] {
            assert_eq!(ipv6(text.as_bytes()), Some(len), "{text}");
        }
        for text in ["1:2", "0:1]", "1:2:3:4:5:6", "1", ":"] {
            assert_eq!(ipv6(text.as_bytes()), None, "{text}");
        }
        for (text, len) in [
            ("0:2:3:4:5:6", 11),
            ("00-11-22-33-44-55 x", 17),
            ("aabb.ccdd.eeff", 14),
            ("aabbccddeeff", 12),
            ("a.b.c.d.e.f", 11),
        ] {
            assert_eq!(mac48(text.as_bytes()), Some(len), "{text}");
        }
        assert_eq!(mac48(b"1:2:3"), None);
        assert_eq!(mac48_bytes("0:2:3:4:5:6"), Some([0, 2, 3, 4, 5, 6]));
        assert_eq!(mac48_bytes("aabb.ccdd.eeff"), Some([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]));
        assert_eq!(ipv4(b"10.1.2.3.4"), Some(8));
        assert_eq!(ipv4(b"10"), None);
    }
}
