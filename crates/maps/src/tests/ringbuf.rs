//! A ring buffer, read the way that libbpf reads one: through its own mapping.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use skep_abi::{Errno, MapType};

use crate::mem::PAGE;
use crate::{Map, MapAttr, RingBuf, UserMapping};

const SIZE: u32 = 2 * PAGE as u32;

fn create(map_type: MapType) -> Arc<Map> {
    Map::create(&MapAttr::new(map_type, 0, 0, SIZE), 1).unwrap()
}

/// The consumer's two mappings.
struct Consumer {
    position: UserMapping,
    rest: UserMapping,
    at: u64,
}

impl Consumer {
    fn new(map: &Arc<Map>) -> Consumer {
        let position = map.map_into_user(0, PAGE, true).unwrap();
        let rest = map.map_into_user(PAGE, PAGE + 2 * SIZE as usize, false).unwrap();
        Consumer { position, rest, at: 0 }
    }

    fn word(mapping: &UserMapping, offset: usize) -> &AtomicU64 {
        assert!(offset + 8 <= mapping.view().len() && offset.is_multiple_of(8));
        // SAFETY: inside the mapping and aligned, as just asserted; it lives as long as the
        // borrow.
        unsafe { AtomicU64::from_ptr(mapping.view().base().as_ptr().add(offset).cast()) }
    }

    /// All records that are ready, without the discarded ones.
    fn consume(&mut self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while self.at < Consumer::word(&self.rest, 0).load(Ordering::Acquire) {
            let offset = PAGE + (self.at % u64::from(SIZE)) as usize;
            let header = Consumer::word(&self.rest, offset).load(Ordering::Acquire) as u32;
            if header >> 31 != 0 {
                break;
            }
            let len = (header & !(1 << 30)) as usize;
            if header >> 30 == 0 {
                let mut record = vec![0; len];
                self.rest.view().read(offset + 8, &mut record).unwrap();
                records.push(record);
            }
            self.at += (len as u64 + 8).next_multiple_of(8);
            Consumer::word(&self.position, 0).store(self.at, Ordering::Release);
        }
        records
    }
}

fn fill(ring: &RingBuf, len: usize, byte: u8) -> Option<std::ptr::NonNull<u8>> {
    let record = ring.reserve(len as u64, 0)?;
    // SAFETY: the record has `len` bytes.
    unsafe { record.write_bytes(byte, len) };
    Some(record)
}

#[test]
fn records_arrive_in_order_around_the_end() {
    let map = create(MapType::Ringbuf);
    let ring = map.ring().unwrap();
    let mut consumer = Consumer::new(&map);
    for round in 0..500usize {
        let len = round * 37 % 2000;
        let record = fill(ring, len, round as u8).expect("an empty ring has room");
        // SAFETY: the record came from this ring just now.
        let owner = unsafe { RingBuf::of_record(record) };
        assert!(std::ptr::eq(owner, ring));
        owner.commit(record, 0, round % 5 == 0);
        ring.output(&[round as u8; 11], 0).unwrap();
        let mut expected = vec![vec![round as u8; len], vec![round as u8; 11]];
        if round % 5 == 0 {
            expected.remove(0);
        }
        assert_eq!(consumer.consume(), expected, "round {round}");
    }
    assert_eq!(ring.query(0), 0);
    assert_eq!(ring.query(1), u64::from(SIZE));
    assert_eq!((ring.query(2), ring.query(3)), (consumer.at, consumer.at));
    assert_eq!(ring.query(9), 0);
}

#[test]
fn records_wait_for_the_busy_one_before_them() {
    let map = create(MapType::Ringbuf);
    let ring = map.ring().unwrap();
    let mut consumer = Consumer::new(&map);
    let first = fill(ring, 8, 1).unwrap();
    let second = fill(ring, 8, 2).unwrap();
    ring.commit(second, 0, false);
    assert_eq!(consumer.consume(), Vec::<Vec<u8>>::new());
    ring.commit(first, 0, false);
    assert_eq!(consumer.consume(), [[1; 8], [2; 8]]);
}

#[test]
fn a_full_ring_refuses_until_the_consumer_moves() {
    let map = create(MapType::Ringbuf);
    let ring = map.ring().unwrap();
    let mut consumer = Consumer::new(&map);
    // Linux keeps one byte free: of 8192 bytes in records of 1024, 7 fit.
    let mut count = 0;
    while ring.output(&[0; 1016], 0).is_ok() {
        count += 1;
    }
    assert_eq!(count, 7);
    assert_eq!(ring.output(&[0; 1016], 0), Err(Errno::EAGAIN));
    assert_eq!(consumer.consume().len(), 7);
    assert_eq!(ring.output(&[0; 1016], 0), Ok(()));
    assert_eq!(ring.output(&[], 8), Err(Errno::EINVAL));
    for size in [u64::from(SIZE), u64::from(u32::MAX) / 4 + 1, u64::MAX] {
        assert_eq!(ring.reserve(size, 0), None, "{size}");
    }
    assert_eq!(ring.reserve(8, 1), None, "reserve knows no flags");
}

#[test]
fn a_record_that_is_never_committed_blocks_the_ring_when_it_comes_round() {
    let map = create(MapType::Ringbuf);
    let ring = map.ring().unwrap();
    let mut consumer = Consumer::new(&map);
    let forgotten = fill(ring, 8, 0).unwrap();
    // The consumer claims to have read on: the ring must not overrun what is pending.
    Consumer::word(&consumer.position, 0).store(u64::MAX / 2, Ordering::Release);
    let mut count = 0;
    while fill(ring, 1016, 0).is_some() {
        count += 1;
        assert!(count < 100, "the ring has overrun a busy record");
    }
    Consumer::word(&consumer.position, 0).store(0, Ordering::Release);
    ring.commit(forgotten, 0, true);
    assert_eq!(consumer.consume(), Vec::<Vec<u8>>::new());
}

#[test]
fn waiters_are_woken_when_the_consumer_has_caught_up() {
    let map = create(MapType::Ringbuf);
    let ring = map.ring().unwrap();
    let mut consumer = Consumer::new(&map);
    let event = ring.notifier().event().unwrap();
    let woken = || {
        let mut count = [0; 8];
        match rustix::io::read(event, &mut count) {
            Ok(_) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    };
    ring.output(&[1], 0).unwrap();
    assert_eq!(woken(), 1, "the ring was empty");
    ring.output(&[1], 0).unwrap();
    assert_eq!(woken(), 0, "the consumer has not come so far");
    ring.output(&[1], crate::wakeup::FORCE).unwrap();
    assert_eq!(woken(), 1);
    consumer.consume();
    ring.output(&[1], crate::wakeup::NO).unwrap();
    assert_eq!(woken(), 0);
}

#[test]
fn user_space_maps_what_linux_lets_it_map() {
    let ring = create(MapType::Ringbuf);
    let all = 2 * PAGE + 2 * SIZE as usize;
    assert!(ring.map_into_user(0, all, false).is_ok());
    for (offset, len) in [(PAGE, PAGE), (0, 2 * PAGE), (2 * PAGE, PAGE)] {
        assert_eq!(ring.map_into_user(offset, len, true).err(), Some(Errno::EPERM));
    }
    assert_eq!(ring.map_into_user(0, all + PAGE, false).err(), Some(Errno::EINVAL));
    let user = create(MapType::UserRingbuf);
    assert_eq!(user.map_into_user(0, PAGE, true).err(), Some(Errno::EPERM));
    assert!(user.map_into_user(PAGE, all - PAGE, true).is_ok());
    let hash = Map::create(&MapAttr::new(MapType::Hash, 4, 4, 1), 1).unwrap();
    assert_eq!(hash.map_into_user(0, PAGE, false).err(), Some(Errno::ENOTSUPP));
}

#[test]
fn samples_of_user_space_are_checked_before_they_are_used() {
    let map = create(MapType::UserRingbuf);
    let ring = map.ring().unwrap();
    let producer = map.map_into_user(PAGE, PAGE + SIZE as usize, true).unwrap();
    let position = Consumer::word(&producer, 0);
    let header = |at: usize| {
        // SAFETY: inside the mapping, aligned.
        unsafe { AtomicU32::from_ptr(producer.view().base().as_ptr().add(PAGE + at).cast()) }
    };
    assert_eq!(ring.next_sample().err(), Some(Errno::ENODATA));
    position.store(7, Ordering::Release);
    assert_eq!(ring.next_sample().err(), Some(Errno::EINVAL));
    header(0).store(100, Ordering::Relaxed);
    position.store(16, Ordering::Release);
    assert_eq!(ring.next_sample().err(), Some(Errno::EINVAL), "longer than advertised");
    header(0).store(5, Ordering::Relaxed);
    header(16).store(1 << 30 | 8, Ordering::Relaxed);
    header(32).store(1 << 31 | 8, Ordering::Relaxed);
    position.store(48, Ordering::Release);
    ring.begin_drain().unwrap();
    assert_eq!(ring.begin_drain(), Err(Errno::EBUSY));
    let sample = ring.next_sample().unwrap();
    assert_eq!(sample.len, 5);
    ring.release_sample(sample);
    assert_eq!(ring.next_sample().err(), Some(Errno::EAGAIN), "discarded");
    assert_eq!(ring.next_sample().err(), Some(Errno::ENODATA), "busy");
    ring.end_drain(1, 0);
    ring.begin_drain().unwrap();
    header(32).store((1 << 30) - 1, Ordering::Relaxed);
    position.store(1 << 40, Ordering::Release);
    assert_eq!(ring.next_sample().err(), Some(Errno::E2BIG));
}

#[test]
fn records_of_several_producers_arrive_once_and_in_order() {
    const RECORDS: u64 = 20_000;
    let map = create(MapType::Ringbuf);
    std::thread::scope(|scope| {
        for producer in 0..2u64 {
            let map = &map;
            scope.spawn(move || {
                let ring = map.ring().unwrap();
                for serial in 0..RECORDS {
                    let word = producer << 32 | serial;
                    let record = vec![word.to_ne_bytes(); 1 + serial as usize % 9].concat();
                    while ring.output(&record, 0).is_err() {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let mut consumer = Consumer::new(&map);
        let mut next = [0; 2];
        while next != [RECORDS; 2] {
            for record in consumer.consume() {
                let word = u64::from_ne_bytes(*record.first_chunk().unwrap());
                let (producer, serial) = ((word >> 32) as usize, word & 0xffff_ffff);
                assert_eq!(serial, next[producer]);
                assert_eq!(record, vec![word.to_ne_bytes(); 1 + serial as usize % 9].concat());
                next[producer] += 1;
            }
        }
    });
}
