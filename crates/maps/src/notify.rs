//! Waking those who wait for a map (`poll(2)` and `epoll(7)` on a ring buffer's fd).
//!
//! A wake-up says "look again", no more: whether there is data only the map knows. Threads
//! of this process sleep until one comes. For others there is an eventfd as soon as somebody
//! asks for it, and then each wake-up adds to it.

use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Wakes waiters.
#[derive(Debug, Default)]
pub struct Notifier {
    event: OnceLock<platform::Event>,
    /// Threads that wait.
    waiting: AtomicUsize,
    /// Held to wake them, and while they look whether they have to wait.
    looking: Mutex<()>,
    woken: Condvar,
}

impl Notifier {
    /// Wakes whoever waits now.
    #[inline]
    pub fn notify(&self) {
        // What there is to see comes before the look at who waits; see `wait`.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.wake();
        }
        if let Some(event) = self.event.get() {
            platform::signal(event);
        }
    }

    #[cold]
    fn wake(&self) {
        // Who looked before there was anything to see sleeps by now.
        drop(self.looking.lock().unwrap_or_else(PoisonError::into_inner));
        self.woken.notify_all();
    }

    /// Sleeps until a wake-up after which `ready` says so, at most so long; gives what it said
    /// last.
    pub fn wait(&self, at_most: Duration, ready: impl Fn() -> bool) -> bool {
        if at_most.is_zero() {
            return ready();
        }
        let started = Instant::now();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // To be seen by who wakes, before looking: either he sees this, or we see what he
        // did.
        fence(Ordering::SeqCst);
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = loop {
            // Nobody is told of a record that was submitted with `BPF_RB_NO_WAKEUP`, but
            // it counts at the end.
            let (seen, left) = (ready(), at_most.saturating_sub(started.elapsed()));
            if seen || left.is_zero() {
                break seen;
            }
            let waited = self.woken.wait_timeout(looking, left);
            looking = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(looking);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        seen
    }

    /// The eventfd to wait for; made by the first call. EMFILE and the like where the host
    /// has none left.
    #[cfg(target_os = "linux")]
    pub fn event(&self) -> Result<std::os::fd::BorrowedFd<'_>, skep_abi::Errno> {
        use std::os::fd::AsFd;
        if let Some(event) = self.event.get() {
            return Ok(event.as_fd());
        }
        let made = platform::event()?;
        Ok(self.event.get_or_init(|| made).as_fd())
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::os::fd::OwnedFd;

    use rustix::event::{EventfdFlags, eventfd};
    use skep_abi::Errno;

    pub type Event = OwnedFd;

    pub fn event() -> Result<Event, Errno> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| Errno(error.raw_os_error()))
    }

    pub fn signal(event: &Event) {
        // It fails only when the count is full, and then waiters are awake.
        let _ = rustix::io::write(event, &1u64.to_ne_bytes());
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    /// Never made.
    #[derive(Debug)]
    pub enum Event {}

    pub fn signal(event: &Event) {
        match *event {}
    }
}
