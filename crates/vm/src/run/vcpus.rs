//! The virtual CPUs of a kernel, and which of them this thread holds.
//!
//! Who holds a vCPU may run programs, and its slot of per-CPU values is his meanwhile. A run
//! that is started inside of a run of the same thread, by a printer say, runs on the vCPU
//! that the thread holds already, as what interrupts a program does on Linux. How deeply runs
//! may nest is bounded, for the thread's own stack is. A vCPU is no more than a number here:
//! stacks belong to whoever runs programs.
//!
//! The lowest free number is taken first, so that one thread always runs on vCPU 0. Where none
//! is free a thread sleeps, and is handed the next one that is given back. A thread that
//! holds a vCPU of one kernel and wants one of another gives up after some seconds: its
//! holder may be waiting for the first.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use skep_maps::MOST_CPUS;

/// Most runs of one thread inside of each other.
pub const MOST_NESTED: u32 = 8;

/// How long a thread waits that holds something that others may wait for.
pub(crate) const LONG: Duration = Duration::from_secs(3);

/// Why a thread got no vCPU, and so did not run a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVcpu {
    /// The run was started inside of too many others.
    #[error("more than {MOST_NESTED} runs are nested in each other")]
    Nested,
    /// The thread runs a program of another kernel, and no vCPU of this one came free.
    #[error("all vCPUs are taken, perhaps by who waits for this thread")]
    Taken,
}

/// The vCPUs of a kernel.
#[derive(Debug)]
pub(crate) struct Vcpus {
    /// Says which kernel; no two have the same.
    kernel: u64,
    /// A bit for each vCPU that somebody holds, and for each that there is none of.
    taken: Box<[AtomicU64]>,
    waiting: AtomicUsize,
    /// Those that were given back while somebody waited.
    handed: Mutex<VecDeque<u32>>,
    given: Condvar,
}

/// What a thread holds of one kernel.
#[derive(Clone, Copy)]
struct Held {
    kernel: u64,
    cpu: u32,
    /// Leases on it; none in a free place.
    leases: u32,
}

/// What a thread holds: of as many kernels as runs may nest. Nothing to drop, so that it is
/// there to the thread's very end.
type Holding = [Held; MOST_NESTED as usize];

thread_local! {
    static HELD: RefCell<Holding> =
        const { RefCell::new([Held { kernel: 0, cpu: 0, leases: 0 }; MOST_NESTED as usize]) };
    /// Runs of this thread that are under way.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs of this thread that are under way.
pub(crate) fn depth() -> u32 {
    DEPTH.get()
}

/// Has runs that are started meanwhile count as nested so deeply.
pub(crate) fn at_depth(depth: u32, act: impl FnOnce()) {
    struct Back(u32);
    impl Drop for Back {
        fn drop(&mut self) {
            DEPTH.set(self.0);
        }
    }
    let _back = Back(DEPTH.replace(depth));
    act();
}

/// A vCPU that this thread holds, as long as this lives.
#[derive(Debug)]
pub(crate) struct Lease<'v> {
    vcpus: &'v Vcpus,
    cpu: u32,
    _of_this_thread: PhantomData<*const ()>,
}

impl Lease<'_> {
    /// The vCPU's number.
    pub fn cpu(&self) -> u32 {
        self.cpu
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
        let last = HELD.with_borrow_mut(|all| {
            let held = self.vcpus.held(all);
            held.is_some_and(|held| {
                held.leases -= 1;
                held.leases == 0
            })
        });
        if last {
            self.vcpus.give_back(self.cpu);
        }
    }
}

/// A vCPU that nobody runs on, as long as this lives.
pub(crate) struct Hold<'v> {
    vcpus: &'v Vcpus,
    cpu: u32,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.vcpus.give_back(self.cpu);
    }
}

/// How long somebody waits for a vCPU who could as well do without.
const SHORT: Duration = Duration::from_millis(20);

impl Vcpus {
    /// So many, at least one and at most [`MOST_CPUS`].
    pub fn new(count: u32) -> Vcpus {
        static KERNELS: AtomicU64 = AtomicU64::new(0);
        let words = (0..count.clamp(1, MOST_CPUS).div_ceil(64)).map(|word| {
            match count.clamp(1, MOST_CPUS) - word * 64 {
                64.. => AtomicU64::new(0),
                rest => AtomicU64::new(u64::MAX << rest),
            }
        });
        Vcpus {
            kernel: KERNELS.fetch_add(1, Ordering::Relaxed),
            taken: words.collect(),
            waiting: AtomicUsize::new(0),
            handed: Mutex::default(),
            given: Condvar::new(),
        }
    }

    /// Takes a vCPU: the one that the thread holds already, else a free one. Waits where
    /// there is none.
    ///
    /// # Errors
    /// See [`NoVcpu`].
    #[inline]
    pub fn lease(&self) -> Result<Lease<'_>, NoVcpu> {
        let depth = DEPTH.get();
        if depth >= MOST_NESTED {
            return Err(NoVcpu::Nested);
        }
        let again = HELD.with_borrow_mut(|all| {
            let held = self.held(all).filter(|_| depth > 0)?;
            held.leases += 1;
            Some(held.cpu)
        });
        let cpu = match again {
            Some(cpu) => cpu,
            None => self.take_new(depth > 0)?,
        };
        DEPTH.set(depth + 1);
        Ok(Lease { vcpus: self, cpu, _of_this_thread: PhantomData })
    }

    /// Takes the vCPU of this number, or gives the one that the thread holds already. Waits
    /// where somebody else has it.
    ///
    /// # Errors
    /// See [`NoVcpu`]; it did not come free for some seconds.
    pub fn lease_of(&self, cpu: u32) -> Result<Lease<'_>, NoVcpu> {
        let depth = DEPTH.get();
        if depth > 0 {
            return self.lease();
        }
        let word = self.taken.get(cpu as usize / 64).ok_or(NoVcpu::Taken)?;
        let mine = 1 << (cpu % 64);
        let started = Instant::now();
        while word.fetch_or(mine, Ordering::SeqCst) & mine != 0 {
            if started.elapsed() > LONG {
                return Err(NoVcpu::Taken);
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        HELD.with_borrow_mut(|all| all[0] = Held { kernel: self.kernel, cpu, leases: 1 });
        DEPTH.set(depth + 1);
        Ok(Lease { vcpus: self, cpu, _of_this_thread: PhantomData })
    }

    /// Keeps runs from the vCPU of this number, without one of its own: `None` where somebody
    /// else has it for longer than a short run takes.
    pub fn hold(&self, cpu: u32) -> Option<Hold<'_>> {
        let word = self.taken.get(cpu as usize / 64)?;
        let mine = 1 << (cpu % 64);
        let started = Instant::now();
        while word.fetch_or(mine, Ordering::SeqCst) & mine != 0 {
            if started.elapsed() > SHORT {
                return None;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        Some(Hold { vcpus: self, cpu })
    }

    #[inline]
    fn take_new(&self, holds_another: bool) -> Result<u32, NoVcpu> {
        let cpu = match self.take() {
            Some(cpu) => cpu,
            None => self.wait(holds_another.then_some(LONG)).ok_or(NoVcpu::Taken)?,
        };
        HELD.with_borrow_mut(|all| {
            let free = all.iter_mut().find(|held| held.leases == 0);
            // Every lease of another kernel is a run under way, of which there are fewer.
            *free.expect("a free place") = Held { kernel: self.kernel, cpu, leases: 1 };
        });
        Ok(cpu)
    }

    /// What the thread holds of this kernel.
    fn held<'h>(&self, all: &'h mut Holding) -> Option<&'h mut Held> {
        all.iter_mut().find(|held| held.leases > 0 && held.kernel == self.kernel)
    }

    /// The lowest free one.
    #[inline]
    fn take(&self) -> Option<u32> {
        (0u32..).zip(&self.taken).find_map(|(index, word)| {
            let mut taken = word.load(Ordering::Relaxed);
            while taken != u64::MAX {
                let free = taken.trailing_ones();
                let before = word.fetch_or(1 << free, Ordering::SeqCst);
                if before >> free & 1 == 0 {
                    return Some(index * 64 + free);
                }
                taken = before | 1 << free;
            }
            None
        })
    }

    #[inline]
    fn give_back(&self, cpu: u32) {
        self.taken[cpu as usize / 64].fetch_and(!(1 << (cpu % 64)), Ordering::SeqCst);
        // Who waits says so before he looks a last time for a free one.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.hand_over();
        }
    }

    /// Hands the next free vCPU to who waits, so that this thread does not take it again
    /// before him.
    #[cold]
    fn hand_over(&self) {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        if handed.len() < self.waiting.load(Ordering::SeqCst)
            && let Some(cpu) = self.take()
        {
            handed.push_back(cpu);
            self.given.notify_one();
        }
    }

    #[cold]
    fn wait(&self, at_most: Option<Duration>) -> Option<u32> {
        let started = Instant::now();
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let cpu = loop {
            if let Some(cpu) = handed.pop_front().or_else(|| self.take()) {
                break Some(cpu);
            }
            handed = match at_most.map(|at_most| at_most.saturating_sub(started.elapsed())) {
                Some(Duration::ZERO) => break None,
                Some(left) => {
                    let waited = self.given.wait_timeout(handed, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.given.wait(handed).unwrap_or_else(PoisonError::into_inner),
            };
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        cpu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_vcpu_is_taken_and_the_last_word_is_cut() {
        let vcpus = Vcpus::new(66);
        let all: Vec<u32> = std::iter::from_fn(|| vcpus.take()).collect();
        assert_eq!(all, (0..66).collect::<Vec<_>>());
        vcpus.give_back(65);
        vcpus.give_back(3);
        assert_eq!((vcpus.take(), vcpus.take(), vcpus.take()), (Some(3), Some(65), None));
        assert_eq!(Vcpus::new(0).taken.len(), 1);
        assert_eq!(Vcpus::new(u32::MAX).taken.len(), MOST_CPUS as usize / 64);
    }

    #[test]
    fn a_thread_gets_the_vcpu_that_it_holds_up_to_a_depth() {
        let vcpus = Vcpus::new(1);
        let leases: Vec<Lease<'_>> =
            (0..MOST_NESTED).map(|_| vcpus.lease().expect("not too deep")).collect();
        assert!(leases.iter().all(|lease| lease.cpu() == 0));
        assert_eq!(vcpus.lease().expect_err("too deep"), NoVcpu::Nested);
        // Whichever is given back last gives the vCPU back.
        drop(leases);
        assert_eq!((depth(), vcpus.take()), (0, Some(0)));
    }

    #[test]
    fn threads_wait_for_each_other_and_none_is_forgotten() {
        let vcpus = Vcpus::new(2);
        let running = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..2000 {
                        let lease = vcpus.lease().expect("a vCPU");
                        assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
                        if round % 64 == 0 {
                            std::thread::yield_now();
                        }
                        running.fetch_sub(1, Ordering::SeqCst);
                        drop(lease);
                    }
                });
            }
        });
        assert_eq!((vcpus.take(), vcpus.take(), vcpus.take()), (Some(0), Some(1), None));
    }

    #[test]
    fn two_threads_that_want_each_others_vcpus_do_not_hang() {
        let (left, right) = (&Vcpus::new(1), &Vcpus::new(1));
        let both = &std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let other = scope.spawn(move || {
                let _held = right.lease().expect("a vCPU");
                both.wait();
                left.lease().map(|lease| lease.cpu())
            });
            let _held = left.lease().expect("a vCPU");
            both.wait();
            let mine = right.lease().map(|lease| lease.cpu());
            drop(_held);
            let theirs = other.join().expect("no panic");
            assert!(mine == Err(NoVcpu::Taken) || theirs == Err(NoVcpu::Taken));
        });
    }
}
