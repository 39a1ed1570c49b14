//! Blocks of straight code with a test at their end, and formulas over them.
//!
//! In a block, a branch or `ja` counts the instructions to pass over within the block, as
//! in a classic program; behind the last one comes the test. A block stands in exactly one
//! formula.

use std::ops::Range;

use skep_isa::classic::{Cond, Insn, Operand};

/// Code, and what is asked of A at its end.
#[derive(Clone, Debug)]
pub struct Block {
    /// What computes A (and X).
    pub code: Vec<Insn>,
    /// Condition on A.
    pub cond: Cond,
    /// Its right side.
    pub src: Operand,
    /// The condition of the expression that it belongs to.
    pub span: Range<usize>,
}

/// A condition over blocks.
#[derive(Clone, Copy, Debug)]
pub enum Formula {
    /// The test of a block.
    Test(u32),
    /// The opposite.
    Not(u32),
    /// The second only if the first holds.
    And(u32, u32),
    /// The second only if the first fails.
    Or(u32, u32),
}

/// A formula in the making.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    /// Which.
    pub formula: u32,
    /// The block that runs first.
    pub head: u32,
    /// Its value, where that is known.
    pub known: Option<bool>,
}

/// All blocks and formulas of a program.
#[derive(Debug, Default)]
pub struct Code {
    /// Blocks.
    pub blocks: Vec<Block>,
    /// Formulas, the parts before the whole.
    pub formulas: Vec<Formula>,
    /// The condition of the expression that is being written.
    pub span: Range<usize>,
    /// Whether constants vanish from formulas, as they do since libpcap 1.11.
    pub folds: bool,
}

impl Code {
    /// A test after some code.
    pub fn test(&mut self, code: Vec<Insn>, cond: Cond, src: Operand) -> Term {
        self.blocks.push(Block { code, cond, src, span: self.span.clone() });
        let head = self.blocks.len() as u32 - 1;
        let formula = self.formula(Formula::Test(head));
        Term { formula, head, known: None }
    }

    /// A test against a constant.
    pub fn test_k(&mut self, code: Vec<Insn>, cond: Cond, k: u32) -> Term {
        self.test(code, cond, Operand::K(k))
    }

    /// Always or never.
    pub fn constant(&mut self, value: bool) -> Term {
        let code = vec![Insn::LoadImm(skep_isa::classic::Reg::A, u32::from(!value))];
        Term { known: Some(value), ..self.test_k(code, Cond::Eq, 0) }
    }

    fn formula(&mut self, formula: Formula) -> u32 {
        self.formulas.push(formula);
        self.formulas.len() as u32 - 1
    }

    pub fn and(&mut self, one: Term, other: Term) -> Term {
        if self.folds {
            match (one.known, other.known) {
                (Some(false), _) => return one,
                (_, Some(false)) => return other,
                (Some(true), _) => return other,
                (_, Some(true)) => return one,
                _ => {}
            }
        }
        let formula = self.formula(Formula::And(one.formula, other.formula));
        Term { formula, head: one.head, known: None }
    }

    pub fn or(&mut self, one: Term, other: Term) -> Term {
        if self.folds {
            match (one.known, other.known) {
                (Some(false), _) => return other,
                (_, Some(false)) => return one,
                (Some(true), _) => return one,
                (_, Some(true)) => return other,
                _ => {}
            }
        }
        let formula = self.formula(Formula::Or(one.formula, other.formula));
        Term { formula, head: one.head, known: None }
    }

    pub fn not(&mut self, term: Term) -> Term {
        let formula = self.formula(Formula::Not(term.formula));
        Term { formula, known: term.known.map(|value| !value), ..term }
    }

    /// All of them, from the first on; there must be one.
    pub fn all(&mut self, terms: impl IntoIterator<Item = Term>) -> Term {
        let terms: Vec<Term> = terms.into_iter().collect();
        let joined = terms.into_iter().reduce(|one, other| self.and(one, other));
        joined.unwrap_or_else(|| self.constant(true))
    }

    /// Any of them, from the first on; there must be one.
    pub fn any(&mut self, terms: impl IntoIterator<Item = Term>) -> Term {
        let terms: Vec<Term> = terms.into_iter().collect();
        let joined = terms.into_iter().reduce(|one, other| self.or(one, other));
        joined.unwrap_or_else(|| self.constant(false))
    }

    /// Puts code before that of a term's first block.
    pub fn prepend(&mut self, code: Vec<Insn>, term: &mut Term) {
        let block = &mut self.blocks[term.head as usize];
        block.code.splice(0..0, code);
        term.known = None;
    }
}
