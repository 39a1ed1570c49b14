//! Calls of the kernel's functions as SSA. Most stay calls; some become what they do: look-ups
//! in arrays are address arithmetic, loops over a subprogram are loops.

use skep_isa::{Cond, Insn, Operand, Pc, Reg, Size, Width};
use skep_verify::CallMap;

use super::build::Filler;
use super::{Bin, Blk, Block, Edge, Op, Term, Val};
use crate::describe::{Inline, Layout, Range};

impl Filler<'_, '_> {
    /// A call of a function of the kernel. Gives the block's end where it ends one.
    pub(super) fn ask(&mut self, pc: Pc, id: u32) -> Option<Term> {
        if self.builder.budget {
            self.emit(pc, Op::Spend(1));
        }
        let callee = (self.builder.source.callees)(id);
        match callee.inline {
            Some(Inline::TailCall) => return self.tail_call(pc),
            Some(Inline::Cpu) => {
                let cpu = self.emit(pc, Op::Cpu);
                self.returned(cpu);
                return None;
            }
            Some(Inline::Loop { most, too_many }) => {
                if let Some(callback) = self.callback() {
                    self.counted(pc, callback, most, too_many);
                    return None;
                }
            }
            Some(Inline::Nothing) => {
                let zero = self.func.zero();
                self.returned(zero);
                return None;
            }
            Some(Inline::Range(Range::New { most, backward, too_many })) => {
                self.begin_range(pc, most, [backward, too_many]);
                return None;
            }
            Some(Inline::Range(Range::Next)) => return self.next_of_range(pc),
            Some(Inline::Element | Inline::Walk { .. }) | None => {}
        }
        let mut sizes = None;
        if let Some(map) = self.known_map(pc) {
            let known = &self.builder.source.maps[map as usize];
            sizes = Some([known.key_size, known.value_size]);
            if let (Some(Inline::Element), Some(layout)) = (callee.inline, known.elements) {
                return self.element(pc, layout);
            }
            // Whatever register it came from, it is this map.
            if callee.maps[0] {
                self.regs[1] = self.constant(pc, known.word);
            }
        }
        let (used, zero) = (callee.words, self.func.zero());
        let args = std::array::from_fn(|arg| if arg < used { self.regs[arg + 1] } else { zero });
        let result = self.emit(pc, Op::Ask { callee: id, sizes, depth: 0, args });
        self.returned(result);
        None
    }

    /// The program goes on behind a tail call unless it was that of a subprogram.
    fn tail_call(&mut self, pc: Pc) -> Option<Term> {
        let nested = self.is_subprogram;
        let args = [self.regs[1], self.regs[2], self.regs[3]];
        let ran = self.emit(pc, Op::TailCall { nested, depth: 0, args });
        let zero = self.func.zero();
        self.regs[1..=5].fill(zero);
        if !nested {
            return None;
        }
        let answer = self.func.push(Op::Answer, pc);
        let yes = self.block_of(vec![answer], Term::Return(answer));
        let no = self.target(pc, 0);
        Some(Term::Branch { cond: Cond::Ne, width: Width::W64, left: ran, right: zero, yes, no })
    }

    fn block_of(&mut self, insts: Vec<Val>, term: Term) -> Edge {
        self.func.blocks.push(Block { params: vec![], insts, term });
        Edge { to: Blk(self.func.blocks.len() as u32 - 1), args: vec![] }
    }

    /// The map that a verified program's callee gets, by its number in the program.
    fn known_map(&self, pc: Pc) -> Option<u32> {
        let source = self.builder.source;
        let CallMap::One(map) = source.facts?.at(pc).map else { return None };
        *source.fact_maps.get(usize::from(map))?
    }

    /// A look-up in an array: `index < count ? base + index * slot : 0`. A test for null
    /// right behind it becomes the test of the index.
    fn element(&mut self, pc: Pc, layout: Layout) -> Option<Term> {
        let key = Op::Load { size: Size::W, signed: false, base: self.regs[2], off: 0 };
        let index = self.emit(pc, key);
        let (slot, mut base) = (self.constant(pc, layout.slot), self.constant(pc, layout.base));
        if layout.area > 0 {
            let cpu = self.emit(pc, Op::Cpu);
            let area = self.constant(pc, layout.area);
            let own = self.emit(pc, Op::Bin(Bin::Mul, Width::W64, cpu, area));
            base = self.emit(pc, Op::Bin(Bin::Add, Width::W64, own, base));
        }
        let inside = self.emit(pc, Op::Bin(Bin::Mul, Width::W64, index, slot));
        let address = self.emit(pc, Op::Bin(Bin::Add, Width::W64, inside, base));
        let count = self.constant(pc, layout.count.into());
        let zero = self.func.zero();
        if let Some([yes, no]) = self.tested(pc, address) {
            let (cond, width) = (Cond::Lt, Width::W64);
            return Some(Term::Branch { cond, width, left: index, right: count, yes, no });
        }
        let found = self.emit(pc, Op::Cmp(Cond::Lt, Width::W64, index, count));
        let result = self.emit(pc, Op::Select(found, address, zero));
        self.returned(result);
        None
    }

    /// Where control goes from a call that gives this pointer or null, with either in r0, if
    /// the next instruction does nothing but to test that.
    fn tested(&mut self, pc: Pc, pointer: Val) -> Option<[Edge; 2]> {
        let (zero, next) = (self.func.zero(), pc + 1);
        let Some(&Insn::Branch { cond, width, dst: Reg::R0, src: Operand::Imm(0), off }) =
            self.builder.insn(next.into())
        else {
            return None;
        };
        let both = self.builder.edges(next).falls && self.builder.edges(next).jumps;
        let alone = self.builder.block_at(self.plan, next.into()).is_none();
        if !matches!((cond, width), (Cond::Eq | Cond::Ne, Width::W64)) || !both || !alone {
            return None;
        }
        let [first, second] = if cond == Cond::Ne { [pointer, zero] } else { [zero, pointer] };
        self.returned(first);
        let jumps = self.jump(next, off.into());
        self.returned(second);
        let falls = self.target(next, 0);
        Some(if cond == Cond::Ne { [jumps, falls] } else { [falls, jumps] })
    }

    /// Begins an iteration over numbers: `at = start - 1`, or both 0 where there is none.
    fn begin_range(&mut self, pc: Pc, most: u64, [backward, too_many]: [u64; 2]) {
        let [base, start, end] = [self.regs[1], self.regs[2], self.regs[3]];
        let signed = |of| Op::Ext { bits: 32, signed: true, of };
        let (first, last) = (self.emit(pc, signed(start)), self.emit(pc, signed(end)));
        let (one, zero) = (self.constant(pc, 1), self.func.zero());
        let most = self.constant(pc, most);
        let (backward, too_many) = (self.constant(pc, backward), self.constant(pc, too_many));
        let count = self.emit(pc, Op::Bin(Bin::Sub, Width::W64, last, first));
        let is_backward = self.emit(pc, Op::Cmp(Cond::Slt, Width::W64, count, zero));
        let fits = self.emit(pc, Op::Cmp(Cond::Le, Width::W64, count, most));
        let before = self.emit(pc, Op::Bin(Bin::Sub, Width::W32, start, one));
        for (off, value) in [(0, before), (4, end)] {
            let value = self.emit(pc, Op::Select(fits, value, zero));
            self.emit(pc, Op::Store { size: Size::W, base, off, value });
        }
        let why = self.emit(pc, Op::Select(is_backward, backward, too_many));
        let result = self.emit(pc, Op::Select(fits, zero, why));
        self.returned(result);
    }

    /// Goes on with an iteration over numbers: `at += 1`, or both 0 at its end. A test for null
    /// right behind it becomes the test of the number.
    fn next_of_range(&mut self, pc: Pc) -> Option<Term> {
        let (base, zero) = (self.regs[1], self.func.zero());
        let load = |off| Op::Load { size: Size::W, signed: false, base, off };
        let store = |off, value| Op::Store { size: Size::W, base, off, value };
        let (at, end) = (self.emit(pc, load(0)), self.emit(pc, load(4)));
        let one = self.constant(pc, 1);
        let next = self.emit(pc, Op::Bin(Bin::Add, Width::W32, at, one));
        let (cond, width) = (Cond::Slt, Width::W32);
        if let Some([on, over]) = self.tested(pc, base) {
            let moves = vec![self.func.push(store(0, next), pc)];
            let ends = [0, 4].map(|off| self.func.push(store(off, zero), pc)).to_vec();
            let yes = self.block_of(moves, Term::Jump(on));
            let no = self.block_of(ends, Term::Jump(over));
            return Some(Term::Branch { cond, width, left: next, right: end, yes, no });
        }
        let goes_on = self.emit(pc, Op::Cmp(cond, width, next, end));
        for (off, value) in [(0, next), (4, end)] {
            let value = self.emit(pc, Op::Select(goes_on, value, zero));
            self.emit(pc, store(off, value));
        }
        let result = self.emit(pc, Op::Select(goes_on, base, zero));
        self.returned(result);
        None
    }

    /// The function that is looped over here, if that is clear, and its flags are 0.
    fn callback(&mut self) -> Option<u32> {
        let callback = self.func.number(self.regs[2])?;
        if self.func.number(self.regs[4])? != 0 {
            return None;
        }
        self.builder.known_callback(callback)
    }

    /// A loop over a subprogram: `for index in 0..count { if func(index, context) != 0 ...`
    fn counted(&mut self, pc: Pc, func: u32, most: u64, too_many: u64) {
        let (count, context, zero) = (self.regs[1], self.regs[3], self.func.zero());
        let count = self.emit(pc, Op::Ext { bits: 32, signed: false, of: count });
        let (most, too_many) = (self.constant(pc, most), self.constant(pc, too_many));
        let (one, width) = (self.constant(pc, 1), Width::W64);
        let [index, result] = std::array::from_fn(|_| self.func.push(Op::Param, pc));
        let head = Blk(self.func.blocks.len() as u32);
        let (body, after) = (Blk(head.0 + 1), Blk(head.0 + 2));
        let to = |to: Blk, arg: Val| Edge { to, args: vec![arg] };
        self.func.blocks[self.blk.at()].term = Term::Branch {
            cond: Cond::Gt,
            width,
            left: count,
            right: most,
            yes: to(after, too_many),
            no: to(head, zero),
        };
        let goes_on = Term::Branch {
            cond: Cond::Lt,
            width,
            left: index,
            right: count,
            yes: Edge { to: body, args: vec![] },
            no: to(after, count),
        };
        let call = Op::Call { func, depth: 0, args: [index, context, zero, zero, zero] };
        let mut insts = Vec::new();
        // Loops in loops may run for hours; a budget ends them.
        if self.builder.budget || self.is_subprogram {
            insts.push(self.func.push(Op::Spend(1), pc));
        }
        let stops = self.func.push(call, pc);
        let next = self.func.push(Op::Bin(Bin::Add, width, index, one), pc);
        insts.extend([stops, next]);
        let again = Term::Branch {
            cond: Cond::Ne,
            width,
            left: stops,
            right: zero,
            yes: to(after, next),
            no: to(head, next),
        };
        let blank = Term::Return(zero);
        self.func.blocks.extend([
            Block { params: vec![index], insts: vec![], term: goes_on },
            Block { params: vec![], insts, term: again },
            Block { params: vec![result], insts: vec![], term: blank },
        ]);
        self.blk = after;
        self.returned(result);
    }
}
