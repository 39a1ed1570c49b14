//! Calls of the kernel's functions as SSA. Most stay calls; some become what they do: look-ups
//! in arrays are address arithmetic, loops over a subprogram are loops.

use skep_isa::{Cond, Insn, Operand, Pc, Reg, Size, Width};
use skep_verify::CallMap;

use super::build::Filler;
use super::{Bin, Blk, Block, Edge, Op, Term, Val};
use crate::describe::{Inline, Layout};

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
        let (zero, next) = (self.func.zero(), pc + 1);
        if let Some(&Insn::Branch { cond, width, dst: Reg::R0, src: Operand::Imm(0), off }) =
            self.builder.insn(next.into())
            && let (Cond::Eq | Cond::Ne, Width::W64) = (cond, width)
            && self.builder.block_at(self.plan, next.into()).is_none()
            && self.builder.edges(next).falls
            && self.builder.edges(next).jumps
        {
            let [first, second] = if cond == Cond::Ne { [address, zero] } else { [zero, address] };
            self.returned(first);
            let jumps = self.jump(next, off.into());
            self.returned(second);
            let falls = self.target(next, 0);
            let [yes, no] = if cond == Cond::Ne { [jumps, falls] } else { [falls, jumps] };
            let (cond, width) = (Cond::Lt, Width::W64);
            return Some(Term::Branch { cond, width, left: index, right: count, yes, no });
        }
        let found = self.emit(pc, Op::Cmp(Cond::Lt, Width::W64, index, count));
        let result = self.emit(pc, Op::Select(found, address, zero));
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
