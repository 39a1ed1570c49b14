//! CPU time of this thread: what a verification costs, whoever else is at work.

use std::time::Duration;

/// A moment of the thread's CPU time.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime(Duration);

impl CpuTime {
    /// Now.
    #[cfg(target_os = "linux")]
    pub fn now() -> CpuTime {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::ThreadCPUTime);
        CpuTime(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// Now, by the clock on the wall: there is no other.
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> CpuTime {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        CpuTime(START.get_or_init(std::time::Instant::now).elapsed())
    }

    /// CPU time since then.
    pub fn elapsed(self) -> Duration {
        CpuTime::now().0.saturating_sub(self.0)
    }
}
