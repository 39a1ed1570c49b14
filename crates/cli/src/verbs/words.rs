//! Words of a verb, one after the other. As in bpftool, each may be cut short as long as it
//! is known by its start: `p s` is `prog show`.

use crate::failure::Failure;

/// The words that are left.
pub struct Words<'a> {
    left: &'a [String],
}

impl<'a> Words<'a> {
    pub fn new(left: &'a [String]) -> Words<'a> {
        Words { left }
    }

    /// The next one.
    pub fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.left.split_first()?;
        self.left = rest;
        Some(first)
    }

    /// The next one, which stays.
    pub fn peek(&self) -> Option<&'a str> {
        self.left.first().map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next one, if it is this word or its start.
    pub fn take(&mut self, word: &str) -> bool {
        let is_it = self.peek().is_some_and(|next| is_prefix(next, word));
        if is_it {
            self.left = &self.left[1..];
        }
        is_it
    }

    /// The next one, which has to be there.
    ///
    /// # Errors
    /// There is none.
    pub fn want(&mut self, what: &str) -> Result<&'a str, Failure> {
        self.next().ok_or_else(|| Failure::unusable(format!("{what} is missing")))
    }

    /// A number, in decimal or after `0x`.
    ///
    /// # Errors
    /// There is none.
    pub fn number(&mut self, what: &str) -> Result<u32, Failure> {
        let word = self.want(what)?;
        number(word).ok_or_else(|| Failure::unusable(format!("{what}: {word:?} is no number")))
    }

    /// No word may be left.
    ///
    /// # Errors
    /// One is.
    pub fn end(&self) -> Result<(), Failure> {
        match self.peek() {
            None => Ok(()),
            Some(word) => Err(Failure::unusable(format!("there is no place for {word:?}"))),
        }
    }
}

/// Whether a word is the start of another.
pub fn is_prefix(word: &str, of: &str) -> bool {
    !word.is_empty() && of.starts_with(word)
}

/// `10`, `0x0a`, `012`, as strtoul(3) reads them.
pub fn number(text: &str) -> Option<u32> {
    match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(digits), _) => u32::from_str_radix(digits, 16).ok(),
        (None, Some(digits)) if !digits.is_empty() => u32::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_be_cut_short() {
        let list: Vec<String> = ["sh", "id", "0x10"].map(String::from).to_vec();
        let mut words = Words::new(&list);
        assert!(words.take("show") && !words.take("name") && words.take("id"));
        assert_eq!(words.number("the id").ok(), Some(16));
        assert!(words.end().is_ok() && words.want("more").is_err());
        assert_eq!((number("010"), number("0"), number("x")), (Some(8), Some(0), None));
    }
}
