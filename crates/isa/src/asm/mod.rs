//! The assembler: text in any of the printers' styles to instructions, statement by
//! statement, then jumps to labels.
//!
//! A line holds labels (`name:`, or `1:` for `1b` and `1f`), then a statement. `#`,
//! `//` and `;` start comments, but statements behind a `;` are read, as LLVM does.
//! What printers put in front of an instruction is understood: its index, its bytes,
//! its opcode in parentheses. Of directives there are `.text`, `.section NAME` and
//! `.globl NAME`; those about alignment, types, sizes and line tables are passed over.

mod call;
mod cursor;
mod directive;
mod error;
mod imm64;
mod mnemonic;
mod pseudo;

use std::collections::HashMap;

use cursor::{Cursor, Parsed};
use skep_abi::Helper;

use crate::encode::first_slot;
use crate::{Callee, Insn, Pc};

pub use error::{AsmError, AsmErrorKind};

/// An assembled text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Assembly {
    /// The instructions, one for each slot.
    pub insns: Vec<Insn>,
    /// For each slot, the line it comes from, counted from 1.
    pub lines: Vec<u32>,
    /// The labels with names, in the order of the text.
    pub labels: Vec<Label>,
    /// Where `.section` and `.text` open a section, in the order of the text.
    pub sections: Vec<Label>,
    /// The names that `.globl` makes visible.
    pub globals: Vec<String>,
    /// The names that the text uses and does not define.
    pub references: Vec<Reference>,
}

/// A name for a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// The name.
    pub name: String,
    /// The slot that it stands before, which may be the end.
    pub pc: Pc,
}

/// A name that someone else must give a value: a relocation in an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// The instruction whose immediate waits for the value.
    pub pc: Pc,
    /// What is waited for.
    pub kind: ReferenceKind,
    /// The name.
    pub name: String,
    /// Line of the name, counted from 1.
    pub line: u32,
    /// Column of the name, counted from 1.
    pub column: u32,
}

/// What a reference asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReferenceKind {
    /// `r1 = map[NAME] ll`: a map; the immediate is an [`ImmKind::MapFd`](crate::ImmKind) of
    /// fd 0, or an `ImmKind::MapValue` with its offset for `map[NAME][0]+16`.
    Map,
    /// `r1 = NAME + 8 ll`: the address of a symbol; the immediate holds what to add.
    Symbol,
    /// `call NAME`: a function elsewhere; the call is a [`Callee::Local`] of -1.
    Function,
}

/// Assembles a program that refers to nothing outside.
///
/// # Errors
/// The first thing in the text that cannot be understood, does not fit, or is not
/// defined, with its line and column.
pub fn assemble(text: &str) -> Result<Vec<Insn>, AsmError> {
    let assembly = assemble_unit(text)?;
    match assembly.references.into_iter().next() {
        Some(Reference { name, line, column, .. }) => {
            Err(AsmError { line, column, kind: AsmErrorKind::Undefined(name) })
        }
        None => Ok(assembly.insns),
    }
}

/// Assembles a text that may refer to maps, symbols and functions by name.
///
/// # Errors
/// The first thing in the text that cannot be understood or does not fit, with its
/// line and column.
pub fn assemble_unit(text: &str) -> Result<Assembly, AsmError> {
    let mut builder = Builder::default();
    for (index, line) in text.lines().enumerate() {
        let mut cursor = Cursor::new(line, u32::try_from(index + 1).unwrap_or(u32::MAX));
        builder.line(&mut cursor)?;
    }
    builder.finish()
}

/// The label that a jump or a call goes to.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// A name.
    Name(&'a str),
    /// The nearest `number:` behind or ahead.
    Local { number: u32, ahead: bool },
}

/// A value that a 64-bit immediate load waits for, with the place of its name.
struct Pending<'a> {
    kind: ReferenceKind,
    name: &'a str,
    at: Cursor<'a>,
}

/// A jump or call whose distance waits for its label.
struct Fixup<'a> {
    pc: usize,
    target: Target<'a>,
    at: Cursor<'a>,
    /// How many local labels of the target's number stand before it.
    seen: usize,
}

/// One statement.
struct Statement<'a> {
    insn: Insn,
    target: Option<(Target<'a>, Cursor<'a>)>,
    pending: Option<Pending<'a>>,
}

impl Statement<'_> {
    fn new(insn: Insn) -> Self {
        Statement { insn, target: None, pending: None }
    }

    fn some(insn: Insn) -> Option<Self> {
        Some(Statement::new(insn))
    }
}

#[derive(Default)]
struct Builder<'a> {
    assembly: Assembly,
    labels: HashMap<&'a str, usize>,
    /// Where the labels of each number stand.
    locals: HashMap<u32, Vec<usize>>,
    fixups: Vec<Fixup<'a>>,
    /// The first `exit`: the label of that name, unless the text has its own.
    exit: Option<usize>,
}

impl<'a> Builder<'a> {
    fn line(&mut self, cursor: &mut Cursor<'a>) -> Parsed<()> {
        loop {
            self.labels(cursor)?;
            if !cursor.at_end() {
                self.statement(cursor)?;
                if !cursor.at_end() {
                    return Err(cursor.expected("the end of the statement"));
                }
            }
            let first = cursor.at_start();
            if !cursor.eat(";") || first || !looks_like_statement(*cursor) {
                return Ok(());
            }
        }
    }

    /// Labels, and the index and bytes that a disassembler prints.
    fn labels(&mut self, cursor: &mut Cursor<'a>) -> Parsed<()> {
        loop {
            let mut next = cursor.after_blanks();
            let place = next;
            if let Some(name) = next.word() {
                if !next.eat(":") {
                    return Ok(());
                }
                let pc = self.assembly.insns.len();
                if self.labels.insert(name, pc).is_some() {
                    return Err(place.error(AsmErrorKind::Duplicate(name.into())));
                }
                self.assembly.labels.push(Label { name: name.into(), pc: pc as Pc });
            } else if next.rest().starts_with(|c: char| c.is_ascii_digit()) {
                let digits = next.rest().bytes().take_while(u8::is_ascii_digit).count();
                let number = next.rest()[..digits].parse::<u32>();
                next.eat_adjacent(&next.rest()[..digits]);
                let (Ok(number), true) = (number, next.eat(":")) else {
                    return Err(place.expected("a label or an instruction"));
                };
                self.locals.entry(number).or_default().push(self.assembly.insns.len());
                skip_bytes(&mut next);
            } else {
                return Ok(());
            }
            *cursor = next;
        }
    }

    fn statement(&mut self, cursor: &mut Cursor<'a>) -> Parsed<()> {
        if directive::parse(cursor, &mut self.assembly)? {
            return Ok(());
        }
        let start = cursor.after_blanks();
        let code = opcode_in_front(cursor);
        let statement = match pseudo::parse(cursor, code)? {
            Some(statement) => statement,
            None => match mnemonic::parse(cursor)? {
                Some(statement) => statement,
                None => return Err(cursor.expected("an instruction")),
            },
        };
        let meant = first_slot(&statement.insn).code;
        if let Some(written) = code.filter(|&written| written != meant) {
            return Err(start.error(AsmErrorKind::Opcode { written, meant }));
        }
        self.push(statement, start)
    }

    fn push(&mut self, statement: Statement<'a>, start: Cursor<'a>) -> Parsed<()> {
        let Statement { insn, target, pending } = statement;
        let pc = self.assembly.insns.len();
        // Distances are counted in i32, with room for the two slots of this one.
        if i32::try_from(pc + 2).is_err() {
            return Err(start.error(AsmErrorKind::TooLong));
        }
        let (line, _) = start.position();
        if insn == Insn::Exit {
            self.exit.get_or_insert(pc);
        }
        if let Some((target, at)) = target {
            let seen = match target {
                Target::Local { number, .. } => self.locals.get(&number).map_or(0, Vec::len),
                Target::Name(_) => 0,
            };
            self.fixups.push(Fixup { pc, target, at, seen });
        }
        if let Some(Pending { kind, name, at }) = pending {
            self.refer(pc, kind, name, &at);
        }
        self.assembly.insns.push(insn);
        self.assembly.lines.push(line);
        if insn.slots() == 2 {
            self.assembly.insns.push(Insn::Hole);
            self.assembly.lines.push(line);
        }
        Ok(())
    }

    fn refer(&mut self, pc: usize, kind: ReferenceKind, name: &str, at: &Cursor<'_>) {
        let (line, column) = at.position();
        let name = name.into();
        self.assembly.references.push(Reference { pc: pc as Pc, kind, name, line, column });
    }

    fn finish(mut self) -> Result<Assembly, AsmError> {
        for fixup in std::mem::take(&mut self.fixups) {
            self.fix(fixup)?;
        }
        self.assembly.references.sort_by_key(|reference| reference.pc);
        Ok(self.assembly)
    }

    fn fix(&mut self, fixup: Fixup<'a>) -> Parsed<()> {
        let Fixup { pc, target, at, seen } = fixup;
        let (name, place) = match target {
            Target::Name(name) => {
                let implicit = self.exit.filter(|_| name == "exit");
                (name.to_string(), self.labels.get(name).copied().or(implicit))
            }
            Target::Local { number, ahead } => {
                let index = if ahead { Some(seen) } else { seen.checked_sub(1) };
                let places = self.locals.get(&number);
                let found = index.and_then(|index| places?.get(index).copied());
                let letter = if ahead { 'f' } else { 'b' };
                (format!("{number}{letter}"), found)
            }
        };
        let insn = &mut self.assembly.insns[pc];
        let Some(place) = place else {
            if let Insn::Call(callee) = insn {
                if let Some(helper) = Helper::from_name(&name) {
                    *callee = Callee::Helper(helper.id);
                    return Ok(());
                }
                self.refer(pc, ReferenceKind::Function, &name, &at);
                return Ok(());
            }
            return Err(at.error(AsmErrorKind::Undefined(name)));
        };
        let distance = place as i64 - (pc as i64 + 1);
        if set_distance(insn, distance) {
            return Ok(());
        }
        Err(at.error(AsmErrorKind::Far { label: name, distance }))
    }
}

/// Reads where a jump or a local call goes: a label, `1f`, `1b`, or a distance as
/// `+3`, `-0x1`, `pc+3`.
fn aim<'a>(cursor: &mut Cursor<'a>, mut insn: Insn) -> Parsed<Statement<'a>> {
    let at = cursor.after_blanks();
    let target = target(cursor);
    if target.is_none() {
        let (min, max) = match insn {
            Insn::Gotol { .. } | Insn::Call(_) => (i32::MIN, i32::MAX),
            _ => (i16::MIN.into(), i16::MAX.into()),
        };
        let distance = cursor.ranged("a label or a distance", min.into(), max.into())?;
        set_distance(&mut insn, distance as i64);
    }
    cursor.annotation();
    Ok(Statement { target: target.map(|target| (target, at)), ..Statement::new(insn) })
}

/// A label; consumes the `pc` of `pc+3`.
fn target<'a>(cursor: &mut Cursor<'a>) -> Option<Target<'a>> {
    if let Some(name) = cursor.word() {
        let distance = name == "pc" && (cursor.peek("+") || cursor.peek("-"));
        return (!distance).then_some(Target::Name(name));
    }
    let mut next = cursor.after_blanks();
    let text = next.rest();
    let digits = &text[..text.bytes().take_while(u8::is_ascii_digit).count()];
    next.eat_adjacent(digits);
    let ahead = next.eat_adjacent("f");
    let local = ahead || next.eat_adjacent("b");
    if !local || next.rest().starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let number = digits.parse().ok()?;
    *cursor = next;
    Some(Target::Local { number, ahead })
}

/// Writes the distance into a jump or a local call, if it fits.
fn set_distance(insn: &mut Insn, distance: i64) -> bool {
    match insn {
        Insn::Ja { off } | Insn::Branch { off, .. } | Insn::MayGoto { off } => {
            i16::try_from(distance).map(|distance| *off = distance).is_ok()
        }
        Insn::Gotol { off } | Insn::Call(Callee::Local(off)) => {
            i32::try_from(distance).map(|distance| *off = distance).is_ok()
        }
        _ => false,
    }
}

/// Skips `b7 00 00 00 05 00 00 00`, eight or sixteen bytes.
fn skip_bytes(cursor: &mut Cursor<'_>) {
    let is_byte = |word: &str| word.len() == 2 && word.bytes().all(|c| c.is_ascii_hexdigit());
    let bytes = cursor.rest().split_whitespace().take_while(|word| is_byte(word)).count();
    for _ in 0..bytes / 8 * 8 {
        cursor.blanks();
        let byte = &cursor.rest()[..2];
        cursor.eat(byte);
    }
}

/// Linux's `(b7)` in front of an instruction.
fn opcode_in_front(cursor: &mut Cursor<'_>) -> Option<u8> {
    let mut next = *cursor;
    if !next.eat("(") {
        return None;
    }
    let digits = next.rest().get(..2).filter(|digits| digits.bytes().all(is_hex))?;
    if !next.eat_adjacent(digits) || !next.eat_adjacent(")") {
        return None;
    }
    *cursor = next;
    u8::from_str_radix(digits, 16).ok()
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

/// Tells a statement behind a `;` from a comment.
fn looks_like_statement(mut cursor: Cursor<'_>) -> bool {
    if cursor.any_register().is_some() {
        return pseudo::assignment_sign(&mut cursor).is_some();
    }
    if cursor.eat("*") {
        return cursor.eat("(");
    }
    match cursor.word() {
        Some("exit") => cursor.at_end(),
        Some("if") => cursor.any_register().is_some(),
        Some("goto" | "gotol" | "may_goto") => !cursor.at_end(),
        Some("call") => cursor.word().is_some() && cursor.at_end() || is_number(&mut cursor),
        Some("lock") => cursor.eat("*"),
        _ => false,
    }
}

fn is_number(cursor: &mut Cursor<'_>) -> bool {
    matches!(cursor.number(), Ok(Some(_)))
}
