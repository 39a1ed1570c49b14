//! File descriptors of a kernel, closed through the seam.
#![allow(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::kernel::{Kernel, SocketPlace};
use crate::mapping::Mapping;
use crate::perf::{PerfControl, PerfSpec};
use crate::table::Command;
use skep_abi::Errno;

/// A file descriptor as a number; it means something to the kernel that gave it.
pub type RawFd = i32;

/// An owned file descriptor of a kernel. Nobody else closes it, so that it stays what it
/// is while this lives.
///
/// What takes a number on trust is not for safe code:
/// ```compile_fail,E0133
/// use skep_sys::{Kernel, Linux};
/// Linux::new().close(3);
/// ```
/// ```compile_fail,E0133
/// use skep_sys::{Fd, Linux};
/// let fd = Fd::from_raw(std::sync::Arc::new(Linux::new()), 3);
/// ```
pub struct Fd {
    raw: RawFd,
    kernel: Arc<dyn Kernel>,
}

impl Fd {
    /// Runs a command that gives an fd.
    ///
    /// # Errors
    /// The command's; `EINVAL` for a command that gives none.
    pub fn open(kernel: &Arc<dyn Kernel>, command: &mut Command<'_>) -> Result<Fd, Errno> {
        if !command.gives_fd() {
            return Err(Errno::EINVAL);
        }
        let raw = kernel.bpf(command)?;
        // SAFETY: a kernel gives each fd to one caller alone.
        Ok(unsafe { Fd::from_raw(kernel.clone(), raw as RawFd) })
    }

    /// Makes a perf event: see [`Kernel::perf_event`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn perf_event(kernel: &Arc<dyn Kernel>, cpu: u32, pages: u32) -> Result<Fd, Errno> {
        let raw = kernel.perf_event(cpu, pages)?;
        // SAFETY: a kernel gives each fd to one caller alone.
        Ok(unsafe { Fd::from_raw(kernel.clone(), raw) })
    }

    /// Opens a perf event: see [`Kernel::perf_open`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn perf_open(kernel: &Arc<dyn Kernel>, event: &PerfSpec) -> Result<Fd, Errno> {
        let raw = kernel.perf_open(event)?;
        // SAFETY: a kernel gives each fd to one caller alone.
        Ok(unsafe { Fd::from_raw(kernel.clone(), raw) })
    }

    /// Makes a request of a perf event.
    ///
    /// # Errors
    /// The kernel's: `ENOTTY` where it is something else.
    pub fn perf_control(&self, what: PerfControl) -> Result<(), Errno> {
        // SAFETY: it is open as long as this lives.
        unsafe { self.kernel.perf_control(self.raw, what) }
    }

    /// Reads from an iterator. Gives how many bytes; 0 at the end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: it is open as long as this lives.
        unsafe { self.kernel.read(self.raw, bytes) }
    }

    /// Gives a socket of the machine this program.
    ///
    /// # Errors
    /// The kernel's: `EINVAL` where it is no program for sockets.
    #[cfg(unix)]
    pub fn attach_socket(
        &self,
        socket: std::os::fd::BorrowedFd<'_>,
        place: SocketPlace,
    ) -> Result<(), Errno> {
        // SAFETY: it is open as long as this lives.
        unsafe { self.kernel.attach_socket(self.raw, socket, place) }
    }

    /// Takes ownership of a number.
    ///
    /// # Safety
    /// `kernel` gave it, it is open, and nobody else closes it.
    pub unsafe fn from_raw(kernel: Arc<dyn Kernel>, raw: RawFd) -> Fd {
        Fd { raw, kernel }
    }

    /// The number.
    pub fn raw(&self) -> RawFd {
        self.raw
    }

    /// Gives the number away, which is not closed then.
    pub fn into_raw(self) -> RawFd {
        let mut fd = std::mem::ManuallyDrop::new(self);
        // SAFETY: `fd` is not dropped, so that its kernel is dropped here alone.
        unsafe { std::ptr::drop_in_place(&raw mut fd.kernel) };
        fd.raw
    }

    /// The kernel that it belongs to.
    pub fn kernel(&self) -> &Arc<dyn Kernel> {
        &self.kernel
    }

    /// Whether it is one of this kernel's. Its number means nothing to others, or, worse,
    /// something else.
    pub fn belongs_to(&self, kernel: &Arc<dyn Kernel>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.kernel), Arc::as_ptr(kernel))
    }

    /// Maps the memory of a map, shared.
    ///
    /// # Errors
    /// The errno of `mmap(2)`: `EINVAL` for a map that has no such memory, `EPERM` for
    /// one that is frozen and shall be written.
    pub fn map(&self, offset: u64, len: usize, writable: bool) -> Result<Mapping, Errno> {
        // SAFETY: it is open as long as this lives.
        unsafe { self.kernel.mmap(self.raw, offset, len, writable) }
    }

    /// Waits until there is something to read, at most `timeout`.
    ///
    /// # Errors
    /// The errno of `poll(2)`.
    pub fn poll(&self, timeout: Duration) -> Result<bool, Errno> {
        // SAFETY: it is open as long as this lives.
        unsafe { self.kernel.poll(self.raw, timeout) }
    }

    /// A file descriptor of the machine that becomes readable when there is something to
    /// read. One that can itself be read stays readable until it is.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a kernel that has none, `EINVAL` for a map that is never read so.
    #[cfg(unix)]
    pub fn event(&self) -> Result<std::os::fd::OwnedFd, Errno> {
        // SAFETY: it is open as long as this lives.
        unsafe { self.kernel.event(self.raw) }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: it is owned, and gone now.
        unsafe { self.kernel.close(self.raw) };
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fd({} of {})", self.raw, self.kernel.name())
    }
}
