//! Accesses to memory and what guards them.
//!
//! An address is compared with the ranges of the run, the one first that its base
//! was made from: `address - start < places`, unsigned, where `places` says at how many
//! places an access of this size fits. What is in no range leaves the run.

use cranelift_codegen::ir::{
    BlockArg, InstBuilder, MemFlagsData, Type, Value, condcodes::IntCC, types::*,
};
use skep_isa::{Pc, Size};

use super::func::Lowering;
use crate::jit::Checks;
use crate::jit::ir::{Bin, Exit, Op, Val};
use crate::jit::run::{STACK_SIZE, offset};
use crate::mem::stack::FRAME_SIZE;

/// Flags of accesses that cannot fault.
pub fn plain() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

impl Lowering<'_, '_> {
    /// The address of an access and what to add to it, after its check.
    pub fn access(&mut self, at: Val, base: Val, off: i32, size: Size) -> (Value, i32) {
        let pc = self.func.pcs[at.at()];
        let address = self.value(base);
        if self.checks == Checks::Elided {
            return (address, off);
        }
        if let Op::Frame(index) = self.func.op(base) {
            // The frame's own bytes are always there; `Enter` saw to it.
            let (frame, size) = (FRAME_SIZE as i32, size.bytes() as i32);
            if index < self.func.frames && off >= -frame && off + size <= 0 {
                return (address, off);
            }
        }
        let address = match off {
            0 => address,
            _ => {
                let off = self.builder.ins().iconst(I64, i64::from(off));
                self.builder.ins().iadd(address, off)
            }
        };
        self.guard(address, size, pc, self.is_from_stack(base));
        (address, 0)
    }

    /// Whether an address was made from r10.
    fn is_from_stack(&self, mut base: Val) -> bool {
        loop {
            match self.func.op(base) {
                Op::Frame(_) => return true,
                Op::Bin(Bin::Add, _, left, _) => base = left,
                _ => return false,
            }
        }
    }

    /// Leaves the run unless an access at `address` is within its memory.
    fn guard(&mut self, address: Value, size: Size, pc: Pc, stack_first: bool) {
        let (second, inside) = (self.builder.create_block(), self.builder.create_block());
        let first = self.within(address, size, stack_first);
        self.builder.ins().brif(first, inside, &[], second, &[]);
        self.builder.switch_to_block(second);
        let fits = self.within(address, size, !stack_first);
        let args = self.exit_args(Exit::Memory, pc);
        let exit = self.exit_block();
        self.builder.ins().brif(fits, inside, &[], exit, &args);
        self.builder.switch_to_block(inside);
    }

    fn within(&mut self, address: Value, size: Size, stack: bool) -> Value {
        let (start, places) = if stack {
            let start = self.field(I64, offset::STACK);
            let places = STACK_SIZE + 1 - u64::from(size.bytes());
            (start, self.builder.ins().iconst(I64, places as i64))
        } else {
            let start = self.field(I64, offset::MEMORY);
            (start, self.field(I64, offset::PLACES + 8 * size as i32))
        };
        let within = self.builder.ins().isub(address, start);
        self.builder.ins().icmp(IntCC::UnsignedLessThan, within, places)
    }

    /// Takes from the budget; leaves the run where there is too little.
    pub fn spend(&mut self, cost: u32, pc: Pc) {
        let left = self.field(I64, offset::BUDGET);
        let cost = self.builder.ins().iconst(I64, i64::from(cost));
        let rest = self.builder.ins().isub(left, cost);
        self.builder.ins().store(plain(), rest, self.state, offset::BUDGET);
        let enough = self.builder.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, left, cost);
        self.go_on_if(enough, Exit::Budget, pc);
    }

    /// Leaves the run where a frame this far above the function's is none any more.
    pub fn enter(&mut self, depth: u32, pc: Pc) -> Value {
        let frame = self.frame(depth);
        let stack = self.field(I64, offset::STACK);
        let within = self.builder.ins().isub(frame, stack);
        let size = self.builder.ins().iconst(I64, STACK_SIZE as i64);
        let fits = self.builder.ins().icmp(IntCC::UnsignedLessThanOrEqual, within, size);
        self.go_on_if(fits, Exit::CallDepth, pc);
        frame
    }

    fn go_on_if(&mut self, condition: Value, exit: Exit, pc: Pc) {
        let next = self.builder.create_block();
        let args = self.exit_args(exit, pc);
        let exit = self.exit_block();
        self.builder.ins().brif(condition, next, &[], exit, &args);
        self.builder.switch_to_block(next);
    }

    /// A field of the run's state.
    pub fn field(&mut self, ty: Type, offset: i32) -> Value {
        self.builder.ins().load(ty, plain(), self.state, offset)
    }

    /// What the exit block gets: reason and instruction.
    pub fn exit_args(&mut self, exit: Exit, pc: Pc) -> [BlockArg; 2] {
        let exit = self.builder.ins().iconst(I32, exit as i64);
        let pc = self.builder.ins().iconst(I32, i64::from(pc));
        [BlockArg::Value(exit), BlockArg::Value(pc)]
    }
}
