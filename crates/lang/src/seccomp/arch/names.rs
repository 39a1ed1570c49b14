//! Names in expressions: of the arguments of calls, as Linux's sources have them
//! (`arguments.txt`), and of the constants that are passed (`constants.txt`, with the
//! values of x86-64, which most machines share).

use std::sync::OnceLock;

use rustc_hash::FxHashMap;

const ARGUMENTS: &str = include_str!("arguments.txt");
const CONSTANTS: &str = include_str!("constants.txt");

/// The names of a call's arguments; `-` for one without.
pub fn arguments(call: &str) -> &'static [&'static str] {
    static TABLE: OnceLock<FxHashMap<&'static str, Vec<&'static str>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let row = |line: &'static str| {
            let (call, rest) = line.split_once(' ')?;
            Some((call, rest.split(' ').collect()))
        };
        ARGUMENTS.lines().filter_map(row).collect()
    });
    table.get(call).map_or(&[], Vec::as_slice)
}

/// Which argument of a call has a name: its own, or `arg0` to `arg5`.
pub fn argument(call: &str, name: &str) -> Option<u8> {
    let names = arguments(call);
    if let Some(index) = names.iter().position(|of| *of == name && *of != "-") {
        return u8::try_from(index).ok();
    }
    let index: u8 = name.strip_prefix("arg").or(name.strip_prefix('a'))?.parse().ok()?;
    (index < 6 && name.len() <= 4).then_some(index)
}

/// The value of a constant: `AF_UNIX`, `PROT_EXEC`.
pub fn constant(name: &str) -> Option<u64> {
    static TABLE: OnceLock<FxHashMap<&'static str, u64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let row = |line: &'static str| {
            let (name, value) = line.split_once(" 0x")?;
            Some((name, u64::from_str_radix(value, 16).ok()?))
        };
        CONSTANTS.lines().filter_map(row).collect()
    });
    table.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_the_names_of_the_sources() {
        assert_eq!(argument("mmap", "prot"), Some(2));
        assert_eq!(argument("socket", "family"), Some(0));
        assert_eq!(argument("prctl", "arg2"), Some(2));
        assert_eq!(argument("prctl", "option"), Some(0));
        assert_eq!(argument("read", "arg6"), None);
        assert_eq!(argument("read", "-"), None);
        assert_eq!(constant("PROT_EXEC"), Some(4));
        assert_eq!(constant("PROT_FLY"), None);
    }
}
