//! The machine's own kernel: `bpf(2)` and its companions.
//!
//! Safe code gives slices and numbers; Linux gets addresses. What it reads and writes at
//! each of them stays inside of the slice: see [`lengths`] for the fields, [`guarded`]
//! for memory whose length Linux alone knows, [`nested`] for addresses inside of
//! structures. A program that was loaded into Linux does what Linux lets it do, the
//! memory of processes included (`bpf_probe_write_user`); that takes the privileges of
//! who could as well write to `/proc/PID/mem`.
#![allow(unsafe_code)]

mod guarded;
mod lengths;
mod nested;
mod perf;

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use skep_abi::{Cmd, MapType, ProgType};

use crate::fd::RawFd;
use crate::info::PROG_INFO_SIZE;
use crate::kernel::possible_cpus;
use crate::kernel::{Host, Kernel, SocketPlace};
use crate::mapping::Mapping;
use crate::perf::{PerfControl, PerfSpec};
use crate::table::TestRun;
use crate::table::{ATTR_SIZE, Attr, Command, Row, each};
use guarded::Guarded;
use lengths::Bytes;
use nested::Nested;
use skep_abi::Errno;

/// The running Linux.
#[derive(Debug)]
pub struct Linux {
    host: Host,
    cpus: u32,
}

impl Default for Linux {
    fn default() -> Linux {
        Linux::new()
    }
}

impl Linux {
    /// A handle to the running kernel.
    pub fn new() -> Linux {
        Linux { host: Host::default(), cpus: possible_cpus() }
    }
}

/// The copies that Linux works on during a call.
#[derive(Default)]
struct Staged {
    copies: Vec<Guarded>,
    /// Texts and the array of their addresses.
    names: Vec<Guarded>,
    nested: Nested,
    /// The program of a TEST_RUN, where its kind mattered.
    program: Option<OwnedFd>,
}

impl Staged {
    /// Copies what has to be, and writes the copies' addresses into `attr`.
    fn stage(command: &mut Command<'_>, attr: &mut Attr) -> Result<Staged, Errno> {
        let (mut copies, mut names) = (Vec::new(), Vec::new());
        lengths::visit(command, &mut |at, bytes| {
            let copy = match bytes {
                Bytes::Read(bytes) => Guarded::copy(bytes)?,
                Bytes::Written(bytes) => Guarded::copy(bytes)?,
            };
            attr[at..at + 8].copy_from_slice(&copy.address().to_ne_bytes());
            copies.push(copy);
            Ok(())
        })?;
        if let Some((at, texts, count)) = lengths::texts(command) {
            let texts = Guarded::copy(texts)?;
            let array = Guarded::copy(&addresses(&texts, count))?;
            attr[at..at + 8].copy_from_slice(&array.address().to_ne_bytes());
            names = vec![texts, array];
        }
        let (mut nested, mut program) = (Nested::default(), None);
        let mut fd = None;
        match command {
            Command::ObjInfo(info) => {
                if let Some(copy) = copies.first_mut() {
                    nested = Nested::patch(info.bpf_fd, copy.bytes_mut(), &info.nested)?;
                    fd = nested.fd();
                }
            }
            Command::TestRun(run) => {
                program = program_without_addresses(run)?;
                fd = program.as_ref().map(|program| program.as_raw_fd() as u32);
            }
            _ => {}
        }
        if let Some(fd) = fd {
            attr[..4].copy_from_slice(&fd.to_ne_bytes());
        }
        Ok(Staged { copies, names, nested, program })
    }

    /// Copies back what Linux wrote.
    fn unstage(mut self, command: &mut Command<'_>) {
        if let (Command::ObjInfo(info), Some(copy)) = (&mut *command, self.copies.first_mut()) {
            self.nested.restore(copy.bytes_mut(), &mut info.nested);
        }
        let mut copies = self.copies.iter();
        // The same buffers in the same order.
        let copied = lengths::visit(command, &mut |_, bytes| {
            if let (Some(copy), Bytes::Written(bytes)) = (copies.next(), bytes) {
                bytes.copy_from_slice(copy.bytes());
            }
            Ok(())
        });
        debug_assert!(copied.is_ok());
        drop((self.program, self.names));
    }
}

/// Where each of so many texts begins, as Linux's array has it.
fn addresses(texts: &Guarded, count: usize) -> Vec<u8> {
    let mut starts = Vec::new();
    let mut start = 0u64;
    for text in texts.bytes().split_inclusive(|&byte| byte == 0).take(count) {
        starts.extend((texts.address() + start).to_ne_bytes());
        start += text.len() as u64;
    }
    starts
}

/// For a run whose context may hold an address: the first argument of a `struct_ops`
/// program is one, which Linux reads and writes (`net/bpf/bpf_dummy_struct_ops.c`). Gives
/// a duplicate of the program's fd, which stays what it was found to be; `EFAULT` for
/// such an address.
fn program_without_addresses(run: &TestRun<'_>) -> Result<Option<OwnedFd>, Errno> {
    /// Bytes of the most arguments.
    const MOST: usize = 12 * 8;
    let context = run.ctx_in.as_deref().unwrap_or_default();
    let context = context.get(..run.ctx_size_in as usize).unwrap_or_default();
    let first = context.first_chunk::<8>().copied().map_or(0, u64::from_ne_bytes);
    if first == 0 || context.len() > MOST || !context.len().is_multiple_of(8) {
        return Ok(None);
    }
    let program = nested::duplicate(run.prog_fd)?;
    match object_type(program.as_raw_fd())? == ProgType::StructOps as u32 {
        true => Err(Errno::EFAULT),
        false => Ok(Some(program)),
    }
}

/// The type of a map or program: the first word of what OBJ_GET_INFO tells of it.
fn object_type(fd: RawFd) -> Result<u32, Errno> {
    let mut info = [0u8; PROG_INFO_SIZE];
    let mut attr: Attr = [0; ATTR_SIZE];
    attr[..4].copy_from_slice(&fd.to_ne_bytes());
    attr[4..8].copy_from_slice(&(PROG_INFO_SIZE as u32).to_ne_bytes());
    attr[8..16].copy_from_slice(&(info.as_mut_ptr().expose_provenance() as u64).to_ne_bytes());
    // SAFETY: `info` has the length that the attribute says, and holds no addresses.
    unsafe { syscall(Cmd::ObjGetInfoByFd, &mut attr) }?;
    Ok(info.first_chunk().copied().map_or(0, u32::from_ne_bytes))
}

// SAFETY: Linux gives each fd once, and until it is closed to nobody else.
unsafe impl Kernel for Linux {
    fn name(&self) -> &'static str {
        "linux"
    }

    fn bpf(&self, command: &mut Command<'_>) -> Result<u32, Errno> {
        command.check_lengths()?;
        let mut attr = each!(&mut *command, fields => fields.encode());
        let staged = Staged::stage(command, &mut attr)?;
        // SAFETY: every pointer in `attr` is null, or that of a slice of which `check_lengths`
        // made sure that Linux takes no more than it holds, or of a guarded copy that
        // Linux cannot get past; all of them outlive the call. Addresses inside of
        // structures are guarded copies too.
        let result = unsafe { syscall(command.cmd(), &mut attr) };
        staged.unstage(command);
        command.take_numbers(&attr);
        result
    }

    unsafe fn close(&self, fd: RawFd) {
        // SAFETY: the caller owns it.
        unsafe { libc::close(fd) };
    }

    unsafe fn mmap(
        &self,
        fd: RawFd,
        offset: u64,
        len: usize,
        writable: bool,
    ) -> Result<Mapping, Errno> {
        if fd < 0 {
            return Err(Errno::EBADF);
        }
        // Linux maps all pages of an array or a ring buffer at once, and they stay while
        // they are mapped. An arena's come when they are touched, if they do.
        let kind = object_type(fd).map_err(|errno| match errno {
            Errno::EBADFD => Errno::EBADF,
            other => other,
        });
        let all = if writable { len } else { 0 };
        let (writable, faults) = match kind {
            // The memory of a perf event is there as long as it is mapped. Samples are the
            // kernel's to write: who writes there gets SIGBUS.
            Err(Errno::EINVAL) if is_perf_event(fd) => (all.min(rustix::param::page_size()), false),
            kind => (all, kind? == MapType::Arena as u32),
        };
        // SAFETY: it is no negative number, and the caller keeps it open.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        Mapping::new(fd, offset, len, writable, faults)
    }

    unsafe fn poll(&self, fd: RawFd, timeout: Duration) -> Result<bool, Errno> {
        if fd < 0 {
            return Err(Errno::EBADF);
        }
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one pollfd, and the count says so.
        let ready = unsafe { libc::poll(&raw mut poll, 1, millis) };
        match ready {
            ..0 => Err(last_errno()),
            _ if poll.revents & libc::POLLNVAL != 0 => Err(Errno::EBADF),
            _ => Ok(ready > 0),
        }
    }

    unsafe fn event(&self, fd: RawFd) -> Result<OwnedFd, Errno> {
        if fd < 0 {
            return Err(Errno::EBADF);
        }
        // SAFETY: the caller's own contract: it stays open during the call.
        let map = unsafe { BorrowedFd::borrow_raw(fd) };
        map.try_clone_to_owned().map_err(|_| last_errno())
    }

    unsafe fn read(&self, fd: RawFd, bytes: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the slice has so many bytes; an fd that is none gives EBADF.
        let got = unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) };
        usize::try_from(got).map_err(|_| last_errno())
    }

    fn perf_open(&self, event: &PerfSpec) -> Result<RawFd, Errno> {
        perf::open(event)
    }

    unsafe fn perf_control(&self, fd: RawFd, what: PerfControl) -> Result<(), Errno> {
        perf::control(fd, what)
    }

    fn perf_event(&self, cpu: u32, _pages: u32) -> Result<RawFd, Errno> {
        let fd = perf::open(&PerfSpec::bpf_output(cpu))?;
        perf::control(fd, PerfControl::Enable).map_err(|errno| {
            // SAFETY: it was just made, and is nobody else's yet.
            unsafe { libc::close(fd) };
            errno
        })?;
        Ok(fd)
    }

    unsafe fn attach_socket(
        &self,
        program: RawFd,
        socket: BorrowedFd<'_>,
        place: SocketPlace,
    ) -> Result<(), Errno> {
        set_socket(socket, place.options().0, program)
    }

    fn detach_socket(&self, socket: BorrowedFd<'_>, place: SocketPlace) -> Result<(), Errno> {
        set_socket(socket, place.options().1, 0)
    }

    fn possible_cpus(&self) -> u32 {
        self.cpus
    }

    fn host(&self) -> &Host {
        &self.host
    }
}

impl SocketPlace {
    /// The options that attach and detach.
    fn options(self) -> (libc::c_int, libc::c_int) {
        match self {
            SocketPlace::Filter => (libc::SO_ATTACH_BPF, libc::SO_DETACH_BPF),
            SocketPlace::Reuseport => {
                (libc::SO_ATTACH_REUSEPORT_EBPF, libc::SO_DETACH_REUSEPORT_BPF)
            }
        }
    }
}

/// Sets an option of a socket to a number.
fn set_socket(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    number: libc::c_int,
) -> Result<(), Errno> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option's value is a number, which outlives the call.
    let result = unsafe {
        let value = (&raw const number).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, len)
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Whether an fd is a perf event's.
fn is_perf_event(fd: RawFd) -> bool {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}"));
    link.is_ok_and(|link| link.as_os_str() == "anon_inode:[perf_event]")
}

/// # Safety
/// What Linux reads and writes by the attribute's pointers is the caller's to give.
unsafe fn syscall(cmd: Cmd, attr: &mut Attr) -> Result<u32, Errno> {
    let retried = Row::of(cmd).is_some_and(|row| row.retried);
    loop {
        // SAFETY: the attribute has the size that is said, and the caller vouches for
        // its pointers.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, cmd as u32, attr.as_mut_ptr(), ATTR_SIZE) };
        match u32::try_from(result) {
            Ok(result) => return Ok(result),
            // PROG_LOAD gives EAGAIN when a signal interrupts the verifier.
            Err(_) if last_errno() == Errno::EAGAIN && retried => {}
            Err(_) => return Err(last_errno()),
        }
    }
}

fn last_errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}
