//! Names with `*` and `?` for what is not said.

/// A pattern of names: `*` stands for any letters, `?` for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern of this text.
    pub fn new(text: impl Into<String>) -> Pattern {
        Pattern(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name is meant.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        // Where to go on after the last `*`, and with which part of the name.
        let (mut at, mut in_name, mut star) = (0, 0, None);
        while in_name < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    at += 1;
                    star = Some((at, in_name));
                }
                Some(b'?') => (at, in_name) = (at + 1, in_name + 1),
                Some(&letter) if letter == name[in_name] => (at, in_name) = (at + 1, in_name + 1),
                _ => {
                    let Some((after, from)) = star else { return false };
                    star = Some((after, from + 1));
                    (at, in_name) = (after, from + 1);
                }
            }
        }
        pattern[at..].iter().all(|&letter| letter == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn stars_stand_for_any_letters_and_question_marks_for_one() {
        let matches = |pattern: &str, name| Pattern::new(pattern).matches(name);
        for (pattern, name) in
            [("tcp_*", "tcp_"), ("*", ""), ("a*b*c", "axxbyybzc"), ("a?c", "abc")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("tcp_*", "udp_x"), ("", "a"), ("a*b", "abc"), ("a?c", "ac")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)), "and it ends soon");
    }
}
