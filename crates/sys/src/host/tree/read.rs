//! Reads rings. Their writers are hostile: positions, lengths and words are what they say, and
//! each is bounded here. A reading takes at most one ring's length of each ring, whatever they
//! do meanwhile.

use std::arch::x86_64::_rdtsc;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::{ClockId, clock_gettime};

use super::event::{Called, Captured, Enter, Event, What};
use super::layout::{
    BLOCKED, ENTER_UNITS, EXIT_UNITS, FUNCTION_ITEMS, HEAD, ITEM_MARK, ITEMS, LIFE_UNITS, PID_BITS,
    POSITION, REGISTER_UNITS, RINGS, SLACK, TAIL, UNIT_LOG, UNITS, kind, probe, shared,
};
use super::memory::Shared;

/// Events that are held at once: what is beyond stays in its ring until the next reading.
const HELD: usize = 1 << 20;
/// rbp among the registers of a function.
const RBP: usize = 4;
/// A record that stays unfinished for longer, with others behind it, has no writer any more.
const UNFINISHED: Duration = Duration::from_secs(1);

/// Where each ring was read to, and what was read.
pub(super) struct Reader {
    rings: Vec<Ring>,
    watched: HashMap<u32, OwnedFd>,
    clock: Clock,
    /// Events by the time stamp counter, not given out yet.
    pending: Vec<(u64, Event)>,
    /// When the last reading began.
    last: u64,
    pub lost: u64,
}

#[derive(Clone, Copy, Default)]
struct Ring {
    tail: u64,
    stuck: Option<Instant>,
}

/// Time stamps become times by two readings of both clocks.
#[derive(Clone, Copy)]
struct Clock {
    from: (u64, u64),
    to: (u64, u64),
}

fn tsc() -> u64 {
    // SAFETY: every x86-64 has the instruction.
    unsafe { _rdtsc() }
}

fn both() -> (u64, u64) {
    let time = clock_gettime(ClockId::Monotonic);
    (tsc(), time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

impl Clock {
    fn time(&self, stamp: u64) -> u64 {
        let (ticks, ns) = (self.to.0 - self.from.0, self.to.1 - self.from.1);
        let away = i128::from(stamp) - i128::from(self.from.0);
        let passed = away * i128::from(ns) / i128::from(ticks.max(1));
        (i128::from(self.from.1) + passed).clamp(0, i128::from(u64::MAX)) as u64
    }
}

impl Reader {
    pub fn new() -> Reader {
        let from = both();
        Reader {
            rings: vec![Ring::default(); RINGS],
            watched: HashMap::new(),
            clock: Clock { from, to: from },
            pending: Vec::new(),
            last: 0,
            lost: 0,
        }
    }

    /// How many processes are known to live.
    pub fn alive(&self) -> usize {
        self.watched.len()
    }

    /// Reads all rings once. Events come out in the order of time, up to where no earlier one
    /// can follow; `all`: those as well behind which some may.
    pub fn read(&mut self, shared: &Shared, all: bool, out: &mut Vec<Event>) {
        let began = tsc();
        // Who is gone now has written all it ever will.
        let gone = self.gone(shared);
        let mut emptied = false;
        for ring in 0..RINGS {
            let (owner, users) = shared.owner(ring);
            let pid = owner.load(Acquire);
            let dead = pid != 0 && users.load(Acquire) == 0 && gone.contains(&pid);
            let before = self.rings[ring].tail;
            self.read_ring(shared, ring, dead || all);
            emptied |= self.rings[ring].tail != before;
            if dead {
                owner.compare_exchange(pid, 0, AcqRel, Relaxed).ok();
            }
        }
        if emptied {
            shared.word(shared::DRAINED).fetch_add(1, AcqRel);
            if shared.word(shared::WAITERS).load(Acquire) != 0 {
                shared.wake(shared::DRAINED);
            }
        }
        for pid in gone {
            self.watched.remove(&pid);
            let event = Event { time: 0, pid, tid: pid, what: What::Gone };
            self.pending.push((began, event));
        }
        self.give(if all { u64::MAX } else { self.last }, out);
        self.last = began;
    }

    /// Gives out what was stamped before some instant.
    fn give(&mut self, before: u64, out: &mut Vec<Event>) {
        if self.pending.is_empty() {
            return;
        }
        let now = both();
        // Over a short time the reading of the clocks itself would show.
        if now.1.saturating_sub(self.clock.from.1) > 1_000_000 {
            self.clock.to = now;
        }
        self.pending.sort_by_key(|(stamp, _)| *stamp);
        let ready = self.pending.partition_point(|(stamp, _)| *stamp < before);
        out.extend(self.pending.drain(..ready).map(|(stamp, mut event)| {
            event.time = self.clock.time(stamp);
            event
        }));
    }

    /// Processes that own rings are watched; gives those that are gone.
    fn gone(&mut self, shared: &Shared) -> Vec<u32> {
        let owner = |ring| shared.owner(ring).0.load(Relaxed);
        let owners: HashSet<u32> = (0..RINGS).map(owner).filter(|&pid| pid != 0).collect();
        self.watched.retain(|pid, _| owners.contains(pid));
        let mut gone = Vec::new();
        for pid in owners {
            if self.watched.contains_key(&pid) {
                continue;
            }
            match watch(pid) {
                Ok(fd) => drop(self.watched.insert(pid, fd)),
                // It was waited for already, or is no number of a process.
                Err(Errno::SRCH | Errno::INVAL) => gone.push(pid),
                // Next time.
                Err(_) => {}
            }
        }
        let (pids, mut fds): (Vec<u32>, Vec<PollFd<'_>>) =
            self.watched.iter().map(|(pid, fd)| (*pid, PollFd::new(fd, PollFlags::IN))).unzip();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0) {
            let ended = pids.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
            gone.extend(ended.map(|(pid, _)| *pid));
        }
        gone
    }

    /// Reads one. `last`: nobody writes there any more, what is unfinished stays so.
    fn read_ring(&mut self, shared: &Shared, ring: usize, last: bool) {
        let head = shared.ring(ring, HEAD).load(Acquire);
        let mut tail = self.rings[ring].tail;
        if head == tail {
            return;
        }
        // No writer claims more than the ring has.
        if head.wrapping_sub(tail) > UNITS as u64 {
            self.lost += 1;
            self.rings[ring].tail = head;
            shared.ring(ring, TAIL).store(head, Release);
            return;
        }
        while tail != head && (self.pending.len() < HELD || last) {
            let tag = shared.ring(ring, record_offset(tail)).load(Acquire);
            let (units, kind) = ((tag >> 48 & 0x3ff) as usize, tag >> 58);
            let fits = units as u64 <= head - tail && units <= SLACK >> UNIT_LOG;
            if tag & POSITION == (tail + 1) & POSITION && units != 0 && fits {
                self.record(shared, ring, tail, units, kind);
                tail += units as u64;
                self.rings[ring].stuck = None;
                continue;
            }
            // A record that was claimed and is not there yet, or never will be.
            let since = *self.rings[ring].stuck.get_or_insert_with(Instant::now);
            if !last && since.elapsed() < UNFINISHED {
                break;
            }
            tail = self.skip(shared, ring, tail, head);
        }
        self.rings[ring].tail = tail;
        shared.ring(ring, TAIL).store(tail, Release);
    }

    /// Looks for the next finished record.
    fn skip(&mut self, shared: &Shared, ring: usize, from: u64, head: u64) -> u64 {
        self.lost += 1;
        self.rings[ring].stuck = None;
        let finished = |position: &u64| {
            let tag = shared.ring(ring, record_offset(*position)).load(Acquire);
            tag & POSITION == (position + 1) & POSITION
        };
        (from + 1..head).find(finished).unwrap_or(head)
    }

    fn record(&mut self, shared: &Shared, ring: usize, position: u64, units: usize, kind: u64) {
        let word = |i: usize| shared.record(ring, position, i);
        let (stamp, who) = (word(1), word(2));
        let number = (who >> 48) as u32;
        let what = match kind {
            kind::ENTER if units >= ENTER_UNITS => What::Enter(Box::new(Enter {
                number,
                args: std::array::from_fn(|i| word(3 + i)),
                ip: word(9),
                sp: word(10),
                bp: if units == ENTER_UNITS { word(11) } else { 0 },
                memory: memory(&word, ITEMS, units << (UNIT_LOG - 3)),
            })),
            kind::EXIT if units == EXIT_UNITS => What::Exit { number, result: word(3) as i64 },
            kind::BORN if units == LIFE_UNITS => {
                let (parent, by) = task(word(3));
                What::Born { parent, by, shares: word(4) != 0 }
            }
            kind::EXEC if units == LIFE_UNITS => {
                let mut name = [0; 16];
                name[..8].copy_from_slice(&word(3).to_le_bytes());
                name[8..].copy_from_slice(&word(4).to_le_bytes());
                let [uid, gid, parent] = [5, 6, 7].map(|i| word(i) as u32);
                What::Exec { name, uid, gid, parent }
            }
            kind::FUNCTION if units == LIFE_UNITS => What::Function(Box::new(called(&word))),
            kind::REGISTERS if units >= REGISTER_UNITS => {
                What::Function(Box::new(with_registers(&word, units << (UNIT_LOG - 3))))
            }
            _ => {
                self.lost += 1;
                return;
            }
        };
        let (pid, tid) = task(who);
        // A stamp that lies ahead would be held until then.
        let stamp = stamp.min(tsc());
        self.pending.push((stamp, Event { time: 0, pid, tid, what }));
    }
}

fn watch(pid: u32) -> Result<OwnedFd, Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
    pidfd_open(pid, PidfdFlags::empty())
}

/// Offset in a ring of the record at a position.
fn record_offset(position: u64) -> usize {
    4096 + ((position as usize & (UNITS - 1)) << UNIT_LOG)
}

/// Process and thread of a word.
fn task(who: u64) -> (u32, u32) {
    const MASK: u64 = (1 << PID_BITS) - 1;
    const { assert!(BLOCKED == 1 << (2 * PID_BITS)) };
    ((who >> PID_BITS & MASK) as u32, (who & MASK) as u32)
}

/// A function's call or return.
fn called(word: &impl Fn(usize) -> u64) -> Called {
    let (which, last) = (word(3), word(7));
    let returned = which & probe::RETURNED != 0;
    let mut registers = [0; 15];
    registers[RBP] = word(6);
    let ip = word(4);
    Called {
        number: which as u32 & probe::NUMBER,
        returned,
        function: if returned { last } else { ip },
        ip,
        sp: word(5),
        caller: if returned { ip } else { last },
        registers,
        flags: 0,
        memory: Vec::new(),
    }
}

/// The same of a record of so many words.
fn with_registers(word: &impl Fn(usize) -> u64, words: usize) -> Called {
    Called {
        registers: std::array::from_fn(|i| word(8 + i)),
        flags: word(23),
        memory: memory(word, FUNCTION_ITEMS, words),
        ..called(word)
    }
}

/// Captured memory from a word on of a record of so many words.
fn memory(word: &impl Fn(usize) -> u64, from: usize, words: usize) -> Vec<Captured> {
    let (mut items, mut at) = (Vec::new(), from);
    while at + 2 <= words {
        let head = word(at);
        let len = (head & 0xffff_ffff) as usize;
        if head & ITEM_MARK == 0 || len > (words - at - 2) * 8 {
            break;
        }
        let mut bytes: Vec<u8> = Vec::with_capacity(len.next_multiple_of(8));
        for i in 0..len.div_ceil(8) {
            bytes.extend(word(at + 2 + i).to_le_bytes());
        }
        bytes.truncate(len);
        let argument = (head >> 32 & 7) as u8;
        items.push(Captured { argument, address: word(at + 1), bytes: bytes.into() });
        at += 2 + len.div_ceil(8);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::layout::tag;

    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn nonsense_is_read_as_nonsense_and_comes_to_an_end() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for round in 0..60u64 {
            let (shared, mut reader) = (Shared::new().unwrap(), Reader::new());
            let random = &mut || random(&mut state);
            for ring in 0..3 {
                let (owner, users) = shared.owner(ring);
                owner.store(random() as u32 >> (random() % 32), Relaxed);
                users.store((random() & 1) as u32, Relaxed);
                let start = random() % UNITS as u64;
                for unit in 0..UNITS as u64 {
                    let (position, units) = (start + unit, random() % (SLACK >> UNIT_LOG) as u64);
                    // Now and then what is nearly a record.
                    let word = match random() % 4 {
                        0 => random(),
                        1 => tag(position, units, random() % 8),
                        2 => tag(position, random() % 8, random() % 8),
                        _ => ITEM_MARK | random() & 0x7_0000_ffff,
                    };
                    let offset = record_offset(position);
                    shared.ring(ring, offset).store(word, Relaxed);
                    for word in 1..4 {
                        shared.ring(ring, offset + 8 * word).store(random(), Relaxed);
                    }
                }
                let head = start.wrapping_add(random() % (2 * UNITS as u64));
                shared.ring(ring, HEAD).store(head, Relaxed);
                reader.rings[ring].tail = start;
            }
            let mut events = Vec::new();
            for _ in 0..3 {
                reader.read(&shared, round & 1 == 0, &mut events);
            }
            reader.read(&shared, true, &mut events);
            assert!(reader.pending.is_empty());
            assert!(events.len() <= 3 * UNITS + 3);
            for ring in &reader.rings[..3] {
                assert!(ring.stuck.is_none());
            }
        }
    }

    #[test]
    fn times_lie_between_the_readings_of_both_clocks() {
        let clock = Clock { from: (1000, 500), to: (3000, 1500) };
        assert_eq!(clock.time(2000), 1000);
        assert_eq!(clock.time(0), 0);
        assert_eq!(clock.time(5000), 2500);
    }
}
