//! Calls of kernel functions, by their BTF and the table of what the BTF does not say:
//! `wants` is what a parameter takes, `args` whether a register is that, `graph` what lists and trees ask of it, `effects`
//! what a call does to locks and references, `result` what it leaves in r0.
//! Counterpart: `check_kfunc_call`.

mod args;
mod effects;
mod graph;
mod result;
mod wants;

use skep_abi::limits::MAX_KFUNCS;
use std::sync::Arc;

use skep_abi::{AttachType, Errno, Kfunc, KfuncFlags, Reason};
use skep_btf::{Btf, Type};

use crate::checker::Checker;
use crate::error::{Check, Fault, bug, fail};
use crate::helper::{CallSummary, CallTraits};
use crate::log::say;
use crate::objects::Place;
use crate::record::Field;
use crate::reg::{BtfId, DynptrKind, KERNEL_BTF, Kind, MapId};

/// A parameter.
struct Param {
    name: String,
    type_id: u32,
}

/// A call, and what its arguments have shown.
struct Call {
    row: &'static Kfunc,
    btf: Arc<Btf>,
    btf_id: BtfId,
    id: u32,
    ret: u32,
    params: Vec<Param>,
    /// The reference of an argument.
    ref_id: u32,
    /// The argument that is given back.
    release: Option<u8>,
    /// Type of an object of the program's.
    object: Option<(BtfId, u32)>,
    /// It was an owning reference.
    owning: bool,
    constant: Option<u64>,
    subprog: u32,
    map: Option<(MapId, u32)>,
    /// The list's head or the tree's root.
    root: Option<Field>,
    /// Bytes of the memory that it yields, and whether these may only be read.
    size: u32,
    read_only: bool,
    /// Id, kind and reference of an initialised dynptr.
    dynptr: Option<(u32, DynptrKind, u32)>,
    iter: Option<Place>,
    /// The kernel's type of the context.
    context: u32,
}

impl Call {
    fn is(&self, name: &str) -> bool {
        self.row.name == name
    }

    fn has(&self, flag: KfuncFlags) -> bool {
        self.row.has(flag)
    }

    fn name(&self) -> String {
        self.row.name.into()
    }

    /// Whether its pointers must be ones that the kernel vouches for.
    fn wants_trust(&self) -> bool {
        self.row.flags.intersects(KfuncFlags::TRUSTED_ARGS | KfuncFlags::RELEASE)
    }

    /// Whether it may yield null, here.
    fn may_yield_null(&self) -> bool {
        let known = self.is("bpf_refcount_acquire_impl") && self.owning;
        self.has(KfuncFlags::RET_NULL) && !known
    }

    fn iterates(&self) -> bool {
        self.row
            .flags
            .intersects(KfuncFlags::ITER_NEW | KfuncFlags::ITER_NEXT | KfuncFlags::ITER_DESTROY)
    }
}

impl Checker<'_> {
    /// Finds what a call names.
    pub(crate) fn add_kfunc(&mut self, id: i32, module: i16) -> Check {
        if self.btf(KERNEL_BTF).is_none() {
            fail!(ENOTSUPP, KfuncsNeedBtf);
        }
        if !self.program.gpl {
            fail!(EINVAL, KfuncGpl);
        }
        if module == 0 && id == 0 {
            // Dead code, as a weak function that does not exist leaves it.
            return Ok(());
        }
        if self.types.kfuncs.contains_key(&(id, module)) {
            return Ok(());
        }
        if self.types.kfuncs.len() >= MAX_KFUNCS {
            fail!(E2BIG, TooManyKfuncs);
        }
        let Some(name) = self.kfunc_name(id, module) else {
            fail!(EINVAL, KfuncNotFunction { id: id as u32 });
        };
        if name.starts_with("bpf_xdp_metadata_rx_") {
            fail!(EINVAL, KfuncNeedsDevice);
        }
        let attach = AttachType::from_number(self.program.attach_type);
        let row = Kfunc::from_name(name)
            .filter(|row| row.is_offered(self.program.kind, attach))
            .filter(|row| self.is_tagged(row.name, id as u32, module));
        self.types.kfuncs.insert((id, module), row);
        Ok(())
    }

    /// The BTF that a call's number is of.
    fn kfunc_btf(&self, module: i16) -> Option<&Arc<Btf>> {
        if module == 0 {
            return self.env.vmlinux.as_ref();
        }
        let fd = *self.program.fd_array.as_ref()?.get(usize::try_from(module).ok()?)?;
        self.program.modules.iter().find(|(number, _)| *number == fd).map(|(_, btf)| btf)
    }

    /// Whether the kernel was built with this function as one for programs. Of most it
    /// is enough that they exist; where the kernel has the function anyway, its BTF has
    /// a tag, unless it was made by old tools.
    fn is_tagged(&self, name: &str, id: u32, module: i16) -> bool {
        if name.starts_with("bpf_") && name != "bpf_verify_pkcs7_signature" {
            return true;
        }
        let Some(btf) = self.kfunc_btf(module) else { return false };
        let tagged = |id| btf.decl_tags(id).any(|(name, _)| name == "bpf_kfunc");
        let has_tags = btf.find("bpf_rcu_read_lock", skep_btf::Kind::Func).is_some_and(tagged);
        !has_tags || tagged(id)
    }

    pub(crate) fn kfunc_name(&self, id: i32, module: i16) -> Option<&str> {
        match self.kfunc_btf(module)?.type_by_id(u32::try_from(id).ok()?).ok()? {
            Type::Func { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The row of a function that this program may call.
    fn kfunc_row(&self, id: i32, module: i16) -> Option<&'static Kfunc> {
        self.types.kfuncs.get(&(id, module)).copied().flatten()
    }

    pub(crate) fn kfunc_traits(&self, id: i32, module: i16) -> CallTraits {
        let Some(row) = self.kfunc_row(id, module) else { return CallTraits::default() };
        CallTraits {
            sync_callback: row.callback.is_some_and(|callback| !callback.is_asynchronous()),
            async_callback: row.callback.is_some_and(|callback| callback.is_asynchronous()),
            iter_next: row.has(KfuncFlags::ITER_NEXT),
            sleeps: row.has(KfuncFlags::SLEEPABLE),
            changes_packet: row.name == "bpf_xdp_pull_data",
        }
    }

    pub(crate) fn kfunc_summary(&self, id: i32, module: i16) -> Option<CallSummary> {
        let row = self.kfunc_row(id, module)?;
        let btf = self.kfunc_btf(module)?;
        let Ok(Type::Func { proto, .. }) = btf.type_by_id(u32::try_from(id).ok()?) else {
            return None;
        };
        let Ok(Type::FuncProto(proto)) = btf.type_by_id(proto) else { return None };
        Some(CallSummary {
            params: proto.params.len() as u32,
            is_void: proto.ret == 0,
            fast: row.has(KfuncFlags::FASTCALL),
        })
    }

    /// Whether it may be called while a lock is held.
    pub(crate) fn kfunc_allowed_locked(&self, id: i32, module: i16) -> bool {
        let name = self.kfunc_name(id, module).unwrap_or_default();
        module == 0
            && (["bpf_list_", "bpf_rbtree_", "bpf_iter_num_", "bpf_res_spin_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
                || name == "bpf_refcount_acquire_impl")
    }

    pub(crate) fn check_kfunc_call(&mut self, id: i32, module: i16) -> Check {
        if module == 0 && id == 0 {
            return Ok(());
        }
        let Some(row) = self.kfunc_row(id, module) else {
            let name = self.kfunc_name(id, module).unwrap_or_default().to_string();
            fail!(EACCES, KfuncNotAllowed { name });
        };
        let mut call = self.prepare_kfunc(row, id, module)?;
        if matches!(row.name, "bpf_res_spin_lock" | "bpf_res_spin_lock_irqsave") {
            self.fork_failed_lock()?;
        } else if row.name == "__bpf_trap" {
            fail!(EFAULT, KfuncTrap);
        }
        if row.has(KfuncFlags::DESTRUCTIVE)
            && !self.env.caps.contains(skep_abi::Capabilities::SYS_ADMIN)
        {
            fail!(EACCES, KfuncDestructive);
        }
        if row.has(KfuncFlags::SLEEPABLE) && !self.in_sleepable() {
            fail!(EACCES, KfuncSleeps { name: call.name() });
        }
        self.check_kfunc_args(&mut call)?;
        self.push_kfunc_callback(&call)?;
        if call.is("bpf_session_cookie") {
            (call.size, call.read_only) = (8, false);
        }
        self.check_sections(&call)?;
        self.give_up_references(&call)?;
        if call.is("bpf_throw") && self.code.exception_callback.is_none() {
            self.check_return(1, "R1")?;
        }
        self.clear_caller_saved();
        self.set_kfunc_result(&call)?;
        if call.is("bpf_xdp_pull_data") {
            self.clear_packet_pointers();
        }
        if row.has(KfuncFlags::ITER_NEXT)
            && let Some(place) = call.iter
        {
            self.fork_iteration(place)?;
        }
        Ok(())
    }

    fn prepare_kfunc(&mut self, row: &'static Kfunc, id: i32, module: i16) -> Check<Call> {
        let Some(btf) = self.kfunc_btf(module).cloned() else { bug!("no BTF of {}", row.name) };
        let btf_id = self.add_btf(&btf);
        let proto = match btf.type_by_id(id as u32) {
            Ok(Type::Func { proto, .. }) => btf.type_by_id(proto),
            _ => fail!(EINVAL, KfuncNotFunction { id: id as u32 }),
        };
        let Ok(Type::FuncProto(proto)) = proto else {
            fail!(EINVAL, KfuncNotFunction { id: id as u32 });
        };
        let count = proto.params.len();
        if count > 5 {
            fail!(EINVAL, KfuncTooManyArgs { name: row.name.into(), count: count as u32 });
        }
        let param = |param: skep_btf::Param<'_>| Param {
            name: param.name.to_string(),
            type_id: param.type_id,
        };
        let (ret, params) = (proto.ret, proto.params.iter().map(param).collect());
        Ok(Call {
            row,
            btf,
            btf_id,
            id: id as u32,
            ret,
            params,
            ref_id: 0,
            release: None,
            object: None,
            owning: false,
            constant: None,
            subprog: 0,
            map: None,
            root: None,
            size: 0,
            read_only: false,
            dynptr: None,
            iter: None,
            context: 0,
        })
    }

    /// Functions of the program that the kernel's function calls, now or later.
    fn push_kfunc_callback(&mut self, call: &Call) -> Check {
        let Some(callback) = &call.row.callback else { return Ok(()) };
        self.push_callback(call.subprog, callback).map_err(|fault| {
            if fault.reason != Reason::Silent {
                say!(self.log, "{}\n", fault.reason);
            }
            let reason = Reason::KfuncCallback { name: call.name(), id: call.id };
            Fault::new(fault.errno, reason)
        })
    }

    /// One path on which the iterator yields another element, one on which not.
    fn fork_iteration(&mut self, (frame, index): Place) -> Check {
        use crate::reg::IterState;
        let Kind::Iter { btf, id, state, depth } = self.cur.frame_at(frame).stack[index].reg.kind
        else {
            bug!("no iterator");
        };
        if state == IterState::Active {
            let mut on = self.cur.clone();
            let again = Kind::Iter { btf, id, state, depth: depth + 1 };
            on.frame_at_mut(frame).stack[index].reg.kind = again;
            self.widen(&mut on);
            let mut r0 = *on.reg(0);
            self.mark_not_null(&mut r0);
            *on.reg_mut(0) = r0;
            self.push_fork(on, self.pc + 1, Errno::EFAULT)?;
        }
        let drained = Kind::Iter { btf, id, state: IterState::Drained, depth };
        self.cur.frame_at_mut(frame).stack[index].reg.kind = drained;
        *self.cur.reg_mut(0) = self.zero();
        Ok(())
    }
}
