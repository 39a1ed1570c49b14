//! Linked lists and red-black trees of the program's objects: the root and its lock
//! lie in the same allocation, a node goes in as an owning reference and is seen as a
//! non-owning one from then on. Counterpart: `process_kf_arg_ptr_to_graph_root` and
//! `_node`, `set_rbtree_add_callback_state`.

use super::Call;
use super::args::is_owned;
use crate::checker::Checker;
use crate::error::{Check, bug, fail};
use crate::record::{Field, FieldKind, Record};
use crate::reg::{Flags, Kind, Reg};
use crate::state::LockHome;

impl Checker<'_> {
    /// Special fields of what a register points to.
    pub(crate) fn fields_behind(&mut self, reg: &Reg) -> Record {
        match reg.kind {
            Kind::MapValue { map, .. } => self.code.maps[usize::from(map)].record.clone(),
            Kind::Btf { btf, id } if reg.is_alloc_obj() => {
                self.record_of(btf, id).map(|record| (*record).clone()).unwrap_or_default()
            }
            _ => Record::default(),
        }
    }

    /// A list's head or a tree's root, whose lock is held.
    pub(super) fn check_graph_root(&mut self, call: &mut Call, n: u8, kind: FieldKind) -> Check {
        let (reg, name) = (*self.cur.reg(n.into()), kind.name());
        if !reg.is_map_value() && !is_owned(&reg) {
            fail!(EINVAL, KfuncArgNotHome { arg: u32::from(n) - 1 });
        }
        if is_owned(&reg) && reg.ref_id == 0 {
            fail!(EINVAL, KfuncObjectUnreferenced);
        }
        let Some(value) = reg.value.as_constant() else {
            fail!(EINVAL, FieldOffset { reg: n, name });
        };
        let record = self.fields_behind(&reg);
        let off = reg.off.wrapping_add(value as i32) as u32;
        let Some(field) = record.find(off.into(), |other| other == kind) else {
            fail!(EINVAL, FieldNotFound { name, off });
        };
        let home = match reg.kind {
            Kind::MapValue { map, .. } => LockHome::Map(map),
            Kind::Btf { btf, .. } => LockHome::Btf(btf),
            _ => bug!("unknown reg type for lock check"),
        };
        let locked = |held: &crate::state::Acquired| {
            held.id == reg.id && held.kind.lock_home() == Some(home)
        };
        if self.cur.active_locks == 0 || !self.cur.refs.iter().any(locked) {
            if self.cur.active_locks > 0 {
                crate::log::say!(self.log, "held lock and object are not in the same allocation\n");
            }
            let at = record.offset_of(FieldKind::SpinLock).map_or(-22, |at| at as i32);
            fail!(EINVAL, GraphUnlocked { at, name });
        }
        call.root = Some(field.clone());
        Ok(())
    }

    /// A node of the type that the list or tree before holds.
    pub(super) fn check_graph_node(&mut self, call: &mut Call, n: u8, kind: FieldKind) -> Check {
        let (reg, name, arg) = (*self.cur.reg(n.into()), kind.name(), u32::from(n) - 1);
        let inserts = kind == FieldKind::ListNode || call.is("bpf_rbtree_add_impl");
        if inserts {
            if !is_owned(&reg) {
                fail!(EINVAL, KfuncArgNotAllocated { arg });
            }
            if reg.ref_id == 0 {
                fail!(EINVAL, KfuncObjectUnreferenced);
            }
        } else {
            if !reg.is_non_owning() && reg.ref_id == 0 {
                fail!(EINVAL, TreeNodeReference { name: call.name() });
            }
            if self.in_rbtree_callback() {
                fail!(EINVAL, TreeCallInCallback { name: call.name() });
            }
        }
        let Some(value) = reg.value.as_constant() else {
            fail!(EINVAL, FieldOffset { reg: n, name });
        };
        let off = reg.off.wrapping_add(value as i32) as u32;
        let record = self.fields_behind(&reg);
        if record.find(off.into(), |other| other == kind).is_none() {
            fail!(EINVAL, FieldNotFound { name, off });
        }
        let Some(root) = call.root.clone() else { bug!("no root before a node") };
        let Kind::Btf { btf, id } = reg.kind else { bug!("no type behind R{n}") };
        let holder = self.type_name(root.btf, root.type_id);
        if (btf, id) != (root.btf, root.type_id) {
            let (root, at, has) = (root.kind.name(), root.node_off, self.type_name(btf, id));
            fail!(EINVAL, GraphType { root, node: name, at, holder, off, has });
        }
        call.object = Some((btf, id));
        if off != root.node_off {
            fail!(EINVAL, GraphOffset { off, node: name, at: root.node_off, holder });
        }
        Ok(())
    }

    /// A non-owning reference to an element of a list or tree.
    pub(crate) fn graph_element(&mut self, root: &Field) -> Reg {
        let kind = Kind::Btf { btf: root.btf, id: root.type_id };
        // Known from here on, so that its locks are found.
        let _ = self.record_of(root.btf, root.type_id);
        Reg { off: root.node_off as i32, ..Reg::pointer(kind, Flags::ALLOC) }
    }

    /// What makes an owning reference a non-owning one.
    pub(crate) fn non_owning(&mut self, reg: &Reg) -> Flags {
        let Kind::Btf { btf, id } = reg.kind else { return Flags::NON_OWN_REF };
        let counted = self.record_of(btf, id).is_some_and(|record| record.has(FieldKind::Refcount));
        if counted { Flags::NON_OWN_REF | Flags::RCU } else { Flags::NON_OWN_REF }
    }
}
