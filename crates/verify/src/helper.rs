//! Calls of helpers: each argument against the prototype, then what the call does to
//! state. Counterpart: `check_helper_call`, `check_func_arg`, `check_reg_type`.

use skep_abi::{
    Allowed, Arg, ArgKind, AttachType, Caller, Helper, MapType, ProgType, Proto, Reason, RetKind,
    TypeFlags, flags,
};
use skep_isa::{Callee, Insn};

use crate::checker::Checker;
use crate::disasm::helper_name;
use crate::domain::Scalar64;
use crate::error::{Check, ENOTSUPP, Fault, bug, fail};
use crate::kernel_types::AcceptedType;
use crate::log::say;
use crate::mem::Access;
use crate::record::{Field, FieldKind};
use crate::reg::{DynptrKind, Flags, KERNEL_BTF, Kind, MapId, Reg, type_name};
use crate::stack::RawAccess;
use crate::state::{Byte, Frame, RefKind, slot_of};
use crate::structure::subprogs::TAIL_CALL;

/// Helpers that the verifier knows by name.
pub(crate) mod id {
    pub(crate) const MAP_LOOKUP: u32 = 1;
    pub(crate) const MAP_UPDATE: u32 = 2;
    pub(crate) const MAP_DELETE: u32 = 3;
    pub(crate) const GET_SMP_PROCESSOR_ID: u32 = 8;
    pub(crate) const PROBE_READ_STR: u32 = 45;
    pub(crate) const GET_STACK: u32 = 67;
    pub(crate) const GET_LOCAL_STORAGE: u32 = 81;
    pub(crate) const SK_RELEASE: u32 = 86;
    pub(crate) const SPIN_LOCK: u32 = 93;
    pub(crate) const PROBE_READ_USER_STR: u32 = 114;
    pub(crate) const PROBE_READ_KERNEL_STR: u32 = 115;
    pub(crate) const GET_TASK_STACK: u32 = 141;
    pub(crate) const FOR_EACH_MAP_ELEM: u32 = 164;
    pub(crate) const SNPRINTF: u32 = 165;
    pub(crate) const TIMER_SET_CALLBACK: u32 = 170;
    pub(crate) const GET_FUNC_IP: u32 = 173;
    pub(crate) const FIND_VMA: u32 = 180;
    pub(crate) const LOOP: u32 = 181;
    pub(crate) const SET_RETVAL: u32 = 187;
    pub(crate) const KPTR_XCHG: u32 = 194;
    pub(crate) const DYNPTR_FROM_MEM: u32 = 197;
    pub(crate) const DYNPTR_WRITE: u32 = 202;
    pub(crate) const DYNPTR_DATA: u32 = 203;
    pub(crate) const USER_RINGBUF_DRAIN: u32 = 209;
}

/// Helpers after which packet pointers are worth nothing.
const CHANGES_PACKET: &[u32] =
    &[9, 10, 11, 13, 18, 19, 31, 38, 39, 43, 44, 54, 62, 65, 73, 74, 75, 76, 90, 91, 143, 12];
/// Helpers that yield a reference.
const ACQUIRES: &[u32] = &[84, 85, 99, 131, id::KPTR_XCHG];
/// Helpers that see the same socket as another type.
const CASTS: &[u32] = &[95, 96, 136, 137, 138, 139, 140, 196];

/// What the flow graph needs to know of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallTraits {
    pub sync_callback: bool,
    pub async_callback: bool,
    pub iter_next: bool,
    pub sleeps: bool,
    pub changes_packet: bool,
}

/// What a call does to registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallSummary {
    pub params: u32,
    pub is_void: bool,
    pub fast: bool,
}

/// What the arguments of a call have shown.
#[derive(Default)]
struct Meta {
    map: Option<MapId>,
    map_uid: u32,
    raw_mode: bool,
    raw: RawAccess,
    release: Option<u8>,
    ref_id: u32,
    size_max: u64,
    mem_size: u32,
    subprog: u32,
    dynptr_id: u32,
    kptr: Option<Field>,
    const_key: Option<u64>,
    ret_btf: Option<(u8, u32)>,
}

impl Checker<'_> {
    /// The prototype under which this program may call a helper.
    pub(crate) fn proto(&self, number: u32) -> Option<&'static Proto> {
        let helper = Helper::from_id(number)?;
        self.proto_of(helper)
    }

    pub(crate) fn call_traits(&self, _pc: u32, callee: Callee) -> CallTraits {
        match callee {
            Callee::Helper(number) => CallTraits {
                sync_callback: matches!(
                    number,
                    id::FOR_EACH_MAP_ELEM | id::FIND_VMA | id::LOOP | id::USER_RINGBUF_DRAIN
                ),
                async_callback: number == id::TIMER_SET_CALLBACK,
                iter_next: false,
                sleeps: self.proto(number).is_some_and(|proto| proto.might_sleep),
                changes_packet: CHANGES_PACKET.contains(&number),
            },
            Callee::Kfunc { btf_id, module } => self.kfunc_traits(btf_id, module),
            Callee::Local(_) | Callee::Register(_) => CallTraits::default(),
        }
    }

    pub(crate) fn call_summary(&self, callee: Callee) -> Option<CallSummary> {
        match callee {
            Callee::Helper(number) => {
                let proto = self.proto(number)?;
                let inlined = number == id::GET_SMP_PROCESSOR_ID || matches!(number, 35 | 158);
                Some(CallSummary {
                    params: proto.args.len() as u32,
                    is_void: proto.ret.kind == RetKind::Void,
                    fast: proto.fastcall && inlined,
                })
            }
            Callee::Kfunc { btf_id, module } => self.kfunc_summary(btf_id, module),
            Callee::Local(_) | Callee::Register(_) => None,
        }
    }

    pub(crate) fn check_helper_call(&mut self, number: u32) -> Check {
        let name = || helper_name(number).to_string();
        if number as usize > Helper::all().len() {
            fail!(EINVAL, InvalidHelper { name: name(), id: number });
        }
        let Some(proto) = self.proto(number) else {
            fail!(EINVAL, HelperNotForType { name: name(), id: number });
        };
        if !self.program.gpl && proto.gpl_only {
            fail!(EINVAL, HelperGpl);
        }
        if !self.is_allowed_here(proto) {
            fail!(EINVAL, HelperInProbe);
        }
        if proto.might_sleep {
            if !self.in_sleepable() {
                fail!(EINVAL, HelperSleeps);
            }
            if self.cur.rcu_lock {
                fail!(EINVAL, HelperInRcu { name: name(), id: number });
            }
            if self.cur.preempt_locks > 0 {
                fail!(EINVAL, HelperInPreempt { name: name(), id: number });
            }
            if self.cur.irq_id != 0 {
                fail!(EINVAL, HelperInIrq { name: name(), id: number });
            }
        }
        let mut meta = Meta::default();
        for (index, arg) in proto.args.iter().enumerate() {
            self.check_arg(number, proto, index, *arg, &mut meta)?;
        }
        self.record_map(number, &meta)?;
        for at in 0..meta.raw.size {
            self.check_access(Access {
                base: meta.raw.reg,
                off: at,
                size: skep_isa::Size::B,
                write: true,
                value: None,
                strict: false,
                signed: false,
            })?;
        }
        self.release_argument(number, proto, &meta)?;
        let changes = self.special_effects(number, &mut meta)?;
        self.clear_caller_saved();
        self.set_result(number, proto, &meta)?;
        self.check_map_for_helper(number, meta.map)?;
        if number == id::GET_FUNC_IP {
            self.check_func_ip(number)?;
        }
        if changes || CHANGES_PACKET.contains(&number) && number != TAIL_CALL {
            self.clear_packet_pointers();
        }
        Ok(())
    }

    fn check_arg(
        &mut self,
        number: u32,
        proto: &Proto,
        index: usize,
        mut arg: Arg,
        meta: &mut Meta,
    ) -> Check {
        let place = index + 1;
        let n = place as u8;
        self.touched_regs |= 1 << place;
        let reg = *self.cur.reg(place);
        if reg.kind == Kind::Uninit {
            fail!(EACCES, NotReadable { reg: n });
        }
        if arg.kind == ArgKind::Anything {
            if self.is_pointer_value(place) {
                fail!(EACCES, LeaksToHelper { reg: n });
            }
            return Ok(());
        }
        if reg.is_packet() && !self.may_access_packet(Some(proto.packet_access), false) {
            fail!(EACCES, HelperPacket);
        }
        if arg.kind == ArgKind::MapValue {
            let Some(map) = meta.map else { bug!("invalid map_ptr to access map->type") };
            match self.maps[usize::from(map)].def.kind {
                MapType::Sockmap | MapType::Sockhash => {
                    if !arg.flags.is_empty() {
                        fail!(EINVAL, SockmapArg);
                    }
                    arg = Arg { kind: ArgKind::KernelSock, ..arg };
                }
                MapType::BloomFilter if number == 89 => {
                    arg = Arg { flags: TypeFlags::empty(), ..arg };
                }
                _ => {}
            }
        }
        let or_null = arg.flags.contains(TypeFlags::OR_NULL);
        let release = arg.flags.contains(TypeFlags::RELEASE);
        if !(reg.is_null() && or_null) {
            self.check_arg_type(number, n, arg, meta)?;
            let is_dynptr = arg.kind == ArgKind::Dynptr;
            self.check_arg_offset(&reg, n, release, is_dynptr)?;
        }
        if release {
            if arg.kind == ArgKind::Dynptr {
                if !reg.is_stack() {
                    fail!(EINVAL, ReleaseConstDynptr);
                }
                let held = self.dynptr_slot(&reg)?.is_some_and(|(frame, slot)| {
                    self.cur.frame_at(frame).stack[slot].reg.ref_id != 0
                });
                if !held {
                    fail!(EINVAL, Unacquired { arg: n });
                }
            } else if reg.ref_id == 0 && !reg.is_null() {
                fail!(EINVAL, MustBeReferenced { reg: n });
            }
            meta.release = Some(n);
        }
        if reg.ref_id != 0 && arg.kind != ArgKind::KptrSlot {
            if meta.ref_id != 0 {
                let (first, second) = (reg.ref_id, meta.ref_id);
                fail!(EACCES, TwoReferences { reg: n, first, second });
            }
            meta.ref_id = reg.ref_id;
        }
        self.check_arg_value(number, proto, index, arg, &reg, meta)
    }

    fn check_arg_value(
        &mut self,
        number: u32,
        proto: &Proto,
        index: usize,
        arg: Arg,
        reg: &Reg,
        meta: &mut Meta,
    ) -> Check {
        let n = index as u8 + 1;
        let write = arg.flags.contains(TypeFlags::WRITE);
        match arg.kind {
            ArgKind::Map => {
                let Some(map) = reg.map() else { bug!("no map behind R{n}") };
                let uid = reg.map_uid();
                if meta.map.is_some_and(|first| first != map)
                    || (meta.map.is_some() && meta.map_uid != uid)
                {
                    fail!(EINVAL, TimerMap { first: meta.map_uid, second: uid });
                }
                (meta.map, meta.map_uid) = (Some(map), uid);
            }
            ArgKind::MapKey => {
                let Some(map) = meta.map else { bug!("invalid map_ptr to access map->key") };
                let def = &self.maps[usize::from(map)].def;
                let (kind, size) = (def.kind, def.key_size);
                self.check_helper_mem(n, size as i32, false, false, None)?;
                if matches!(kind, MapType::Array | MapType::PercpuArray) {
                    meta.const_key = self.constant_key(n, size)?;
                }
            }
            ArgKind::MapValue => {
                if arg.flags.contains(TypeFlags::OR_NULL) && reg.is_null() {
                    return Ok(());
                }
                let Some(map) = meta.map else { bug!("invalid map_ptr to access map->value") };
                meta.raw_mode = arg.flags.contains(TypeFlags::UNINIT);
                let size = self.maps[usize::from(map)].def.value_size as i32;
                let raw = meta.raw_mode.then_some(&mut meta.raw);
                self.check_helper_mem(n, size, write, false, raw)?;
            }
            ArgKind::PercpuVariable => {
                let Kind::Btf { btf, id } = reg.kind else { bug!("no type behind R{n}") };
                if id == 0 {
                    fail!(EACCES, HelperBtfId { reg: n });
                }
                meta.ret_btf = Some((btf, id));
            }
            ArgKind::SpinLock => {
                if self.in_rbtree_callback() {
                    fail!(EACCES, LockInRbtreeCallback);
                }
                self.process_spin_lock(n, number == id::SPIN_LOCK, false, false)?;
            }
            ArgKind::Timer => {
                let Some(map) = reg.map() else { bug!("no map behind R{n}") };
                self.check_field_pointer(n, FieldKind::Timer)?;
                (meta.map, meta.map_uid) = (Some(map), reg.map_uid());
            }
            ArgKind::Func => {
                if let Kind::Func { subprog } = reg.kind {
                    meta.subprog = subprog;
                }
            }
            ArgKind::Mem => meta.raw_mode = arg.flags.contains(TypeFlags::UNINIT),
            ArgKind::FixedMem(size) => {
                meta.raw_mode = arg.flags.contains(TypeFlags::UNINIT);
                if !(reg.is_null() && arg.flags.contains(TypeFlags::OR_NULL)) {
                    let raw = meta.raw_mode.then_some(&mut meta.raw);
                    self.check_helper_mem(n, size as i32, write, false, raw)?;
                    if arg.flags.contains(TypeFlags::ALIGNED) {
                        self.check_alignment(reg, 0, size as i32, true)?;
                    }
                }
            }
            ArgKind::Size | ArgKind::SizeOrZero => {
                let write = proto.args[index - 1].flags.contains(TypeFlags::WRITE);
                let zero_ok = arg.kind == ArgKind::SizeOrZero;
                meta.size_max = reg.value.umax();
                let raw = meta.raw_mode.then_some(&mut meta.raw);
                self.check_mem_and_size(n, write, zero_ok, raw)?;
            }
            ArgKind::Dynptr => self.process_dynptr(n, arg.flags, DynptrKind::Invalid, 0)?,
            ArgKind::AllocSize => {
                let Some(size) = reg.value.as_constant() else {
                    fail!(EACCES, NotConstant { reg: n });
                };
                meta.mem_size = size as u32;
                self.mark_precise(n)?;
            }
            ArgKind::ConstStr => self.check_const_str(n)?,
            ArgKind::KptrSlot => self.process_kptr_slot(n, meta)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether the register is of a type that the argument takes.
    fn check_arg_type(&mut self, number: u32, n: u8, arg: Arg, meta: &Meta) -> Check {
        let reg = *self.cur.reg(n.into());
        let mut flags = reg.flags;
        if arg.flags.contains(TypeFlags::READ_ONLY) {
            flags -= Flags::RDONLY;
        }
        if arg.flags.contains(TypeFlags::OR_NULL) {
            flags -= Flags::MAYBE_NULL;
        }
        let is_mem = matches!(arg.kind, ArgKind::Mem | ArgKind::FixedMem(_));
        if is_mem {
            flags -= Flags::DYNPTR;
        }
        if number == id::KPTR_XCHG && reg.flags.contains(Flags::ALLOC) && n == 2 {
            flags -= Flags::ALLOC | Flags::PERCPU;
        }
        let accepted = accepted_types(arg.kind);
        if !accepted.iter().any(|&(kind, wanted)| kind.same_base(reg.kind) && wanted == flags) {
            let expected: Vec<String> =
                accepted.iter().map(|&(kind, flags)| type_name(kind, flags)).collect();
            let kind = reg.type_name();
            fail!(EACCES, ArgType { reg: n, kind, expected: expected.join(", ") });
        }
        let Kind::Btf { btf, id: type_id } = reg.kind else { return Ok(()) };
        if is_mem || matches!(arg.kind, ArgKind::MapKey | ArgKind::MapValue) {
            if !arg.flags.contains(TypeFlags::READ_ONLY) {
                let (name, kind) = (helper_name(number).into(), reg.type_name());
                fail!(EACCES, MayWrite { name, reg: n, kind });
            }
            return Ok(());
        }
        if reg.flags.contains(Flags::PERCPU) && !reg.flags.contains(Flags::ALLOC) {
            return Ok(());
        }
        if reg.flags.contains(Flags::ALLOC) {
            if number == id::KPTR_XCHG && n == 2 {
                self.check_exchanged(n, meta)?;
            }
            return Ok(());
        }
        let release = arg.flags.contains(TypeFlags::RELEASE);
        if reg.maybe_null() && (!arg.flags.contains(TypeFlags::OR_NULL) || release) {
            fail!(EACCES, PossiblyNull { arg: n });
        }
        if number == id::KPTR_XCHG {
            return self.check_exchanged(n, meta);
        }
        let wanted = match arg.kind {
            ArgKind::Btf(name) => name,
            ArgKind::KernelSock => "sock_common",
            _ => return Ok(()),
        };
        let strict = release && number != id::SK_RELEASE;
        let kernel = self.btf(KERNEL_BTF);
        let id = kernel.and_then(|kernel| kernel.find(wanted, skep_btf::Kind::Struct)).unwrap_or(0);
        let target = AcceptedType { btf: KERNEL_BTF, id, strict };
        if !self.types_match(btf, type_id, reg.off, target) {
            let name = self.type_name(btf, type_id);
            fail!(EACCES, BtfType { reg: n, name, expected: wanted.into() });
        }
        Ok(())
    }

    /// What goes into a kptr slot is of the slot's type.
    fn check_exchanged(&mut self, n: u8, meta: &Meta) -> Check {
        let Some(field) = meta.kptr.clone() else { bug!("no kptr slot") };
        self.check_kptr_type(&field, n).map_err(|mut fault| {
            fault.errno = skep_abi::Errno::EACCES;
            fault
        })
    }

    /// Whether the pointer may have the offset that it has.
    pub(crate) fn check_arg_offset(&self, reg: &Reg, n: u8, release: bool, dynptr: bool) -> Check {
        if release {
            if dynptr && reg.is_stack() {
                return Ok(());
            }
            if reg.off != 0 {
                fail!(EINVAL, ReleaseOffset { reg: n });
            }
            return self.check_pointer_offset(reg, n, false);
        }
        let plain = reg.flags.is_empty();
        match reg.kind {
            Kind::Stack { .. }
            | Kind::Packet { .. }
            | Kind::PacketMeta { .. }
            | Kind::MapKey { .. }
            | Kind::MapValue { .. }
            | Kind::Arena
            | Kind::Scalar
                if plain =>
            {
                Ok(())
            }
            Kind::Mem { .. }
                if plain || reg.flags == Flags::RDONLY || reg.flags == Flags::RINGBUF =>
            {
                Ok(())
            }
            Kind::Buf if plain || reg.flags == Flags::RDONLY => Ok(()),
            Kind::Btf { .. } => {
                let owned = Flags::ALLOC | Flags::NON_OWN_REF;
                let fixed_ok = [
                    Flags::empty(),
                    Flags::ALLOC,
                    Flags::TRUSTED,
                    Flags::RCU,
                    owned,
                    owned | Flags::RCU,
                ];
                self.check_pointer_offset(reg, n, fixed_ok.contains(&reg.flags))
            }
            _ => self.check_pointer_offset(reg, n, false),
        }
    }

    /// The key of an array look-up, where the program stores a constant.
    fn constant_key(&mut self, n: u8, size: u32) -> Check<Option<u64>> {
        let reg = *self.cur.reg(n.into());
        if !self.rights.bpf || !reg.is_stack() {
            return Ok(None);
        }
        let Some(value) = reg.value.as_constant() else { return Ok(None) };
        let off = reg.off.wrapping_add(value as i32);
        let frame = self.stack_frame(&reg);
        let Some(slot) = self.cur.frame_at(frame).stack.get(slot_of(off)) else {
            return Ok(None);
        };
        let first = (-off - 1) as usize % 8;
        let run = |wanted: Byte| {
            slot.bytes[..=first].iter().rev().take_while(|&&byte| byte == wanted).count() as u32
        };
        if run(Byte::Zero) >= size {
            return Ok(Some(0));
        }
        if !slot.is_scalar_spill() || run(Byte::Spill) != size {
            return Ok(None);
        }
        let Some(key) = slot.reg.value.as_constant() else { return Ok(None) };
        let Kind::Stack { frame } = reg.kind else { return Ok(None) };
        self.mark_slot_precise(frame, slot_of(off))?;
        Ok(Some(key))
    }

    /// A string in a constant map.
    pub(crate) fn check_const_str(&mut self, n: u8) -> Check {
        self.const_str(n).map(|_| ())
    }

    fn const_str(&mut self, n: u8) -> Check<Vec<u8>> {
        let reg = *self.cur.reg(n.into());
        let Some(map) = reg.map().filter(|_| reg.is_map_value()) else { fail!(EINVAL, Silent) };
        if !self.maps[usize::from(map)].is_constant() {
            fail!(EACCES, StringMapWritable { reg: n });
        }
        let Some(value) = reg.value.as_constant() else {
            fail!(EACCES, StringNotConstant { reg: n });
        };
        if !self.maps[usize::from(map)].has_direct_value() {
            fail!(EACCES, NoDirectValue);
        }
        let size = self.maps[usize::from(map)].def.value_size as i32;
        self.check_map_access(n, reg.off, size.wrapping_sub(reg.off), false, false)?;
        let at = i64::from(reg.off).wrapping_add(value as i64);
        let bytes = self.maps[usize::from(map)].def.frozen.clone().unwrap_or_default();
        let text = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[]);
        let Some(end) = text.iter().position(|&byte| byte == 0) else {
            fail!(EINVAL, StringNotTerminated);
        };
        Ok(text[..end].to_vec())
    }

    fn process_kptr_slot(&mut self, n: u8, meta: &mut Meta) -> Check {
        let reg = *self.cur.reg(n.into());
        let record = if reg.is_alloc_obj() {
            match reg.kind {
                Kind::Btf { btf, id } => {
                    self.record_of(btf, id).map(|record| (*record).clone()).unwrap_or_default()
                }
                _ => Default::default(),
            }
        } else {
            let Some(map) = reg.map() else { bug!("no map behind R{n}") };
            let info = &self.maps[usize::from(map)];
            if info.def.btf.is_none() {
                fail!(EINVAL, KptrNoBtf { map: info.def.name.clone() });
            }
            meta.map = Some(map);
            info.record.clone()
        };
        let Some(value) = reg.value.as_constant() else {
            fail!(EINVAL, KptrOffset { reg: n });
        };
        if !record.fields.iter().any(|field| field.kind.is_kptr()) {
            fail!(EINVAL, KptrMissing { reg: n });
        }
        let off = reg.off.wrapping_add(value as i32) as u32;
        let Some(field) = record.find(off.into(), FieldKind::is_kptr) else {
            fail!(EACCES, KptrNotThere { off });
        };
        if field.kind == FieldKind::KptrUnref {
            fail!(EACCES, KptrNotReferenced { off });
        }
        meta.kptr = Some(field.clone());
        Ok(())
    }

    fn record_map(&mut self, number: u32, meta: &Meta) -> Check {
        if !matches!(number, 1..=3 | TAIL_CALL | 51 | 87..=89 | id::FOR_EACH_MAP_ELEM | 195) {
            return Ok(());
        }
        let Some(map) = meta.map else { bug!("expected map for helper call") };
        let def = &self.maps[usize::from(map)].def;
        if def.flags & flags::map::RDONLY_PROG != 0 && matches!(number, 2 | 3 | 87 | 88) {
            fail!(EACCES, MapUpdateForbidden);
        }
        let (kind, max) = (def.kind, def.max_entries);
        if !self.cur.speculative {
            self.facts.call(self.pc, map);
        }
        if number == TAIL_CALL {
            if kind != MapType::ProgArray {
                fail!(EINVAL, TailCallMap);
            }
            let index = self.cur.reg(3);
            if index.is_scalar()
                && index.value.as_constant().is_some_and(|index| index < max.into())
            {
                self.mark_precise(3)?;
            }
        }
        Ok(())
    }

    fn release_argument(&mut self, number: u32, proto: &Proto, meta: &Meta) -> Check {
        let Some(n) = meta.release else { return Ok(()) };
        let reg = *self.cur.reg(n.into());
        if proto.args[usize::from(n) - 1].kind == ArgKind::Dynptr {
            return self.release_dynptr(&reg);
        }
        let released = if number == id::KPTR_XCHG && meta.ref_id != 0 {
            let (in_rcu, invalid, ref_id) = (self.in_rcu(), self.invalid(), meta.ref_id);
            let held = self.cur.release(ref_id);
            if held {
                self.cur.change_regs(
                    |reg| reg.ref_id == ref_id,
                    |reg| {
                        if in_rcu && reg.flags.contains(Flags::ALLOC | Flags::PERCPU) {
                            reg.ref_id = 0;
                            reg.flags -= Flags::ALLOC;
                            reg.flags |= Flags::RCU;
                        } else {
                            *reg = invalid;
                        }
                    },
                );
            }
            held
        } else if meta.ref_id != 0 {
            self.release_reference(meta.ref_id)
        } else {
            reg.is_null()
        };
        if !released {
            fail!(EINVAL, NotAcquired { name: helper_name(number).into(), id: number });
        }
        Ok(())
    }

    /// Ends a reference; all copies of the pointer are worth nothing then.
    pub(crate) fn release_reference(&mut self, id: u32) -> bool {
        if !self.cur.release(id) {
            return false;
        }
        let invalid = self.invalid();
        self.cur.change_regs(|reg| reg.ref_id == id, |reg| *reg = invalid);
        true
    }

    /// What only some helpers do; true if packets move.
    fn special_effects(&mut self, number: u32, meta: &mut Meta) -> Check<bool> {
        match number {
            TAIL_CALL => self.check_leaks("tail_call", false, true)?,
            id::GET_LOCAL_STORAGE if !self.cur.reg(2).is_null() => {
                fail!(EINVAL, LocalStorageFlags);
            }
            id::FOR_EACH_MAP_ELEM => {
                let Some(map) = meta.map else { bug!("no map to walk") };
                if !self.can_iterate(map) {
                    return Err(Fault::new(ENOTSUPP, Reason::CallbackMap));
                }
                self.push_callback(meta.subprog, false, false, &|_, caller, callee| {
                    callee.regs[1] = caller.regs[1];
                    map_arguments(callee, 2, caller.regs[1]);
                    callee.regs[4] = caller.regs[3];
                    callee.in_callback = true;
                    callee.ret_range = (0, 1);
                    Ok(())
                })?;
            }
            id::TIMER_SET_CALLBACK => {
                self.push_callback(meta.subprog, true, false, &timer_arguments)?;
            }
            id::FIND_VMA => {
                let kernel = self.btf(KERNEL_BTF);
                let vma = kernel
                    .and_then(|btf| btf.find("vm_area_struct", skep_btf::Kind::Struct))
                    .unwrap_or(0);
                self.push_callback(meta.subprog, false, false, &|_, caller, callee| {
                    callee.regs[1] = caller.regs[1];
                    let kind = Kind::Btf { btf: KERNEL_BTF, id: vma };
                    callee.regs[2] = Reg::pointer(kind, Flags::empty());
                    callee.regs[3] = caller.regs[4];
                    callee.in_callback = true;
                    callee.ret_range = (0, 1);
                    Ok(())
                })?;
            }
            id::SNPRINTF => self.check_snprintf()?,
            id::LOOP => self.loop_callback(meta)?,
            id::DYNPTR_FROM_MEM if !self.cur.reg(1).is_map_value() => {
                let kind = self.cur.reg(1).type_name();
                fail!(EACCES, DynptrFromMem { kind });
            }
            id::DYNPTR_DATA => {
                let reg = *self.cur.reg(1);
                let (id, ref_id, _) = self.dynptr_of(&reg)?;
                (meta.dynptr_id, meta.ref_id) = (id, ref_id);
            }
            id::DYNPTR_WRITE => {
                let reg = *self.cur.reg(1);
                let (_, _, kind) = self.dynptr_of(&reg)?;
                return Ok(matches!(kind, DynptrKind::Skb | DynptrKind::SkbMeta));
            }
            id::USER_RINGBUF_DRAIN => {
                self.push_callback(meta.subprog, false, false, &|checker, caller, callee| {
                    let kind = Kind::Dynptr { kind: DynptrKind::Local, first: true };
                    let id = checker.new_id();
                    callee.regs[1] = Reg { id, ..Reg::pointer(kind, Flags::empty()) };
                    callee.regs[2] = caller.regs[3];
                    callee.in_callback = true;
                    callee.ret_range = (0, 1);
                    Ok(())
                })?;
            }
            _ => {}
        }
        let _ = id::SET_RETVAL;
        Ok(false)
    }

    fn loop_callback(&mut self, meta: &Meta) -> Check {
        let flags = *self.cur.reg(4);
        let subprog = meta.subprog;
        let check_flags = match self.aux().loop_inline {
            None => true,
            Some((fits, _)) => fits,
        };
        if check_flags {
            if flags.is_null() {
                self.mark_precise(4)?;
            }
            let fits =
                flags.is_null() && self.aux().loop_inline.is_none_or(|(_, known)| known == subprog);
            self.aux().loop_inline = Some((fits, subprog));
        }
        self.mark_precise(1)?;
        let rounds = self.cur.reg(1).value.umax();
        if u64::from(self.cur.frame().callback_depth) < rounds {
            return self.push_callback(subprog, false, false, &|checker, caller, callee| {
                let _ = checker;
                // The index is any number; Linux leaves it as imprecise as it was.
                callee.regs[1] = Reg { precise: callee.regs[1].precise, ..Reg::UNKNOWN };
                callee.regs[2] = caller.regs[3];
                callee.in_callback = true;
                callee.ret_range = (0, 1);
                Ok(())
            });
        }
        self.cur.frame_mut().callback_depth = 0;
        if self.log.is_full() {
            say!(self.log, "frame{} bpf_loop iteration limit reached\n", self.cur.depth());
        }
        Ok(())
    }

    fn check_snprintf(&mut self) -> Check {
        let len = self.cur.reg(5).value.tnum.value.0;
        if !len.is_multiple_of(8) {
            fail!(EINVAL, Silent);
        }
        let format = self.const_str(3)?;
        if !crate::format::is_valid(&format, (len / 8) as usize) {
            fail!(EINVAL, FormatInvalid);
        }
        Ok(())
    }

    fn check_func_ip(&self, number: u32) -> Check {
        let name = || helper_name(number).to_string();
        match self.program.kind {
            ProgType::Kprobe => Ok(()),
            ProgType::Tracing => {
                if matches!(self.program.attach_type, 24..=26) {
                    return Ok(());
                }
                Err(Fault::new(ENOTSUPP, Reason::FuncIpTracing { name: name(), id: number }))
            }
            kind => Err(Fault::new(
                ENOTSUPP,
                Reason::FuncIp { name: name(), id: number, kind: kind as u32 },
            )),
        }
    }

    fn set_result(&mut self, number: u32, proto: &Proto, meta: &Meta) -> Check {
        let mut flags = Flags::empty();
        flags.set(Flags::MAYBE_NULL, proto.ret.flags.contains(TypeFlags::OR_NULL));
        flags.set(Flags::RDONLY, proto.ret.flags.contains(TypeFlags::READ_ONLY));
        flags.set(Flags::TRUSTED, proto.ret.flags.contains(TypeFlags::TRUSTED));
        let mut r0 = match proto.ret.kind {
            RetKind::Integer => self.unknown(),
            RetKind::Void => Reg::UNINIT,
            RetKind::MapValue => {
                let Some(map) = meta.map else { bug!("unexpected null map_ptr") };
                let info = &self.maps[usize::from(map)];
                let known = number == id::MAP_LOOKUP
                    && matches!(info.def.kind, MapType::Array | MapType::PercpuArray)
                    && meta.const_key.is_some_and(|key| {
                        (key as i64) >= 0 && key < u64::from(info.def.max_entries)
                    });
                if known {
                    flags -= Flags::MAYBE_NULL;
                }
                let has_lock = info.record.has_lock();
                let mut reg = Reg::pointer(Kind::MapValue { map, uid: meta.map_uid }, flags);
                if !flags.contains(Flags::MAYBE_NULL) && has_lock {
                    reg.id = self.new_id();
                }
                reg
            }
            RetKind::Socket => Reg::pointer(Kind::Socket, flags),
            RetKind::SockCommon => Reg::pointer(Kind::SockCommon, flags),
            RetKind::TcpSock => Reg::pointer(Kind::TcpSock, flags),
            RetKind::RingbufRecord => {
                let kind = Kind::Mem { size: meta.mem_size, dynptr: 0 };
                Reg::pointer(kind, flags | Flags::RINGBUF)
            }
            RetKind::DynptrSlice => {
                Reg::pointer(Kind::Mem { size: meta.mem_size, dynptr: meta.dynptr_id }, flags)
            }
            RetKind::PercpuVariable => self.percpu_result(meta, flags)?,
            RetKind::Btf(name) => {
                let kernel = self.btf(KERNEL_BTF);
                let Some(id) = kernel.and_then(|btf| btf.find(name, skep_btf::Kind::Struct)) else {
                    fail!(EINVAL, Silent);
                };
                Reg::pointer(Kind::Btf { btf: KERNEL_BTF, id }, flags)
            }
            RetKind::Kptr => {
                let Some(field) = &meta.kptr else { bug!("no kptr slot") };
                if !self.is_kernel_btf(field.btf) {
                    flags |= Flags::ALLOC;
                    flags.set(Flags::PERCPU, field.kind == FieldKind::KptrPercpu);
                }
                Reg::pointer(Kind::Btf { btf: field.btf, id: field.type_id }, flags)
            }
        };
        if r0.maybe_null() {
            r0.id = self.new_id();
        }
        let map_kind = meta.map.map(|map| self.maps[usize::from(map)].def.kind);
        let acquires = ACQUIRES.contains(&number)
            || (number == id::MAP_LOOKUP
                && matches!(map_kind, Some(MapType::Sockmap | MapType::Sockhash)));
        if CASTS.contains(&number) || number == id::DYNPTR_DATA {
            r0.ref_id = meta.ref_id;
        } else if acquires {
            let id = self.new_id();
            self.cur.acquire(RefKind::Pointer, id, self.pc);
            (r0.id, r0.ref_id) = (id, id);
        }
        if proto.ret.kind == RetKind::Integer {
            self.refine_result(number, meta, &mut r0);
        }
        *self.cur.reg_mut(0) = r0;
        Ok(())
    }

    fn refine_result(&self, number: u32, meta: &Meta, r0: &mut Reg) {
        const MAX_ERRNO: i32 = 4095;
        match number {
            id::GET_STACK
            | id::GET_TASK_STACK
            | id::PROBE_READ_STR
            | id::PROBE_READ_KERNEL_STR
            | id::PROBE_READ_USER_STR => {
                r0.value = r0.value.with_signed_bounds(-MAX_ERRNO, meta.size_max as i64);
            }
            id::GET_SMP_PROCESSOR_ID => {
                let last = self.env.cpus.max(1) - 1;
                r0.value = Scalar64::between(0, last);
            }
            _ => {}
        }
    }

    fn percpu_result(&mut self, meta: &Meta, mut flags: Flags) -> Check<Reg> {
        let Some((btf, id)) = meta.ret_btf else { bug!("no per-CPU variable") };
        let Some(types) = self.btf(btf) else { fail!(EINVAL, Silent) };
        let in_rcu = self.cur.frames.is_empty();
        let _ = in_rcu;
        match types.resolved(id) {
            Ok(skep_btf::Type::Struct(_) | skep_btf::Type::Union(_)) => {
                if self.is_kernel_btf(btf) {
                    flags -= Flags::RDONLY;
                } else {
                    flags = Flags::ALLOC | Flags::RCU;
                }
                Ok(Reg::pointer(Kind::Btf { btf, id }, flags))
            }
            Ok(ty) => match types.size_of(id) {
                Ok(size) => Ok(Reg::pointer(Kind::Mem { size: size as u32, dynptr: 0 }, flags)),
                Err(_) => fail!(EINVAL, KsymSize { name: ty.name().into() }),
            },
            Err(_) => fail!(EINVAL, Silent),
        }
    }

    /// Which helper may use which map.
    fn check_map_for_helper(&self, number: u32, map: Option<MapId>) -> Check {
        let Some(map) = map else { return Ok(()) };
        let kind = self.maps[usize::from(map)].def.kind;
        use MapType as M;
        let of_map: Option<&[u32]> = match kind {
            M::ProgArray => Some(&[12]),
            M::PerfEventArray => Some(&[22, 25, 55, 111, 121]),
            M::Ringbuf => Some(&[130, 131, 134, 198, 199, 200]),
            M::UserRingbuf => Some(&[209]),
            M::StackTrace => Some(&[27]),
            M::CgroupArray => Some(&[33, 37]),
            M::CgroupStorage | M::PercpuCgroupStorage => Some(&[81]),
            M::Devmap | M::DevmapHash | M::Xskmap => Some(&[51, 1]),
            M::Cpumap => Some(&[51]),
            M::ArrayOfMaps | M::HashOfMaps => Some(&[1]),
            M::Sockmap => Some(&[52, 53, 60, 82, 1]),
            M::Sockhash => Some(&[72, 70, 71, 82, 1]),
            M::ReuseportSockarray => Some(&[82]),
            M::Queue | M::Stack => Some(&[87, 88, 89]),
            M::SkStorage => Some(&[107, 108, 194]),
            M::InodeStorage => Some(&[145, 146, 194]),
            M::TaskStorage => Some(&[156, 157, 194]),
            M::CgrpStorage => Some(&[210, 211, 194]),
            M::BloomFilter => Some(&[87, 89]),
            _ => None,
        };
        let of_helper: Option<&[M]> = match number {
            12 => Some(&[M::ProgArray]),
            22 | 25 | 55 | 111 | 121 => Some(&[M::PerfEventArray]),
            130 | 131 | 134 | 198 | 199 | 200 => Some(&[M::Ringbuf]),
            209 => Some(&[M::UserRingbuf]),
            27 => Some(&[M::StackTrace]),
            33 | 37 => Some(&[M::CgroupArray]),
            51 => Some(&[M::Devmap, M::DevmapHash, M::Cpumap, M::Xskmap]),
            52 | 53 | 60 => Some(&[M::Sockmap]),
            70..=72 => Some(&[M::Sockhash]),
            81 => Some(&[M::CgroupStorage, M::PercpuCgroupStorage]),
            82 => Some(&[M::ReuseportSockarray, M::Sockmap, M::Sockhash]),
            88 => Some(&[M::Queue, M::Stack]),
            87 | 89 => Some(&[M::Queue, M::Stack, M::BloomFilter]),
            195 => Some(&[M::PercpuArray, M::PercpuHash, M::LruPercpuHash]),
            107 | 108 => Some(&[M::SkStorage]),
            145 | 146 => Some(&[M::InodeStorage]),
            156 | 157 => Some(&[M::TaskStorage]),
            210 | 211 => Some(&[M::CgrpStorage]),
            _ => None,
        };
        let mut fits = of_map.is_none_or(|helpers| helpers.contains(&number));
        if !fits && matches!(kind, M::Sockmap | M::Sockhash) {
            fits = self.may_update_sockmap(number);
            if !fits && matches!(number, id::MAP_UPDATE | id::MAP_DELETE) {
                // Linux says both; the second line is the reason.
                let _ = Reason::SockmapUpdate;
            }
        }
        if fits && of_helper.is_none_or(|kinds| kinds.contains(&kind)) {
            return Ok(());
        }
        let name = helper_name(number).into();
        fail!(EINVAL, MapForHelper { map: kind as u32, name, id: number });
    }

    fn may_update_sockmap(&self, number: u32) -> bool {
        if !matches!(number, id::MAP_UPDATE | id::MAP_DELETE) {
            return false;
        }
        match self.program.kind {
            ProgType::Tracing => self.program.attach_type == 28,
            ProgType::SockOps => number == id::MAP_DELETE,
            ProgType::SocketFilter
            | ProgType::SchedCls
            | ProgType::SchedAct
            | ProgType::Xdp
            | ProgType::SkReuseport
            | ProgType::FlowDissector
            | ProgType::SkLookup => true,
            _ => false,
        }
    }

    /// Whether the current frame is the comparison of a tree's `bpf_rbtree_add`.
    pub(crate) fn in_rbtree_callback(&self) -> bool {
        let frame = self.cur.frame();
        self.cur.depth() > 0
            && frame.in_callback
            && match self.insn(frame.callsite as u32) {
                Some(Insn::Call(Callee::Kfunc { btf_id, module })) => self
                    .kfunc_name(btf_id, module)
                    .is_some_and(|name| name.starts_with("bpf_rbtree_")),
                _ => false,
            }
    }

    fn caller(&self) -> Caller<'_> {
        let congestion = self.target.ops.is_some_and(|row| row.congestion);
        let prog_type = match self.program.kind {
            // What implements anything else gets what every program gets, as netfilter's.
            ProgType::StructOps if !congestion => ProgType::Netfilter,
            kind => kind,
        };
        Caller {
            prog_type,
            attach_type: AttachType::from_number(self.program.attach_type)
                .unwrap_or(AttachType::CgroupInetIngress),
            capabilities: self.env.caps,
            target: (!self.target.name.is_empty()).then_some(self.target.name.as_str()),
        }
    }

    fn proto_of(&self, helper: &'static Helper) -> Option<&'static Proto> {
        helper.proto(&self.caller())
    }

    /// Whether the prototype may be used where this program attaches.
    fn is_allowed_here(&self, proto: &Proto) -> bool {
        let target = self.type_name(KERNEL_BTF, self.program.attach_btf_id);
        match proto.allowed {
            Allowed::Everywhere => true,
            Allowed::SleepableHooks => self.is_sleepable(),
            Allowed::PathFunctions(names) => {
                self.program.attach_type == 28 || names.contains(&target.as_str())
            }
            Allowed::NotTracing(prefix) => {
                self.program.kind != ProgType::Tracing || !target.starts_with(prefix)
            }
        }
    }
}

/// Arguments `key` and `value` of a callback on a map's element.
fn map_arguments(callee: &mut Frame, first: usize, map: Reg) {
    let (map, uid) = (map.map().unwrap_or(0), 0);
    callee.regs[first] = Reg::pointer(Kind::MapKey { map }, Flags::empty());
    callee.regs[first + 1] = Reg::pointer(Kind::MapValue { map, uid }, Flags::empty());
}

/// Arguments of a timer's or workqueue's callback: map, key, value.
pub(crate) fn timer_arguments(_: &mut Checker<'_>, caller: &Frame, callee: &mut Frame) -> Check {
    element_arguments(caller.regs[1], callee, (0, 0));
    Ok(())
}

/// `callback(map, key, value)` for the map that a register points into.
pub(crate) fn element_arguments(of: Reg, callee: &mut Frame, range: (i32, i32)) {
    let map = of.map().unwrap_or(0);
    callee.regs[1] = Reg::pointer(Kind::MapPtr { map, uid: 0 }, Flags::empty());
    map_arguments(callee, 2, of);
    callee.in_async_callback = true;
    callee.ret_range = range;
}

/// The types that an argument takes, in the order in which Linux lists them.
fn accepted_types(kind: ArgKind) -> &'static [(Kind, Flags)] {
    const N: Flags = Flags::empty();
    const STACK: Kind = Kind::Stack { frame: 0 };
    const MEM: Kind = Kind::Mem { size: 0, dynptr: 0 };
    const BTF: Kind = Kind::Btf { btf: 0, id: 0 };
    const VALUE: Kind = Kind::MapValue { map: 0, uid: 0 };
    const PERCPU_RCU: Flags = Flags::PERCPU.union(Flags::RCU);
    const PERCPU_TRUSTED: Flags = Flags::PERCPU.union(Flags::TRUSTED);
    match kind {
        ArgKind::MapKey | ArgKind::MapValue | ArgKind::Mem | ArgKind::FixedMem(_) => &[
            (STACK, N),
            (Kind::Packet { range: 0 }, N),
            (Kind::PacketMeta { range: 0 }, N),
            (Kind::MapKey { map: 0 }, N),
            (VALUE, N),
            (MEM, N),
            (MEM, Flags::RINGBUF),
            (Kind::Buf, N),
            (BTF, Flags::TRUSTED),
        ],
        ArgKind::Size | ArgKind::SizeOrZero | ArgKind::AllocSize | ArgKind::Scalar => {
            &[(Kind::Scalar, N)]
        }
        ArgKind::Map => &[(Kind::MapPtr { map: 0, uid: 0 }, N)],
        ArgKind::Context => &[(Kind::Ctx, N)],
        ArgKind::SockCommon => {
            &[(Kind::SockCommon, N), (Kind::Socket, N), (Kind::TcpSock, N), (Kind::XdpSock, N)]
        }
        ArgKind::KernelSock => &[
            (Kind::SockCommon, N),
            (Kind::Socket, N),
            (Kind::TcpSock, N),
            (Kind::XdpSock, N),
            (BTF, N),
            (BTF, Flags::TRUSTED),
        ],
        ArgKind::Socket => &[(Kind::Socket, N)],
        ArgKind::Btf(_) | ArgKind::Kptr => &[(BTF, N), (BTF, Flags::TRUSTED), (BTF, Flags::RCU)],
        ArgKind::SpinLock | ArgKind::KptrSlot => &[(VALUE, N), (BTF, Flags::ALLOC)],
        ArgKind::RingbufRecord => &[(MEM, Flags::RINGBUF)],
        ArgKind::PercpuVariable => {
            &[(BTF, Flags::PERCPU), (BTF, PERCPU_RCU), (BTF, PERCPU_TRUSTED)]
        }
        ArgKind::Func => &[(Kind::Func { subprog: 0 }, N)],
        ArgKind::Stack => &[(STACK, N)],
        ArgKind::ConstStr | ArgKind::Timer => &[(VALUE, N)],
        ArgKind::Dynptr => {
            &[(STACK, N), (Kind::Dynptr { kind: DynptrKind::Local, first: true }, N)]
        }
        ArgKind::Anything => &[],
    }
}
