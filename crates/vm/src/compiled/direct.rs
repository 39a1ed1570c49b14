//! Helpers that verified code calls with plain words: what the verifier vouches for need
//! not become a value first. Clocks and chance are so called by all code. What they do is
//! written once, in [`helpers`] and in the maps.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use skep_abi::{Errno, MapType};
use skep_jit::State;
use skep_maps::mem::bytes::Bytes;
use skep_maps::mem::words;
use skep_maps::{self as maps, Map};

use super::entry::{entered, stop};
use super::{fill, run_of, unsettled};
use crate::contexts::xdp::Xdp;
use crate::helpers::{self, checksum, packet};
use crate::memory::value::Region;
use crate::objects::map::MapHandle;

/// The clock.
pub extern "C" fn ktime(state: *mut State<'_>) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: compiled code passes on its state.
        let run = unsafe { unsettled(state) };
        run.map_or(0, |run| run.now())
    })
}

/// A random number.
pub extern "C" fn random(state: *mut State<'_>) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: compiled code passes on its state.
        let run = unsafe { unsettled(state) };
        run.map_or(0, |run| run.env.random().into())
    })
}

/// A copy of `len` bytes that a program hands to a helper: other threads may write to
/// them meanwhile.
///
/// # Safety
/// They can be read.
#[inline]
unsafe fn bytes_at(start: u64, len: u32) -> Bytes {
    let mut bytes = Bytes::zeros(len as usize);
    // SAFETY: no more is read than the caller promises.
    unsafe { words::gather(&mut bytes, address(start)) };
    bytes
}

/// What a program's word is the address of.
fn address(word: u64) -> *const u8 {
    std::ptr::with_exposed_provenance(word as usize)
}

/// Writes what a program has a helper write.
///
/// # Safety
/// As many bytes can be written.
#[inline]
unsafe fn put(start: u64, bytes: &[u8]) {
    // SAFETY: no more is written than the caller promises.
    let region = unsafe { Region::vouched(start) };
    let written = region.pointer(0).write(bytes);
    debug_assert!(written.is_ok());
}

fn status(result: Result<(), Errno>) -> u64 {
    helpers::status(result).bits
}

/// The address of the map that a word of verified code stands for.
///
/// # Safety
/// The word is a map's, in code of the run's program.
pub unsafe extern "C" fn map(state: *mut State<'_>, word: u64) -> u64 {
    // SAFETY: as the caller promises.
    unsafe { map_at(state, word) }.expose_provenance() as u64
}

/// The map that a word of verified code stands for; null for one that there is none of.
///
/// # Safety
/// As for [`map`].
unsafe fn map_at(state: *mut State<'_>, word: u64) -> *const Map {
    entered(state, None, std::ptr::null(), || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { run_of(state) }) else { return std::ptr::null() };
        match run.map_of(word) {
            Some(value) => Arc::as_ptr(&run.known_map(value).map),
            // SAFETY: what is no number is what `inner` gave.
            None => Arc::as_ptr(unsafe { &(*handle(word)).map }),
        }
    })
}

/// `bpf_map_lookup_elem` on a map of maps that the code names: the address of a map's
/// handle, or null.
///
/// # Safety
/// `map` is one that the program has, `key` points to one of its keys.
pub unsafe extern "C" fn inner(state: *mut State<'_>, map: *const Map, key: u64) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { unsettled(state) }) else { return 0 };
        // SAFETY: the run holds its maps while its code runs.
        let map = unsafe { &*map };
        // SAFETY: as the caller promises.
        let key = unsafe { bytes_at(key, map.key_size()) };
        let found = map.object(&key, run.turn.guard());
        let found: Option<&dyn Any> = found.map(|object| &**object as _);
        let handle = found.and_then(|object| object.downcast_ref::<MapHandle>());
        handle.map_or(0, |handle| (&raw const *handle).expose_provenance() as u64)
    })
}

fn handle(word: u64) -> *const MapHandle {
    std::ptr::with_exposed_provenance(word as usize)
}

/// A handle that [`inner`] found in this run.
///
/// # Safety
/// It did, and the run still holds its guard.
pub(super) unsafe fn inner_handle(word: u64) -> Arc<MapHandle> {
    let handle = handle(word);
    // SAFETY: an outer map keeps its handles in `Arc`s, and drops none of them while the
    // guard is held that `inner` looked them up under.
    unsafe {
        Arc::increment_strong_count(handle);
        Arc::from_raw(handle)
    }
}

/// `bpf_map_lookup_elem`.
///
/// # Safety
/// `map` is one that the program has, `key` points to one of its keys.
pub unsafe extern "C" fn lookup(state: *mut State<'_>, map: *const Map, key: u64) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: the run holds its maps while its code runs; its state is valid.
        let (map, cpu) = unsafe { (&*map, (*state).cpu()) };
        // SAFETY: as the caller promises.
        let found = unsafe { map.lookup_at(address(key), cpu) };
        found.map_or(0, |value| value.as_ptr().expose_provenance() as u64)
    })
}

/// The same for a map whose [`Map::plain_key`] is `SIZE`.
///
/// # Safety
/// `map` is such a one, which the program has, and `key` points to one of its keys.
pub unsafe extern "C" fn lookup_plain<const SIZE: usize>(
    state: *mut State<'_>,
    map: *const Map,
    key: u64,
) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: the run holds its maps while its code runs; the rest as the caller promises.
        let found = unsafe { (*map).lookup_plain::<SIZE>(address(key)) };
        found.map_or(0, |value| value.as_ptr().expose_provenance() as u64)
    })
}

/// `bpf_map_lookup_elem` on any map of the run's.
///
/// # Safety
/// `word` is a map's, `key` points to one of its keys.
pub unsafe extern "C" fn find(state: *mut State<'_>, word: u64, key: u64) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: as the caller promises.
        let map = unsafe { map_at(state, word) };
        // SAFETY: null, or a map that the run holds.
        let of_maps = match unsafe { map.as_ref() } {
            Some(map) => matches!(map.map_type(), MapType::ArrayOfMaps | MapType::HashOfMaps),
            None => return 0,
        };
        // SAFETY: as the caller promises.
        unsafe { if of_maps { inner(state, map, key) } else { lookup(state, map, key) } }
    })
}

/// `bpf_map_update_elem`.
///
/// # Safety
/// `map` is one that the program has, `key` and `value` point to such ones.
pub unsafe extern "C" fn update(
    state: *mut State<'_>,
    map: *const Map,
    key: u64,
    value: u64,
    flags: u64,
) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: the run holds its maps while its code runs; its state is valid.
        let (map, cpu) = unsafe { (&*map, (*state).cpu()) };
        // SAFETY: as the caller promises.
        let value = unsafe { bytes_at(value, map.value_size()) };
        // SAFETY: as above.
        status(unsafe { map.update_at(address(key), &value, flags, cpu) })
    })
}

/// `bpf_map_delete_elem`.
///
/// # Safety
/// `map` is one that the program has, `key` points to one of its keys.
pub unsafe extern "C" fn delete(state: *mut State<'_>, map: *const Map, key: u64) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: the run holds its maps while its code runs; its state is valid.
        let (map, cpu) = unsafe { (&*map, (*state).cpu()) };
        // SAFETY: as the caller promises.
        let key = unsafe { bytes_at(key, map.key_size()) };
        status(map.delete(&key, cpu))
    })
}

/// `bpf_spin_lock`.
///
/// # Safety
/// `lock` points to a lock in one of the program's maps.
pub unsafe extern "C" fn spin_lock(state: *mut State<'_>, lock: u64) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: as the caller promises.
        let lock = unsafe { word(lock) };
        if !maps::acquire(lock) {
            give_up(state);
            return 0;
        }
        // SAFETY: compiled code passes on its state.
        if let Some(run) = unsafe { unsettled(state) } {
            // SAFETY: the run holds its maps while its code runs.
            unsafe { run.held.plain.locked(lock) };
        }
        0
    })
}

/// `bpf_spin_unlock`.
///
/// # Safety
/// `lock` points to a lock in one of the program's maps.
pub unsafe extern "C" fn spin_unlock(state: *mut State<'_>, lock: u64) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: as the caller promises.
        let lock = unsafe { word(lock) };
        // SAFETY: compiled code passes on its state.
        if let Some(run) = unsafe { unsettled(state) } {
            run.held.plain.unlock(lock);
        }
        0
    })
}

/// A word that programs and threads share.
///
/// # Safety
/// It is there, and stays for as long as the run's maps do.
unsafe fn word<'m>(address: u64) -> &'m AtomicU32 {
    let at = std::ptr::with_exposed_provenance_mut(address as usize);
    // SAFETY: as the caller promises; the verifier saw that it is aligned.
    unsafe { AtomicU32::from_ptr(at) }
}

/// Whoever holds the lock does not give it back: the run ends.
#[cold]
fn give_up(state: *mut State<'_>) {
    // SAFETY: compiled code passes on its state.
    if let Some(run) = unsafe { run_of(state) } {
        stop(run, state, None, helpers::lock::stuck());
    }
}

/// `bpf_ringbuf_output`.
///
/// # Safety
/// `map` is one that the program has, and `size` bytes can be read at `data`.
pub unsafe extern "C" fn ring_output(
    state: *mut State<'_>,
    map: *const Map,
    data: u64,
    size: u64,
    flags: u64,
) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: the run holds its maps while its code runs.
        let map = unsafe { &*map };
        // SAFETY: as the caller promises.
        let data = unsafe { bytes_at(data, size as u32) };
        status(map.ring().map_or(Err(Errno::EINVAL), |ring| ring.output(&data, flags)))
    })
}

/// `bpf_ringbuf_reserve`. The record is given back by [`ring_submit`] or
/// [`ring_discard`]: the verifier saw to it.
///
/// # Safety
/// `map` is one that the program has.
pub unsafe extern "C" fn ring_reserve(
    state: *mut State<'_>,
    map: *const Map,
    size: u64,
    flags: u64,
) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: the run holds its maps while its code runs.
        let map = unsafe { &*map };
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { unsettled(state) }) else { return 0 };
        let Some(ring) = map.ring() else { return 0 };
        let Some(record) = ring.reserve(size, flags) else { return 0 };
        // SAFETY: as for the map.
        unsafe { run.held.plain.reserved(ring, record) };
        record.as_ptr().expose_provenance() as u64
    })
}

/// `bpf_ringbuf_submit` of a record of one of the program's rings.
pub extern "C" fn ring_submit(state: *mut State<'_>, record: u64, flags: u64) -> u64 {
    give_back(state, record, flags, false)
}

/// `bpf_ringbuf_discard` of a record of one of the program's rings.
pub extern "C" fn ring_discard(state: *mut State<'_>, record: u64, flags: u64) -> u64 {
    give_back(state, record, flags, true)
}

#[inline]
fn give_back(state: *mut State<'_>, record: u64, flags: u64, discard: bool) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: compiled code passes on its state.
        if let Some(run) = unsafe { unsettled(state) } {
            run.held.plain.commit(record, flags, discard);
        }
        0
    })
}

/// `bpf_csum_diff`.
///
/// # Safety
/// As many bytes as the sizes say can be read.
pub unsafe extern "C" fn csum_diff(
    state: *mut State<'_>,
    from: u64,
    from_size: u64,
    to: u64,
    to_size: u64,
    seed: u64,
) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: as the caller promises.
        let (from, to) =
            unsafe { (bytes_at(from, from_size as u32), bytes_at(to, to_size as u32)) };
        checksum::difference(&from, &to, seed as u32)
    })
}

/// `bpf_skb_load_bytes`.
///
/// # Safety
/// `len` bytes can be written at `to`.
pub unsafe extern "C" fn skb_load_bytes(
    state: *mut State<'_>,
    _context: u64,
    offset: u64,
    to: u64,
    len: u64,
) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: compiled code passes on its state.
        let skb = unsafe { unsettled(state) }.and_then(|run| run.context.skb());
        let mut bytes = Bytes::zeros(len as u32 as usize);
        let read =
            skb.map_or(Err(Errno::EFAULT), |skb| packet::load_skb(skb, offset as u32, &mut bytes));
        // SAFETY: as the caller promises.
        unsafe { put(to, &bytes) };
        status(read)
    })
}

/// `bpf_xdp_adjust_head`.
pub extern "C" fn xdp_adjust_head(state: *mut State<'_>, _context: u64, by: u64) -> u64 {
    adjust(state, |xdp| xdp.adjust_head(by as i32))
}

/// `bpf_xdp_adjust_tail`.
pub extern "C" fn xdp_adjust_tail(state: *mut State<'_>, _context: u64, by: u64) -> u64 {
    adjust(state, |xdp| xdp.adjust_tail(by as i32))
}

/// `bpf_xdp_adjust_meta`.
pub extern "C" fn xdp_adjust_meta(state: *mut State<'_>, _context: u64, by: u64) -> u64 {
    adjust(state, |xdp| xdp.adjust_meta(by as i32))
}

/// Moves the bounds of a frame, and with them the context's fields.
fn adjust(state: *mut State<'_>, change: impl FnOnce(&mut Xdp) -> Result<(), Errno>) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { run_of(state) }) else { return status(Err(Errno::EFAULT)) };
        let Some(xdp) = run.context.xdp() else { return status(Err(Errno::EFAULT)) };
        let result = change(xdp);
        // SAFETY: a state is valid while its code runs.
        fill(run, unsafe { &mut *state });
        status(result)
    })
}

/// `bpf_xdp_load_bytes`.
///
/// # Safety
/// `len` bytes can be written at `to`.
pub unsafe extern "C" fn xdp_load_bytes(
    state: *mut State<'_>,
    _context: u64,
    offset: u64,
    to: u64,
    len: u64,
) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: compiled code passes on its state.
        let Some(xdp) = (unsafe { unsettled(state) }).and_then(|run| run.context.xdp()) else {
            return status(Err(Errno::EFAULT));
        };
        let mut bytes = Bytes::zeros(len as u32 as usize);
        let loaded = packet::load_xdp(xdp, offset as u32, &mut bytes);
        if loaded.is_ok() {
            // SAFETY: as the caller promises.
            unsafe { put(to, &bytes) };
        }
        status(loaded)
    })
}

/// `bpf_xdp_store_bytes`.
///
/// # Safety
/// `len` bytes can be read at `from`.
pub unsafe extern "C" fn xdp_store_bytes(
    state: *mut State<'_>,
    _context: u64,
    offset: u64,
    from: u64,
    len: u64,
) -> u64 {
    entered(state, None, 0, || {
        // SAFETY: compiled code passes on its state.
        let Some(xdp) = (unsafe { unsettled(state) }).and_then(|run| run.context.xdp()) else {
            return status(Err(Errno::EFAULT));
        };
        // SAFETY: as the caller promises.
        let bytes = unsafe { bytes_at(from, len as u32) };
        status(packet::store_xdp(xdp, offset as u32, &bytes))
    })
}
