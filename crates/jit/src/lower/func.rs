//! One function from SSA to Cranelift's IR, value by value.
//!
//! Values are 64-bit there too; the 32-bit form of a value is kept beside where one
//! was computed, so that chains of 32-bit operations are not extended in between.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, ExtFuncData, ExternalName, Function, InstBuilder, JumpTableData, SourceLoc,
    StackSlot, StackSlotData, StackSlotKind, Type, UserExternalName, Value, types::*,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Switch};
use skep_isa::{Cond, Pc, Size, Width};

use super::memory::{Access, plain};
use super::vector::lanes_type;
use crate::describe::{Checks, Host, MapView};
use crate::ir::vector::Vector;
use crate::ir::{Bin, Blk, Edge, Func, Op, Term, Val};
use crate::state::FRAME_SIZE;
use crate::state::offset;

/// Cases of a switch that lie within this many numbers become a table.
const TABLE_SPAN: u64 = 1024;

/// What code is made for.
#[derive(Clone, Copy)]
pub struct Target<'t> {
    /// The machine.
    pub isa: &'t dyn TargetIsa,
    /// Which functions are entered from outside.
    pub entered: &'t [bool],
    /// Which checks code makes.
    pub checks: Checks,
    /// The program's maps.
    pub maps: &'t [MapView],
    /// What code asks.
    pub host: &'t Host,
    /// Whether functions ask the kernel around them, which may end the run.
    pub hosted: bool,
    /// Whether code says which instructions it comes from.
    pub lines: bool,
}

/// Lowers `func` into `into`.
pub fn lower(
    func: &Func,
    target: Target<'_>,
    into: &mut Function,
    builders: &mut FunctionBuilderContext,
) {
    let mut builder = FunctionBuilder::new(into, builders);
    let blocks = func.blocks.iter().map(|_| builder.create_block()).collect();
    let mut lowering = Lowering {
        state: Value::from_u32(0),
        frame_pointer: None,
        slots: vec![None; func.frames as usize],
        wide: vec![None; func.ops.len()],
        narrow: vec![None; func.ops.len()],
        uses: func.uses(),
        exit: None,
        over: None,
        builder,
        blocks,
        func,
        target,
    };
    lowering.run();
    lowering.builder.seal_all_blocks();
    lowering.builder.finalize(target.isa.frontend_config());
}

pub struct Lowering<'f, 'b> {
    pub func: &'f Func,
    pub target: Target<'f>,
    pub builder: FunctionBuilder<'b>,
    /// The run's [`State`](crate::State).
    pub state: Value,
    /// End of the function's frame in the run's stack; of guarded code.
    frame_pointer: Option<Value>,
    /// Frames of unguarded code, on the native stack.
    slots: Vec<Option<StackSlot>>,
    blocks: Vec<Block>,
    wide: Vec<Option<Value>>,
    narrow: Vec<Option<Value>>,
    uses: Vec<u32>,
    /// Where code leaves with a reason.
    exit: Option<Block>,
    /// Where code leaves for a reason that the state has already.
    over: Option<Block>,
}

impl Lowering<'_, '_> {
    fn run(&mut self) {
        for &blk in &self.func.order {
            let block = self.blocks[blk.at()];
            if blk == Blk::ENTRY {
                self.builder.append_block_params_for_function_params(block);
                let params = self.builder.block_params(block);
                self.state = params[0];
                for (&param, &value) in self.func.blocks[0].params.iter().zip(&params[1..]) {
                    self.wide[param.at()] = Some(value);
                }
                continue;
            }
            for &param in &self.func.blocks[blk.at()].params {
                let ty = match self.func.op(param) {
                    Op::Vector(Vector::Param(size)) => lanes_type(size),
                    _ => I64,
                };
                self.wide[param.at()] = Some(self.builder.append_block_param(block, ty));
            }
        }
        for &blk in &self.func.order {
            self.builder.switch_to_block(self.blocks[blk.at()]);
            if blk == Blk::ENTRY && self.target.checks == Checks::Guarded {
                self.frame_pointer = Some(self.field(I64, offset::FRAME));
            }
            // What no instruction of this block comes before is none's.
            self.builder.set_srcloc(SourceLoc::default());
            let block = &self.func.blocks[blk.at()];
            for &inst in &block.insts {
                self.inst(inst);
            }
            self.term(&block.term);
        }
        self.leave();
    }

    /// The 64-bit form of a value.
    pub fn value(&mut self, val: Val) -> Value {
        match (self.func.op(val), self.wide[val.at()], self.narrow[val.at()]) {
            (Op::Const(number), ..) => self.builder.ins().iconst(I64, number as i64),
            (_, Some(value), _) => value,
            (_, None, Some(narrow)) => self.builder.ins().uextend(I64, narrow),
            // A use before its definition, which the check of the SSA form excludes.
            (_, None, None) => self.builder.ins().iconst(I64, 0),
        }
    }

    /// The lower half of a value.
    pub fn half(&mut self, val: Val) -> Value {
        match (self.func.op(val), self.narrow[val.at()]) {
            (Op::Const(number), _) => self.builder.ins().iconst(I32, number as u32 as i64),
            (_, Some(value)) => value,
            _ => {
                let value = self.value(val);
                self.builder.ins().ireduce(I32, value)
            }
        }
    }

    pub fn sized(&mut self, width: Width, val: Val) -> Value {
        match width {
            Width::W64 => self.value(val),
            Width::W32 => self.half(val),
        }
    }

    /// The end of a frame.
    pub fn frame(&mut self, index: u32) -> Value {
        match self.frame_pointer {
            Some(pointer) if index == 0 => pointer,
            Some(pointer) => {
                let above = i64::from(index * FRAME_SIZE);
                let above = self.builder.ins().iconst(I64, above);
                self.builder.ins().iadd(pointer, above)
            }
            None => {
                let builder = &mut self.builder;
                let slot = *self.slots[index as usize].get_or_insert_with(|| {
                    let data = StackSlotData::new(StackSlotKind::ExplicitSlot, FRAME_SIZE, 4);
                    builder.create_sized_stack_slot(data)
                });
                self.builder.ins().stack_addr(I64, slot, FRAME_SIZE as i32)
            }
        }
    }

    fn inst(&mut self, inst: Val) {
        let pc = self.func.pcs[inst.at()];
        if self.target.lines {
            self.builder.set_srcloc(SourceLoc::new(pc));
        }
        let value = match self.func.op(inst) {
            Op::Const(_) | Op::Param => return,
            Op::Frame(index) => self.frame(index),
            Op::Bin(op, width, left, right) => {
                let value = self.binary(op, width, left, right);
                if width == Width::W32 {
                    self.narrow[inst.at()] = Some(value);
                    self.builder.ins().uextend(I64, value)
                } else {
                    value
                }
            }
            Op::Ext { bits: 32, signed, of } => {
                let half = self.half(of);
                self.narrow[inst.at()] = Some(half);
                if signed {
                    self.builder.ins().sextend(I64, half)
                } else {
                    self.builder.ins().uextend(I64, half)
                }
            }
            Op::Ext { bits, signed, of } => {
                let of = self.value(of);
                let low = self.builder.ins().ireduce(if bits == 8 { I8 } else { I16 }, of);
                if signed {
                    self.builder.ins().sextend(I64, low)
                } else {
                    self.builder.ins().uextend(I64, low)
                }
            }
            Op::Ones(of) => {
                let of = self.value(of);
                self.builder.ins().popcnt(of)
            }
            Op::Swap(64, of) => {
                let of = self.value(of);
                self.builder.ins().bswap(of)
            }
            Op::Swap(bits, of) => {
                let of = self.value(of);
                let low = self.builder.ins().ireduce(if bits == 16 { I16 } else { I32 }, of);
                let swapped = self.builder.ins().bswap(low);
                self.builder.ins().uextend(I64, swapped)
            }
            Op::Cmp(cond, width, left, right) => {
                let bit = self.compare(cond, width, left, right);
                self.builder.ins().uextend(I64, bit)
            }
            Op::Select(test, yes, no) => {
                let (yes, no) = (self.value(yes), self.value(no));
                let test = match self.func.op(test) {
                    Op::Cmp(cond, width, left, right) => self.compare(cond, width, left, right),
                    _ => self.value(test),
                };
                self.builder.ins().select(test, yes, no)
            }
            Op::Load { size, signed, base, off } => {
                self.load(Access { pc, size, base, off }, signed)
            }
            Op::Store { size, base, off, value } => {
                return self.store(Access { pc, size, base, off }, value);
            }
            Op::Acquire { size, base, off } => self.acquire(Access { pc, size, base, off }),
            Op::Release { size, base, off, value } => {
                return self.release(Access { pc, size, base, off }, value);
            }
            Op::Atomic { op, size, base, off, value, expected } => {
                self.atomic(Access { pc, size, base, off }, op, value, expected)
            }
            Op::Call { func, depth, args } => self.call(inst, func, depth, args),
            Op::Ask { callee, depth, args, .. } => self.ask(pc, callee, depth, args),
            Op::TailCall { nested, depth, args } => self.tail_call(pc, nested, depth, args),
            Op::Cpu => self.field(I64, offset::CPU),
            Op::Answer => self.field(I64, offset::ANSWER),
            Op::Legacy { size, at } => self.legacy(pc, size, at),
            Op::Context { cell, .. } => self.field(I64, offset::CELLS + 8 * i32::from(cell)),
            Op::StoreContext { size, off, value } => {
                return self.store_context(pc, size, off, value);
            }
            Op::Vector(op) => match self.vector(op) {
                Some(value) => value,
                None => return,
            },
            Op::Spend(cost) => return self.spend(cost, pc),
            Op::Enter(depth) => {
                if self.target.checks == Checks::Guarded {
                    self.enter(depth, pc);
                }
                return;
            }
        };
        self.wide[inst.at()] = Some(value);
    }

    fn call(&mut self, inst: Val, callee: u32, depth: u32, args: [Val; 5]) -> Value {
        let pc = self.func.pcs[inst.at()];
        let entered = self.target.entered[callee as usize];
        let signature = super::signature(self.target.isa, entered);
        let signature = self.builder.import_signature(signature);
        let name = UserExternalName { namespace: 0, index: callee };
        let name = self.builder.func.declare_imported_user_function(name);
        let callee = self.builder.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            colocated: true,
            patchable: false,
        });
        let mut values = vec![self.state];
        values.extend(args.map(|arg| self.value(arg)));
        let guarded = self.target.checks == Checks::Guarded;
        if guarded {
            let frame = self.enter(depth + 1, pc);
            self.builder.ins().store(plain(), frame, self.state, offset::FRAME);
        }
        let call = self.builder.ins().call(callee, &values);
        let result = self.builder.inst_results(call)[0];
        if guarded {
            let frame = self.frame(0);
            self.builder.ins().store(plain(), frame, self.state, offset::FRAME);
        }
        if guarded || self.target.hosted {
            self.leave_if_over();
        }
        result
    }

    /// A callee that ended the run takes its callers along.
    pub fn leave_if_over(&mut self) {
        let exit = self.field(I32, offset::EXIT);
        let next = self.builder.create_block();
        let over = *self.over.get_or_insert_with(|| {
            let block = self.builder.create_block();
            self.builder.set_cold_block(block);
            block
        });
        self.builder.ins().brif(exit, over, &[], next, &[]);
        self.builder.switch_to_block(next);
    }

    /// The same after a call that does not know where it was made.
    pub fn leave_if_ended(&mut self, pc: Pc) {
        let exit = self.field(I32, offset::EXIT);
        let next = self.builder.create_block();
        let pc = self.builder.ins().iconst(I32, i64::from(pc));
        let leave = self.exit_block();
        let args = [BlockArg::Value(exit), BlockArg::Value(pc)];
        self.builder.ins().brif(exit, leave, &args, next, &[]);
        self.builder.switch_to_block(next);
    }

    fn term(&mut self, term: &Term) {
        match term {
            Term::Jump(edge) => {
                let args = self.args(edge);
                self.builder.ins().jump(self.blocks[edge.to.at()], &args);
            }
            Term::Branch { cond, width, left, right, yes, no } => {
                let (yes_args, no_args) = (self.args(yes), self.args(no));
                let test = self.branch_test(*cond, *width, *left, *right);
                let (yes, no) = (self.blocks[yes.to.at()], self.blocks[no.to.at()]);
                self.builder.ins().brif(test, yes, &yes_args, no, &no_args);
            }
            Term::Switch { on, cases, default } => self.switch(*on, cases, default),
            Term::Return(val) => {
                let value = self.value(*val);
                self.builder.ins().return_(&[value]);
            }
            Term::Trap(exit, pc) => {
                let args = self.exit_args(*exit, *pc);
                let exit = self.exit_block();
                self.builder.ins().jump(exit, &args);
            }
        }
    }

    fn args(&mut self, edge: &Edge) -> Vec<BlockArg> {
        edge.args.iter().map(|&arg| BlockArg::Value(self.value(arg))).collect()
    }

    /// Where code leaves the run: with a reason and an instruction.
    pub fn exit_block(&mut self) -> Block {
        *self.exit.get_or_insert_with(|| {
            let block = self.builder.create_block();
            self.builder.append_block_param(block, I32);
            self.builder.append_block_param(block, I32);
            self.builder.set_cold_block(block);
            block
        })
    }

    fn leave(&mut self) {
        if let Some(block) = self.over {
            self.builder.switch_to_block(block);
            let zero = self.builder.ins().iconst(I64, 0);
            self.builder.ins().return_(&[zero]);
        }
        let Some(block) = self.exit else { return };
        self.builder.switch_to_block(block);
        let params = self.builder.block_params(block).to_vec();
        self.builder.ins().store(plain(), params[0], self.state, offset::EXIT);
        self.builder.ins().store(plain(), params[1], self.state, offset::PC);
        let zero = self.builder.ins().iconst(I64, 0);
        self.builder.ins().return_(&[zero]);
    }

    fn switch(&mut self, on: Val, cases: &[(u64, Edge)], default: &Edge) {
        let (low, high) = match cases {
            [first, .., last] => (first.0, last.0),
            _ => (0, u64::MAX),
        };
        if high - low >= TABLE_SPAN || high > u64::from(u32::MAX) || !self.is_narrow(on) {
            let value = self.value(on);
            let mut switch = Switch::new();
            for (number, edge) in cases {
                switch.set_entry((*number).into(), self.blocks[edge.to.at()]);
            }
            switch.emit(&mut self.builder, value, self.blocks[default.to.at()]);
            return;
        }
        // A table that starts at 0 needs no subtraction.
        let base = if low > 8 { low } else { 0 };
        let mut index = self.half(on);
        if base > 0 {
            let base = self.builder.ins().iconst(I32, base as i64);
            index = self.builder.ins().isub(index, base);
        }
        let mut call = |blocks: &[Block], edge: &Edge| {
            self.builder.func.dfg.block_call(blocks[edge.to.at()], &[])
        };
        let otherwise = call(&self.blocks, default);
        let mut table = vec![otherwise; (high - base + 1) as usize];
        for (number, edge) in cases {
            table[(number - base) as usize] = call(&self.blocks, edge);
        }
        let table = JumpTableData::new(otherwise, &table);
        let table = self.builder.create_jump_table(table);
        self.builder.ins().br_table(index, table);
    }

    /// Whether the upper half of a value is surely 0.
    fn is_narrow(&self, val: Val) -> bool {
        match self.func.op(val) {
            Op::Ext { signed, .. } => !signed,
            Op::Load { size, signed, .. } => !signed && size != Size::DW,
            Op::Bin(_, width, ..) => width == Width::W32,
            _ => false,
        }
    }

    /// A comparison that a branch follows. An AND that is used elsewhere too keeps its
    /// flag-setting form if it is compared by `> 0`; an equality would test it again.
    fn branch_test(&mut self, cond: Cond, width: Width, left: Val, right: Val) -> Value {
        let masked = matches!(self.func.op(left), Op::Bin(Bin::And, ..));
        let cond = match cond {
            _ if !masked || self.uses[left.at()] < 2 || self.func.number(right) != Some(0) => cond,
            Cond::Ne => Cond::Gt,
            Cond::Eq => Cond::Le,
            other => other,
        };
        self.compare(cond, width, left, right)
    }

    fn compare(&mut self, cond: Cond, width: Width, left: Val, right: Val) -> Value {
        // AND with a mask against 0 is one TEST if the AND is 32 bits wide and fresh.
        if let Cond::Eq | Cond::Ne = cond
            && self.func.number(right) == Some(0)
            && let Op::Bin(Bin::And, _, of, mask) = self.func.op(left)
            && let Some(mask @ 1..=0x7fff_ffff) = self.func.number(mask)
        {
            let of = self.half(of);
            let mask = self.builder.ins().iconst(I32, mask as i64);
            let bits = self.builder.ins().band(of, mask);
            let zero = self.builder.ins().iconst(I32, 0);
            return self.builder.ins().icmp(condition(cond), bits, zero);
        }
        let (left, right) = (self.sized(width, left), self.sized(width, right));
        if cond == Cond::Set {
            let bits = self.builder.ins().band(left, right);
            let zero = self.builder.ins().iconst(if width == Width::W64 { I64 } else { I32 }, 0);
            return self.builder.ins().icmp(IntCC::NotEqual, bits, zero);
        }
        self.builder.ins().icmp(condition(cond), left, right)
    }

    fn binary(&mut self, op: Bin, width: Width, left: Val, right: Val) -> Value {
        let apart = self.is_double_shift(width, left, right);
        let divisor = self.func.number(right).map(|number| match width {
            Width::W64 => number as i64,
            Width::W32 => number as i32 as i64,
        });
        let (left, right) = (self.sized(width, left), self.sized(width, right));
        let safe = divisor.is_some_and(|divisor| divisor != 0 && divisor != -1);
        // A double shift is one instruction, but a slow one.
        let op = if op == Bin::Or && apart { Bin::Add } else { op };
        let ins = self.builder.ins();
        match op {
            Bin::Add => ins.iadd(left, right),
            Bin::Sub => ins.isub(left, right),
            Bin::Mul => match divisor {
                // An address computation, or two steps: shorter than a multiplication.
                Some(factor @ (3 | 5 | 9)) => {
                    let shifted = ins.ishl_imm_u(left, i64::from((factor - 1).trailing_zeros()));
                    self.builder.ins().iadd(left, shifted)
                }
                Some(factor) if factor > 2 && (factor as u64 + 1).is_power_of_two() => {
                    let shifted =
                        ins.ishl_imm_u(left, i64::from((factor as u64 + 1).trailing_zeros()));
                    self.builder.ins().isub(shifted, left)
                }
                _ => ins.imul(left, right),
            },
            Bin::And => ins.band(left, right),
            Bin::Or => ins.bor(left, right),
            Bin::Xor => ins.bxor(left, right),
            Bin::Shl => ins.ishl(left, right),
            Bin::Shr => ins.ushr(left, right),
            Bin::Sar => ins.sshr(left, right),
            Bin::Rotl => ins.rotl(left, right),
            Bin::MulHigh => ins.umulhi(left, right),
            Bin::Min | Bin::Max => {
                let cond = if op == Bin::Min {
                    IntCC::UnsignedLessThan
                } else {
                    IntCC::UnsignedGreaterThan
                };
                let test = self.builder.ins().icmp(cond, left, right);
                self.builder.ins().select(test, left, right)
            }
            Bin::Div if safe => ins.udiv(left, right),
            Bin::Mod if safe => ins.urem(left, right),
            Bin::SDiv if safe => ins.sdiv(left, right),
            Bin::SMod if safe => ins.srem(left, right),
            Bin::Div | Bin::Mod | Bin::SDiv | Bin::SMod => self.divide(op, width, left, right),
        }
    }

    /// Whether one operand is shifted up and the other down, so that they have no bit
    /// in common.
    fn is_double_shift(&self, width: Width, left: Val, right: Val) -> bool {
        let bits = if width == Width::W64 { 64 } else { 32 };
        let amount = |val: Val, wanted: Bin| match self.func.op(val) {
            Op::Bin(op, of, _, by) if op == wanted && of == width => {
                self.func.number(by).map(|by| by & (bits - 1))
            }
            _ => None,
        };
        let fits = |up: Val, down: Val| {
            let sum = amount(up, Bin::Shl).zip(amount(down, Bin::Shr));
            sum.is_some_and(|(up, down)| up + down == bits)
        };
        fits(left, right) || fits(right, left)
    }

    /// Division by what may be 0 (gives 0; a remainder, the left operand) or, signed,
    /// -1 (which wraps).
    fn divide(&mut self, op: Bin, width: Width, left: Value, right: Value) -> Value {
        let ty = if width == Width::W64 { I64 } else { I32 };
        let (zero, one) = (self.builder.ins().iconst(ty, 0), self.builder.ins().iconst(ty, 1));
        let by_zero = self.builder.ins().icmp(IntCC::Equal, right, zero);
        let mut divisor = self.builder.ins().select(by_zero, one, right);
        let signed = matches!(op, Bin::SDiv | Bin::SMod);
        let all = self.builder.ins().iconst(ty, -1);
        let by_minus_one = self.builder.ins().icmp(IntCC::Equal, right, all);
        if signed {
            divisor = self.builder.ins().select(by_minus_one, one, divisor);
        }
        match op {
            Bin::Div => {
                let quotient = self.builder.ins().udiv(left, divisor);
                self.builder.ins().select(by_zero, zero, quotient)
            }
            Bin::SDiv => {
                let quotient = self.builder.ins().sdiv(left, divisor);
                let negated = self.builder.ins().ineg(left);
                let quotient = self.builder.ins().select(by_minus_one, negated, quotient);
                self.builder.ins().select(by_zero, zero, quotient)
            }
            Bin::Mod => {
                let rest = self.builder.ins().urem(left, divisor);
                self.builder.ins().select(by_zero, left, rest)
            }
            _ => {
                let rest = self.builder.ins().srem(left, divisor);
                let rest = self.builder.ins().select(by_minus_one, zero, rest);
                self.builder.ins().select(by_zero, left, rest)
            }
        }
    }
}

pub fn sized_type(size: Size) -> Type {
    match size {
        Size::B => I8,
        Size::H => I16,
        Size::W => I32,
        Size::DW => I64,
    }
}

pub fn condition(cond: Cond) -> IntCC {
    match cond {
        Cond::Eq => IntCC::Equal,
        Cond::Ne | Cond::Set => IntCC::NotEqual,
        Cond::Lt => IntCC::UnsignedLessThan,
        Cond::Le => IntCC::UnsignedLessThanOrEqual,
        Cond::Gt => IntCC::UnsignedGreaterThan,
        Cond::Ge => IntCC::UnsignedGreaterThanOrEqual,
        Cond::Slt => IntCC::SignedLessThan,
        Cond::Sle => IntCC::SignedLessThanOrEqual,
        Cond::Sgt => IntCC::SignedGreaterThan,
        Cond::Sge => IntCC::SignedGreaterThanOrEqual,
    }
}
