//! Room for the elements that a batch command takes at once.

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

/// Where a batch of elements goes: room for as many keys and values as both slices hold.
#[derive(Debug)]
pub struct Batch<'a> {
    keys: std::slice::ChunksExactMut<'a, u8>,
    values: std::slice::ChunksExactMut<'a, u8>,
    key_size: usize,
    value_size: usize,
    done: u32,
}

impl<'a> Batch<'a> {
    pub fn new(
        (keys, key_size): (&'a mut [u8], usize),
        (values, value_size): (&'a mut [u8], usize),
    ) -> Batch<'a> {
        Batch {
            keys: keys.chunks_exact_mut(key_size),
            values: values.chunks_exact_mut(value_size),
            key_size,
            value_size,
            done: 0,
        }
    }

    /// Bytes of a key.
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// Bytes of a value, as user space sees it.
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// Elements that still fit.
    pub fn room(&self) -> usize {
        self.keys.len().min(self.values.len())
    }

    /// The next element's key and value, to be filled; empty when there is no room.
    pub fn next(&mut self) -> (&'a mut [u8], &'a mut [u8]) {
        self.done += 1;
        (self.keys.next().unwrap_or_default(), self.values.next().unwrap_or_default())
    }

    /// Elements so far.
    pub fn done(&self) -> u32 {
        self.done
    }
}
