//! Accesses to memory and what guards them.
//!
//! An address is compared with the stack and with the region that was used last, the
//! one first that its base was made from: `address - start < places`, unsigned, where
//! `places` says at how many places an access of this size fits. What is in neither is
//! the host's to look up.

use cranelift_codegen::ir::{
    AtomicRmwOp, BlockArg, InstBuilder, MemFlagsData, Type, Value, condcodes::IntCC, types::*,
};
use skep_isa::{AtomicOp, Pc, Size, Width};

use super::func::{Lowering, sized_type};
use crate::describe::{Checks, atomic_code};
use crate::ir::{Bin, Exit, Op, Val};
use crate::state::FRAME_SIZE;
use crate::state::offset;

/// Flags of accesses that cannot fault.
pub fn plain() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// Where an access goes.
enum Place {
    /// This address and this much behind it, surely the program's.
    Sure(Value, i32),
    /// This address, whatever it is.
    Unknown(Value),
}

/// What an access is.
#[derive(Clone, Copy)]
pub struct Access {
    pub pc: Pc,
    pub size: Size,
    pub base: Val,
    pub off: i32,
}

impl Lowering<'_, '_> {
    fn place(&mut self, access: Access, write: bool) -> Place {
        let Access { size, base, off, .. } = access;
        let address = self.value(base);
        if self.target.checks == Checks::Elided {
            return Place::Sure(address, off);
        }
        if let Op::Frame(index) = self.func.op(base) {
            // The frame's own bytes are always there; `Enter` saw to it.
            let (frame, size) = (FRAME_SIZE as i32, size.bytes() as i32);
            if index < self.func.frames && off >= -frame && off + size <= 0 {
                return Place::Sure(address, off);
            }
        }
        if self.is_direct(access, write) {
            return Place::Sure(address, off);
        }
        Place::Unknown(match off {
            0 => address,
            _ => {
                let off = self.builder.ins().iconst(I64, i64::from(off));
                self.builder.ins().iadd(address, off)
            }
        })
    }

    /// Whether an access is surely inside of a map's only value, which code has the
    /// address of from the start.
    fn is_direct(&self, access: Access, write: bool) -> bool {
        let Some(address) = self.func.number(access.base) else { return false };
        let address = address.wrapping_add_signed(access.off.into());
        let (values, size) = (&self.target.maps, u64::from(access.size.bytes()));
        values.iter().filter_map(|map| map.direct).any(|value| {
            let at = address.wrapping_sub(value.start);
            let fits = at <= value.len.into() && size <= u64::from(value.len) - at;
            fits && (value.writable || !write)
        })
    }

    pub fn load(&mut self, access: Access, signed: bool) -> Value {
        let size = access.size;
        match self.place(access, false) {
            Place::Sure(at, off) => self.native_load(size, signed, at, off),
            Place::Unknown(at) => {
                let what = size.bytes() | u32::from(signed) << 8;
                let found = self.guarded(
                    at,
                    size,
                    self.is_from_stack(access.base),
                    |this| Some(this.native_load(size, signed, at, 0)),
                    |this| {
                        let site = this.site(access.pc, what);
                        Some(this.host(this.target.host.load as usize, &[site, at]))
                    },
                );
                found.unwrap_or(at)
            }
        }
    }

    fn native_load(&mut self, size: Size, signed: bool, at: Value, off: i32) -> Value {
        let ins = self.builder.ins();
        match (size, signed) {
            (Size::DW, _) => ins.load(I64, plain(), at, off),
            (Size::W, false) => ins.uload32(plain(), at, off),
            (Size::H, false) => ins.uload16(I64, plain(), at, off),
            (Size::B, false) => ins.uload8(I64, plain(), at, off),
            (Size::W, true) => ins.sload32(plain(), at, off),
            (Size::H, true) => ins.sload16(I64, plain(), at, off),
            (Size::B, true) => ins.sload8(I64, plain(), at, off),
        }
    }

    pub fn store(&mut self, access: Access, value: Val) {
        let size = access.size;
        let value = self.value(value);
        match self.place(access, true) {
            Place::Sure(at, off) => self.native_store(size, value, at, off),
            Place::Unknown(at) => {
                self.guarded(
                    at,
                    size,
                    self.is_from_stack(access.base),
                    |this| {
                        this.native_store(size, value, at, 0);
                        None
                    },
                    |this| {
                        let site = this.site(access.pc, size.bytes());
                        this.host(this.target.host.store as usize, &[site, at, value]);
                        None
                    },
                );
            }
        }
    }

    fn native_store(&mut self, size: Size, value: Value, at: Value, off: i32) {
        let ins = self.builder.ins();
        match size {
            Size::DW => ins.store(plain(), value, at, off),
            Size::W => ins.istore32(plain(), value, at, off),
            Size::H => ins.istore16(plain(), value, at, off),
            Size::B => ins.istore8(plain(), value, at, off),
        };
    }

    pub fn acquire(&mut self, access: Access) -> Value {
        let size = access.size;
        let fast = |this: &mut Self, at: Value| {
            let value = this.builder.ins().atomic_load(sized_type(size), plain(), at);
            if size == Size::DW { value } else { this.builder.ins().uextend(I64, value) }
        };
        match self.place(access, false) {
            Place::Sure(at, off) => {
                let at = self.behind(at, off);
                fast(self, at)
            }
            Place::Unknown(at) => {
                let found = self.guarded(
                    at,
                    size,
                    self.is_from_stack(access.base),
                    |this| Some(fast(this, at)),
                    |this| {
                        let site = this.site(access.pc, size.bytes());
                        Some(this.host(this.target.host.load as usize, &[site, at]))
                    },
                );
                found.unwrap_or(at)
            }
        }
    }

    pub fn release(&mut self, access: Access, value: Val) {
        let size = access.size;
        let value = self.value(value);
        let fast = |this: &mut Self, at: Value| {
            let mut value = value;
            if size != Size::DW {
                value = this.builder.ins().ireduce(sized_type(size), value);
            }
            this.builder.ins().atomic_store(plain(), value, at);
        };
        match self.place(access, true) {
            Place::Sure(at, off) => {
                let at = self.behind(at, off);
                fast(self, at);
            }
            Place::Unknown(at) => {
                self.guarded(
                    at,
                    size,
                    self.is_from_stack(access.base),
                    |this| {
                        fast(this, at);
                        None
                    },
                    |this| {
                        let site = this.site(access.pc, size.bytes());
                        this.host(this.target.host.store as usize, &[site, at, value]);
                        None
                    },
                );
            }
        }
    }

    pub fn atomic(&mut self, access: Access, op: AtomicOp, value: Val, expected: Val) -> Value {
        let size = access.size;
        let width = if size == Size::DW { Width::W64 } else { Width::W32 };
        let fast = |this: &mut Self, at: Value| {
            let operand = this.sized(width, value);
            let flags = MemFlagsData::trusted();
            let op = match op {
                AtomicOp::Add { .. } => Some(AtomicRmwOp::Add),
                AtomicOp::Or { .. } => Some(AtomicRmwOp::Or),
                AtomicOp::And { .. } => Some(AtomicRmwOp::And),
                AtomicOp::Xor { .. } => Some(AtomicRmwOp::Xor),
                AtomicOp::Xchg => Some(AtomicRmwOp::Xchg),
                AtomicOp::Cmpxchg => None,
            };
            let old = match op {
                Some(op) => this.builder.ins().atomic_rmw(sized_type(size), flags, op, at, operand),
                None => {
                    let expected = this.sized(width, expected);
                    this.builder.ins().atomic_cas(flags, at, expected, operand)
                }
            };
            if size == Size::DW { old } else { this.builder.ins().uextend(I64, old) }
        };
        match self.place(access, true) {
            Place::Sure(at, off) => {
                let at = self.behind(at, off);
                fast(self, at)
            }
            Place::Unknown(at) => {
                let what = size.bytes() | atomic_code(op) << 8;
                let (operand, other) = (self.value(value), self.value(expected));
                let found = self.guarded(
                    at,
                    size,
                    self.is_from_stack(access.base),
                    |this| Some(fast(this, at)),
                    |this| {
                        let site = this.site(access.pc, what);
                        let values = [site, at, operand, other];
                        Some(this.host(this.target.host.atomic as usize, &values))
                    },
                );
                found.unwrap_or(at)
            }
        }
    }

    fn behind(&mut self, at: Value, off: i32) -> Value {
        if off == 0 {
            return at;
        }
        let off = self.builder.ins().iconst(I64, i64::from(off));
        self.builder.ins().iadd(at, off)
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
        let limit = self.field(I64, offset::LIMIT);
        let fits = self.builder.ins().icmp(IntCC::UnsignedLessThanOrEqual, frame, limit);
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
