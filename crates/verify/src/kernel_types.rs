//! Loads and stores through pointers to the kernel's types, and whom of what they
//! yield the kernel vouches for. Counterpart: `btf_struct_walk`,
//! `check_ptr_to_btf_access`.

use skep_abi::{CONNECTION_WRITES, Capabilities, ProgType, Reason, Writable};
use skep_btf::{Btf, Type};
use skep_isa::Reg as R;

use crate::checker::Checker;
use crate::error::{Check, ENOTSUPP, Fault, fail};
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
    /// To a structure, by the field's name.
    Pointer {
        id: u32,
        tag: Flags,
        field: String,
    },
    /// To anything else.
    Opaque,
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
            match walk(&types, id, off, 1, &mut Flags::empty()) {
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
        if reg.value.as_constant() != Some(0) {
            let var_off = reg.value.tnum.to_string();
            fail!(EACCES, BtfVariable { reg: number, name, off, var_off });
        }
        if reg.flags.contains(Flags::USER) {
            fail!(EACCES, BtfUser { reg: number, name, off });
        }
        if reg.flags.contains(Flags::PERCPU) {
            fail!(EACCES, BtfPercpu { reg: number, name, off });
        }
        let Some(types) = self.btf(btf_id) else { fail!(EINVAL, Silent) };
        let alloc = reg.flags.contains(Flags::ALLOC);
        if write && !alloc && self.writable() != Writable::Nothing {
            return self.check_struct_write(&types, id, off, size);
        }
        if write && !alloc {
            fail!(EACCES, BtfReadOnly);
        }
        if alloc && let Some(record) = self.record_of(btf_id, id) {
            let (from, to) = (off as u32, off as u32 + size as u32);
            let touched =
                |field: &&crate::record::Field| from < field.off + field.size && field.off < to;
            if let Some(field) = record.fields.iter().find(touched) {
                fail!(EACCES, ObjectDirect { name: field.kind.name() });
            }
        }
        let (found, walked) = find(&types, id, off as u32, size as u32)?;
        let Some(dst) = value.filter(|_| !write) else { return Ok(()) };
        let loaded = match found {
            Found::Pointer { id: target, tag, field } if !alloc => {
                let flags = self.inherited_trust(&types, &reg, id, target, walked | tag, &field);
                self.loaded_pointer(btf_id, target, flags)
            }
            Found::Opaque => opaque(),
            _ => self.unknown(),
        };
        *self.cur.reg_mut(dst.number().into()) = loaded;
        Ok(())
    }

    fn loaded_pointer(&mut self, btf: BtfId, id: u32, flags: Flags) -> Reg {
        let mut reg = Reg::pointer(Kind::Btf { btf, id }, flags);
        if reg.maybe_null() {
            reg.id = self.new_id();
        }
        reg
    }

    /// How far a pointer that was loaded through another can be relied on.
    fn inherited_trust(
        &self,
        types: &Btf,
        reg: &Reg,
        holder: u32,
        target: u32,
        mut flags: Flags,
        field: &str,
    ) -> Flags {
        let distrust = Flags::TRUSTED | Flags::ALLOC | Flags::NON_OWN_REF | Flags::RCU;
        let listed = |suffix| is_listed(types, holder, target, field, suffix);
        if reg.flags.contains(Flags::UNTRUSTED) {
            return Flags::UNTRUSTED;
        }
        if !reg.is_trusted() && !reg.flags.contains(Flags::RCU) {
            return flags - distrust;
        }
        if listed("__safe_trusted") {
            return flags | Flags::TRUSTED;
        }
        if listed("__safe_trusted_or_null") {
            return flags | Flags::TRUSTED | Flags::MAYBE_NULL;
        }
        if !self.in_rcu() || reg.maybe_null() {
            return Flags::UNTRUSTED;
        }
        if listed("__safe_rcu") {
            return flags | Flags::RCU;
        }
        let nullable = listed("__safe_rcu_or_null");
        if flags.contains(Flags::RCU) || nullable {
            flags |= Flags::RCU | Flags::MAYBE_NULL;
            if nullable {
                flags -= Flags::UNTRUSTED;
            }
            return flags;
        }
        if flags.intersects(Flags::PERCPU | Flags::USER) { flags } else { flags - distrust }
    }

    /// What of the kernel's structures programs like this may write.
    fn writable(&self) -> Writable {
        match self.program.kind {
            ProgType::SchedCls | ProgType::SchedAct | ProgType::Xdp => CONNECTION_WRITES,
            ProgType::StructOps => self.code.target.ops.map_or(Writable::Nothing, |row| row.writes),
            _ => Writable::Nothing,
        }
    }

    fn check_struct_write(&self, types: &Btf, id: u32, off: i32, size: i32) -> Check {
        let Ok(ty) = types.type_by_id(id) else { fail!(EACCES, BtfReadOnly) };
        let name = ty.name().to_string();
        let end = match self.writable() {
            Writable::Nothing => fail!(EACCES, BtfReadOnly),
            Writable::Whole(whole) if name != whole => {
                fail!(EACCES, StructAccessOnly { name: whole.into() })
            }
            Writable::Whole(_) => ty.composite().map_or(0, |composite| composite.size),
            Writable::Fields(structs, _) if !structs.contains(&name.as_str()) => {
                fail!(EACCES, BtfReadOnly)
            }
            Writable::Fields(_, fields) => {
                let range = |&(holder, path): &(&str, &str)| {
                    let holder = types.find(holder, skep_btf::Kind::Struct)?;
                    field_range(types, holder, path)
                };
                // A number is written from its start on, an array anywhere.
                let hit = |&(start, end, array): &(u32, u32, bool)| {
                    off as u32 == start || array && (start..end).contains(&(off as u32))
                };
                match fields.iter().filter_map(range).find(hit) {
                    Some((_, end, _)) => end,
                    None => fail!(EACCES, StructWriteOff { name, off }),
                }
            }
        };
        if off as u32 + size as u32 > end {
            fail!(EACCES, StructWriteSize { name, off, size, end });
        }
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
        let kind = self.code.maps[usize::from(map)].def.kind;
        let Some(kernel) = self.btf(KERNEL_BTF) else {
            let text = "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF".into();
            return Err(Fault::new(ENOTSUPP, Reason::BtfText { text }));
        };
        let name = kind.row().structure;
        let Some(id) = kernel.find(name, skep_btf::Kind::Struct) else {
            return Err(Fault::new(ENOTSUPP, Reason::MapPtrType { map: kind as u32 }));
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
        let (found, walked) = find(&kernel, id, off as u32, size as u32)?;
        if let Some(dst) = value {
            let loaded = match found {
                Found::Pointer { id, tag, .. } => self.loaded_pointer(KERNEL_BTF, id, walked | tag),
                Found::Opaque => opaque(),
                _ => self.unknown(),
            };
            *self.cur.reg_mut(dst.number().into()) = loaded;
        }
        Ok(())
    }
}

/// A pointer to something without structure, read with care.
fn opaque() -> Reg {
    Reg::pointer(Kind::Mem { size: 0, dynptr: 0 }, Flags::RDONLY | Flags::UNTRUSTED)
}

/// Whether the kernel lists a field as one to rely on: it has, for such structures, a
/// second one of those fields alone (`BTF_TYPE_SAFE_*`).
fn is_listed(types: &Btf, holder: u32, target: u32, field: &str, suffix: &str) -> bool {
    let Ok(ty) = types.type_by_id(holder) else { return false };
    let Some(list) = types.find(&format!("{}{suffix}", ty.name()), ty.kind()) else {
        return false;
    };
    let Some(list) = types.type_by_id(list).ok().and_then(|ty| ty.composite()) else {
        return false;
    };
    list.members.iter().any(|member| {
        member.name == field
            && matches!(types.type_by_id(member.type_id), Ok(Type::Ptr { target: listed })
                if types.resolve_modifiers(listed).is_ok_and(|id| id == target))
    })
}

/// Start and end of a field, by its path, and whether it is an array.
fn field_range(types: &Btf, holder: u32, path: &str) -> Option<(u32, u32, bool)> {
    let (mut id, mut start) = (holder, 0);
    let mut is_array = false;
    let mut end = 0;
    for name in path.split('.') {
        let composite = types.resolved(id).ok()?.composite()?;
        let member = composite.members.iter().find(|member| member.name == name)?;
        start += member.bit_offset / 8;
        let bits = u32::from(member.bitfield_size);
        let size = types.size_of(member.type_id).ok()? as u32;
        end = start + if bits > 0 { bits.div_ceil(8) } else { size };
        is_array = matches!(types.resolved(member.type_id), Ok(Type::Array(_)));
        id = member.type_id;
    }
    Some((start, end, is_array))
}

/// What an access finds, through the structures that begin where it does, and what the
/// way there says of it.
fn find(types: &Btf, id: u32, off: u32, size: u32) -> Check<(Found, Flags)> {
    let (mut id, mut off, mut walked) = (id, off, Flags::empty());
    loop {
        match walk(types, id, off, size, &mut walked)? {
            Found::Struct(inner) => (id, off) = (inner, 0),
            found => return Ok((found, walked)),
        }
    }
}

fn shown(name: &str) -> String {
    if name.is_empty() { "(anon)".into() } else { name.into() }
}

/// One step of it: a structure where the access begins at one.
fn walk(types: &Btf, id: u32, off: u32, size: u32, walked: &mut Flags) -> Check<Found> {
    let (mut id, mut off) = (id, off);
    'structure: loop {
        let resolved = types.resolve_modifiers(id).and_then(|id| types.type_by_id(id));
        let Ok(ty) = resolved else { fail!(EINVAL, Silent) };
        let name = shown(ty.name());
        let Some(composite) = ty.composite() else {
            fail!(EINVAL, BtfNotStruct { name });
        };
        // Which member of a union holds is not known.
        if matches!(ty, Type::Union(_)) && composite.members.len() != 1 {
            *walked |= Flags::UNTRUSTED;
        }
        if u64::from(off) + u64::from(size) > u64::from(composite.size) {
            match flexible_array(types, &composite, off) {
                Some(Element::Number) => return Ok(Found::Scalar),
                Some(Element::Struct { id: inner, off: within }) => {
                    (id, off) = (inner, within);
                    continue 'structure;
                }
                None => fail!(EACCES, BtfBeyond { name, at: off, size }),
            }
        }
        for member in composite.members.iter() {
            let at = member.bit_offset / 8;
            if off + size <= at {
                break;
            }
            if member.bitfield_size != 0 {
                let end = (member.bit_offset + u32::from(member.bitfield_size)).div_ceil(8);
                if off <= at && end <= off + size {
                    return Ok(Found::Scalar);
                }
                continue;
            }
            if off < at {
                break;
            }
            let Ok(len) = types.size_of(member.type_id) else {
                fail!(EFAULT, BtfNoSize { member: shown(member.name) });
            };
            let end = at + len as u32;
            if off >= end {
                continue;
            }
            let Some((inner, start)) = element_at(types, member.type_id, at, off) else {
                continue;
            };
            let Ok(ty) = types.type_by_id(inner) else { fail!(EINVAL, Silent) };
            return match ty {
                Type::Struct(_) | Type::Union(_) if off == start => Ok(Found::Struct(inner)),
                Type::Struct(_) | Type::Union(_) => {
                    (id, off) = (inner, off - start);
                    continue 'structure;
                }
                Type::Ptr { target } => {
                    if off != start || size != 8 {
                        let member = shown(member.name);
                        fail!(EACCES, BtfPointer { member, at: start, name, off, size });
                    }
                    let tag = match types.type_by_id(target) {
                        Ok(Type::TypeTag { name, is_attribute: false, .. }) => match name {
                            "user" => Flags::USER,
                            "percpu" => Flags::PERCPU,
                            "rcu" => Flags::RCU,
                            _ => Flags::empty(),
                        },
                        _ => Flags::empty(),
                    };
                    match types.resolve_modifiers(target) {
                        Ok(id) if types.type_by_id(id).is_ok_and(|ty| ty.composite().is_some()) => {
                            Ok(Found::Pointer { id, tag, field: member.name.to_string() })
                        }
                        _ => Ok(Found::Opaque),
                    }
                }
                _ if off + size > end && !walked.contains(Flags::UNTRUSTED) => {
                    let member = shown(member.name);
                    fail!(EACCES, BtfBeyondMember { member, end, name, off, size });
                }
                _ => Ok(Found::Scalar),
            };
        }
        fail!(EINVAL, BtfMember { name, at: off });
    }
}

/// The type of a member, or of the element of its array that holds an offset, and
/// where that starts.
fn element_at(types: &Btf, id: u32, at: u32, off: u32) -> Option<(u32, u32)> {
    let mut id = types.resolve_modifiers(id).ok()?;
    let is_array = matches!(types.type_by_id(id), Ok(Type::Array(_)));
    while let Ok(Type::Array(array)) = types.type_by_id(id) {
        id = types.resolve_modifiers(array.element).ok()?;
    }
    if !is_array {
        return Some((id, at));
    }
    let one = u32::try_from(types.size_of(id).ok()?).ok().filter(|&size| size > 0)?;
    Some((id, at + (off - at) / one * one))
}

/// What an array without a length at the end of a structure holds.
enum Element {
    Number,
    Struct { id: u32, off: u32 },
}

fn flexible_array(types: &Btf, composite: &skep_btf::Composite<'_>, off: u32) -> Option<Element> {
    let last = composite.members.get(composite.members.len().checked_sub(1)?)?;
    let Ok(Type::Array(array)) = types.resolved(last.type_id) else { return None };
    let within = off.checked_sub(last.bit_offset / 8).filter(|_| array.len == 0)?;
    let id = types.resolve_modifiers(array.element).ok()?;
    match types.type_by_id(id).ok()? {
        Type::Int(_) => Some(Element::Number),
        Type::Struct(element) | Type::Union(element) if element.size > 0 => {
            Some(Element::Struct { id, off: within % element.size })
        }
        _ => None,
    }
}
