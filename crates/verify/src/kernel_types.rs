//! Loads through pointers to the kernel's types. Counterpart: `btf_struct_walk`,
//! `check_ptr_to_btf_access`.

use skep_abi::{Capabilities, Errno, MapType, Reason};
use skep_btf::{Btf, Type};
use skep_isa::Reg as R;

use crate::checker::Checker;
use crate::error::{Check, Fault, fail};
use crate::reg::{BtfId, Flags, KERNEL_BTF, Kind, MapId, Reg};

/// A type that an argument takes; `strict`: nothing that only begins with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptedType {
    pub btf: BtfId,
    pub id: u32,
    pub strict: bool,
}

/// What lies at an offset of a structure.
enum Found {
    Scalar,
    Struct(u32),
    Pointer { id: u32, flags: Flags },
}

impl Checker<'_> {
    /// Whether a pointer into one type will do where another is asked for.
    pub(crate) fn types_match(&self, btf: BtfId, id: u32, off: i32, wanted: AcceptedType) -> bool {
        let same = |id| self.same_type(btf, id, wanted.btf, wanted.id);
        if off == 0 && same(id) {
            return true;
        }
        if wanted.strict {
            return false;
        }
        let (Some(types), Ok(mut off)) = (self.btf(btf), u32::try_from(off)) else { return false };
        let mut id = id;
        loop {
            match walk(&types, id, off, 1) {
                Ok(Found::Struct(inner)) if inner != id => (id, off) = (inner, 0),
                _ => return false,
            }
            if same(id) {
                return true;
            }
        }
    }

    fn same_type(&self, a_btf: BtfId, a: u32, b_btf: BtfId, b: u32) -> bool {
        if a_btf == b_btf || a_btf == KERNEL_BTF && b_btf == KERNEL_BTF {
            return a == b;
        }
        // Split BTF shares the ids of its base.
        let base = |btf: BtfId, id: u32| {
            self.btf(btf).is_some_and(|types| id < types.start_id()) || btf == KERNEL_BTF
        };
        self.is_kernel_btf(a_btf)
            && self.is_kernel_btf(b_btf)
            && a == b
            && base(a_btf, a)
            && base(b_btf, b)
    }

    /// A load or store through a pointer to a kernel's or an allocated object.
    pub(crate) fn access_btf(
        &mut self,
        number: u8,
        off: i32,
        size: i32,
        write: bool,
        value: Option<R>,
    ) -> Check {
        let reg = *self.cur.reg(number.into());
        let Kind::Btf { btf: btf_id, id } = reg.kind else { return Ok(()) };
        let name = self.type_name(btf_id, id);
        if !self.rights.leak_pointers {
            fail!(EPERM, BtfCaps { name });
        }
        if !self.program.gpl && self.is_kernel_btf(btf_id) {
            fail!(EINVAL, BtfGpl { name });
        }
        if off < 0 {
            fail!(EACCES, BtfNegative { reg: number, name, off });
        }
        if !reg.value.is_constant() {
            let var_off = reg.value.tnum.to_string();
            fail!(EACCES, BtfVariable { reg: number, name, off, var_off });
        }
        if reg.flags.contains(Flags::USER) {
            fail!(EACCES, BtfUser { reg: number, name, off });
        }
        if reg.flags.contains(Flags::PERCPU) {
            fail!(EACCES, BtfPercpu { reg: number, name, off });
        }
        let alloc = reg.flags.contains(Flags::ALLOC);
        if write && !alloc {
            fail!(EACCES, BtfReadOnly);
        }
        let Some(types) = self.btf(btf_id) else { fail!(EINVAL, Silent) };
        let off = (i64::from(off) + reg.value.tnum.value.0 as i64) as u32;
        let found = find(&types, id, off, size as u32)?;
        let Some(dst) = value.filter(|_| !write) else { return Ok(()) };
        let loaded = match found {
            Found::Pointer { id, mut flags } if !alloc => {
                if (!reg.flags.contains(Flags::TRUSTED) && reg.ref_id == 0 || flags.is_empty())
                    && !flags.contains(Flags::RCU)
                {
                    flags = Flags::UNTRUSTED;
                }
                if flags.contains(Flags::RCU) && !self.in_rcu() {
                    flags = Flags::UNTRUSTED;
                }
                Reg::pointer(Kind::Btf { btf: btf_id, id }, flags)
            }
            _ => self.unknown(),
        };
        *self.cur.reg_mut(dst.number().into()) = loaded;
        Ok(())
    }

    /// A load of a field of a map itself.
    pub(crate) fn access_map_struct(
        &mut self,
        number: u8,
        map: MapId,
        off: i32,
        size: i32,
        write: bool,
        value: Option<R>,
    ) -> Check {
        let kind = self.maps[usize::from(map)].def.kind;
        let name = match kind {
            MapType::Array => "bpf_array",
            MapType::Hash => "bpf_htab",
            _ => "bpf_map",
        };
        let Some(kernel) = self.btf(KERNEL_BTF) else {
            fail!(
                EINVAL,
                BtfText {
                    text: "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF".into()
                }
            )
        };
        let Some(id) = kernel.find(name, skep_btf::Kind::Struct) else {
            fail!(ENOTSUPP, MapPtrType { map: kind as u32 })
        };
        if !self.env.caps.allow(Capabilities::PERFMON) {
            fail!(EPERM, BtfCaps { name: name.into() });
        }
        if off < 0 {
            fail!(EACCES, MapPtrNegative { reg: number, name: name.into(), off });
        }
        if write {
            fail!(EACCES, MapPtrReadOnly { name: name.into() });
        }
        let found = find(&kernel, id, off as u32, size as u32)?;
        if let Some(dst) = value {
            let loaded = match found {
                Found::Pointer { id, .. } => {
                    Reg::pointer(Kind::Btf { btf: KERNEL_BTF, id }, Flags::UNTRUSTED)
                }
                _ => self.unknown(),
            };
            *self.cur.reg_mut(dst.number().into()) = loaded;
        }
        Ok(())
    }
}

/// What an access finds, through the structures that begin where it does.
fn find(types: &Btf, id: u32, off: u32, size: u32) -> Check<Found> {
    let (mut id, mut off) = (id, off);
    loop {
        match walk(types, id, off, size) {
            Ok(Found::Struct(inner)) => (id, off) = (inner, 0),
            Ok(found) => return Ok(found),
            Err(reason) => return Err(Fault::new(Errno::EACCES, reason)),
        }
    }
}

/// One step of it: a structure where the access begins at one.
fn walk(types: &Btf, id: u32, off: u32, size: u32) -> Result<Found, Reason> {
    let text = |text: String| Reason::BtfText { text };
    let Ok(ty) = types.type_by_id(id) else { return Err(text(String::new())) };
    let Some(composite) = ty.composite() else {
        return Err(text(format!("Type '{}' is not a struct", ty.name())));
    };
    let name = composite.name.to_string();
    if u64::from(off) + u64::from(size) > u64::from(composite.size) {
        return Err(Reason::BtfBeyond { name, at: off, size });
    }
    for member in composite.members.iter() {
        let at = member.bit_offset / 8;
        if member.bitfield_size != 0 {
            let end = (member.bit_offset + u32::from(member.bitfield_size)).div_ceil(8);
            if off >= at && off + size <= end.max(at + size) && off < end {
                return Ok(Found::Scalar);
            }
            continue;
        }
        if off + size <= at {
            break;
        }
        let Ok(len) = types.size_of(member.type_id) else { continue };
        let len = len as u32;
        if off >= at + len {
            continue;
        }
        let Ok(resolved) = types.resolve_modifiers(member.type_id) else { continue };
        let Ok(inner) = types.type_by_id(resolved) else { continue };
        let (mut resolved, mut inner, mut start) = (resolved, inner, at);
        while let Type::Array(array) = inner {
            let Ok(element) = types.resolve_modifiers(array.element) else { break };
            let Ok(next) = types.type_by_id(element) else { break };
            let one = types.size_of(element).unwrap_or(1).max(1) as u32;
            start += off.saturating_sub(start) / one * one;
            (resolved, inner) = (element, next);
        }
        return match inner {
            Type::Struct(_) | Type::Union(_) => {
                let within = off.saturating_sub(start);
                if within == 0 && off >= start {
                    return Ok(Found::Struct(resolved));
                }
                walk(types, resolved, within, size)
            }
            Type::Ptr { target } => {
                if off != start || size != 8 {
                    let pointed = member.name.to_string();
                    return Err(text(format!(
                        "cannot access ptr member {pointed} with moff {at} in struct {name} with off {off} size {size}"
                    )));
                }
                let mut flags = Flags::empty();
                if let Ok(Type::TypeTag { name, .. }) = types.type_by_id(target) {
                    flags = match name {
                        "user" => Flags::USER,
                        "percpu" => Flags::PERCPU,
                        "rcu" => Flags::RCU,
                        _ => flags,
                    };
                }
                match types.resolve_modifiers(target) {
                    Ok(id) if types.type_by_id(id).is_ok_and(|ty| ty.composite().is_some()) => {
                        Ok(Found::Pointer { id, flags })
                    }
                    _ => Ok(Found::Scalar),
                }
            }
            _ if off + size > at + len => Err(text(format!(
                "access beyond the end of member {} (mend:{}) in struct {name} with off {off} size {size}",
                member.name,
                at + len
            ))),
            _ => Ok(Found::Scalar),
        };
    }
    Err(Reason::BtfMember { name, at: off, size })
}
