//! Ring buffers, to user space and from it.
//!
//! The memory is laid out as on Linux, for user space maps it: a page with the
//! consumer's position, a page with the producer's, the data; the data is mapped
//! twice in a row, so that every record is contiguous. A page of our own in front
//! names the ring to whoever has only a record, whose header says how many pages
//! away it is. Positions and record headers are shared with user space and
//! therefore never trusted with more than the ring's own bytes. Answers to
//! `kernel/bpf/ringbuf.c`.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use skep_abi::Errno;
use skep_abi::ring::{BUSY, DISCARDED, HEADER};

use super::Caller;
use super::kind::Kind;
use crate::mem::{PAGE, SharedMemory, words};
use crate::notify::Notifier;
use crate::spin::SpinLock;

/// `bpf_ringbuf_query`'s questions, by number.
const QUERIES: u64 = 4;

/// Flags of `bpf_ringbuf_submit`, `bpf_ringbuf_discard` and `bpf_ringbuf_output`.
pub mod wakeup {
    /// Wake nobody.
    pub const NO: u64 = 1;
    /// Wake in any case.
    pub const FORCE: u64 = 2;
}

/// A ring buffer.
#[derive(Debug)]
pub struct RingBuf {
    memory: SharedMemory,
    mask: u64,
    lock: SpinLock,
    /// A program is draining a user ring buffer.
    draining: AtomicBool,
    notifier: Notifier,
}

/// A record that user space wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Address of its first byte.
    pub address: NonNull<u8>,
    /// Its length in bytes.
    pub len: u32,
}

impl RingBuf {
    /// Bytes of a ring with `size` bytes of data.
    pub fn footprint(size: u32) -> u64 {
        u64::from(size) + 3 * PAGE as u64
    }

    /// An empty ring; EINVAL unless `size` is a power of two and a multiple of the page size.
    pub fn new(size: u32) -> Result<Box<RingBuf>, Errno> {
        let data = size as usize;
        if !size.is_power_of_two() || !data.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let ring = Box::new(RingBuf {
            memory: SharedMemory::new(PAGE, 2 * PAGE + data, data)?,
            mask: u64::from(size) - 1,
            lock: SpinLock::default(),
            draining: AtomicBool::new(false),
            notifier: Notifier::default(),
        });
        ring.owner().store((&raw const *ring).cast_mut(), Ordering::Release);
        Ok(ring)
    }

    /// The word in the private page that leads from a record to its ring.
    fn owner(&self) -> &AtomicPtr<RingBuf> {
        // SAFETY: the first word of the private page, which stands before the memory.
        unsafe { AtomicPtr::from_ptr(self.memory.base().sub(PAGE).cast()) }
    }

    fn position(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: callers ask for words of the two position pages only.
        unsafe { AtomicU64::from_ptr(self.memory.base().add(offset).cast()) }
    }

    fn consumer(&self) -> &AtomicU64 {
        self.position(0)
    }

    fn producer(&self) -> &AtomicU64 {
        self.position(PAGE)
    }

    /// Position of the oldest record that may still be busy.
    fn pending(&self) -> &AtomicU64 {
        self.position(PAGE + 8)
    }

    fn data(&self) -> *mut u8 {
        // SAFETY: the data stands behind the two position pages.
        unsafe { self.memory.base().add(2 * PAGE) }
    }

    /// The header at a position. Positions that are not multiples of 8 are rounded down.
    fn header(&self, position: u64) -> *mut u8 {
        // SAFETY: masked, it is inside the data.
        unsafe { self.data().add((position & self.mask & !7) as usize) }
    }

    fn length(&self, header: *mut u8) -> &AtomicU32 {
        // SAFETY: a header is 8 bytes inside the data, 8-byte aligned.
        unsafe { AtomicU32::from_ptr(header.cast()) }
    }

    /// `bpf_ringbuf_reserve`: room for `size` bytes, or none. `flags` have to be 0.
    #[inline]
    pub fn reserve(&self, size: u64, flags: u64) -> Option<NonNull<u8>> {
        if flags != 0 { None } else { self.reserve_record(size) }
    }

    fn reserve_record(&self, size: u64) -> Option<NonNull<u8>> {
        if size > u64::from(u32::MAX / 4) {
            return None;
        }
        let len = (size + HEADER).next_multiple_of(8);
        if len > self.mask + 1 {
            return None;
        }
        let consumer = self.consumer().load(Ordering::Acquire);
        let _held = self.lock.lock();
        let producer = self.producer().load(Ordering::Relaxed);
        let mut pending = self.pending().load(Ordering::Relaxed);
        while producer.wrapping_sub(pending) as i64 > 0 {
            let header = self.length(self.header(pending)).load(Ordering::Acquire);
            if header & BUSY != 0 {
                break;
            }
            let record = u64::from(header & !DISCARDED) + HEADER;
            pending = pending.wrapping_add(record.next_multiple_of(8));
        }
        self.pending().store(pending, Ordering::Relaxed);
        let end = producer.wrapping_add(len);
        if end.wrapping_sub(consumer) > self.mask || end.wrapping_sub(pending) > self.mask {
            return None;
        }
        let header = self.header(producer);
        let pages = (header as usize - self.memory.base() as usize + PAGE) / PAGE;
        // SAFETY: the header's second word, 4-byte aligned.
        unsafe { AtomicU32::from_ptr(header.add(4).cast()) }.store(pages as u32, Ordering::Relaxed);
        self.length(header).store(size as u32 | BUSY, Ordering::Relaxed);
        self.producer().store(end, Ordering::Release);
        // SAFETY: the record follows its header, inside the data or its repetition.
        NonNull::new(unsafe { header.add(HEADER as usize) })
    }

    /// `bpf_ringbuf_submit`, and with `discard` `bpf_ringbuf_discard`: hands a reserved record
    /// over. An address that is not in the ring is ignored.
    #[inline]
    pub fn commit(&self, record: NonNull<u8>, flags: u64, discard: bool) {
        let offset = (record.as_ptr() as usize).wrapping_sub(self.data() as usize);
        if !offset.is_multiple_of(8)
            || offset < HEADER as usize
            || offset as u64 > self.mask + HEADER
        {
            return;
        }
        let position = offset as u64 - HEADER;
        let length = self.length(self.header(position));
        let mut header = length.load(Ordering::Relaxed) ^ BUSY;
        if discard {
            header |= DISCARDED;
        }
        length.swap(header, Ordering::SeqCst);
        let consumer = self.consumer().load(Ordering::Acquire) & self.mask;
        if flags & wakeup::FORCE != 0 || consumer == position && flags & wakeup::NO == 0 {
            self.notifier.notify();
        }
    }

    /// Whether an address is in the data of the ring, whose records may go on behind it.
    pub fn holds(&self, record: NonNull<u8>) -> bool {
        let offset = (record.as_ptr() as usize).wrapping_sub(self.data() as usize);
        offset as u64 <= self.mask + HEADER
    }

    /// The ring of a record.
    ///
    /// # Safety
    /// `record` came from [`RingBuf::reserve`] of a ring that is alive, and user space has
    /// not overwritten its header.
    pub unsafe fn of_record<'a>(record: NonNull<u8>) -> &'a RingBuf {
        // SAFETY: the header stands before the record and counts the pages back to the page
        // in front of the ring, whose first word is the ring's address.
        unsafe {
            let header = record.as_ptr().sub(HEADER as usize);
            let pages = AtomicU32::from_ptr(header.add(4).cast()).load(Ordering::Relaxed);
            let page = (header as usize & !(PAGE - 1)) - pages as usize * PAGE;
            let owner = header.wrapping_sub(header as usize - page).cast::<*mut RingBuf>();
            &*AtomicPtr::from_ptr(owner).load(Ordering::Acquire)
        }
    }

    /// `bpf_ringbuf_output`: EAGAIN when there is no room.
    pub fn output(&self, data: &[u8], flags: u64) -> Result<(), Errno> {
        if flags & !(wakeup::NO | wakeup::FORCE) != 0 {
            return Err(Errno::EINVAL);
        }
        let record = self.reserve_record(data.len() as u64).ok_or(Errno::EAGAIN)?;
        // SAFETY: the record has room for the data and is 8-byte aligned.
        unsafe { words::store(record.as_ptr(), data) };
        self.commit(record, flags, false);
        Ok(())
    }

    /// `bpf_ringbuf_query`: bytes not consumed yet, size, consumer's and producer's position;
    /// 0 for other questions.
    pub fn query(&self, question: u64) -> u64 {
        let consumer = || self.consumer().load(Ordering::Acquire);
        let producer = || self.producer().load(Ordering::Acquire);
        match question {
            0 => self.available(),
            1 => self.mask + 1,
            2 => consumer(),
            3 => producer(),
            QUERIES.. => 0,
        }
    }

    /// Bytes that the consumer has not consumed yet: what `poll(2)` on the map looks at.
    #[inline]
    pub fn available(&self) -> u64 {
        let consumer = self.consumer().load(Ordering::Acquire);
        self.producer().load(Ordering::Acquire).wrapping_sub(consumer)
    }

    /// What wakes those who wait for the map.
    #[inline]
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// The memory that user space maps.
    pub fn shared(&self) -> &SharedMemory {
        &self.memory
    }

    // The other direction (`bpf_user_ringbuf_drain`).

    /// Begins to drain: EBUSY while another program does.
    pub fn begin_drain(&self) -> Result<(), Errno> {
        let taken =
            self.draining.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        taken.map(|_| ()).map_err(|_| Errno::EBUSY)
    }

    /// Ends to drain and tells the producers, if told to or if something was drained and they
    /// are to be told then.
    pub fn end_drain(&self, drained: u64, flags: u64) {
        self.draining.store(false, Ordering::Release);
        if flags & wakeup::FORCE != 0 || flags & wakeup::NO == 0 && drained > 0 {
            self.notifier.notify();
        }
    }

    /// The next sample. ENODATA when there is none, EAGAIN when it was a discarded one, which
    /// is skipped; EINVAL and E2BIG for what no producer may write.
    pub fn next_sample(&self) -> Result<Sample, Errno> {
        let producer = self.producer().load(Ordering::Acquire);
        if !producer.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let consumer = self.consumer().load(Ordering::Acquire);
        if consumer >= producer {
            return Err(Errno::ENODATA);
        }
        let header = self.header(consumer);
        let word = self.length(header).load(Ordering::Acquire);
        let len = word & !(BUSY | DISCARDED);
        let total = (u64::from(len) + HEADER).next_multiple_of(8);
        if total > producer - consumer {
            return Err(Errno::EINVAL);
        }
        // A dynptr counts 24 bits.
        if total > self.mask + 1 || len >= 1 << 24 {
            return Err(Errno::E2BIG);
        }
        if word & DISCARDED != 0 {
            self.consumer().store(consumer + total, Ordering::Release);
            return Err(Errno::EAGAIN);
        }
        if word & BUSY != 0 {
            return Err(Errno::ENODATA);
        }
        // SAFETY: the sample follows its header, inside the data or its repetition.
        let address = NonNull::new(unsafe { header.add(HEADER as usize) }).ok_or(Errno::EINVAL)?;
        Ok(Sample { address, len })
    }

    /// Lets the producer reuse a sample's room.
    pub fn release_sample(&self, sample: Sample) {
        let total = (u64::from(sample.len) + HEADER).next_multiple_of(8);
        self.consumer().fetch_add(total, Ordering::Release);
    }
}

/// Its records are no elements.
impl Kind for RingBuf {
    fn update(&self, _key: &[u8], _value: &[u8], _flags: u64, _by: Caller) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn delete(&self, _key: &[u8], _by: Caller) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn next_key(&self, _key: Option<&[u8]>, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }
}
