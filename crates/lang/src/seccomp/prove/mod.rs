//! Proves that a program decides as a policy does: for every call, every architecture and
//! all 2^64 values of each argument.
//!
//! Program and rules are walked side by side, once for each range of numbers that the rules
//! decide alike. Wherever one of them asks something that is not known yet, there are two
//! cases, and both are walked. A case is a set of ranges and bits for each word
//! (`facts.rs`), in which questions are decided exactly. Cases in which the same is open
//! are walked once.

mod symbol;

use std::rc::Rc;

use rustc_hash::FxHashSet;
use skep_isa::classic::Insn;

use super::facts::{ARCH, Facts, NR, Test, Values};
use super::machine::{Machine, data};
use super::open::Open;
use super::plan::{Data, Decision, Plan};
use super::policy::Action;
use symbol::{Next, Registers, reads};

/// Conditions and instructions looked at before a proof is given up.
const WORK: usize = 200_000_000;
/// Cases that are kept apart.
const MAX_CASES: usize = 2_000_000;

/// A call that program and policy decide differently.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counterexample {
    /// The call.
    pub data: Data,
    /// What the program makes of it.
    pub program: Action,
    /// What the policy says.
    pub policy: Decision,
}

/// Why there is no proof.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProveError {
    /// They are not equal.
    #[error("the program gives {} where the policy says {}", .0.program, .0.policy.0)]
    Differs(Box<Counterexample>),
    /// The program computes something that is not followed.
    #[error("instruction {pc}: {what} is not followed")]
    NotFollowed {
        /// The instruction.
        pc: usize,
        /// What it does.
        what: &'static str,
    },
    /// It would take too long.
    #[error("the conditions on arguments meet in too many ways to be followed")]
    TooComplex,
}

/// What a proof went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Proof {
    /// Cases, between which nothing is left out.
    pub cases: usize,
}

/// Proves a program.
///
/// # Errors
/// A call that it decides differently, or what cannot be followed.
pub(super) fn prove(plan: &Plan, machine: &Machine) -> Result<Proof, ProveError> {
    let mut prover = Prover {
        plan,
        machine,
        reads: reads(machine.insns()),
        seen: FxHashSet::default(),
        work: 0,
        cases: 0,
    };
    let mut others = Some(Facts::none());
    for section in &plan.sections {
        let audit = Test::Range(section.audit, section.audit);
        others = others.and_then(|others| others.with(ARCH, audit, false));
        let Some(of_arch) = Facts::none().with(ARCH, audit, true) else { continue };
        let ends = section.spans.iter().skip(1).map(|span| span.first - 1);
        for (span, last) in section.spans.iter().zip(ends.chain([u32::MAX])) {
            let Some(facts) = of_arch.with(NR, Test::Range(span.first, last), true) else {
                continue;
            };
            prover.walk(Open::of(&span.target), facts)?;
        }
    }
    if let Some(others) = others {
        prover.walk(Open::decided(plan.bad_arch), others)?;
    }
    Ok(Proof { cases: prover.cases })
}

/// Where a walk is.
struct Case<'a> {
    pc: usize,
    registers: Registers,
    open: Open<'a>,
    facts: Facts,
}

/// The same, as far as it matters for what is to come.
type State<'a> = (usize, Registers, Open<'a>, Vec<(u8, Rc<Values>)>);

struct Prover<'a> {
    plan: &'a Plan,
    machine: &'a Machine,
    /// The words that are read from each instruction on, a bit each.
    reads: Vec<u16>,
    seen: FxHashSet<State<'a>>,
    work: usize,
    cases: usize,
}

impl<'a> Prover<'a> {
    /// Walks from the start of the program, and everything that comes of it.
    fn walk(&mut self, open: Open<'a>, facts: Facts) -> Result<(), ProveError> {
        // What was seen for one range of numbers says nothing of others.
        self.seen.clear();
        let mut waiting = vec![Case { pc: 0, registers: Registers::default(), open, facts }];
        while let Some(case) = waiting.pop() {
            self.case(case, &mut waiting)?;
        }
        Ok(())
    }

    /// Walks up to where something is asked that is not known.
    fn case(
        &mut self,
        Case { mut pc, mut registers, open, facts }: Case<'a>,
        waiting: &mut Vec<Case<'a>>,
    ) -> Result<(), ProveError> {
        let (open, asked) = open.reduce(self.plan, &facts, &mut self.work);
        let (word, test, skips) = loop {
            self.work += 1;
            if self.work > WORK || self.cases > MAX_CASES {
                return Err(ProveError::TooComplex);
            }
            let insn = self.machine.insns().get(pc).copied().unwrap_or(Insn::RetK(0));
            match registers.step(insn).map_err(|what| ProveError::NotFollowed { pc, what })? {
                Next::Behind(skip) => pc += 1 + skip,
                Next::Return(value) => match asked.first() {
                    // The program is done, the rules are not.
                    Some(&(word, test)) => break (word, test, [0, 0]),
                    None => return self.compare(value, open.otherwise, &facts),
                },
                Next::Ask { word, test, yes, no } => match facts.of(word).decide(test) {
                    Some(holds) => pc += 1 + if holds { yes } else { no },
                    None => {
                        let words = open.words(self.plan) | self.reads[pc] | registers.words();
                        let state = (pc, registers, open.clone(), facts.of_all(words | 1 << word));
                        if !self.seen.insert(state) {
                            return Ok(());
                        }
                        break (word, test, [1 + yes, 1 + no]);
                    }
                },
            }
        };
        for (holds, skip) in [(true, skips[0]), (false, skips[1])] {
            if let Some(facts) = facts.with(word, test, holds) {
                waiting.push(Case { pc: pc + skip, registers, open: open.clone(), facts });
            }
        }
        Ok(())
    }

    fn compare(&mut self, value: u32, action: Action, facts: &Facts) -> Result<(), ProveError> {
        self.cases += 1;
        if Action::from_value(value) == action {
            return Ok(());
        }
        let Some(words) = facts.pick() else { return Err(ProveError::TooComplex) };
        let data = data(&words, self.machine.is_little());
        let program = Action::from_value(self.machine.run(&data).0);
        let policy = self.plan.decide(&data);
        Err(ProveError::Differs(Box::new(Counterexample { data, program, policy })))
    }
}
