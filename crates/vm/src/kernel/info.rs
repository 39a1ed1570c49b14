//! OBJ_GET_INFO_BY_FD.

use skep_abi::Capabilities;
use skep_sys::{BTF_INFO_SIZE, Errno, MAP_INFO_SIZE, MapInfo, ObjInfo, PROG_INFO_SIZE};

use super::vm::Vm;
use crate::objects::btf::BtfObject;
use crate::objects::map::MapHandle;
use crate::objects::program::Program;
use crate::objects::table::Object;

/// End of the last field of `struct bpf_prog_info`, which is followed by padding.
const PROG_INFO_END: usize = 228;

pub(super) fn info(vm: &Vm, attr: &mut ObjInfo<'_>) -> Result<u32, Errno> {
    let object = vm.files().get(attr.bpf_fd).cloned().map_err(|_| Errno::EBADFD)?;
    match object {
        Object::Map(fd) => map_info(attr, &fd.map),
        Object::Prog(prog) => prog_info(attr, &prog, vm.needs(Capabilities::BPF).is_ok()),
        Object::Btf(btf) => btf_info(attr, &btf),
        Object::Event(_) | Object::Foreign => Err(Errno::EINVAL),
    }
}

/// Checks that what is behind `known` bytes of the caller's structure is zero.
fn check_tail(attr: &ObjInfo<'_>, known: usize) -> Result<(), Errno> {
    const PAGE_SIZE: u32 = 4096;
    if attr.info_len > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let len = attr.info_len as usize;
    if len > known {
        let tail = attr.info.get(known..len).ok_or(Errno::EFAULT)?;
        if tail.iter().any(|&byte| byte != 0) {
            return Err(Errno::E2BIG);
        }
    }
    Ok(())
}

/// Writes the structure and its length.
fn finish(attr: &mut ObjInfo<'_>, bytes: &[u8]) -> Result<u32, Errno> {
    let len = bytes.len().min(attr.info_len as usize);
    attr.info.write(0, &bytes[..len])?;
    attr.info_len = len as u32;
    Ok(0)
}

fn map_info(attr: &mut ObjInfo<'_>, map: &MapHandle) -> Result<u32, Errno> {
    check_tail(attr, MAP_INFO_SIZE)?;
    let info = MapInfo {
        map_type: map.map.map_type() as u32,
        id: map.id,
        key_size: map.map.key_size(),
        value_size: map.map.value_size(),
        max_entries: map.map.max_entries(),
        map_flags: map.map.flags(),
        name: map.name,
        btf_id: map.btf.as_ref().map_or(0, |btf| btf.id),
        btf_key_type_id: map.btf_key_type_id,
        btf_value_type_id: map.btf_value_type_id,
        ..MapInfo::default()
    };
    finish(attr, &info.to_bytes())
}

/// Fields of a structure that the caller filled in.
struct Request<const N: usize>([u8; N]);

impl<const N: usize> Request<N> {
    fn read(attr: &ObjInfo<'_>) -> Result<Request<N>, Errno> {
        let len = N.min(attr.info_len as usize);
        let mut bytes = [0; N];
        bytes[..len].copy_from_slice(attr.info.get(..len).ok_or(Errno::EFAULT)?);
        Ok(Request(bytes))
    }

    fn u32(&self, offset: usize) -> u32 {
        self.0[offset..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
    }

    fn u64(&self, offset: usize) -> u64 {
        self.0[offset..].first_chunk().copied().map_or(0, u64::from_ne_bytes)
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// Writes as much of `bytes` to the memory at `address` as the caller has room for.
fn copy_out(attr: &mut ObjInfo<'_>, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    for nested in &mut attr.nested {
        let Some(offset) = address.checked_sub(nested.address) else { continue };
        let offset = usize::try_from(offset).map_err(|_| Errno::EFAULT)?;
        if offset < nested.memory.len() {
            return nested.memory.write(offset, bytes);
        }
    }
    Err(Errno::EFAULT)
}

/// What of a program only who holds CAP_BPF is told: lengths and counts, which are 0 to others.
const GUARDED: [usize; 8] = [16, 20, 104, 108, 144, 148, 168, 180];

/// `shows_code`: whether the caller may see instructions.
fn prog_info(attr: &mut ObjInfo<'_>, prog: &Program, shows_code: bool) -> Result<u32, Errno> {
    check_tail(attr, PROG_INFO_END)?;
    let mut info = Request::<PROG_INFO_SIZE>::read(attr)?;

    let ids: Vec<u8> = prog.maps.iter().flat_map(|map| map.id.to_ne_bytes()).collect();
    let room = info.u32(52) as usize * 4;
    let (wanted, at) = (room.min(ids.len()), info.u64(56));
    if wanted > 0 {
        copy_out(attr, at, &ids[..wanted])?;
    }
    check_record_sizes(&info)?;
    if shows_code {
        code_info(attr, &mut info, prog)?;
    } else {
        GUARDED.iter().for_each(|&count| info.put(count, &0u32.to_ne_bytes()));
    }
    info.put(0, &(prog.prog_type as u32).to_ne_bytes());
    info.put(4, &prog.id.to_ne_bytes());
    info.put(8, &prog.tag);
    info.put(52, &(prog.maps.len() as u32).to_ne_bytes());
    info.put(132, &8u32.to_ne_bytes());
    info.put(172, &16u32.to_ne_bytes());
    info.put(176, &8u32.to_ne_bytes());
    info.put(64, &prog.name);
    info.put(128, &prog.btf_id.to_ne_bytes());
    finish(attr, &info.0)
}

/// Instructions, and what goes with machine code.
fn code_info(
    attr: &mut ObjInfo<'_>,
    info: &mut Request<PROG_INFO_SIZE>,
    prog: &Program,
) -> Result<(), Errno> {
    let xlated = prog.dump();
    let (wanted, at) = ((info.u32(20) as usize).min(xlated.len()), info.u64(32));
    if wanted > 0 {
        copy_out(attr, at, &xlated[..wanted])?;
    }
    // There is one function; its machine code is nobody's business.
    const ADDRESS: &[u8] = &[0; 8];
    const LENGTH: &[u8] = &[0; 4];
    for (count, pointer, entry) in
        [(16, 24, &[][..]), (104, 112, ADDRESS), (108, 120, LENGTH), (180, 184, &prog.tag[..])]
    {
        if info.u32(count) > 0 {
            copy_out(attr, info.u64(pointer), entry)?;
        }
    }

    info.put(16, &0u32.to_ne_bytes());
    info.put(20, &(xlated.len() as u32).to_ne_bytes());
    for one in [104, 108, 180] {
        info.put(one, &1u32.to_ne_bytes());
    }
    Ok(())
}

/// A record size is Linux's own, or zero with a count of zero.
fn check_record_sizes(info: &Request<PROG_INFO_SIZE>) -> Result<(), Errno> {
    const FUNC_INFO: u32 = 8;
    const LINE_INFO: u32 = 16;
    const ADDRESS: u32 = 8;
    for (count, size, expected) in
        [(144, 132, FUNC_INFO), (148, 172, LINE_INFO), (168, 176, ADDRESS)]
    {
        if (info.u32(count) != 0 || info.u32(size) != 0) && info.u32(size) != expected {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

fn btf_info(attr: &mut ObjInfo<'_>, btf: &BtfObject) -> Result<u32, Errno> {
    check_tail(attr, BTF_INFO_SIZE)?;
    let mut info = Request::<BTF_INFO_SIZE>::read(attr)?;
    let (room, at) = (info.u32(8) as usize, info.u64(0));
    let wanted = room.min(btf.bytes.len());
    if wanted > 0 {
        copy_out(attr, at, &btf.bytes[..wanted])?;
    }
    info.put(8, &(btf.bytes.len() as u32).to_ne_bytes());
    info.put(12, &btf.id.to_ne_bytes());
    info.put(24, &[0; 8]);
    finish(attr, &info.0)
}
