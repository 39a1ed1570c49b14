//! Room for the elements that a batch command takes at once.

/// Where a batch of elements goes: room for as many keys and values as both slices hold.
#[derive(Debug)]
pub struct Batch<'a> {
    keys: std::slice::ChunksExactMut<'a, u8>,
    values: std::slice::ChunksExactMut<'a, u8>,
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
            done: 0,
        }
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
