//! A kernel that tells what passes through it.

use std::sync::Arc;
use std::time::Duration;

use crate::{Command, Errno, Host, Kernel, Mapping, RawFd};

/// Called with each command after it ran, and what it gave.
type Watcher = dyn Fn(&Command<'_>, Result<u32, Errno>) + Send + Sync;

/// Passes every command on to another kernel and shows it to a watcher.
pub struct Trace {
    kernel: Arc<dyn Kernel>,
    watch: Box<Watcher>,
}

impl Trace {
    /// Watches `kernel`.
    pub fn new(
        kernel: Arc<dyn Kernel>,
        watch: impl Fn(&Command<'_>, Result<u32, Errno>) + Send + Sync + 'static,
    ) -> Trace {
        Trace { kernel, watch: Box::new(watch) }
    }
}

impl Kernel for Trace {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }
    fn bpf(&self, command: &mut Command<'_>) -> Result<u32, Errno> {
        let result = self.kernel.bpf(command);
        (self.watch)(command, result);
        result
    }
    fn close(&self, fd: RawFd) {
        self.kernel.close(fd);
    }
    fn mmap(&self, fd: RawFd, offset: u64, len: usize, writable: bool) -> Result<Mapping, Errno> {
        self.kernel.mmap(fd, offset, len, writable)
    }
    fn poll(&self, fd: RawFd, timeout: Duration) -> Result<bool, Errno> {
        self.kernel.poll(fd, timeout)
    }
    #[cfg(unix)]
    fn event(&self, fd: RawFd) -> Result<std::os::fd::OwnedFd, Errno> {
        self.kernel.event(fd)
    }
    fn possible_cpus(&self) -> u32 {
        self.kernel.possible_cpus()
    }
    fn host(&self) -> &Host {
        self.kernel.host()
    }
}
