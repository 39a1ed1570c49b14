//! An attach point, and its name.

use super::table::Provider;
use crate::trace::ast::Name;
use crate::trace::place::Place;

/// An attach point, its text taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attach {
    /// As written.
    pub raw: String,
    /// Where.
    pub place: Place,
    /// What kind.
    pub provider: Provider,
    /// The name that the script gives it.
    pub given: Option<String>,
    /// Module, category, path, unit of time, name: what stands first.
    pub target: String,
    /// `cpp` for names of C++.
    pub language: String,
    /// The provider of a USDT probe.
    pub namespace: String,
    /// Function or event.
    pub function: String,
    /// Where an iterator is pinned.
    pub pin: String,
    /// How often.
    pub frequency: u64,
    /// Bytes to watch.
    pub length: u64,
    /// How they are accessed.
    pub mode: String,
    /// An address instead of a function.
    pub address: u64,
    /// Bytes into the function.
    pub offset: u64,
    /// A source line instead of a function.
    pub line: Option<(String, u64, u64)>,
    /// A loaded program's number.
    pub program: u64,
    /// It came from a pattern for providers: what does not fit is dropped silently.
    pub lenient: bool,
    /// Functions that one program serves, where it is attached to many at once.
    pub many: Vec<Name>,
    /// Entry and return in one.
    pub session: bool,
}

impl Attach {
    pub(super) fn new(raw: &str, place: Place, provider: Provider) -> Attach {
        Attach {
            raw: raw.to_owned(),
            place,
            provider,
            given: None,
            target: String::new(),
            language: String::new(),
            namespace: String::new(),
            function: String::new(),
            pin: String::new(),
            frequency: 0,
            length: 0,
            mode: String::new(),
            address: 0,
            offset: 0,
            line: None,
            program: 0,
            lenient: false,
            many: Vec::new(),
            session: false,
        }
    }

    /// The full name, as the `probe` builtin gives it.
    pub fn name(&self) -> String {
        if let Some(given) = &self.given {
            return given.clone();
        }
        let mut name = self.provider.name().to_owned();
        let mut add = |part: &str| {
            if !part.is_empty() {
                name.push(':');
                name.push_str(part);
            }
        };
        add(&self.target);
        add(&self.language);
        add(&self.namespace);
        let number = |value: u64| {
            if value == 0 { String::new() } else { value.to_string() }
        };
        add(&number(self.program));
        if self.offset != 0 && !self.function.is_empty() {
            add(&format!("{}+{}", self.function, self.offset));
        } else {
            add(&self.function);
        }
        add(&number(self.address));
        add(&number(self.frequency));
        add(&number(self.length));
        add(&self.mode);
        name
    }
}
