//! What a run has of the vCPU that its thread holds: the number, and the guard that what it
//! finds in maps stays under. A runner begins a turn with its lease and ends it before that
//! is given back, so that one that is idle holds neither.
#![allow(unsafe_code, reason = "goes to another thread, but for the guard")]

use skep_maps::grace::{self, Guard};

/// Runs in a row that one guard is held for.
const HELD_RUNS: u32 = 64;

/// A turn on a vCPU.
#[derive(Default)]
pub(crate) struct Turn {
    /// Number of the vCPU.
    pub cpu: u32,
    guard: Option<Guard>,
    /// Runs since it was taken.
    runs: u32,
}

// SAFETY: a guard, which is its thread's, is held within a turn only: `end` gives it back.
unsafe impl Send for Turn {}

impl Turn {
    /// The guard: held from the first tail call, or the first map found in a map, to the end of
    /// the run at least, and for some more runs in a row, since taking it costs more than using
    /// it. (Linux's TEST_RUN repeats within one RCU section, too.)
    #[inline]
    pub fn guard(&mut self) -> &Guard {
        self.guard.get_or_insert_with(grace::pin)
    }

    /// Whether a guard is held.
    #[inline]
    pub fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// After a run: holds no guard for too long.
    #[inline]
    pub fn count(&mut self) {
        if self.guard.is_some() {
            self.runs += 1;
            if self.runs >= HELD_RUNS {
                self.end();
            }
        }
    }

    /// After the last run in a row: holds no guard.
    #[inline]
    pub fn end(&mut self) {
        if self.guard.is_some() {
            (self.guard, self.runs) = (None, 0);
        }
    }
}
