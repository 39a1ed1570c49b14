//! The arguments of helpers: each register against what the prototype takes.
//! Counterpart: `check_func_arg`, `check_reg_type`, `check_func_arg_reg_off`.

use skep_abi::helper::id;
use skep_abi::{Arg, ArgKind, MapType, Proto, TypeFlags};

use super::Meta;
use crate::checker::Checker;
use crate::error::{Check, bug, fail};
use crate::kernel_types::AcceptedType;
use crate::log::say;
use crate::record::FieldKind;
use crate::reg::{DynptrKind, Flags, KERNEL_BTF, Kind, Reg, type_name};
use crate::state::{Byte, slot_of};

impl Checker<'_> {
    pub(super) fn check_arg(
        &mut self,
        number: u32,
        proto: &Proto,
        index: usize,
        mut arg: Arg,
        meta: &mut Meta,
    ) -> Check {
        let place = index + 1;
        let n = place as u8;
        self.shown.touched_regs |= 1 << place;
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
            match self.code.maps[usize::from(map)].def.kind {
                MapType::Sockmap | MapType::Sockhash => {
                    if !arg.flags.is_empty() {
                        fail!(EINVAL, SockmapArg);
                    }
                    arg = Arg { kind: ArgKind::KernelSock, ..arg };
                }
                MapType::BloomFilter if number == id::MAP_PEEK_ELEM => {
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
                let place = match self.dynptr_slot(&reg) {
                    Ok(place) => place,
                    Err(fault) => {
                        say!(self.log, "{}\n", fault.reason);
                        None
                    }
                };
                let held = place.is_some_and(|(frame, slot)| {
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
                let def = &self.code.maps[usize::from(map)].def;
                let (kind, size) = (def.kind, def.key_size);
                self.check_helper_mem(n, size as i32, false, false, None)?;
                if kind.row().array {
                    meta.const_key = self.constant_key(n, size)?;
                }
            }
            ArgKind::MapValue => {
                if arg.flags.contains(TypeFlags::OR_NULL) && reg.is_null() {
                    return Ok(());
                }
                let Some(map) = meta.map else { bug!("invalid map_ptr to access map->value") };
                meta.raw_mode = arg.flags.contains(TypeFlags::UNINIT);
                let size = self.code.maps[usize::from(map)].def.value_size as i32;
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
                let (name, kind) = (self.helper_name(number).into(), reg.type_name());
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

    pub(super) fn const_str(&mut self, n: u8) -> Check<Vec<u8>> {
        let reg = *self.cur.reg(n.into());
        let Some(map) = reg.map().filter(|_| reg.is_map_value()) else { fail!(EINVAL, Silent) };
        if !self.code.maps[usize::from(map)].is_constant() {
            fail!(EACCES, StringMapWritable { reg: n });
        }
        let Some(value) = reg.value.as_constant() else {
            fail!(EACCES, StringNotConstant { reg: n });
        };
        if !self.code.maps[usize::from(map)].has_direct_value() {
            fail!(EACCES, NoDirectValue);
        }
        let size = self.code.maps[usize::from(map)].def.value_size as i32;
        self.check_map_access(n, reg.off, size.wrapping_sub(reg.off), false, false)?;
        let at = i64::from(reg.off).wrapping_add(value as i64);
        let bytes = self.code.maps[usize::from(map)].def.frozen.clone().unwrap_or_default();
        let text = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[]);
        let Some(end) = text.iter().position(|&byte| byte == 0) else {
            fail!(EINVAL, StringNotTerminated);
        };
        Ok(text[..end].to_vec())
    }

    pub(super) fn process_kptr_slot(&mut self, n: u8, meta: &mut Meta) -> Check {
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
            let info = &self.code.maps[usize::from(map)];
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
        ArgKind::Size | ArgKind::SizeOrZero | ArgKind::AllocSize => &[(Kind::Scalar, N)],
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
