//! Random sequences of commands on our maps, a model, and Linux's maps.

use std::collections::{BTreeMap, VecDeque};

use skep_abi::MapType;
use skep_abi::flags::map as flag;

use super::linux::{LinuxMap, permitted};
use super::subjects::{Model, Ours, PrefixModel, QueueModel};
use super::{Pair, Random, Subject, sorted};
use crate::{Map, MapAttr};

/// As many as the running kernel has, so that values have the same size.
pub fn possible_cpus() -> u32 {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    list.trim()
        .rsplit(['-', ','])
        .next()
        .and_then(|last| last.parse().ok())
        .map_or(2, |n: u32| n + 1)
}

/// All keys, by walking. More than `bound` means that the walk does not end.
fn keys(subject: &mut dyn Subject, bound: usize) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    while let Ok(next) = subject.next_key(keys.last().map(Vec::as_slice)) {
        keys.push(next);
        assert!(keys.len() <= bound, "{}'s walk does not end", subject.name());
    }
    keys.sort();
    keys
}

/// Runs `steps` random commands on all subjects; `key` makes a key that may exist.
fn run(
    subjects: &mut [Box<dyn Subject>],
    attr: &MapAttr,
    value_size: usize,
    steps: usize,
    ordered: bool,
    mut key: impl FnMut(&mut Random) -> Vec<u8>,
) {
    let mut random = Random::new(u64::from(attr.max_entries) << 8 | attr.map_type as u64);
    let bound = attr.max_entries as usize * 2 + 16;
    for step in 0..steps {
        let choice = random.below(100);
        let some_key = key(&mut random);
        let value = random.bytes(value_size);
        let flags = [0, 0, 0, 1, 2, 3, 4, 8, 1 << 40][random.below(9) as usize];
        let count = 1 + random.below(8) as usize;
        let pairs: Vec<Pair> =
            (0..count).map(|_| (key(&mut random), random.bytes(value_size))).collect();
        let some_keys: Vec<_> = pairs.iter().map(|pair| pair.0.clone()).collect();
        let mut answers = subjects.iter_mut().map(|subject| {
            let answer = match choice {
                0..30 => format!("lookup: {:?}", subject.lookup(&some_key)),
                30..60 => format!("update {flags}: {:?}", subject.update(&some_key, &value, flags)),
                60..80 => format!("delete: {:?}", subject.delete(&some_key)),
                80..86 => format!("take: {:?}", subject.lookup_and_delete(&some_key)),
                86..90 => format!("update batch: {:?}", subject.update_batch(&pairs)),
                90..94 => format!("delete batch: {:?}", subject.delete_batch(&some_keys)),
                94 if ordered => format!("batch: {:?}", subject.read_batch(count, false)),
                94 | 95 => {
                    // Room for all, since the order is each one's own.
                    let (result, pairs) = subject.read_batch(bound, false);
                    format!("batch: {:?} {:?}", result, sorted(pairs))
                }
                96 if random_bit(step) => {
                    let (result, pairs) = subject.read_batch(bound, true);
                    format!("take batch: {:?} {:?}", result, sorted(pairs))
                }
                97 if ordered => format!("next: {:?}", subject.next_key(Some(&some_key))),
                _ => format!("keys: {:?}", keys(&mut **subject, bound)),
            };
            (subject.name(), answer)
        });
        let (first, expected) = answers.next().expect("a subject");
        for (other, answer) in answers {
            assert_eq!(
                expected, answer,
                "step {step}: {first} and {other} differ, key {some_key:?}, {attr:?}"
            );
        }
    }
}

/// Emptying the map at each chance would keep it empty.
fn random_bit(step: usize) -> bool {
    Random::new(step as u64).below(4) == 0
}

#[test]
fn hash_maps_answer_as_the_model_and_as_linux() {
    let with_linux = permitted();
    let cpus = possible_cpus();
    for map_type in [MapType::Hash, MapType::PercpuHash, MapType::LruHash, MapType::LruPercpuHash] {
        for (key_size, value_size) in [(4, 8), (8, 1), (16, 20), (1, 4), (3, 12), (13, 7), (40, 64)]
        {
            for (max_entries, spread) in [(1, 3), (7, 12), (64, 100), (64, 40), (300, 600)] {
                let lru = matches!(map_type, MapType::LruHash | MapType::LruPercpuHash);
                // Linux evicts early: LRU maps stay at most half full here.
                let spread = if lru { max_entries as u64 / 2 } else { spread };
                if spread == 0 || key_size == 1 && spread > 200 {
                    continue;
                }
                let mut attr = MapAttr::new(map_type, key_size, value_size, max_entries);
                if !lru && max_entries % 2 == 1 {
                    attr.flags = flag::NO_PREALLOC;
                }
                let map = Map::create(&attr, cpus).unwrap();
                let user_size = map.user_value_size();
                let model = Model { pairs: BTreeMap::new(), max_entries: max_entries as usize };
                let mut subjects: Vec<Box<dyn Subject>> =
                    vec![Box::new(Ours(map)), Box::new(model)];
                if with_linux {
                    subjects.push(Box::new(LinuxMap::create(&attr, user_size, -1).unwrap()));
                }
                run(&mut subjects, &attr, user_size, 1500, false, |random| {
                    let mut key = vec![0x5a; key_size as usize];
                    let number = random.below(spread).to_le_bytes();
                    let len = key.len().min(2);
                    key[..len].copy_from_slice(&number[..len]);
                    key
                });
            }
        }
    }
}

#[test]
fn arrays_answer_as_linux() {
    if !permitted() {
        return;
    }
    let cpus = possible_cpus();
    for map_type in [MapType::Array, MapType::PercpuArray] {
        for (value_size, max_entries) in [(1, 1), (4, 3), (8, 16), (20, 7)] {
            for flags in [0, flag::MMAPABLE] {
                if flags != 0 && map_type != MapType::Array {
                    continue;
                }
                let mut attr = MapAttr::new(map_type, 4, value_size, max_entries);
                attr.flags = flags;
                let map = Map::create(&attr, cpus).unwrap();
                let user_size = map.user_value_size();
                let linux = LinuxMap::create(&attr, user_size, -1).unwrap();
                let mut subjects: Vec<Box<dyn Subject>> =
                    vec![Box::new(Ours(map)), Box::new(linux)];
                run(&mut subjects, &attr, user_size, 2000, true, |random| {
                    (random.below(u64::from(max_entries) + 2) as u32).to_ne_bytes().to_vec()
                });
            }
        }
    }
}

#[test]
fn tries_answer_as_the_model_and_as_linux() {
    let with_linux = permitted();
    for (data_size, value_size, max_entries) in
        [(4, 8, 64), (1, 1, 300), (16, 20, 32), (3, 4, 7), (9, 8, 40), (8, 3, 1)]
    {
        for seed in 0..4 {
            let mut attr = MapAttr::new(MapType::LpmTrie, 4 + data_size, value_size, max_entries);
            attr.flags = flag::NO_PREALLOC;
            let map = Map::create(&attr, 2).unwrap();
            let bits = data_size * 8;
            let pairs = BTreeMap::new();
            let model = PrefixModel { pairs, max_entries: max_entries as usize, bits };
            let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(Ours(map))];
            if with_linux {
                let linux = LinuxMap::create(&attr, value_size as usize, -1).unwrap();
                subjects.push(Box::new(linux));
            }
            let make_key = |random: &mut Random| {
                // Few distinct bits, so that prefixes contain each other; at times one too many.
                let len = (random.below(u64::from(bits) + 2) + seed) as u32 % (bits + 2);
                let mut key = len.to_ne_bytes().to_vec();
                for _ in 0..data_size {
                    key.push([0x00, 0xff, 0x0f, 0x80][random.below(4) as usize]);
                }
                key
            };
            // In the same order as Linux's, batches and walks included.
            run(&mut subjects, &attr, value_size as usize, 2000, true, make_key);
            let map = Map::create(&attr, 2).unwrap();
            let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(Ours(map)), Box::new(model)];
            let canonical = |random: &mut Random| {
                let mut key = make_key(random);
                let len = u32::from_ne_bytes([key[0], key[1], key[2], key[3]]);
                for bit in len.min(bits)..bits {
                    key[4 + bit as usize / 8] &= !(0x80 >> (bit % 8));
                }
                key
            };
            run(&mut subjects, &attr, value_size as usize, 2000, false, canonical);
        }
    }
}

#[test]
fn queues_and_stacks_answer_as_the_model_and_as_linux() {
    let with_linux = permitted();
    for map_type in [MapType::Queue, MapType::Stack] {
        for (value_size, max_entries) in [(1, 1), (8, 3), (12, 5)] {
            let attr = MapAttr::new(map_type, 0, value_size, max_entries);
            let model = QueueModel {
                values: VecDeque::new(),
                max_entries: max_entries as usize,
                last_first: map_type == MapType::Stack,
            };
            let map = Map::create(&attr, 2).unwrap();
            let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(Ours(map)), Box::new(model)];
            if with_linux {
                let linux = LinuxMap::create(&attr, value_size as usize, -1).unwrap();
                subjects.push(Box::new(linux));
            }
            run(&mut subjects, &attr, value_size as usize, 2000, true, |_| Vec::new());
        }
    }
}
