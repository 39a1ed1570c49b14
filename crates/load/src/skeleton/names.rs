//! Names of objects, maps and variables as those of the language that is written.

use std::collections::HashSet;

/// Rust's keywords, and those that it keeps for later.
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield", "union", "raw", "safe", "auto",
];

/// Words that are no name even as `r#WORD`.
const NEVER: [&str; 5] = ["self", "Self", "super", "crate", "_"];

/// The name with what C and Rust do not allow replaced.
pub(super) fn plain(name: &str) -> String {
    let mut plain: String = name
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() || one == '_' { one } else { '_' })
        .collect();
    if plain.is_empty() || plain.starts_with(|first: char| first.is_ascii_digit()) {
        plain.insert(0, '_');
    }
    plain
}

/// As a name of Rust's.
pub(super) fn rust(name: &str) -> String {
    let plain = plain(name);
    if NEVER.contains(&plain.as_str()) {
        return format!("{plain}_");
    }
    if KEYWORDS.contains(&plain.as_str()) { format!("r#{plain}") } else { plain }
}

/// `syn_guard.bpf` as `SynGuardBpf`.
pub(super) fn camel(name: &str) -> String {
    let mut camel = String::new();
    let mut starts = true;
    for one in name.chars() {
        match one.is_ascii_alphanumeric() {
            true if starts => camel.push(one.to_ascii_uppercase()),
            true => camel.push(one),
            false => {}
        }
        starts = !one.is_ascii_alphanumeric();
    }
    if camel.is_empty() || camel.starts_with(|first: char| first.is_ascii_digit()) {
        camel.insert(0, 'O');
    }
    if NEVER.contains(&camel.as_str()) { camel + "_" } else { camel }
}

/// Names that are taken.
#[derive(Default)]
pub(super) struct Taken(HashSet<String>);

impl Taken {
    pub fn with(names: &[&str]) -> Taken {
        Taken(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// The name, or one like it that nothing has.
    pub fn take(&mut self, name: String) -> String {
        let mut unique = name.clone();
        let mut count = 2;
        while !self.0.insert(unique.clone()) {
            unique = format!("{name}_{count}");
            count += 1;
        }
        unique
    }
}
