//! The elements of a map, one after the other, many by one command where the kernel has
//! commands for that. Nothing is kept here: what a report takes is what it shows.

use std::collections::BTreeMap;

use skep::abi::{Errno, MapType};
use skep::btf::value::Value;
use skep::load::Map;
use skep::sys::{Command, MapBatch};

use super::contents::{self, Shown};

/// What a look at an element asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    On,
    Stop,
}

/// Bytes of keys and values that one command moves, if one element is not larger.
const CHUNK: usize = 1 << 20;
/// Elements that one command moves at most.
const MOST: usize = 1 << 16;

/// Shows each element to `look`, in the kernel's order; arrays by their indices. Queues are
/// emptied, and have their order as keys.
///
/// # Errors
/// What the kernel says: some types cannot be read from outside.
pub fn each(map: &Map, look: &mut dyn FnMut(&[u8], &[u8]) -> Flow) -> Result<(), Errno> {
    use MapType::{Array, Hash, LruHash, LruPercpuHash, PercpuArray, PercpuHash, Queue, Stack};
    match map.def().kind() {
        Some(Queue | Stack) => {
            let mut number = 0u32;
            while let Some(value) = map.lookup_and_delete(&[])? {
                if look(&number.to_be_bytes(), &value) == Flow::Stop {
                    break;
                }
                number += 1;
            }
            Ok(())
        }
        Some(Array | PercpuArray | Hash | PercpuHash | LruHash | LruPercpuHash) => {
            match by_batches(map, look) {
                // A kernel without such commands, or without them for this type.
                Err((Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP, false)) => {
                    by_keys(map, look)
                }
                Err((errno, _)) => Err(errno),
                Ok(()) => Ok(()),
            }
        }
        _ => by_keys(map, look),
    }
}

fn by_keys(map: &Map, look: &mut dyn FnMut(&[u8], &[u8]) -> Flow) -> Result<(), Errno> {
    for entry in map.entries() {
        let (key, value) = entry?;
        if look(&key, &value) == Flow::Stop {
            break;
        }
    }
    Ok(())
}

/// An error says also whether elements were shown before.
fn by_batches(map: &Map, look: &mut dyn FnMut(&[u8], &[u8]) -> Flow) -> Result<(), (Errno, bool)> {
    let mut batches = Batches::new(map);
    let mut has_shown = false;
    while batches.advance().map_err(|errno| (errno, has_shown))? {
        for (key, value) in batches.elements() {
            has_shown = true;
            if look(key, value) == Flow::Stop {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Elements in batches, the last of which stays until the next is asked for.
struct Batches<'a> {
    map: &'a Map,
    /// Elements that a command is given room for.
    room: usize,
    keys: Vec<u8>,
    values: Vec<u8>,
    /// Elements in both.
    count: usize,
    cursor: Option<Vec<u8>>,
    is_last: bool,
}

impl Batches<'_> {
    fn new(map: &Map) -> Batches<'_> {
        let each = map.def().key_size as usize + map.transfer_size();
        let most = MOST.min(map.def().max_entries.max(1) as usize);
        Batches {
            map,
            room: (CHUNK / each.max(1)).clamp(1, most),
            keys: Vec::new(),
            values: Vec::new(),
            count: 0,
            cursor: None,
            is_last: false,
        }
    }

    /// Reads the next elements. Gives whether there are any.
    fn advance(&mut self) -> Result<bool, Errno> {
        let (key_size, value_size) = (self.map.def().key_size as usize, self.map.transfer_size());
        let most = self.map.def().max_entries as usize;
        self.count = 0;
        while !self.is_last {
            self.keys.resize(self.room * key_size, 0);
            self.values.resize(self.room * value_size, 0);
            let mut next = vec![0; key_size.max(4)];
            let mut command = Command::MapLookupBatch(MapBatch {
                in_batch: self.cursor.as_deref().map(Into::into),
                out_batch: next.as_mut_slice().into(),
                keys: self.keys.as_mut_slice().into(),
                values: self.values.as_mut_slice().into(),
                count: self.room as u32,
                map_fd: self.map.fd().raw() as u32,
                ..MapBatch::default()
            });
            let result = self.map.fd().kernel().bpf(&mut command);
            let count = match &command {
                Command::MapLookupBatch(batch) => batch.count as usize,
                _ => 0,
            };
            drop(command);
            match result {
                Ok(_) => {}
                Err(Errno::ENOENT) => self.is_last = true,
                // A bucket of a hash map goes whole or not at all.
                Err(Errno::ENOSPC) if self.room < most => {
                    self.room = (self.room * 2).min(most);
                    continue;
                }
                Err(errno) => return Err(errno),
            }
            self.count = count.min(self.room);
            self.is_last |= self.count == 0;
            self.cursor = Some(next);
            break;
        }
        Ok(self.count > 0)
    }

    /// Whether all values in it are zeros.
    fn are_zeros(&self) -> bool {
        let (words, rest) = self.values[..self.count * self.map.transfer_size()].as_chunks::<8>();
        words.iter().all(|word| *word == [0; 8]) && rest.iter().all(|byte| *byte == 0)
    }

    fn elements(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let keys = self.keys.chunks_exact(self.map.def().key_size as usize);
        keys.zip(self.values.chunks_exact(self.map.transfer_size())).take(self.count)
    }
}

/// What looks at a key, and at its values in two maps.
type LookAtBoth<'a> = dyn FnMut(&[u8], &[u8], &[u8]) + 'a;

/// Shows each element of two arrays of the same definition, side by side.
///
/// # Errors
/// What either kernel says.
pub fn both(one: &Map, other: &Map, look: &mut LookAtBoth<'_>) -> Result<(), Errno> {
    let (mut left, mut right) = (Batches::new(one), Batches::new(other));
    loop {
        let more = left.advance()? & right.advance()?;
        if !more {
            return Ok(());
        }
        for ((key, mine), (_, theirs)) in left.elements().zip(right.elements()) {
            look(key, mine, theirs);
        }
    }
}

/// What a report shows of a map, and how much there was.
#[derive(Debug, Default)]
pub struct Excerpt {
    /// The first elements in an order that people expect, each with its bytes.
    pub shown: Vec<(Shown, Vec<u8>)>,
    /// All elements.
    pub count: u64,
    /// Those of an array that are zero, and not shown.
    pub zeros: u64,
}

/// Keys in an order that people expect: numbers by their value, the rest by its bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Signed(i128),
    Unsigned(u128),
    Bytes,
}

fn place(key: &Shown) -> Place {
    match key {
        Shown::Value(Value::Unsigned(number)) => Place::Unsigned(*number),
        Shown::Value(Value::Signed(number)) => Place::Signed(*number),
        _ => Place::Bytes,
    }
}

/// Whether an element tells nothing: a zero of an array that stands for no section.
pub fn is_zero(map: &Map, value: &[u8]) -> bool {
    // Most elements of a large array are, so it matters how this is compiled.
    let (words, rest) = value.as_chunks::<8>();
    contents::is_array(map)
        && map.def().origin.section().is_none()
        && words.iter().all(|word| *word == [0; 8])
        && rest.iter().all(|byte| *byte == 0)
}

/// The first `most` elements, and how many there are.
///
/// # Errors
/// What the kernel says.
pub fn excerpt(map: &Map, most: usize) -> Result<Excerpt, Errno> {
    if contents::is_array(map) && map.def().origin.section().is_none() {
        match sparse(map, most) {
            Err((Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP, false)) => {}
            done => return done.map_err(|(errno, _)| errno),
        }
    }
    let mut excerpt = Excerpt::default();
    let mut kept: BTreeMap<(Place, Vec<u8>), (Shown, Vec<u8>)> = BTreeMap::new();
    let is_ordered = contents::is_array(map);
    each(map, &mut |key, value| {
        excerpt.count += 1;
        if is_zero(map, value) {
            excerpt.zeros += 1;
        } else if !is_ordered || kept.len() < most {
            let shown = contents::key(map, key);
            kept.insert((place(&shown), key.to_vec()), (shown, value.to_vec()));
            if kept.len() > most {
                kept.pop_last();
            }
        }
        Flow::On
    })?;
    excerpt.shown = kept.into_values().collect();
    Ok(excerpt)
}

/// The same for an array, most of whose elements are zeros: those are passed over many at a
/// time. An error says also whether elements were read before.
fn sparse(map: &Map, most: usize) -> Result<Excerpt, (Errno, bool)> {
    let mut excerpt = Excerpt::default();
    let mut batches = Batches::new(map);
    while batches.advance().map_err(|errno| (errno, excerpt.count > 0))? {
        excerpt.count += batches.count as u64;
        if batches.are_zeros() {
            excerpt.zeros += batches.count as u64;
            continue;
        }
        for (key, value) in batches.elements() {
            if is_zero(map, value) {
                excerpt.zeros += 1;
            } else if excerpt.shown.len() < most {
                excerpt.shown.push((contents::key(map, key), value.to_vec()));
            }
        }
    }
    Ok(excerpt)
}
