//! What a kernel function leaves in r0, by its BTF and its flags. Counterpart:
//! `check_special_kfunc` and the end of `check_kfunc_call`.

use skep_abi::KfuncFlags;
use skep_abi::limits::MAX_PERCPU_OBJECT;
use skep_btf::Type;

use super::Call;
use crate::checker::Checker;
use crate::error::{Check, bug, fail};
use crate::reg::{DynptrKind, Flags, KERNEL_BTF, Kind, PROGRAM_BTF, Reg};
use crate::state::RefKind;

impl Checker<'_> {
    pub(super) fn set_kfunc_result(&mut self, call: &Call) -> Check {
        let btf = call.btf.clone();
        let target = match btf.resolved(call.ret) {
            Ok(Type::Ptr { target }) => target,
            Ok(Type::Void) => return Ok(()),
            _ => {
                let locks =
                    matches!(call.row.name, "bpf_res_spin_lock" | "bpf_res_spin_lock_irqsave");
                *self.cur.reg_mut(0) = if locks { Reg::constant(0) } else { self.unknown() };
                return Ok(());
            }
        };
        let Ok(pointed) = btf.resolve_modifiers(target) else { bug!("broken BTF") };
        let Ok(ty) = btf.type_by_id(pointed) else { bug!("broken BTF") };
        let is_node = matches!(ty.name(), "bpf_rb_node" | "bpf_list_node");
        let mut reg = if let Some(reg) = self.special_result(call, is_node)? {
            reg
        } else {
            match ty {
                Type::Void => self.unknown(),
                Type::Struct(_) => self.kernel_object(call, pointed),
                _ => {
                    let (mut size, mut read_only) = (call.size, call.read_only);
                    if size == 0
                        && let Ok(len) = btf.size_of(pointed)
                    {
                        (size, read_only) = (len as u32, true);
                    }
                    if size == 0 {
                        let (name, kind) = (call.name(), ty.kind().dump_name());
                        fail!(EINVAL, KfuncReturn { name, kind, pointed: ty.name().into() });
                    }
                    let mut flags = Flags::empty();
                    flags.set(Flags::RDONLY, read_only);
                    flags.set(Flags::RCU, call.has(KfuncFlags::RCU_PROTECTED));
                    // It may not be used after what it is a part of is gone.
                    let reg = Reg::pointer(Kind::Mem { size, dynptr: 0 }, flags);
                    Reg { ref_id: call.ref_id, ..reg }
                }
            }
        };
        if call.may_yield_null() {
            reg.flags |= Flags::MAYBE_NULL;
            reg.id = self.new_id();
        }
        if call.has(KfuncFlags::ACQUIRE) {
            let id = self.new_id();
            self.cur.acquire(RefKind::Pointer, id, self.pc);
            if call.may_yield_null() {
                reg.id = id;
            }
            reg.ref_id = id;
        } else if is_node {
            reg.flags |= self.non_owning(&reg);
        }
        if self.may_hold_lock(&reg) && reg.id == 0 {
            reg.id = self.new_id();
        }
        *self.cur.reg_mut(0) = reg;
        Ok(())
    }

    /// A pointer to a structure of the kernel's.
    fn kernel_object(&self, call: &Call, id: u32) -> Reg {
        let mut flags = Flags::empty();
        if call.is("bpf_get_kmem_cache") {
            flags |= Flags::UNTRUSTED;
        } else if call.has(KfuncFlags::RCU_PROTECTED) {
            flags |= Flags::RCU;
        }
        if let Some((frame, index)) = call.iter {
            let iter = self.cur.frame_at(frame).stack[index].reg;
            let rcu = iter.flags.contains(Flags::RCU);
            flags |= if rcu { Flags::RCU } else { Flags::TRUSTED };
        }
        Reg::pointer(Kind::Btf { btf: call.btf_id, id }, flags)
    }

    /// Functions whose prototype does not say what they yield.
    fn special_result(&mut self, call: &Call, is_node: bool) -> Check<Option<Reg>> {
        if call.btf_id != KERNEL_BTF {
            return Ok(None);
        }
        Ok(Some(match call.row.name {
            "bpf_obj_new_impl" => self.new_object(call, false)?,
            "bpf_percpu_obj_new_impl" => self.new_object(call, true)?,
            "bpf_refcount_acquire_impl" => {
                let Some((btf, id)) = call.object else { bug!("no object to share") };
                Reg::pointer(Kind::Btf { btf, id }, Flags::ALLOC)
            }
            _ if is_node => {
                let Some(root) = &call.root else { bug!("no list or tree") };
                self.graph_element(&root.clone())
            }
            "bpf_cast_to_kern_ctx" => {
                Reg::pointer(Kind::Btf { btf: KERNEL_BTF, id: call.context }, Flags::TRUSTED)
            }
            "bpf_rdonly_cast" => self.read_only_cast(call)?,
            "bpf_dynptr_slice" | "bpf_dynptr_slice_rdwr" => self.dynptr_slice(call)?,
            _ => return Ok(None),
        }))
    }

    fn new_object(&mut self, call: &Call, percpu: bool) -> Check<Reg> {
        let id = call.constant.unwrap_or(0);
        let Ok(id) = u32::try_from(id) else { fail!(EINVAL, ObjectTypeRange) };
        let Some(btf) = self.program.btf.clone() else { fail!(EINVAL, ObjectNeedsBtf) };
        let Ok(Type::Struct(composite)) = btf.type_by_id(id) else {
            fail!(EINVAL, ObjectNotStruct);
        };
        let record = self.record_of(PROGRAM_BTF, id);
        let mut flags = Flags::ALLOC;
        if percpu {
            if composite.size > MAX_PERCPU_OBJECT {
                let (size, most) = (composite.size, MAX_PERCPU_OBJECT);
                fail!(EINVAL, PercpuObjectSize { size, most });
            }
            if !self.is_scalar_struct(&btf, id, 0) {
                fail!(EINVAL, PercpuObjectScalars);
            }
            if record.is_some() {
                fail!(EINVAL, PercpuObjectFields);
            }
            flags |= Flags::PERCPU;
        }
        Ok(Reg::pointer(Kind::Btf { btf: PROGRAM_BTF, id }, flags))
    }

    fn read_only_cast(&self, call: &Call) -> Check<Reg> {
        let constant = call.constant.unwrap_or(0);
        let found = u32::try_from(constant).ok().map(|id| (id, call.btf.type_by_id(id)));
        Ok(match found {
            Some((id, Ok(Type::Struct(_) | Type::Union(_)))) => {
                Reg::pointer(Kind::Btf { btf: KERNEL_BTF, id }, Flags::UNTRUSTED)
            }
            Some((_, Ok(Type::Void))) => {
                Reg::pointer(Kind::Mem { size: 0, dynptr: 0 }, Flags::RDONLY | Flags::UNTRUSTED)
            }
            Some((_, Ok(_))) => fail!(EINVAL, CastType),
            _ => fail!(EINVAL, CastUnknown { id: constant as i64 }),
        })
    }

    fn dynptr_slice(&self, call: &Call) -> Check<Reg> {
        let (Some((dynptr, kind, _)), Some(size)) = (call.dynptr, call.constant) else {
            bug!("bpf_dynptr_slice(_rdwr) no constant size");
        };
        let mut flags = match kind {
            DynptrKind::Skb => Flags::OF_SKB,
            DynptrKind::Xdp => Flags::OF_XDP,
            DynptrKind::SkbMeta => Flags::OF_SKB_META,
            DynptrKind::Local => Flags::OF_LOCAL,
            DynptrKind::Ringbuf => Flags::OF_RINGBUF,
            DynptrKind::Invalid => Flags::empty(),
        };
        if call.is("bpf_dynptr_slice") {
            flags |= Flags::RDONLY;
        } else if !self.may_access_packet(None, true) {
            fail!(EINVAL, SliceWrite);
        }
        Ok(Reg::pointer(Kind::Mem { size: size as u32, dynptr }, flags))
    }
}
