//! Objects that live on the stack or in map values: dynptrs, iterators, IRQ flags,
//! locks, timers, kptrs. Counterpart: `process_dynptr_func`, `process_iter_arg`,
//! `process_spin_lock`, `check_map_kptr_access` and their kin.

use skep_abi::TypeFlags;
use skep_isa::{Insn, Operand, Size};

use crate::checker::{Checker, Code, Types};
use crate::error::{Check, bug, fail};
use crate::kernel_types::AcceptedType;
use crate::mem::Access;
use crate::record::{Field, FieldKind};
use crate::reg::{BtfId, DynptrKind, Flags, IrqClass, IterState, Kind, Reg, type_name};
use crate::state::{Byte, LockHome, RefKind, SLOT, Slot};

/// A part of the stack that holds an object: frame, and the index of the slot that
/// the object starts in.
pub(crate) type Place = (usize, usize);

impl Checker<'_> {
    /// Where on the stack an object of so many slots is that a pointer points to;
    /// `None` where the stack does not reach that far yet.
    fn object_place(&self, reg: &Reg, what: &'static str, slots: usize) -> Check<Option<Place>> {
        let Some(value) = reg.value.as_constant() else { fail!(EINVAL, ObjectOffset { what }) };
        let off = reg.off.wrapping_add(value as i32);
        let index = (-off - 1) / SLOT;
        if off % SLOT != 0 || off >= 0 || (index as usize) + 1 < slots {
            fail!(EINVAL, ObjectAlignment { what, off });
        }
        let frame = self.stack_frame(reg);
        let index = index as usize;
        Ok((index < self.cur.frame_at(frame).stack.len()).then_some((frame, index)))
    }

    pub(crate) fn dynptr_slot(&self, reg: &Reg) -> Check<Option<Place>> {
        self.object_place(reg, "dynptr", 2)
    }

    /// Id, reference and kind of a dynptr.
    pub(crate) fn dynptr_of(&self, reg: &Reg) -> Check<(u32, u32, DynptrKind)> {
        let slot = if let Kind::Dynptr { .. } = reg.kind {
            *reg
        } else {
            let Some((frame, index)) = self.dynptr_slot(reg)? else { bug!("no dynptr") };
            self.cur.frame_at(frame).stack[index].reg
        };
        match slot.kind {
            Kind::Dynptr { kind, .. } => Ok((slot.id, slot.ref_id, kind)),
            _ => bug!("no dynptr behind a pointer"),
        }
    }

    /// A slot of a dynptr is overwritten, which ends it.
    pub(crate) fn destroy_dynptr(&mut self, frame: usize, index: usize) -> Check {
        let slot = self.cur.frame_at(frame).stack[index];
        let Kind::Dynptr { first, .. } = slot.reg.kind else { return Ok(()) };
        if slot.bytes[0] != Byte::Dynptr {
            return Ok(());
        }
        let index = if first { index } else { index + 1 };
        let main = self.cur.frame_at(frame).stack[index].reg;
        if matches!(main.kind, Kind::Dynptr { kind, .. } if kind.is_refcounted()) {
            fail!(EINVAL, OverwriteDynptr);
        }
        let (id, invalid) = (main.id, self.invalid());
        self.clear_dynptr(frame, index);
        self.cur.change_regs(
            |reg| {
                matches!(reg.kind, Kind::Mem { dynptr, .. } if dynptr == id)
                    && (reg.flags - Flags::MAYBE_NULL).is_empty()
            },
            |reg| *reg = invalid,
        );
        Ok(())
    }

    fn clear_dynptr(&mut self, frame: usize, index: usize) {
        let stack = &mut self.cur.frame_at_mut(frame).stack;
        stack[index].clear();
        stack[index - 1].clear();
        self.shown.touched_slots |= 3 << (index - 1);
        self.mark_stack_write(frame as u8, 3 << (index - 1));
    }

    /// Gives a dynptr back, with its clones and slices.
    pub(crate) fn release_dynptr(&mut self, reg: &Reg) -> Check {
        let Some((frame, index)) = self.dynptr_slot(reg)? else { bug!("no dynptr") };
        let main = self.cur.frame_at(frame).stack[index].reg;
        if !matches!(main.kind, Kind::Dynptr { kind, .. } if kind.is_refcounted()) {
            self.clear_dynptr(frame, index);
            return Ok(());
        }
        let id = main.ref_id;
        self.release_reference(id);
        for index in 1..self.cur.frame_at(frame).stack.len() {
            let slot = self.cur.frame_at(frame).stack[index];
            if slot.reg.ref_id == id && matches!(slot.reg.kind, Kind::Dynptr { first: true, .. }) {
                self.clear_dynptr(frame, index);
            }
        }
        Ok(())
    }

    /// An argument that is a dynptr: one to be made, or one to be used. `kind` is
    /// what a kfunc makes; a helper's flags name its own.
    pub(crate) fn process_dynptr(
        &mut self,
        n: u8,
        flags: TypeFlags,
        kind: DynptrKind,
        clone_ref: u32,
    ) -> Check {
        let reg = *self.cur.reg(n.into());
        let arg = u32::from(n) - 1;
        if !reg.is_stack() && !reg.is_plain(Kind::Dynptr { kind, first: true }) {
            fail!(EINVAL, DynptrPointer { arg });
        }
        let wanted = if flags.contains(TypeFlags::DYNPTR_LOCAL) {
            DynptrKind::Local
        } else if flags.contains(TypeFlags::DYNPTR_RINGBUF) {
            DynptrKind::Ringbuf
        } else {
            kind
        };
        if flags.contains(TypeFlags::UNINIT) {
            if !reg.is_stack() {
                fail!(EINVAL, DynptrUninit);
            }
            if let Err(fault) = self.dynptr_slot(&reg) {
                crate::log::say!(self.log, "{}\n", fault.reason);
                fail!(EINVAL, DynptrUninit);
            }
            for off in [0, 8] {
                self.check_access(Access {
                    base: n,
                    off,
                    size: Size::DW,
                    write: true,
                    value: None,
                    strict: false,
                    signed: false,
                })?;
            }
            return self.make_dynptr(&reg, wanted, clone_ref);
        }
        let constant = matches!(reg.kind, Kind::Dynptr { .. });
        if constant && !flags.contains(TypeFlags::READ_ONLY) {
            fail!(EINVAL, DynptrConst);
        }
        let found = if constant {
            Some(reg.kind)
        } else {
            match self.dynptr_slot(&reg) {
                Ok(Some((frame, index))) => {
                    let stack = &self.cur.frame_at(frame).stack;
                    let whole = [index, index - 1]
                        .iter()
                        .all(|&at| stack[at].bytes.iter().all(|&byte| byte == Byte::Dynptr));
                    Some(stack[index].reg.kind)
                        .filter(|kind| whole && matches!(kind, Kind::Dynptr { first: true, .. }))
                }
                Ok(None) => None,
                Err(fault) => {
                    crate::log::say!(self.log, "{}\n", fault.reason);
                    None
                }
            }
        };
        let Some(Kind::Dynptr { kind: found, .. }) = found else {
            fail!(EINVAL, DynptrInit { arg });
        };
        if wanted != DynptrKind::Invalid && wanted != found {
            fail!(EINVAL, DynptrType { kind: wanted.name(), arg });
        }
        if !constant && let Some((frame, index)) = self.dynptr_slot(&reg)? {
            self.read_object(frame, index, 2);
        }
        Ok(())
    }

    fn read_object(&mut self, frame: usize, index: usize, slots: usize) {
        for at in index + 1 - slots..=index {
            self.mark_stack_read(frame as u8, 1 << at);
            self.shown.touched_slots |= 1 << at;
        }
    }

    fn make_dynptr(&mut self, reg: &Reg, kind: DynptrKind, clone_ref: u32) -> Check {
        let Some((frame, index)) = self.dynptr_slot(reg)? else { bug!("no room for a dynptr") };
        self.destroy_dynptr(frame, index)?;
        self.destroy_dynptr(frame, index - 1)?;
        let id = self.new_id();
        let ref_id = match (kind.is_refcounted(), clone_ref) {
            (false, _) => 0,
            (true, 0) => {
                let id = self.new_id();
                self.cur.acquire(RefKind::Pointer, id, self.pc);
                id
            }
            (true, clone) => clone,
        };
        let stack = &mut self.cur.frame_at_mut(frame).stack;
        for (at, first) in [(index, true), (index - 1, false)] {
            let reg = Reg::pointer(Kind::Dynptr { kind, first }, Flags::empty());
            stack[at] = Slot { bytes: [Byte::Dynptr; 8], reg: Reg { id, ref_id, ..reg } };
        }
        self.mark_stack_write(frame as u8, 3 << (index - 1));
        Ok(())
    }

    /// An iterator to be made; its type and size are a kfunc's first parameter's.
    pub(crate) fn make_iter(
        &mut self,
        n: u8,
        btf: BtfId,
        id: u32,
        slots: usize,
        name: &str,
        trust: Flags,
    ) -> Check {
        let reg = *self.cur.reg(n.into());
        let arg = u32::from(n) - 1;
        let busy = match self.object_place(&reg, "iter", slots) {
            Ok(Some((frame, index))) => (index + 1 - slots..=index)
                .any(|at| self.cur.frame_at(frame).stack[at].bytes.contains(&Byte::Iter)),
            Ok(None) => false,
            Err(fault) => {
                crate::log::say!(self.log, "{}\n", fault.reason);
                true
            }
        };
        if busy {
            fail!(EINVAL, IterUninit { name: name.into(), arg });
        }
        for slot in 0..slots {
            self.check_access(Access {
                base: n,
                off: slot as i32 * SLOT,
                size: Size::DW,
                write: true,
                value: None,
                strict: false,
                signed: false,
            })?;
        }
        let Some((frame, index)) = self.object_place(&reg, "iter", slots)? else {
            bug!("no room for an iterator");
        };
        let ref_id = self.new_id();
        self.cur.acquire(RefKind::Pointer, ref_id, self.pc);
        for at in 0..slots {
            let kind = Kind::Iter { btf, id, state: IterState::Active, depth: 0 };
            let mut reg = Reg::pointer(kind, trust);
            reg.ref_id = if at == 0 { ref_id } else { 0 };
            let slot = Slot { bytes: [Byte::Iter; 8], reg };
            self.cur.frame_at_mut(frame).stack[index - at] = slot;
            self.mark_stack_write(frame as u8, 1 << (index - at));
            self.shown.touched_slots |= 1 << (index - at);
        }
        Ok(())
    }

    /// An iterator to be used: where it is, and its reference.
    pub(crate) fn use_iter(
        &mut self,
        n: u8,
        btf: BtfId,
        id: u32,
        slots: usize,
        name: &str,
        function: &str,
    ) -> Check<(Place, u32)> {
        let reg = *self.cur.reg(n.into());
        let place = match self.object_place(&reg, "iter", slots) {
            Ok(place) => place,
            Err(fault) => {
                crate::log::say!(self.log, "{}\n", fault.reason);
                None
            }
        };
        let arg = u32::from(n) - 1;
        let Some((frame, index)) = place else {
            fail!(EINVAL, IterInit { name: name.into(), arg })
        };
        for at in 0..slots {
            let slot = self.cur.frame_at(frame).stack[index - at];
            if slot.reg.flags.contains(Flags::UNTRUSTED) {
                return Err(crate::error::Fault::new(
                    skep_abi::Errno::EPROTO,
                    skep_abi::Reason::IterRcu { name: function.into() },
                ));
            }
            let right = matches!(slot.reg.kind, Kind::Iter { btf: b, id: i, .. } if (b, i) == (btf, id))
                && (at == 0) == (slot.reg.ref_id != 0)
                && slot.bytes.iter().all(|&byte| byte == Byte::Iter);
            if !right {
                fail!(EINVAL, IterInit { name: name.into(), arg });
            }
        }
        self.read_object(frame, index, slots);
        Ok(((frame, index), self.cur.frame_at(frame).stack[index].reg.ref_id))
    }

    /// The end of an iterator.
    pub(crate) fn destroy_iter(&mut self, (frame, index): Place, slots: usize) {
        let id = self.cur.frame_at(frame).stack[index].reg.ref_id;
        self.release_reference(id);
        for at in index + 1 - slots..=index {
            self.cur.frame_at_mut(frame).stack[at].clear();
            self.mark_stack_write(frame as u8, 1 << at);
            self.shown.touched_slots |= 1 << at;
        }
    }

    /// Saves IRQ flags to, or restores them from, a slot of the stack.
    pub(crate) fn process_irq_flag(&mut self, n: u8, save: bool, class: IrqClass) -> Check {
        let reg = *self.cur.reg(n.into());
        let arg = u32::from(n) - 1;
        let place = self.object_place(&reg, "irq_flag", 1);
        if save {
            let busy = match &place {
                Ok(Some((frame, index))) => {
                    self.cur.frame_at(*frame).stack[*index].bytes.contains(&Byte::IrqFlag)
                }
                Ok(None) => false,
                Err(_) => true,
            };
            if busy {
                fail!(EINVAL, IrqUninit { arg });
            }
            self.check_access(Access {
                base: n,
                off: 0,
                size: Size::DW,
                write: true,
                value: None,
                strict: false,
                signed: false,
            })?;
            let Some((frame, index)) = self.object_place(&reg, "irq_flag", 1)? else {
                bug!("no room for IRQ flags");
            };
            let id = self.new_id();
            self.cur.acquire(RefKind::Irq, id, self.pc);
            self.mark_stack_write(frame as u8, 1 << index);
            let reg = Reg { ref_id: id, ..Reg::pointer(Kind::IrqFlag { class }, Flags::empty()) };
            self.cur.frame_at_mut(frame).stack[index] = Slot { bytes: [Byte::IrqFlag; 8], reg };
            self.shown.touched_slots |= 1 << index;
            return Ok(());
        }
        let Ok(Some((frame, index))) = place else { fail!(EINVAL, IrqInit { arg }) };
        let slot = self.cur.frame_at(frame).stack[index];
        let Kind::IrqFlag { class: saved } = slot.reg.kind else { fail!(EINVAL, IrqInit { arg }) };
        if slot.reg.ref_id == 0 || slot.bytes.iter().any(|&byte| byte != Byte::IrqFlag) {
            fail!(EINVAL, IrqInit { arg });
        }
        self.read_object(frame, index, 1);
        if saved != class {
            let name = |class| if class == IrqClass::Native { "native" } else { "lock" };
            fail!(EINVAL, IrqClass { saved: name(saved), used: name(class) });
        }
        if !self.cur.release_irq(slot.reg.ref_id) {
            let id = self.cur.irq_id;
            let pc = self.cur.refs.iter().find(|held| held.id == id).map_or(0, |held| held.pc);
            fail!(EACCES, IrqOrder { id, pc });
        }
        self.cur.frame_at_mut(frame).stack[index].clear();
        self.mark_stack_write(frame as u8, 1 << index);
        self.shown.touched_slots |= 1 << index;
        Ok(())
    }

    pub(crate) fn may_hold_lock(&self, reg: &Reg) -> bool {
        self.code.may_hold_lock(&self.types, reg)
    }

    /// Takes or gives back a lock.
    pub(crate) fn process_spin_lock(&mut self, n: u8, take: bool, res: bool, irq: bool) -> Check {
        let reg = *self.cur.reg(n.into());
        let lock = if res { "bpf_res_spin" } else { "bpf_spin" };
        let Some(value) = reg.value.as_constant() else {
            fail!(EINVAL, SpinOffset { reg: n, lock })
        };
        let (home, record, name) = match reg.kind {
            Kind::MapValue { map, .. } => {
                let info = &self.code.maps[usize::from(map)];
                if info.def.btf.is_none() {
                    fail!(EINVAL, SpinNoBtf { map: info.def.name.clone(), lock });
                }
                (LockHome::Map(map), info.record.clone(), Some(info.def.name.clone()))
            }
            Kind::Btf { btf, id } => {
                let record = self.record_of(btf, id);
                (
                    LockHome::Btf(btf),
                    record.map(|record| (*record).clone()).unwrap_or_default(),
                    None,
                )
            }
            _ => bug!("no lock behind R{n}"),
        };
        let kind = if res { FieldKind::ResSpinLock } else { FieldKind::SpinLock };
        let Some(at) = record.offset_of(kind) else {
            let what = if name.is_some() { "map" } else { "local" };
            fail!(EINVAL, SpinMissing { what, name: name.unwrap_or("kptr".into()), lock });
        };
        let off = (value as i64).wrapping_add(reg.off.into());
        if off != i64::from(at) {
            fail!(EINVAL, SpinAt { off, lock, at: at as i32 });
        }
        let held = match (res, irq) {
            (false, _) => RefKind::Lock(home),
            (true, false) => RefKind::ResLock(home),
            (true, true) => RefKind::ResLockIrq(home),
        };
        if take {
            // A plain lock excludes only another plain lock without id, as Linux has it.
            let plain =
                |held: &crate::state::Acquired| matches!(held.kind, RefKind::Lock(_)) && !res;
            if self.cur.active_locks > 0 && !res && self.cur.refs.iter().any(plain) {
                fail!(EINVAL, TwoLocks);
            }
            let same = |other: &crate::state::Acquired| {
                matches!(other.kind, RefKind::ResLock(h) | RefKind::ResLockIrq(h) if h == home)
                    && other.id == reg.id
            };
            if res && self.cur.refs.iter().any(same) {
                fail!(EINVAL, SameLock);
            }
            self.cur.acquire(held, reg.id, self.pc);
            return Ok(());
        }
        if self.cur.active_locks == 0 {
            fail!(EINVAL, UnlockWithout { lock });
        }
        if !self.cur.refs.iter().any(|other| other.kind == held && other.id == reg.id) {
            fail!(EINVAL, UnlockDifferent { lock });
        }
        if self.cur.lock != Some((reg.id, home)) {
            fail!(EINVAL, UnlockOrder { lock });
        }
        if !self.cur.release_lock(held, reg.id) {
            fail!(EINVAL, UnlockDifferent { lock });
        }
        let invalid = self.invalid();
        self.cur.change_regs(Reg::is_non_owning, |reg| *reg = invalid);
        Ok(())
    }

    /// A pointer to the one timer, or task work, of a map's value.
    pub(crate) fn check_field_pointer(&self, n: u8, kind: FieldKind) -> Check {
        let reg = *self.cur.reg(n.into());
        let name = kind.name();
        let Some(value) = reg.value.as_constant() else {
            fail!(EINVAL, FieldOffset { reg: n, name })
        };
        let Some(map) = reg.map() else { bug!("no map behind R{n}") };
        let info = &self.code.maps[usize::from(map)];
        if info.def.btf.is_none() {
            fail!(EINVAL, FieldNoBtf { map: info.def.name.clone(), name });
        }
        let Some(at) = info.record.offset_of(kind) else {
            fail!(EINVAL, FieldMissing { map: info.def.name.clone(), name });
        };
        let off = (value as i64).wrapping_add(reg.off.into());
        if off != i64::from(at) {
            fail!(EINVAL, FieldAt { off, name, at: at as i32 });
        }
        Ok(())
    }

    /// A load or store of a kptr in a map's value.
    pub(crate) fn access_kptr(&mut self, access: Access, field: &Field) -> Check {
        if !self.is_plain_access() {
            fail!(EACCES, KptrMode);
        }
        if access.write && matches!(field.kind, FieldKind::KptrRef | FieldKind::KptrPercpu) {
            fail!(EACCES, KptrStore);
        }
        if access.write && field.kind == FieldKind::Uptr {
            fail!(EACCES, UptrStore);
        }
        if access.write {
            return match (self.insn(self.pc), access.value) {
                (Some(Insn::Store { src: Operand::Imm(imm), .. }), _) if imm != 0 => {
                    fail!(EACCES, KptrStoreImm { off: field.off })
                }
                (_, Some(src)) if !self.cur.reg(src.number().into()).is_null() => {
                    self.check_kptr_type(field, src.number()).map_err(|mut fault| {
                        fault.errno = skep_abi::Errno::EACCES;
                        fault
                    })
                }
                _ => Ok(()),
            };
        }
        let Some(dst) = access.value else { return Ok(()) };
        let id = self.new_id();
        let reg = if field.kind == FieldKind::Uptr {
            let size =
                self.btf(field.btf).and_then(|btf| btf.size_of(field.type_id).ok()).unwrap_or(0);
            Reg::pointer(Kind::Mem { size: size as u32, dynptr: 0 }, Flags::MAYBE_NULL)
        } else {
            let flags = self.loaded_kptr(field);
            Reg::pointer(Kind::Btf { btf: field.btf, id: field.type_id }, flags)
        };
        *self.cur.reg_mut(dst.number().into()) = Reg { id, ..reg };
        Ok(())
    }

    fn loaded_kptr(&mut self, field: &Field) -> Flags {
        const PROTECTED: [&str; 6] = [
            "prog_test_ref_kfunc",
            "cgroup",
            "bpf_cpumask",
            "task_struct",
            "bpf_crypto_ctx",
            "bpf_cpumask",
        ];
        let kernel = self.is_kernel_btf(field.btf);
        let protected = field.kind == FieldKind::KptrPercpu
            || (field.kind == FieldKind::KptrRef
                && (!kernel
                    || PROTECTED.contains(&self.type_name(field.btf, field.type_id).as_str())));
        if !protected || !self.in_rcu() {
            return Flags::MAYBE_NULL | Flags::UNTRUSTED;
        }
        let mut flags = Flags::MAYBE_NULL | Flags::RCU;
        if field.kind == FieldKind::KptrPercpu {
            flags |= Flags::PERCPU;
        } else if !kernel {
            flags |= Flags::ALLOC;
        }
        let node = self
            .record_of(field.btf, field.type_id)
            .is_some_and(|record| record.has(FieldKind::ListNode) || record.has(FieldKind::RbNode));
        if node {
            flags |= Flags::NON_OWN_REF;
        }
        flags
    }

    /// Whether a pointer is of the type that a kptr holds.
    pub(crate) fn check_kptr_type(&mut self, field: &Field, n: u8) -> Check {
        let reg = *self.cur.reg(n.into());
        let target = self.type_name(field.btf, field.type_id);
        let mut name = String::new();
        let fits = 'fits: {
            let Kind::Btf { btf, id } = reg.kind else { break 'fits false };
            let mut allowed = Flags::MAYBE_NULL;
            if self.is_kernel_btf(btf) {
                allowed |= Flags::TRUSTED | Flags::RCU;
                if field.kind == FieldKind::KptrUnref {
                    allowed |= Flags::UNTRUSTED;
                }
            } else {
                allowed |= Flags::ALLOC;
                if field.kind == FieldKind::KptrPercpu {
                    allowed |= Flags::PERCPU;
                }
            }
            if !(reg.flags - allowed).is_empty() {
                break 'fits false;
            }
            name = self.type_name(btf, id);
            self.check_pointer_offset(&reg, n, true)?;
            let strict = field.kind != FieldKind::KptrUnref;
            let target = AcceptedType { btf: field.btf, id: field.type_id, strict };
            self.types_match(btf, id, reg.off, target)
        };
        if fits {
            return Ok(());
        }
        let mut expected = format!("ptr_{target}");
        if field.kind == FieldKind::KptrUnref {
            let untrusted = type_name(Kind::Btf { btf: 0, id: 0 }, Flags::UNTRUSTED);
            expected += &format!(" or {untrusted}{target}");
        }
        let kind = format!("{}{name}", reg.type_name());
        fail!(EINVAL, KptrType { reg: n, kind, expected });
    }
}

impl Code {
    /// Whether what a pointer points to can hold a lock.
    pub(crate) fn may_hold_lock(&self, types: &Types, reg: &Reg) -> bool {
        match reg.kind {
            Kind::MapValue { map, .. } if reg.flags.is_empty() => {
                self.maps[usize::from(map)].record.has_lock()
            }
            Kind::Btf { btf, id } if reg.is_alloc_obj() => types
                .records
                .get(&(btf, id))
                .and_then(Option::as_ref)
                .is_some_and(|record| record.has_lock()),
            _ => false,
        }
    }
}
