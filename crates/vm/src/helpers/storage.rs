//! What maps keep for sockets, tasks, inodes and cgroups; maps of sockets, in which there are
//! none; and what user space sends by a ring buffer. Counterparts: `net/core/bpf_sk_storage.c`,
//! `kernel/bpf/bpf_task_storage.c`, `kernel/bpf/cgroup.c`, `net/core/sock_map.c`,
//! `kernel/bpf/ringbuf.c`.

use std::sync::Arc;

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;

use super::{Function, failure, number, status};
use crate::memory::value::{Kind, Value};
use crate::objects::map::MapHandle;
use crate::run::dynptrs::{Data, Dynptr};
use crate::run::{Run, Stop};
use skep_abi::limits::DYNPTR;

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::GET_LOCAL_STORAGE, of_cgroup_program),
    (id::SK_STORAGE_GET, get_of_socket),
    (id::SK_STORAGE_DELETE, delete_of_socket),
    (id::TASK_STORAGE_GET, get_of_object),
    (id::TASK_STORAGE_DELETE, delete_of_object),
    (id::INODE_STORAGE_GET, get_of_object),
    (id::INODE_STORAGE_DELETE, delete_of_object),
    (id::CGRP_STORAGE_GET, get_of_object),
    (id::CGRP_STORAGE_DELETE, delete_of_object),
    (id::SK_REDIRECT_MAP, no_target),
    (id::SK_REDIRECT_HASH, no_target),
    (id::MSG_REDIRECT_MAP, no_target),
    (id::MSG_REDIRECT_HASH, no_target),
    (id::SOCK_MAP_UPDATE, no_socket),
    (id::SOCK_HASH_UPDATE, no_socket),
    (id::SK_SELECT_REUSEPORT, no_group),
    (id::USER_RINGBUF_DRAIN, drain),
];

/// `bpf_get_local_storage(map, flags)`: of the cgroup that the program runs for, which here is
/// there for the run.
fn of_cgroup_program(run: &mut Run<'_>) -> Result<Value, Stop> {
    let map = Arc::clone(run.map_argument("bpf_get_local_storage", Reg::R1)?);
    let owner = run.held.rare().stored.owner(&map);
    let region = map.cgroup_region(owner, run.cpu());
    Ok(region.map_or(Value::scalar(0), |region| region.pointer(0)))
}

/// Makes a value where there is none.
const CREATE: u64 = 1;

/// The value of an owner, and what `bpf_*_storage_get` makes of flags.
fn get(
    run: &mut Run<'_>,
    name: &'static str,
    owner: impl FnOnce(&mut Run<'_>, &Arc<MapHandle>, Value) -> u64,
) -> Result<Value, Stop> {
    let map = Arc::clone(run.map_argument(name, Reg::R1)?);
    let (object, flags) = (run.read(Reg::R2)?, run.read(Reg::R4)?.bits);
    let new = match run.read(Reg::R3)?.bits {
        0 => None,
        _ => Some(run.bytes_argument(name, Reg::R3, map.map.value_size().into())?),
    };
    if object.bits == 0 || flags & !CREATE != 0 {
        return Ok(Value::scalar(0));
    }
    let owner = owner(run, &map, object);
    let region = map.owned_region(owner, flags == CREATE, new.as_deref());
    Ok(region.map_or(Value::scalar(0), |region| region.pointer(0)))
}

fn delete(
    run: &mut Run<'_>,
    name: &'static str,
    owner: impl FnOnce(&mut Run<'_>, &Arc<MapHandle>, Value) -> u64,
) -> Result<Value, Stop> {
    let map = Arc::clone(run.map_argument(name, Reg::R1)?);
    let object = run.read(Reg::R2)?;
    if object.bits == 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let owner = owner(run, &map, object);
    Ok(status(map.forget_owner(owner)))
}

/// A socket of the world is known by its cookie, any other is there for the run.
fn socket(run: &mut Run<'_>, map: &Arc<MapHandle>, object: Value) -> u64 {
    let rare = run.held.rare();
    match rare.sockets.at(object.bits) {
        Some(socket) => socket.cookie,
        None => rare.stored.owner(map),
    }
}

/// Tasks, inodes and cgroups are known by their addresses, behind which there is nothing.
fn object(_run: &mut Run<'_>, _map: &Arc<MapHandle>, object: Value) -> u64 {
    object.bits
}

/// `bpf_sk_storage_get(map, sk, value, flags)`.
fn get_of_socket(run: &mut Run<'_>) -> Result<Value, Stop> {
    get(run, "bpf_sk_storage_get", socket)
}

/// `bpf_sk_storage_delete(map, sk)`.
fn delete_of_socket(run: &mut Run<'_>) -> Result<Value, Stop> {
    delete(run, "bpf_sk_storage_delete", socket)
}

/// `bpf_task_storage_get(map, task, value, flags)` and its like.
fn get_of_object(run: &mut Run<'_>) -> Result<Value, Stop> {
    get(run, "bpf_task_storage_get", object)
}

/// `bpf_task_storage_delete(map, task)` and its like.
fn delete_of_object(run: &mut Run<'_>) -> Result<Value, Stop> {
    delete(run, "bpf_task_storage_delete", object)
}

/// `bpf_sk_redirect_map(skb, map, key, flags)` and its like: no map here holds a socket, so that
/// the packet or message is dropped.
fn no_target(run: &mut Run<'_>) -> Result<Value, Stop> {
    const DROP: u64 = 0;
    run.map_argument("bpf_sk_redirect_map", Reg::R2)?;
    Ok(Value::scalar(DROP))
}

/// `bpf_sock_map_update(skops, map, key, flags)`: the socket is none of those that maps hold.
fn no_socket(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.map_argument("bpf_sock_map_update", Reg::R2)?;
    Ok(failure(Errno::EOPNOTSUPP))
}

/// `bpf_sk_select_reuseport(reuse, map, key, flags)`: no map here holds a socket.
fn no_group(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.map_argument("bpf_sk_select_reuseport", Reg::R2)?;
    Ok(failure(Errno::ENOENT))
}

/// `bpf_user_ringbuf_drain(map, callback, context, flags)`: gives the number of samples.
fn drain(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_user_ringbuf_drain";
    /// Most samples of one call.
    const MOST: u64 = 128 * 1024;
    /// Whether to wake who writes: not at all, or in any case.
    const WAKES: u64 = 1 | 2;
    let map = Arc::clone(run.map_argument(NAME, Reg::R1)?);
    let (callback, context) = (run.read(Reg::R2)?, run.read(Reg::R3)?);
    let flags = run.read(Reg::R4)?.bits;
    if callback.kind() != Kind::Function {
        return Err(run.bad_argument(NAME, 2, "is no subprogram"));
    }
    let Some(ring) = map.map.ring() else {
        return Err(run.bad_argument(NAME, 1, "is no ring buffer"));
    };
    if flags & !WAKES != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    if let Err(errno) = ring.begin_drain() {
        return Ok(failure(errno));
    }
    // A dynptr of each sample in turn.
    let place = run.env.heap.make(DYNPTR as u32, None).pointer(0);
    run.own_object(place.bits);
    let (mut drained, mut result) = (0, Ok(0));
    for _ in 0..MOST {
        let sample = match ring.next_sample() {
            Ok(sample) => sample,
            Err(Errno::ENODATA) => break,
            Err(Errno::EAGAIN) => continue,
            Err(errno) => {
                result = Err(errno);
                break;
            }
        };
        drained += 1;
        let called = call_with(run, &map, sample, [callback, place, context]);
        ring.release_sample(sample);
        match called {
            Ok(0) => {}
            Ok(_) => break,
            Err(stop) => {
                ring.end_drain(drained, flags);
                return Err(stop);
            }
        }
    }
    ring.end_drain(drained, flags);
    run.give_object(place.bits);
    run.env.heap.release(place.bits);
    if result.is_ok() {
        result = Ok(drained);
    }
    Ok(number(result))
}

/// Calls back with a dynptr of a sample.
fn call_with(
    run: &mut Run<'_>,
    map: &MapHandle,
    sample: skep_maps::Sample,
    [callback, place, context]: [Value; 3],
) -> Result<u64, Stop> {
    let data = Data::Memory(map.sample_region(sample).pointer(0));
    run.held.dynptrs.set(place.bits, Dynptr::new(data, sample.len, true).ok());
    let called = run.call_back(callback, &[place, context]);
    run.held.dynptrs.set(place.bits, None);
    called
}
