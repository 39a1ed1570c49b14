//! Stack traces by the hash of their addresses. Answers to `kernel/bpf/stackmap.c`: the same
//! traces get the same numbers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_abi::Errno;

use super::Caller;
use super::kind::{Kind, index_of};

/// What `bpf_get_stackid` is told besides how much to skip.
pub mod flag {
    /// Traces of the same hash are taken for the same.
    pub const FAST_COMPARE: u64 = 1 << 9;
    /// A trace takes the place of another with the same number.
    pub const REUSE: u64 = 1 << 10;
}

/// A trace in its place.
#[derive(Debug)]
struct Trace {
    hash: u32,
    addresses: Box<[u64]>,
}

/// Stack traces.
#[derive(Debug)]
pub struct Stacks {
    places: Box<[Mutex<Option<Trace>>]>,
    /// Addresses that a trace may have.
    depth: usize,
    /// Traces that may be there.
    most: u32,
    held: AtomicU32,
}

impl Stacks {
    /// Bytes of so many traces.
    pub fn footprint(max_entries: u32, value_size: u32) -> u64 {
        let place = size_of::<Mutex<Option<Trace>>>() as u64;
        u64::from(max_entries).next_power_of_two() * place
            + u64::from(max_entries) * u64::from(value_size)
    }

    /// None yet.
    pub fn new(max_entries: u32, value_size: u32) -> Stacks {
        let places = (0..max_entries.next_power_of_two()).map(|_| Mutex::default()).collect();
        Stacks {
            places,
            depth: value_size as usize / 8,
            most: max_entries,
            held: AtomicU32::new(0),
        }
    }

    fn place(&self, id: u32) -> Option<MutexGuard<'_, Option<Trace>>> {
        let place = self.places.get(id as usize)?;
        Some(place.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of a trace, which is kept: EEXIST where another one with this number is,
    /// ENOMEM where there are as many as may be. It is cut to the depth of the map.
    pub fn id(&self, addresses: &[u64], flags: u64) -> Result<u32, Errno> {
        let addresses = &addresses[..addresses.len().min(self.depth)];
        let hash = hash(addresses);
        let id = hash & (self.places.len() as u32 - 1);
        let mut place = self.place(id).ok_or(Errno::ENOMEM)?;
        if let Some(known) = &*place {
            let same = known.hash == hash
                && (flags & flag::FAST_COMPARE != 0 || *known.addresses == *addresses);
            if same {
                return Ok(id);
            }
            if flags & flag::REUSE == 0 {
                return Err(Errno::EEXIST);
            }
        } else if self
            .held
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                (held < self.most).then_some(held + 1)
            })
            .is_err()
        {
            return Err(Errno::ENOMEM);
        }
        *place = Some(Trace { hash, addresses: addresses.into() });
        Ok(id)
    }

    /// Copies a trace out, zeros behind its last address.
    pub fn read(&self, id: u32, out: &mut [u8]) -> Result<(), Errno> {
        let place = self.place(id).ok_or(Errno::ENOENT)?;
        let trace = place.as_ref().ok_or(Errno::ENOENT)?;
        out.fill(0);
        for (word, address) in out.chunks_exact_mut(8).zip(&*trace.addresses) {
            word.copy_from_slice(&address.to_ne_bytes());
        }
        Ok(())
    }

    /// Forgets a trace.
    pub fn delete(&self, id: u32) -> Result<(), Errno> {
        let mut place = self.place(id).ok_or(Errno::E2BIG)?;
        if place.take().is_none() {
            return Err(Errno::ENOENT);
        }
        self.held.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// The number behind one, or the first where there is none with it.
    pub fn next(&self, id: Option<u32>) -> Result<u32, Errno> {
        let is_there = |id: u32| self.place(id).is_some_and(|place| place.is_some());
        let start = id.filter(|&id| is_there(id)).map_or(0, |id| id + 1);
        (start..self.places.len() as u32).find(|&id| is_there(id)).ok_or(Errno::ENOENT)
    }
}

impl Kind for Stacks {
    fn read(&self, key: &[u8], out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        self.read(index_of(key), out)
    }

    fn take(&self, key: &[u8], out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        self.read(index_of(key), out)?;
        self.delete(index_of(key))
    }

    fn delete(&self, key: &[u8], _by: Caller) -> Result<(), Errno> {
        self.delete(index_of(key))
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        out.copy_from_slice(&self.next(key.map(index_of))?.to_ne_bytes());
        Ok(())
    }
}

/// Bob Jenkins' lookup3 over the 32-bit words of addresses, as Linux's `jhash2`.
fn hash(addresses: &[u64]) -> u32 {
    const START: u32 = 0xdead_beef;
    let words: Vec<u32> =
        addresses.iter().flat_map(|address| [*address as u32, (*address >> 32) as u32]).collect();
    let first = START.wrapping_add((words.len() as u32) << 2);
    let (mut a, mut b, mut c) = (first, first, first);
    let mut rest = &words[..];
    while let [x, y, z, after @ ..] = rest {
        if after.is_empty() {
            break;
        }
        (a, b, c) = (a.wrapping_add(*x), b.wrapping_add(*y), c.wrapping_add(*z));
        (a, b, c) = mix(a, b, c);
        rest = after;
    }
    let Some(&x) = rest.first() else { return c };
    a = a.wrapping_add(x);
    b = b.wrapping_add(rest.get(1).copied().unwrap_or(0));
    c = c.wrapping_add(rest.get(2).copied().unwrap_or(0));
    last(a, b, c)
}

/// One round of lookup3 for three words of many.
fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    for bits in [[4, 6, 8], [16, 19, 4]] {
        a = a.wrapping_sub(c) ^ c.rotate_left(bits[0]);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(bits[1]);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(bits[2]);
        b = b.wrapping_add(a);
    }
    (a, b, c)
}

/// The last round of lookup3.
fn last(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup3_gives_its_published_value() {
        // Of no words at all: the start. The author's own: "hashword of nothing is deadbeef".
        assert_eq!(hash(&[]), 0xdead_beef);
    }

    #[test]
    fn a_trace_keeps_its_number_and_full_maps_say_so() {
        let stacks = Stacks::new(2, 16);
        let first = stacks.id(&[1, 2, 3], 0).expect("room");
        assert_eq!(stacks.id(&[1, 2], 0), Ok(first), "cut to the map's depth");
        let mut value = [0; 16];
        assert_eq!(stacks.read(first, &mut value), Ok(()));
        assert_eq!(value[..8], 1u64.to_ne_bytes());
        assert_eq!(stacks.next(None), Ok(first));
        assert_eq!(stacks.delete(first), Ok(()));
        assert_eq!(stacks.delete(first), Err(Errno::ENOENT));
        assert_eq!(stacks.delete(99), Err(Errno::E2BIG));
        assert_eq!(stacks.read(99, &mut value), Err(Errno::ENOENT));
    }
}
