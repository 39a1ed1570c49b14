//! Lines that begin with `#`: definitions of words, conditions, and files to include.
//!
//! Expansion is that of C for words without parameters, and for macros with parameters in
//! declarations; bounded in depth, in files and in words.

use std::collections::{HashMap, HashSet};

use super::lex::{Token, tokens};
use crate::trace::number;

/// Where included files come from.
pub trait Headers {
    /// The file's text: `<name>`, or `"name"` where `local`.
    fn read(&self, name: &str, local: bool) -> Option<String>;
}

/// No files.
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn read(&self, _name: &str, _local: bool) -> Option<String> {
        None
    }
}

/// Files include each other at most so deep.
const DEEPEST: u32 = 40;

/// At most so many files.
const MOST_FILES: u32 = 1000;

/// At most so many words and signs come out.
const MOST_TOKENS: usize = 2_000_000;

/// Words expand at most so often in one place.
const MOST_EXPANSIONS: u32 = 200;

/// What is left after preprocessing.
#[derive(Clone, Debug, Default)]
pub struct Preprocessed {
    /// Declarations.
    pub tokens: Vec<Token>,
    /// Words that stand for others, with what they stand for; without parameters.
    pub macros: HashMap<String, Vec<Token>>,
    /// Files that the text itself includes and that were not found.
    pub missing: Vec<String>,
}

#[derive(Clone)]
struct Macro {
    parameters: Option<Vec<String>>,
    body: Vec<Token>,
}

struct State<'a> {
    headers: &'a dyn Headers,
    macros: HashMap<String, Macro>,
    out: Vec<Token>,
    missing: Vec<String>,
    once: HashSet<String>,
    files: u32,
}

/// Runs over a text. `defined` are words that are defined beforehand.
pub fn preprocess(text: &str, defined: &[(&str, &str)], headers: &dyn Headers) -> Preprocessed {
    let mut state = State {
        headers,
        macros: HashMap::new(),
        out: Vec::new(),
        missing: Vec::new(),
        once: HashSet::new(),
        files: 0,
    };
    for (word, body) in defined {
        let made = Macro { parameters: None, body: tokens(body) };
        state.macros.insert((*word).to_owned(), made);
    }
    let before: HashSet<String> = state.macros.keys().cloned().collect();
    state.text(text, 0);
    let macros = state
        .macros
        .into_iter()
        .filter(|(word, made)| made.parameters.is_none() && !before.contains(word))
        .map(|(word, made)| (word, made.body))
        .collect();
    Preprocessed { tokens: state.out, macros, missing: state.missing }
}

/// One `#if`.
struct Condition {
    /// Whether lines count here.
    active: bool,
    /// Whether a branch was taken.
    taken: bool,
    /// Whether the lines around count.
    outer: bool,
}

impl State<'_> {
    fn text(&mut self, text: &str, depth: u32) {
        let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
        let plain = without_comments(&joined);
        let mut conditions: Vec<Condition> = Vec::new();
        let mut pending = String::new();
        for line in plain.lines() {
            let active = conditions.last().is_none_or(|one| one.active);
            let Some(rest) = line.trim_start().strip_prefix('#') else {
                if active {
                    pending.push_str(line);
                    pending.push('\n');
                }
                continue;
            };
            self.flush(&mut pending);
            let rest = rest.trim();
            let (word, rest) =
                rest.split_at(rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len()));
            self.directive(word, rest.trim(), active, &mut conditions, depth);
            if self.out.len() > MOST_TOKENS {
                return;
            }
        }
        self.flush(&mut pending);
    }

    fn flush(&mut self, pending: &mut String) {
        if pending.is_empty() {
            return;
        }
        let read = tokens(pending);
        pending.clear();
        let mut budget = MOST_TOKENS.saturating_sub(self.out.len());
        let expanded = self.expand(&read, &mut Vec::new(), &mut budget);
        self.out.extend(expanded);
    }

    fn directive(
        &mut self,
        word: &str,
        rest: &str,
        active: bool,
        conditions: &mut Vec<Condition>,
        depth: u32,
    ) {
        match word {
            "if" | "ifdef" | "ifndef" => {
                let holds = active && self.holds(word, rest);
                conditions.push(Condition { active: holds, taken: holds, outer: active });
            }
            "elif" => {
                if let Some(mut one) = conditions.pop() {
                    one.active = one.outer && !one.taken && self.holds("if", rest);
                    one.taken |= one.active;
                    conditions.push(one);
                }
            }
            "else" => {
                if let Some(one) = conditions.last_mut() {
                    one.active = one.outer && !one.taken;
                    one.taken = true;
                }
            }
            "endif" => {
                conditions.pop();
            }
            _ if !active => {}
            "define" => self.define(rest),
            "undef" => {
                self.macros.remove(rest);
            }
            "include" | "include_next" => self.include(rest, depth),
            _ => {}
        }
    }

    fn define(&mut self, rest: &str) {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        if word.is_empty() {
            return;
        }
        let mut parameters = None;
        let mut body = rest;
        if let Some(inside) = rest.strip_prefix('(')
            && let Some((list, after)) = inside.split_once(')')
        {
            let list = list.split(',').map(|one| one.trim().to_owned());
            parameters = Some(list.filter(|one| !one.is_empty()).collect());
            body = after;
        }
        let made = Macro { parameters, body: tokens(body) };
        self.macros.insert(word.to_owned(), made);
    }

    fn include(&mut self, rest: &str, depth: u32) {
        let (name, local) = match rest.as_bytes().first() {
            Some(b'<') => (rest[1..].split('>').next(), false),
            Some(b'"') => (rest[1..].split('"').next(), true),
            _ => (None, false),
        };
        let Some(name) = name else {
            return;
        };
        self.files += 1;
        if depth >= DEEPEST || self.files > MOST_FILES || self.once.contains(name) {
            return;
        }
        match self.headers.read(name, local) {
            Some(text) => {
                if text.contains("#pragma once") {
                    self.once.insert(name.to_owned());
                }
                self.text(&text, depth + 1);
            }
            None if depth == 0 => self.missing.push(name.to_owned()),
            None => {}
        }
    }

    fn holds(&self, word: &str, rest: &str) -> bool {
        let first = rest.split_whitespace().next().unwrap_or("");
        match word {
            "ifdef" => self.macros.contains_key(first),
            "ifndef" => !self.macros.contains_key(first),
            _ => {
                let read = self.with_defined(&tokens(rest));
                let mut budget = 10_000;
                let read = self.expand(&read, &mut Vec::new(), &mut budget);
                let mut reader = Truth { tokens: &read, at: 0, depth: 0 };
                reader.value(0) != 0
            }
        }
    }

    /// `defined X` as 1 or 0.
    fn with_defined(&self, read: &[Token]) -> Vec<Token> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < read.len() {
            if read[at].text() == "defined" {
                let bracket = read.get(at + 1).is_some_and(|token| token.text() == "(");
                let word = read.get(at + 1 + usize::from(bracket));
                let known = word.is_some_and(|word| self.macros.contains_key(word.text()));
                out.push(Token::Number(u8::from(known).to_string()));
                at += if bracket { 4 } else { 2 };
            } else {
                out.push(read[at].clone());
                at += 1;
            }
        }
        out
    }

    fn expand(&self, read: &[Token], active: &mut Vec<String>, budget: &mut usize) -> Vec<Token> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < read.len() {
            if *budget == 0 {
                return out;
            }
            let token = &read[at];
            at += 1;
            let made = match token {
                Token::Word(word) if !active.contains(word) => self.macros.get(word),
                _ => None,
            };
            let Some(made) = made.filter(|_| active.len() < MOST_EXPANSIONS as usize) else {
                *budget -= 1;
                out.push(token.clone());
                continue;
            };
            let body = match &made.parameters {
                None => made.body.clone(),
                Some(parameters) => {
                    if read.get(at).is_none_or(|next| next.text() != "(") {
                        *budget -= 1;
                        out.push(token.clone());
                        continue;
                    }
                    let (arguments, after) = arguments_at(read, at);
                    at = after;
                    substitute(&made.body, parameters, &arguments)
                }
            };
            active.push(token.text().to_owned());
            let expanded = self.expand(&body, active, budget);
            active.pop();
            out.extend(expanded);
        }
        out
    }
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let Some(at) = rest.find("/*") else {
            out.push_str(rest);
            return out;
        };
        // A `//` in front makes it no comment's begin.
        let line = rest[..at].rfind('\n').map_or(0, |at| at + 1);
        if let Some(comment) = rest[line..at].find("//") {
            let from = line + comment;
            out.push_str(&rest[..from]);
            rest = &rest[from..];
            let end = rest.find('\n').unwrap_or(rest.len());
            rest = &rest[end..];
            continue;
        }
        out.push_str(&rest[..at]);
        out.push(' ');
        let inside = &rest[at + 2..];
        rest = inside.find("*/").map_or("", |end| &inside[end + 2..]);
    }
}

fn arguments_at(read: &[Token], open: usize) -> (Vec<Vec<Token>>, usize) {
    let mut arguments = vec![Vec::new()];
    let mut depth = 0;
    let mut at = open;
    while at < read.len() {
        let token = &read[at];
        at += 1;
        match token.text() {
            "(" => {
                depth += 1;
                if depth == 1 {
                    continue;
                }
            }
            ")" => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            "," if depth == 1 => {
                arguments.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = arguments.last_mut() {
            last.push(token.clone());
        }
    }
    (arguments, at)
}

fn substitute(body: &[Token], parameters: &[String], arguments: &[Vec<Token>]) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    let mut join = false;
    for token in body {
        if token.text() == "##" {
            join = true;
            continue;
        }
        let at = parameters.iter().position(|one| one == token.text());
        let given: Vec<Token> = match at {
            Some(at) => arguments.get(at).cloned().unwrap_or_default(),
            None => vec![token.clone()],
        };
        let mut given = given.into_iter();
        if join {
            join = false;
            if let (Some(last), Some(first)) = (out.pop(), given.next()) {
                out.extend(tokens(&format!("{}{}", last.text(), first.text())));
            }
        }
        out.extend(given);
    }
    out
}

/// Whether a condition holds; words that are not defined are 0.
struct Truth<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: u32,
}

impl Truth<'_> {
    fn next(&mut self) -> &str {
        let token = self.tokens.get(self.at).map_or("", |token| token.text());
        self.at += 1;
        token
    }

    fn value(&mut self, least: u8) -> i64 {
        let mut left = self.single();
        loop {
            let sign = self.tokens.get(self.at).map_or("", |token| token.text());
            let binds = match sign {
                "?" => 1,
                "||" => 2,
                "&&" => 3,
                "|" => 4,
                "&" => 5,
                "==" | "!=" => 6,
                "<" | ">" | "<=" | ">=" => 7,
                "<<" | ">>" => 8,
                "+" | "-" => 9,
                "*" | "/" | "%" => 10,
                _ => return left,
            };
            if binds < least {
                return left;
            }
            let sign = sign.to_owned();
            self.at += 1;
            if sign == "?" {
                let then = self.value(0);
                self.at += 1;
                let otherwise = self.value(1);
                left = if left != 0 { then } else { otherwise };
                continue;
            }
            let right = self.value(binds + 1);
            left = compare(&sign, left, right);
        }
    }

    fn single(&mut self) -> i64 {
        self.depth += 1;
        if self.depth > DEEPEST {
            self.at = self.tokens.len();
            return 0;
        }
        let value = match self.next().to_owned().as_str() {
            "!" => i64::from(self.single() == 0),
            "-" => self.single().wrapping_neg(),
            "+" => self.single(),
            "~" => !self.single(),
            "(" => {
                let value = self.value(0);
                self.at += 1;
                value
            }
            word => {
                // A call of what is not defined is 0 with its arguments.
                if self.tokens.get(self.at).is_some_and(|token| token.text() == "(")
                    && word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                {
                    let (_, after) = arguments_at(self.tokens, self.at);
                    self.at = after;
                }
                let digits = word.trim_end_matches(['u', 'U', 'l', 'L']);
                number::unsigned(digits).map_or(0, |value| value as i64)
            }
        };
        self.depth -= 1;
        value
    }
}

fn compare(sign: &str, left: i64, right: i64) -> i64 {
    match sign {
        "||" => i64::from(left != 0 || right != 0),
        "&&" => i64::from(left != 0 && right != 0),
        "|" => left | right,
        "&" => left & right,
        "==" => i64::from(left == right),
        "!=" => i64::from(left != right),
        "<" => i64::from(left < right),
        ">" => i64::from(left > right),
        "<=" => i64::from(left <= right),
        ">=" => i64::from(left >= right),
        "<<" => left.checked_shl(right as u32).unwrap_or(0),
        ">>" => left.checked_shr(right as u32).unwrap_or(0),
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        "/" => left.checked_div(right).unwrap_or(0),
        "%" => left.checked_rem(right).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(given: &str) -> String {
        let read = preprocess(given, &[("HAVE", "1")], &NoHeaders);
        let words: Vec<_> = read.tokens.iter().map(|token| token.text()).collect();
        words.join(" ")
    }

    #[test]
    fn conditions_and_macros() {
        assert_eq!(text("#define N 3\nint a[N];"), "int a [ 3 ] ;");
        assert_eq!(text("#if defined(HAVE) && 1\nx\n#else\ny\n#endif"), "x");
        assert_eq!(text("#ifndef HAVE\nx\n#elif 2 > 1\ny\n#endif"), "y");
        assert_eq!(text("#define F(a, b) a ## b\nF(x, 1) z"), "x1 z");
        assert_eq!(text("/* a\n#define x y */ x"), "x");
    }
}
