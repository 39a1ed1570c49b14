//! Where a thing stands in which text: byte ranges, and the macro calls a thing came
//! through.
//!
//! A [`Place`] is small and copied into every node. Texts and expansions stand in
//! [`Sources`], which turns a place into file, line and column for a message or for line
//! records.

use std::sync::Arc;

/// A text by its number in [`Sources`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SourceId(pub u16);

/// A macro's expansion by its number in [`Sources`]; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ExpansionId(pub u32);

/// A range of a text, half open, and through which macro call it came here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Place {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One after the last byte.
    pub end: u32,
    /// The expansion that put it into the tree.
    pub expansion: ExpansionId,
}

impl Place {
    /// From this place's start to that one's end.
    pub fn to(self, end: Place) -> Place {
        Place { end: end.end.max(self.start), ..self }
    }
}

/// One text.
#[derive(Clone, Debug)]
pub struct Source {
    /// What messages call it: `stdin` for a program on the command line.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
    /// Byte offsets at which lines begin.
    lines: Arc<[u32]>,
}

/// All texts of a script and all expansions of macros in it.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    sources: Vec<Source>,
    /// The calls that were expanded, by expansion number less one.
    expansions: Vec<Place>,
}

/// A line and a column in it, both from 1, columns in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The byte in the line.
    pub column: u32,
}

impl Sources {
    /// Adds a text.
    pub fn add(&mut self, name: &str, text: &str) -> SourceId {
        let mut lines = vec![0];
        lines.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| at as u32 + 1),
        );
        let id = SourceId(self.sources.len() as u16);
        self.sources.push(Source { name: name.into(), text: text.into(), lines: lines.into() });
        id
    }

    /// Adds an expansion of the call at `call`.
    pub fn expand(&mut self, call: Place) -> ExpansionId {
        self.expansions.push(call);
        ExpansionId(self.expansions.len() as u32)
    }

    /// The call that an expansion came from.
    pub fn call_of(&self, expansion: ExpansionId) -> Option<Place> {
        let at = (expansion.0 as usize).checked_sub(1)?;
        self.expansions.get(at).copied()
    }

    /// The text.
    pub fn source(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(usize::from(id.0))
    }

    /// The place in the script's own texts: of what a macro brought, its outermost call.
    pub fn outermost(&self, place: Place) -> Place {
        let mut at = place;
        while let Some(call) = self.call_of(at.expansion) {
            at = call;
        }
        at
    }

    /// Line and column of a byte of a text.
    pub fn position(&self, id: SourceId, byte: u32) -> Position {
        let Some(source) = self.source(id) else {
            return Position { line: 1, column: 1 };
        };
        let line = source.lines.partition_point(|start| *start <= byte).max(1);
        Position { line: line as u32, column: byte - source.lines[line - 1] + 1 }
    }
}

impl Source {
    /// A line's text without its end, lines from 1.
    pub fn line(&self, line: u32) -> &str {
        let at = (line as usize).saturating_sub(1);
        let start = self.lines.get(at).map_or(self.text.len(), |at| *at as usize);
        let end = self.lines.get(at + 1).map_or(self.text.len(), |at| *at as usize - 1);
        self.text.get(start..end.max(start)).unwrap_or("")
    }

    /// How many lines can be shown: an empty text has none.
    pub fn shown_lines(&self) -> u32 {
        if self.text.is_empty() {
            return 0;
        }
        self.lines.len() as u32
    }
}
