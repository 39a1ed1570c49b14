//! MAP_CREATE and the commands on elements.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use skep_abi::flags::{map as map_flags, update};
use skep_abi::{AttachType, MapType, ProgType};
use skep_maps::{BatchResult, Fields, Map, MapAttr, MapObject, Target, WriteGuard};
use skep_sys::{
    Errno, Input, MapBatch, MapCreate, MapDelete, MapElem, MapFreeze, MapNextKey, Mapping, RawFd,
};

use super::vm::Vm;
use super::{check_name, input, interface_exists, object, value_types};
use crate::objects::btf::BtfObject;
use crate::objects::map::MapHandle;
use crate::objects::regions;
use crate::objects::table::{MapFd, Object};
use crate::run::network::Device;

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
    if has_owners(map_type) && (attr.btf_key_type_id == 0 || attr.btf_value_type_id == 0) {
        return Err(Errno::EINVAL);
    }
    let mut shape = MapAttr {
        flags,
        numa_node: attr.numa_node,
        map_extra: attr.map_extra,
        memory_limit: vm.memory_limit(),
        ..MapAttr::new(map_type, attr.key_size, attr.value_size, attr.max_entries)
    };
    shape.check()?;
    if wants_token {
        // There are no tokens here: no fd can be one.
        vm.files().get(attr.map_token_fd as u32)?;
        return Err(Errno::EINVAL);
    }
    vm.needs(map_type.row().needs)?;
    check_offload(map_type, attr.map_ifindex)?;
    let mut inner = None;
    if matches!(map_type, MapType::ArrayOfMaps | MapType::HashOfMaps) {
        let model = inner_map(vm, attr.inner_map_fd)?;
        shape.inner = Some(model.map.clone());
        inner = Some(Arc::new(model.as_inner()));
    }
    // Linux looks at types when it has made the map: errors of that are told before these.
    let types = types(vm, attr, &shape);
    shape.fields = types.as_ref().map(|(_, fields)| fields.clone()).unwrap_or_default();
    let owns = shape.fields.own();
    let map = Map::create(&shape, vm.machine.env.cpus())?;
    check_name(&attr.map_name)?;
    let (btf, _) = types?;
    check_exclusive(attr)?;

    let map = vm.objects().maps.enter(|id| {
        map.set_id(id);
        Ok(MapHandle {
            map,
            id,
            name: attr.map_name,
            btf,
            btf_key_type_id: attr.btf_key_type_id,
            btf_value_type_id: attr.btf_value_type_id,
            inner,
            owner: OnceLock::new(),
            owned: owns.then(|| vm.machine.env.heap.clone()),
        })
    })?;
    Ok(vm.files().open(Object::Map(MapFd { map, readable, writable })) as u32)
}

/// Whether values belong to sockets, tasks, inodes or cgroups, which fds name.
fn has_owners(map_type: MapType) -> bool {
    use MapType::{CgrpStorage, InodeStorage, SkStorage, TaskStorage};
    matches!(map_type, SkStorage | TaskStorage | InodeStorage | CgrpStorage)
}

/// No fd here is a socket.
fn no_socket(vm: &Vm, fd: u64) -> Errno {
    match i32::try_from(fd) {
        Ok(fd) => vm.files().get(fd as u32).err().unwrap_or(Errno::ENOTSOCK),
        Err(_) => Errno::EINVAL,
    }
}

/// Why the fd that is a key names no owner: nor is any a task, an inode with a value, or a cgroup.
fn no_owner(vm: &Vm, map: &Map, key: &[u8]) -> Errno {
    let fd = key.first_chunk().copied().map_or(0, u32::from_ne_bytes);
    match (vm.files().get(fd).is_ok(), map.map_type()) {
        (true, MapType::SkStorage) => Errno::ENOTSOCK,
        (true, MapType::InodeStorage) => Errno::ENOENT,
        _ => Errno::EBADF,
    }
}

/// The BTF of keys and values, if they have one, and the special fields of values.
fn types(
    vm: &Vm,
    attr: &MapCreate<'_>,
    shape: &MapAttr,
) -> Result<(Option<Arc<BtfObject>>, Fields), Errno> {
    let ids = (attr.btf_key_type_id, attr.btf_value_type_id);
    if ids == (0, 0) {
        return Ok((None, Fields::default()));
    }
    let btf = vm.files().btf(attr.btf_fd)?;
    let fields = value_types::check(shape, &btf.types, ids, vm.capabilities())?;
    Ok((Some(btf), fields))
}

/// `bpf_map_offload_map_alloc`: no device here takes maps.
fn check_offload(map_type: MapType, ifindex: u32) -> Result<(), Errno> {
    match map_type {
        _ if ifindex == 0 => Ok(()),
        MapType::Array | MapType::Hash if interface_exists(ifindex) => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EINVAL),
    }
}

/// The hash of the only program that may use the map: a SHA-256.
fn check_exclusive(attr: &MapCreate<'_>) -> Result<(), Errno> {
    const SHA256: u32 = 32;
    match (attr.excl_prog_hash.is_some(), attr.excl_prog_hash_size) {
        (false, 0) => Ok(()),
        (true, SHA256) => input(&attr.excl_prog_hash, SHA256 as usize).map(|_| ()),
        _ => Err(Errno::EINVAL),
    }
}

/// `bpf_map_meta_alloc`: the template of inner maps.
fn inner_map(vm: &Vm, fd: u32) -> Result<Arc<MapHandle>, Errno> {
    let inner = vm.files().map(fd)?;
    match inner.map.map_type() {
        MapType::ArrayOfMaps | MapType::HashOfMaps => Err(Errno::EINVAL),
        MapType::ProgArray
        | MapType::StructOps
        | MapType::CgroupStorage
        | MapType::PercpuCgroupStorage => Err(Errno::ENOTSUPP),
        _ => Ok(inner),
    }
}

/// The one door to the maps of fds: what a command does to one, it does through this.
///
/// The fd is looked up once; its rights are asked then, and whoever writes has begun to
/// before that, so that the map is not frozen as long as this is held.
struct Opened {
    map: Arc<MapHandle>,
    /// Held to write.
    _writes: Option<WriteGuard>,
}

/// What a command does to a map.
#[derive(Clone, Copy)]
struct Access {
    reads: bool,
    writes: bool,
}

const READ: Access = Access { reads: true, writes: false };
const WRITE: Access = Access { reads: false, writes: true };
const READ_AND_WRITE: Access = Access { reads: true, writes: true };

impl Opened {
    /// Opens the map behind an fd.
    ///
    /// # Errors
    /// `EBADF` and `EINVAL` for an fd that is no map's; `EPERM` where it lacks a right, or
    /// the map is frozen.
    fn new(vm: &Vm, fd: u32, access: Access) -> Result<Opened, Errno> {
        let MapFd { map, readable, writable } = vm.files().map_fd(fd)?;
        if (access.reads && !readable) || (access.writes && !writable) {
            return Err(Errno::EPERM);
        }
        let _writes = if access.writes { Some(map.map.begin_write()?) } else { None };
        Ok(Opened { map, _writes })
    }
}

impl Deref for Opened {
    type Target = Map;

    fn deref(&self) -> &Map {
        &self.map.map
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

pub(super) fn lookup(vm: &Vm, attr: &mut MapElem<'_>) -> Result<u32, Errno> {
    if attr.flags & !update::LOCK != 0 {
        return Err(Errno::EINVAL);
    }
    let map = Opened::new(vm, attr.map_fd, READ)?;
    map.check_lock(attr.flags)?;
    let key = key(&map, &attr.key)?;
    if has_owners(map.map_type()) {
        return Err(no_owner(vm, &map, key));
    }
    let mut value = vec![0; map.user_value_size()];
    if map.map_type() == MapType::BloomFilter {
        let asked = attr.value.get(..value.len()).ok_or(Errno::EFAULT)?;
        value.copy_from_slice(asked);
    }
    map.lookup_copy(key, &mut value, attr.flags)?;
    attr.value.write(0, &value)?;
    Ok(0)
}

pub(super) fn update(vm: &Vm, attr: &MapElem<'_>) -> Result<u32, Errno> {
    let map = Opened::new(vm, attr.map_fd, WRITE)?;
    map.check_lock(attr.flags)?;
    let key = key(&map, &attr.key)?;
    let value = attr.value.get(..map.user_value_size()).ok_or(Errno::EFAULT)?;
    update_element(vm, &map.map, key, value, attr.flags)?;
    Ok(0)
}

/// Stores a value, or the object that its fd names.
fn update_element(
    vm: &Vm,
    map: &MapHandle,
    key: &[u8],
    value: &[u8],
    flags: u64,
) -> Result<(), Errno> {
    let fd = value.first_chunk().copied().map_or(0, u32::from_ne_bytes);
    match map.map.map_type() {
        MapType::ProgArray
        | MapType::ArrayOfMaps
        | MapType::HashOfMaps
        | MapType::PerfEventArray
        | MapType::CgroupArray
        | MapType::Xskmap => map.map.update_object(key, flags, &mut || object(vm, map, fd)),
        MapType::Cpumap => map.map.update_target(key, value, flags, &mut |target| {
            target_program(vm, target, AttachType::XdpCpumap)
        }),
        MapType::Devmap | MapType::DevmapHash => {
            // The devices of the world take redirected frames, but for `lo`.
            let loopback = Device::LOOPBACK.index;
            let world = vm.environment().world();
            map.map.update_target(key, value, flags, &mut |target| match world
                .network
                .device(target.first)
                .is_some()
                && target.first != loopback
            {
                true => target_program(vm, target, AttachType::XdpDevmap),
                false => Err(Errno::EINVAL),
            })
        }
        MapType::Sockmap | MapType::Sockhash => Err(no_socket(vm, long(value))),
        MapType::ReuseportSockarray => {
            let index = key.first_chunk().copied().map_or(0, u32::from_ne_bytes);
            Err(match flags {
                _ if flags > update::EXIST => Errno::EINVAL,
                _ if index >= map.map.max_entries() => Errno::E2BIG,
                // A number of 4 bytes may be negative.
                _ if value.len() == 4 => {
                    vm.files().get(long(value) as u32).err().unwrap_or(Errno::ENOTSOCK)
                }
                _ => no_socket(vm, long(value)),
            })
        }
        kind if has_owners(kind) => Err(no_owner(vm, &map.map, key)),
        _ => {
            map.map.update_from_user(key, value, flags)?;
            map.clear_fields(key, 0);
            Ok(())
        }
    }
}

/// The program that is to run where packets are redirected to, if the target names one.
fn target_program(
    vm: &Vm,
    target: Target,
    attach: AttachType,
) -> Result<Option<Arc<dyn MapObject>>, Errno> {
    let fd = u32::try_from(target.program_fd).ok().filter(|fd| *fd > 0);
    let Some(fd) = fd else { return Ok(None) };
    let program = vm.files().prog(fd)?;
    let expected = AttachType::from_number(program.expected_attach_type);
    match program.prog_type == ProgType::Xdp && expected == Some(attach) {
        true => Ok(Some(program)),
        false => Err(Errno::EINVAL),
    }
}

/// A value of 4 or 8 bytes.
fn long(value: &[u8]) -> u64 {
    let half = || value.first_chunk().copied().map_or(0, u32::from_ne_bytes);
    value.first_chunk().copied().map_or_else(|| half().into(), u64::from_ne_bytes)
}

/// What an fd is to a map that holds objects.
fn object(vm: &Vm, map: &MapHandle, fd: u32) -> Result<Arc<dyn MapObject>, Errno> {
    let files = vm.files();
    match map.map.map_type() {
        MapType::ProgArray => match files.prog(fd)? {
            prog if prog.prog_type == ProgType::Ext || !map.admits(&prog) => Err(Errno::EINVAL),
            prog => Ok(prog),
        },
        MapType::ArrayOfMaps | MapType::HashOfMaps => Ok(files.map(fd)?),
        MapType::PerfEventArray => match files.get(fd)? {
            Object::Event(event) => Ok(event.clone()),
            _ => Err(Errno::EBADF),
        },
        // No fd here is a socket or a cgroup.
        MapType::Xskmap => files.get(fd).and(Err(Errno::ENOTSOCK)),
        _ => Err(Errno::EBADF),
    }
}

pub(super) fn delete(vm: &Vm, attr: &MapDelete<'_>) -> Result<u32, Errno> {
    let map = Opened::new(vm, attr.map_fd, WRITE)?;
    let key = key(&map, &attr.key)?;
    if has_owners(map.map_type()) {
        return Err(no_owner(vm, &map, key));
    }
    map.map.clear_fields(key, 0);
    map.delete_from_user(key)?;
    Ok(0)
}

pub(super) fn next_key(vm: &Vm, attr: &mut MapNextKey<'_>) -> Result<u32, Errno> {
    let map = Opened::new(vm, attr.map_fd, READ)?;
    let previous = match attr.key {
        Some(_) => Some(key(&map, &attr.key)?),
        None => None,
    };
    let mut next = vec![0; map.key_size() as usize];
    map.next_key(previous, &mut next)?;
    attr.next_key.write(0, &next)?;
    Ok(0)
}

pub(super) fn lookup_and_delete(vm: &Vm, attr: &mut MapElem<'_>) -> Result<u32, Errno> {
    if attr.flags & !update::LOCK != 0 {
        return Err(Errno::EINVAL);
    }
    let map = Opened::new(vm, attr.map_fd, READ_AND_WRITE)?;
    let queue = matches!(map.map_type(), MapType::Queue | MapType::Stack);
    if queue && attr.flags != 0 {
        return Err(Errno::EINVAL);
    }
    map.check_lock(attr.flags)?;
    let key = key(&map, &attr.key)?;
    let mut value = vec![0; map.user_value_size()];
    map.lookup_and_delete(key, &mut value, attr.flags)?;
    attr.value.write(0, &value)?;
    Ok(0)
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
    let access = if delete { READ_AND_WRITE } else { READ };
    let map = Opened::new(vm, attr.map_fd, access)?;
    // What Linux looks at before it touches the caller's memory.
    let nothing = map.lookup_batch(None, &mut [], &mut [], attr.elem_flags, attr.flags, delete);
    if nothing.result.is_err() || attr.count == 0 {
        return nothing.result.map(|()| 0);
    }
    let count = attr.count;
    finish_lookup_batch(attr, &map, count, delete)
}

/// Looks up as many as there can be, then copies out what there was.
fn finish_lookup_batch(
    attr: &mut MapBatch<'_>,
    map: &Map,
    count: u32,
    delete: bool,
) -> Result<u32, Errno> {
    attr.count = 0;
    let cursor = match &attr.in_batch {
        Some(_) => Some(input(&attr.in_batch, map.batch_cursor_size())?),
        None => None,
    };
    if hashed(map) && cursor.is_some_and(|cursor| past_buckets(cursor, map.max_entries())) {
        return Err(Errno::ENOENT);
    }
    // One more than there can be, so that the walk comes to the end.
    let room = count.min(map.max_entries().saturating_add(1)) as usize;
    let (key_size, value_size) = (map.key_size() as usize, map.user_value_size());
    let mut keys = vec![0; room * key_size];
    let mut values = vec![0; room * value_size];
    let done =
        map.lookup_batch(cursor, &mut keys, &mut values, attr.elem_flags, attr.flags, delete);
    let found = done.count.unwrap_or(0) as usize;
    attr.keys.write(0, &keys[..found * key_size])?;
    attr.values.write(0, &values[..found * value_size])?;
    finish_batch(attr, done)
}

/// Whether the position in a batch is a bucket.
fn hashed(map: &Map) -> bool {
    use MapType::{Hash, HashOfMaps, LruHash, LruPercpuHash, PercpuHash};
    matches!(map.map_type(), Hash | PercpuHash | LruHash | LruPercpuHash | HashOfMaps)
}

/// Whether a position lies behind the last bucket, as Linux counts them.
fn past_buckets(cursor: &[u8], max_entries: u32) -> bool {
    let bucket = cursor.first_chunk().copied().map_or(0, u32::from_ne_bytes);
    max_entries.checked_next_power_of_two().is_some_and(|buckets| bucket >= buckets)
}

/// Elements of `size` bytes that a caller's memory holds, at most `count`.
fn elements(memory: &[u8], count: u32, size: usize) -> &[u8] {
    let held = (memory.len() / size.max(1)).min(count as usize);
    &memory[..held * size]
}

/// The result of a batch that ended where the caller's memory did.
fn cut_short(mut done: BatchResult, wanted: u32) -> BatchResult {
    if done.result.is_ok() && done.count.unwrap_or(0) < wanted {
        done.count = Some(done.count.unwrap_or(0));
        done.result = Err(Errno::EFAULT);
    }
    done
}

pub(super) fn update_batch(vm: &Vm, attr: &mut MapBatch<'_>) -> Result<u32, Errno> {
    let map = Opened::new(vm, attr.map_fd, WRITE)?;
    let keys = elements(&attr.keys, attr.count, map.key_size() as usize);
    let values = elements(&attr.values, attr.count, map.user_value_size());
    let flags = attr.elem_flags;
    let done = map.update_batch_with(keys, values, flags, |key, value| {
        update_element(vm, &map.map, key, value, flags)
    });
    let done = cut_short(done, attr.count);
    finish_batch(attr, done)
}

pub(super) fn delete_batch(vm: &Vm, attr: &mut MapBatch<'_>) -> Result<u32, Errno> {
    let map = Opened::new(vm, attr.map_fd, WRITE)?;
    let keys = elements(&attr.keys, attr.count, map.key_size() as usize);
    let done = cut_short(map.delete_batch(keys, attr.elem_flags), attr.count);
    finish_batch(attr, done)
}

pub(super) fn freeze(vm: &Vm, attr: &MapFreeze<'_>) -> Result<u32, Errno> {
    let MapFd { map, writable, .. } = vm.files().map_fd(attr.map_fd)?;
    map.map.check_freezable()?;
    if !writable || map.map.frozen() {
        return Err(Errno::EPERM);
    }
    map.map.freeze()?;
    Ok(0)
}

/// `mmap(2)` of an fd, shared. What a mapping is for has to be among the fd's rights, which
/// are asked before the map is; it is read in any case (`do_mmap()` of `mm/mmap.c`).
///
/// # Errors
/// `EBADF`; `EINVAL` for places and lengths that are none of the map's; `ENODEV` for what is
/// no map; `EACCES` without the right; those of [`Map::map_into_user`]. An fd that may only
/// read gives no mapping at all, but `EINVAL`: a shared mapping of one is none for Linux.
pub(crate) fn mmap(
    vm: &Vm,
    fd: RawFd,
    offset: u64,
    len: usize,
    writable: bool,
) -> Result<Mapping, Errno> {
    const PAGE: u64 = 4096;
    let start = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
    if !offset.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let object = vm.files().get(fd as u32)?.clone();
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    let MapFd { map, readable, writable: may_write } = match object {
        Object::Map(fd) => fd,
        Object::Event(event) => return event_memory(event, start, len, writable),
        _ => return Err(Errno::ENODEV),
    };
    if !readable || (writable && !may_write) {
        return Err(Errno::EACCES);
    }
    if !may_write {
        map.map.check_mappable()?;
        return Err(Errno::EINVAL);
    }
    map.user_memory(start, len, writable)
}

/// `mmap(2)` of a perf event's fd: its first page and all of its samples.
fn event_memory(
    event: Arc<skep_maps::PerfEvent>,
    start: usize,
    len: usize,
    writable: bool,
) -> Result<Mapping, Errno> {
    if start != 0 || len != event.shared().len() {
        return Err(Errno::EINVAL);
    }
    Ok(regions::lend(event.shared().view(start, len, writable)?, writable))
}
