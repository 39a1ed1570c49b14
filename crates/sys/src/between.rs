//! What stands between the caller and a kernel: sees commands, changes them, answers
//! itself. It is safe to write one: fds stay with the kernel below, and what it gives
//! for an fd is one that the kernel gave it for this very call.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::fd::{Fd, RawFd};
use crate::kernel::{Host, Kernel, SocketPlace};
use crate::mapping::Mapping;
use crate::perf::{PerfControl, PerfSpec};
use crate::table::Command;
use skep_abi::Errno;

/// What is done with the commands for a kernel.
pub trait Between: Send + Sync + 'static {
    /// Answers a command, with the kernel's help or without. An fd is given to the caller
    /// by its number; all others that were opened for this command are closed then.
    ///
    /// # Errors
    /// What the caller gets.
    fn bpf(&self, below: &Below<'_>, command: &mut Command<'_>) -> Result<u32, Errno>;

    /// A map's memory has been mapped.
    fn mapped(&self, _fd: RawFd) {}
}

/// The kernel below, for one command.
pub struct Below<'k> {
    kernel: &'k Arc<dyn Kernel>,
    given: RefCell<Vec<Fd>>,
}

impl Below<'_> {
    /// Runs a command. The fd that it gives is open until the answer is given.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bpf(&self, command: &mut Command<'_>) -> Result<u32, Errno> {
        if !command.gives_fd() {
            return self.kernel.bpf(command);
        }
        let fd = Fd::open(self.kernel, command)?;
        let raw = fd.raw();
        self.given.borrow_mut().push(fd);
        Ok(raw as u32)
    }

    /// The kernel, for questions about its objects.
    pub fn kernel(&self) -> &dyn Kernel {
        &**self.kernel
    }

    /// See [`Kernel::possible_cpus`].
    pub fn possible_cpus(&self) -> u32 {
        self.kernel.possible_cpus()
    }
}

/// A kernel with something before it.
pub struct Layer<B> {
    kernel: Arc<dyn Kernel>,
    between: B,
}

impl<B: Between> Layer<B> {
    /// Puts `between` before `kernel`.
    pub fn new(kernel: Arc<dyn Kernel>, between: B) -> Layer<B> {
        Layer { kernel, between }
    }
}

impl<B> Deref for Layer<B> {
    type Target = B;
    fn deref(&self) -> &B {
        &self.between
    }
}

// SAFETY: fds come from the kernel below, each checked to be one that it gave for the
// command and that was not closed.
unsafe impl<B: Between> Kernel for Layer<B> {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }
    fn bpf(&self, command: &mut Command<'_>) -> Result<u32, Errno> {
        let gives_fd = command.gives_fd();
        let below = Below { kernel: &self.kernel, given: RefCell::default() };
        let answer = self.between.bpf(&below, command)?;
        if !gives_fd {
            return Ok(answer);
        }
        let mut given = below.given.into_inner();
        let at = given.iter().position(|fd| fd.raw() as u32 == answer).ok_or(Errno::EBADF)?;
        Ok(given.swap_remove(at).into_raw() as u32)
    }
    unsafe fn close(&self, fd: RawFd) {
        // SAFETY: the caller's own contract; the kernel below gave it.
        unsafe { self.kernel.close(fd) }
    }
    unsafe fn mmap(
        &self,
        fd: RawFd,
        offset: u64,
        len: usize,
        writable: bool,
    ) -> Result<Mapping, Errno> {
        // SAFETY: the caller's own contract; the kernel below gave it.
        let mapping = unsafe { self.kernel.mmap(fd, offset, len, writable) }?;
        self.between.mapped(fd);
        Ok(mapping)
    }
    unsafe fn poll(&self, fd: RawFd, timeout: Duration) -> Result<bool, Errno> {
        // SAFETY: the caller's own contract; the kernel below gave it.
        unsafe { self.kernel.poll(fd, timeout) }
    }
    #[cfg(unix)]
    unsafe fn event(&self, fd: RawFd) -> Result<std::os::fd::OwnedFd, Errno> {
        // SAFETY: the caller's own contract; the kernel below gave it.
        unsafe { self.kernel.event(fd) }
    }
    fn perf_event(&self, cpu: u32, pages: u32) -> Result<RawFd, Errno> {
        self.kernel.perf_event(cpu, pages)
    }
    fn perf_open(&self, event: &PerfSpec) -> Result<RawFd, Errno> {
        self.kernel.perf_open(event)
    }
    unsafe fn perf_control(&self, fd: RawFd, what: PerfControl) -> Result<(), Errno> {
        // SAFETY: the caller's own contract; the kernel below gave it.
        unsafe { self.kernel.perf_control(fd, what) }
    }
    unsafe fn read(&self, fd: RawFd, bytes: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the caller's own contract; the kernel below gave it.
        unsafe { self.kernel.read(fd, bytes) }
    }
    #[cfg(unix)]
    unsafe fn attach_socket(
        &self,
        program: RawFd,
        socket: std::os::fd::BorrowedFd<'_>,
        place: SocketPlace,
    ) -> Result<(), Errno> {
        // SAFETY: the caller's own contract; the kernel below gave it.
        unsafe { self.kernel.attach_socket(program, socket, place) }
    }
    #[cfg(unix)]
    fn detach_socket(
        &self,
        socket: std::os::fd::BorrowedFd<'_>,
        place: SocketPlace,
    ) -> Result<(), Errno> {
        self.kernel.detach_socket(socket, place)
    }
    fn possible_cpus(&self) -> u32 {
        self.kernel.possible_cpus()
    }
    fn host(&self) -> &Host {
        self.kernel.host()
    }
}
