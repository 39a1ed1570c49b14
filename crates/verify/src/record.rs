//! Special fields of map values and of objects that programs allocate: locks,
//! timers, kptrs, lists. Counterpart: `struct btf_record`, `btf_parse_fields`.

use skep_abi::limits::{MAX_FIELDS, MAX_TYPE_DEPTH};
use std::sync::Arc;

pub use skep_abi::{FieldKind, SpecialField};
use skep_btf::{Btf, Kind as TypeKind, Type};

use crate::checker::Checker;
use crate::program::MapDef;
use crate::reg::{BtfId, KERNEL_BTF, PROGRAM_BTF};

/// The special fields of a map's values by the BTF of the map, in the order of their
/// offsets; none where the type breaks the rules for them, which is no error of the map's.
pub fn special_fields(types: &Btf, value_type: u32) -> Vec<SpecialField> {
    // Which of the kernel's types a kptr leads to is the verifier's business alone.
    let record = Record::of_type(types, PROGRAM_BTF, value_type, Home::Map, None);
    let fields = record.unwrap_or_default().fields.into_iter();
    let special = |field: Field| {
        let end = field.off.checked_add(field.size)?;
        Some(SpecialField { kind: field.kind, bytes: field.off..end })
    };
    fields.filter_map(special).collect()
}

/// Whether a field is looked for in what a program allocates, or in a map's values.
fn belongs_in(kind: FieldKind, home: Home) -> bool {
    use FieldKind as F;
    match home {
        Home::Map => !matches!(kind, F::ListNode | F::RbNode),
        Home::Object => !matches!(kind, F::Timer | F::Workqueue | F::TaskWork | F::Uptr),
    }
}

/// What special fields lie in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    Map,
    Object,
}

/// One special field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub kind: FieldKind,
    pub off: u32,
    pub size: u32,
    /// What a kptr points to, or what a list or tree holds.
    pub btf: BtfId,
    pub type_id: u32,
    /// Where in the held type its node is.
    pub node_off: u32,
}

/// The special fields of a type, by offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub fields: Vec<Field>,
}

impl Record {
    pub(crate) fn has(&self, kind: FieldKind) -> bool {
        self.fields.iter().any(|field| field.kind == kind)
    }

    /// Whether something in it runs later.
    pub(crate) fn has_async_fields(&self) -> bool {
        self.has(FieldKind::Timer)
            || self.has(FieldKind::Workqueue)
            || self.has(FieldKind::TaskWork)
    }

    pub(crate) fn has_lock(&self) -> bool {
        self.has(FieldKind::SpinLock) || self.has(FieldKind::ResSpinLock)
    }

    /// The field that starts here, if it is one of those wanted.
    pub(crate) fn find(&self, off: i64, wanted: impl Fn(FieldKind) -> bool) -> Option<&Field> {
        self.fields.iter().find(|field| i64::from(field.off) == off && wanted(field.kind))
    }

    /// Where the only field of a kind is.
    pub(crate) fn offset_of(&self, kind: FieldKind) -> Option<u32> {
        self.fields.iter().find(|field| field.kind == kind).map(|field| field.off)
    }

    /// The fields of a map's values; none where the type breaks the rules.
    pub(crate) fn of_map(def: &MapDef, btf: BtfId, checker: &Checker<'_>) -> Record {
        match &def.btf {
            Some(types) if def.value_type != 0 => {
                let kernel = checker.btf(KERNEL_BTF);
                Record::of_type(types, btf, def.value_type, Home::Map, kernel).unwrap_or_default()
            }
            _ => Record::default(),
        }
    }

    /// The fields of a struct or of a section of variables; `None` where they break
    /// the rules.
    fn of_type(
        types: &Btf,
        btf: BtfId,
        id: u32,
        home: Home,
        kernel: Option<Arc<Btf>>,
    ) -> Option<Record> {
        let mut walk = Walk { types, btf, home, kernel, fields: Vec::new() };
        let id = types.resolve_modifiers(id).ok()?;
        match types.type_by_id(id).ok()? {
            Type::Struct(_) | Type::Union(_) => walk.structure(id, 0, 0)?,
            Type::DataSec(section) => {
                for var in section.vars.iter() {
                    let Ok(Type::Var { target, .. }) = types.type_by_id(var.type_id) else {
                        return None;
                    };
                    walk.member((var.type_id, -1), target, var.offset, Some(var.size), 0)?;
                }
            }
            _ => return None,
        }
        let mut record = Record { fields: walk.fields };
        record.fields.sort_by_key(|field| field.off);
        let apart = |pair: &[Field]| {
            pair[0].off.checked_add(pair[0].size).is_some_and(|end| end <= pair[1].off)
        };
        let plain = record.has(FieldKind::SpinLock);
        let roots = record.has(FieldKind::ListHead) || record.has(FieldKind::RbRoot);
        let nodes = record.has(FieldKind::ListNode) && record.has(FieldKind::RbNode);
        let fits = record.fields.windows(2).all(apart)
            && !(plain && record.has(FieldKind::ResSpinLock))
            && (plain || !roots)
            && (record.has(FieldKind::Refcount) || !nodes);
        fits.then_some(record)
    }
}

struct Walk<'a> {
    types: &'a Btf,
    btf: BtfId,
    home: Home,
    kernel: Option<Arc<Btf>>,
    fields: Vec<Field>,
}

impl Walk<'_> {
    fn structure(&mut self, id: u32, off: u32, depth: u32) -> Option<()> {
        let composite = self.types.type_by_id(id).ok()?.composite()?;
        for (index, member) in composite.members.iter().enumerate() {
            if member.bit_offset % 8 != 0 && member.bitfield_size == 0 {
                return None;
            }
            let at = off.checked_add(member.bit_offset / 8)?;
            self.member((id, index as i32), member.type_id, at, None, depth)?;
        }
        Some(())
    }

    /// A member or variable, known by where its tags are; `expected` is its size where
    /// that is said elsewhere.
    fn member(
        &mut self,
        declared: (u32, i32),
        type_id: u32,
        off: u32,
        expected: Option<u32>,
        depth: u32,
    ) -> Option<()> {
        let (mut id, mut count, mut nesting) = (type_id, 1u32, 0);
        while let Type::Array(array) = self.types.type_by_id(id).ok()? {
            nesting += 1;
            if nesting >= MAX_TYPE_DEPTH {
                return None;
            }
            id = array.element;
            count = count.checked_mul(array.len)?;
        }
        if count == 0 {
            return Some(());
        }
        let fits =
            |size: u32| expected.is_none_or(|expected| size.checked_mul(count) == Some(expected));
        let first = self.fields.len();
        let ty = self.types.type_by_id(id).ok()?;
        let known =
            FieldKind::of_struct(ty.name()).filter(|(kind, ..)| belongs_in(*kind, self.home));
        let size = match (ty, known) {
            (_, Some((kind, size, align))) => {
                if kind.is_unique() && self.fields.iter().any(|field| field.kind == kind) {
                    return None;
                }
                if !fits(size) || !off.is_multiple_of(align) {
                    return Some(());
                }
                self.special(kind, off, size, declared)?;
                size
            }
            (Type::Struct(composite) | Type::Union(composite), None) => {
                if !fits(composite.size) {
                    return Some(());
                }
                if depth + 1 >= MAX_TYPE_DEPTH {
                    return None;
                }
                self.structure(id, off, depth + 1)?;
                composite.size
            }
            _ => {
                if !fits(8) || !off.is_multiple_of(8) {
                    return Some(());
                }
                self.pointer(id, off)?;
                8
            }
        };
        self.repeat(first, count, size)
    }

    /// An array's further elements have the fields of its first.
    fn repeat(&mut self, first: usize, count: u32, size: u32) -> Option<()> {
        let found = self.fields.len() - first;
        if found == 0 || count == 1 {
            return Some(());
        }
        let repeatable = self.fields[first..].iter().all(|field| field.kind.may_repeat());
        let total = found.checked_mul(count as usize)?;
        if !repeatable || first + total > MAX_FIELDS {
            return None;
        }
        for element in 1..count {
            for at in first..first + found {
                let mut field = self.fields[at].clone();
                field.off = field.off.checked_add(element.checked_mul(size)?)?;
                self.fields.push(field);
            }
        }
        Some(())
    }

    fn push(&mut self, field: Field) -> Option<()> {
        if self.fields.len() >= MAX_FIELDS {
            return None;
        }
        self.fields.push(field);
        Some(())
    }

    fn special(
        &mut self,
        kind: FieldKind,
        off: u32,
        size: u32,
        declared: (u32, i32),
    ) -> Option<()> {
        let mut field = Field { kind, off, size, btf: self.btf, type_id: 0, node_off: 0 };
        let node_kind = match kind {
            FieldKind::ListHead => FieldKind::ListNode,
            FieldKind::RbRoot => FieldKind::RbNode,
            _ => return self.push(field),
        };
        // A tag says which structure it holds, and by which of its members.
        let (id, component) = declared;
        let (holder, node) = self.types.decl_tags(id).find_map(|(name, at)| {
            (at == component).then(|| name.strip_prefix("contains:")).flatten()?.split_once(':')
        })?;
        field.type_id = self.types.find(holder, TypeKind::Struct)?;
        let composite = self.types.type_by_id(field.type_id).ok()?.composite()?;
        let member = composite.members.iter().find(|member| member.name == node)?;
        if self.types.type_by_id(member.type_id).ok()?.name() != node_kind.name() {
            return None;
        }
        field.node_off = member.bit_offset / 8;
        self.push(field)
    }

    fn pointer(&mut self, id: u32, off: u32) -> Option<()> {
        let mut ty = self.types.type_by_id(id).ok()?;
        if let Type::Volatile { target } = ty {
            ty = self.types.type_by_id(target).ok()?;
        }
        let Type::Ptr { target } = ty else { return Some(()) };
        let Ok(Type::TypeTag { name, target, is_attribute: false }) = self.types.type_by_id(target)
        else {
            return Some(());
        };
        if matches!(self.types.type_by_id(target), Ok(Type::TypeTag { .. })) {
            return None;
        }
        let kind = match name {
            "kptr_untrusted" => FieldKind::KptrUnref,
            "kptr" => FieldKind::KptrRef,
            "percpu_kptr" => FieldKind::KptrPercpu,
            "uptr" => FieldKind::Uptr,
            _ => return None,
        };
        if !belongs_in(kind, self.home) {
            return Some(());
        }
        let id = self.types.resolve_modifiers(target).ok()?;
        let ty = self.types.type_by_id(id).ok()?;
        ty.composite()?;
        let kernel = self.kernel.as_ref();
        let in_kernel = kernel.and_then(|kernel| kernel.find(ty.name(), ty.kind()));
        let (btf, type_id) = match in_kernel {
            Some(id) if kind != FieldKind::Uptr => (KERNEL_BTF, id),
            _ => (self.btf, id),
        };
        self.push(Field { kind, off, size: 8, btf, type_id, node_off: 0 })
    }
}

impl Checker<'_> {
    /// Special fields of a type of the program's.
    pub(crate) fn record_of(&mut self, btf: BtfId, id: u32) -> Option<Arc<Record>> {
        if let Some(known) = self.types.records.get(&(btf, id)) {
            return known.clone();
        }
        let types = self.btf(btf)?;
        let record = if !self.is_kernel_btf(btf) && has_direct_fields(&types, id) {
            Record::of_type(&types, btf, id, Home::Object, self.btf(KERNEL_BTF))
        } else {
            None
        };
        let record = record.filter(|record| !record.fields.is_empty()).map(Arc::new);
        self.types.records.insert((btf, id), record.clone());
        record
    }
}

/// Whether a member of a struct is itself a special field: only then are the rest
/// looked for.
fn has_direct_fields(types: &Btf, id: u32) -> bool {
    let Ok(Type::Struct(composite)) = types.type_by_id(id) else { return false };
    composite.members.iter().any(|member| match types.type_by_id(member.type_id) {
        Ok(Type::Ptr { target }) => matches!(
            types.type_by_id(target),
            Ok(Type::TypeTag { name: "kptr" | "kptr_untrusted" | "percpu_kptr", .. })
        ),
        Ok(ty) => {
            FieldKind::of_struct(ty.name()).is_some_and(|(kind, ..)| belongs_in(kind, Home::Object))
        }
        Err(_) => false,
    })
}
