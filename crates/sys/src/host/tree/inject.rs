//! A program that has just been executed gets the agent.
//!
//! Until the last call nothing of it has changed but bytes behind the vDSO that nothing reads;
//! from then on it needs nobody: the stub there opens the files, or goes on without.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::mem::{MaybeUninit, offset_of};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::layout::{HEADER, Stub};
use super::memory::{AGENT, Code, Shared};

/// The code segment of 64-bit programs.
const USER_CS: u64 = 0x33;
const PAGE: usize = 4096;
/// vDSOs are shorter than this.
const VDSO: u64 = 16 * PAGE as u64;

/// The stub, as it is written into programs.
pub(super) struct Template {
    bytes: Vec<u8>,
    data: usize,
    /// Where in the vDSO there is room: it is the same image in each program.
    room: Option<u64>,
}

/// Why a program runs untraced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is a 32-bit program.
    Narrow,
    /// It is gone, or cannot be written to.
    Gone,
    /// There is no vDSO, or no room behind it.
    NoRoom,
}

impl Template {
    pub fn new(code: &Code, shared: &Shared) -> io::Result<Template> {
        let field = |i: usize| {
            let bytes = AGENT[i * 8..][..8].try_into().unwrap_or_default();
            u64::from_le_bytes(bytes) as usize
        };
        const _: () = assert!(HEADER == 24);
        let [begin, len, data] = [field(0), field(1), field(2)];
        let bytes = AGENT[begin..][..len].to_vec();
        let mut template = Template { bytes, data, room: None };
        let (code_path, code_inode) = code.place()?;
        let (shared_path, shared_inode) = shared.place()?;
        template.put(offset_of!(Stub, code_inode), &code_inode.to_le_bytes());
        template.put(offset_of!(Stub, shared_inode), &shared_inode.to_le_bytes());
        template.put(offset_of!(Stub, probes), &(code.probes as u64).to_le_bytes());
        template.put(offset_of!(Stub, code_path), code_path.as_bytes());
        template.put(offset_of!(Stub, shared_path), shared_path.as_bytes());
        Ok(template)
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[self.data + offset..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Gives a stopped program the agent. `number` is that of the call that executed it.
    pub fn inject(&mut self, pid: i32, number: u64) -> Result<(), Unfit> {
        let mut registers = registers(pid)?;
        if registers.cs != USER_CS {
            return Err(Unfit::Narrow);
        }
        let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"));
        let memory = memory.map_err(|_| Unfit::Gone)?;
        let vector = Auxiliary::of(pid);
        let at = self.place_in(pid, &memory, &vector)?;
        self.put(offset_of!(Stub, program), &vector.entry.to_le_bytes());
        self.put(offset_of!(Stub, linker), &vector.base.to_le_bytes());
        self.put(offset_of!(Stub, entry), &registers.rip.to_le_bytes());
        self.put(offset_of!(Stub, number), &number.to_le_bytes());
        memory.write_all_at(&self.bytes, at).map_err(|_| Unfit::Gone)?;
        registers.rip = at;
        // SAFETY: the kernel reads the registers, and changes a process that is not this one.
        let set = unsafe { libc::ptrace(libc::PTRACE_SETREGS, pid, 0, &raw const registers) };
        if set == 0 { Ok(()) } else { Err(Unfit::Gone) }
    }
}

impl Template {
    /// Where the stub goes: bytes behind the vDSO's code that are zeros.
    fn place_in(&mut self, pid: i32, memory: &File, vector: &Auxiliary) -> Result<u64, Unfit> {
        let mut there = vec![0; self.bytes.len()];
        if let (Some(room), Some(start)) = (self.room, vector.vdso)
            && memory.read_exact_at(&mut there, start + room).is_ok()
            && there.iter().all(|&byte| byte == 0)
        {
            return Ok(start + room);
        }
        let vdso = vdso(pid).ok_or(Unfit::NoRoom)?;
        let mut text = vec![0; vdso.end.saturating_sub(vdso.start).min(VDSO) as usize];
        memory.read_exact_at(&mut text, vdso.start).map_err(|_| Unfit::Gone)?;
        let used = text.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let at = used.next_multiple_of(64);
        if used == 0 || at + self.bytes.len() > text.len() {
            return Err(Unfit::NoRoom);
        }
        self.room = Some(at as u64);
        Ok(vdso.start + at as u64)
    }
}

/// What the kernel has told a program.
#[derive(Default)]
struct Auxiliary {
    /// Where its vDSO begins.
    vdso: Option<u64>,
    /// Where it begins itself, and where the dynamic linker is mapped; 0 where there is none.
    entry: u64,
    base: u64,
}

impl Auxiliary {
    fn of(pid: i32) -> Auxiliary {
        const AT_BASE: u64 = 7;
        const AT_ENTRY: u64 = 9;
        const AT_SYSINFO_EHDR: u64 = 33;
        let (mut found, mut bytes) = (Auxiliary::default(), [0; 1024]);
        let file = File::open(format!("/proc/{pid}/auxv"));
        let len = file.and_then(|mut file| file.read(&mut bytes)).unwrap_or(0);
        let mut words = bytes[..len].chunks_exact(8).map(|word| {
            let word: [u8; 8] = word.try_into().unwrap_or_default();
            u64::from_le_bytes(word)
        });
        while let (Some(kind), Some(value)) = (words.next(), words.next()) {
            match kind {
                AT_BASE => found.base = value,
                AT_ENTRY => found.entry = value,
                AT_SYSINFO_EHDR => found.vdso = Some(value),
                _ => {}
            }
        }
        found
    }
}

fn registers(pid: i32) -> Result<libc::user_regs_struct, Unfit> {
    let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
    // SAFETY: the kernel writes the registers.
    let got = unsafe { libc::ptrace(libc::PTRACE_GETREGS, pid, 0, registers.as_mut_ptr()) };
    match got {
        // SAFETY: it has; zeros would be registers, too.
        0 => Ok(unsafe { registers.assume_init() }),
        _ => Err(Unfit::Gone),
    }
}

/// Where a process's vDSO is.
fn vdso(pid: i32) -> Option<Range<u64>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}
