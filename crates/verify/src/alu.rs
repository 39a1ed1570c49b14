//! Arithmetic on numbers and pointers, and what an unprivileged program's pointer
//! arithmetic may reach when a branch is mispredicted. Counterpart: `check_alu_op`,
//! `adjust_ptr_min_max_vals`, `sanitize_ptr_alu`.

use skep_abi::limits::{MAX_STACK, MAX_VAR_OFF};
use skep_abi::{Errno, Reason};
use skep_isa::{AluOp, Insn, Operand, Order, Reg as R, Size, Width};

use crate::checker::Checker;
use crate::disasm::{alu_text, unsigned_text};
use crate::domain::{Scalar, Scalar64};
use crate::error::{Check, Fault, fail};
use crate::log::say;
use crate::reg::{Flags, ID_PLUS_OFFSET, ID_PLUS_OFFSET32, ID_PLUS_OFFSET64, Kind, Reg};

/// How the sanitiser rewrites an addition, so that all paths can agree on it.
mod sanitized {
    pub(super) const SRC: u8 = 1;
    pub(super) const DST: u8 = 2;
    pub(super) const NEGATIVE: u8 = 4;
    pub(super) const NON_POINTER: u8 = 8;
    pub(super) const IMMEDIATE: u8 = 16;
}

/// What the first look at a pointer addition found, for the second.
#[derive(Default)]
struct Window {
    state: u8,
    limit: u32,
    to_left: bool,
}

/// Why an addition cannot be made safe against speculation.
enum Unsafe {
    Bounds,
    Type,
    Paths,
    Limit,
    Stack,
}

impl Checker<'_> {
    /// A register that is read.
    pub(crate) fn check_src(&mut self, reg: R) -> Check {
        let number = reg.number();
        self.shown.touched_regs |= 1 << number;
        if self.cur.reg(number.into()).kind == Kind::Uninit {
            fail!(EACCES, NotReadable { reg: number });
        }
        Ok(())
    }

    /// A register that is written.
    pub(crate) fn check_dst(&mut self, reg: R) -> Check {
        self.shown.touched_regs |= 1 << reg.number();
        if reg == R::R10 {
            fail!(EACCES, FramePointer);
        }
        Ok(())
    }

    /// Whether the program may not treat the register as a number.
    pub(crate) fn is_pointer_value(&self, reg: usize) -> bool {
        !self.rights.leak_pointers && self.cur.reg(reg).is_pointer()
    }

    pub(crate) fn check_alu(&mut self, insn: Insn) -> Check {
        let dst = match insn {
            Insn::Alu { op: AluOp::Mov, width, dst, src } => {
                self.check_mov(width, dst, src)?;
                dst
            }
            Insn::Alu { op, width, dst, src } => {
                self.check_binary(op, width, dst, src)?;
                dst
            }
            Insn::MovSx { width, from, dst, src } => {
                self.check_movsx(width, from, dst, src)?;
                dst
            }
            Insn::Neg { width, dst } => {
                self.check_src(dst)?;
                if self.is_pointer_value(dst.number().into()) {
                    fail!(EACCES, PointerArithmetic { reg: dst.number() });
                }
                self.check_dst(dst)?;
                let reg = *self.cur.reg(dst.number().into());
                let new = if reg.is_scalar() {
                    self.sanitize_value(Operand::Imm(0))?;
                    Reg { value: reg.value.neg(width), id: 0, off: 0, ..reg }
                } else {
                    self.unknown()
                };
                *self.cur.reg_mut(dst.number().into()) = new;
                dst
            }
            Insn::ByteSwap { order, size, dst } => {
                self.check_src(dst)?;
                if self.is_pointer_value(dst.number().into()) {
                    fail!(EACCES, PointerArithmetic { reg: dst.number() });
                }
                self.check_dst(dst)?;
                let reg = *self.cur.reg(dst.number().into());
                let is_kept = (order, size) == (Order::Le, Size::DW);
                *self.cur.reg_mut(dst.number().into()) = match reg.is_scalar() {
                    true if is_kept => reg,
                    true => Reg { value: reg.value.byte_swap(order, size), id: 0, off: 0, ..reg },
                    false => self.unknown(),
                };
                dst
            }
            Insn::AddrSpaceCast { dst, src, to, from } => {
                if !matches!((to, from), (0, 1) | (1, 0)) {
                    fail!(EINVAL, AddrSpaceCast);
                }
                if !self.code.arena {
                    fail!(EINVAL, AddrSpaceCastArena);
                }
                self.check_src(src)?;
                self.check_dst(dst)?;
                let kind = if from == 1 { Kind::Arena } else { Kind::Scalar };
                *self.cur.reg_mut(dst.number().into()) = Reg { kind, ..self.unknown() };
                dst
            }
            _ => return Ok(()),
        };
        self.check_invariants(dst.number().into(), "alu")
    }

    /// Forgets a value that contradicts itself, as dead branches can yield.
    pub(crate) fn check_invariants(&mut self, reg: usize, context: &str) -> Check {
        if let Some(what) = self.cur.reg(reg).value.violation() {
            let value = self.cur.reg(reg).value;
            self.report_violation(&value, what, context)?;
            self.cur.reg_mut(reg).value = value.unbounded();
        }
        Ok(())
    }

    pub(crate) fn report_violation(
        &mut self,
        value: &Scalar64,
        what: &str,
        context: &str,
    ) -> Check {
        let text = format!(
            "verifier bug: REG INVARIANTS VIOLATION ({context}): {what} u64=[{:#x}, {:#x}] \
             s64=[{:#x}, {:#x}] u32=[{:#x}, {:#x}] s32=[{:#x}, {:#x}] var_off=({:#x}, {:#x})",
            value.umin(),
            value.umax(),
            value.smin(),
            value.smax(),
            value.umin32(),
            value.umax32(),
            value.smin32(),
            value.smax32(),
            value.tnum.value.0,
            value.tnum.mask.0
        );
        if self.program.flags & skep_abi::flags::prog::TEST_REG_INVARIANTS != 0 {
            fail!(EFAULT, Invariants { what: text });
        }
        say!(self.log, "{text}\n");
        Ok(())
    }

    /// Gives a number an id before it is copied, so that both learn from branches.
    pub(crate) fn assign_id(&mut self, reg: usize) {
        let old = *self.cur.reg(reg);
        if !old.is_scalar() {
            return;
        }
        if old.id & ID_PLUS_OFFSET != 0 {
            let reg = self.cur.reg_mut(reg);
            (reg.id, reg.off) = (0, 0);
        }
        if self.cur.reg(reg).id == 0 && !old.value.is_constant() {
            let id = self.new_id();
            self.cur.reg_mut(reg).id = id;
        }
    }

    fn check_mov(&mut self, width: Width, dst: R, src: Operand) -> Check {
        let to = usize::from(dst.number());
        let src = match src {
            Operand::Imm(imm) => {
                self.check_dst(dst)?;
                let value = match width {
                    Width::W64 => imm as i64 as u64,
                    Width::W32 => u64::from(imm as u32),
                };
                *self.cur.reg_mut(to) = Reg { precise: !self.rights.bpf, ..Reg::constant(value) };
                return Ok(());
            }
            Operand::Reg(src) => src,
        };
        self.check_src(src)?;
        self.check_dst(dst)?;
        let from = usize::from(src.number());
        if width == Width::W64 {
            self.assign_id(from);
            *self.cur.reg_mut(to) = *self.cur.reg(from);
            return Ok(());
        }
        if self.is_pointer_value(from) {
            fail!(EACCES, PartialCopy { reg: src.number() });
        }
        let mut new = if self.cur.reg(from).is_scalar() {
            let fits = self.cur.reg(from).value.width() <= 32;
            if fits {
                self.assign_id(from);
            }
            let reg = *self.cur.reg(from);
            if fits { reg } else { Reg { id: 0, off: 0, ..reg } }
        } else {
            self.unknown()
        };
        new.value = new.value.alu(AluOp::Mov, width, new.value);
        *self.cur.reg_mut(to) = new;
        Ok(())
    }

    fn check_movsx(&mut self, width: Width, size: Size, dst: R, src: R) -> Check {
        self.check_src(src)?;
        self.check_dst(dst)?;
        let (to, from) = (usize::from(dst.number()), usize::from(src.number()));
        if self.is_pointer_value(from) {
            if width == Width::W32 {
                fail!(EACCES, PartialCopy { reg: src.number() });
            }
            fail!(EACCES, SignExtendPointer { reg: src.number() });
        }
        let new = if self.cur.reg(from).is_scalar() {
            let unchanged = self.cur.reg(from).value.umax() < 1 << (size.bits() - 1);
            if unchanged {
                self.assign_id(from);
            }
            let reg = *self.cur.reg(from);
            let value = reg.value.movsx(width, size);
            if unchanged { Reg { value, ..reg } } else { Reg { id: 0, off: 0, value, ..reg } }
        } else {
            let unknown = self.unknown();
            Reg { value: unknown.value.alu(AluOp::Mov, width, unknown.value), ..unknown }
        };
        *self.cur.reg_mut(to) = new;
        Ok(())
    }

    fn check_binary(&mut self, op: AluOp, width: Width, dst: R, src: Operand) -> Check {
        if let Operand::Reg(src) = src {
            self.check_src(src)?;
        }
        self.check_src(dst)?;
        if let Operand::Imm(imm) = src {
            match op {
                AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod if imm == 0 => {
                    fail!(EINVAL, DivByZero);
                }
                AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
                    let bits = if width == Width::W64 { 64 } else { 32 };
                    if !(0..bits).contains(&imm) {
                        fail!(EINVAL, InvalidShift { imm });
                    }
                }
                _ => {}
            }
        }
        self.check_dst(dst)?;
        self.adjust(op, width, dst, src)
    }

    fn adjust(&mut self, op: AluOp, width: Width, dst: R, src: Operand) -> Check {
        let to = usize::from(dst.number());
        let dst_reg = *self.cur.reg(to);
        if dst_reg.is_plain(Kind::Arena) {
            return Ok(());
        }
        let src_reg = match src {
            Operand::Imm(imm) => Reg::constant(imm as i64 as u64),
            Operand::Reg(src) => {
                let src_reg = *self.cur.reg(src.number().into());
                match (src_reg.is_pointer(), dst_reg.is_pointer()) {
                    (true, true) => {
                        if op == AluOp::Sub && self.rights.leak_pointers {
                            *self.cur.reg_mut(to) = self.unknown();
                            return Ok(());
                        }
                        let reg = dst.number();
                        fail!(EACCES, PointerWithPointer { reg, op: unsigned_text(op) });
                    }
                    (true, false) => {
                        self.mark_precise(dst.number())?;
                        let src = Operand::Reg(src);
                        return self.adjust_pointer(op, width, dst, src, src_reg, dst_reg, true);
                    }
                    (false, true) => self.mark_precise(src.number())?,
                    (false, false) if dst_reg.precise => self.mark_precise(src.number())?,
                    (false, false) => {}
                }
                src_reg
            }
        };
        if dst_reg.is_pointer() {
            return self.adjust_pointer(op, width, dst, src, dst_reg, src_reg, false);
        }
        let mut new = dst_reg;
        if Scalar::is_followed(op, width, src_reg.value) {
            if matches!(op, AluOp::Add | AluOp::Sub) {
                self.sanitize_value(src).map_err(|_| {
                    let op = if op == AluOp::Add { "add" } else { "sub" };
                    Fault::new(Errno::EACCES, Reason::DifferentPaths { reg: dst.number(), op })
                })?;
            }
            let left = match op {
                AluOp::And | AluOp::Or if src_reg.value.is_constant() => self.settle_sign(to)?,
                _ => dst_reg.value,
            };
            new.value = left.alu(op, width, src_reg.value);
        } else {
            new = self.unknown();
        }
        let by_itself = src == Operand::Reg(dst);
        let distance = distance(op, width, &dst_reg.value, &src_reg.value)
            .filter(|_| self.rights.bpf && !by_itself && new.id & !ID_PLUS_OFFSET == new.id);
        (new.id, new.off) = match (distance, width) {
            (Some(off), Width::W64) if new.id != 0 => (new.id | ID_PLUS_OFFSET64, off),
            (Some(off), Width::W32) if new.id != 0 => (new.id | ID_PLUS_OFFSET32, off),
            _ => (0, 0),
        };
        *self.cur.reg_mut(to) = new;
        Ok(())
    }

    /// A sign that was shifted through is -1 or 0: the first is followed from here, the
    /// other on a path of its own (`maybe_fork_scalars`).
    fn settle_sign(&mut self, reg: usize) -> Check<Scalar64> {
        let value = self.cur.reg(reg).value;
        let (is_sign, [negative, zero]) = value.sign_cases();
        if !is_sign {
            return Ok(value);
        }
        let pc = self.pc;
        self.fork(pc, false, Errno::ENOMEM)?.reg_mut(reg).value = zero;
        Ok(negative)
    }

    /// `dst = pointer op offset`; `reversed` where the pointer is the source.
    #[allow(clippy::too_many_arguments, reason = "the two sides of one instruction")]
    fn adjust_pointer(
        &mut self,
        op: AluOp,
        width: Width,
        dst: R,
        src: Operand,
        ptr: Reg,
        off: Reg,
        reversed: bool,
    ) -> Check {
        let (reg, to) = (dst.number(), usize::from(dst.number()));
        let known = off.value.is_constant();
        let v = off.value;
        if known && !(v.signed.is_constant() && v.unsigned.is_constant())
            || !v.signed.is_proper()
            || !v.unsigned.is_proper()
        {
            *self.cur.reg_mut(to) = self.unknown();
            return Ok(());
        }
        if width == Width::W32 {
            if op == AluOp::Sub && self.rights.leak_pointers {
                *self.cur.reg_mut(to) = self.unknown();
                return Ok(());
            }
            fail!(EACCES, Arithmetic32 { reg });
        }
        if ptr.maybe_null() {
            fail!(EACCES, ArithmeticOnNullable { reg, kind: ptr.type_name() });
        }
        if matches!(ptr.kind, Kind::Mem { .. }) && ptr.flags.contains(Flags::UNTRUSTED) {
            return Ok(());
        }
        let allowed = match ptr.kind {
            Kind::Ctx
            | Kind::MapValue { .. }
            | Kind::MapKey { .. }
            | Kind::Stack { .. }
            | Kind::PacketMeta { .. }
            | Kind::Packet { .. }
            | Kind::TpBuffer
            | Kind::Btf { .. }
            | Kind::Mem { .. }
            | Kind::Buf
            | Kind::Func { .. }
            | Kind::Dynptr { .. } => true,
            Kind::FlowKeys if known => true,
            Kind::FlowKeys | Kind::MapPtr { .. } => known && v.smin() == 0 && op == AluOp::Add,
            _ => false,
        };
        if !allowed {
            fail!(EACCES, ArithmeticOn { reg, kind: ptr.type_name() });
        }
        let name = ptr.type_name();
        check_sane_offset(&off, &name)?;
        check_sane_offset(&ptr, &name)?;
        let mut new = Reg { kind: ptr.kind, flags: ptr.flags, id: ptr.id, ..*self.cur.reg(to) };
        // A number keeps its own reference and precision; a pointer overwrites both.
        new.value = new.value.unbounded32();
        *self.cur.reg_mut(to) = new;
        let mut window = Window::default();
        let additive = matches!(op, AluOp::Add | AluOp::Sub);
        if additive {
            self.sanitize_pointer(op, dst, src, &ptr, &off, reversed, &mut window, false)
                .map_err(|why| self.unsafe_fault(why, op, dst, src, reversed))?;
        }
        let combined = match op {
            AluOp::Add => moved(op, &ptr, v),
            AluOp::Sub if reversed => fail!(EACCES, SubtractFromScalar { reg }),
            AluOp::Sub if ptr.is_stack() => fail!(EACCES, SubtractFromStack { reg }),
            AluOp::Sub => moved(op, &ptr, v),
            AluOp::And | AluOp::Or | AluOp::Xor => {
                fail!(EACCES, BitwiseOnPointer { reg, op: alu_text(op) })
            }
            _ => fail!(EACCES, OperatorOnPointer { reg, op: unsigned_text(op) }),
        };
        (new.value, new.off) = (combined.0, combined.1);
        new.kind = ptr.kind;
        if combined.2 && ptr.is_packet() {
            new.id = self.new_id();
            if op == AluOp::Add || v.smin() < 0 {
                new.set_range(0);
            }
        }
        check_sane_offset(&new, &name)?;
        new.value = new.value.unbounded32().sync();
        *self.cur.reg_mut(to) = new;
        self.check_pointer_bounds(dst)?;
        if additive {
            let moved = *self.cur.reg(to);
            self.sanitize_pointer(op, dst, src, &moved, &off, reversed, &mut window, true)
                .map_err(|why| self.unsafe_fault(why, op, dst, src, reversed))?;
        }
        Ok(())
    }

    /// Without CAP_PERFMON the result must be in bounds, so that masking works.
    fn check_pointer_bounds(&mut self, dst: R) -> Check {
        if self.rights.bypass_spec_v1 {
            return Ok(());
        }
        let ptr = *self.cur.reg(dst.number().into());
        let reg = dst.number();
        if ptr.is_stack() {
            let off = ptr.off.wrapping_add(ptr.value.tnum.value.0 as i32);
            if !ptr.value.is_constant() {
                let var_off = ptr.value.tnum.to_string();
                fail!(EACCES, StackArithmeticVariable { reg, var_off, off });
            }
            if !(-MAX_STACK..0).contains(&off) {
                fail!(EACCES, StackArithmeticRange { reg, off });
            }
        } else if ptr.is_map_value()
            && let Err(fault) = self.check_map_access(reg, ptr.off, 1, false, false)
        {
            say!(self.log, "{}\n", fault.reason);
            fail!(EACCES, MapValueArithmetic { reg });
        }
        Ok(())
    }

    fn may_skip_sanitation(&self, src: Operand) -> bool {
        self.rights.bypass_spec_v1
            || matches!(src, Operand::Imm(_))
            || self.found.aux[self.pc as usize].nospec
    }

    fn set_sanitation(&mut self, state: u8, limit: u32) -> Result<(), Unsafe> {
        let aux = self.aux();
        if aux.alu_state != 0 && (aux.alu_state != state || aux.alu_limit != limit) {
            return Err(Unsafe::Paths);
        }
        (aux.alu_state, aux.alu_limit) = (state, limit);
        Ok(())
    }

    fn sanitize_value(&mut self, src: Operand) -> Check {
        if self.may_skip_sanitation(src) {
            return Ok(());
        }
        self.set_sanitation(sanitized::NON_POINTER, 0)
            .map_err(|_| Fault::new(Errno::EACCES, Reason::Silent))
    }

    #[allow(clippy::too_many_arguments, reason = "the two sides of one instruction")]
    fn sanitize_pointer(
        &mut self,
        op: AluOp,
        dst: R,
        src: Operand,
        ptr: &Reg,
        off: &Reg,
        reversed: bool,
        window: &mut Window,
        commit: bool,
    ) -> Result<(), Unsafe> {
        if self.may_skip_sanitation(src) {
            return Ok(());
        }
        let (constant, negative) = (off.value.is_constant(), off.value.smin() < 0);
        if !self.cur.speculative {
            if !commit {
                if !constant && negative != (off.value.smax() < 0) {
                    return Err(Unsafe::Bounds);
                }
                window.to_left = negative == (op == AluOp::Add);
            }
            let limit = self.pointer_limit(ptr, window.to_left)?;
            if commit {
                self.set_sanitation(window.state, window.limit.abs_diff(limit))?;
            } else {
                window.state = if negative { sanitized::NEGATIVE } else { 0 }
                    | if constant { sanitized::IMMEDIATE } else { 0 }
                    | if reversed { sanitized::DST } else { sanitized::SRC };
                window.limit = limit;
                self.path.explore_alu_limits |= !constant;
            }
        }
        if commit || constant {
            return Ok(());
        }
        // On a mispredicted path the masked offset can be 0: follow that too.
        let to = usize::from(dst.number());
        let saved = *self.cur.reg(to);
        if reversed {
            *self.cur.reg_mut(to) = *ptr;
        }
        let next = self.pc + 1;
        let pushed = self.fork(next, true, Errno::ENOMEM).is_ok();
        if reversed {
            *self.cur.reg_mut(to) = saved;
        }
        if pushed { Ok(()) } else { Err(Unsafe::Stack) }
    }

    /// How far a pointer may move within what it points to.
    fn pointer_limit(&self, ptr: &Reg, to_left: bool) -> Result<u32, Unsafe> {
        let (max, limit) = if ptr.is_stack() {
            let off = (ptr.value.tnum.value.0 as i64).wrapping_add(ptr.off.into());
            (MAX_STACK as u32 + u32::from(to_left), off.wrapping_neg() as u32)
        } else if let (true, Some(map)) = (ptr.is_map_value(), ptr.map()) {
            let edge = if to_left { ptr.value.smin() as u64 } else { ptr.value.umax() };
            let size = self.code.maps[usize::from(map)].def.value_size;
            (size, edge.wrapping_add(ptr.off as i64 as u64) as u32)
        } else {
            return Err(Unsafe::Type);
        };
        if limit >= max { Err(Unsafe::Limit) } else { Ok(limit) }
    }

    fn unsafe_fault(
        &self,
        why: Unsafe,
        op: AluOp,
        dst: R,
        src: Operand,
        reversed: bool,
    ) -> Box<Fault> {
        let dst = dst.number();
        let src = match src {
            Operand::Reg(src) => src.number(),
            Operand::Imm(_) => 0,
        };
        let name = if op == AluOp::Add { "add" } else { "sub" };
        let reason = match why {
            Unsafe::Bounds => Reason::MixedBounds { reg: if reversed { dst } else { src } },
            Unsafe::Type => Reason::UnsupportedAlu { reg: if reversed { src } else { dst } },
            Unsafe::Paths => Reason::DifferentPaths { reg: dst, op: name },
            Unsafe::Limit => Reason::BeyondBounds { reg: dst, op: name },
            Unsafe::Stack => {
                return Fault::new(Errno::ENOMEM, Reason::NotPushed { reg: dst });
            }
        };
        Fault::new(Errno::EACCES, reason)
    }
}

/// Pointer plus or minus number: the variable part, the fixed part, and whether the
/// number became part of the variable one.
fn moved(op: AluOp, ptr: &Reg, by: Scalar64) -> (Scalar64, i32, bool) {
    let add = op == AluOp::Add;
    if let Some(constant) = by.as_constant() {
        let (from, by) = (i64::from(ptr.off), constant as i64);
        let fixed = if add { from.wrapping_add(by) } else { from.wrapping_sub(by) };
        if let Ok(fixed) = i32::try_from(fixed) {
            return (ptr.value, fixed, false);
        }
    }
    let variable = if add { ptr.value.offset_add(by) } else { ptr.value.offset_sub(by) };
    (variable, ptr.off, true)
}

/// How far a number moves from one that it is linked with, if that is a constant of
/// 32 bits. The lower half alone moves only where there is no upper one.
fn distance(op: AluOp, width: Width, from: &Scalar64, by: &Scalar64) -> Option<i32> {
    let constant = by.constant_in(width)?;
    let off = match width {
        Width::W64 => i32::try_from(constant as i64).ok()?,
        Width::W32 if from.umax() <= u32::MAX.into() => constant as i32,
        Width::W32 => return None,
    };
    match op {
        AluOp::Add => Some(off),
        AluOp::Sub => off.checked_neg(),
        _ => None,
    }
}

/// Offsets must stay far from overflow.
fn check_sane_offset(reg: &Reg, kind: &str) -> Check {
    let (value, smin) = (reg.value.tnum.value.0 as i64, reg.value.smin());
    let beyond = |number: i64| !(-MAX_VAR_OFF + 1..MAX_VAR_OFF).contains(&number);
    if reg.value.is_constant() && beyond(value) {
        fail!(EINVAL, OffsetTooLarge { kind: kind.into(), value });
    }
    if beyond(reg.off.into()) {
        fail!(EINVAL, PointerOffset { kind: kind.into(), off: reg.off });
    }
    if smin == i64::MIN {
        fail!(EINVAL, OffsetUnbounded { kind: kind.into() });
    }
    if beyond(smin) {
        fail!(EINVAL, OffsetOutOfBounds { value: smin, kind: kind.into() });
    }
    Ok(())
}
