//! Pins and ids.

use std::collections::hash_map::Entry;

use skep_abi::Capabilities;
use skep_abi::flags::map as map_flags;
use skep_sys::{Errno, GetById, Input, NextId, ObjGet, ObjPin, ObjectKind};

use super::vm::Vm;
use crate::objects::table::{MapFd, Object};

/// `BPF_F_PATH_FD`.
const PATH_FD: u32 = map_flags::PATH_FD;
/// Flags that say what a map's fd may do.
const RIGHTS: u32 = map_flags::RDONLY | map_flags::WRONLY;

/// A zero-terminated path.
fn path(pathname: &Input<'_>) -> Result<Vec<u8>, Errno> {
    const PATH_MAX: usize = 4096;
    let bytes = pathname.as_deref().ok_or(Errno::EFAULT)?;
    let end = bytes.iter().position(|&byte| byte == 0).ok_or(Errno::EFAULT)?;
    match end {
        0 => Err(Errno::ENOENT),
        1..PATH_MAX => Ok(bytes[..end].to_vec()),
        _ => Err(Errno::ENAMETOOLONG),
    }
}

/// OBJ_PIN. Pins live in the kernel's own table, not in a file system.
pub(super) fn pin(vm: &Vm, attr: &ObjPin<'_>) -> Result<u32, Errno> {
    if attr.file_flags & !PATH_FD != 0 || (attr.file_flags & PATH_FD == 0 && attr.path_fd != 0) {
        return Err(Errno::EINVAL);
    }
    let object = match vm.files().get(attr.bpf_fd)? {
        Object::Map(fd) => Object::Map(MapFd { readable: true, writable: true, ..fd.clone() }),
        Object::Prog(prog) => Object::Prog(prog.clone()),
        Object::Btf(_) | Object::Event(_) | Object::Foreign => return Err(Errno::EINVAL),
    };
    match vm.objects().pins.entry(path(&attr.pathname)?) {
        Entry::Occupied(_) => Err(Errno::EEXIST),
        Entry::Vacant(entry) => {
            entry.insert(object);
            Ok(0)
        }
    }
}

/// OBJ_GET.
pub(super) fn get(vm: &Vm, attr: &ObjGet<'_>) -> Result<u32, Errno> {
    if attr.bpf_fd != 0
        || attr.file_flags & !(RIGHTS | PATH_FD) != 0
        || (attr.file_flags & PATH_FD == 0 && attr.path_fd != 0)
    {
        return Err(Errno::EINVAL);
    }
    let (readable, writable) = rights(attr.file_flags)?;
    let path = path(&attr.pathname)?;
    let object = vm.objects().pins.get(&path).cloned().ok_or(Errno::ENOENT)?;
    let object = match object {
        Object::Map(fd) => Object::Map(MapFd { readable, writable, ..fd }),
        other => other,
    };
    Ok(vm.files().open(object) as u32)
}

/// What the fd of a map may do by these flags.
pub(super) fn rights(flags: u32) -> Result<(bool, bool), Errno> {
    match flags & RIGHTS {
        RIGHTS => Err(Errno::EINVAL),
        map_flags::RDONLY => Ok((true, false)),
        map_flags::WRONLY => Ok((false, true)),
        _ => Ok((true, true)),
    }
}

/// PROG_GET_FD_BY_ID and its siblings.
pub(super) fn by_id(vm: &Vm, kind: ObjectKind, attr: &GetById<'_>) -> Result<u32, Errno> {
    let known = match kind {
        // The command has no flags.
        ObjectKind::Prog | ObjectKind::Link => u32::MAX,
        ObjectKind::Btf => map_flags::TOKEN_FD,
        ObjectKind::Map => RIGHTS,
    };
    if attr.open_flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    vm.needs(Capabilities::SYS_ADMIN)?;
    let object = match kind {
        ObjectKind::Prog => Object::Prog(vm.objects().progs.get(attr.id).ok_or(Errno::ENOENT)?),
        ObjectKind::Btf => Object::Btf(vm.objects().btfs.get(attr.id).ok_or(Errno::ENOENT)?),
        ObjectKind::Map => {
            let (readable, writable) = rights(attr.open_flags)?;
            let map = vm.objects().maps.get(attr.id).ok_or(Errno::ENOENT)?;
            Object::Map(MapFd { map, readable, writable })
        }
        // No link has an id here.
        ObjectKind::Link => return Err(Errno::ENOENT),
    };
    Ok(vm.files().open(object) as u32)
}

/// PROG_GET_NEXT_ID and its siblings.
pub(super) fn next_id(vm: &Vm, kind: ObjectKind, attr: &mut NextId<'_>) -> Result<u32, Errno> {
    if attr.start_id >= i32::MAX as u32 {
        return Err(Errno::EINVAL);
    }
    vm.needs(Capabilities::SYS_ADMIN)?;
    let objects = vm.objects();
    let next = match kind {
        ObjectKind::Prog => objects.progs.after(attr.start_id),
        ObjectKind::Map => objects.maps.after(attr.start_id),
        ObjectKind::Btf => objects.btfs.after(attr.start_id),
        ObjectKind::Link => None,
    };
    attr.next_id = next.ok_or(Errno::ENOENT)?;
    Ok(0)
}
