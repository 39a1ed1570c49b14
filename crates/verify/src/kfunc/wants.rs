//! What a parameter of a kernel function takes, by its type and by the suffix of its
//! name. Counterpart: `get_kfunc_ptr_arg_type`.

use skep_btf::{Btf, Type};

use super::Call;
use crate::checker::Checker;
use crate::error::{Check, fail};
use crate::reg::{Kind, Reg};

/// What a parameter that is a pointer takes (`enum kfunc_ptr_arg_type`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Null,
    Context,
    Allocated,
    Refcounted,
    Dynptr,
    Iter,
    ListHead,
    ListNode,
    TreeRoot,
    TreeNode,
    Str,
    Map,
    Workqueue,
    TaskWork,
    IrqFlag,
    ResSpinLock,
    Object,
    Callback,
    Mem,
    MemAndSize,
}

/// What a pointer parameter points to.
pub(super) struct Pointed {
    pub id: u32,
    pub name: String,
    pub kind: &'static str,
}

impl Checker<'_> {
    /// What the BTF says that this parameter takes.
    pub(super) fn kfunc_wants(
        &self,
        call: &Call,
        index: usize,
        target: u32,
        pointed: &Pointed,
        reg: &Reg,
    ) -> Check<Wants> {
        let (btf, arg) = (&call.btf, index as u32);
        if call.is("bpf_cast_to_kern_ctx") || self.is_context_type(btf, target) {
            return Ok(Wants::Context);
        }
        if call.suffix(index, "__nullable") && reg.is_null() {
            return Ok(Wants::Null);
        }
        let is_struct = pointed.kind == "STRUCT";
        let by_suffix = [
            ("__alloc", Wants::Allocated),
            ("__refcounted_kptr", Wants::Refcounted),
            ("__iter", Wants::Iter),
            ("__str", Wants::Str),
            ("__map", Wants::Map),
            ("__irq_flag", Wants::IrqFlag),
        ];
        let by_struct = [
            ("bpf_dynptr", Wants::Dynptr),
            ("bpf_list_head", Wants::ListHead),
            ("bpf_list_node", Wants::ListNode),
            ("bpf_rb_root", Wants::TreeRoot),
            ("bpf_rb_node", Wants::TreeNode),
            ("bpf_wq", Wants::Workqueue),
            ("bpf_task_work", Wants::TaskWork),
            ("bpf_res_spin_lock", Wants::ResSpinLock),
        ];
        if call.iterates() && index == 0 {
            return Ok(Wants::Iter);
        }
        if let Some((_, wants)) = by_suffix.iter().find(|(suffix, _)| call.suffix(index, suffix)) {
            return Ok(*wants);
        }
        if let Some((_, wants)) =
            by_struct.iter().find(|(name, _)| is_struct && pointed.name == *name)
        {
            return Ok(*wants);
        }
        let ty = btf.type_by_id(pointed.id);
        if reg.is_btf() || kernel_name(reg.kind).is_some() {
            if !matches!(ty, Ok(Type::Struct(_) | Type::Union(_))) {
                let (name, kind) = (call.name(), pointed.kind);
                fail!(EINVAL, KfuncArgPointer { name, arg, kind, pointed: pointed.name.clone() });
            }
            return Ok(Wants::Object);
        }
        if matches!(ty, Ok(Type::FuncProto(_))) {
            return Ok(Wants::Callback);
        }
        let sized = call.params.get(index + 1).is_some_and(|next| {
            is_number(btf, next.type_id)
                && self.cur.reg(index + 2).is_scalar()
                && (call.suffix(index + 1, "__sz") || call.suffix(index + 1, "__szk"))
        });
        let plain = is_number(btf, pointed.id)
            || self.is_scalar_struct(btf, pointed.id, 0)
            || (sized && matches!(ty, Ok(Type::Void)));
        if !plain {
            let (kind, name) = (pointed.kind, pointed.name.clone());
            let void = if sized { "void, " } else { "" };
            fail!(EINVAL, KfuncArgTarget { arg, kind, name, void });
        }
        Ok(if sized { Wants::MemAndSize } else { Wants::Mem })
    }

    /// Whether a struct holds nothing but numbers, four levels deep.
    pub(super) fn is_scalar_struct(&self, btf: &Btf, id: u32, depth: u32) -> bool {
        let Ok(Type::Struct(composite) | Type::Union(composite)) = btf.resolved(id) else {
            return false;
        };
        composite.members.iter().all(|member| match btf.resolved(member.type_id) {
            Ok(Type::Struct(_) | Type::Union(_)) => {
                depth < 3 && self.is_scalar_struct(btf, member.type_id, depth + 1)
            }
            Ok(Type::Array(array)) => array.len > 0 && is_number(btf, array.element),
            _ => is_number(btf, member.type_id),
        })
    }
}

impl Call {
    /// Whether the name of a parameter ends like this.
    pub(super) fn suffix(&self, index: usize, suffix: &str) -> bool {
        let name = &self.params[index].name;
        name.len() > suffix.len() && name.ends_with(suffix)
    }
}

/// The kernel's structure behind what is a type of its own to the verifier.
pub(super) fn kernel_name(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Socket => "sock",
        Kind::SockCommon => "sock_common",
        Kind::TcpSock => "tcp_sock",
        Kind::MapPtr { .. } => "bpf_map",
        _ => return None,
    })
}

pub(super) fn is_number(btf: &Btf, id: u32) -> bool {
    matches!(btf.resolved(id), Ok(Type::Int(_) | Type::Enum(_) | Type::Enum64(_)))
}
