//! Calls of kernel functions, by their BTF. Counterpart: `check_kfunc_call`.

use skep_btf::Type;

use crate::checker::Checker;
use crate::error::{Check, bug, fail};
use crate::helper::{CallSummary, CallTraits};
use crate::reg::KERNEL_BTF;

impl Checker<'_> {
    /// Finds what a call names.
    pub(crate) fn add_kfunc(&mut self, id: i32, module: i16) -> Check {
        if module == 0 && id == 0 {
            // Dead code, as a weak function that does not exist leaves it.
            return Ok(());
        }
        if self.btf(KERNEL_BTF).is_none() {
            fail!(ENOTSUPP, KfuncsNeedBtf);
        }
        if !self.program.gpl {
            fail!(EINVAL, KfuncGpl);
        }
        if self.kfunc_name(id, module).is_none() {
            fail!(EINVAL, KfuncNotFunction { id: id as u32 });
        }
        self.kfuncs.insert((id, module), ());
        Ok(())
    }

    pub(crate) fn kfunc_name(&self, id: i32, module: i16) -> Option<&str> {
        let btf = match module {
            0 => self.env.vmlinux.as_deref()?,
            _ => {
                let fd = *self.program.fd_array.as_ref()?.get(usize::try_from(module).ok()?)?;
                &**self.program.modules.iter().find(|(number, _)| *number == fd).map(|(_, btf)| btf)?
            }
        };
        match btf.type_by_id(u32::try_from(id).ok()?).ok()? {
            Type::Func { name, .. } => Some(name),
            _ => None,
        }
    }

    pub(crate) fn kfunc_traits(&self, id: i32, module: i16) -> CallTraits {
        let name = self.kfunc_name(id, module).unwrap_or_default();
        CallTraits {
            sync_callback: name.starts_with("bpf_rbtree_add"),
            async_callback: name.starts_with("bpf_wq_set_callback"),
            iter_next: name.starts_with("bpf_iter_") && name.ends_with("_next"),
            sleeps: false,
            changes_packet: name == "bpf_xdp_pull_data",
        }
    }

    pub(crate) fn kfunc_summary(&self, id: i32, _module: i16) -> Option<CallSummary> {
        let btf = self.btf(KERNEL_BTF)?;
        let Ok(Type::Func { proto, .. }) = btf.type_by_id(u32::try_from(id).ok()?) else {
            return None;
        };
        let Ok(Type::FuncProto(proto)) = btf.type_by_id(proto) else { return None };
        Some(CallSummary {
            params: proto.params.len() as u32,
            is_void: proto.ret == 0,
            fast: false,
        })
    }

    /// Whether it may be called while a lock is held.
    pub(crate) fn kfunc_allowed_locked(&self, id: i32, module: i16) -> bool {
        let name = self.kfunc_name(id, module).unwrap_or_default();
        ["bpf_list_", "bpf_rbtree_", "bpf_iter_num_", "bpf_res_spin_", "bpf_arena_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            || name == "bpf_refcount_acquire_impl"
    }

    pub(crate) fn check_kfunc_call(&mut self, id: i32, module: i16) -> Check {
        let name = self.kfunc_name(id, module).unwrap_or_default().to_string();
        bug!("kernel function {name} is not supported yet")
    }
}
