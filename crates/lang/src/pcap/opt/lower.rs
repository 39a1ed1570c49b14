//! From numbers back to code. On each edge it is known which numbers A and X hold, so that
//! what is there already is not loaded again.

use skep_isa::classic::{Cond, Insn, MEM_WORDS, Op, Operand, Reg};

use super::dag::{Dag, Node};
use super::value::{V, Value, Values};
use crate::pcap::graph::{self, End, Graph};

/// What the registers hold.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Held {
    a: Option<V>,
    x: Option<V>,
}

/// The code of one node.
struct Writer<'a> {
    values: &'a Values,
    code: Vec<Insn>,
    held: Held,
    /// Cells in use.
    depth: u32,
}

/// The program of a decision graph; `None` where it needs more cells than there are.
pub fn lower(dag: &Dag, values: &Values) -> Option<Graph> {
    let arrivals = dag.arrivals();
    let mut arriving: Vec<Option<Held>> = vec![None; dag.nodes.len()];
    arriving[dag.root as usize] = Some(Held::default());
    let mut nodes = Vec::new();
    for id in (0..dag.nodes.len()).rev() {
        let Some(held) = arriving[id].filter(|_| arrivals[id] > 0) else {
            nodes.push(graph::Node { code: Vec::new(), end: End::Return(0) });
            continue;
        };
        let mut writer = Writer { values, code: Vec::new(), held, depth: 0 };
        let end = match dag.get(id as u32) {
            Node::Return(bytes) => End::Return(bytes),
            Node::Touch(value, next) => {
                writer.touch(value)?;
                End::Goto(next)
            }
            Node::Test { cond, left, right, yes, no } => {
                let src = writer.test(cond, left, right)?;
                End::Branch { cond, src, yes, no }
            }
        };
        for next in dag.next(id as u32).into_iter().flatten() {
            let there = &mut arriving[next as usize];
            *there = Some(match *there {
                None => writer.held,
                Some(other) => Held {
                    a: other.a.filter(|_| other.a == writer.held.a),
                    x: other.x.filter(|_| other.x == writer.held.x),
                },
            });
        }
        nodes.push(graph::Node { code: writer.code, end });
    }
    nodes.reverse();
    Some(Graph { nodes, root: dag.root })
}

impl Writer<'_> {
    fn push(&mut self, insn: Insn) {
        self.code.push(insn);
    }

    /// A number that only has to be there: a header's length needs no A.
    fn touch(&mut self, value: V) -> Option<()> {
        self.load_a(value)
    }

    fn test(&mut self, _: Cond, left: V, right: V) -> Option<Operand> {
        if let Some(k) = self.values.as_const(right) {
            self.load_a(left)?;
            return Some(Operand::K(k));
        }
        self.both(left, right, false)?;
        Some(Operand::X)
    }

    /// Whether computing a number writes X.
    fn uses_x(&self, value: V) -> bool {
        match self.values.get(value) {
            Value::Const(_) | Value::Len | Value::Ancillary(..) => false,
            Value::Load { base, .. } => base.is_some(),
            Value::Neg(inner) => self.uses_x(inner),
            Value::Alu(_, left, right) => {
                self.values.as_const(right).is_none() || self.uses_x(left)
            }
        }
    }

    /// Puts one number into A and the other into X, or the other way round where that is
    /// as good.
    fn both(&mut self, left: V, right: V, swaps: bool) -> Option<()> {
        if self.held.a == Some(left) && self.held.x == Some(right) {
            return Some(());
        }
        if left == right {
            self.load_a(left)?;
            self.push(Insn::Tax);
            self.held.x = Some(left);
            return Some(());
        }
        let (mut left, mut right) = (left, right);
        // A header's length goes into X without A.
        if swaps && self.values.header_len(left).is_some() {
            std::mem::swap(&mut left, &mut right);
        }
        let (left_uses, right_uses) = (self.uses_x(left), self.uses_x(right));
        if !left_uses {
            self.load_x(right)?;
            return self.load_a(left);
        }
        if self.values.header_len(right).is_some() {
            self.load_a(left)?;
            return self.load_x(right);
        }
        if swaps && !right_uses {
            self.load_x(left)?;
            return self.load_a(right);
        }
        self.load_a(left)?;
        let cell = self.depth;
        if cell >= MEM_WORDS {
            return None;
        }
        self.push(Insn::Store(Reg::A, cell));
        self.depth += 1;
        self.load_x(right)?;
        self.depth -= 1;
        self.push(Insn::LoadMem(Reg::A, cell));
        self.held.a = Some(left);
        Some(())
    }

    fn load_x(&mut self, value: V) -> Option<()> {
        if self.held.x == Some(value) {
            return Some(());
        }
        match self.values.get(value) {
            Value::Const(k) => self.push(Insn::LoadImm(Reg::X, k)),
            Value::Len => self.push(Insn::LoadLen(Reg::X)),
            _ => match self.values.header_len(value) {
                Some(offset) => self.push(Insn::LoadHeaderLen { offset: offset as i32 }),
                None => {
                    self.load_a(value)?;
                    self.push(Insn::Tax);
                }
            },
        }
        self.held.x = Some(value);
        Some(())
    }

    fn load_a(&mut self, value: V) -> Option<()> {
        if self.held.a == Some(value) {
            return Some(());
        }
        if self.held.x == Some(value) {
            self.push(Insn::Txa);
            self.held.a = Some(value);
            return Some(());
        }
        match self.values.get(value) {
            Value::Const(k) => self.push(Insn::LoadImm(Reg::A, k)),
            Value::Len => self.push(Insn::LoadLen(Reg::A)),
            Value::Ancillary(what, size) => self.push(Insn::LoadAncillary { size, what }),
            Value::Load { size, base: None, offset } => {
                self.push(Insn::LoadAbs { size, offset: offset as i32 });
            }
            Value::Load { size, base: Some(base), offset } => {
                self.load_x(base)?;
                self.push(Insn::LoadInd { size, offset: offset as i32 });
            }
            Value::Neg(inner) => {
                self.load_a(inner)?;
                self.push(Insn::Neg);
            }
            Value::Alu(op, left, right) => {
                let src = match self.values.as_const(right) {
                    Some(k) => {
                        self.load_a(left)?;
                        Operand::K(k)
                    }
                    None => {
                        let swaps = matches!(op, Op::Add | Op::Mul | Op::Or | Op::And | Op::Xor);
                        self.both(left, right, swaps)?;
                        Operand::X
                    }
                };
                self.push(Insn::Alu(op, src));
            }
        }
        self.held.a = Some(value);
        Some(())
    }
}
