//! `perf_event_open(2)` and its requests.

use std::ffi::CStr;

use crate::fd::RawFd;
use crate::perf::{PerfControl, PerfKind, PerfSpec, Sampling};
use skep_abi::Errno;

use super::last_errno;

/// The second version of `struct perf_event_attr`, the first with `config2`.
const SIZE: usize = 72;

/// Where its fields are.
mod at {
    pub const TYPE: usize = 0;
    pub const SIZE: usize = 4;
    pub const CONFIG: usize = 8;
    pub const SAMPLING: usize = 16;
    pub const SAMPLE_TYPE: usize = 24;
    pub const FLAGS: usize = 40;
    pub const WAKEUP: usize = 48;
    pub const CONFIG1: usize = 56;
    pub const CONFIG2: usize = 64;
}

/// Bits among its flags.
mod flag {
    pub const DISABLED: u64 = 1 << 0;
    pub const INHERIT: u64 = 1 << 1;
    pub const EXCLUDE_USER: u64 = 1 << 4;
    pub const EXCLUDE_KERNEL: u64 = 1 << 5;
    pub const FREQUENCY: u64 = 1 << 10;
}

/// `PERF_SAMPLE_RAW`.
const SAMPLE_RAW: u64 = 1 << 10;

/// Opens an event.
pub(super) fn open(event: &PerfSpec) -> Result<RawFd, Errno> {
    const CLOSE_ON_EXEC: libc::c_ulong = 1 << 3;
    let mut attr = [0u8; SIZE];
    let mut put = |at: usize, bytes: &[u8]| attr[at..at + bytes.len()].copy_from_slice(bytes);
    let (kind, config, name, config2) = numbers(&event.kind)?;
    put(at::TYPE, &kind.to_ne_bytes());
    put(at::SIZE, &(SIZE as u32).to_ne_bytes());
    put(at::CONFIG, &config.to_ne_bytes());
    let address = name.map_or(0, |name| name.as_ptr().expose_provenance() as u64);
    put(at::CONFIG1, &address.to_ne_bytes());
    put(at::CONFIG2, &config2.to_ne_bytes());
    let (sampling, by_frequency) = match event.sampling {
        Sampling::None => (0, false),
        Sampling::Period(period) => (period, false),
        Sampling::Frequency(frequency) => (frequency, true),
    };
    put(at::SAMPLING, &sampling.to_ne_bytes());
    if event.raw_samples {
        put(at::SAMPLE_TYPE, &SAMPLE_RAW.to_ne_bytes());
        put(at::WAKEUP, &1u32.to_ne_bytes());
    }
    let flags = [
        (event.disabled, flag::DISABLED),
        (event.inherit, flag::INHERIT),
        (event.exclude_user, flag::EXCLUDE_USER),
        (event.exclude_kernel, flag::EXCLUDE_KERNEL),
        (by_frequency, flag::FREQUENCY),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit);
    put(at::FLAGS, &flags.to_ne_bytes());
    let number = |of: Option<u32>| of.map_or(Ok(-1), i32::try_from).map_err(|_| Errno::EINVAL);
    let (pid, cpu, no_group) = (number(event.pid)?, number(event.cpu)?, -1);
    // SAFETY: the attribute says its own length, and Linux only reads it; the name that
    // `config1` is the address of is zero-terminated and outlives the call.
    let fd = unsafe {
        let call = libc::SYS_perf_event_open;
        libc::syscall(call, attr.as_ptr(), pid, cpu, no_group, CLOSE_ON_EXEC)
    };
    match RawFd::try_from(fd) {
        Ok(fd) if fd >= 0 => Ok(fd),
        _ => Err(last_errno()),
    }
}

/// Type, `config`, the name that `config1` points to, `config2`.
fn numbers(kind: &PerfKind) -> Result<(u32, u64, Option<&CStr>, u64), Errno> {
    const HARDWARE: u32 = 0;
    const SOFTWARE: u32 = 1;
    const TRACEPOINT: u32 = 2;
    const CACHE: u32 = 3;
    const RAW: u32 = 4;
    Ok(match kind {
        PerfKind::Hardware(config) => (HARDWARE, *config, None, 0),
        PerfKind::Software(config) => (SOFTWARE, *config, None, 0),
        PerfKind::Tracepoint(config) => (TRACEPOINT, *config, None, 0),
        PerfKind::Cache(config) => (CACHE, *config, None, 0),
        PerfKind::Raw(config) => (RAW, *config, None, 0),
        PerfKind::Uprobe { path, offset, ref_ctr_offset, is_return } => {
            let counter = u64::from(*ref_ctr_offset) << 32;
            (probes("uprobe")?, counter | u64::from(*is_return), Some(path), *offset)
        }
        PerfKind::Kprobe { function, offset, is_return } => {
            (probes("kprobe")?, u64::from(*is_return), function.as_deref(), *offset)
        }
    })
}

/// The number of a source of events, which each kernel gives anew; `ENOENT` where there is
/// none.
fn probes(name: &str) -> Result<u32, Errno> {
    let path = format!("/sys/bus/event_source/devices/{name}/type");
    let text = std::fs::read_to_string(path).map_err(|_| Errno::ENOENT)?;
    let number = text.trim().parse().map_err(|_| Errno::ENOENT)?;
    // Numbers of the fixed sources mean something else by `config1`.
    if number > 5 { Ok(number) } else { Err(Errno::ENOENT) }
}

/// Makes a request of an event.
pub(super) fn control(fd: RawFd, what: PerfControl) -> Result<(), Errno> {
    let request: libc::c_ulong = match what {
        PerfControl::Enable => 0x2400,
        PerfControl::Disable => 0x2401,
        PerfControl::Reset => 0x2403,
    };
    // SAFETY: the requests take no memory; an fd of something else does not know them.
    match unsafe { libc::ioctl(fd, request, 0) } {
        0.. => Ok(()),
        _ => Err(last_errno()),
    }
}
