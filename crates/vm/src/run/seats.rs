//! A place for each vCPU: who holds the vCPU has its place to himself, with no further lock. What
//! lies there is ready for the next run on that vCPU, whichever thread makes it.
//!
//! Of the runs of one thread that nest, which share a vCPU, the outermost has the place.
#![allow(unsafe_code, reason = "a place is whose the vCPU is")]

use std::cell::{Cell, UnsafeCell};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::vcpus::{Lease, NoVcpu, Vcpus};

/// Places, one for each vCPU of a kernel.
pub(crate) struct Seats<T> {
    vcpus: Arc<Vcpus>,
    all: Box<[Seat<T>]>,
}

/// On a cache line of its own.
#[repr(align(128))]
struct Seat<T> {
    taken: Cell<bool>,
    content: UnsafeCell<T>,
}

// SAFETY: a seat is touched only by who holds its vCPU, which one thread does at a time, and is
// handed to the next one by the word that says who does.
unsafe impl<T: Send> Sync for Seats<T> {}

/// A seat, for as long as this lives, and the vCPU with it.
pub(crate) struct Seated<'s, T> {
    seat: &'s Seat<T>,
    /// Given back after the seat.
    lease: Lease<'s>,
}

/// What a thread gets that asks for a seat.
pub(crate) enum Place<'s, T> {
    /// A seat.
    Seat(Seated<'s, T>),
    /// The seat is taken by a run of the same thread, which this one is in; the vCPU.
    Nested(Lease<'s>),
}

impl<T> Seats<T> {
    /// Seats for the first `count` vCPUs, which are all.
    pub fn new(vcpus: &Arc<Vcpus>, count: u32, make: impl Fn() -> T) -> Seats<T> {
        let seat = |_| Seat { taken: Cell::new(false), content: UnsafeCell::new(make()) };
        Seats { vcpus: Arc::clone(vcpus), all: (0..count).map(seat).collect() }
    }

    /// Takes a vCPU, and its seat.
    ///
    /// # Errors
    /// There is no vCPU for this thread.
    #[inline]
    pub fn take(&self) -> Result<Place<'_, T>, NoVcpu> {
        let lease = self.vcpus.lease()?;
        match self.all.get(lease.cpu() as usize) {
            Some(seat) if !seat.taken.replace(true) => Ok(Place::Seat(Seated { seat, lease })),
            _ => Ok(Place::Nested(lease)),
        }
    }

    /// Does something to each seat that nobody is in, or comes free soon, and drops what that
    /// gives once the seat is free again.
    pub fn visit<R>(&self, mut act: impl FnMut(&mut T) -> R) {
        for (cpu, seat) in (0..).zip(&self.all) {
            let Some(hold) = self.vcpus.hold(cpu) else { continue };
            // SAFETY: the vCPU is held, so that no run is on it.
            let left = act(unsafe { &mut *seat.content.get() });
            drop(hold);
            drop(left);
        }
    }
}

impl<T> Seated<'_, T> {
    /// What lies there, and the vCPU.
    #[inline]
    pub fn parts(&mut self) -> (&mut T, &Lease<'_>) {
        // SAFETY: the seat is taken by this alone, until it is dropped.
        (unsafe { &mut *self.seat.content.get() }, &self.lease)
    }
}

impl<T> Deref for Seated<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the seat is taken by this alone, until it is dropped.
        unsafe { &*self.seat.content.get() }
    }
}

impl<T> DerefMut for Seated<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.seat.content.get() }
    }
}

impl<T> Drop for Seated<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.seat.taken.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_seat_to_itself() {
        let vcpus = Arc::new(Vcpus::new(2));
        let seats = Seats::new(&vcpus, 2, || 0u64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let Ok(Place::Seat(mut seat)) = seats.take() else { panic!("no seat") };
                        *seat += 1;
                    }
                });
            }
        });
        let mut all = 0;
        seats.visit(|count| all += *count);
        assert_eq!(all, 8_000);
    }

    #[test]
    fn who_sits_already_gets_the_vcpu_alone_and_is_not_visited() {
        let vcpus = Arc::new(Vcpus::new(2));
        let seats = Seats::new(&vcpus, 2, || 0u64);
        let Ok(Place::Seat(mut seat)) = seats.take() else { panic!("no seat") };
        assert!(matches!(seats.take(), Ok(Place::Nested(lease)) if lease.cpu() == 0));
        let mut visited = 0;
        seats.visit(|_| visited += 1);
        assert_eq!(visited, 1);
        *seat.parts().0 = 7;
        let (seated, lease) = seat.parts();
        assert_eq!((*seated, lease.cpu()), (7, 0));
    }
}
