//! Instructions on symbols: a register holds a word of the call under a mask, or a constant.

use skep_isa::classic::{Cond, Insn, MEM_WORDS, Op, Operand, Reg, alu, holds};

use crate::seccomp::facts::Test;
use crate::seccomp::machine::LENGTH;

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Symbol {
    Constant(u32),
    Word { word: u8, mask: u32 },
}

/// What all registers hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Registers {
    a: Symbol,
    x: Symbol,
    cells: [Symbol; MEM_WORDS as usize],
}

impl Default for Registers {
    fn default() -> Registers {
        // Linux has zeros in them.
        let zero = Symbol::Constant(0);
        Registers { a: zero, x: zero, cells: [zero; MEM_WORDS as usize] }
    }
}

/// Where an instruction leads.
pub(super) enum Next {
    /// Over so many instructions.
    Behind(usize),
    /// Over so many, by the outcome of a test.
    Ask {
        word: u8,
        test: Test,
        yes: usize,
        no: usize,
    },
    Return(u32),
}

/// What a comparison is, before it is known how it comes out.
enum Question {
    Known(bool),
    Ask { word: u8, test: Test, turned: bool },
}

impl Registers {
    /// Executes an instruction. Says what it does where that is not followed.
    pub fn step(&mut self, insn: Insn) -> Result<Next, &'static str> {
        match insn {
            Insn::LoadAbs { offset, .. } => {
                self.a = Symbol::Word { word: (offset / 4) as u8, mask: u32::MAX };
            }
            Insn::LoadLen(reg) => *self.reg(reg) = Symbol::Constant(LENGTH),
            Insn::LoadImm(reg, k) => *self.reg(reg) = Symbol::Constant(k),
            Insn::LoadMem(reg, cell) => {
                *self.reg(reg) = self.cells[cell as usize % self.cells.len()];
            }
            Insn::Store(reg, cell) => {
                let value = *self.reg(reg);
                let index = cell as usize % self.cells.len();
                self.cells[index] = value;
            }
            Insn::Tax => self.x = self.a,
            Insn::Txa => self.a = self.x,
            Insn::Neg => match self.a {
                Symbol::Constant(a) => self.a = Symbol::Constant(a.wrapping_neg()),
                Symbol::Word { .. } => return Err("the negative of a word"),
            },
            Insn::Alu(op, operand) => match self.compute(op, operand)? {
                Some(a) => self.a = a,
                // Division by zero ends the run.
                None => return Ok(Next::Return(0)),
            },
            Insn::Ja(off) => return Ok(Next::Behind(off as usize)),
            Insn::Branch { cond, src, jt, jf } => {
                let (yes, no) = (usize::from(jt), usize::from(jf));
                return Ok(match self.question(cond, src)? {
                    Question::Known(outcome) => Next::Behind(if outcome { yes } else { no }),
                    Question::Ask { word, test, turned: false } => {
                        Next::Ask { word, test, yes, no }
                    }
                    Question::Ask { word, test, turned: true } => {
                        Next::Ask { word, test, yes: no, no: yes }
                    }
                });
            }
            Insn::RetK(k) => return Ok(Next::Return(k)),
            Insn::RetA => match self.a {
                Symbol::Constant(a) => return Ok(Next::Return(a)),
                Symbol::Word { .. } => return Err("the return of a word"),
            },
            Insn::LoadInd { .. } | Insn::LoadAncillary { .. } | Insn::LoadHeaderLen { .. } => {
                return Err("a load of a packet");
            }
        }
        Ok(Next::Behind(0))
    }

    /// The words that are held, a bit each.
    pub fn words(&self) -> u16 {
        let all = [self.a, self.x].into_iter().chain(self.cells);
        all.fold(0, |words, symbol| match symbol {
            Symbol::Word { word, .. } => words | 1 << word,
            Symbol::Constant(_) => words,
        })
    }

    fn reg(&mut self, reg: Reg) -> &mut Symbol {
        match reg {
            Reg::A => &mut self.a,
            Reg::X => &mut self.x,
        }
    }

    fn operand(&self, operand: Operand) -> Result<u32, &'static str> {
        match (operand, self.x) {
            (Operand::K(k), _) | (Operand::X, Symbol::Constant(k)) => Ok(k),
            (Operand::X, Symbol::Word { .. }) => Err("an operand that is a word"),
        }
    }

    fn compute(&self, op: Op, operand: Operand) -> Result<Option<Symbol>, &'static str> {
        let right = self.operand(operand)?;
        match (self.a, op) {
            (Symbol::Constant(a), op) => Ok(alu(op, a, right, true).map(Symbol::Constant)),
            (Symbol::Word { word, mask }, Op::And) => {
                Ok(Some(Symbol::Word { word, mask: mask & right }))
            }
            _ => Err("arithmetic on a word"),
        }
    }

    fn question(&self, cond: Cond, operand: Operand) -> Result<Question, &'static str> {
        let k = self.operand(operand)?;
        let (word, mask) = match self.a {
            Symbol::Constant(a) => return Ok(Question::Known(holds(cond, a, k))),
            Symbol::Word { word, mask } => (word, mask),
        };
        let ask = |test, turned| Ok(Question::Ask { word, test, turned });
        let range = |first: Option<u32>| match first {
            Some(first) => ask(Test::Range(first, u32::MAX), false),
            None => Ok(Question::Known(false)),
        };
        match cond {
            Cond::Set => ask(Test::Bits { mask: mask & k, value: 0 }, true),
            Cond::Eq if k & !mask != 0 => Ok(Question::Known(false)),
            Cond::Eq if mask == u32::MAX => ask(Test::Range(k, k), false),
            Cond::Eq => ask(Test::Bits { mask, value: k }, false),
            Cond::Gt | Cond::Ge if mask != u32::MAX => Err("the order of a part of a word"),
            Cond::Gt => range(k.checked_add(1)),
            Cond::Ge => range(Some(k)),
        }
    }
}

/// The words that are read from each instruction on, a bit each.
pub(super) fn reads(insns: &[Insn]) -> Vec<u16> {
    let mut reads = vec![0u16; insns.len() + 1];
    for (pc, insn) in insns.iter().enumerate().rev() {
        let at = |skip: usize| reads.get(pc + 1 + skip).copied().unwrap_or_default();
        reads[pc] = match *insn {
            Insn::LoadAbs { offset, .. } => at(0) | 1 << (offset / 4),
            Insn::Ja(off) => at(off as usize),
            Insn::Branch { jt, jf, .. } => at(jt.into()) | at(jf.into()),
            Insn::RetK(_) | Insn::RetA => 0,
            _ => at(0),
        };
    }
    reads
}
