//! Waking those who wait for a map (`poll(2)` and `epoll(7)` on a ring buffer's fd).
//!
//! There is an eventfd as soon as somebody wants to wait, and then each wake-up
//! adds to it. It says "look again", no more: whether there is data only the map
//! knows.

use std::sync::OnceLock;

/// Wakes waiters.
#[derive(Debug, Default)]
pub struct Notifier {
    event: OnceLock<platform::Event>,
}

impl Notifier {
    /// Wakes whoever waits now.
    #[inline]
    pub fn notify(&self) {
        if let Some(event) = self.event.get() {
            platform::signal(event);
        }
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
