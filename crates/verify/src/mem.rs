//! Loads and stores through any kind of pointer. Counterpart: `check_mem_access` and
//! the checks of each region.

use skep_abi::limits::FLOW_KEYS;
use skep_abi::limits::MAX_VAR_OFF;
use skep_abi::{PacketAccess, flags};
use skep_isa::{AtomicOp, Insn, Reg as R, Size, W64, Width};

use crate::checker::Checker;
use crate::domain::Tnum;
use crate::error::{Check, bug, fail};
use crate::log::say;
use crate::record::FieldKind;
use crate::reg::{Flags, Kind, MapId, Reg};
use crate::stack::RawAccess;

/// One access as a check sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// Register that holds the address.
    pub base: u8,
    /// Offset in the instruction.
    pub off: i32,
    pub size: Size,
    pub write: bool,
    /// What is loaded or stored; `None` where the value does not matter.
    pub value: Option<R>,
    /// Must be aligned even where unaligned accesses are fine.
    pub strict: bool,
    pub signed: bool,
}

impl Checker<'_> {
    pub(crate) fn check_load(
        &mut self,
        size: Size,
        signed: bool,
        dst: R,
        base: R,
        off: i16,
        atomic: bool,
    ) -> Check {
        self.check_src(base)?;
        self.check_dst(dst)?;
        let pointer = *self.cur.reg(base.number().into());
        self.check_access(Access {
            base: base.number(),
            off: off.into(),
            size,
            write: false,
            value: Some(dst),
            strict: atomic,
            signed,
        })?;
        self.note_pointer(&pointer, !atomic)?;
        self.check_invariants(dst.number().into(), if atomic { "atomic_load" } else { "ldx" })
    }

    pub(crate) fn check_store(
        &mut self,
        size: Size,
        base: R,
        off: i16,
        src: R,
        atomic: bool,
    ) -> Check {
        self.check_src(src)?;
        self.check_src(base)?;
        let pointer = *self.cur.reg(base.number().into());
        self.check_access(Access {
            base: base.number(),
            off: off.into(),
            size,
            write: true,
            value: Some(src),
            strict: atomic,
            signed: false,
        })?;
        self.note_pointer(&pointer, false)
    }

    pub(crate) fn check_store_imm(&mut self, size: Size, base: R, off: i16) -> Check {
        self.check_src(base)?;
        let pointer = *self.cur.reg(base.number().into());
        self.check_access(Access {
            base: base.number(),
            off: off.into(),
            size,
            write: true,
            value: None,
            strict: false,
            signed: false,
        })?;
        self.note_pointer(&pointer, false)
    }

    pub(crate) fn check_load_acquire(&mut self, size: Size, dst: R, base: R, off: i16) -> Check {
        self.check_load(size, false, dst, base, off, true)?;
        if !self.may_be_atomic(base) {
            let (reg, kind) = (base.number(), self.cur.reg(base.number().into()).type_name());
            fail!(EACCES, AtomicLoad { reg, kind });
        }
        Ok(())
    }

    pub(crate) fn check_store_release(&mut self, size: Size, base: R, off: i16, src: R) -> Check {
        self.check_store(size, base, off, src, true)?;
        if !self.may_be_atomic(base) {
            let (reg, kind) = (base.number(), self.cur.reg(base.number().into()).type_name());
            fail!(EACCES, AtomicStore { reg, kind });
        }
        Ok(())
    }

    fn may_be_atomic(&self, base: R) -> bool {
        let reg = self.cur.reg(base.number().into());
        !(reg.is_ctx() || reg.is_packet() || reg.is_plain(Kind::FlowKeys) || reg.is_socket())
    }

    pub(crate) fn check_atomic(
        &mut self,
        op: AtomicOp,
        size: Size,
        base: R,
        off: i16,
        src: R,
    ) -> Check {
        self.check_src(src)?;
        self.check_src(base)?;
        if op == AtomicOp::Cmpxchg {
            self.check_src(R::R0)?;
            if self.is_pointer_value(0) {
                fail!(EACCES, LeaksToMem { reg: 0 });
            }
        }
        if self.is_pointer_value(src.number().into()) {
            fail!(EACCES, LeaksToMem { reg: src.number() });
        }
        if !self.may_be_atomic(base) {
            let (reg, kind) = (base.number(), self.cur.reg(base.number().into()).type_name());
            fail!(EACCES, AtomicStore { reg, kind });
        }
        let loaded = match op {
            AtomicOp::Cmpxchg => Some(R::R0),
            AtomicOp::Xchg => Some(src),
            AtomicOp::Add { fetch }
            | AtomicOp::Or { fetch }
            | AtomicOp::And { fetch }
            | AtomicOp::Xor { fetch } => fetch.then_some(src),
        };
        if let Some(loaded) = loaded {
            self.check_dst(loaded)?;
            *self.cur.reg_mut(loaded.number().into()) = self.unknown();
        }
        let access = Access {
            base: base.number(),
            off: off.into(),
            size,
            write: false,
            value: None,
            strict: true,
            signed: false,
        };
        self.check_access(access)?;
        if loaded.is_some() {
            self.check_access(Access { value: loaded, ..access })?;
        }
        if self.cur.reg(base.number().into()).is_plain(Kind::Arena) {
            let pointer = *self.cur.reg(base.number().into());
            self.note_pointer(&pointer, false)?;
        }
        self.check_access(Access { write: true, ..access })
    }

    /// An instruction may not go through pointers that need different code.
    fn note_pointer(&mut self, pointer: &Reg, trust_may_differ: bool) -> Check {
        let aux = self.aux();
        let Some((kind, flags)) = aux.pointer else {
            aux.pointer = Some((pointer.kind, pointer.flags));
            return Ok(());
        };
        let picky = |kind: Kind| {
            matches!(
                kind,
                Kind::Ctx
                    | Kind::Socket
                    | Kind::SockCommon
                    | Kind::TcpSock
                    | Kind::XdpSock
                    | Kind::Btf { .. }
                    | Kind::Arena
            )
        };
        let same = kind.same_base(pointer.kind) && flags == pointer.flags;
        if same || !(picky(kind) || picky(pointer.kind)) {
            return Ok(());
        }
        let flexible = |kind: Kind| matches!(kind, Kind::Mem { .. } | Kind::Btf { .. });
        if !trust_may_differ || !flexible(kind) || !flexible(pointer.kind) {
            fail!(EINVAL, DifferentPointers);
        }
        let merged = if matches!(kind, Kind::Mem { .. }) { kind } else { pointer.kind };
        let both = (flags | pointer.flags) & (Flags::UNTRUSTED | Flags::RDONLY);
        aux.pointer = Some((merged, both));
        Ok(())
    }

    /// Whether memory may be accessed, and what a load yields.
    pub(crate) fn check_access(&mut self, access: Access) -> Check {
        let reg = *self.cur.reg(access.base.into());
        if !self.cur.speculative {
            self.found.facts.access(self.pc, &reg);
        }
        let size = access.size.bytes() as i32;
        self.check_alignment(&reg, access.off, size, access.strict)?;
        let off = access.off.wrapping_add(reg.off);
        let number = access.base;
        let leaks = access.write
            && access.value.is_some_and(|value| self.is_pointer_value(value.number().into()));
        let stored = access.value.map_or(0, R::number);
        match reg.kind {
            Kind::MapKey { map } if reg.flags.is_empty() => {
                if access.write {
                    fail!(EACCES, WriteToKey { reg: number });
                }
                let key = self.code.maps[usize::from(map)].def.key_size;
                self.check_region(number, off, size, key, false)?;
                self.load_unknown(access);
            }
            Kind::MapValue { map, .. } if reg.flags.is_empty() => {
                if leaks {
                    fail!(EACCES, LeaksToMap { reg: stored });
                }
                self.check_map_rights(map, off, size, access.write)?;
                self.check_map_access(number, off, size, false, true)?;
                self.access_map_value(access, &reg, map, off)?;
            }
            Kind::Mem { size: len, .. } => {
                if reg.maybe_null() {
                    fail!(EACCES, Access { reg: number, kind: reg.type_name() });
                }
                let read_only = reg.flags.contains(Flags::RDONLY);
                if access.write && read_only {
                    fail!(EACCES, CannotWrite { reg: number, kind: reg.type_name() });
                }
                if leaks {
                    fail!(EACCES, LeaksToMem { reg: stored });
                }
                if !(read_only && reg.flags.contains(Flags::UNTRUSTED)) {
                    self.check_region(number, off, size, len, false)?;
                }
                self.load_unknown(access);
            }
            Kind::Ctx if reg.flags.is_empty() => {
                if leaks {
                    fail!(EACCES, LeaksToCtx { reg: stored });
                }
                self.check_pointer_offset(&reg, number, false)?;
                self.access_context(access, off, size)?;
            }
            Kind::Stack { .. } if reg.flags.is_empty() => {
                self.check_stack_bounds(number, off, size, access.write)?;
                if access.write {
                    self.write_stack(number, off, size, access.value)?;
                } else {
                    self.read_stack(number, off, size, access.value)?;
                }
            }
            _ if reg.is_packet() => {
                if access.write && !self.may_access_packet(None, true) {
                    fail!(EACCES, WriteToPacket);
                }
                if leaks {
                    fail!(EACCES, LeaksToPacket { reg: stored });
                }
                self.check_packet(number, off, size, false)?;
                self.load_unknown(access);
            }
            Kind::FlowKeys if reg.flags.is_empty() => {
                if leaks {
                    fail!(EACCES, LeaksToFlowKeys { reg: stored });
                }
                if off < 0 || off + size > FLOW_KEYS as i32 {
                    fail!(EACCES, FlowKeys { off, size });
                }
                self.load_unknown(access);
            }
            _ if reg.is_socket() => {
                if access.write {
                    fail!(EACCES, CannotWrite { reg: number, kind: reg.type_name() });
                }
                if reg.value.smin() < 0 {
                    fail!(EACCES, MinNegative { reg: number });
                }
                if !self.is_socket_field(reg.kind, off, size) {
                    let kind = reg.type_name();
                    fail!(EACCES, SockAccess { reg: number, kind, off, size });
                }
                self.load_unknown(access);
            }
            Kind::TpBuffer if reg.flags.is_empty() => {
                self.check_buffer("tracepoint", &reg, number, off, size)?;
                self.load_unknown(access);
            }
            Kind::Btf { .. } if !reg.maybe_null() => {
                self.access_btf(number, off, size, access.write, access.value)?;
            }
            Kind::MapPtr { map, .. } if reg.flags.is_empty() => {
                self.access_map_struct(number, map, off, size, access.write, access.value)?;
            }
            Kind::Buf if !reg.maybe_null() => {
                let read_only = reg.flags.contains(Flags::RDONLY);
                if access.write && read_only {
                    fail!(EACCES, CannotWrite { reg: number, kind: reg.type_name() });
                }
                let what = if read_only { "rdonly" } else { "rdwr" };
                self.check_buffer(what, &reg, number, off, size)?;
                self.load_unknown(access);
            }
            Kind::Arena if reg.flags.is_empty() => self.load_unknown(access),
            _ => fail!(EACCES, Access { reg: number, kind: reg.type_name() }),
        }
        if let (false, Some(dst), true) = (access.write, access.value, size < 8) {
            let reg = self.cur.reg_mut(dst.number().into());
            if reg.is_scalar() {
                reg.value = if access.signed {
                    reg.value.movsx(Width::W64, access.size)
                } else {
                    reg.value.truncate(access.size)
                };
            }
        }
        Ok(())
    }

    fn load_unknown(&mut self, access: Access) {
        if let (false, Some(dst)) = (access.write, access.value) {
            *self.cur.reg_mut(dst.number().into()) = self.unknown();
        }
    }

    fn access_map_value(&mut self, access: Access, reg: &Reg, map: MapId, off: i32) -> Check {
        let at = reg.value.as_constant().map(|value| i64::from(off).wrapping_add(value as i64));
        let info = &self.code.maps[usize::from(map)];
        if let Some(at) = at
            && let Some(field) = info.record.find(at, FieldKind::is_pointer)
        {
            let field = field.clone();
            return self.access_kptr(access, &field);
        }
        let (false, Some(dst)) = (access.write, access.value) else { return Ok(()) };
        let constant = at.filter(|_| info.is_constant() && info.has_direct_value());
        let new = match (constant, &info.def.frozen) {
            (Some(at), Some(bytes)) => {
                let size = access.size.bytes() as usize;
                let Some(data) = usize::try_from(at).ok().and_then(|at| bytes.get(at..at + size))
                else {
                    fail!(EINVAL, Silent);
                };
                let mut wide = [0; 8];
                wide[..size].copy_from_slice(data);
                let mut value = u64::from_le_bytes(wide);
                if access.signed {
                    let shift = 64 - 8 * size as u32;
                    value = ((value << shift) as i64 >> shift) as u64;
                }
                Reg::constant(value)
            }
            _ => self.unknown(),
        };
        *self.cur.reg_mut(dst.number().into()) = new;
        Ok(())
    }

    /// Whether an offset keeps to its alignment, where that is asked for.
    pub(crate) fn check_alignment(&self, reg: &Reg, off: i32, size: i32, strict: bool) -> Check {
        let mut strict = strict || self.code.strict_alignment;
        let what = match reg.kind {
            _ if !reg.flags.is_empty() => "",
            Kind::Packet { .. } | Kind::PacketMeta { .. } => {
                if strict && size != 1 {
                    let fixed = 2i32.wrapping_add(reg.off).wrapping_add(off);
                    if !aligned(reg, fixed, size) {
                        let (var_off, reg_off) = (reg.value.tnum.to_string(), reg.off);
                        fail!(EACCES, MisalignedPacket { var_off, reg_off, off, size });
                    }
                }
                return Ok(());
            }
            Kind::FlowKeys => "flow keys ",
            Kind::MapKey { .. } => "key ",
            Kind::MapValue { .. } => "value ",
            Kind::Ctx => "context ",
            Kind::Stack { .. } => {
                strict = true;
                "stack "
            }
            Kind::Socket => "sock ",
            Kind::SockCommon => "sock_common ",
            Kind::TcpSock => "tcp_sock ",
            Kind::XdpSock => "xdp_sock ",
            Kind::Arena => return Ok(()),
            _ => "",
        };
        if strict && size != 1 && !aligned(reg, reg.off.wrapping_add(off), size) {
            let (var_off, reg_off) = (reg.value.tnum.to_string(), reg.off);
            fail!(EACCES, Misaligned { what, var_off, reg_off, off, size });
        }
        Ok(())
    }

    /// `[off, off + size)` within `len` bytes, for a fixed offset.
    fn check_within(&mut self, number: u8, off: i64, size: i32, len: u32, zero_ok: bool) -> Check {
        let size_ok = size > 0 || (size == 0 && zero_ok);
        let off = off as i32;
        if off >= 0 && size_ok && i64::from(off) + i64::from(size) <= i64::from(len) {
            return Ok(());
        }
        let reg = *self.cur.reg(number.into());
        let len = len as i32;
        match reg.kind {
            Kind::MapKey { .. } if reg.flags.is_empty() => {
                say!(self.log, "invalid access to map key, key_size={len} off={off} size={size}\n")
            }
            Kind::MapValue { .. } if reg.flags.is_empty() => say!(
                self.log,
                "invalid access to map value, value_size={len} off={off} size={size}\n"
            ),
            _ if reg.is_packet_or_end() => say!(
                self.log,
                "invalid access to packet, off={off} size={size}, R{number}(id={},off={off},r={len})\n",
                reg.id
            ),
            _ => say!(
                self.log,
                "invalid access to memory, mem_size={} off={off} size={size}\n",
                len as u32
            ),
        }
        fail!(EACCES, Silent);
    }

    /// `[off, off + size)` within `len` bytes, whatever the variable offset is.
    pub(crate) fn check_region(
        &mut self,
        number: u8,
        off: i32,
        size: i32,
        len: u32,
        zero_ok: bool,
    ) -> Check {
        let value = self.cur.reg(number.into()).value;
        let low = value.smin().wrapping_add(off.into());
        if value.smin() < 0 && (value.smin() == i64::MIN || low != i64::from(low as i32) || low < 0)
        {
            fail!(EACCES, MinNegative { reg: number });
        }
        if self.check_within(number, low, size, len, zero_ok).is_err() {
            fail!(EACCES, MinOutside { reg: number });
        }
        if value.umax() >= MAX_VAR_OFF as u64 {
            fail!(EACCES, Unbounded { reg: number });
        }
        let high = value.umax() as i64 + i64::from(off);
        if self.check_within(number, high, size, len, zero_ok).is_err() {
            fail!(EACCES, MaxOutside { reg: number });
        }
        Ok(())
    }

    /// Whether the program may read or write this map at all.
    pub(crate) fn check_map_rights(&self, map: MapId, off: i32, size: i32, write: bool) -> Check {
        let def = &self.code.maps[usize::from(map)].def;
        let value_size = def.value_size;
        if write && def.flags & flags::map::RDONLY_PROG != 0 {
            fail!(EACCES, MapWriteForbidden { value_size, off, size });
        }
        if !write && def.flags & flags::map::WRONLY_PROG != 0 {
            fail!(EACCES, MapReadForbidden { value_size, off, size });
        }
        Ok(())
    }

    /// Within a map's value, and clear of its special fields.
    pub(crate) fn check_map_access(
        &mut self,
        number: u8,
        off: i32,
        size: i32,
        zero_ok: bool,
        direct: bool,
    ) -> Check {
        let reg = *self.cur.reg(number.into());
        let Some(map) = reg.map() else { bug!("no map behind R{number}") };
        let len = self.code.maps[usize::from(map)].def.value_size;
        self.check_region(number, off, size, len, zero_ok)?;
        let (low, high) = (
            reg.value.smin().wrapping_add(off.into()),
            reg.value.umax() as i64 + i64::from(off) + i64::from(size),
        );
        for field in &self.code.maps[usize::from(map)].record.fields {
            let (start, end) = (i64::from(field.off), i64::from(field.off + field.size));
            if low >= end || start >= high {
                continue;
            }
            let name = field.kind.name();
            if !field.kind.is_pointer() {
                fail!(EACCES, FieldDirect { name });
            }
            if !direct {
                fail!(EACCES, FieldIndirect { name });
            }
            let Some(value) = reg.value.as_constant() else {
                fail!(EACCES, FieldVariable { name })
            };
            let at = i64::from(off).wrapping_add(value as i64);
            if at != start {
                fail!(EACCES, FieldMisaligned { name, expected: field.off, off: at });
            }
            if size != 8 {
                fail!(EACCES, FieldSize { name });
            }
        }
        Ok(())
    }

    pub(crate) fn check_packet(&mut self, number: u8, off: i32, size: i32, zero_ok: bool) -> Check {
        let reg = *self.cur.reg(number.into());
        if reg.value.smin() < 0 {
            fail!(EACCES, MinNegative { reg: number });
        }
        let range = reg.range();
        if range < 0 {
            fail!(EINVAL, OutsidePacket { reg: number });
        }
        if self.check_within(number, off.into(), size, range as u32, zero_ok).is_err() {
            fail!(EACCES, OutsidePacket { reg: number });
        }
        Ok(())
    }

    /// Whether this program type sees packets directly; for a helper's argument, if
    /// the helper takes them.
    pub(crate) fn may_access_packet(&self, helper: Option<bool>, write: bool) -> bool {
        match self.packet() {
            PacketAccess::None => false,
            PacketAccess::Read => !write && helper.unwrap_or(true),
            PacketAccess::Write => helper.unwrap_or(true),
            PacketAccess::Own => true,
        }
    }

    pub(crate) fn check_buffer(
        &self,
        what: &'static str,
        reg: &Reg,
        number: u8,
        off: i32,
        size: i32,
    ) -> Check {
        if off < 0 {
            fail!(EACCES, BufferNegative { reg: number, what, off, size });
        }
        if reg.value.as_constant() != Some(0) {
            let var_off = reg.value.tnum.to_string();
            fail!(EACCES, BufferVariable { reg: number, off, var_off });
        }
        Ok(())
    }

    /// A pointer that may only be used as it was given.
    pub(crate) fn check_pointer_offset(&self, reg: &Reg, number: u8, fixed_ok: bool) -> Check {
        if reg.off < 0 {
            fail!(EACCES, NegativeOffset { kind: reg.type_name(), reg: number, off: reg.off });
        }
        if !fixed_ok && reg.off != 0 {
            fail!(EACCES, ModifiedPointer { kind: reg.type_name(), reg: number, off: reg.off });
        }
        if reg.value.as_constant() != Some(0) {
            let var_off = reg.value.tnum.to_string();
            fail!(EACCES, VariablePointer { kind: reg.type_name(), var_off });
        }
        Ok(())
    }

    /// A buffer that a helper reads or writes.
    pub(crate) fn check_helper_mem(
        &mut self,
        number: u8,
        size: i32,
        write: bool,
        zero_ok: bool,
        raw: Option<&mut RawAccess>,
    ) -> Check {
        let reg = *self.cur.reg(number.into());
        let read_only = reg.flags.contains(Flags::RDONLY);
        match reg.kind {
            Kind::Packet { .. } | Kind::PacketMeta { .. } => {
                self.check_packet(number, reg.off, size, zero_ok)
            }
            Kind::MapKey { .. } if write => {
                fail!(EACCES, CannotWrite { reg: number, kind: reg.type_name() })
            }
            Kind::MapKey { map } => {
                let key = self.code.maps[usize::from(map)].def.key_size;
                self.check_region(number, reg.off, size, key, false)
            }
            Kind::MapValue { map, .. } => {
                self.check_map_rights(map, reg.off, size, write)?;
                self.check_map_access(number, reg.off, size, zero_ok, false)
            }
            Kind::Mem { .. } | Kind::Buf if write && read_only => {
                fail!(EACCES, CannotWrite { reg: number, kind: reg.type_name() })
            }
            Kind::Mem { size: len, .. } => self.check_region(number, reg.off, size, len, zero_ok),
            Kind::Buf => {
                let what = if read_only { "rdonly" } else { "rdwr" };
                self.check_buffer(what, &reg, number, reg.off, size)
            }
            Kind::Stack { .. } => {
                self.check_stack_initialized(number, reg.off, size, zero_ok, write, raw)
            }
            Kind::Btf { .. } => self.access_btf(number, reg.off, size, write, None),
            Kind::Ctx if self.program.kind.row().context_is_memory => {
                if size == 0 {
                    if zero_ok {
                        return Ok(());
                    }
                    fail!(EACCES, Silent);
                }
                self.check_access(Access {
                    base: number,
                    off: size - 1,
                    size: Size::B,
                    write,
                    value: None,
                    strict: false,
                    signed: false,
                })
            }
            _ if zero_ok && size == 0 && reg.is_null() => Ok(()),
            _ => {
                let (kind, expected) = (reg.type_name(), "fp".into());
                fail!(EACCES, ArgType { reg: number, kind, expected });
            }
        }
    }

    /// A pointer and, in the next register, the number of bytes behind it.
    pub(crate) fn check_mem_and_size(
        &mut self,
        size_reg: u8,
        write: bool,
        zero_ok: bool,
        raw: Option<&mut RawAccess>,
    ) -> Check {
        let size = self.cur.reg(size_reg.into()).value;
        let raw = if size.is_constant() { raw } else { None };
        if size.smin() < 0 {
            fail!(EACCES, SizeNegative { reg: size_reg });
        }
        if size.umin() == 0 && !zero_ok {
            let (min, max) = (size.umin() as i64, size.umax() as i64);
            fail!(EACCES, SizeZero { reg: size_reg, min, max });
        }
        if size.umax() >= MAX_VAR_OFF as u64 {
            fail!(EACCES, SizeUnbounded { reg: size_reg });
        }
        self.check_helper_mem(size_reg - 1, size.umax() as i32, write, zero_ok, raw)?;
        self.mark_precise(size_reg)
    }

    /// Memory of a known size that a function may read and write.
    pub(crate) fn check_mem_reg(&mut self, number: u8, size: u32) -> Check {
        if self.cur.reg(number.into()).is_null() {
            return Ok(());
        }
        self.as_not_null(number, |checker| {
            checker.check_helper_mem(number, size as i32, false, true, None)?;
            checker.check_helper_mem(number, size as i32, true, true, None)
        })
    }

    /// Checks as if a nullable pointer were none.
    pub(crate) fn as_not_null(
        &mut self,
        number: u8,
        check: impl FnOnce(&mut Self) -> Check,
    ) -> Check {
        let saved = *self.cur.reg(number.into());
        if !saved.maybe_null() {
            return check(self);
        }
        let mut reg = saved;
        self.mark_not_null(&mut reg);
        *self.cur.reg_mut(number.into()) = reg;
        let result = check(self);
        *self.cur.reg_mut(number.into()) = saved;
        result
    }

    /// Whether the instruction is a plain load or store.
    pub(crate) fn is_plain_access(&self) -> bool {
        matches!(self.insn(self.pc), Some(Insn::Load { signed: false, .. } | Insn::Store { .. }))
    }

    /// Whether a map's values can be walked with a callback.
    pub(crate) fn can_iterate(&self, map: MapId) -> bool {
        self.code.maps[usize::from(map)].def.kind.row().walkable
    }
}

fn aligned(reg: &Reg, fixed: i32, size: i32) -> bool {
    let fixed = Tnum::constant(W64(fixed as i64 as u64));
    reg.value.tnum.add(fixed).is_aligned(W64(size.max(1) as u64))
}
