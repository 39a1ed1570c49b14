//! Errors and warnings with their places, and how they are shown.
//!
//! The form is bpftrace's: `file:line:from-to: ERROR: text`, the line, and a line of `~`
//! under the place; then contexts (other places that explain it), hints, and the macro
//! calls that a place came through.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::place::{Place, Sources};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The script is refused.
    Error,
    /// The script may do what was not meant.
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
        }
    }
}

/// One error or warning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where; `None` where it is about the whole.
    pub place: Option<Place>,
    /// What.
    pub text: String,
    /// Other places that explain it.
    pub contexts: Vec<(Place, String)>,
    /// What may help.
    pub hints: Vec<String>,
}

impl Diagnostic {
    /// Adds a place that explains it.
    pub fn context(&mut self, place: Place, text: impl Into<String>) -> &mut Diagnostic {
        self.contexts.push((place, text.into()));
        self
    }

    /// Adds a hint.
    pub fn hint(&mut self, text: impl Into<String>) -> &mut Diagnostic {
        self.hints.push(text.into());
        self
    }
}

/// All of a script, errors and warnings in the order they were found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    errors: usize,
}

/// More than so many of one script are not kept.
const MOST: usize = 1000;

impl Diagnostics {
    /// Adds an error.
    pub fn error(&mut self, place: Place, text: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, Some(place), text.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, place: Place, text: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, Some(place), text.into())
    }

    /// Adds a warning about the whole.
    pub fn note(&mut self, text: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, None, text.into())
    }

    fn add(&mut self, severity: Severity, place: Option<Place>, text: String) -> &mut Diagnostic {
        if severity == Severity::Error {
            self.errors += 1;
        }
        if self.list.len() >= MOST {
            self.list.pop();
        }
        self.list.push(Diagnostic {
            severity,
            place,
            text,
            contexts: Vec::new(),
            hints: Vec::new(),
        });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// How many errors.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Whether there is no error.
    pub fn is_ok(&self) -> bool {
        self.errors == 0
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Drops what was added after the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.list.truncate(count);
        self.errors = self.list.iter().filter(|one| one.severity == Severity::Error).count();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Shows those of one severity. What is said twice, as of each probe that a pattern names,
    /// is shown once.
    pub fn show(&self, severity: Severity, sources: &Sources) -> String {
        let (mut out, mut shown) = (String::new(), HashSet::new());
        for one in self.list.iter().filter(|one| one.severity == severity) {
            let start = out.len();
            show_one(&mut out, one, sources);
            if !shown.insert(out[start..].to_owned()) {
                out.truncate(start);
            }
        }
        out
    }

    /// Shows all: errors, then warnings.
    pub fn show_all(&self, sources: &Sources) -> String {
        self.show(Severity::Error, sources) + &self.show(Severity::Warning, sources)
    }
}

fn show_one(out: &mut String, one: &Diagnostic, sources: &Sources) {
    let word = one.severity.word();
    match one.place {
        Some(place) => show_at(out, word, place, &one.text, sources),
        None => {
            let _ = writeln!(out, "{word}: {}", one.text.trim_end_matches('\n'));
        }
    }
    for (place, text) in &one.contexts {
        show_at(out, word, *place, text, sources);
    }
    for hint in &one.hints {
        let _ = writeln!(out, "HINT: {hint}");
    }
    let mut at = one.place;
    while let Some(call) = at.and_then(|place| sources.call_of(place.expansion)) {
        show_at(out, word, call, "expanded from", sources);
        at = Some(call);
    }
}

fn show_at(out: &mut String, word: &str, place: Place, text: &str, sources: &Sources) {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let Some(source) = sources.source(place.source) else {
        let _ = writeln!(out, "{word}: {text}");
        return;
    };
    let from = sources.position(place.source, place.start);
    let to = sources.position(place.source, place.end);
    let name = &source.name;
    if from.line != to.line {
        let _ = writeln!(out, "{name}:{}-{}: {word}: {text}", from.line, to.line);
        for line in from.line..=to.line {
            let _ = writeln!(out, "{}", source.line(line));
        }
        return;
    }
    let (line, from, to) = (from.line, from.column, to.column);
    let _ = writeln!(out, "{name}:{line}:{from}-{to}: {word}: {text}");
    if line > source.shown_lines() {
        return;
    }
    let shown = source.line(line);
    let _ = writeln!(out, "{}", shown.replace('\t', "    "));
    let mut marks = String::new();
    for (at, byte) in shown.bytes().enumerate().take(to.saturating_sub(1) as usize) {
        let mark = if at + 1 < from as usize { ' ' } else { '~' };
        let width = if byte == b'\t' { 4 } else { 1 };
        marks.extend(std::iter::repeat_n(mark, width));
    }
    let _ = writeln!(out, "{marks}");
}
