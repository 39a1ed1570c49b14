//! Queues and stacks.
//!
//! A ring of `max_entries + 1` slots under one lock: a queue gives from its tail, a
//! stack from its head; a push with `BPF_EXIST` into a full one overwrites the
//! oldest. Answers to `kernel/bpf/queue_stack_maps.c`.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use skep_abi::{Errno, flags};

use super::Caller;
use super::kind::Kind;
use crate::mem::{Mapping, words};
use crate::spin::SpinLock;

/// A queue or a stack.
#[derive(Debug)]
pub struct Queue {
    values: Mapping,
    lock: SpinLock,
    /// Under `lock`: where the next value goes, and the oldest one.
    head: AtomicU32,
    tail: AtomicU32,
    slots: u32,
    value_size: usize,
    last_first: bool,
}

impl Queue {
    /// Bytes for that many values.
    pub fn footprint(max_entries: u32, value_size: u32) -> u64 {
        (u64::from(max_entries) + 1) * u64::from(value_size).next_multiple_of(8)
    }

    /// An empty queue, or a stack if the last one in is the first one out.
    pub fn new(max_entries: u32, value_size: u32, last_first: bool) -> Result<Queue, Errno> {
        Ok(Queue {
            values: Mapping::new(Queue::footprint(max_entries, value_size))?,
            lock: SpinLock::default(),
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            slots: max_entries + 1,
            value_size: value_size as usize,
            last_first,
        })
    }

    fn value(&self, slot: u32) -> *mut u8 {
        debug_assert!(slot < self.slots);
        // SAFETY: `head` and `tail` stay below `slots`, for which there is room.
        unsafe { self.values.base().add(slot as usize * self.value_size.next_multiple_of(8)) }
    }

    fn after(&self, slot: u32) -> u32 {
        if slot + 1 < self.slots { slot + 1 } else { 0 }
    }

    /// Adds a value. E2BIG when full, unless `BPF_EXIST` makes room.
    pub fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags & flags::update::NOEXIST != 0 || flags > flags::update::EXIST {
            return Err(Errno::EINVAL);
        }
        let _held = self.lock.lock();
        let (head, tail) = (self.head.load(Relaxed), self.tail.load(Relaxed));
        if self.after(head) == tail {
            if flags & flags::update::EXIST == 0 {
                return Err(Errno::E2BIG);
            }
            self.tail.store(self.after(tail), Relaxed);
        }
        // SAFETY: the slot has room for a value and is 8-byte aligned.
        unsafe { words::store(self.value(head), &value[..self.value_size]) };
        self.head.store(self.after(head), Relaxed);
        Ok(())
    }

    /// The next value, which `remove` takes out. An empty one fills `out` with zeros and is
    /// ENOENT.
    pub fn get(&self, out: &mut [u8], remove: bool) -> Result<(), Errno> {
        let _held = self.lock.lock();
        let (head, tail) = (self.head.load(Relaxed), self.tail.load(Relaxed));
        if head == tail {
            out.fill(0);
            return Err(Errno::ENOENT);
        }
        let before_head = if head == 0 { self.slots - 1 } else { head - 1 };
        let slot = if self.last_first { before_head } else { tail };
        // SAFETY: the slot holds a value and is 8-byte aligned.
        unsafe { words::load(&mut out[..self.value_size], self.value(slot)) };
        if remove && self.last_first {
            self.head.store(before_head, Relaxed);
        } else if remove {
            self.tail.store(self.after(tail), Relaxed);
        }
        Ok(())
    }
}

/// For system calls an update is a push, and a look-up a peek.
impl Kind for Queue {
    fn read(&self, _key: &[u8], out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        self.get(out, false)
    }

    fn take(&self, _key: &[u8], out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        self.get(out, true)
    }

    fn update(&self, _key: &[u8], value: &[u8], flags: u64, by: Caller) -> Result<(), Errno> {
        match by {
            Caller::System => self.push(value, flags),
            Caller::Program(_) => Err(Errno::EINVAL),
        }
    }

    fn next_key(&self, _key: Option<&[u8]>, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        self.push(value, flags)
    }

    fn pop(&self, out: &mut [u8]) -> Result<(), Errno> {
        self.get(out, true)
    }

    fn peek(&self, out: &mut [u8]) -> Result<(), Errno> {
        self.get(out, false)
    }
}
