//! Spinning for locks that are held for some tens of instructions.
//!
//! A vCPU's thread may be preempted while it holds one, hence the yield: with
//! fewer host CPUs than threads a pure spin would waste the holder's time slice.
//! (Linux holds its counterparts, `raw_res_spinlock`, with interrupts off.)

use std::time::{Duration, Instant};

use super::sync::{AtomicU32, Ordering, spin_loop, yield_now};

/// Waits a little longer each time.
pub struct Backoff(u32);

impl Backoff {
    /// Nothing waited for yet.
    pub fn new() -> Backoff {
        Backoff(0)
    }

    /// Waits for some cycles, and after a while lets other threads run.
    #[cold]
    pub fn wait(&mut self) {
        if self.0 < 7 {
            for _ in 0..1 << self.0 {
                spin_loop();
            }
            self.0 += 1;
        } else {
            yield_now();
        }
    }
}

/// Waits for a lock that a program took, which the verifier makes it give back after some
/// instructions. Programs that no verifier saw may keep it: gives whether `taken` did at last.
#[cold]
pub fn wait_for(mut taken: impl FnMut() -> bool) -> bool {
    /// Far more than any holder takes, preempted or not. Waits count, too: while this thread
    /// itself does not run, time says nothing about the holder.
    const LONG: Duration = Duration::from_secs(2);
    const MANY: u32 = 1 << 12;
    let (mut backoff, start) = (Backoff::new(), Instant::now());
    for waits in 0u32.. {
        backoff.wait();
        if taken() {
            return true;
        }
        if waits > MANY && start.elapsed() > LONG {
            break;
        }
    }
    false
}

/// A lock without data of its own.
#[derive(Debug, Default)]
pub struct SpinLock(AtomicU32);

impl SpinLock {
    /// Holds the lock until the guard is dropped.
    pub fn lock(&self) -> SpinGuard<'_> {
        let mut backoff = Backoff::new();
        while self.0.compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            backoff.wait();
        }
        SpinGuard(self)
    }
}

/// A held [`SpinLock`].
pub struct SpinGuard<'a>(&'a SpinLock);

impl Drop for SpinGuard<'_> {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Release);
    }
}

/// A point at which another thread's work would matter. Under test, threads dawdle here at
/// times, so that races of some nanoseconds are met within seconds.
#[cfg(not(test))]
#[inline(always)]
pub fn window() {}

/// See the other one.
#[cfg(test)]
pub fn window() {
    match fastrand::u8(..64) {
        0 => yield_now(),
        1..4 => (0..fastrand::u8(..)).for_each(|_| spin_loop()),
        _ => {}
    }
}
