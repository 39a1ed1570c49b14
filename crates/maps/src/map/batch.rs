//! Batch commands: many elements by one system call.
//!
//! Hash maps walk their own table; the others go from key to key ([`Kind::read_batch`]).

use skep_abi::Errno;
use skep_abi::flags::update;

use super::Map;
use super::storage::{Storage, kind};
use crate::kinds::batch::{Batch, BatchKind};
use crate::kinds::kind::Kind;

/// How a batch command ended. Linux writes count and cursor back even with some errors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchResult {
    /// What the command returns.
    pub result: Result<(), Errno>,
    /// What to write to `batch.count`, if anything.
    pub count: Option<u32>,
    /// What to write to `batch.out_batch`, if anything.
    pub cursor: Option<Vec<u8>>,
}

impl BatchResult {
    fn refused(errno: Errno) -> BatchResult {
        BatchResult { result: Err(errno), count: None, cursor: None }
    }

    fn nothing_asked() -> BatchResult {
        BatchResult { result: Ok(()), count: None, cursor: None }
    }
}

impl Map {
    /// Bytes of `in_batch` and `out_batch`.
    pub fn batch_cursor_size(&self) -> usize {
        if self.counts_batches() { size_of::<u32>() } else { self.key_size as usize }
    }

    fn counts_batches(&self) -> bool {
        kind!(&self.storage, |kind| Kind::counts_batches(kind))
    }

    /// Whether the map's type has a batch command; ENOTSUPP if not.
    pub fn batch_supported(&self, kind: BatchKind) -> Result<(), Errno> {
        let supported = kind!(&self.storage, |that| Kind::has_batch(that, kind));
        if supported { Ok(()) } else { Err(Errno::ENOTSUPP) }
    }

    /// MAP_LOOKUP_BATCH, or with `delete` MAP_LOOKUP_AND_DELETE_BATCH. `keys` and `values`
    /// have room for `batch.count` elements.
    pub fn lookup_batch(
        &self,
        cursor: Option<&[u8]>,
        keys: &mut [u8],
        values: &mut [u8],
        elem_flags: u64,
        flags: u64,
        delete: bool,
    ) -> BatchResult {
        let kind = if delete { BatchKind::LookupAndDelete } else { BatchKind::Lookup };
        if let Err(errno) = self.batch_supported(kind) {
            return BatchResult::refused(errno);
        }
        if let Err(errno) = self.check_batch_flags(elem_flags) {
            return BatchResult::refused(errno);
        }
        if self.counts_batches() && flags != 0 {
            return BatchResult::refused(Errno::EINVAL);
        }
        if keys.is_empty() || values.is_empty() {
            return BatchResult::nothing_asked();
        }
        let keys = (keys, self.key_size as usize);
        let mut batch = Batch::new(keys, (values, self.user_value_size()));
        let (cursor, result) = kind!(&self.storage, |kind| {
            Kind::read_batch(kind, cursor, &mut batch, delete, elem_flags != 0)
        });
        BatchResult { result, count: Some(batch.done()), cursor }
    }

    /// MAP_UPDATE_BATCH of a map that holds values: as many elements as both slices hold.
    pub fn update_batch(&self, keys: &[u8], values: &[u8], elem_flags: u64) -> BatchResult {
        self.update_batch_with(keys, values, elem_flags, |key, value| {
            self.update_from_user(key, value, elem_flags)
        })
    }

    /// MAP_UPDATE_BATCH with the update of one element, for maps that hold objects.
    pub fn update_batch_with(
        &self,
        keys: &[u8],
        values: &[u8],
        elem_flags: u64,
        mut update: impl FnMut(&[u8], &[u8]) -> Result<(), Errno>,
    ) -> BatchResult {
        if let Err(errno) = self.batch_supported(BatchKind::Update) {
            return BatchResult::refused(errno);
        }
        let keys = keys.chunks_exact(self.key_size as usize);
        let values = values.chunks_exact(self.user_value_size());
        if let Err(errno) = self.check_batch_flags(elem_flags) {
            return BatchResult::refused(errno);
        }
        each(keys.zip(values), |(key, value)| update(key, value))
    }

    /// MAP_DELETE_BATCH: as many elements as the slice holds.
    pub fn delete_batch(&self, keys: &[u8], elem_flags: u64) -> BatchResult {
        if let Err(errno) = self.batch_supported(BatchKind::Delete) {
            return BatchResult::refused(errno);
        }
        let keys = keys.chunks_exact(self.key_size as usize);
        if let Err(errno) = self.check_batch_flags(elem_flags) {
            return BatchResult::refused(errno);
        }
        each(keys, |key| self.delete_from_user(key))
    }

    /// `elem_flags` may be `BPF_F_LOCK`, where values have one.
    fn check_batch_flags(&self, elem_flags: u64) -> Result<(), Errno> {
        if elem_flags & !update::LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.check_lock(elem_flags)
    }
}

/// Does the same to one element after the other, up to the first error.
fn each<T>(
    mut elements: impl ExactSizeIterator<Item = T>,
    mut act: impl FnMut(T) -> Result<(), Errno>,
) -> BatchResult {
    if elements.len() == 0 {
        return BatchResult::nothing_asked();
    }
    let mut count = 0;
    let result = elements.try_for_each(|element| {
        act(element)?;
        count += 1;
        Ok(())
    });
    BatchResult { result, count: Some(count), cursor: None }
}
