//! 64-bit immediates that name maps and kernel variables, and the opcodes of
//! everything else. Counterpart: `resolve_pseudo_ldimm64`.

use skep_abi::limits::MAX_USED_MAPS;
use skep_abi::limits::MAX_VAR_OFF;
use std::sync::Arc;

use skep_abi::{MapType, ProgType};
use skep_btf::{Btf, Kind as BtfKind, Type};
use skep_isa::{DecodeErrorKind, Imm64, ImmKind, imm64_at};

use crate::checker::{Checker, MapInfo};
use crate::error::{Check, ENOTSUPP, Fault, fail};
use crate::program::MapDef;
use crate::record::FieldKind;
use crate::reg::{BtfId, Flags, KERNEL_BTF, Kind, MapId};
use crate::shape;

impl Checker<'_> {
    pub(super) fn resolve_immediates(&mut self) -> Check {
        let mut pc = 0;
        while pc < self.len() {
            match imm64_at(&self.program.slots, pc as usize) {
                Some(imm) => {
                    self.resolve_imm64(pc, imm)?;
                    pc += 2;
                }
                None => {
                    shape::admit(self.slot(pc))?;
                    pc += 1;
                }
            }
        }
        Ok(())
    }

    fn resolve_imm64(&mut self, pc: u32, imm: Result<Imm64, DecodeErrorKind>) -> Check {
        let imm = match imm {
            Ok(imm) => imm,
            Err(DecodeErrorKind::Imm64) => fail!(EINVAL, InvalidLdImm64),
            Err(_) => fail!(EINVAL, UnrecognizedLdImm64),
        };
        let is_value = match imm.kind {
            ImmKind::Const | ImmKind::Func => return Ok(()),
            ImmKind::BtfId => return self.resolve_btf_id(pc, imm),
            ImmKind::MapValue | ImmKind::MapIdxValue => true,
            ImmKind::MapFd | ImmKind::MapIdx if imm.hi == 0 => false,
            ImmKind::MapFd | ImmKind::MapIdx => fail!(EINVAL, UnrecognizedLdImm64),
        };
        let number = imm.lo as i32;
        let fd = if matches!(imm.kind, ImmKind::MapIdx | ImmKind::MapIdxValue) {
            let Some(fds) = &self.program.fd_array else { fail!(EPROTO, FdArrayMissing) };
            let fd = usize::try_from(number).ok().and_then(|index| fds.get(index));
            let Some(&fd) = fd else { fail!(EFAULT, Silent) };
            fd
        } else {
            number
        };
        let map = self.use_map(fd)?;
        self.found.aux[pc as usize].map = Some(map);
        if is_value {
            let off = imm.hi;
            if i64::from(off) >= MAX_VAR_OFF {
                fail!(EINVAL, DirectOffset { off });
            }
            let def = &self.code.maps[usize::from(map)].def;
            let value_size = def.value_size;
            match def.kind {
                MapType::Array if def.max_entries != 1 => {
                    let reason = skep_abi::Reason::DirectValueBounds { value_size, off };
                    return Err(Fault::new(ENOTSUPP, reason));
                }
                MapType::Array if off >= value_size => {
                    fail!(EINVAL, DirectValueBounds { value_size, off });
                }
                MapType::Arena if u64::from(off) > u64::from(def.max_entries) << 12 => {
                    fail!(ERANGE, DirectValueBounds { value_size, off });
                }
                MapType::Array | MapType::Arena => {}
                _ => fail!(EINVAL, NoDirectValue),
            }
            self.found.aux[pc as usize].map_off = off;
        }
        Ok(())
    }

    fn use_map(&mut self, fd: i32) -> Check<MapId> {
        if let Some(&id) = self.code.map_ids.get(&fd) {
            return Ok(id);
        }
        let Some(def) = (self.maps)(fd) else {
            if (0..=2).contains(&fd) {
                // The standard streams: files, but no maps.
                fail!(EINVAL, NotAMap { fd });
            }
            fail!(EBADF, NotAMap { fd });
        };
        if self.code.map_ids.len() >= MAX_USED_MAPS {
            fail!(E2BIG, TooManyMaps { limit: MAX_USED_MAPS as u32 });
        }
        let info = MapInfo::new(def, self);
        self.check_map(&info)?;
        let id = self.add_map(info);
        self.code.map_ids.insert(fd, id);
        Ok(id)
    }

    fn add_map(&mut self, mut info: MapInfo) -> MapId {
        if let Some(inner) = info.def.inner.clone() {
            let inner = MapInfo::new(inner, self);
            info.inner = Some(self.add_map(inner));
        }
        self.code.maps.push(info);
        (self.code.maps.len() - 1) as MapId
    }

    /// Whether a program of this type may use the map at all.
    fn check_map(&mut self, info: &MapInfo) -> Check {
        let kind = self.program.kind;
        let tracing = kind.row().interrupts();
        let record = &info.record;
        if tracing && (record.has(FieldKind::ListHead) || record.has(FieldKind::RbRoot)) {
            fail!(EINVAL, TracingGraphRoot);
        }
        if record.has(FieldKind::SpinLock) || record.has(FieldKind::ResSpinLock) {
            if kind == ProgType::SocketFilter {
                fail!(EINVAL, SocketFilterSpinLock);
            }
            if tracing {
                fail!(EINVAL, TracingSpinLock);
            }
        }
        if tracing && record.has(FieldKind::Timer) {
            fail!(EINVAL, TracingTimer);
        }
        if tracing && record.has(FieldKind::Workqueue) {
            fail!(EINVAL, TracingWorkqueue);
        }
        let def: &MapDef = &info.def;
        match def.kind {
            MapType::StructOps => fail!(EINVAL, StructOpsMap),
            _ if self.is_sleepable() && !def.kind.row().sleepable => fail!(EINVAL, NonsleepableMap),
            MapType::CgroupStorage | MapType::PercpuCgroupStorage
                if self.code.maps.iter().any(|other| {
                    other.def.kind == def.kind && !Arc::ptr_eq(&other.def, &info.def)
                }) =>
            {
                fail!(EBUSY, OneCgroupStorage)
            }
            MapType::Arena => {
                if self.code.arena {
                    fail!(EBUSY, OneArena);
                }
                if !self.rights.leak_pointers || !self.rights.bpf {
                    fail!(EPERM, ArenaCaps);
                }
                self.code.arena = true;
                if def.extra == 0 {
                    fail!(EINVAL, ArenaAddress);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The BTF that an fd stands for: a module's, or with 0 the kernel's.
    pub(crate) fn btf_by_fd(&mut self, fd: i32) -> Option<BtfId> {
        if fd == 0 {
            return self.types.btfs[usize::from(KERNEL_BTF)].is_some().then_some(KERNEL_BTF);
        }
        let (_, btf) = self.program.modules.iter().find(|(other, _)| *other == fd)?;
        let known =
            |other: &Option<Arc<Btf>>| other.as_ref().is_some_and(|other| Arc::ptr_eq(other, btf));
        if let Some(index) = self.types.btfs.iter().position(known) {
            return Some(index as BtfId);
        }
        self.types.btfs.push(Some(Arc::clone(btf)));
        Some((self.types.btfs.len() - 1) as BtfId)
    }

    fn resolve_btf_id(&mut self, pc: u32, imm: Imm64) -> Check {
        let id = imm.lo;
        let Some(handle) = self.btf_by_fd(imm.hi as i32) else {
            if imm.hi != 0 {
                fail!(EINVAL, BtfIdModule);
            }
            fail!(EINVAL, NoKernelBtf);
        };
        let Some(btf) = self.btf(handle) else { fail!(EINVAL, NoKernelBtf) };
        let target = match btf.type_by_id(id) {
            Err(_) => fail!(ENOENT, BtfIdInvalid { id }),
            Ok(Type::Func { .. }) => {
                let var = (Kind::Mem { size: 0, dynptr: 0 }, Flags::RDONLY);
                self.found.aux[pc as usize].btf_var = Some(var);
                return Ok(());
            }
            Ok(Type::Var { target, .. }) => target,
            Ok(_) => fail!(EINVAL, BtfIdKind { id }),
        };
        let percpu = btf.find(".data..percpu", BtfKind::DataSec).is_some_and(|section| {
            matches!(btf.type_by_id(section), Ok(Type::DataSec(section))
                if section.vars.iter().any(|var| var.type_id == id))
        });
        let kind = Kind::Btf { btf: handle, id: target };
        let var = match btf.resolved(target) {
            _ if percpu => (kind, Flags::PERCPU),
            Ok(Type::Struct(_) | Type::Union(_)) => (kind, Flags::empty()),
            Ok(ty) => match btf.size_of(target) {
                Ok(size) => (Kind::Mem { size: size as u32, dynptr: 0 }, Flags::RDONLY),
                Err(_) => fail!(EINVAL, BtfIdSize { name: ty.name().into() }),
            },
            Err(_) => fail!(EINVAL, BtfIdKind { id }),
        };
        self.found.aux[pc as usize].btf_var = Some(var);
        Ok(())
    }
}
