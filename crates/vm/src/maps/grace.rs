//! When replaced objects may go: once no program can still be using them.
//!
//! A program's run holds a [`Guard`]. Objects that maps hold (programs, inner maps)
//! are reached by it without counting; a replaced object is dropped when every
//! guard that was there at the replacement is gone. That is Linux's RCU, here with
//! epochs: a guard shows the epoch in which it was taken, and garbage carries the
//! epoch in which it became unreachable.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

/// The present. Each retirement begins a new epoch.
static EPOCH: AtomicU64 = AtomicU64::new(1);
/// What every thread with a guard shows.
static THREADS: Mutex<Vec<Arc<Shown>>> = Mutex::new(Vec::new());
/// What waits to be dropped.
static GARBAGE: Mutex<Vec<Garbage>> = Mutex::new(Vec::new());
/// How much of it there is; a hint that saves the lock.
static WAITING: AtomicUsize = AtomicUsize::new(0);

struct Garbage {
    /// Guards of this epoch or earlier ones may still use it.
    epoch: u64,
    _dropped_with_this: Box<dyn Send>,
}

/// One thread's epoch, 0 while it holds no guard. On a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Shown(AtomicU64);

/// A thread's registration.
struct Registration {
    shown: Arc<Shown>,
    guards: Cell<usize>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|other| !Arc::ptr_eq(other, &self.shown));
    }
}

thread_local! {
    static THREAD: Registration = {
        let shown = Arc::new(Shown::default());
        THREADS.lock().unwrap_or_else(PoisonError::into_inner).push(shown.clone());
        Registration { shown, guards: Cell::new(0) }
    };
}

/// While it lives, what the holder finds in maps is not dropped.
#[derive(Debug)]
pub struct Guard {
    _of_this_thread: PhantomData<*const ()>,
}

/// Takes a guard. Guards nest; the first of a thread costs a few nanoseconds.
pub fn pin() -> Guard {
    THREAD.with(|thread| {
        let guards = thread.guards.get();
        thread.guards.set(guards + 1);
        if guards == 0 {
            thread.shown.0.store(EPOCH.load(Ordering::Acquire), Ordering::Relaxed);
            // What is shown comes before whatever is looked up under the guard.
            fence(Ordering::SeqCst);
        }
    });
    Guard { _of_this_thread: PhantomData }
}

impl Drop for Guard {
    fn drop(&mut self) {
        THREAD.with(|thread| {
            let guards = thread.guards.get() - 1;
            thread.guards.set(guards);
            if guards == 0 {
                thread.shown.0.store(0, Ordering::Release);
                if WAITING.load(Ordering::Relaxed) > 0 {
                    collect();
                }
            }
        });
    }
}

/// Drops something that nobody can reach any more, once nobody uses it any more.
pub(super) fn retire(unreachable: Box<dyn Send>) {
    let epoch = EPOCH.fetch_add(1, Ordering::SeqCst);
    GARBAGE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Garbage { epoch, _dropped_with_this: unreachable });
    WAITING.fetch_add(1, Ordering::Relaxed);
    collect();
}

/// Drops what no guard can be using.
fn collect() {
    fence(Ordering::SeqCst);
    let oldest = {
        let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = threads.iter().map(|shown| shown.0.load(Ordering::SeqCst));
        shown.filter(|&epoch| epoch != 0).min().unwrap_or(u64::MAX)
    };
    let dropped: Vec<Garbage> = {
        let mut garbage = GARBAGE.lock().unwrap_or_else(PoisonError::into_inner);
        garbage.extract_if(.., |garbage| garbage.epoch < oldest).collect()
    };
    WAITING.fetch_sub(dropped.len(), Ordering::Relaxed);
    // Outside the locks: what is dropped here may retire more.
    drop(dropped);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    struct Flag(Arc<AtomicBool>);

    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn retired_objects_outlive_the_guards_that_may_use_them() {
        let dropped = Arc::new(AtomicBool::new(false));
        let outer = pin();
        let inner = pin();
        retire(Box::new(Flag(dropped.clone())));
        assert!(!dropped.load(Ordering::SeqCst));
        drop(inner);
        assert!(!dropped.load(Ordering::SeqCst), "the outer guard is older");
        drop(outer);
        // Other tests' guards may be older still; theirs drop it then.
        for _ in 0..1000 {
            if dropped.load(Ordering::SeqCst) {
                return;
            }
            std::thread::yield_now();
            collect();
        }
        panic!("never dropped");
    }
}
