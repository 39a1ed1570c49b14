//! Names that C accepts, each once.
//!
//! C has one name space for the tags of structs, unions and enums, and one for
//! typedefs, enumerators and functions. A name that is taken gets `___2`, `___3`:
//! to CO-RE these are flavours, so they still find the kernel's type.

use rustc_hash::FxHashMap;

#[derive(Default)]
pub(super) struct Names {
    /// How often each name was given out.
    tags: FxHashMap<String, u32>,
    identifiers: FxHashMap<String, u32>,
    /// What each type got.
    given: Vec<Option<Box<str>>>,
    /// Which kind of type (its keyword) first had a tag.
    keywords: FxHashMap<String, &'static str>,
}

impl Names {
    pub fn new(types: usize) -> Names {
        Names { given: vec![None; types], ..Names::default() }
    }

    /// The tag of a struct, union or enum.
    pub fn tag_of(&mut self, id: u32, keyword: &'static str, name: &str) -> String {
        if let Some(Some(given)) = self.given.get(id as usize) {
            return given.to_string();
        }
        let plain = c_name(name);
        if *self.keywords.entry(plain.clone()).or_insert(keyword) != keyword {
            // Declared as another kind, if not defined.
            self.tags.entry(plain.clone()).or_insert(1);
        }
        let tag = unique(&mut self.tags, plain);
        self.give(id, &tag);
        tag
    }

    /// The tag of a forward declaration: that of the types by this name, unless
    /// they are of another kind (`is_other`).
    pub fn forward_tag(&mut self, keyword: &'static str, name: &str, is_other: bool) -> String {
        let plain = c_name(name);
        if is_other || *self.keywords.entry(plain.clone()).or_insert(keyword) != keyword {
            return format!("{plain}___{keyword}");
        }
        plain
    }

    /// The name of a typedef.
    pub fn identifier_of(&mut self, id: u32, name: &str) -> String {
        if let Some(Some(given)) = self.given.get(id as usize) {
            return given.to_string();
        }
        let identifier = self.identifier(name);
        self.give(id, &identifier);
        identifier
    }

    /// A name for an enumerator, another one each time.
    pub fn identifier(&mut self, name: &str) -> String {
        unique(&mut self.identifiers, c_name(name))
    }

    /// The name itself, if nothing has it.
    pub fn unused_identifier(&mut self, name: &str) -> Option<String> {
        let plain = c_name(name);
        match self.identifiers.contains_key(&plain) {
            true => None,
            false => Some(unique(&mut self.identifiers, plain)),
        }
    }

    fn give(&mut self, id: u32, name: &str) {
        if let Some(place) = self.given.get_mut(id as usize) {
            *place = Some(name.into());
        }
    }
}

fn unique(taken: &mut FxHashMap<String, u32>, name: String) -> String {
    let count = taken.entry(name.clone()).or_insert(0);
    *count += 1;
    match *count {
        1 => name,
        count => format!("{name}___{count}"),
    }
}

/// The name with each character that C does not allow (Rust's `::` and `<`, or
/// what might upset a terminal) replaced, and not a keyword.
pub(super) fn c_name(name: &str) -> String {
    let mut plain: String = name
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => character,
            _ => '_',
        })
        .collect();
    if plain.is_empty() || plain.starts_with(|first: char| first.is_ascii_digit()) {
        plain.insert(0, '_');
    }
    if KEYWORDS.contains(&plain.as_str()) {
        plain.push('_');
    }
    plain
}

/// C's keywords; those that C23 added (`bool`, `true`, ...) are names in kernels.
const KEYWORDS: [&str; 35] = [
    "asm", "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
    "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register",
    "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef",
    "union", "unsigned", "void", "volatile", "while",
];

/// Whether C has an integer type of this name: `long unsigned int`, not Rust's `u32`.
pub(super) fn is_c_integer(name: &str) -> bool {
    let is_word = |word: &str| {
        matches!(
            word,
            "char" | "short" | "int" | "long" | "signed" | "unsigned" | "_Bool" | "__int128"
        )
    };
    !name.is_empty() && name.split(' ').all(is_word)
}

/// A typedef that compilers have built in.
pub(super) fn is_builtin_typedef(name: &str) -> bool {
    name == "__builtin_va_list"
}
