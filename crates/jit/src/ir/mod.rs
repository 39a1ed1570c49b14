//! A small SSA form of programs, between instructions and machine code.
//!
//! Every value is 64 bits; a 32-bit operation gives a zero-extended result. Blocks
//! have parameters and edges carry their arguments, so there are no phis. Values and
//! blocks are dense indices, and everything known about them is a table beside.
//! What has to hold is written down in [`check`](super::ir::check).

pub mod build;
mod calls;
pub mod check;
pub mod flow;
mod print;
pub mod vector;

use vector::Vector;

use skep_isa::{AluOp, AtomicOp, Cond, Pc, Size, Width};

use crate::describe::{ByteOrder, Callees};
pub use crate::state::Exit;

/// A value: an index into [`Func::ops`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Val(pub u32);

/// A block: an index into [`Func::blocks`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Blk(pub u32);

impl Val {
    /// As an index into a table.
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

impl Blk {
    /// The block that a function starts in; it has no predecessors.
    pub const ENTRY: Blk = Blk(0);

    /// As an index into a table.
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// Binary arithmetic, with the semantics of [`AluOp`] where both have it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are RFC 9669's")]
pub enum Bin {
    Add,
    Sub,
    Mul,
    Div,
    SDiv,
    Mod,
    SMod,
    And,
    Or,
    Xor,
    Shl,
    Shr,
    Sar,
    /// Rotates left; the amount counts modulo the width.
    Rotl,
    /// The upper half of the product, of the width given.
    MulHigh,
    /// The lesser, unsigned.
    Min,
    /// The greater, unsigned.
    Max,
}

impl Bin {
    /// Computes it, for either width.
    pub fn eval(self, width: Width, left: u64, right: u64) -> u64 {
        let op = match self {
            Bin::Add => AluOp::Add,
            Bin::Sub => AluOp::Sub,
            Bin::Mul => AluOp::Mul,
            Bin::Div => AluOp::Div,
            Bin::SDiv => AluOp::SDiv,
            Bin::Mod => AluOp::Mod,
            Bin::SMod => AluOp::SMod,
            Bin::And => AluOp::And,
            Bin::Or => AluOp::Or,
            Bin::Xor => AluOp::Xor,
            Bin::Shl => AluOp::Lsh,
            Bin::Shr => AluOp::Rsh,
            Bin::Sar => AluOp::Arsh,
            Bin::Min | Bin::Max => {
                let cut =
                    |number: u64| if width == Width::W64 { number } else { number as u32 as u64 };
                let (left, right) = (cut(left), cut(right));
                return if (left < right) == (self == Bin::Min) { left } else { right };
            }
            Bin::MulHigh => {
                return match width {
                    Width::W64 => ((u128::from(left) * u128::from(right)) >> 64) as u64,
                    Width::W32 => (u64::from(left as u32) * u64::from(right as u32)) >> 32,
                };
            }
            Bin::Rotl => {
                return match width {
                    Width::W64 => left.rotate_left(right as u32 & 63),
                    Width::W32 => (left as u32).rotate_left(right as u32 & 31).into(),
                };
            }
        };
        skep_isa::alu(op, width, left, right)
    }

    /// Whether the operands may change places.
    pub fn commutes(self) -> bool {
        matches!(
            self,
            Bin::Add
                | Bin::Mul
                | Bin::MulHigh
                | Bin::Min
                | Bin::Max
                | Bin::And
                | Bin::Or
                | Bin::Xor
        )
    }

    /// Whether the right operand is an amount of bits.
    pub fn shifts(self) -> bool {
        matches!(self, Bin::Shl | Bin::Shr | Bin::Sar | Bin::Rotl)
    }
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// A number.
    Const(u64),
    /// A parameter of a block.
    Param,
    /// The end of the stack frame that lies this many frames above the function's own
    /// (its r10, or that of a function inlined into it).
    Frame(u32),
    /// `left op right`.
    Bin(Bin, Width, Val, Val),
    /// The lower 8, 16 or 32 bits, extended to 64.
    Ext {
        /// Bits kept.
        bits: u8,
        /// Whether the topmost of them fills the rest.
        signed: bool,
        /// Operand.
        of: Val,
    },
    /// The lower 16, 32 or 64 bits with their bytes reversed, zero-extended.
    Swap(u8, Val),
    /// How many of the 64 bits are 1.
    Ones(Val),
    /// 1 where the condition holds, else 0.
    Cmp(Cond, Width, Val, Val),
    /// The second where the first is not 0, else the third.
    Select(Val, Val, Val),
    /// A load from `base + off`.
    Load {
        /// Bytes.
        size: Size,
        /// Whether it is sign-extended.
        signed: bool,
        /// Address.
        base: Val,
        /// Added to it.
        off: i32,
    },
    /// A store to `base + off`; no value.
    Store {
        /// Bytes.
        size: Size,
        /// Address.
        base: Val,
        /// Added to it.
        off: i32,
        /// What is stored.
        value: Val,
    },
    /// An atomic operation; gives the old word.
    Atomic {
        /// Operation.
        op: AtomicOp,
        /// W or DW.
        size: Size,
        /// Address.
        base: Val,
        /// Added to it.
        off: i32,
        /// Right operand.
        value: Val,
        /// What a compare-and-exchange compares with.
        expected: Val,
    },
    /// A load that later accesses do not overtake, zero-extended.
    Acquire {
        /// Bytes.
        size: Size,
        /// Address.
        base: Val,
        /// Added to it.
        off: i32,
    },
    /// A store that does not overtake earlier accesses; no value.
    Release {
        /// Bytes.
        size: Size,
        /// Address.
        base: Val,
        /// Added to it.
        off: i32,
        /// What is stored.
        value: Val,
    },
    /// A call of a function of the same module, with r1 to r5.
    Call {
        /// Index of the function in its module.
        func: u32,
        /// The frame that it is called from, above the function's own.
        depth: u32,
        /// r1 to r5.
        args: [Val; 5],
    },
    /// A call of a function of the kernel; it may change any memory, the context's cells
    /// included.
    Ask {
        /// Its number.
        callee: u32,
        /// Bytes of a key and of a value of the map that it gets, if that is known.
        sizes: Option<[u32; 2]>,
        /// The frame that it is called from, above the function's own.
        depth: u32,
        /// r1 to r5.
        args: [Val; 5],
    },
    /// `bpf_tail_call`. The program itself is left for the other one; a subprogram gets
    /// 1 where the other one ran, and its result as [`Op::Answer`]. 0 where there is none.
    TailCall {
        /// Whether it is a subprogram's, or a callback's.
        nested: bool,
        /// The frame that it is called from, above the function's own.
        depth: u32,
        /// Context, map, index.
        args: [Val; 3],
    },
    /// What the program returned that the last nested tail call ran.
    Answer,
    /// The number of the vCPU.
    Cpu,
    /// A legacy load from the packet, at a 32-bit offset.
    Legacy {
        /// Bytes.
        size: Size,
        /// Offset.
        at: Val,
    },
    /// A field of the context, by its cell.
    Context {
        /// Index of the cell.
        cell: u16,
        /// Whether nothing in the program can change it.
        fixed: bool,
    },
    /// A store to a field of the context; no value.
    StoreContext {
        /// Bytes.
        size: Size,
        /// Offset of the field.
        off: i32,
        /// What is stored.
        value: Val,
    },
    /// Takes this much from the budget; leaves the run where it is used up.
    Spend(u32),
    /// Enters the frame this far above the function's own, where a subprogram was
    /// inlined; leaves the run where frames are used up.
    Enter(u32),
    /// An operation on vectors.
    Vector(Vector),
}

impl Op {
    /// Calls `change` for each operand.
    pub fn map(&mut self, mut change: impl FnMut(Val) -> Val) {
        match self {
            Op::Const(_) | Op::Param | Op::Frame(_) | Op::Spend(_) | Op::Enter(_) => {}
            Op::Context { .. } | Op::Answer | Op::Cpu => {}
            Op::Ext { of, .. } | Op::Swap(_, of) | Op::Ones(of) => *of = change(*of),
            Op::Legacy { at, .. } => *at = change(*at),
            Op::StoreContext { value, .. } => *value = change(*value),
            Op::Bin(_, _, left, right) | Op::Cmp(_, _, left, right) => {
                *left = change(*left);
                *right = change(*right);
            }
            Op::Select(test, yes, no) => {
                *test = change(*test);
                *yes = change(*yes);
                *no = change(*no);
            }
            Op::Load { base, .. } | Op::Acquire { base, .. } => *base = change(*base),
            Op::Store { base, value, .. } | Op::Release { base, value, .. } => {
                *base = change(*base);
                *value = change(*value);
            }
            Op::Atomic { base, value, expected, .. } => {
                *base = change(*base);
                *value = change(*value);
                *expected = change(*expected);
            }
            Op::Call { args, .. } | Op::Ask { args, .. } => {
                args.iter_mut().for_each(|arg| *arg = change(*arg));
            }
            Op::TailCall { args, .. } => args.iter_mut().for_each(|arg| *arg = change(*arg)),
            Op::Vector(op) => op.map(change),
        }
    }

    /// Calls `visit` for each operand.
    pub fn each(mut self, mut visit: impl FnMut(Val)) {
        self.map(|val| {
            visit(val);
            val
        });
    }

    /// Whether it does something besides giving a value.
    pub fn has_effect(&self) -> bool {
        matches!(
            self,
            Op::Store { .. }
                | Op::Atomic { .. }
                | Op::Acquire { .. }
                | Op::Release { .. }
                | Op::Call { .. }
                | Op::Ask { .. }
                | Op::TailCall { .. }
                | Op::Legacy { .. }
                | Op::StoreContext { .. }
                | Op::Spend(_)
                | Op::Enter(_)
                | Op::Vector(Vector::Store { .. })
        )
    }

    /// Whether it is done by the kernel around the run.
    pub fn calls_host(&self) -> bool {
        matches!(
            self,
            Op::Ask { .. } | Op::TailCall { .. } | Op::Legacy { .. } | Op::StoreContext { .. }
        )
    }

    /// Whether it depends on its operands alone.
    pub fn is_pure(&self) -> bool {
        let varies = matches!(
            self,
            Op::Load { .. }
                | Op::Param
                | Op::Answer
                | Op::Context { fixed: false, .. }
                | Op::Vector(Vector::Load { .. } | Vector::Param(_))
        );
        !self.has_effect() && !varies
    }
}

/// A way from one block to another, with what the other's parameters become.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Edge {
    /// Where to.
    pub to: Blk,
    /// One value for each parameter.
    pub args: Vec<Val>,
}

/// How a block ends.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Term {
    /// Always goes on there.
    Jump(Edge),
    /// Goes to one of two.
    Branch {
        /// Condition.
        cond: Cond,
        /// Bits compared.
        width: Width,
        /// Left operand.
        left: Val,
        /// Right operand.
        right: Val,
        /// Where it holds.
        yes: Edge,
        /// Where it does not.
        no: Edge,
    },
    /// Goes to the case that `on` equals; cases are sorted and differ.
    Switch {
        /// What is compared, as 64 bits.
        on: Val,
        /// Cases.
        cases: Vec<(u64, Edge)>,
        /// Where none is equal.
        default: Edge,
    },
    /// Returns r0.
    Return(Val),
    /// Ends the run at this instruction.
    Trap(Exit, Pc),
}

impl Term {
    /// The edges, in a fixed order.
    pub fn edges(&self) -> Edges<'_> {
        type Parts<'t> = ([Option<&'t Edge>; 2], &'t [(u64, Edge)], Option<&'t Edge>);
        let (pair, cases, last): Parts<'_> = match self {
            Term::Jump(edge) => ([Some(edge), None], &[], None),
            Term::Branch { yes, no, .. } => ([Some(yes), Some(no)], &[], None),
            Term::Switch { cases, default, .. } => ([None, None], cases, Some(default)),
            Term::Return(_) | Term::Trap(..) => ([None, None], &[], None),
        };
        Edges { pair, cases: cases.iter(), last }
    }

    /// The edges, to change, in the same order.
    pub fn edges_mut(&mut self) -> impl Iterator<Item = &mut Edge> {
        type Parts<'t> = ([Option<&'t mut Edge>; 2], &'t mut [(u64, Edge)], Option<&'t mut Edge>);
        let (pair, cases, last): Parts<'_> = match self {
            Term::Jump(edge) => ([Some(edge), None], &mut [], None),
            Term::Branch { yes, no, .. } => ([Some(yes), Some(no)], &mut [], None),
            Term::Switch { cases, default, .. } => ([None, None], cases, Some(default)),
            Term::Return(_) | Term::Trap(..) => ([None, None], &mut [], None),
        };
        pair.into_iter().flatten().chain(cases.iter_mut().map(|(_, edge)| edge)).chain(last)
    }

    /// Calls `change` for each value it uses itself, arguments of edges excluded.
    pub fn map_own(&mut self, mut change: impl FnMut(Val) -> Val) {
        match self {
            Term::Branch { left, right, .. } => {
                *left = change(*left);
                *right = change(*right);
            }
            Term::Switch { on, .. } => *on = change(*on),
            Term::Return(val) => *val = change(*val),
            Term::Jump(_) | Term::Trap(..) => {}
        }
    }

    /// Calls `change` for each value it uses, arguments of edges included.
    pub fn map(&mut self, mut change: impl FnMut(Val) -> Val) {
        self.map_own(&mut change);
        let mut args = |edge: &mut Edge| edge.args.iter_mut().for_each(|arg| *arg = change(*arg));
        match self {
            Term::Jump(edge) => args(edge),
            Term::Branch { yes, no, .. } => {
                args(yes);
                args(no);
            }
            Term::Switch { cases, default, .. } => {
                cases.iter_mut().for_each(|(_, edge)| args(edge));
                args(default);
            }
            Term::Return(_) | Term::Trap(..) => {}
        }
    }

    /// Calls `visit` for each value it uses itself.
    pub fn each_own(&self, mut visit: impl FnMut(Val)) {
        match *self {
            Term::Branch { left, right, .. } => {
                visit(left);
                visit(right);
            }
            Term::Switch { on, .. } => visit(on),
            Term::Return(val) => visit(val),
            Term::Jump(_) | Term::Trap(..) => {}
        }
    }

    /// Calls `visit` for each value it uses, arguments of edges included.
    pub fn each(&self, mut visit: impl FnMut(Val)) {
        self.each_own(&mut visit);
        for edge in self.edges() {
            edge.args.iter().for_each(|&arg| visit(arg));
        }
    }
}

/// The edges of a block's end. Every pass asks for them, so that this is no chain of
/// iterators.
#[derive(Clone)]
pub struct Edges<'t> {
    pair: [Option<&'t Edge>; 2],
    cases: std::slice::Iter<'t, (u64, Edge)>,
    last: Option<&'t Edge>,
}

impl<'t> Iterator for Edges<'t> {
    type Item = &'t Edge;

    fn next(&mut self) -> Option<&'t Edge> {
        let [first, second] = &mut self.pair;
        if let Some(edge) = first.take().or_else(|| second.take()) {
            return Some(edge);
        }
        self.cases.next().map(|(_, edge)| edge).or_else(|| self.last.take())
    }
}

/// A block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its parameters.
    pub params: Vec<Val>,
    /// Its values in order of evaluation, constants excluded.
    pub insts: Vec<Val>,
    /// How it ends.
    pub term: Term,
}

/// A function: a program or a subprogram. The entry's parameters are r1 to r5.
#[derive(Clone, Debug)]
pub struct Func {
    /// What each value is.
    pub ops: Vec<Op>,
    /// The instruction that each value comes from.
    pub pcs: Vec<Pc>,
    /// Blocks; only those in `order` count.
    pub blocks: Vec<Block>,
    /// Reachable blocks in reverse post-order.
    pub order: Vec<Blk>,
    /// Stack frames that it needs: its own and those of functions inlined into it.
    pub frames: u32,
    /// The machine's.
    pub bytes: ByteOrder,
    /// What is known of those that it asks.
    pub callees: Callees,
}

impl Func {
    /// Adds a value; it is in no block yet.
    pub fn push(&mut self, op: Op, pc: Pc) -> Val {
        self.ops.push(op);
        self.pcs.push(pc);
        Val(self.ops.len() as u32 - 1)
    }

    /// What a value is.
    pub fn op(&self, val: Val) -> Op {
        self.ops[val.at()]
    }

    /// A constant's number.
    pub fn number(&self, val: Val) -> Option<u64> {
        match self.op(val) {
            Op::Const(number) => Some(number),
            _ => None,
        }
    }

    /// How often each value is used in reachable blocks.
    pub fn uses(&self) -> Vec<u32> {
        let mut uses = vec![0u32; self.ops.len()];
        for block in self.order.iter().map(|blk| &self.blocks[blk.at()]) {
            for &inst in &block.insts {
                self.op(inst).each(|val| uses[val.at()] += 1);
            }
            block.term.each(|val| uses[val.at()] += 1);
        }
        uses
    }

    /// Replaces each value by what `forward` leads to.
    pub fn forward(&mut self, forward: &mut Forward) {
        if forward.is_idle() {
            return;
        }
        for &blk in &self.order {
            let block = &mut self.blocks[blk.at()];
            for &inst in &block.insts {
                self.ops[inst.at()].map(|val| forward.find(val));
            }
            block.term.map(|val| forward.find(val));
        }
    }
}

/// Functions that call each other; the first is the program.
#[derive(Clone, Debug)]
pub struct Module {
    /// Functions.
    pub funcs: Vec<Func>,
    /// Functions that are called back: their first slots and numbers.
    pub callbacks: Vec<(Pc, u32)>,
    /// Offset and size of the context's fields that are kept in cells.
    pub cells: Vec<(u32, Size)>,
}

impl Module {
    /// Whether something in it calls the kernel around the run.
    pub fn calls_host(&self) -> bool {
        self.funcs.iter().any(|func| {
            let mut blocks = func.order.iter().map(|blk| &func.blocks[blk.at()]);
            blocks.any(|block| block.insts.iter().any(|&inst| func.op(inst).calls_host()))
        })
    }
}

/// Which value each value was replaced by: a forest with path compression.
pub struct Forward {
    to: Vec<Val>,
    /// Whether a value was replaced by another one.
    moves: bool,
}

impl Forward {
    /// Nothing replaced.
    pub fn new(len: usize) -> Forward {
        Forward { to: (0..len as u32).map(Val).collect(), moves: false }
    }

    /// Knows `len` values.
    pub fn grow(&mut self, len: usize) {
        self.to.extend((self.to.len() as u32..len as u32).map(Val));
    }

    /// Replaces a value.
    pub fn set(&mut self, from: Val, to: Val) {
        self.to[from.at()] = to;
        self.moves |= from != to;
    }

    /// What a value became.
    pub fn find(&mut self, mut val: Val) -> Val {
        while self.to[val.at()] != val {
            let next = self.to[self.to[val.at()].at()];
            self.to[val.at()] = next;
            val = next;
        }
        val
    }

    /// Whether it was replaced.
    pub fn moved(&self, val: Val) -> bool {
        self.to[val.at()] != val
    }

    /// Whether nothing was replaced.
    pub fn is_idle(&self) -> bool {
        !self.moves
    }
}
