//! Hash maps, plain ones and those with values of each CPU or that forget, as a kind.

use std::ptr::NonNull;

use skep_abi::Errno;

use super::Caller;
use super::batch::{Batch, BatchKind};
use super::hash::{Hash, Position};
use super::kind::{Element, Kind, index_of};

impl Kind for Hash {
    #[inline(always)]
    fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        self.lookup(key, cpu)
    }

    fn read(&self, key: &[u8], out: &mut [u8], locked: bool) -> Result<(), Errno> {
        self.read(key, out, locked)
    }

    fn take(&self, key: &[u8], out: &mut [u8], locked: bool) -> Result<(), Errno> {
        self.read_and_delete(key, out, locked)
    }

    #[inline]
    fn update(&self, key: &[u8], value: &[u8], flags: u64, by: Caller) -> Result<(), Errno> {
        self.update(key, value, flags, by)
    }

    fn delete(&self, key: &[u8], by: Caller) -> Result<(), Errno> {
        self.delete(key, by)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        self.next_key(key, out)
    }

    #[inline]
    fn walk(&self, from: Position, cpu: u32) -> Option<(Element, Position)> {
        let (key, value, next) = self.walk(from, cpu)?;
        Some((Element { key: Some(key), index: 0, value }, next))
    }

    fn has_batch(&self, _kind: BatchKind) -> bool {
        true
    }

    fn counts_batches(&self) -> bool {
        true
    }

    fn read_batch(
        &self,
        cursor: Option<&[u8]>,
        batch: &mut Batch<'_>,
        delete: bool,
        locked: bool,
    ) -> (Option<Vec<u8>>, Result<(), Errno>) {
        let (next, result) = self.batch(cursor.map_or(0, index_of), batch, delete, locked);
        (Some(next.to_ne_bytes().to_vec()), result)
    }
}
