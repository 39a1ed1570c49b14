//! Loads from and stores to the stack: spills with all that is known of them, and
//! plain bytes. Counterpart: `check_stack_read`, `check_stack_write`,
//! `check_stack_range_initialized`.

use skep_abi::limits::{MAX_STACK, MAX_VAR_OFF};
use skep_isa::{Insn, Operand, Reg as R};

use crate::checker::Checker;
use crate::error::{Check, bug, fail};
use crate::reg::{Kind, Reg};
use crate::state::{Byte, SLOT, Slot, slot_of};

/// A helper's buffer that it fills without reading.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RawAccess {
    pub size: i32,
    pub reg: u8,
}

impl Checker<'_> {
    /// The frame that a stack pointer points into.
    pub(crate) fn stack_frame(&self, reg: &Reg) -> usize {
        match reg.kind {
            Kind::Stack { frame } => frame.into(),
            _ => self.cur.depth(),
        }
    }

    fn touch_slot(&mut self, slot: usize) {
        self.shown.touched_slots |= 1 << slot.min(63);
    }

    /// Makes room for `size` bytes in a frame.
    fn grow_stack(&mut self, frame: usize, size: i64) {
        let slots = ((size.max(0) + 7) / 8) as usize;
        if self.cur.frame_at(frame).stack.len() >= slots {
            return;
        }
        let frame = self.cur.frame_at_mut(frame);
        frame.grow(slots);
        let subprog = frame.subprog as usize;
        let depth = &mut self.found.subprogs[subprog].stack_depth;
        *depth = (*depth).max(slots as i32 * SLOT);
    }

    /// Whether `[off, off + size)` from this stack pointer lies in the stack.
    pub(crate) fn check_stack_bounds(
        &mut self,
        number: u8,
        off: i32,
        size: i32,
        write: bool,
    ) -> Check {
        let reg = *self.cur.reg(number.into());
        let frame = self.stack_frame(&reg);
        let what = if write { " write to" } else { " read from" };
        let (min, max) = match reg.value.as_constant() {
            Some(value) => {
                let min = (value as i64).wrapping_add(off.into());
                (min, min.wrapping_add(size.into()))
            }
            None => {
                if reg.value.smax() >= MAX_VAR_OFF || reg.value.smin() <= -MAX_VAR_OFF {
                    fail!(EACCES, StackUnbounded { what, reg: number });
                }
                (
                    reg.value.smin() + i64::from(off),
                    reg.value.smax() + i64::from(off) + i64::from(size),
                )
            }
        };
        let lowest = if write || self.rights.read_uninit_stack {
            -MAX_STACK
        } else {
            -self.cur.frame_at(frame).stack_size()
        };
        let errno = if min < lowest.into() || min > -1 {
            Some(skep_abi::Errno::EACCES)
        } else if max > 0 {
            Some(skep_abi::Errno::EINVAL)
        } else if size < 0 {
            Some(skep_abi::Errno::EFAULT)
        } else {
            None
        };
        if let Some(errno) = errno {
            let reason = if reg.value.is_constant() {
                skep_abi::Reason::StackAccess { what, reg: number, off, size }
            } else {
                let var_off = reg.value.tnum.to_string();
                skep_abi::Reason::StackAccessVariable { what, reg: number, var_off, off, size }
            };
            return Err(crate::error::Fault::new(errno, reason));
        }
        self.grow_stack(frame, -min);
        Ok(())
    }

    /// A load; `dst` receives it, unless the value goes nowhere.
    pub(crate) fn read_stack(&mut self, base: u8, off: i32, size: i32, dst: Option<R>) -> Check {
        let reg = *self.cur.reg(base.into());
        let frame = self.stack_frame(&reg);
        match (reg.value.as_constant(), dst) {
            (Some(value), _) => {
                self.read_stack_fixed(frame, off.wrapping_add(value as i32), size, dst)
            }
            (None, None) => {
                let var_off = reg.value.tnum.to_string();
                fail!(EACCES, StackVariableHelper { var_off, off, size });
            }
            (None, Some(dst)) => {
                self.check_stack_initialized(base, off, size, false, false, None)?;
                let min = (reg.value.smin() + i64::from(off)) as i32;
                let max = (reg.value.smax() + i64::from(off)) as i32;
                self.load_bytes(frame, min, max + size, dst);
                let subprog = self.cur.frame_at(frame).subprog as usize;
                self.check_fastcall_contract(subprog, self.pc, min);
                Ok(())
            }
        }
    }

    /// Unknown data, unless all bytes are zero.
    fn load_bytes(&mut self, frame: usize, min: i32, max: i32, dst: R) {
        let mut zero = true;
        for off in min..max {
            let slot = slot_of(off);
            self.touch_slot(slot);
            zero &=
                self.cur.frame_at(frame).stack[slot].bytes[(-off - 1) as usize % 8] == Byte::Zero;
            if !zero {
                break;
            }
        }
        *self.cur.reg_mut(dst.number().into()) = if zero { self.zero() } else { self.unknown() };
    }

    fn read_stack_fixed(&mut self, frame: usize, off: i32, size: i32, dst: Option<R>) -> Check {
        let index = slot_of(off);
        self.touch_slot(index);
        let subprog = self.cur.frame().subprog as usize;
        self.check_fastcall_contract(subprog, self.pc, off);
        self.mark_stack_read(frame as u8, 1 << index);
        let slot = self.cur.frame_at(frame).stack[index];
        if !slot.is_spill() {
            self.check_readable(&slot, off, size, false)?;
            if let Some(dst) = dst {
                self.load_bytes(frame, off, off + size, dst);
            }
            return Ok(());
        }
        let spilled = slot.bytes.iter().rev().take_while(|&&byte| byte == Byte::Spill).count();
        let is_fill = if size != 8 || spilled != 8 {
            if slot.reg.is_pointer() {
                self.print_line(self.pc, "; ");
                fail!(EACCES, FillSize);
            }
            let Some(dst) = dst else { return Ok(()) };
            let to = usize::from(dst.number());
            let whole = size <= spilled as i32 && off % SLOT == 0;
            if whole {
                let id = if slot.reg.value.width() > 8 * size as u32 { 0 } else { slot.reg.id };
                *self.cur.reg_mut(to) = Reg { id, ..slot.reg };
                true
            } else {
                self.check_readable(&slot, off, size, true)?;
                let bytes = (0..size).map(|at| slot.bytes[(-off - 1 - at) as usize % 8]);
                let all = |wanted: Byte| bytes.clone().all(|byte| byte == wanted);
                let zero_fill = all(Byte::Spill) && slot.reg.value.as_constant() == Some(0);
                *self.cur.reg_mut(to) =
                    if zero_fill || all(Byte::Zero) { self.zero() } else { self.unknown() };
                zero_fill
            }
        } else if let Some(dst) = dst {
            *self.cur.reg_mut(dst.number().into()) = slot.reg;
            true
        } else if !self.rights.leak_pointers && slot.reg.is_pointer() {
            fail!(EACCES, StackLeak { off });
        } else {
            true
        };
        if is_fill {
            self.record_access(frame as u8, index);
        }
        Ok(())
    }

    fn check_readable(&self, slot: &Slot, off: i32, size: i32, spill: bool) -> Check {
        for index in 0..size {
            match slot.bytes[(-off - 1 - index) as usize % 8] {
                Byte::Misc | Byte::Zero => {}
                Byte::Spill if spill => {}
                Byte::Invalid if self.rights.read_uninit_stack => {}
                _ => fail!(EACCES, StackRead { off, index, size }),
            }
        }
        Ok(())
    }

    /// A store of a register, or of something unknown.
    pub(crate) fn write_stack(&mut self, base: u8, off: i32, size: i32, src: Option<R>) -> Check {
        let reg = *self.cur.reg(base.into());
        let frame = self.stack_frame(&reg);
        match reg.value.as_constant() {
            Some(value) => self.write_stack_fixed(frame, off.wrapping_add(value as i32), size, src),
            None => self.write_stack_variable(&reg, frame, off, size, src),
        }
    }

    /// What the instruction stores, where that is an immediate.
    fn stored_imm(&self) -> Option<i32> {
        match self.insn(self.pc) {
            Some(Insn::Store { src: Operand::Imm(imm), .. }) => Some(imm),
            _ => None,
        }
    }

    fn write_stack_fixed(&mut self, frame: usize, off: i32, size: i32, src: Option<R>) -> Check {
        let index = slot_of(off);
        let old = self.cur.frame_at(frame).stack[index];
        if !self.rights.leak_pointers && old.is_spill() && old.reg.is_pointer() && size != SLOT {
            fail!(EACCES, CorruptsSpill);
        }
        let value = src.map(|src| *self.cur.reg(src.number().into()));
        if !self.rights.bypass_spec_v4 {
            let lowest = (-off - 1) % SLOT;
            let bytes = &old.bytes[(lowest + 1 - size).max(0) as usize..=lowest as usize];
            let pointer = value.is_some_and(|value| value.is_spillable());
            if pointer || bytes.iter().any(|&byte| !matches!(byte, Byte::Misc | Byte::Zero)) {
                self.aux().nospec_result = true;
            }
        }
        self.destroy_dynptr(frame, index)?;
        let aligned = off % SLOT == 0;
        if aligned && size == SLOT {
            self.mark_stack_write(frame as u8, 1 << index);
        }
        let subprog = self.cur.frame_at(frame).subprog as usize;
        self.check_fastcall_contract(subprog, self.pc, off);
        self.touch_slot(index);
        let imm = self.stored_imm();
        match (value, imm) {
            (Some(value), _) if aligned && value.is_scalar() && self.rights.bpf => {
                let fits = value.value.width() <= 8 * size as u32;
                if let (true, Some(src)) = (fits, src) {
                    self.assign_id(src.number().into());
                }
                let value = src.map_or(value, |src| *self.cur.reg(src.number().into()));
                let id = if fits { value.id } else { 0 };
                self.save(frame, index, Reg { id, ..value }, size);
            }
            (None, Some(imm)) if aligned && self.rights.bpf => {
                self.save(frame, index, Reg::constant(imm as i64 as u64), size);
            }
            (Some(value), _) if value.is_spillable() => {
                if size != SLOT {
                    self.print_line(self.pc, "; ");
                    fail!(EACCES, SpillSize);
                }
                if frame != self.cur.depth() && value.is_stack() {
                    fail!(EINVAL, SpillToCaller);
                }
                self.save(frame, index, value, size);
            }
            _ => {
                let zero = match value {
                    Some(value) => value.is_null(),
                    None => imm == Some(0),
                };
                self.scribble(frame, index, off, size, zero);
                if let (true, Some(src)) = (zero, src) {
                    self.mark_precise(src.number())?;
                }
                return Ok(());
            }
        }
        self.record_access(frame as u8, index);
        Ok(())
    }

    /// Plain data, which ends whatever was spilled there.
    fn scribble(&mut self, frame: usize, index: usize, off: i32, size: i32, zero: bool) {
        let slot = &mut self.cur.frame_at_mut(frame).stack[index];
        slot.end_special();
        for at in 0..size {
            slot.bytes[(-off - 1 - at) as usize % 8] = if zero { Byte::Zero } else { Byte::Misc };
        }
    }

    fn save(&mut self, frame: usize, index: usize, reg: Reg, size: i32) {
        let slot = &mut self.cur.frame_at_mut(frame).stack[index];
        slot.reg = reg;
        for (at, byte) in slot.bytes.iter_mut().enumerate() {
            if at as i32 >= SLOT - size {
                *byte = Byte::Spill;
            } else if !matches!(*byte, Byte::Zero | Byte::Invalid) {
                *byte = Byte::Misc;
            }
        }
    }

    fn write_stack_variable(
        &mut self,
        reg: &Reg,
        frame: usize,
        off: i32,
        size: i32,
        src: Option<R>,
    ) -> Check {
        let min = (reg.value.smin() + i64::from(off)) as i32;
        let max = (reg.value.smax() + i64::from(off)) as i32 + size;
        let zero = match src {
            Some(src) => self.cur.reg(src.number().into()).is_null(),
            None => self.stored_imm() == Some(0),
        };
        for at in min..max {
            self.destroy_dynptr(frame, slot_of(at))?;
        }
        let subprog = self.cur.frame_at(frame).subprog as usize;
        self.check_fastcall_contract(subprog, self.pc, min);
        let mut zero_used = false;
        for at in min..max {
            let (index, byte) = (slot_of(at), (-at - 1) as usize % 8);
            self.touch_slot(index);
            let slot = self.cur.frame_at(frame).stack[index];
            let old = slot.bytes[byte];
            if !self.rights.leak_pointers && !matches!(old, Byte::Misc | Byte::Zero) {
                fail!(EINVAL, SpillInVariableWrite { pc: self.pc, off: at });
            }
            if zero
                && old == Byte::Spill
                && slot.is_scalar_spill()
                && slot.reg.value.as_constant() == Some(0)
            {
                zero_used = true;
                continue;
            }
            if old == Byte::Invalid && !self.rights.read_uninit_stack {
                fail!(EINVAL, UninitInVariableWrite { pc: self.pc, off: at });
            }
            let slot = &mut self.cur.frame_at_mut(frame).stack[index];
            slot.end_special();
            let keeps_zero = zero && slot.bytes[byte] == Byte::Zero;
            zero_used |= keeps_zero;
            slot.bytes[byte] = if keeps_zero { Byte::Zero } else { Byte::Misc };
        }
        if let (true, Some(src)) = (zero_used, src) {
            self.mark_precise(src.number())?;
        }
        Ok(())
    }

    /// A helper's buffer on the stack: initialised where it is read, and unknown
    /// after it was written.
    pub(crate) fn check_stack_initialized(
        &mut self,
        number: u8,
        off: i32,
        size: i32,
        zero_ok: bool,
        write: bool,
        raw: Option<&mut RawAccess>,
    ) -> Check {
        let reg = *self.cur.reg(number.into());
        let frame = self.stack_frame(&reg);
        if size == 0 && !zero_ok {
            fail!(EACCES, ZeroSizedRead);
        }
        self.check_stack_bounds(number, off, size, write)?;
        let (min, max, raw) = match reg.value.as_constant() {
            Some(value) => {
                let at = off.wrapping_add(value as i32);
                (at, at, raw)
            }
            None => {
                if !self.rights.bypass_spec_v1 {
                    let var_off = reg.value.tnum.to_string();
                    fail!(EACCES, StackVariableUnprivileged { reg: number, var_off });
                }
                let at = |edge: i64| (edge + i64::from(off)) as i32;
                (at(reg.value.smin()), at(reg.value.smax()), None)
            }
        };
        if let Some(raw) = raw {
            for at in min..max + size {
                let byte = self
                    .cur
                    .frame_at(frame)
                    .stack
                    .get(slot_of(at))
                    .map(|slot| slot.bytes[(-at - 1) as usize % 8]);
                if byte == Some(Byte::Dynptr) {
                    fail!(EACCES, WriteToDynptr { off: at });
                }
            }
            *raw = RawAccess { size, reg: number };
            return Ok(());
        }
        for at in min..max + size {
            let (index, byte) = (slot_of(at), (-at - 1) as usize % 8);
            let Some(&slot) = self.cur.frame_at(frame).stack.get(index) else {
                bug!("allocated_stack too small");
            };
            let readable = match slot.bytes[byte] {
                Byte::Misc => true,
                Byte::Zero => {
                    if write {
                        self.cur.frame_at_mut(frame).stack[index].bytes[byte] = Byte::Misc;
                    }
                    true
                }
                Byte::Invalid if self.rights.read_uninit_stack => {
                    if write {
                        self.cur.frame_at_mut(frame).stack[index].bytes[byte] = Byte::Misc;
                    }
                    true
                }
                _ if slot.is_spill() && (slot.reg.is_scalar() || self.rights.leak_pointers) => {
                    if write {
                        let unknown = self.unknown();
                        let slot = &mut self.cur.frame_at_mut(frame).stack[index];
                        slot.reg = unknown;
                        slot.bytes.iter_mut().for_each(Byte::scrub);
                    }
                    true
                }
                _ => false,
            };
            if !readable {
                let index = at - min;
                if reg.value.is_constant() {
                    fail!(EACCES, StackHelperRead { reg: number, off: min, index, size });
                }
                let var_off = reg.value.tnum.to_string();
                fail!(EACCES, StackHelperReadVariable { reg: number, var_off, index, size });
            }
            self.mark_stack_read(frame as u8, 1 << index);
        }
        Ok(())
    }
}
