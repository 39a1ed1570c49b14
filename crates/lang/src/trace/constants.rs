//! C text of a script: definitions are read, and words that `#define` makes stand for
//! expressions.

use std::collections::{HashMap, HashSet};

use super::ast::{Expr, ExprKind, Name};
use super::c::{Definitions, Token, declare, preprocess};
use super::parse;
use super::unit::Unit;
use super::walk::{self, Visitor};

/// What `#define` says, by word.
pub type Words = HashMap<String, String>;

/// Reads all C text of a unit.
pub fn read(unit: &mut Unit<'_>) -> Words {
    let mut text = String::new();
    for definition in &unit.definitions {
        text += &definition.text;
        text.push('\n');
    }
    let defined = [
        ("__x86_64__", "1"),
        ("__linux__", "1"),
        ("BPFTRACE_HAVE_BTF", "1"),
        ("__SIZEOF_LONG__", "8"),
        ("__BYTE_ORDER__", "1234"),
        ("__ORDER_LITTLE_ENDIAN__", "1234"),
    ];
    let read = preprocess(&text, &defined, unit.world.headers());
    missing(unit, &text, &read.missing);
    let mut c = std::mem::take(&mut unit.c);
    let includes = text.contains("#include");
    if let Err(error) = declare(&read.tokens, &mut c, unit.world, includes) {
        let place = unit.definitions.iter().find(|one| !one.text.starts_with('#'));
        let place = place.or(unit.definitions.first()).map(|one| one.place);
        unit.diagnostics.error(place.unwrap_or_default(), error.to_string());
    }
    unit.c = c;
    let join = |tokens: &[Token]| {
        let words: Vec<&str> = tokens.iter().map(Token::text).collect();
        words.concat()
    };
    read.macros.iter().map(|(word, tokens)| (word.clone(), join(tokens))).collect()
}

/// Folders of headers whose types the kernel's own description has, so that one can do without
/// the files.
const KERNEL: [&str; 6] = ["linux/", "asm/", "asm-generic/", "uapi/", "net/", "trace/"];

/// Says of files that are included and not there; in the form of a C compiler, that people look
/// for.
fn missing(unit: &mut Unit<'_>, text: &str, names: &[String]) {
    if !unit.world.needs_headers() {
        return;
    }
    for name in names {
        let is_kernels = KERNEL.iter().any(|folder| name.starts_with(folder));
        if is_kernels && unit.world.has_types() {
            continue;
        }
        let lines = text.lines().enumerate();
        let mut found = lines.filter_map(|(at, line)| Some((at, line.find(&**name)?)));
        let (line, column) = found.next().unwrap_or_default();
        let place = unit.definitions.iter().find(|one| one.text.contains(&**name));
        let place = place.map(|one| one.place).unwrap_or_default();
        // The compiler's file has a line of its own in front.
        unit.diagnostics.error(
            place,
            format!(
                "a header is not there\ndefinitions.h:{}:{column}: fatal error: '{name}' file not \
                 found",
                line + 2
            ),
        );
    }
}

/// Adds constants of the kernel's enumerations that a script names, and that it does not define
/// itself.
pub fn of_kernel(unit: &mut Unit<'_>) {
    if !unit.world.has_types() {
        return;
    }
    let mut words = Unknown { known: &unit.c, words: HashSet::new() };
    for function in &mut unit.functions {
        words.block(&mut function.body);
    }
    for probe in &mut unit.probes {
        words.block(&mut probe.body);
    }
    let words = words.words;
    if words.is_empty() {
        return;
    }
    for of in unit.world.enumerations_with(&words) {
        for (word, value) in &of.values {
            if words.contains(word) {
                unit.c.constants.entry(word.clone()).or_insert_with(|| (*value, of.name.clone()));
            }
        }
        unit.c.enums.entry(of.name.clone()).or_insert(of);
    }
}

/// Words that nothing in the script defines.
struct Unknown<'a> {
    known: &'a Definitions,
    words: HashSet<Name>,
}

impl Visitor for Unknown<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        walk::expr_parts(self, expr);
        if let ExprKind::Ident(word) = &expr.kind
            && !self.known.constants.contains_key(word)
            // By custom they are in capitals: other words mean something to the language.
            && word.starts_with(|c: char| c.is_ascii_uppercase())
        {
            self.words.insert(word.clone());
        }
    }
}

/// Puts expressions in the place of defined words.
pub fn replace(unit: &mut Unit<'_>, words: &Words) {
    if words.is_empty() {
        return;
    }
    let mut probes = std::mem::take(&mut unit.probes);
    let mut functions = std::mem::take(&mut unit.functions);
    let mut replacer = Replacer { unit, words, active: Vec::new() };
    for function in &mut functions {
        replacer.block(&mut function.body);
    }
    for probe in &mut probes {
        replacer.block(&mut probe.body);
    }
    unit.probes = probes;
    unit.functions = functions;
}

/// Words stand for others at most so deep.
const DEEPEST: usize = 32;

struct Replacer<'r, 'a> {
    unit: &'r mut Unit<'a>,
    words: &'r Words,
    active: Vec<String>,
}

impl Visitor for Replacer<'_, '_> {
    fn expr(&mut self, expr: &mut Expr) {
        let ExprKind::Ident(word) = &expr.kind else {
            walk::expr_parts(self, expr);
            return;
        };
        let Some(text) = self.words.get(&**word) else {
            return;
        };
        if self.active.iter().any(|active| **active == **word) || self.active.len() >= DEEPEST {
            let text = format!("Macro recursion: {}", self.active.join("->"));
            self.unit.diagnostics.error(expr.place, text);
            return;
        }
        let source = self.unit.sources.add(word, text);
        let mut diagnostics = super::diagnostic::Diagnostics::default();
        let parsed = parse::expression(text, source, &mut self.unit.ids, &mut diagnostics);
        let Some(parsed) = parsed else {
            let text = format!("unable to expand macro as an expression: {text}");
            self.unit.diagnostics.error(expr.place, text);
            return;
        };
        let expansion = self.unit.sources.expand(expr.place);
        let word = word.to_string();
        *expr = walk::copy_at(&parsed, &mut self.unit.ids, |mut place| {
            place.expansion = expansion;
            place
        });
        self.active.push(word);
        self.expr(expr);
        self.active.pop();
    }
}
