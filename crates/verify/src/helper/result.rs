//! What a helper leaves in r0. Counterpart: the end of `check_helper_call`.

use skep_abi::helper::id;
use skep_abi::limits::MAX_ERRNO;
use skep_abi::{Effects, Helper, MapType, Proto, RetKind, TypeFlags, Yield};

use super::Meta;
use crate::checker::Checker;
use crate::domain::Scalar64;
use crate::error::{Check, bug, fail};
use crate::record::FieldKind;
use crate::reg::{Flags, KERNEL_BTF, Kind, Reg};
use crate::state::RefKind;

impl Checker<'_> {
    pub(super) fn set_result(&mut self, helper: &Helper, proto: &Proto, meta: &Meta) -> Check {
        let mut flags = Flags::empty();
        flags.set(Flags::MAYBE_NULL, proto.ret.flags.contains(TypeFlags::OR_NULL));
        flags.set(Flags::RDONLY, proto.ret.flags.contains(TypeFlags::READ_ONLY));
        flags.set(Flags::TRUSTED, proto.ret.flags.contains(TypeFlags::TRUSTED));
        let mut r0 = match proto.ret.kind {
            RetKind::Integer => self.unknown(),
            RetKind::Void => Reg::UNINIT,
            RetKind::MapValue => {
                let Some(map) = meta.map else { bug!("unexpected null map_ptr") };
                let info = &self.code.maps[usize::from(map)];
                let known = helper.id == id::MAP_LOOKUP_ELEM
                    && info.def.kind.row().array
                    && meta.const_key.is_some_and(|key| {
                        (key as i64) >= 0 && key < u64::from(info.def.max_entries)
                    });
                if known {
                    flags -= Flags::MAYBE_NULL;
                }
                let has_lock = info.record.has_lock();
                let mut reg = Reg::pointer(Kind::MapValue { map, uid: meta.map_uid }, flags);
                if !flags.contains(Flags::MAYBE_NULL) && has_lock {
                    reg.id = self.new_id();
                }
                reg
            }
            RetKind::Socket => Reg::pointer(Kind::Socket, flags),
            RetKind::SockCommon => Reg::pointer(Kind::SockCommon, flags),
            RetKind::TcpSock => Reg::pointer(Kind::TcpSock, flags),
            RetKind::RingbufRecord => {
                let kind = Kind::Mem { size: meta.mem_size, dynptr: 0 };
                Reg::pointer(kind, flags | Flags::RINGBUF)
            }
            RetKind::DynptrSlice => {
                Reg::pointer(Kind::Mem { size: meta.mem_size, dynptr: meta.dynptr_id }, flags)
            }
            RetKind::PercpuVariable => self.percpu_result(meta, flags)?,
            RetKind::Btf(name) => {
                let kernel = self.btf(KERNEL_BTF);
                let Some(id) = kernel.and_then(|btf| btf.find(name, skep_btf::Kind::Struct)) else {
                    fail!(EINVAL, Silent);
                };
                Reg::pointer(Kind::Btf { btf: KERNEL_BTF, id }, flags)
            }
            RetKind::Kptr => {
                let Some(field) = &meta.kptr else { bug!("no kptr slot") };
                if !self.is_kernel_btf(field.btf) {
                    flags |= Flags::ALLOC;
                    flags.set(Flags::PERCPU, field.kind == FieldKind::KptrPercpu);
                }
                Reg::pointer(Kind::Btf { btf: field.btf, id: field.type_id }, flags)
            }
        };
        if r0.maybe_null() {
            r0.id = self.new_id();
        }
        let map_kind = meta.map.map(|map| self.code.maps[usize::from(map)].def.kind);
        let acquires = helper.effects.contains(Effects::ACQUIRES)
            || (helper.id == id::MAP_LOOKUP_ELEM
                && matches!(map_kind, Some(MapType::Sockmap | MapType::Sockhash)));
        if helper.effects.contains(Effects::CASTS) || helper.id == id::DYNPTR_DATA {
            r0.ref_id = meta.ref_id;
        } else if acquires {
            let id = self.new_id();
            self.cur.acquire(RefKind::Pointer, id, self.pc);
            (r0.id, r0.ref_id) = (id, id);
        }
        if proto.ret.kind == RetKind::Integer {
            self.refine_result(helper.yields, meta, &mut r0);
        }
        *self.cur.reg_mut(0) = r0;
        Ok(())
    }

    fn refine_result(&self, yields: Yield, meta: &Meta, r0: &mut Reg) {
        match yields {
            Yield::Length => {
                r0.value = r0.value.with_signed_bounds(-i32::from(MAX_ERRNO), meta.size_max as i64);
            }
            Yield::Cpu => {
                let last = self.env.cpus.max(1) - 1;
                r0.value = Scalar64::between(0, last);
            }
            Yield::Anything | Yield::Time | Yield::Jiffies | Yield::Chance => {}
        }
    }

    fn percpu_result(&mut self, meta: &Meta, mut flags: Flags) -> Check<Reg> {
        let Some((btf, id)) = meta.ret_btf else { bug!("no per-CPU variable") };
        let Some(types) = self.btf(btf) else { fail!(EINVAL, Silent) };
        match types.resolved(id) {
            Ok(skep_btf::Type::Struct(_) | skep_btf::Type::Union(_)) => {
                if self.is_kernel_btf(btf) {
                    flags -= Flags::RDONLY;
                } else {
                    flags = Flags::ALLOC | Flags::RCU;
                }
                Ok(Reg::pointer(Kind::Btf { btf, id }, flags))
            }
            Ok(ty) => match types.size_of(id) {
                Ok(size) => Ok(Reg::pointer(Kind::Mem { size: size as u32, dynptr: 0 }, flags)),
                Err(_) => fail!(EINVAL, KsymSize { name: ty.name().into() }),
            },
            Err(_) => fail!(EINVAL, Silent),
        }
    }
}
