//! The loop over instructions.

use skep_abi::TrapKind;
use skep_abi::helper::id;
use skep_isa::{
    AluOp, AtomicOp, Callee, ImmKind, Insn, Operand, Pc, Reg, Size, Width, alu, byte_swap,
    condition, movsx, neg,
};

use crate::helpers;
use crate::kfuncs;
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop};

impl Run<'_> {
    /// The loop; with `ASSERT`, it compares with the verifier's facts.
    pub(super) fn steps<const ASSERT: bool>(
        &mut self,
        entry: Pc,
        depth: usize,
    ) -> Result<Value, Stop> {
        let mut program = self.program.clone();
        let mut pc = entry as usize;
        loop {
            self.pc = pc as Pc;
            let Some(insn) = program.insns.get(pc) else {
                return Err(TrapKind::BadJump { target: pc as i64 }.into());
            };
            if ASSERT {
                self.assert_facts(&program, pc as Pc, insn)?;
            }
            pc += 1;
            match *insn {
                Insn::Alu { op: AluOp::Mov, width, dst, src } => match (src, width) {
                    (Operand::Reg(src), Width::W64) => {
                        let value = self.read(src)?;
                        self.regs.set(dst, value);
                    }
                    (Operand::Reg(src), Width::W32) => {
                        let bits = self.read(src)?.bits;
                        self.regs.set_number(dst, bits as u32 as u64);
                    }
                    (Operand::Imm(imm), Width::W64) => self.regs.set_number(dst, imm as i64 as u64),
                    (Operand::Imm(imm), Width::W32) => self.regs.set_number(dst, imm as u32 as u64),
                },
                Insn::Alu { op, width, dst, src } => {
                    let (right, plain) = match src {
                        Operand::Reg(reg) => (self.regs.bits(reg), self.regs.is_number(reg)),
                        Operand::Imm(imm) => (imm as i64 as u64, true),
                    };
                    let bits = alu(op, width, self.regs.bits(dst), right);
                    if plain && self.regs.is_number(dst) {
                        self.regs.update_number(dst, bits);
                    } else {
                        self.pointer_alu(op, width, dst, src, bits)?;
                    }
                }
                Insn::Load { size, signed, dst, base, off } => {
                    let value = self.load(base, off, size)?;
                    if signed {
                        self.regs.set_number(dst, movsx(Width::W64, size, value.bits));
                    } else {
                        self.regs.set(dst, value);
                    }
                }
                Insn::Store { size, base, off, src } => {
                    let value = self.operand(src)?;
                    self.store(base, off, size, value)?;
                }
                Insn::Branch { cond, width, dst, src, off } => {
                    let left = self.read_bits(dst)?;
                    let right = match src {
                        Operand::Reg(src) => self.read_bits(src)?,
                        Operand::Imm(imm) => imm as i64 as u64,
                    };
                    if condition(cond, width, left, right) {
                        pc = self.jump(pc, off.into())?;
                    }
                }
                Insn::Ja { off } => pc = self.jump(pc, off.into())?,
                Insn::Gotol { off } => pc = self.jump(pc, off)?,
                Insn::MovSx { width, from, dst, src } => {
                    let bits = movsx(width, from, self.read(src)?.bits);
                    self.regs.set_number(dst, bits);
                }
                Insn::Neg { width, dst } => {
                    let bits = neg(width, self.read(dst)?.bits);
                    self.regs.set_number(dst, bits);
                }
                Insn::ByteSwap { order, size, dst } => {
                    let bits = byte_swap(order, size, self.read(dst)?.bits);
                    self.regs.set_number(dst, bits);
                }
                Insn::AddrSpaceCast { dst, src, .. } => {
                    let value = self.read(src)?;
                    self.regs.set(dst, value);
                }
                Insn::LoadImm64 { dst, imm } => {
                    let value = match imm.kind {
                        ImmKind::Const => Value::scalar(imm.value()),
                        ImmKind::MapIdx => Value::map(imm.lo),
                        ImmKind::MapIdxValue => self.map_value(imm.lo, imm.hi)?,
                        ImmKind::Func => {
                            let target = pc as i64 + i64::from(imm.lo as i32);
                            Value::function(self.target(target)? as Pc)
                        }
                        // Fds were resolved when the program was loaded, and kernel
                        // variables are not here.
                        ImmKind::MapFd | ImmKind::MapValue | ImmKind::BtfId => {
                            return Err(TrapKind::BadInstruction.into());
                        }
                    };
                    self.regs.set(dst, value);
                    pc += 1;
                }
                Insn::Atomic { op, size, base, off, src } => {
                    self.atomic(op, size, base, off, src)?;
                }
                Insn::LoadAcquire { size, dst, base, off } => {
                    let value = self.load(base, off, size)?;
                    self.regs.set(dst, value);
                }
                Insn::StoreRelease { size, base, off, src } => {
                    let value = self.read(src)?;
                    self.store(base, off, size, value)?;
                }
                Insn::LoadAbs { size, offset } => self.load_packet(size, i64::from(offset))?,
                Insn::LoadInd { size, src, offset } => {
                    let index = self.read(src)?.bits as u32 as i32;
                    self.load_packet(size, i64::from(index.wrapping_add(offset)))?;
                }
                Insn::MayGoto { off } => match self.may_goto.checked_sub(1) {
                    Some(left) => self.may_goto = left,
                    None => pc = self.jump(pc, off.into())?,
                },
                Insn::Call(Callee::Local(off)) => {
                    let target = self.target(pc as i64 + i64::from(off))?;
                    self.enter(pc as Pc)?;
                    pc = target;
                }
                Insn::Call(Callee::Kfunc { btf_id, .. }) => {
                    self.spend(1)?;
                    let value = kfuncs::call(self, btf_id as u32)?;
                    self.regs.set(Reg::R0, value);
                    self.regs.forget_arguments();
                }
                Insn::Call(callee) => {
                    let helper = match callee {
                        Callee::Helper(id) => id,
                        Callee::Register(reg) => self.read(reg)?.bits as u32,
                        Callee::Local(_) | Callee::Kfunc { .. } => {
                            return Err(TrapKind::BadInstruction.into());
                        }
                    };
                    self.spend(1)?;
                    if helper == id::TAIL_CALL && self.tail_call()? {
                        program = self.program.clone();
                        pc = 0;
                        continue;
                    }
                    if helper != id::TAIL_CALL {
                        let value = helpers::call(self, helper)?;
                        self.regs.set(Reg::R0, value);
                    }
                    self.regs.forget_arguments();
                }
                Insn::Exit => {
                    if self.callers.len() == depth {
                        return self.read(Reg::R0);
                    }
                    pc = self.leave() as usize;
                    program = self.program.clone();
                }
                Insn::Hole => return Err(TrapKind::BadInstruction.into()),
            }
        }
    }

    #[inline(always)]
    fn operand(&self, operand: Operand) -> Result<Value, Stop> {
        match operand {
            Operand::Reg(reg) => self.read(reg),
            Operand::Imm(imm) => Ok(Value::scalar(imm as i64 as u64)),
        }
    }

    #[inline(always)]
    fn jump(&mut self, next: usize, off: i32) -> Result<usize, Stop> {
        if off < 0 {
            self.spend(u64::from(off.unsigned_abs()))?;
        }
        self.target(next as i64 + i64::from(off))
    }

    fn target(&self, target: i64) -> Result<usize, Stop> {
        usize::try_from(target).map_err(|_| TrapKind::BadJump { target }.into())
    }

    /// Arithmetic with a pointer: adding to it and subtracting from it keep it one,
    /// everything else gives a number.
    #[cold]
    #[inline(never)]
    fn pointer_alu(
        &mut self,
        op: AluOp,
        width: Width,
        dst: Reg,
        src: Operand,
        bits: u64,
    ) -> Result<(), Stop> {
        let (left, right) = (self.read(dst)?, self.operand(src)?);
        let (left_is_scalar, right_is_scalar) =
            (left.kind() == Kind::Scalar, right.kind() == Kind::Scalar);
        let result = match (op, width) {
            (AluOp::Add | AluOp::Sub, Width::W64) if right_is_scalar => left.with_bits(bits),
            (AluOp::Add, Width::W64) if left_is_scalar => right.with_bits(bits),
            _ => Value::scalar(bits),
        };
        self.regs.set(dst, result);
        Ok(())
    }

    fn atomic(
        &mut self,
        op: AtomicOp,
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
    ) -> Result<(), Stop> {
        let operand = self.read(src)?.bits;
        let width = if size == Size::DW { Width::W64 } else { Width::W32 };
        let truncated = |bits: u64| if size == Size::DW { bits } else { bits as u32 as u64 };
        let expected = match op {
            AtomicOp::Cmpxchg => truncated(self.read(Reg::R0)?.bits),
            _ => 0,
        };
        let old = self.update(base, off, size, |old| match op {
            AtomicOp::Add { .. } => alu(AluOp::Add, width, old, operand),
            AtomicOp::Or { .. } => alu(AluOp::Or, width, old, operand),
            AtomicOp::And { .. } => alu(AluOp::And, width, old, operand),
            AtomicOp::Xor { .. } => alu(AluOp::Xor, width, old, operand),
            AtomicOp::Xchg => truncated(operand),
            AtomicOp::Cmpxchg if old == expected => truncated(operand),
            AtomicOp::Cmpxchg => old,
        })?;
        match op {
            AtomicOp::Cmpxchg => self.regs.set_number(Reg::R0, old),
            AtomicOp::Xchg
            | AtomicOp::Add { fetch: true }
            | AtomicOp::Or { fetch: true }
            | AtomicOp::And { fetch: true }
            | AtomicOp::Xor { fetch: true } => self.regs.set_number(src, old),
            _ => {}
        }
        Ok(())
    }

    /// Legacy packet access: r0 gets the word in host order; outside of the packet
    /// the program returns 0.
    fn load_packet(&mut self, size: Size, offset: i64) -> Result<(), Stop> {
        let Some(word) = self.context.load_legacy(offset, size) else {
            return Err(Stop::Return(0));
        };
        self.regs.set_number(Reg::R0, word.into());
        self.regs.forget_arguments();
        Ok(())
    }
}
