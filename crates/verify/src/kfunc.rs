//! Calls of kernel functions, by their BTF. Counterpart: `check_kfunc_call`.

use skep_abi::{Errno, ProgType};
use skep_btf::{Btf, Type};

use crate::checker::Checker;
use crate::error::{Check, bug, fail};
use crate::helper::{CallSummary, CallTraits};
use crate::kernel_types::AcceptedType;
use crate::objects::Place;
use crate::reg::{Flags, IrqClass, IterState, KERNEL_BTF, Kind, Reg};
use crate::state::RefKind;

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
                &**self
                    .program
                    .modules
                    .iter()
                    .find(|(number, _)| *number == fd)
                    .map(|(_, btf)| btf)?
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
        if module == 0 && id == 0 {
            return Ok(());
        }
        let name = self.kfunc_name(id, module).unwrap_or_default().to_string();
        let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
            bug!("kernel function {name} is not supported yet");
        };
        if module != 0 || !self.is_offered(known.offered) {
            fail!(EACCES, KfuncNotAllowed { name });
        }
        let Some(kernel) = self.btf(KERNEL_BTF) else { fail!(ENOTSUPP, KfuncsNeedBtf) };
        let Ok(Type::Func { proto, .. }) = kernel.type_by_id(id as u32) else {
            fail!(EINVAL, KfuncNotFunction { id: id as u32 });
        };
        let Ok(Type::FuncProto(proto)) = kernel.type_by_id(proto) else {
            fail!(EINVAL, KfuncNotFunction { id: id as u32 });
        };
        if self.in_rbtree_callback() && name.starts_with("bpf_rcu_read_") {
            fail!(EACCES, KfuncRcuInCallback);
        }
        let mut call = Call { released: 0, iter: None };
        for (i, param) in proto.params.iter().enumerate() {
            self.check_kfunc_arg(
                &kernel,
                known,
                i as u8 + 1,
                param.name,
                param.type_id,
                &mut call,
            )?;
        }
        self.sections(known)?;
        if call.released != 0 && !self.release_reference(call.released) {
            fail!(EINVAL, KfuncNotAcquired { name, id: id as u32 });
        }
        self.clear_caller_saved();
        self.kfunc_result(&kernel, known, proto.ret)?;
        if known.does == Does::IterNext
            && let Some(place) = call.iter
        {
            self.fork_iteration(place)?;
        }
        Ok(())
    }

    /// Whether programs of this type get the functions of a set.
    fn is_offered(&self, offered: Offered) -> bool {
        use ProgType as P;
        let tracing =
            matches!(self.program.kind, P::Tracing | P::Tracepoint | P::PerfEvent | P::Lsm);
        match offered {
            Offered::Everyone => true,
            Offered::Generic => {
                tracing
                    || matches!(
                        self.program.kind,
                        P::SchedCls | P::Xdp | P::StructOps | P::Syscall | P::CgroupSkb
                    )
            }
            Offered::Tracing => tracing || matches!(self.program.kind, P::StructOps | P::Syscall),
        }
    }

    fn check_kfunc_arg(
        &mut self,
        kernel: &Btf,
        known: &Known,
        n: u8,
        param: &str,
        type_id: u32,
        call: &mut Call,
    ) -> Check {
        let arg = u32::from(n) - 1;
        let reg = *self.cur.reg(n.into());
        if param.ends_with("__ign") {
            return Ok(());
        }
        if reg.kind == Kind::Uninit {
            fail!(EACCES, NotReadable { reg: n });
        }
        if param.ends_with("__irq_flag") {
            return self.process_irq_flag(n, known.does == Does::IrqSave, IrqClass::Native);
        }
        let Ok(Type::Ptr { target }) = kernel.resolved(type_id) else {
            if !reg.is_scalar() {
                fail!(EINVAL, ArgNotScalar { reg: n });
            }
            if param.ends_with("__k") {
                if reg.value.as_constant().is_none() {
                    fail!(EINVAL, KfuncText { text: format!("R{n} must be a known constant") });
                }
                self.mark_precise(n)?;
            }
            return Ok(());
        };
        let nullable = param.ends_with("__nullable");
        if (reg.is_null() || reg.maybe_null()) && !nullable {
            let text = format!("Possibly NULL pointer passed to trusted arg{arg}");
            fail!(EACCES, KfuncText { text });
        }
        if nullable && reg.is_null() {
            return Ok(());
        }
        let Ok(pointed) = kernel.resolve_modifiers(target) else { bug!("broken BTF") };
        let iter = known.does.iterates() && n == 1;
        if iter {
            let Ok(Type::Struct(composite)) = kernel.type_by_id(pointed) else {
                bug!("broken BTF of an iterator");
            };
            let slots = composite.size as usize / 8;
            let short = composite.name.strip_prefix("bpf_iter_").unwrap_or_default();
            if !reg.is_stack() {
                fail!(EINVAL, IterPointer { arg });
            }
            if known.does == Does::IterNew {
                return self.make_iter(n, KERNEL_BTF, pointed, slots, short, Flags::empty());
            }
            let (place, _) = self.use_iter(n, KERNEL_BTF, pointed, slots, short, known.name)?;
            if known.does == Does::IterDestroy {
                self.destroy_iter(place, slots);
            } else {
                call.iter = Some(place);
            }
            return Ok(());
        }
        match kernel.type_by_id(pointed) {
            Ok(Type::Struct(composite)) if reg.is_btf() => {
                let Kind::Btf { btf, id } = reg.kind else { return Ok(()) };
                if known.does == Does::Release {
                    if reg.ref_id == 0 {
                        let text = format!(
                            "release kernel function {} expects refcounted PTR_TO_BTF_ID",
                            known.name
                        );
                        fail!(EINVAL, KfuncText { text });
                    }
                    call.released = reg.ref_id;
                } else if !(reg.is_trusted() || known.rcu && reg.flags.contains(Flags::RCU)) {
                    let text = if known.rcu {
                        format!("R{n} must be a rcu pointer")
                    } else {
                        format!("R{n} must be referenced or trusted")
                    };
                    fail!(EINVAL, KfuncText { text });
                }
                self.check_arg_offset(&reg, n, known.does == Does::Release, false)?;
                let strict = known.does == Does::Release;
                let wanted = AcceptedType { btf: KERNEL_BTF, id: pointed, strict };
                if !self.types_match(btf, id, reg.off, wanted) {
                    let has = self.type_name(btf, id);
                    let text = format!(
                        "kernel function {} args#{arg} expected pointer to STRUCT {} but R{n} has a pointer to STRUCT {has}",
                        known.name, composite.name
                    );
                    fail!(EINVAL, KfuncText { text });
                }
                Ok(())
            }
            _ => bug!("kernel function {} is not supported yet", known.name),
        }
    }

    /// Sections in which much is forbidden: RCU and preemption.
    fn sections(&mut self, known: &Known) -> Check {
        let name = || known.name.to_string();
        match known.does {
            Does::RcuLock if self.cur.rcu_lock => fail!(EINVAL, RcuNested { name: name() }),
            Does::RcuLock => self.cur.rcu_lock = true,
            Does::RcuUnlock if !self.cur.rcu_lock => fail!(EINVAL, RcuUnmatched { name: name() }),
            Does::RcuUnlock => {
                self.cur.rcu_lock = false;
                self.cur.change_regs(
                    |reg| reg.flags.contains(Flags::RCU),
                    |reg| {
                        reg.flags -= Flags::RCU | Flags::MAYBE_NULL;
                        reg.flags |= Flags::UNTRUSTED;
                    },
                );
            }
            _ if known.sleeps && self.cur.rcu_lock => fail!(EACCES, SleepsInRcu { name: name() }),
            Does::PreemptDisable => self.cur.preempt_locks += 1,
            Does::PreemptEnable if self.cur.preempt_locks == 0 => {
                fail!(EINVAL, PreemptUnmatched { name: name() });
            }
            Does::PreemptEnable => self.cur.preempt_locks -= 1,
            _ if known.sleeps && self.cur.preempt_locks > 0 => {
                fail!(EACCES, SleepsInPreempt { name: name() });
            }
            _ => {}
        }
        Ok(())
    }

    fn kfunc_result(&mut self, kernel: &Btf, known: &Known, ret: u32) -> Check {
        let Ok(Type::Ptr { target }) = kernel.resolved(ret) else {
            if ret != 0 {
                *self.cur.reg_mut(0) = self.unknown();
            }
            return Ok(());
        };
        let Ok(pointed) = kernel.resolve_modifiers(target) else { bug!("broken BTF") };
        let mut reg = match kernel.type_by_id(pointed) {
            Ok(Type::Struct(_)) => {
                let kind = Kind::Btf { btf: KERNEL_BTF, id: pointed };
                Reg::pointer(kind, Flags::empty())
            }
            _ => {
                let size = kernel.size_of(pointed).unwrap_or(0) as u32;
                Reg::pointer(Kind::Mem { size, dynptr: 0 }, Flags::RDONLY)
            }
        };
        if known.null {
            reg.flags |= Flags::MAYBE_NULL;
            reg.id = self.new_id();
        }
        if known.does == Does::Acquire {
            let id = self.new_id();
            self.cur.acquire(RefKind::Pointer, id, self.pc);
            if known.null {
                reg.id = id;
            }
            reg.ref_id = id;
        }
        *self.cur.reg_mut(0) = reg;
        Ok(())
    }

    /// One path on which the iterator yields another element, one on which not.
    fn fork_iteration(&mut self, (frame, index): Place) -> Check {
        let Kind::Iter { btf, id, state, depth } = self.cur.frame_at(frame).stack[index].reg.kind
        else {
            bug!("no iterator");
        };
        if state == IterState::Active {
            let mut on = self.cur.clone();
            // What it yields is worth nothing once it is gone.
            on.reg_mut(0).ref_id = on.frame_at(frame).stack[index].reg.ref_id;
            let again = Kind::Iter { btf, id, state, depth: depth + 1 };
            on.frame_at_mut(frame).stack[index].reg.kind = again;
            if let Some(parent) = self.cur.parent {
                let entry = self.previous_entry(&self.node(parent).state, self.pc);
                if let Some(entry) = entry {
                    self.widen(&self.node(entry).state, &mut on);
                }
            }
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

/// What the arguments of a call have shown.
struct Call {
    released: u32,
    iter: Option<Place>,
}

/// Which programs get a function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offered {
    Everyone,
    Generic,
    Tracing,
}

/// What a function does to the verifier's state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Nothing,
    Acquire,
    Release,
    IterNew,
    IterNext,
    IterDestroy,
    RcuLock,
    RcuUnlock,
    PreemptDisable,
    PreemptEnable,
    IrqSave,
    IrqRestore,
}

impl Does {
    fn iterates(self) -> bool {
        matches!(self, Does::IterNew | Does::IterNext | Does::IterDestroy)
    }
}

/// A kernel function that is known here. Those that are not are refused.
struct Known {
    name: &'static str,
    does: Does,
    offered: Offered,
    /// May return null.
    null: bool,
    /// Takes pointers that RCU protects.
    rcu: bool,
    sleeps: bool,
}

const fn known(name: &'static str, does: Does, offered: Offered) -> Known {
    Known {
        name,
        does,
        offered,
        null: matches!(does, Does::Acquire | Does::IterNext),
        rcu: false,
        sleeps: false,
    }
}

const fn rcu(row: Known) -> Known {
    Known { rcu: true, ..row }
}

const KNOWN: &[Known] = &[
    known("bpf_rcu_read_lock", Does::RcuLock, Offered::Everyone),
    known("bpf_rcu_read_unlock", Does::RcuUnlock, Offered::Everyone),
    known("bpf_preempt_disable", Does::PreemptDisable, Offered::Everyone),
    known("bpf_preempt_enable", Does::PreemptEnable, Offered::Everyone),
    known("bpf_local_irq_save", Does::IrqSave, Offered::Everyone),
    known("bpf_local_irq_restore", Does::IrqRestore, Offered::Everyone),
    known("bpf_iter_num_new", Does::IterNew, Offered::Everyone),
    known("bpf_iter_num_next", Does::IterNext, Offered::Everyone),
    known("bpf_iter_num_destroy", Does::IterDestroy, Offered::Everyone),
    known("bpf_iter_bits_next", Does::IterNext, Offered::Everyone),
    known("bpf_iter_bits_destroy", Does::IterDestroy, Offered::Everyone),
    known("bpf_task_from_pid", Does::Acquire, Offered::Generic),
    known("bpf_task_from_vpid", Does::Acquire, Offered::Generic),
    rcu(known("bpf_task_acquire", Does::Acquire, Offered::Generic)),
    known("bpf_task_release", Does::Release, Offered::Generic),
    known("bpf_cgroup_from_id", Does::Acquire, Offered::Generic),
    rcu(known("bpf_cgroup_acquire", Does::Acquire, Offered::Generic)),
    rcu(known("bpf_cgroup_ancestor", Does::Acquire, Offered::Generic)),
    known("bpf_cgroup_release", Does::Release, Offered::Generic),
    rcu(known("bpf_task_under_cgroup", Does::Nothing, Offered::Generic)),
    known("bpf_cpumask_create", Does::Acquire, Offered::Tracing),
    Known { null: false, ..known("bpf_cpumask_acquire", Does::Acquire, Offered::Tracing) },
    known("bpf_cpumask_release", Does::Release, Offered::Tracing),
    rcu(known("bpf_cpumask_first", Does::Nothing, Offered::Tracing)),
    rcu(known("bpf_cpumask_first_zero", Does::Nothing, Offered::Tracing)),
    rcu(known("bpf_cpumask_set_cpu", Does::Nothing, Offered::Tracing)),
    rcu(known("bpf_cpumask_clear_cpu", Does::Nothing, Offered::Tracing)),
    rcu(known("bpf_cpumask_test_cpu", Does::Nothing, Offered::Tracing)),
    rcu(known("bpf_cpumask_setall", Does::Nothing, Offered::Tracing)),
    rcu(known("bpf_cpumask_clear", Does::Nothing, Offered::Tracing)),
    rcu(known("bpf_cpumask_and", Does::Nothing, Offered::Tracing)),
    rcu(known("bpf_cpumask_or", Does::Nothing, Offered::Tracing)),
    rcu(known("bpf_cpumask_weight", Does::Nothing, Offered::Tracing)),
];
