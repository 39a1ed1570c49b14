//! When replaced objects may go: once no program can still be using them.
//!
//! A program's run holds a [`Guard`]. Objects that maps hold (programs, inner maps)
//! are reached by it without counting; a replaced object is dropped when every
//! guard that was there at the replacement is gone. That is Linux's RCU, here with
//! epochs: a guard shows the epoch in which it was taken, and garbage carries the
//! epoch in which it became unreachable.

use std::sync::PoisonError;

use super::sync::{Arc, AtomicU64, AtomicUsize, Mutex, Ordering, fence};

#[cfg(not(loom))]
pub use of_threads::{Guard, pin, retire};

struct Garbage {
    /// Guards of this epoch or earlier ones may still use it.
    epoch: u64,
    _dropped_with_this: Box<dyn Send>,
}

/// One thread's epoch, 0 while it holds no guard. On a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
pub struct Shown(AtomicU64);

/// Epochs, who is in them, and what waits for them to end.
pub struct Epochs {
    /// Each retirement begins a new one.
    present: AtomicU64,
    /// What every thread with a guard shows.
    threads: Mutex<Vec<Arc<Shown>>>,
    garbage: Mutex<Vec<Garbage>>,
    /// How much of it there is; a hint that saves the lock.
    waiting: AtomicUsize,
}

impl Default for Epochs {
    fn default() -> Epochs {
        Epochs::new()
    }
}

impl Epochs {
    /// The first of them; nobody is in it.
    #[cfg(not(loom))]
    pub const fn new() -> Epochs {
        Epochs {
            present: AtomicU64::new(1),
            threads: Mutex::new(Vec::new()),
            garbage: Mutex::new(Vec::new()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The same; loom's have no constants.
    #[cfg(loom)]
    pub fn new() -> Epochs {
        Epochs {
            present: AtomicU64::new(1),
            threads: Mutex::new(Vec::new()),
            garbage: Mutex::new(Vec::new()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A place for a thread to show its epoch in.
    pub fn register(&self) -> Arc<Shown> {
        let shown = Arc::new(Shown::default());
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(shown.clone());
        shown
    }

    /// The thread is no more, and holds no guard.
    pub fn forget(&self, shown: &Arc<Shown>) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|other| !Arc::ptr_eq(other, shown));
    }

    /// The thread takes its first guard.
    #[inline(always)]
    pub fn enter(&self, shown: &Shown) {
        shown.0.store(self.present.load(Ordering::Acquire), Ordering::Relaxed);
        // What is shown comes before whatever is looked up under the guard.
        fence(Ordering::SeqCst);
    }

    /// The thread gives its last guard back.
    #[inline(always)]
    pub fn leave(&self, shown: &Shown) {
        shown.0.store(0, Ordering::Release);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.collect();
        }
    }

    /// Drops something that nobody can reach any more, once nobody uses it any more.
    pub fn retire(&self, unreachable: Box<dyn Send>) {
        let epoch = self.present.fetch_add(1, Ordering::SeqCst);
        self.garbage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Garbage { epoch, _dropped_with_this: unreachable });
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.collect();
    }

    /// Drops what no guard can be using.
    fn collect(&self) {
        fence(Ordering::SeqCst);
        let oldest = {
            let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            let shown = threads.iter().map(|shown| shown.0.load(Ordering::SeqCst));
            shown.filter(|&epoch| epoch != 0).min().unwrap_or(u64::MAX)
        };
        let dropped: Vec<Garbage> = {
            let mut garbage = self.garbage.lock().unwrap_or_else(PoisonError::into_inner);
            garbage.extract_if(.., |garbage| garbage.epoch < oldest).collect()
        };
        self.waiting.fetch_sub(dropped.len(), Ordering::Relaxed);
        // Outside the locks: what is dropped here may retire more.
        drop(dropped);
    }
}

/// The epochs of all threads of this process.
#[cfg(not(loom))]
mod of_threads {
    use std::cell::Cell;
    use std::marker::PhantomData;

    use super::{Epochs, Shown};
    use crate::sync::Arc;

    static EPOCHS: Epochs = Epochs::new();

    /// A thread's registration.
    struct Registration {
        shown: Arc<Shown>,
        guards: Cell<usize>,
    }

    impl Drop for Registration {
        fn drop(&mut self) {
            EPOCHS.forget(&self.shown);
        }
    }

    thread_local! {
        static THREAD: Registration =
            Registration { shown: EPOCHS.register(), guards: Cell::new(0) };
    }

    /// While it lives, what the holder finds in maps is not dropped.
    #[derive(Debug)]
    pub struct Guard {
        _of_this_thread: PhantomData<*const ()>,
    }

    /// Takes a guard. Guards nest; the first of a thread costs a few nanoseconds.
    #[inline]
    pub fn pin() -> Guard {
        THREAD.with(|thread| {
            let guards = thread.guards.get();
            thread.guards.set(guards + 1);
            if guards == 0 {
                EPOCHS.enter(&thread.shown);
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
                    EPOCHS.leave(&thread.shown);
                }
            });
        }
    }

    /// Drops something that nobody can reach any more, once nobody uses it any more.
    pub fn retire(unreachable: Box<dyn Send>) {
        EPOCHS.retire(unreachable);
    }
}

#[cfg(all(test, not(loom)))]
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
            drop(pin());
        }
        panic!("never dropped");
    }
}
