//! What the kernel keeps in values of maps for itself (`enum btf_field_type`).

use std::ops::Range;

/// What a field is (`enum btf_field_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// `struct bpf_spin_lock`.
    SpinLock,
    /// `struct bpf_res_spin_lock`.
    ResSpinLock,
    /// `struct bpf_timer`.
    Timer,
    /// `struct bpf_wq`.
    Workqueue,
    /// `struct bpf_task_work`.
    TaskWork,
    /// A pointer marked `__kptr_untrusted`.
    KptrUnref,
    /// A pointer marked `__kptr`.
    KptrRef,
    /// A pointer marked `__percpu_kptr`.
    KptrPercpu,
    /// A pointer marked `__uptr`.
    Uptr,
    /// `struct bpf_list_head`.
    ListHead,
    /// `struct bpf_list_node`.
    ListNode,
    /// `struct bpf_rb_root`.
    RbRoot,
    /// `struct bpf_rb_node`.
    RbNode,
    /// `struct bpf_refcount`.
    Refcount,
}

/// A special field of a map's values, as a map has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialField {
    /// What it is.
    pub kind: FieldKind,
    /// Its bytes in the value.
    pub bytes: Range<u32>,
}

impl FieldKind {
    /// Linux's name for it.
    pub fn name(self) -> &'static str {
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
    pub fn is_pointer(self) -> bool {
        self.is_kptr() || self == FieldKind::Uptr
    }

    /// A pointer to an object of the kernel.
    pub fn is_kptr(self) -> bool {
        matches!(self, FieldKind::KptrUnref | FieldKind::KptrRef | FieldKind::KptrPercpu)
    }

    /// The kind of field that a structure of the kernel's is, with its size and
    /// alignment.
    pub fn of_struct(name: &str) -> Option<(FieldKind, u32, u32)> {
        Some(match name {
            "bpf_spin_lock" => (FieldKind::SpinLock, 4, 4),
            "bpf_res_spin_lock" => (FieldKind::ResSpinLock, 4, 4),
            "bpf_timer" => (FieldKind::Timer, 16, 8),
            "bpf_wq" => (FieldKind::Workqueue, 16, 8),
            "bpf_task_work" => (FieldKind::TaskWork, 8, 8),
            "bpf_list_head" => (FieldKind::ListHead, 16, 8),
            "bpf_list_node" => (FieldKind::ListNode, 24, 8),
            "bpf_rb_root" => (FieldKind::RbRoot, 16, 8),
            "bpf_rb_node" => (FieldKind::RbNode, 32, 8),
            "bpf_refcount" => (FieldKind::Refcount, 4, 4),
            _ => return None,
        })
    }

    /// At most one of it in a type.
    pub fn is_unique(self) -> bool {
        use FieldKind as F;
        matches!(
            self,
            F::SpinLock | F::ResSpinLock | F::Timer | F::Workqueue | F::TaskWork | F::Refcount
        )
    }

    /// Arrays of it are fine.
    pub fn may_repeat(self) -> bool {
        self.is_kptr() || matches!(self, FieldKind::ListHead | FieldKind::RbRoot)
    }
}
