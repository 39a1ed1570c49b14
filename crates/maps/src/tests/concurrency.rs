//! Several threads at one map. Each thread stands for a vCPU of its own; one more
//! stands for system calls.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use skep_abi::flags::map as flag;
use skep_abi::{Errno, MapType};

use super::Random;
use crate::{Map, MapAttr};

const ROUNDS: u64 = 200_000;

fn create(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Arc<Map> {
    let mut attr = MapAttr::new(map_type, key_size, value_size, max_entries);
    if map_type == MapType::LpmTrie {
        attr.flags = flag::NO_PREALLOC;
    }
    Map::create(&attr, 4).unwrap()
}

/// Runs `reader` again and again until all `writers` are through.
fn while_writing(writers: Vec<Box<dyn FnOnce() + Send + '_>>, mut reader: impl FnMut() + Send) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                reader();
            }
        });
        let writers: Vec<_> = writers.into_iter().map(|writer| scope.spawn(writer)).collect();
        let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|result| result.expect("a writer's assertion"));
    });
}

/// A value that tells its key and whether it is whole.
fn marked(key: u64, serial: u64) -> [u8; 64] {
    let mut value = [0; 64];
    for (index, word) in value.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&(key << 40 ^ serial.wrapping_mul(index as u64 + 1)).to_ne_bytes());
    }
    value
}

fn is_marked(key: u64, value: &[u8; 64]) -> bool {
    let serial = u64::from_ne_bytes(*value.first_chunk().unwrap()) ^ key << 40;
    *value == marked(key, serial)
}

/// Keys of 8 or 16 bytes for small numbers.
fn key_of(number: u64, key_size: u32) -> Vec<u8> {
    let mut key = number.to_ne_bytes().to_vec();
    key.resize(key_size as usize, number as u8);
    key
}

#[test]
fn system_calls_read_whole_values_of_their_own_key() {
    // With few keys the same elements come back to a key again and again.
    for (map_type, key_size, keys) in [
        (MapType::Hash, 8, 32),
        (MapType::Hash, 8, 1),
        (MapType::Hash, 16, 2),
        (MapType::LruHash, 13, 32),
        (MapType::LruHash, 13, 2),
    ] {
        let map = create(map_type, key_size, 64, 24);
        let writer = |cpu: u32| {
            let map = &map;
            let work = move || {
                let mut random = Random::new(u64::from(cpu));
                for serial in 0..ROUNDS / 2 {
                    let number = random.below(keys);
                    let key = key_of(number, key_size);
                    if random.below(4) == 0 {
                        let _ = map.delete(&key, cpu);
                    } else {
                        let serial = serial << 2 | u64::from(cpu);
                        let _ = map.update(&key, &marked(number, serial), 0, cpu);
                    }
                }
            };
            Box::new(work) as Box<dyn FnOnce() + Send>
        };
        let mut random = Random::new(99);
        let mut found = 0;
        while_writing(vec![writer(0), writer(1)], || {
            let number = random.below(keys);
            let mut value = [0; 64];
            if map.lookup_copy(&key_of(number, key_size), &mut value, 0).is_ok() {
                assert!(is_marked(number, &value), "{map_type}: key {number}: {value:x?}");
                found += 1;
            }
        });
        assert!(found > 0, "the reader has seen nothing");
    }
}

#[test]
fn keys_that_stay_are_always_found() {
    // Few buckets, so that all share chains; overflow buckets come and go.
    for map_type in [MapType::Hash, MapType::PercpuHash] {
        let map = create(map_type, 16, 8, 64);
        for number in 0..8 {
            map.update(&key_of(number, 16), &number.to_ne_bytes(), 0, 0).unwrap();
        }
        let writer = |cpu: u32| {
            let map = &map;
            let work = move || {
                let mut random = Random::new(u64::from(cpu));
                for _ in 0..ROUNDS {
                    let number = random.below(100);
                    let key = key_of(number, 16);
                    if number < 8 {
                        map.update(&key, &number.to_ne_bytes(), 2, cpu).unwrap();
                    } else if random.below(2) == 0 {
                        let _ = map.update(&key, &number.to_ne_bytes(), 0, cpu);
                    } else {
                        let _ = map.delete(&key, cpu);
                    }
                }
            };
            Box::new(work) as Box<dyn FnOnce() + Send>
        };
        let mut number = 0;
        while_writing(vec![writer(0), writer(1)], || {
            number = (number + 1) % 8;
            assert!(map.lookup(&key_of(number, 16), 2).is_some(), "{map_type}: key {number} lost");
        });
    }
}

#[test]
fn each_key_has_the_value_of_its_last_update() {
    for map_type in [MapType::Hash, MapType::LruHash] {
        let map = create(map_type, 4, 8, 400);
        // Each thread has keys of its own, so it knows what they must be.
        let work = |cpu: u32| {
            let mut random = Random::new(u64::from(cpu) + 7);
            let mut expected = [None; 90];
            for serial in 0..ROUNDS {
                let slot = random.below(90);
                let key = (slot as u32 * 4 + cpu).to_ne_bytes();
                let mut value = [0; 8];
                match random.below(3) {
                    0 => {
                        let exists = expected[slot as usize].take().is_some();
                        let result = map.delete(&key, cpu);
                        assert_eq!(result, if exists { Ok(()) } else { Err(Errno::ENOENT) });
                    }
                    1 => {
                        map.update(&key, &serial.to_ne_bytes(), 0, cpu).unwrap();
                        expected[slot as usize] = Some(serial);
                    }
                    _ => {
                        let read = map.lookup_copy(&key, &mut value, 0);
                        let read = read.ok().map(|()| u64::from_ne_bytes(value));
                        assert_eq!(read, expected[slot as usize], "{map_type}: {key:?}");
                    }
                }
            }
            expected.iter().flatten().count()
        };
        let total: usize = thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..4).map(|cpu| scope.spawn(move || work(cpu))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(keys_of(&map).len(), total);
    }
}

fn keys_of(map: &Map) -> HashSet<Vec<u8>> {
    let mut keys = HashSet::new();
    let mut last: Option<Vec<u8>> = None;
    let mut next = vec![0; map.key_size() as usize];
    while map.next_key(last.as_deref(), &mut next).is_ok() {
        assert!(keys.insert(next.clone()), "the walk came twice to {next:?}");
        last = Some(next.clone());
    }
    keys
}

#[test]
fn exactly_as_many_keys_as_allowed_can_be_inserted() {
    for flags in [0, flag::NO_PREALLOC] {
        let mut attr = MapAttr::new(MapType::Hash, 8, 8, 1000);
        attr.flags = flags;
        let map = Map::create(&attr, 4).unwrap();
        let inserted = AtomicU64::new(0);
        thread::scope(|scope| {
            for cpu in 0..4u32 {
                let (map, inserted) = (&map, &inserted);
                scope.spawn(move || {
                    for number in 0..1000u64 {
                        let key = (number << 8 | u64::from(cpu)).to_ne_bytes();
                        match map.update(&key, &[0; 8], 0, cpu) {
                            Ok(()) => drop(inserted.fetch_add(1, Ordering::Relaxed)),
                            Err(errno) => assert_eq!(errno, Errno::E2BIG),
                        }
                    }
                });
            }
        });
        assert_eq!(inserted.into_inner(), 1000);
        assert_eq!(keys_of(&map).len(), 1000);
    }
}

#[test]
fn lru_maps_never_hold_more_than_they_may_and_are_full_when_churned() {
    for (map_type, flags) in [
        (MapType::LruHash, 0),
        (MapType::LruPercpuHash, 0),
        (MapType::LruHash, flag::NO_COMMON_LRU),
    ] {
        let mut attr = MapAttr::new(map_type, 8, 8, 120);
        attr.flags = flags;
        let map = Map::create(&attr, 4).unwrap();
        let writer = |cpu: u32| {
            let map = &map;
            let work = move || {
                let mut random = Random::new(u64::from(cpu));
                for _ in 0..ROUNDS / 4 {
                    let key = random.below(1000).to_ne_bytes();
                    map.update(&key, &[1; 8], 0, cpu).unwrap();
                    map.lookup(&random.below(1000).to_ne_bytes(), cpu);
                }
            };
            Box::new(work) as Box<dyn FnOnce() + Send>
        };
        while_writing((0..3).map(writer).collect(), || {
            // A walk is not a moment, but what a batch reads of one chain is.
            let (mut keys, mut values) = (vec![0; 8 * 1000], vec![0; 32 * 1000]);
            let batch = map.lookup_batch(None, &mut keys, &mut values, 0, 0, false);
            assert!(batch.count.is_some());
        });
        let held = keys_of(&map).len();
        // With shares, the vCPU that did nothing has not filled its own.
        let expected = if flags == 0 { 120 } else { 90 };
        assert_eq!(held, expected, "{map_type}");
    }
}

#[test]
fn used_keys_outlive_unused_ones() {
    let map = create(MapType::LruHash, 4, 8, 100);
    for number in 0..100u32 {
        map.update(&number.to_ne_bytes(), &[0; 8], 0, 0).unwrap();
    }
    for newcomer in 1000..1050u32 {
        for used in 0..40u32 {
            assert!(map.lookup(&used.to_ne_bytes(), 0).is_some(), "{used} was evicted");
        }
        map.update(&newcomer.to_ne_bytes(), &[0; 8], 0, 0).unwrap();
    }
    let mut out = [0; 8];
    let left = (40..100u32).filter(|n| map.lookup_copy(&n.to_ne_bytes(), &mut out, 0).is_ok());
    assert_eq!(left.count(), 10, "50 of the 60 unused keys gave way to 50 new ones");
}

#[test]
fn tries_give_a_stored_value_of_a_matching_prefix() {
    let map = create(MapType::LpmTrie, 8, 8, 400);
    let key = |len: u32, address: u32| {
        let mut key = len.to_ne_bytes().to_vec();
        key.extend(address.to_be_bytes());
        key
    };
    // The value is the prefix's length, the upper half its address: 10/8 always matches.
    let value = |len: u32, address: u32| (u64::from(address) << 32 | u64::from(len)).to_ne_bytes();
    map.update(&key(8, 10 << 24), &value(8, 10 << 24), 0, 0).unwrap();
    // Prefixes that come and go contain this one, which stays where it is.
    let lasting = key(32, 10 << 24 | 3 << 20 | 1);
    map.update(&lasting, &[1; 8], 0, 0).unwrap();
    let place = map.lookup(&lasting, 0).unwrap().as_ptr() as usize;
    let writer = |cpu: u32| {
        let (map, key, value) = (&map, &key, &value);
        let work = move || {
            let mut random = Random::new(u64::from(cpu));
            for _ in 0..ROUNDS / 2 {
                let len = 9 + random.below(24) as u32;
                let address = 10 << 24 | (random.below(16) as u32) << 20;
                let address = address & !((1u64 << (32 - len)) - 1) as u32;
                if random.below(2) == 0 {
                    map.update(&key(len, address), &value(len, address), 0, cpu).unwrap();
                } else {
                    let _ = map.delete(&key(len, address), cpu);
                }
            }
        };
        Box::new(work) as Box<dyn FnOnce() + Send>
    };
    let mut random = Random::new(3);
    while_writing(vec![writer(0), writer(1)], || {
        let address = 10 << 24 | (random.below(16) as u32) << 20;
        let mut out = [0; 8];
        map.lookup_copy(&key(32, address), &mut out, 0).expect("10/8 matches");
        let found = u64::from_ne_bytes(out);
        let (prefix, len) = ((found >> 32) as u32, found as u32);
        assert!((8..=32).contains(&len), "{found:x}");
        let common = (prefix ^ address).leading_zeros();
        assert!(common >= len, "{prefix:x}/{len} does not match {address:x}");
        let found = map.lookup(&lasting, 2).map(|value| value.as_ptr() as usize);
        assert_eq!(found, Some(place), "the walk without a lock was led astray");
    });
}

#[test]
fn what_is_pushed_is_popped_once() {
    for map_type in [MapType::Queue, MapType::Stack] {
        let map = create(map_type, 0, 8, 50);
        let popped = std::sync::Mutex::new(HashSet::new());
        let pushed = AtomicU64::new(0);
        thread::scope(|scope| {
            for cpu in 0..2u64 {
                let (map, popped, pushed) = (&map, &popped, &pushed);
                scope.spawn(move || {
                    for serial in 0..ROUNDS / 4 {
                        if map.push(&(serial << 1 | cpu).to_ne_bytes(), 0).is_ok() {
                            pushed.fetch_add(1, Ordering::Relaxed);
                        }
                        let mut out = [0; 8];
                        if serial % 2 == 0 && map.pop(&mut out).is_ok() {
                            let new = popped.lock().unwrap().insert(out);
                            assert!(new, "{map_type}: {out:?} was popped twice");
                        }
                    }
                });
            }
        });
        let mut popped = popped.into_inner().unwrap();
        let mut out = [0; 8];
        while map.pop(&mut out).is_ok() {
            assert!(popped.insert(out), "{map_type}: {out:?} was popped twice");
        }
        assert_eq!(popped.len() as u64, pushed.into_inner(), "{map_type}");
    }
}
