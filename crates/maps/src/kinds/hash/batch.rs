//! Batches: many elements by one system call.
//!
//! A chain is copied while it is held, so a key cannot appear twice in a batch or be
//! missed in a walk because of an update. The cursor between calls counts 8 per home
//! bucket: its 7 slots and, as one, the rest of its chain. (Linux's counts its own
//! buckets, whose entries it can only hand out together; user space must not look
//! into it anyway.)

use skep_abi::Errno;

use super::Hash;
use super::bucket::{Chain, SLOTS};
use super::table::EmptyBucket;
use crate::kinds::batch::Batch;
use crate::mem::words;

/// What left a chain that is still held.
#[derive(Default)]
struct Freed {
    elements: Vec<u32>,
    buckets: Vec<EmptyBucket>,
}

const REST: u32 = SLOTS as u32;

impl Hash {
    /// Copies elements out, and deletes them if so asked, from a cursor on. Returns the
    /// next cursor: with ENOENT at the end of the table, with ENOSPC when the rest of one
    /// chain alone does not fit, with EBUSY where a value's lock is not given back.
    pub fn batch(
        &self,
        cursor: u32,
        batch: &mut Batch<'_>,
        delete: bool,
        locked: bool,
    ) -> (u32, Result<(), Errno>) {
        let mut from = cursor % 8;
        for home in cursor / 8.. {
            let Some(mut chain) = self.table.lock_home(home) else {
                return (home.saturating_mul(8), Err(Errno::ENOENT));
            };
            let mut freed = Freed::default();
            let freeing = delete.then_some(&mut freed);
            let stopped = self.read_chain(&mut chain, from, batch, freeing, locked);
            drop(chain);
            for element in freed.elements {
                self.give(self.cpus, element);
            }
            for bucket in freed.buckets {
                self.table.recycle(bucket);
            }
            match stopped {
                Ok(None) => {}
                Ok(Some(ordinal)) => {
                    let result = if batch.done() > 0 { Ok(()) } else { Err(Errno::ENOSPC) };
                    return (home * 8 + ordinal, result);
                }
                Err(errno) => return (home * 8, Err(errno)),
            }
            from = 0;
        }
        (u32::MAX, Err(Errno::ENOENT))
    }

    /// Copies a chain from a slot on; the slot at which the batch was full, if it was.
    fn read_chain(
        &self,
        chain: &mut Chain<'_>,
        from: u32,
        batch: &mut Batch<'_>,
        mut freed: Option<&mut Freed>,
        locked: bool,
    ) -> Result<Option<u32>, Errno> {
        let elements = self.table.chain_elements(chain, from);
        let (near, rest): (Vec<_>, Vec<_>) =
            elements.into_iter().partition(|(ordinal, _)| *ordinal < REST);
        let units = near.chunks(1).chain([&rest[..]]).filter(|unit| !unit.is_empty());
        for unit in units {
            if batch.room() < unit.len() {
                return Ok(Some(unit[0].0.min(REST)));
            }
            for &(_, element) in unit {
                let (key, value) = batch.next();
                // SAFETY: the key is inside the element, 8-byte aligned.
                unsafe { words::load(key, self.table.key(element)) };
                self.copy_value(element, value, locked)?;
                if let Some(freed) = freed.as_deref_mut()
                    && let Some(place) = self.table.find_element(chain, element)
                {
                    freed.buckets.extend(self.table.unlink(chain, place));
                    freed.elements.push(element);
                }
            }
        }
        Ok(None)
    }
}
