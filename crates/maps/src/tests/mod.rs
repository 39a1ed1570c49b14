//! Maps against a model, and against the running kernel's maps where bpf(2) is
//! allowed: random sequences of system calls must give the same errors, values and
//! sets of keys.

mod concurrency;
mod create;
mod linux;
mod locks;
mod objects;
mod ringbuf;
mod sequences;
mod subjects;

use skep_abi::Errno;

/// What a map can be asked through system calls.
pub trait Subject {
    /// What to call it in a failure.
    fn name(&self) -> &'static str;
    fn lookup(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno>;
    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno>;
    fn delete(&mut self, key: &[u8]) -> Result<(), Errno>;
    fn lookup_and_delete(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno>;
    fn next_key(&mut self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno>;
    fn read_batch(&mut self, count: usize, delete: bool) -> (Result<(), Errno>, Vec<Pair>);
    fn update_batch(&mut self, pairs: &[Pair]) -> (Result<(), Errno>, u32);
    fn delete_batch(&mut self, keys: &[Vec<u8>]) -> (Result<(), Errno>, u32);
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Elements in an order that does not depend on a table.
pub fn sorted(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.sort();
    pairs
}

/// Random numbers, the same in each run.
pub struct Random(fastrand::Rng);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(fastrand::Rng::with_seed(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
