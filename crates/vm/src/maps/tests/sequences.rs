//! Random sequences of commands on our maps, a model, and Linux's maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_abi::flags::map as flag;
use skep_abi::{Errno, MapType};

use super::linux::{LinuxMap, permitted};
use super::{Pair, Random, Subject};
use crate::maps::{Map, MapAttr};

/// As many as the running kernel has, so that values have the same size.
fn possible_cpus() -> u32 {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    list.trim()
        .rsplit(['-', ','])
        .next()
        .and_then(|last| last.parse().ok())
        .map_or(2, |n: u32| n + 1)
}

struct Ours(Arc<Map>);

impl Subject for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn lookup(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0; self.0.user_value_size()];
        self.0.lookup_copy(key, &mut value, 0).map(|()| value)
    }

    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.0.update_from_user(key, value, flags)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Errno> {
        self.0.delete_from_user(key)
    }

    fn lookup_and_delete(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0; self.0.user_value_size()];
        self.0.lookup_and_delete(key, &mut value, 0).map(|()| value)
    }

    fn next_key(&mut self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let mut next = vec![0; self.0.key_size() as usize];
        self.0.next_key(key, &mut next).map(|()| next)
    }

    fn read_batch(&mut self, count: usize, delete: bool) -> (Result<(), Errno>, Vec<Pair>) {
        let (key_size, value_size) = (self.0.key_size() as usize, self.0.user_value_size());
        let (mut keys, mut values) = (vec![0; count * key_size], vec![0; count * value_size]);
        let done = self
            .0
            .lookup_batch(None, &mut keys, &mut values, 0, 0, delete);
        let pairs = keys.chunks(key_size).zip(values.chunks(value_size));
        let count = done.count.unwrap_or(0) as usize;
        (
            done.result,
            pairs
                .take(count)
                .map(|(k, v)| (k.to_vec(), v.to_vec()))
                .collect(),
        )
    }

    fn update_batch(&mut self, pairs: &[Pair]) -> (Result<(), Errno>, u32) {
        let keys: Vec<u8> = pairs.iter().flat_map(|pair| pair.0.clone()).collect();
        let values: Vec<u8> = pairs.iter().flat_map(|pair| pair.1.clone()).collect();
        let done = self.0.update_batch(&keys, &values, 0);
        (done.result, done.count.unwrap_or(pairs.len() as u32))
    }

    fn delete_batch(&mut self, keys: &[Vec<u8>]) -> (Result<(), Errno>, u32) {
        let done = self.0.delete_batch(&keys.concat(), 0);
        (done.result, done.count.unwrap_or(keys.len() as u32))
    }
}

/// What a hash map does, in a few lines.
struct Model {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    max_entries: usize,
}

impl Subject for Model {
    fn name(&self) -> &'static str {
        "the model"
    }

    fn lookup(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.pairs.get(key).cloned().ok_or(Errno::ENOENT)
    }

    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        match (flags, self.pairs.contains_key(key)) {
            (3.., _) => Err(Errno::EINVAL),
            (1, true) => Err(Errno::EEXIST),
            (2, false) => Err(Errno::ENOENT),
            (_, false) if self.pairs.len() == self.max_entries => Err(Errno::E2BIG),
            _ => {
                self.pairs.insert(key.to_vec(), value.to_vec());
                Ok(())
            }
        }
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Errno> {
        self.pairs.remove(key).map(drop).ok_or(Errno::ENOENT)
    }

    fn lookup_and_delete(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.pairs.remove(key).ok_or(Errno::ENOENT)
    }

    fn next_key(&mut self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let behind = key
            .filter(|key| self.pairs.contains_key(*key))
            .map(<[u8]>::to_vec);
        let mut keys = self.pairs.keys();
        match behind {
            None => keys.next(),
            Some(key) => keys.find(|other| **other > key),
        }
        .cloned()
        .ok_or(Errno::ENOENT)
    }

    fn read_batch(&mut self, count: usize, delete: bool) -> (Result<(), Errno>, Vec<Pair>) {
        let pairs: Vec<Pair> = self
            .pairs
            .iter()
            .take(count)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let all = pairs.len() == self.pairs.len();
        if delete {
            pairs
                .iter()
                .for_each(|pair| drop(self.pairs.remove(&pair.0)));
        }
        (if all { Err(Errno::ENOENT) } else { Ok(()) }, pairs)
    }

    fn update_batch(&mut self, pairs: &[Pair]) -> (Result<(), Errno>, u32) {
        let mut done = 0;
        for (key, value) in pairs {
            if let Err(errno) = self.update(key, value, 0) {
                return (Err(errno), done);
            }
            done += 1;
        }
        (Ok(()), done)
    }

    fn delete_batch(&mut self, keys: &[Vec<u8>]) -> (Result<(), Errno>, u32) {
        let mut done = 0;
        for key in keys {
            if let Err(errno) = self.delete(key) {
                return (Err(errno), done);
            }
            done += 1;
        }
        (Ok(()), done)
    }
}

/// All keys, by walking. More than `bound` means that the walk does not end.
fn keys(subject: &mut dyn Subject, bound: usize) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    while let Ok(next) = subject.next_key(keys.last().map(Vec::as_slice)) {
        keys.push(next);
        assert!(
            keys.len() <= bound,
            "{}'s walk does not end",
            subject.name()
        );
    }
    keys.sort();
    keys
}

fn sorted(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.sort();
    pairs
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
    let mut random = Random(u64::from(attr.max_entries) << 8 | attr.map_type as u64);
    let bound = attr.max_entries as usize * 2 + 16;
    for step in 0..steps {
        let choice = random.below(100);
        let some_key = key(&mut random);
        let value = random.bytes(value_size);
        let flags = [0, 0, 0, 1, 2, 3, 4, 8, 1 << 40][random.below(9) as usize];
        let count = 1 + random.below(8) as usize;
        let pairs: Vec<Pair> = (0..count)
            .map(|_| (key(&mut random), random.bytes(value_size)))
            .collect();
        let some_keys: Vec<_> = pairs.iter().map(|pair| pair.0.clone()).collect();
        let mut answers = subjects.iter_mut().map(|subject| {
            let answer = match choice {
                0..30 => format!("lookup: {:?}", subject.lookup(&some_key)),
                30..60 => format!(
                    "update {flags}: {:?}",
                    subject.update(&some_key, &value, flags)
                ),
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
    Random(step as u64).below(4) == 0
}

#[test]
fn hash_maps_answer_as_the_model_and_as_linux() {
    let with_linux = permitted();
    let cpus = possible_cpus();
    for map_type in [
        MapType::Hash,
        MapType::PercpuHash,
        MapType::LruHash,
        MapType::LruPercpuHash,
    ] {
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
                let model = Model {
                    pairs: BTreeMap::new(),
                    max_entries: max_entries as usize,
                };
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
                    (random.below(u64::from(max_entries) + 2) as u32)
                        .to_ne_bytes()
                        .to_vec()
                });
            }
        }
    }
}
