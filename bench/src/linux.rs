//! The running kernel, by raw bpf(2): just what the benches need.

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use skep_abi::Cmd;

/// Fields of `union bpf_attr`, by offset.
#[derive(Default)]
pub struct Attr {
    bytes: Vec<u8>,
}

impl Attr {
    fn set(mut self, offset: usize, bytes: &[u8]) -> Attr {
        self.bytes.resize(self.bytes.len().max(offset + bytes.len()), 0);
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// A 32-bit field.
    pub fn half(self, offset: usize, value: u32) -> Attr {
        self.set(offset, &value.to_ne_bytes())
    }

    /// A pointer to bytes that outlive the call.
    pub fn pointer(self, offset: usize, bytes: &[u8]) -> Attr {
        self.set(offset, &(bytes.as_ptr() as u64).to_ne_bytes())
    }

    fn read_half(&self, offset: usize) -> u32 {
        let bytes = self.bytes[offset..].first_chunk();
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }
}

fn bpf(cmd: Cmd, attr: &mut Attr) -> Result<i32> {
    let (address, len) = (attr.bytes.as_mut_ptr(), attr.bytes.len());
    // SAFETY: the attribute is ours; the buffers that it names are alive and as long as the
    // callers say, and the kernel only reads them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, cmd as u32 as libc::c_long, address, len) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result as i32) }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: bpf(2) has just returned this fd; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Makes a map.
pub fn create_map(map_type: u32, key: u32, value: u32, entries: u32) -> Result<OwnedFd> {
    let mut attr =
        Attr::default().half(0, map_type).half(4, key).half(8, value).half(12, entries).half(16, 0);
    bpf(Cmd::MapCreate, &mut attr).map(owned)
}

/// Creates or replaces an element.
pub fn update(map: &OwnedFd, key: &[u8], value: &[u8]) -> Result<()> {
    let mut attr = Attr::default()
        .half(0, map.as_raw_fd() as u32)
        .pointer(8, key)
        .pointer(16, value)
        .half(24, 0)
        .half(28, 0);
    bpf(Cmd::MapUpdateElem, &mut attr).map(drop)
}

/// Loads an XDP program. The verifier's log goes to the error.
pub fn load_xdp(instructions: &[u64]) -> Result<OwnedFd> {
    let code: Vec<u8> = instructions.iter().flat_map(|slot| slot.to_ne_bytes()).collect();
    let plain = || {
        Attr::default()
            .half(0, skep_abi::ProgType::Xdp as u32)
            .half(4, instructions.len() as u32)
            .pointer(8, &code)
            .pointer(16, b"MIT\0")
            .half(44, 0)
    };
    // The log of a long program would not fit; only that of a refused one is wanted.
    if let Ok(fd) = bpf(Cmd::ProgLoad, &mut plain()) {
        return Ok(owned(fd));
    }
    let log = vec![0u8; 1 << 16];
    let mut attr = plain().half(24, 1).half(28, log.len() as u32).pointer(32, &log);
    bpf(Cmd::ProgLoad, &mut attr).map(owned).map_err(|error| {
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(0);
        Error::new(error.kind(), format!("{error}: {}", String::from_utf8_lossy(&log[..end])))
    })
}

/// Runs a program once on a packet (TEST_RUN) and returns its verdict.
pub fn test_run(program: &OwnedFd, packet: &[u8]) -> Result<u32> {
    test_run_repeated(program, packet, 1).map(|(verdict, _)| verdict)
}

/// Runs a program `repeat` times on a packet: its last verdict, and the nanoseconds
/// that the kernel says a run took on average.
pub fn test_run_repeated(program: &OwnedFd, packet: &[u8], repeat: u32) -> Result<(u32, u32)> {
    let mut attr = Attr::default()
        .half(0, program.as_raw_fd() as u32)
        .half(8, packet.len() as u32)
        .pointer(16, packet)
        .half(32, repeat)
        .half(36, 0);
    bpf(Cmd::ProgTestRun, &mut attr)?;
    Ok((attr.read_half(4), attr.read_half(36)))
}

/// Keeps the calling thread on one CPU.
pub fn pin_to_cpu(cpu: usize) -> Result<()> {
    // SAFETY: a zeroed set is an empty one; the macros stay inside it for small numbers.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Nanoseconds of CPU time that the calling thread has used, in the kernel too. Unlike the
/// wall's, it does not count what other processes take.
pub fn thread_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is where the clock's value goes.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
