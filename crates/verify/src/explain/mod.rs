//! Why a program is refused, for people: what the verifier knew at the place, how the
//! value at fault came to be, which branches led there, and what usually helps.
//!
//! A program is verified a second time for it, with a [`trail::Trail`] that remembers
//! the registers along the path being followed. All is computed backwards from there.

mod help;
mod history;
pub(crate) mod trail;
mod words;

use std::sync::Arc;

use skep_abi::Reason;
use skep_isa::{Insn, Pc};

use crate::checker::Checker;
use crate::env::Env;
use crate::error::VerifyError;
use crate::log::Log;
use crate::program::Program;
use crate::state::{Acquired, RefKind};
use trail::Trail;

/// Most branches that are told.
const MOST_BRANCHES: usize = 6;

/// What there is to say about a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The instruction at fault.
    pub at: Option<Place>,
    /// What the verifier knew of the values at fault: whole sentences.
    pub known: Vec<String>,
    /// How the value at fault came to be, oldest first.
    pub history: Vec<Event>,
    /// The last branches that led there, oldest first.
    pub branches: Vec<Event>,
    /// What usually helps.
    pub help: Option<&'static str>,
}

/// An instruction and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its slot.
    pub pc: Pc,
    /// It, as Linux's log has it.
    pub insn: String,
    /// Its source line, where the program has line records.
    pub source: Option<Source>,
}

/// A source line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// File, as the compiler was given it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 if unknown.
    pub column: u32,
    /// The line's text.
    pub text: String,
}

/// Something that happened on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub place: Place,
    /// What: part of a sentence.
    pub what: String,
}

/// Verifies a program again, and explains why it is refused; `None` if it is not.
pub fn explain(program: &Arc<Program>, env: &Env) -> Option<(VerifyError, Explanation)> {
    let program = &match crate::admit(program, env) {
        Ok(program) => program,
        Err(error) => return Some((error, Explanation::default())),
    };
    let mut log = Log::silent();
    let mut maps = |fd| program.map(fd);
    let mut checker = Checker::new(program, env, &mut maps, &mut log);
    checker.path.trail = Some(Trail::default());
    let error = checker.run().err()?;
    let trail = checker.path.trail.take().unwrap_or_default();
    let mut explanation = Explanation {
        at: error.pc.map(|pc| checker.place(pc)),
        help: help::of(&error.reason),
        ..Explanation::default()
    };
    let fails_here = trail.last().is_some_and(|step| Some(step.pc) == error.pc);
    if fails_here {
        let subjects = checker.subjects(&error, &trail);
        explanation.known = checker.what_is_known(&subjects, &trail);
        if let Some(&subject) = subjects.first() {
            explanation.history = checker.history(subject, &trail);
        }
        explanation.branches = checker.branches(&trail);
        if matches!(error.reason, Reason::LeaksReference { .. } | Reason::Unreleased { .. }) {
            explanation.history = checker.acquired();
        }
    }
    Some((error, explanation))
}

impl Checker<'_> {
    pub(crate) fn place(&self, pc: Pc) -> Place {
        Place { pc, insn: self.disassemble(pc), source: self.source(pc) }
    }

    fn source(&self, pc: Pc) -> Option<Source> {
        let lines = &self.program.line_info;
        let line = lines.get(lines.partition_point(|line| line.pc <= pc).checked_sub(1)?)?;
        let btf = self.program.btf.as_ref()?;
        Some(Source {
            file: btf.string(line.file_name_off).ok()?.to_owned(),
            line: line.line,
            column: line.column,
            text: btf.string(line.line_off).ok()?.trim_end().to_owned(),
        })
    }

    /// The registers that a refusal is about: the one that its line names, else those
    /// that the instruction goes through.
    fn subjects(&self, error: &VerifyError, trail: &Trail) -> Vec<u8> {
        let line = error.reason.to_string();
        let named = line.match_indices('R').find_map(|(at, _)| {
            let rest = &line[at + 1..];
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            rest[..digits].parse::<u8>().ok().filter(|&number| number <= 10)
        });
        if let Some(reg) = named {
            return vec![reg];
        }
        let Some(insn) = trail.last().and_then(|step| self.insn(step.pc)) else {
            return Vec::new();
        };
        match insn {
            Insn::Load { base, .. }
            | Insn::Store { base, .. }
            | Insn::Atomic { base, .. }
            | Insn::LoadAcquire { base, .. }
            | Insn::StoreRelease { base, .. } => vec![base.number()],
            _ => Vec::new(),
        }
    }

    fn what_is_known(&self, subjects: &[u8], trail: &Trail) -> Vec<String> {
        let Some(step) = trail.last() else { return Vec::new() };
        subjects
            .iter()
            .map(|&reg| format!("r{reg} is {}", self.in_words(&step.regs[usize::from(reg)])))
            .collect()
    }

    /// Where what is still held was acquired.
    fn acquired(&self) -> Vec<Event> {
        let event = |held: &Acquired| Event {
            place: self.place(held.pc),
            what: "acquired, and not given back on this path".into(),
        };
        self.cur.refs.iter().filter(|held| held.kind == RefKind::Pointer).map(event).collect()
    }

    /// The last branches of the path, those of one source line told once.
    fn branches(&self, trail: &Trail) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        for (step, next) in trail.pairs().rev() {
            let Some(Insn::Branch { off, .. }) = self.insn(step.pc) else { continue };
            if off == 0 {
                continue;
            }
            let taken = next.pc != step.pc + 1;
            let place = self.place(step.pc);
            let line = |place: &Place| place.source.as_ref().map(|source| source.line);
            let told = events
                .iter()
                .any(|event| line(&event.place).is_some() && line(&event.place) == line(&place));
            if told {
                continue;
            }
            let what = if taken { "jumps" } else { "goes on" };
            events.push(Event { place, what: what.into() });
            if events.len() == MOST_BRANCHES {
                break;
            }
        }
        events.reverse();
        events
    }
}
