//! Batch commands: many elements by one system call.
//!
//! Hash maps walk their own table; the others go from key to key, as Linux's
//! `generic_map_lookup_batch()` and its siblings do.

use skep_abi::flags::update;
use skep_abi::{Errno, MapType};

use super::{Map, Storage, index_of};
use crate::kinds::array::{Array, next_index};
use crate::kinds::batch::Batch;

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

/// What a batch command is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchKind {
    /// MAP_LOOKUP_BATCH.
    Lookup,
    /// MAP_LOOKUP_AND_DELETE_BATCH.
    LookupAndDelete,
    /// MAP_UPDATE_BATCH.
    Update,
    /// MAP_DELETE_BATCH.
    Delete,
}

impl Map {
    /// Bytes of `in_batch` and `out_batch`.
    pub fn batch_cursor_size(&self) -> usize {
        match &self.storage {
            Storage::Hash(_) | Storage::ObjectHash(_) => 4,
            _ => self.key_size as usize,
        }
    }

    /// Whether the map's type has a batch command; ENOTSUPP if not.
    pub fn batch_supported(&self, kind: BatchKind) -> Result<(), Errno> {
        let supported = match &self.storage {
            Storage::ObjectHash(_) if self.map_type == MapType::Sockhash => false,
            Storage::Hash(_) | Storage::ObjectHash(_) => true,
            Storage::Lpm(_) => kind != BatchKind::LookupAndDelete,
            Storage::Array(_) => matches!(kind, BatchKind::Lookup | BatchKind::Update),
            Storage::Objects(_) => {
                self.map_type == MapType::ArrayOfMaps
                    && matches!(kind, BatchKind::Lookup | BatchKind::Update)
            }
            _ => false,
        };
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
        let table = matches!(&self.storage, Storage::Hash(_) | Storage::ObjectHash(_));
        if let Err(errno) = self.check_batch_flags(elem_flags) {
            return BatchResult::refused(errno);
        }
        if table && flags != 0 {
            return BatchResult::refused(Errno::EINVAL);
        }
        if keys.is_empty() || values.is_empty() {
            return BatchResult::nothing_asked();
        }
        let keys = (keys, self.key_size as usize);
        let values = (values, self.user_value_size());
        let start = cursor.map_or(0, index_of);
        let (next, done, result) = match &self.storage {
            Storage::Hash(hash) => {
                let mut batch = Batch::new(keys, values);
                let (next, result) = hash.read_batch(start, &mut batch, delete, elem_flags != 0);
                (Some(next.to_ne_bytes().to_vec()), batch.done(), result)
            }
            Storage::ObjectHash(objects) => {
                let (next, done, result) = objects.read_batch(start, keys, values, delete);
                (Some(next.to_ne_bytes().to_vec()), done, result)
            }
            Storage::Array(array) => {
                let mut batch = Batch::new(keys, values);
                let (next, result) = self.lookup_indices(array, cursor, &mut batch, elem_flags);
                (next, batch.done(), result)
            }
            _ => {
                let mut batch = Batch::new(keys, values);
                let (next, result) = self.lookup_by_keys(cursor, &mut batch, elem_flags);
                (next, batch.done(), result)
            }
        };
        BatchResult { result, count: Some(done), cursor: next }
    }

    /// The same as [`Map::lookup_by_keys`] where keys are indices, of which there may be
    /// many millions.
    fn lookup_indices(
        &self,
        array: &Array,
        cursor: Option<&[u8]>,
        batch: &mut Batch<'_>,
        elem_flags: u64,
    ) -> (Option<Vec<u8>>, Result<(), Errno>) {
        let locked = match self.wants_lock(elem_flags) {
            Ok(locked) => locked,
            Err(errno) => return (None, Err(errno)),
        };
        let mut last = cursor.map(index_of);
        let mut result = Ok(());
        while batch.room() > 0 {
            let index = match next_index(last, self.max_entries) {
                Ok(index) => index,
                Err(errno) => {
                    result = Err(errno);
                    break;
                }
            };
            let (to_key, to_value) = batch.next();
            to_key.copy_from_slice(&index.to_ne_bytes());
            if let Err(errno) = array.read(index, to_value, locked) {
                return (None, Err(errno));
            }
            last = Some(index);
        }
        let next = last.filter(|_| batch.done() > 0).map(|last| last.to_ne_bytes().to_vec());
        (next, result)
    }

    /// `generic_map_lookup_batch()`: the cursor is the last key handed out.
    fn lookup_by_keys(
        &self,
        cursor: Option<&[u8]>,
        batch: &mut Batch<'_>,
        elem_flags: u64,
    ) -> (Option<Vec<u8>>, Result<(), Errno>) {
        let mut has_last = cursor.is_some();
        let mut last = cursor.map_or_else(|| vec![0; self.key_size as usize], <[u8]>::to_vec);
        let mut key = vec![0; self.key_size as usize];
        let mut value = vec![0; self.user_value_size()];
        let mut result = Ok(());
        while batch.room() > 0 {
            result = self.next_key(has_last.then_some(&last), &mut key);
            if result.is_err() {
                break;
            }
            match self.lookup_copy(&key, &mut value, elem_flags) {
                Ok(()) => {
                    let (to_key, to_value) = batch.next();
                    to_key.copy_from_slice(&key);
                    to_value.copy_from_slice(&value);
                }
                // Deleted meanwhile, or an empty slot.
                Err(Errno::ENOENT) => {}
                Err(errno) => return (None, Err(errno)),
            }
            last.clear();
            last.extend_from_slice(&key);
            has_last = true;
        }
        (Some(last).filter(|_| batch.done() > 0), result)
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
