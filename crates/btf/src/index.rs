//! Types by essential name: a chained hash table in two flat vectors.
//!
//! It holds positions, not names; whoever asks compares the name. All flavours
//! of a name share a chain, in the order of their ids, so one table serves exact
//! look-ups and CO-RE's candidate search.

use std::hash::Hasher;

use rustc_hash::FxHasher;

const END: u32 = u32::MAX;

pub(crate) struct NameIndex {
    /// The first position of each bucket; their number is a power of two.
    heads: Vec<u32>,
    /// The position after each position.
    next: Vec<u32>,
}

impl NameIndex {
    /// Indexes names by their position. Empty names are left out.
    pub fn build<'a>(names: impl ExactSizeIterator<Item = &'a str> + DoubleEndedIterator) -> Self {
        let len = names.len();
        let mut index =
            NameIndex { heads: vec![END; len.next_power_of_two()], next: vec![END; len] };
        // From the back, so that each chain ascends.
        for (position, name) in names.enumerate().rev() {
            if !name.is_empty() {
                let bucket = index.bucket(name);
                index.next[position] = std::mem::replace(&mut index.heads[bucket], position as u32);
            }
        }
        index
    }

    fn bucket(&self, name: &str) -> usize {
        let mut hasher = FxHasher::default();
        hasher.write(name.as_bytes());
        hasher.finish() as usize & (self.heads.len() - 1)
    }

    /// The positions whose name may be `name`, ascending.
    pub fn candidates(&self, name: &str) -> impl Iterator<Item = u32> {
        let first = self.heads[self.bucket(name)];
        std::iter::successors(Some(first), |&at| self.next.get(at as usize).copied())
            .take_while(|&at| at != END)
    }
}

/// A name without its `___flavor`: what stands before the last triple underscore
/// that has a character other than `_` on both sides.
pub fn essential_name(name: &str) -> &str {
    let is_separator =
        |window: &[u8]| window[0] != b'_' && &window[1..4] == b"___" && window[4] != b'_';
    match name.as_bytes().windows(5).rposition(is_separator) {
        // An underscore follows, so this is a character boundary.
        Some(last_kept) => &name[..=last_kept],
        None => name,
    }
}
