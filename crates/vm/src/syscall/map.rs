//! MAP_CREATE and the commands on elements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skep_abi::flags::{map as map_flags, update};
use skep_abi::{MapType, ProgType};
use skep_sys::{
    Errno, Input, MapBatch, MapCreate, MapDelete, MapElem, MapFreeze, MapNextKey, Mapping,
};

use super::{check_name, input, object};
use crate::Vm;
use crate::maps::{BatchResult, Map, MapAttr};
use crate::objects::{MapObject, Object};

/// Bytes that one map may take.
const MEMORY_LIMIT: u64 = 8 << 30;

pub(super) fn create(vm: &Vm, attr: &MapCreate<'_>) -> Result<u32, Errno> {
    let wants_token = attr.map_flags & map_flags::TOKEN_FD != 0;
    let flags = attr.map_flags & !map_flags::TOKEN_FD;
    if attr.btf_vmlinux_value_type_id != 0 {
        let struct_ops = attr.map_type == MapType::StructOps as u32;
        if !struct_ops || attr.btf_key_type_id != 0 || attr.btf_value_type_id != 0 {
            return Err(Errno::EINVAL);
        }
    } else if attr.btf_key_type_id != 0 && attr.btf_value_type_id == 0 {
        return Err(Errno::EINVAL);
    }
    let (readable, writable) = object::rights(flags)?;
    let map_type = MapType::from_number(attr.map_type).ok_or(Errno::EINVAL)?;
    let mut shape = MapAttr {
        flags,
        numa_node: attr.numa_node,
        map_extra: attr.map_extra,
        memory_limit: MEMORY_LIMIT,
        ..MapAttr::new(map_type, attr.key_size, attr.value_size, attr.max_entries)
    };
    shape.check()?;
    if wants_token {
        // There are no tokens here: no fd can be one.
        vm.objects().get(attr.map_token_fd as u32)?;
        return Err(Errno::EINVAL);
    }
    if matches!(map_type, MapType::ArrayOfMaps | MapType::HashOfMaps) {
        shape.inner = Some(inner_map(vm, attr.inner_map_fd)?);
    }
    let map = Map::create(&shape, vm.env.cpus())?;
    check_name(&attr.map_name)?;
    let btf = if attr.btf_key_type_id != 0 || attr.btf_value_type_id != 0 {
        Some(vm.objects().btf(attr.btf_fd)?)
    } else {
        None
    };

    let mut objects = vm.objects();
    let id = objects.maps().reserve();
    let map = Arc::new(MapObject {
        map,
        id,
        name: attr.map_name,
        btf,
        btf_key_type_id: attr.btf_key_type_id,
        btf_value_type_id: attr.btf_value_type_id,
        frozen: AtomicBool::new(false),
    });
    objects.maps().insert(id, &map);
    Ok(objects.open(Object::Map { map, readable, writable }) as u32)
}

/// `bpf_map_meta_alloc`: the template of inner maps.
fn inner_map(vm: &Vm, fd: u32) -> Result<Arc<Map>, Errno> {
    let inner = vm.objects().map(fd)?;
    match inner.map.map_type() {
        MapType::ArrayOfMaps | MapType::HashOfMaps => Err(Errno::EINVAL),
        MapType::ProgArray
        | MapType::StructOps
        | MapType::CgroupStorage
        | MapType::PercpuCgroupStorage => Err(Errno::ENOTSUPP),
        _ => Ok(inner.map.clone()),
    }
}

/// The map behind an fd that may be read or written.
fn open(vm: &Vm, fd: u32, read: bool, write: bool) -> Result<Arc<MapObject>, Errno> {
    let objects = vm.objects();
    match objects.get(fd)? {
        Object::Map { map, readable, writable } => {
            let may_write = *writable && !map.is_frozen();
            if (read && !readable) || (write && !may_write) {
                return Err(Errno::EPERM);
            }
            Ok(map.clone())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The key of an element; a map without keys wants none.
fn key<'k>(map: &Map, key: &'k Input<'_>) -> Result<&'k [u8], Errno> {
    match map.key_size() {
        0 if key.is_some() => Err(Errno::EINVAL),
        0 => Ok(&[]),
        size => input(key, size as usize),
    }
}

/// BPF_F_LOCK needs a lock in the value, and no value has one.
fn check_lock(flags: u64) -> Result<(), Errno> {
    if flags & update::LOCK != 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

pub(super) fn lookup(vm: &Vm, attr: &mut MapElem<'_>) -> Result<u32, Errno> {
    if attr.flags & !update::LOCK != 0 {
        return Err(Errno::EINVAL);
    }
    let map = open(vm, attr.map_fd, true, false)?;
    check_lock(attr.flags)?;
    let key = key(&map.map, &attr.key)?;
    let mut value = vec![0; map.map.user_value_size()];
    map.map.lookup_copy(key, &mut value, attr.flags)?;
    attr.value.write(0, &value)?;
    Ok(0)
}

pub(super) fn update(vm: &Vm, attr: &MapElem<'_>) -> Result<u32, Errno> {
    let map = open(vm, attr.map_fd, false, true)?;
    check_lock(attr.flags)?;
    let key = key(&map.map, &attr.key)?;
    let value = attr.value.get(..map.map.user_value_size()).ok_or(Errno::EFAULT)?;
    update_element(vm, &map, key, value, attr.flags)?;
    Ok(0)
}

/// Stores a value, or the object that its fd names.
fn update_element(
    vm: &Vm,
    map: &MapObject,
    key: &[u8],
    value: &[u8],
    flags: u64,
) -> Result<(), Errno> {
    let fd = || value.first_chunk().copied().map_or(0, u32::from_ne_bytes);
    match map.map.map_type() {
        MapType::ProgArray => {
            map.map.check_slot(key, flags)?;
            let prog = vm.objects().prog(fd())?;
            if matches!(prog.prog_type, ProgType::Ext) {
                return Err(Errno::EINVAL);
            }
            map.map.set_object(key, prog, flags)
        }
        MapType::ArrayOfMaps | MapType::HashOfMaps => {
            map.map.check_slot(key, flags)?;
            let inner = vm.objects().map(fd())?;
            map.map.check_inner(&inner.map)?;
            map.map.set_object(key, inner, flags)
        }
        MapType::PerfEventArray | MapType::CgroupArray | MapType::Xskmap => {
            map.map.check_slot(key, flags)?;
            // No fd here is a perf event, a cgroup or a socket.
            vm.objects().get(fd())?;
            Err(Errno::EINVAL)
        }
        _ => map.map.update_from_user(key, value, flags),
    }
}

pub(super) fn delete(vm: &Vm, attr: &MapDelete<'_>) -> Result<u32, Errno> {
    let map = open(vm, attr.map_fd, false, true)?;
    let key = key(&map.map, &attr.key)?;
    map.map.delete_from_user(key)?;
    Ok(0)
}

pub(super) fn next_key(vm: &Vm, attr: &mut MapNextKey<'_>) -> Result<u32, Errno> {
    let map = open(vm, attr.map_fd, true, false)?;
    let previous = match attr.key {
        Some(_) => Some(key(&map.map, &attr.key)?),
        None => None,
    };
    let mut next = vec![0; map.map.key_size() as usize];
    map.map.next_key(previous, &mut next)?;
    attr.next_key.write(0, &next)?;
    Ok(0)
}

pub(super) fn lookup_and_delete(vm: &Vm, attr: &mut MapElem<'_>) -> Result<u32, Errno> {
    if attr.flags & !update::LOCK != 0 {
        return Err(Errno::EINVAL);
    }
    let map = open(vm, attr.map_fd, true, true)?;
    let queue = matches!(map.map.map_type(), MapType::Queue | MapType::Stack);
    if queue && attr.flags != 0 {
        return Err(Errno::EINVAL);
    }
    check_lock(attr.flags)?;
    let key = key(&map.map, &attr.key)?;
    let mut value = vec![0; map.map.user_value_size()];
    map.map.lookup_and_delete(key, &mut value, attr.flags)?;
    attr.value.write(0, &value)?;
    Ok(0)
}

/// Bytes of `count` elements of `size`, as far as the caller has them.
fn batch_len(count: u32, size: usize) -> Result<usize, Errno> {
    (count as usize).checked_mul(size).ok_or(Errno::EFAULT)
}

/// Writes back what a batch command says, and gives its result.
fn finish_batch(attr: &mut MapBatch<'_>, done: BatchResult) -> Result<u32, Errno> {
    if let Some(count) = done.count {
        attr.count = count;
    }
    if let Some(cursor) = &done.cursor {
        attr.out_batch.write(0, cursor)?;
    }
    done.result.map(|()| 0)
}

pub(super) fn lookup_batch(vm: &Vm, attr: &mut MapBatch<'_>, delete: bool) -> Result<u32, Errno> {
    let map = open(vm, attr.map_fd, true, delete)?;
    let map = &map.map;
    check_lock(attr.elem_flags)?;
    let cursor = match &attr.in_batch {
        Some(_) => Some(input(&attr.in_batch, map.batch_cursor_size())?),
        None => None,
    };
    let keys = batch_len(attr.count, map.key_size() as usize)?;
    let values = batch_len(attr.count, map.user_value_size())?;
    let keys = attr.keys.get_mut(..keys).ok_or(Errno::EFAULT)?;
    let values = attr.values.get_mut(..values).ok_or(Errno::EFAULT)?;
    let done = map.lookup_batch(cursor, keys, values, attr.elem_flags, attr.flags, delete);
    finish_batch(attr, done)
}

pub(super) fn update_batch(vm: &Vm, attr: &mut MapBatch<'_>) -> Result<u32, Errno> {
    let map = open(vm, attr.map_fd, false, true)?;
    check_lock(attr.elem_flags)?;
    let keys = batch_len(attr.count, map.map.key_size() as usize)?;
    let values = batch_len(attr.count, map.map.user_value_size())?;
    let keys = attr.keys.get(..keys).ok_or(Errno::EFAULT)?;
    let values = attr.values.get(..values).ok_or(Errno::EFAULT)?;
    let done = map.map.update_batch(keys, values, attr.elem_flags);
    finish_batch(attr, done)
}

pub(super) fn delete_batch(vm: &Vm, attr: &mut MapBatch<'_>) -> Result<u32, Errno> {
    let map = open(vm, attr.map_fd, false, true)?;
    check_lock(attr.elem_flags)?;
    let keys = batch_len(attr.count, map.map.key_size() as usize)?;
    let keys = attr.keys.get(..keys).ok_or(Errno::EFAULT)?;
    let done = map.map.delete_batch(keys, attr.elem_flags);
    finish_batch(attr, done)
}

pub(super) fn freeze(vm: &Vm, attr: &MapFreeze<'_>) -> Result<u32, Errno> {
    let objects = vm.objects();
    let Object::Map { map, writable, .. } = objects.get(attr.map_fd)? else {
        return Err(Errno::EINVAL);
    };
    if !writable || map.is_frozen() {
        return Err(Errno::EPERM);
    }
    map.frozen.store(true, Ordering::Release);
    Ok(0)
}

/// `mmap(2)` of a map's fd.
#[cfg(target_os = "linux")]
pub(crate) fn mmap(
    map: &MapObject,
    offset: u64,
    len: usize,
    writable: bool,
) -> Result<Mapping, Errno> {
    let shared = map.map.shared().ok_or(Errno::ENOTSUPP)?;
    if writable && map.is_frozen() {
        return Err(Errno::EPERM);
    }
    if offset.checked_add(len as u64).is_none_or(|end| end > shared.len() as u64) {
        return Err(Errno::EINVAL);
    }
    Mapping::new(shared.as_fd(), offset, len, writable)
}
