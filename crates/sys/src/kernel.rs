//! What a kernel is, seen from above: `bpf()` and its few companions.

use std::sync::Arc;
use std::time::Duration;

use crate::fd::RawFd;
use crate::host::KernelTypes;
use crate::mapping::Mapping;
use crate::perf::{PerfControl, PerfSpec};
use crate::table::Command;
use skep_abi::Errno;

/// What a program of a socket is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketPlace {
    /// Which packets it gets (`SO_ATTACH_BPF`).
    Filter,
    /// Which socket of those that share its port gets a packet (`SO_ATTACH_REUSEPORT_EBPF`).
    Reuseport,
}

/// A kernel: the machine's own, the embedded one, or something before them.
///
/// What acts on an fd by its number alone is `unsafe`; [`crate::Fd`] owns one, and has
/// safe methods for each. Who only wants to see or change the commands for another
/// kernel implements [`crate::Between`], which is safe.
///
/// # Safety
/// An fd that [`Kernel::bpf`] gives for a command that gives one
/// ([`Command::gives_fd`]) belongs to the caller alone: the kernel has not given its
/// number to anybody else who has not closed it yet.
#[allow(unsafe_code, reason = "the contract is what the safe types above it rely on")]
pub unsafe trait Kernel: Send + Sync + 'static {
    /// A word for messages: `linux`, `embedded`.
    fn name(&self) -> &'static str;

    /// `bpf(2)`. Gives what the system call returns: an fd, or 0. [`crate::Fd::open`]
    /// is for commands that give an fd.
    ///
    /// # Errors
    /// The system call's errno.
    fn bpf(&self, command: &mut Command<'_>) -> Result<u32, Errno>;

    /// Closes a file descriptor; one that is none, or negative, is left alone.
    ///
    /// # Safety
    /// This kernel gave it, and the caller owns it: nobody uses the number afterwards.
    unsafe fn close(&self, fd: RawFd);

    /// Maps the memory of a map (`mmap(2)` of its fd), shared.
    ///
    /// # Errors
    /// The system call's errno: `EINVAL` for a map that has no such memory, `EPERM`
    /// for one that is frozen, `EBADF` for a number that is no fd.
    ///
    /// # Safety
    /// This kernel gave the fd, and it stays open during the call.
    unsafe fn mmap(
        &self,
        fd: RawFd,
        offset: u64,
        len: usize,
        writable: bool,
    ) -> Result<Mapping, Errno>;

    /// Waits until the map behind `fd` has something to read, at most `timeout`.
    ///
    /// # Errors
    /// The errno of `poll(2)`; `EBADF` for a number that is no fd.
    ///
    /// # Safety
    /// This kernel gave the fd, and it stays open during the call.
    unsafe fn poll(&self, fd: RawFd, timeout: Duration) -> Result<bool, Errno>;

    /// A file descriptor of the machine that becomes readable when the map behind `fd` has
    /// something to read. One that can itself be read stays readable until it is.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a kernel that has none, `EINVAL` for a map that is never read so.
    ///
    /// # Safety
    /// `fd` is one of this kernel's and stays open during the call.
    #[cfg(unix)]
    unsafe fn event(&self, fd: RawFd) -> Result<std::os::fd::OwnedFd, Errno> {
        let _ = fd;
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes a perf event that programs write samples to on this CPU, with room for `pages`
    /// pages of them, a power of two: an fd for the CPU's slot of a perf event array, whose
    /// memory [`Kernel::mmap`] gives. Like those of [`Kernel::bpf`], it is the caller's alone.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a kernel without them; the errno of `perf_event_open(2)`: `ENODEV` for
    /// a CPU that is not there, `EACCES` without the right.
    fn perf_event(&self, cpu: u32, pages: u32) -> Result<RawFd, Errno> {
        let _ = (cpu, pages);
        Err(Errno::EOPNOTSUPP)
    }

    /// Opens a perf event, for a link to be made on. Like those of [`Kernel::bpf`], the fd is
    /// the caller's alone.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a kernel without them; the errno of `perf_event_open(2)`.
    fn perf_open(&self, event: &PerfSpec) -> Result<RawFd, Errno> {
        let _ = event;
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes a request of a perf event.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a kernel without them; the errno of `ioctl(2)`.
    ///
    /// # Safety
    /// This kernel gave the fd for a perf event, and it stays open during the call.
    unsafe fn perf_control(&self, fd: RawFd, what: PerfControl) -> Result<(), Errno> {
        let _ = (fd, what);
        Err(Errno::EOPNOTSUPP)
    }

    /// Reads from an iterator. Gives how many bytes; 0 at the end.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a kernel that has none; the errno of `read(2)`.
    ///
    /// # Safety
    /// This kernel gave the fd, and it stays open during the call.
    unsafe fn read(&self, fd: RawFd, bytes: &mut [u8]) -> Result<usize, Errno> {
        let _ = (fd, bytes);
        Err(Errno::EOPNOTSUPP)
    }

    /// Gives a socket of the machine a program, in the place of one that it has.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a kernel that has no sockets; the errno of `setsockopt(2)`.
    ///
    /// # Safety
    /// This kernel gave the fd of the program, and it stays open during the call.
    #[cfg(unix)]
    unsafe fn attach_socket(
        &self,
        program: RawFd,
        socket: std::os::fd::BorrowedFd<'_>,
        place: SocketPlace,
    ) -> Result<(), Errno> {
        let _ = (program, socket, place);
        Err(Errno::EOPNOTSUPP)
    }

    /// Takes a socket's program away.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a kernel that has no sockets; `ENOENT` where it has none.
    #[cfg(unix)]
    fn detach_socket(
        &self,
        socket: std::os::fd::BorrowedFd<'_>,
        place: SocketPlace,
    ) -> Result<(), Errno> {
        let _ = (socket, place);
        Err(Errno::EOPNOTSUPP)
    }

    /// Number of possible CPUs, which is the number of slots of a per-CPU value.
    fn possible_cpus(&self) -> u32;

    /// The files that describe the machine.
    fn host(&self) -> &Host;
}

#[allow(unsafe_code, reason = "each call is passed on with its own contract")]
// SAFETY: the kernel inside gives the fds.
unsafe impl<K: Kernel + ?Sized> Kernel for Arc<K> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn bpf(&self, command: &mut Command<'_>) -> Result<u32, Errno> {
        (**self).bpf(command)
    }
    unsafe fn close(&self, fd: RawFd) {
        // SAFETY: the caller's own contract.
        unsafe { (**self).close(fd) }
    }
    unsafe fn mmap(
        &self,
        fd: RawFd,
        offset: u64,
        len: usize,
        writable: bool,
    ) -> Result<Mapping, Errno> {
        // SAFETY: the caller's own contract.
        unsafe { (**self).mmap(fd, offset, len, writable) }
    }
    unsafe fn poll(&self, fd: RawFd, timeout: Duration) -> Result<bool, Errno> {
        // SAFETY: the caller's own contract.
        unsafe { (**self).poll(fd, timeout) }
    }
    #[cfg(unix)]
    unsafe fn event(&self, fd: RawFd) -> Result<std::os::fd::OwnedFd, Errno> {
        // SAFETY: the caller's own contract.
        unsafe { (**self).event(fd) }
    }
    fn perf_event(&self, cpu: u32, pages: u32) -> Result<RawFd, Errno> {
        (**self).perf_event(cpu, pages)
    }
    fn perf_open(&self, event: &PerfSpec) -> Result<RawFd, Errno> {
        (**self).perf_open(event)
    }
    unsafe fn perf_control(&self, fd: RawFd, what: PerfControl) -> Result<(), Errno> {
        // SAFETY: the caller's own contract.
        unsafe { (**self).perf_control(fd, what) }
    }
    unsafe fn read(&self, fd: RawFd, bytes: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the caller's own contract.
        unsafe { (**self).read(fd, bytes) }
    }
    #[cfg(unix)]
    unsafe fn attach_socket(
        &self,
        program: RawFd,
        socket: std::os::fd::BorrowedFd<'_>,
        place: SocketPlace,
    ) -> Result<(), Errno> {
        // SAFETY: the caller's own contract.
        unsafe { (**self).attach_socket(program, socket, place) }
    }
    #[cfg(unix)]
    fn detach_socket(
        &self,
        socket: std::os::fd::BorrowedFd<'_>,
        place: SocketPlace,
    ) -> Result<(), Errno> {
        (**self).detach_socket(socket, place)
    }
    fn possible_cpus(&self) -> u32 {
        (**self).possible_cpus()
    }
    fn host(&self) -> &Host {
        (**self).host()
    }
}

/// Files of the machine that loading and tracing read. Each is read when it is
/// asked for; a machine that lacks one answers `None`.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Stands in for `/sys/kernel/btf/vmlinux`.
    pub btf: Option<Arc<[u8]>>,
}

impl Host {
    /// The kernel's BTF, raw.
    pub fn vmlinux_btf(&self) -> Option<KernelTypes> {
        match &self.btf {
            Some(bytes) => Some(KernelTypes::Given(Arc::clone(bytes))),
            None => crate::host::vmlinux().map(KernelTypes::Own),
        }
    }

    /// `/proc/kallsyms`.
    pub fn kallsyms(&self) -> Option<String> {
        std::fs::read_to_string("/proc/kallsyms").ok()
    }

    /// The kernel's release, as `uname -r` prints it.
    pub fn release(&self) -> Option<String> {
        let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        Some(text.trim().to_owned())
    }

    /// The kernel's configuration: plain text of `/boot/config-RELEASE`, or the
    /// compressed bytes of `/proc/config.gz`.
    pub fn config(&self) -> Option<Vec<u8>> {
        let boot = self.release().map(|release| format!("/boot/config-{release}"));
        boot.and_then(|path| std::fs::read(path).ok())
            .or_else(|| std::fs::read("/proc/config.gz").ok())
    }
}

/// Number of possible CPUs as `/sys/devices/system/cpu/possible` lists them
/// (`0-3,8`); 1 where it does not.
pub fn possible_cpus() -> u32 {
    std::fs::read_to_string("/sys/devices/system/cpu/possible")
        .ok()
        .and_then(|list| count_cpus(list.trim()))
        .unwrap_or(1)
}

/// Linux sizes per-CPU values by the highest possible CPU number (`nr_cpu_ids`
/// counts those that are possible; lists with gaps do not occur in practice).
fn count_cpus(list: &str) -> Option<u32> {
    let mut count = 0u32;
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::count_cpus;

    #[test]
    fn cpu_lists_count_ranges_and_single_cpus() {
        assert_eq!(count_cpus("0-3,8"), Some(5));
        assert_eq!(count_cpus("0"), Some(1));
        assert_eq!(count_cpus("3-1"), None);
        assert_eq!(count_cpus(""), None);
    }
}
