//! What a document shows of an output, beside the output: word for word, but for what differs
//! from machine to machine.
//!
//! `...` stands for any lines, and at the end of a line for the rest of it. Times, addresses
//! of memory and the kernel's release are compared by their kind.

use std::fmt::Write;

/// What stands for what is left out.
const REST: &str = "...";

/// Compares; where nothing is shown, anything will do.
///
/// # Errors
/// The first line that is not there.
pub fn compare(shown: &[String], output: &str) -> Result<(), String> {
    let shown: Vec<String> = shown.iter().map(|line| plain(line)).collect();
    // Blank lines at the end separate nothing.
    let output: Vec<String> = output.trim_end().lines().map(plain).collect();
    match shown.is_empty() || matches(&shown, &output) {
        true => Ok(()),
        false => {
            let is_there = |line: &String| line == REST || output.iter().any(|of| is(line, of));
            Err(match shown.iter().find(|line| !is_there(line)) {
                Some(line) => format!("does not print {line:?}"),
                None => "prints its lines in another order, or more".into(),
            })
        }
    }
}

fn matches(shown: &[String], output: &[String]) -> bool {
    match shown.split_first() {
        None => output.is_empty(),
        Some((line, rest)) if line == REST => {
            (0..=output.len()).any(|skip| matches(rest, &output[skip..]))
        }
        Some((line, rest)) => output
            .split_first()
            .is_some_and(|(first, others)| is(line, first) && matches(rest, others)),
    }
}

fn is(shown: &str, line: &str) -> bool {
    match shown.strip_suffix(REST) {
        Some(start) => line.starts_with(start.trim_end()),
        None => shown == line,
    }
}

/// A line with one space between words, and words for what differs.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let separator = if at == 0 { "" } else { " " };
        at += 1;
        let is_number = |word: &str| word.trim_start_matches('(').parse::<f64>().is_ok();
        let after = words.get(at).map(|next| next.trim_end_matches([',', ')', ';', ':']));
        if is_number(word) && after.is_some_and(|unit| TIMES.contains(&unit)) {
            let _ = write!(out, "{separator}TIME");
            at += 1;
        } else if let Some(digits) = address(word) {
            let _ = write!(out, "{separator}{}", word.replace(digits, "ADDRESS"));
        } else if line.contains("this machine's (") && word.starts_with('(') {
            let _ = write!(out, "{separator}RELEASE");
        } else {
            let _ = write!(out, "{separator}{word}");
        }
    }
    out
}

/// Units of time.
const TIMES: [&str; 6] = ["ns", "us", "ms", "s", "ns/packet", "ns/packet,"];

/// An address of memory in a word: `0x7f...` of twelve digits.
fn address(word: &str) -> Option<&str> {
    let at = word.find("0x7")?;
    let digits = word[at + 2..].find(|c: char| !c.is_ascii_hexdigit());
    let end = digits.map_or(word.len(), |len| at + 2 + len);
    (end - at == 14).then(|| &word[at..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees(shown: &str, output: &str) -> bool {
        let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        compare(&shown, output).is_ok()
    }

    #[test]
    fn what_is_left_out_may_be_anything() {
        assert!(agrees("a\n...\nd", "a\nb\nc\nd\n"));
        assert!(agrees("a\n...", "a\n"));
        assert!(agrees("a b...", "a  bcd"));
        assert!(!agrees("a", "a\nb"));
        assert!(!agrees("...\nb\n...\na", "a\nb"));
    }

    #[test]
    fn times_addresses_and_releases_are_compared_by_their_kind() {
        assert!(agrees("took 1.5 ms, 3 lines", "took 22.1  ms, 3 lines"));
        assert!(!agrees("took 1.5 ms, 3 lines", "took 22.1 ms, 4 lines"));
        assert!(agrees("movabs $0x7f164fca4000, %rax", "movabs $0x7fffffca4000, %rax"));
        assert!(agrees("types: this machine's (6.1)", "types: this machine's (6.18.44-a)"));
    }
}
