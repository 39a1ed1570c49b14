//! Arenas: sparse memory that a program shares with user space, of which it asks for pages. Both
//! see it at the same address. Pages that nobody asked for read as zeros; what is stored there
//! is kept, where Linux would keep nothing. Answers to `kernel/bpf/arena.c`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_abi::Errno;

use super::Caller;
use super::kind::Kind;
use crate::mem::{Mapping, PAGE, words};

/// Most pages of one: 4 GiB.
const LARGEST: u32 = 1 << 20;

/// An arena.
#[derive(Debug)]
pub struct Arena {
    memory: Mapping,
    /// Runs of pages that nobody has: first page and count, in order, apart from each other.
    free: Mutex<Vec<(u32, u32)>>,
    pages: u32,
}

impl Arena {
    /// One of so many pages.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(pages: u32) -> Result<Arena, Errno> {
        let memory = Mapping::new(u64::from(pages) * PAGE as u64)?;
        memory.base().expose_provenance();
        // The end of the largest is no number of 32 bits: Linux never gives out its last page.
        let given = if pages == LARGEST { pages - 1 } else { pages };
        Ok(Arena { memory, free: Mutex::new(vec![(0, given)]), pages })
    }

    fn free(&self) -> MutexGuard<'_, Vec<(u32, u32)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its first byte.
    pub fn base(&self) -> *mut u8 {
        self.memory.base()
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.pages as usize * PAGE
    }

    /// Whether it has no pages, which none has.
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// The page at an address, which user space or a program knows.
    pub fn page_at(&self, address: u64) -> Option<u32> {
        let offset = address.wrapping_sub(self.base().addr() as u64);
        let page = u32::try_from(offset / PAGE as u64).ok()?;
        (page < self.pages && offset.is_multiple_of(PAGE as u64)).then_some(page)
    }

    /// Address of a page.
    pub fn address(&self, page: u32) -> u64 {
        self.base().addr() as u64 + u64::from(page) * PAGE as u64
    }

    /// Takes pages that nobody has, zeroed: from `at` on, or where fewest are left over.
    pub fn take(&self, at: Option<u32>, count: u32) -> Option<u32> {
        let mut free = self.free();
        let fits = |&(first, len): &(u32, u32)| match at {
            Some(at) => first <= at && u64::from(at) + u64::from(count) <= u64::from(first + len),
            None => len >= count,
        };
        let runs = free.iter().enumerate().filter(|(_, run)| count > 0 && fits(run));
        let (index, (first, len)) =
            runs.min_by_key(|(_, (_, len))| *len).map(|(index, run)| (index, *run))?;
        let start = at.unwrap_or(first);
        let rest = [(first, start - first), (start + count, first + len - start - count)];
        free.splice(index..=index, rest.into_iter().filter(|(_, len)| *len > 0));
        drop(free);
        self.clear(start, count);
        Some(start)
    }

    /// Gives pages back, as far as they are its; those that nobody has stay so.
    pub fn give_back(&self, at: u32, count: u32) {
        let given = if self.pages == LARGEST { self.pages - 1 } else { self.pages };
        let end = at.saturating_add(count).min(given);
        if at >= end {
            return;
        }
        self.clear(at, end - at);
        let mut free = self.free();
        let mut all = free.clone();
        all.push((at, end - at));
        all.sort_unstable();
        free.clear();
        for (first, len) in all {
            match free.last_mut() {
                Some((before, run)) if *before + *run >= first => {
                    *run = (*run).max(first + len - *before);
                }
                _ => free.push((first, len)),
            }
        }
    }

    fn clear(&self, at: u32, count: u32) {
        let zeros = [0; PAGE];
        for page in at..at + count {
            // SAFETY: the page is inside of the memory, and aligned.
            unsafe { words::store(self.base().add(page as usize * PAGE), &zeros) };
        }
    }
}

/// Its pages are no elements.
impl Kind for Arena {
    fn read(&self, _key: &[u8], _out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn update(&self, _key: &[u8], _value: &[u8], _flags: u64, _by: Caller) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn delete(&self, _key: &[u8], _by: Caller) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_taken_where_they_fit_best_and_come_back() {
        let arena = Arena::new(10).expect("memory");
        assert_eq!(arena.take(None, 4), Some(0));
        assert_eq!(arena.take(Some(3), 1), None);
        assert_eq!(arena.take(Some(5), 2), Some(5));
        assert_eq!(arena.take(None, 1), Some(4), "of one page rather than of three");
        assert_eq!(arena.take(None, 4), None);
        arena.give_back(3, 3);
        assert_eq!(arena.take(None, 3), Some(3));
        arena.give_back(8, 100);
        assert_eq!(arena.take(None, 3), Some(7));
        assert_eq!(arena.take(None, 0), None);
        assert_eq!(arena.page_at(arena.address(9)), Some(9));
        assert_eq!(arena.page_at(arena.address(9) + 1), None);
        assert_eq!(arena.page_at(arena.address(10)), None);
    }
}
