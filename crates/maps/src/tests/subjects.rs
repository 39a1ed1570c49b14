//! What sequences of commands are run on: our maps, and models of what maps do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use skep_abi::Errno;

use super::{Pair, Subject};
use crate::Map;

/// A map of the embedded kernel.
pub struct Ours(pub Arc<Map>);

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
        let done = self.0.lookup_batch(None, &mut keys, &mut values, 0, 0, delete);
        let pairs = keys.chunks(key_size.max(1)).zip(values.chunks(value_size));
        let count = done.count.unwrap_or(0) as usize;
        (done.result, pairs.take(count).map(|(k, v)| (k.to_vec(), v.to_vec())).collect())
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
pub struct Model {
    pub pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub max_entries: usize,
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
        let behind = key.filter(|key| self.pairs.contains_key(*key)).map(<[u8]>::to_vec);
        let mut keys = self.pairs.keys();
        match behind {
            None => keys.next(),
            Some(key) => keys.find(|other| **other > key),
        }
        .cloned()
        .ok_or(Errno::ENOENT)
    }

    fn read_batch(&mut self, count: usize, delete: bool) -> (Result<(), Errno>, Vec<Pair>) {
        let pairs: Vec<Pair> =
            self.pairs.iter().take(count).map(|(k, v)| (k.clone(), v.clone())).collect();
        let all = pairs.len() == self.pairs.len();
        if delete {
            pairs.iter().for_each(|pair| drop(self.pairs.remove(&pair.0)));
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

/// A trie as a list of prefixes. Its walk is in any order.
pub struct PrefixModel {
    pub pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub max_entries: usize,
    pub bits: u32,
}

impl PrefixModel {
    fn len(key: &[u8]) -> u32 {
        u32::from_ne_bytes([key[0], key[1], key[2], key[3]])
    }

    fn bit(key: &[u8], index: u32) -> u8 {
        key[4 + index as usize / 8] >> (7 - index % 8) & 1
    }

    /// The key with the bits behind its prefix cleared: what a prefix is known by.
    fn canonical(key: &[u8]) -> Vec<u8> {
        let mut canonical = key[..4].to_vec();
        canonical.resize(key.len(), 0);
        for index in 0..PrefixModel::len(key).min((key.len() as u32 - 4) * 8) {
            canonical[4 + index as usize / 8] |= PrefixModel::bit(key, index) << (7 - index % 8);
        }
        canonical
    }
}

impl Subject for PrefixModel {
    fn name(&self) -> &'static str {
        "the model"
    }

    fn lookup(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let len = PrefixModel::len(key);
        if len > self.bits {
            return Err(Errno::ENOENT);
        }
        let matching = self.pairs.iter().filter(|(prefix, _)| {
            let other = PrefixModel::len(prefix);
            other <= len
                && (0..other).all(|bit| PrefixModel::bit(prefix, bit) == PrefixModel::bit(key, bit))
        });
        let longest = matching.max_by_key(|(prefix, _)| PrefixModel::len(prefix));
        longest.map(|(_, value)| value.clone()).ok_or(Errno::ENOENT)
    }

    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > 2 || PrefixModel::len(key) > self.bits {
            return Err(Errno::EINVAL);
        }
        let key = PrefixModel::canonical(key);
        match (flags, self.pairs.contains_key(&key)) {
            (1, true) => return Err(Errno::EEXIST),
            (2, false) => return Err(Errno::ENOENT),
            (_, false) if self.pairs.len() == self.max_entries => return Err(Errno::ENOSPC),
            _ => {}
        }
        self.pairs.insert(key, value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Errno> {
        if PrefixModel::len(key) > self.bits {
            return Err(Errno::EINVAL);
        }
        self.pairs.remove(&PrefixModel::canonical(key)).map(drop).ok_or(Errno::ENOENT)
    }

    fn lookup_and_delete(&mut self, _key: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn next_key(&mut self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let key = key.map(PrefixModel::canonical).filter(|key| self.pairs.contains_key(key));
        let mut keys = self.pairs.keys();
        match key {
            None => keys.next(),
            Some(key) => keys.find(|other| **other > key),
        }
        .cloned()
        .ok_or(Errno::ENOENT)
    }

    fn read_batch(&mut self, count: usize, delete: bool) -> (Result<(), Errno>, Vec<Pair>) {
        if delete {
            return (Err(Errno::ENOTSUPP), Vec::new());
        }
        let pairs = self.pairs.iter().take(count).map(|(k, v)| (k.clone(), v.clone()));
        (if count > self.pairs.len() { Err(Errno::ENOENT) } else { Ok(()) }, pairs.collect())
    }

    fn update_batch(&mut self, pairs: &[Pair]) -> (Result<(), Errno>, u32) {
        one_by_one(pairs, |(key, value)| self.update(key, value, 0))
    }

    fn delete_batch(&mut self, keys: &[Vec<u8>]) -> (Result<(), Errno>, u32) {
        one_by_one(keys, |key| self.delete(key))
    }
}

fn one_by_one<T>(
    all: &[T],
    mut act: impl FnMut(&T) -> Result<(), Errno>,
) -> (Result<(), Errno>, u32) {
    let mut done = 0;
    let result = all.iter().try_for_each(|one| {
        act(one)?;
        done += 1;
        Ok(())
    });
    (result, done)
}

/// A queue or a stack.
pub struct QueueModel {
    pub values: VecDeque<Vec<u8>>,
    pub max_entries: usize,
    pub last_first: bool,
}

impl Subject for QueueModel {
    fn name(&self) -> &'static str {
        "the model"
    }

    fn lookup(&mut self, _key: &[u8]) -> Result<Vec<u8>, Errno> {
        let next = if self.last_first { self.values.back() } else { self.values.front() };
        next.cloned().ok_or(Errno::ENOENT)
    }

    fn update(&mut self, _key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags != 0 && flags != 2 {
            return Err(Errno::EINVAL);
        }
        if self.values.len() == self.max_entries {
            if flags == 0 {
                return Err(Errno::E2BIG);
            }
            self.values.pop_front();
        }
        self.values.push_back(value.to_vec());
        Ok(())
    }

    fn delete(&mut self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn lookup_and_delete(&mut self, _key: &[u8]) -> Result<Vec<u8>, Errno> {
        let next = if self.last_first { self.values.pop_back() } else { self.values.pop_front() };
        next.ok_or(Errno::ENOENT)
    }

    fn next_key(&mut self, _key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    fn read_batch(&mut self, _count: usize, _delete: bool) -> (Result<(), Errno>, Vec<Pair>) {
        (Err(Errno::ENOTSUPP), Vec::new())
    }

    fn update_batch(&mut self, pairs: &[Pair]) -> (Result<(), Errno>, u32) {
        (Err(Errno::ENOTSUPP), pairs.len() as u32)
    }

    fn delete_batch(&mut self, keys: &[Vec<u8>]) -> (Result<(), Errno>, u32) {
        (Err(Errno::ENOTSUPP), keys.len() as u32)
    }
}
