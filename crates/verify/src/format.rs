//! Format strings of `bpf_snprintf` and its siblings. Counterpart:
//! `bpf_bprintf_prepare` in `kernel/bpf/helpers.c`.

/// Whether a format string is one, and takes no more arguments than there are.
pub(crate) fn is_valid(format: &[u8], arguments: usize) -> bool {
    let mut used = 0;
    let mut at = 0;
    let next = |at: usize| format.get(at).copied().unwrap_or(0);
    while at < format.len() {
        let byte = format[at];
        if byte >= 0x80 || (!byte.is_ascii_graphic() && !byte.is_ascii_whitespace()) {
            return false;
        }
        at += 1;
        if byte != b'%' {
            continue;
        }
        if next(at) == b'%' {
            at += 1;
            continue;
        }
        if used >= arguments {
            return false;
        }
        while matches!(next(at), b'0' | b'+' | b'-' | b' ') {
            at += 1;
        }
        if (b'1'..=b'9').contains(&next(at)) {
            while next(at).is_ascii_digit() {
                at += 1;
            }
        }
        match next(at) {
            b'p' => {
                let after = next(at + 1);
                let kind = [after, next(at + 2)];
                at += match kind {
                    [0, _] => 1,
                    [other, _] if other.is_ascii_whitespace() || other.is_ascii_punctuation() => 1,
                    [b'k' | b'u', b's'] => 3,
                    [b'K' | b'x' | b's' | b'S' | b'B', _] => 2,
                    [b'i' | b'I', b'4' | b'6'] => 3,
                    _ => return false,
                };
            }
            b's' | b'c' => at += 1,
            _ => {
                if next(at) == b'l' {
                    at += 1;
                    if next(at) == b'l' {
                        at += 1;
                    }
                }
                if !matches!(next(at), b'i' | b'd' | b'u' | b'x' | b'X') {
                    return false;
                }
                at += 1;
            }
        }
        used += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn conversions_count_their_arguments() {
        assert!(is_valid(b"%d %s %llx %%", 3));
        assert!(!is_valid(b"%d", 0));
        assert!(is_valid(b"%d", 2));
        assert!(!is_valid(b"%e", 1));
        assert!(is_valid(b"%pI4 %ps", 2));
        assert!(is_valid(b"%pK %px %p % 9c", 4));
        assert!(!is_valid(b"%pk", 1));
    }
}
