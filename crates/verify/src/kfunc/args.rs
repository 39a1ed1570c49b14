//! What the arguments of a kernel function must be: its BTF says which kind of pointer
//! a parameter takes, by its type and by the suffix of its name. Counterpart:
//! `check_kfunc_args`, `get_kfunc_ptr_arg_type`.

use skep_abi::{AttachType, KfuncFlags, ProgType, TypeFlags};
use skep_btf::{Btf, Type};

use super::Call;
use super::wants::{Pointed, Wants, is_number, kernel_name};
use crate::checker::Checker;
use crate::error::{Check, bug, fail};
use crate::kernel_types::AcceptedType;
use crate::log::say;
use crate::record::FieldKind;
use crate::reg::{DynptrKind, Flags, IrqClass, KERNEL_BTF, Kind, Reg};

impl Checker<'_> {
    pub(super) fn check_kfunc_args(&mut self, call: &mut Call) -> Check {
        let mut index = 0;
        while index < call.params.len() {
            index += self.check_kfunc_arg(call, index)?;
        }
        if call.has(KfuncFlags::RELEASE) && call.release.is_none() {
            fail!(EINVAL, KfuncReleases { name: call.name() });
        }
        Ok(())
    }

    /// One argument; gives how many parameters that were.
    fn check_kfunc_arg(&mut self, call: &mut Call, index: usize) -> Check<usize> {
        let (n, arg) = (index as u8 + 1, index as u32);
        let reg = *self.cur.reg(n.into());
        if call.suffix(index, "__ign") || call.suffix(index, "__prog") {
            return Ok(1);
        }
        self.shown.touched_regs |= 1 << n;
        let type_id = call.params[index].type_id;
        let btf = call.btf.clone();
        if is_number(&btf, type_id) {
            return self.check_kfunc_number(call, index, &reg).map(|()| 1);
        }
        let Ok(Type::Ptr { target }) = btf.resolved(type_id) else {
            let kind = btf.resolved(type_id).map_or("UNKNOWN", |ty| ty.kind().dump_name());
            fail!(EINVAL, KfuncArgKind { arg, kind });
        };
        let picky = call.wants_trust() || call.has(KfuncFlags::RCU);
        let nullable = call.suffix(index, "__nullable") || call.suffix(index, "__opt");
        // Linux before it trusted no argument by default let null pass as memory, of
        // which not every function thinks.
        if (reg.is_null() || reg.maybe_null()) && !nullable {
            fail!(EACCES, KfuncArgNull { arg });
        }
        if reg.ref_id != 0 {
            if call.has(KfuncFlags::RELEASE) {
                if call.ref_id != 0 {
                    bug!("more than one arg with ref_obj_id R{n} {} {}", reg.ref_id, call.ref_id);
                }
                call.release = Some(n);
            }
            call.ref_id = reg.ref_id;
        }
        let Ok(id) = btf.resolve_modifiers(target) else { bug!("broken BTF") };
        let (name, kind) = match btf.type_by_id(id) {
            Ok(ty) => (ty.name().to_string(), ty.kind().dump_name()),
            Err(_) => bug!("broken BTF"),
        };
        let mut pointed = Pointed { id, name, kind };
        let wants = self.kfunc_wants(call, index, target, &pointed, &reg)?;
        match wants {
            Wants::Null => return Ok(1),
            Wants::Map => self.note_kfunc_map(call, n, &reg)?,
            _ => {}
        }
        if matches!(wants, Wants::Map | Wants::Allocated | Wants::Object)
            && picky
            && !reg.is_trusted()
        {
            if !call.has(KfuncFlags::RCU) {
                fail!(EINVAL, KfuncArgUntrusted { reg: n });
            }
            if !reg.flags.contains(Flags::RCU) {
                fail!(EINVAL, KfuncArgNotRcu { reg: n });
            }
        }
        let release = call.has(KfuncFlags::RELEASE) && reg.ref_id != 0;
        self.check_arg_offset(&reg, n, release, false)?;
        match wants {
            Wants::Null => {}
            Wants::Context => self.check_kfunc_context(call, arg, &reg)?,
            Wants::Allocated => self.check_kfunc_allocated(call, arg, &reg)?,
            Wants::Refcounted => self.check_kfunc_refcounted(call, arg, &reg)?,
            Wants::Dynptr => self.check_kfunc_dynptr(call, index, &reg)?,
            Wants::Iter => self.check_kfunc_iter(call, n, pointed.id, &reg)?,
            Wants::ListHead => self.check_graph_root(call, n, FieldKind::ListHead)?,
            Wants::TreeRoot => self.check_graph_root(call, n, FieldKind::RbRoot)?,
            Wants::ListNode => self.check_graph_node(call, n, FieldKind::ListNode)?,
            Wants::TreeNode => self.check_graph_node(call, n, FieldKind::RbNode)?,
            Wants::Map | Wants::Object => {
                if wants == Wants::Map {
                    let kernel = self.btf(KERNEL_BTF);
                    let id = kernel.and_then(|btf| btf.find("bpf_map", skep_btf::Kind::Struct));
                    let id = id.unwrap_or(0);
                    pointed = Pointed { id, name: "bpf_map".into(), kind: "STRUCT" };
                }
                self.check_kfunc_object(call, n, &reg, &pointed)?;
            }
            Wants::Str => {
                if !reg.is_map_value() {
                    fail!(EINVAL, KfuncArgNotStr { arg });
                }
                self.check_const_str(n)?;
            }
            Wants::Workqueue | Wants::TaskWork => {
                if !reg.is_map_value() {
                    fail!(EINVAL, KfuncArgNotValue { arg });
                }
                let work = wants == Wants::TaskWork;
                let field = if work { FieldKind::TaskWork } else { FieldKind::Workqueue };
                self.check_field_pointer(n, field)?;
                call.map = reg.map().map(|map| (map, reg.map_uid()));
            }
            Wants::IrqFlag => {
                if !reg.is_stack() {
                    fail!(EINVAL, KfuncArgNotIrqFlag { arg });
                }
                let lock = call.row.name.starts_with("bpf_res_spin_");
                let class = if lock { IrqClass::Lock } else { IrqClass::Native };
                self.process_irq_flag(n, call.row.name.ends_with("save"), class)?;
            }
            Wants::ResSpinLock => {
                if !reg.is_map_value() && !is_owned(&reg) {
                    fail!(EINVAL, KfuncArgNotLockable { arg });
                }
                let take = call.row.name.starts_with("bpf_res_spin_lock");
                let irq = call.row.name.contains("_irq");
                self.process_spin_lock(n, take, true, irq)?;
            }
            Wants::Callback => {
                let Kind::Func { subprog } = reg.kind else {
                    fail!(EINVAL, KfuncArgNotFunc { arg });
                };
                call.subprog = subprog;
            }
            Wants::Mem => {
                let Ok(size) = btf.size_of(pointed.id) else {
                    let (kind, name) = (pointed.kind.into(), pointed.name);
                    fail!(EINVAL, GlobalArgSize { arg, kind, name });
                };
                self.check_mem_reg(n, size as u32)?;
            }
            Wants::MemAndSize => {
                self.check_kfunc_buffer(call, index, &reg)?;
                return Ok(2);
            }
        }
        Ok(1)
    }

    fn check_kfunc_number(&mut self, call: &mut Call, index: usize, reg: &Reg) -> Check {
        let n = index as u8 + 1;
        if !reg.is_scalar() {
            fail!(EINVAL, ArgNotScalar { reg: n });
        }
        if call.suffix(index, "__k") {
            let Some(value) = reg.value.as_constant() else {
                fail!(EINVAL, KfuncArgNotConstant { reg: n });
            };
            self.mark_precise(n)?;
            call.constant = Some(value);
            return Ok(());
        }
        let read_only = match call.params[index].name.as_str() {
            "rdonly_buf_size" => true,
            "rdwr_buf_size" => false,
            _ => return Ok(()),
        };
        let Some(value) = reg.value.as_constant() else {
            fail!(EINVAL, KfuncSizeNotConstant { reg: n });
        };
        (call.size, call.read_only) = (value as u32, read_only);
        self.mark_precise(n)
    }

    fn note_kfunc_map(&mut self, call: &mut Call, n: u8, reg: &Reg) -> Check {
        let Some(map) = reg.map() else {
            // Linux sees something else in the place of a map for these.
            if matches!(reg.kind, Kind::Btf { .. } | Kind::Mem { .. }) {
                return Ok(());
            }
            fail!(EINVAL, KfuncArgNotMap { reg: n });
        };
        let record = &self.code.maps[usize::from(map)].record;
        let (work, queue) = (record.has(FieldKind::TaskWork), record.has(FieldKind::Workqueue));
        if let Some((first, uid)) = call.map
            && (work || queue)
            && (first, uid) != (map, reg.map_uid())
        {
            let second = reg.map_uid();
            if work {
                fail!(EINVAL, TaskWorkMap { first: uid, second });
            }
            fail!(EINVAL, WorkqueueMap { first: uid, second });
        }
        call.map = Some((map, reg.map_uid()));
        Ok(())
    }

    fn check_kfunc_context(&mut self, call: &mut Call, arg: u32, reg: &Reg) -> Check {
        if !reg.is_ctx() {
            fail!(EINVAL, KfuncArgNotCtx { arg, kind: reg.type_name() });
        }
        if call.is("bpf_cast_to_kern_ctx") {
            let Some(btf) = self.btf(KERNEL_BTF) else { fail!(EINVAL, Silent) };
            let Some(id) = kernel_context(&btf, self.program.kind) else { fail!(EINVAL, Silent) };
            if !btf.type_by_id(id).is_ok_and(|ty| ty.composite().is_some()) {
                fail!(EINVAL, KernelContext { id });
            }
            call.context = id;
        }
        Ok(())
    }

    fn check_kfunc_allocated(&mut self, call: &mut Call, arg: u32, reg: &Reg) -> Check {
        if is_owned(reg) {
            if !call.is("bpf_obj_drop_impl") {
                fail!(EINVAL, KfuncArgForDrop { arg, drop: "bpf_obj_drop_impl" });
            }
        } else if reg.is_btf() && reg.flags == Flags::ALLOC | Flags::PERCPU {
            if !call.is("bpf_percpu_obj_drop_impl") {
                fail!(EINVAL, KfuncArgForDrop { arg, drop: "bpf_percpu_obj_drop_impl" });
            }
        } else {
            fail!(EINVAL, KfuncArgNotAllocated { arg });
        }
        if reg.ref_id == 0 {
            fail!(EINVAL, KfuncObjectUnreferenced);
        }
        Ok(())
    }

    fn check_kfunc_refcounted(&mut self, call: &mut Call, arg: u32, reg: &Reg) -> Check {
        let (true, Kind::Btf { btf, id }) = (reg.is_alloc_obj(), reg.kind) else {
            fail!(EINVAL, KfuncArgNotRef { arg });
        };
        call.owning |= !reg.is_non_owning();
        let Some(record) = self.record_of(btf, id) else { bug!("Couldn't find btf_record") };
        if !record.has(FieldKind::Refcount) {
            fail!(EINVAL, KfuncArgNoRefcount { arg });
        }
        call.object = Some((btf, id));
        Ok(())
    }

    fn check_kfunc_dynptr(&mut self, call: &mut Call, index: usize, reg: &Reg) -> Check {
        let n = index as u8 + 1;
        let mut flags = TypeFlags::empty();
        flags.set(TypeFlags::READ_ONLY, matches!(reg.kind, Kind::Dynptr { .. }));
        let uninit = call.suffix(index, "__uninit");
        flags.set(TypeFlags::UNINIT, uninit);
        let (mut kind, mut clone) = (DynptrKind::Invalid, 0);
        match call.row.name {
            "bpf_dynptr_from_skb" => kind = DynptrKind::Skb,
            "bpf_dynptr_from_xdp" => kind = DynptrKind::Xdp,
            "bpf_dynptr_from_skb_meta" => kind = DynptrKind::SkbMeta,
            "bpf_dynptr_clone" if uninit => {
                let Some((_, parent, reference)) = call.dynptr else {
                    bug!("no dynptr type for parent of clone");
                };
                (kind, clone) = (parent, reference);
            }
            _ => {}
        }
        self.process_dynptr(n, flags, kind, clone)?;
        if !uninit {
            let (id, reference, kind) = self.dynptr_of(reg)?;
            call.dynptr = Some((id, kind, reference));
        }
        Ok(())
    }

    fn check_kfunc_iter(&mut self, call: &mut Call, n: u8, pointed: u32, reg: &Reg) -> Check {
        let arg = u32::from(n) - 1;
        if call.is("bpf_iter_css_task_new") && !self.may_walk_css_tasks() {
            fail!(EINVAL, CssTaskIter);
        }
        if !reg.is_stack() {
            fail!(EINVAL, IterPointer { arg });
        }
        let btf = call.btf.clone();
        let Ok(Type::Struct(composite)) = btf.type_by_id(pointed) else {
            fail!(EINVAL, IterValid { arg });
        };
        let slots = composite.size as usize / 8;
        let short = composite.name.strip_prefix("bpf_iter_").unwrap_or_default();
        if call.has(KfuncFlags::ITER_NEW) {
            let trust = match (call.has(KfuncFlags::RCU_PROTECTED), self.in_rcu()) {
                (false, _) => Flags::empty(),
                (true, true) => Flags::RCU,
                (true, false) => Flags::UNTRUSTED,
            };
            return self.make_iter(n, call.btf_id, pointed, slots, short, trust);
        }
        let name = call.row.name;
        let (place, reference) = self.use_iter(n, call.btf_id, pointed, slots, short, name)?;
        call.ref_id = reference;
        if call.has(KfuncFlags::ITER_DESTROY) {
            self.destroy_iter(place, slots);
        } else {
            call.iter = Some(place);
        }
        Ok(())
    }

    /// Walking the tasks of a cgroup takes a lock that some programs hold.
    fn may_walk_css_tasks(&self) -> bool {
        let iterator = self.program.kind == ProgType::Tracing
            && self.program.attach_type == AttachType::TraceIter as u32;
        self.program.kind == ProgType::Lsm || iterator || self.in_sleepable()
    }

    fn check_kfunc_object(&mut self, call: &Call, n: u8, reg: &Reg, pointed: &Pointed) -> Check {
        let arg = u32::from(n) - 1;
        let (btf, id) = match reg.kind {
            Kind::Btf { btf, id }
                if !reg.flags.unsafe_modifiers() || reg.flags.contains(Flags::RCU) =>
            {
                (btf, id)
            }
            kind => match kernel_name(kind) {
                Some(name) => {
                    let kernel = self.btf(KERNEL_BTF);
                    let id = kernel.and_then(|btf| btf.find(name, skep_btf::Kind::Struct));
                    (KERNEL_BTF, id.unwrap_or(0))
                }
                None => {
                    let expected = Reg { flags: reg.flags.trust(), ..*reg }.type_name();
                    fail!(EINVAL, KfuncArgNotObject { arg, kind: reg.type_name(), expected });
                }
            },
        };
        let has = self.type_name(btf, id);
        let strict = (call.has(KfuncFlags::RELEASE) && reg.ref_id != 0)
            || is_nocast_alias(&has, &pointed.name);
        let wanted = AcceptedType { btf: call.btf_id, id: pointed.id, strict };
        let projects = matches!(
            (pointed.name.as_str(), has.as_str()),
            ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff")
        );
        if !projects && !self.types_match(btf, id, reg.off, wanted) {
            let has_kind = self
                .btf(btf)
                .and_then(|btf| btf.resolved(id).map(|ty| ty.kind().dump_name()).ok())
                .unwrap_or("UNKNOWN");
            let (name, wanted) = (call.name(), format!("{} {}", pointed.kind, pointed.name));
            let has = format!("{has_kind} {has}");
            fail!(EINVAL, KfuncArgType { name, arg, wanted, reg: n, has });
        }
        Ok(())
    }

    fn check_kfunc_buffer(&mut self, call: &mut Call, index: usize, reg: &Reg) -> Check {
        let (arg, size_reg) = (index as u32, index as u8 + 2);
        if !reg.is_null() || !call.suffix(index, "__opt") {
            let checked = self.as_not_null(size_reg - 1, |checker| {
                checker.check_mem_and_size(size_reg, false, true, None)?;
                checker.check_mem_and_size(size_reg, true, true, None)
            });
            if let Err(mut fault) = checked {
                if fault.reason != skep_abi::Reason::Silent {
                    say!(self.log, "{}\n", fault.reason);
                }
                fault.reason = skep_abi::Reason::KfuncBuffer { arg, size: arg + 1 };
                return Err(fault);
            }
        }
        if call.suffix(index + 1, "__szk") {
            let Some(value) = self.cur.reg(size_reg.into()).value.as_constant() else {
                fail!(EINVAL, KfuncArgNotConstant { reg: size_reg });
            };
            call.constant = Some(value);
        }
        Ok(())
    }
}

/// An owning reference to an object of the program's.
pub(super) fn is_owned(reg: &Reg) -> bool {
    reg.is_btf() && reg.flags == Flags::ALLOC
}

/// `struct nf_conn` and `struct nf_conn___init` have the same layout and are yet
/// not to be mistaken for each other.
fn is_nocast_alias(a: &str, b: &str) -> bool {
    let alias = |long: &str, short: &str| long.strip_suffix("___init") == Some(short);
    alias(a, b) || alias(b, a)
}

/// The kernel's own type for a context: there is a structure with a member for each
/// program type.
fn kernel_context(btf: &Btf, kind: ProgType) -> Option<u32> {
    let all = btf.find("bpf_ctx_convert", skep_btf::Kind::Struct)?;
    let composite = btf.type_by_id(all).ok()?.composite()?;
    let name = format!("BPF_PROG_TYPE_{}_kern", kind.name().to_ascii_uppercase());
    composite.members.iter().find(|member| member.name == name).map(|member| member.type_id)
}
