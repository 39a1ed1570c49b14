//! Maps with a lock in their values: random commands with and without `BPF_F_LOCK` leave
//! the same elements as on Linux, and a lock that somebody holds is left alone.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use skep_abi::flags::{map as map_flags, update};
use skep_abi::{Errno, FieldKind, MapType, SpecialField};

use super::linux::{LinuxMap, permitted};
use super::{Pair, Random, sorted};
use crate::{Fields, Map, MapAttr, acquire, release};

/// Bytes of a value.
const VALUE: u32 = 28;

fn locked(map_type: MapType, lock: Range<u32>, flags: u32) -> MapAttr {
    let field = SpecialField { kind: FieldKind::SpinLock, bytes: lock };
    MapAttr {
        flags,
        fields: Fields::new(vec![field], VALUE),
        ..MapAttr::new(map_type, 4, VALUE, 6)
    }
}

/// What a command on an element gave.
type Answer = (Result<(), Errno>, Vec<u8>);

fn ours(map: &Map, choice: u64, key: &[u8], value: &[u8], flags: u64) -> Answer {
    let mut out = vec![0xee; VALUE as usize];
    let result = match choice {
        0..4 => map.update_from_user(key, value, flags),
        4..8 => map.lookup_copy(key, &mut out, flags),
        8 => map.delete_from_user(key),
        _ => map.lookup_and_delete(key, &mut out, flags),
    };
    (result, out)
}

fn theirs(map: &LinuxMap, choice: u64, key: &[u8], value: &[u8], flags: u64) -> Answer {
    let mut out = vec![0xee; VALUE as usize];
    let result = match choice {
        0..4 => map.update_with(key, value, flags),
        4..8 => map.lookup_with(key, &mut out, flags),
        8 => map.delete_with(key),
        _ => map.lookup_and_delete_with(key, &mut out, flags),
    };
    (result, out)
}

/// All elements, by a batch, where there is one of this kind.
fn all(map: &Map, flags: u64, delete: bool) -> (Result<(), Errno>, Vec<Pair>) {
    let (mut keys, mut values) = (vec![0; 4 * 8], vec![0; VALUE as usize * 8]);
    let done = map.lookup_batch(None, &mut keys, &mut values, flags, 0, delete);
    let pairs = keys.chunks(4).zip(values.chunks(VALUE as usize));
    let pairs = pairs.take(done.count.unwrap_or(0) as usize);
    (done.result, sorted(pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()))
}

#[test]
fn elements_with_locks_are_those_of_linux() {
    if !permitted() {
        return;
    }
    let kinds = [(MapType::Array, 0), (MapType::Hash, 0), (MapType::Hash, map_flags::NO_PREALLOC)];
    for (map_type, flags) in kinds {
        for lock in [0..4, 4..8, 20..24, 24..28] {
            let attr = locked(map_type, lock.clone(), flags);
            let map = Map::create(&attr, 2).unwrap();
            let linux = LinuxMap::with_lock(&attr, lock.start).expect("Linux has such maps");
            let mut random = Random::new(u64::from(lock.start) << 8 | map_type as u64);
            for step in 0..4000 {
                let (key, value) = (random.below(8) as u32, random.bytes(VALUE as usize));
                let key = key.to_ne_bytes();
                let flags = [0, 0, 1, 2, 4, 4, 5, 6, 7, 8][random.below(10) as usize];
                let choice = random.below(12);
                let (here, there) = match choice {
                    10 | 11 => {
                        let delete = choice == 11 && random.below(8) == 0;
                        let (result, pairs) = linux.all_with(flags, delete);
                        (all(&map, flags, delete), (result, sorted(pairs)))
                    }
                    _ => {
                        let (result, out) = ours(&map, choice, &key, &value, flags);
                        let (expected, theirs) = theirs(&linux, choice, &key, &value, flags);
                        (
                            (result, vec![(key.to_vec(), out)]),
                            (expected, vec![(key.to_vec(), theirs)]),
                        )
                    }
                };
                assert_eq!(here, there, "ours, Linux's: step {step}, {choice} {flags}, {attr:?}");
            }
        }
    }
}

/// The lock of an element.
fn lock_of(map: &Map, key: &[u8], at: u32) -> &'static AtomicU32 {
    let value = map.lookup(key, 0).expect("an element").as_ptr();
    // SAFETY: inside the value, 4-byte aligned; each test keeps its map until its end.
    unsafe { AtomicU32::from_ptr(value.add(at as usize).cast()) }
}

#[test]
fn updates_leave_a_held_lock_to_its_holder() {
    for map_type in [MapType::Array, MapType::Hash] {
        for at in [0, 4, 24] {
            let map = Map::create(&locked(map_type, at..at + 4, 0), 1).unwrap();
            let (key, value) = ([1, 0, 0, 0], [0xaa; VALUE as usize]);
            map.update_from_user(&key, &value, 0).unwrap();
            let lock = lock_of(&map, &key, at);
            assert_eq!(lock.load(Ordering::Relaxed), 0, "new elements are not held");
            assert!(acquire(lock));
            map.update(&key, &value, 0, 0).unwrap();
            map.update_from_user(&key, &value, 0).unwrap();
            assert_eq!(lock.load(Ordering::Relaxed), 1, "{map_type}, lock at {at}");
            release(lock);
            assert_eq!(map.update(&key, &value, update::LOCK, 0), Ok(()));
            assert_eq!(lock_of(&map, &key, at).load(Ordering::Relaxed), 0);
        }
    }
}

#[test]
fn an_update_by_the_lock_waits_and_writes_in_place() {
    for map_type in [MapType::Array, MapType::Hash] {
        let map = Map::create(&locked(map_type, 0..4, 0), 1).unwrap();
        let key = [1, 0, 0, 0];
        map.update_from_user(&key, &[0; VALUE as usize], 0).unwrap();
        let before = map.lookup(&key, 0).unwrap();
        let lock = lock_of(&map, &key, 0);
        assert!(acquire(lock));
        let mut out = [0; VALUE as usize];
        let value = [0xaa; VALUE as usize];
        thread::scope(|scope| {
            let waiting = scope.spawn(|| map.update_from_user(&key, &value, update::LOCK));
            thread::yield_now();
            map.lookup_copy(&key, &mut out, 0).unwrap();
            assert_eq!(out, [0; VALUE as usize], "{map_type}: written without the lock");
            release(lock);
            assert_eq!(waiting.join().unwrap(), Ok(()));
        });
        assert_eq!(map.lookup(&key, 0), Some(before), "{map_type}: not in place");
        map.lookup_copy(&key, &mut out, update::LOCK).unwrap();
        assert_eq!(out[4..], [0xaa; VALUE as usize - 4]);
    }
}

#[test]
fn values_are_whole_to_who_reads_and_writes_by_the_lock() {
    const ROUNDS: u64 = 5_000;
    for map_type in [MapType::Array, MapType::Hash] {
        let map: Arc<Map> = Map::create(&locked(map_type, 4..8, 0), 3).unwrap();
        let whole = |value: &[u8]| value[..4] == value[8..12] && value[8..18] == value[18..28];
        let key = [2, 0, 0, 0];
        map.update_from_user(&key, &[0; VALUE as usize], 0).unwrap();
        thread::scope(|scope| {
            for cpu in 0..2u64 {
                let map = &map;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let value = [(round << 1 | cpu) as u8; VALUE as usize];
                        map.update(&key, &value, update::LOCK, cpu as u32).unwrap();
                    }
                });
            }
            let mut out = [0; VALUE as usize];
            for _ in 0..ROUNDS {
                map.lookup_copy(&key, &mut out, update::LOCK).unwrap();
                assert!(whole(&out), "{map_type}: {out:x?}");
            }
        });
    }
}

#[test]
fn flags_of_locks_are_refused_where_there_is_none() {
    for map_type in [MapType::Array, MapType::PercpuArray, MapType::Hash, MapType::LruHash] {
        let map = Map::create(&MapAttr::new(map_type, 4, 8, 4), 1).unwrap();
        let mut out = [0; 8];
        let key = [1, 0, 0, 0];
        assert_eq!(map.lookup_copy(&key, &mut out, update::LOCK), Err(Errno::EINVAL));
        assert_eq!(map.update(&key, &[0; 8], update::LOCK, 0), Err(Errno::EINVAL));
        assert_eq!(map.update_batch(&key, &[0; 8], update::LOCK).result, Err(Errno::EINVAL));
        assert_eq!(map.update(&key, &[0; 8], 1 << 33, 0), Err(Errno::EINVAL));
    }
}

#[test]
fn maps_with_locks_are_not_frozen_mapped_or_mixed_with_others() {
    let attr = locked(MapType::Array, 0..4, map_flags::MMAPABLE);
    let map = Map::create(&attr, 1).unwrap();
    assert_eq!(map.check_freezable(), Err(Errno::ENOTSUPP));
    assert_eq!(map.map_into_user(0, 4096, false).err(), Some(Errno::ENOTSUPP));
    let plain = MapAttr { fields: Fields::default(), ..attr };
    let plain = Map::create(&plain, 1).unwrap();
    assert_eq!(plain.check_freezable(), Ok(()));
    assert_ne!(map.model(), plain.model());
}
