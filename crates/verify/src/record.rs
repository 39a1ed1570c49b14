//! Special fields of map values and of objects that programs allocate: locks,
//! timers, kptrs, lists. Counterpart: `struct btf_record`, `btf_parse_fields`.

use std::sync::Arc;

use skep_btf::{Btf, Kind as TypeKind, Type};

use crate::checker::Checker;
use crate::program::MapDef;
use crate::reg::{BtfId, KERNEL_BTF};

/// What a field is (`enum btf_field_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    SpinLock,
    ResSpinLock,
    Timer,
    Workqueue,
    TaskWork,
    KptrUnref,
    KptrRef,
    KptrPercpu,
    Uptr,
    ListHead,
    ListNode,
    RbRoot,
    RbNode,
    Refcount,
}

impl FieldKind {
    /// Linux's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FieldKind::SpinLock => "bpf_spin_lock",
            FieldKind::ResSpinLock => "bpf_res_spin_lock",
            FieldKind::Timer => "bpf_timer",
            FieldKind::Workqueue => "bpf_wq",
            FieldKind::TaskWork => "bpf_task_work",
            FieldKind::KptrUnref | FieldKind::KptrRef => "kptr",
            FieldKind::KptrPercpu => "percpu_kptr",
            FieldKind::Uptr => "uptr",
            FieldKind::ListHead => "bpf_list_head",
            FieldKind::ListNode => "bpf_list_node",
            FieldKind::RbRoot => "bpf_rb_root",
            FieldKind::RbNode => "bpf_rb_node",
            FieldKind::Refcount => "bpf_refcount",
        }
    }

    /// A pointer that loads and stores may touch.
    pub(crate) fn is_pointer(self) -> bool {
        self.is_kptr() || self == FieldKind::Uptr
    }

    pub(crate) fn is_kptr(self) -> bool {
        matches!(self, FieldKind::KptrUnref | FieldKind::KptrRef | FieldKind::KptrPercpu)
    }

    fn of_struct(name: &str) -> Option<(FieldKind, u32)> {
        Some(match name {
            "bpf_spin_lock" => (FieldKind::SpinLock, 4),
            "bpf_res_spin_lock" => (FieldKind::ResSpinLock, 8),
            "bpf_timer" => (FieldKind::Timer, 16),
            "bpf_wq" => (FieldKind::Workqueue, 16),
            "bpf_task_work" => (FieldKind::TaskWork, 8),
            "bpf_list_head" => (FieldKind::ListHead, 16),
            "bpf_list_node" => (FieldKind::ListNode, 24),
            "bpf_rb_root" => (FieldKind::RbRoot, 16),
            "bpf_rb_node" => (FieldKind::RbNode, 32),
            "bpf_refcount" => (FieldKind::Refcount, 4),
            _ => return None,
        })
    }
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

    /// The fields of a map's values.
    pub(crate) fn of_map(def: &MapDef, btf: BtfId, checker: &Checker<'_>) -> Record {
        match &def.btf {
            Some(types) if def.value_type != 0 => {
                Record::of_type(types, btf, def.value_type, checker)
            }
            _ => Record::default(),
        }
    }

    /// The fields of a struct or of a section of variables.
    pub(crate) fn of_type(types: &Btf, btf: BtfId, id: u32, checker: &Checker<'_>) -> Record {
        let mut record = Record::default();
        let mut walk = Walk { types, btf, checker, record: &mut record };
        match types.resolved(id) {
            Ok(Type::Struct(composite)) => {
                for (index, member) in composite.members.iter().enumerate() {
                    let tag = walk.contains(id, index);
                    walk.member(member.type_id, member.bit_offset / 8, tag, 0);
                }
            }
            Ok(Type::DataSec(section)) => {
                for var in section.vars.iter() {
                    if let Ok(Type::Var { target, .. }) = types.type_by_id(var.type_id) {
                        let tag = walk.contains_of_var(var.type_id);
                        walk.member(target, var.offset, tag, 0);
                    }
                }
            }
            _ => {}
        }
        record.fields.sort_by_key(|field| field.off);
        record
    }
}

struct Walk<'a, 'b> {
    types: &'a Btf,
    btf: BtfId,
    checker: &'a Checker<'b>,
    record: &'a mut Record,
}

impl Walk<'_, '_> {
    fn contains(&self, id: u32, member: usize) -> Option<String> {
        let id = self.types.resolve_modifiers(id).ok()?;
        self.tag(id, member as i32)
    }

    fn contains_of_var(&self, id: u32) -> Option<String> {
        self.tag(id, -1)
    }

    fn tag(&self, id: u32, at: i32) -> Option<String> {
        let mut tags = self.types.decl_tags(id).filter(|&(_, component)| component == at);
        tags.find_map(|(name, _)| name.strip_prefix("contains:").map(str::to_string))
    }

    fn member(&mut self, type_id: u32, off: u32, contains: Option<String>, depth: u32) {
        let (mut id, mut count) = (type_id, 1u32);
        while let Ok(resolved) = self.types.resolve_modifiers(id) {
            let Ok(Type::Array(array)) = self.types.type_by_id(resolved) else { break };
            id = array.element;
            count = count.saturating_mul(array.len);
        }
        if count == 0 || count > 64 || self.record.fields.len() > 64 {
            return;
        }
        let Ok(ty) = self.types.resolved(id) else { return };
        match ty {
            Type::Struct(composite) => {
                if let Some((kind, size)) = FieldKind::of_struct(composite.name) {
                    self.special(kind, off, size, contains);
                } else if depth < 4 {
                    let size = composite.size;
                    let resolved = self.types.resolve_modifiers(id).unwrap_or(id);
                    for element in 0..count {
                        for (index, member) in composite.members.iter().enumerate() {
                            let tag = self.contains(resolved, index);
                            let at = off + element * size + member.bit_offset / 8;
                            self.member(member.type_id, at, tag, depth + 1);
                        }
                    }
                }
            }
            Type::Ptr { target } => {
                for element in 0..count {
                    self.pointer(target, off + element * 8);
                }
            }
            _ => {}
        }
    }

    fn special(&mut self, kind: FieldKind, off: u32, size: u32, contains: Option<String>) {
        let mut field = Field { kind, off, size, btf: self.btf, type_id: 0, node_off: 0 };
        if matches!(kind, FieldKind::ListHead | FieldKind::RbRoot)
            && let Some((holder, node)) = contains.as_deref().and_then(|tag| tag.split_once(':'))
            && let Some(id) = self.types.find(holder, TypeKind::Struct)
            && let Ok(Type::Struct(composite)) = self.types.type_by_id(id)
            && let Some(member) = composite.members.iter().find(|member| member.name == node)
        {
            field.type_id = id;
            field.node_off = member.bit_offset / 8;
        }
        self.record.fields.push(field);
    }

    fn pointer(&mut self, target: u32, off: u32) {
        let Ok(Type::TypeTag { name, target, .. }) = self.types.type_by_id(target) else { return };
        let kind = match name {
            "kptr_untrusted" => FieldKind::KptrUnref,
            "kptr" => FieldKind::KptrRef,
            "percpu_kptr" => FieldKind::KptrPercpu,
            "uptr" => FieldKind::Uptr,
            _ => return,
        };
        let Ok(id) = self.types.resolve_modifiers(target) else { return };
        let Ok(ty) = self.types.type_by_id(id) else { return };
        let kernel = self.checker.btf(KERNEL_BTF);
        let in_kernel = kernel.and_then(|kernel: Arc<Btf>| kernel.find(ty.name(), ty.kind()));
        let (btf, type_id) = match in_kernel {
            Some(id) if kind != FieldKind::Uptr => (KERNEL_BTF, id),
            _ => (self.btf, id),
        };
        self.record.fields.push(Field { kind, off, size: 8, btf, type_id, node_off: 0 });
    }
}

impl Checker<'_> {
    /// Special fields of a type of the program's.
    pub(crate) fn record_of(&mut self, btf: BtfId, id: u32) -> Option<Arc<Record>> {
        if let Some(known) = self.records.get(&(btf, id)) {
            return known.clone();
        }
        let types = self.btf(btf)?;
        let record = Record::of_type(&types, btf, id, self);
        let record =
            (!record.fields.is_empty() && !self.is_kernel_btf(btf)).then(|| Arc::new(record));
        self.records.insert((btf, id), record.clone());
        record
    }
}
