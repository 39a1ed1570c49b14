//! Two kernels behind one interface: each command goes to both, and what they
//! answer is compared. The caller sees the first one's answers.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skep_abi::{Cmd, MapType, Values};
use skep_isa::Slot as Instruction;

use crate::fd::{Fd, RawFd};
use crate::kernel::{Host, Kernel, SocketPlace};
use crate::mapping::Mapping;
use crate::perf::{PerfControl, PerfSpec};
use crate::table::Command;
use crate::table::{Holds, Len, Role, Slot};
use skep_abi::Errno;

/// One answer on which the kernels differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The command.
    pub cmd: Cmd,
    /// What differs: `result`, `retval`, `data_out`, `value`, ...
    pub what: &'static str,
    /// The first kernel's answer.
    pub first: String,
    /// The second kernel's answer.
    pub second: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {} / {}", self.cmd.name(), self.what, self.first, self.second)
    }
}

/// Sends each command to two kernels. Its fds are the first kernel's.
pub struct Tee {
    first: Arc<dyn Kernel>,
    second: Arc<dyn Kernel>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fds: HashMap<RawFd, Entry>,
    differences: Vec<Difference>,
}

struct Entry {
    second: Fd,
    /// Of a map: its type, and the bytes of a value.
    map: Option<(MapType, usize)>,
}

/// No kernel gives this fd.
const CLOSED: u32 = i32::MAX as u32;

impl Tee {
    /// Joins two kernels.
    pub fn new(first: Arc<dyn Kernel>, second: Arc<dyn Kernel>) -> Tee {
        Tee { first, second, state: Mutex::default() }
    }

    /// The first kernel, whose answers the caller sees.
    pub fn first(&self) -> &Arc<dyn Kernel> {
        &self.first
    }

    /// The second kernel.
    pub fn second(&self) -> &Arc<dyn Kernel> {
        &self.second
    }

    /// The second kernel's fd for one of the first's.
    pub fn second_fd(&self, first: RawFd) -> Option<RawFd> {
        self.state().fds.get(&first).map(|entry| entry.second.raw())
    }

    /// Takes the differences seen since the last call.
    pub fn differences(&self) -> Vec<Difference> {
        std::mem::take(&mut self.state().differences)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Type and bytes of a value of a map.
    fn map(&self, fd: u32) -> Option<(MapType, usize)> {
        self.state().fds.get(&(fd as RawFd)).and_then(|entry| entry.map)
    }

    /// The second kernel's number for an fd field; 0 stays what it is where it
    /// means "none".
    fn translate(&self, fd: u32) -> u32 {
        self.second_fd(fd as RawFd).map_or(CLOSED, |fd| fd as u32)
    }

    fn translate_optional(&self, fd: &mut u32) {
        if *fd != 0 {
            *fd = self.translate(*fd);
        }
    }

    /// Replaces every fd in `command` by the second kernel's.
    fn translate_command(&self, command: &mut Command<'_>) {
        let fields = command.row().fields;
        // What is in memory first, while the map is still the first kernel's.
        for field in fields {
            if let Role::In(_, holds) = field.role {
                self.translate_memory(command, field.at, holds);
            }
        }
        for field in fields {
            match (field.role, command.slot(field.at)) {
                (Role::Fd, Slot::Number(fd)) => *fd = self.translate(*fd),
                (Role::OptFd, Slot::Number(fd)) => self.translate_optional(fd),
                _ => {}
            }
        }
    }

    fn translate_memory(&self, command: &mut Command<'_>, at: usize, holds: Holds) {
        let map = match holds {
            Holds::Nothing => return,
            Holds::Values(map) => self.map(command.number(map) as u32),
            Holds::Insns | Holds::Fds => None,
        };
        let bytes = match command.slot(at) {
            Slot::Input(Some(bytes)) => &mut bytes.to_mut()[..],
            Slot::Output(bytes) => &mut bytes[..],
            Slot::Input(None) | Slot::Number(_) | Slot::Long(_) | Slot::Other => return,
        };
        match holds {
            Holds::Nothing => {}
            Holds::Fds => bytes.chunks_exact_mut(4).for_each(|fd| self.translate_word(fd)),
            Holds::Insns => self.translate_insns(bytes),
            Holds::Values(_) => self.translate_values(map, bytes),
        }
    }

    fn translate_word(&self, word: &mut [u8]) {
        if let Some(bytes) = word.first_chunk_mut::<4>() {
            *bytes = self.translate(u32::from_ne_bytes(*bytes)).to_ne_bytes();
        }
    }

    /// The fds in values of a map: a value is one, or has one behind its first word (and
    /// 0 or less there means none).
    fn translate_values(&self, map: Option<(MapType, usize)>, values: &mut [u8]) {
        let Some((kind, size)) = map else { return };
        match kind.row().values {
            Values::Bytes | Values::None => {}
            Values::Fds => values.chunks_exact_mut(4).for_each(|value| self.translate_word(value)),
            Values::Pairs if size < 8 => {}
            Values::Pairs => {
                for value in values.chunks_exact_mut(size) {
                    let second = &mut value[4..8];
                    if second.first_chunk().is_some_and(|word| i32::from_ne_bytes(*word) > 0) {
                        self.translate_word(second);
                    }
                }
            }
        }
    }

    /// The fds of maps in instructions, which may be no program at all.
    fn translate_insns(&self, insns: &mut [u8]) {
        let (whole, _) = insns.as_chunks_mut::<{ Instruction::SIZE }>();
        let mut slots: Vec<_> = whole.iter().map(|slot| Instruction::from_bytes(*slot)).collect();
        let named: Vec<_> = skep_isa::map_fds(&slots).collect();
        for (index, fd) in named {
            slots[index].imm = self.translate(fd as u32) as i32;
            whole[index] = slots[index].to_bytes();
        }
    }

    /// Compares what both kernels gave; ids and addresses are each kernel's own.
    fn compare(
        &self,
        first: &Command<'_>,
        second: &Command<'_>,
        results: (Result<u32, Errno>, Result<u32, Errno>),
    ) {
        let cmd = first.cmd();
        let mut found = Vec::new();
        let mut differ = |what: &'static str, first: String, second: String| {
            if first != second {
                found.push(Difference { cmd, what, first, second });
            }
        };
        let outcome = |result: Result<u32, Errno>| match result {
            Ok(_) => "ok".to_owned(),
            Err(errno) => format!("{errno:?}"),
        };
        differ("result", outcome(results.0), outcome(results.1));
        if results.0.is_ok() && results.1.is_ok() {
            let row = first.row();
            let map = row.fields.iter().find(|field| field.role == Role::Fd);
            let ids = map.is_some_and(|map| holds_fds(self.map(first.number(map.at) as u32)));
            for field in row.fields.iter().filter(|field| field.compared) {
                let shown = |command: &Command<'_>| match field.role {
                    Role::Given => command.number(field.at).to_string(),
                    Role::Out(Len::Map) if ids => String::new(),
                    Role::Out(len) => hex(written(len, first, second, command.memory(field.at))),
                    _ => String::new(),
                };
                differ(field.name, shown(first), shown(second));
            }
        }
        self.state().differences.extend(found);
    }

    fn remember(&self, command: &Command<'_>, first: RawFd, second: Fd) {
        let map = match command {
            Command::MapCreate(create) => {
                MapType::from_number(create.map_type).map(|kind| (kind, create.value_size as usize))
            }
            _ => None,
        };
        // What the first kernel's number meant before is closed, but not under the lock.
        let before = self.state().fds.insert(first, Entry { second, map });
        drop(before);
    }
}

/// Whether values of such a map are fds, or hold one, on the way in and ids on the way out.
fn holds_fds(map: Option<(MapType, usize)>) -> bool {
    map.is_some_and(|(kind, _)| matches!(kind.row().values, Values::Fds | Values::Pairs))
}

/// The part of an output that both kernels wrote, where the commands say how much that is.
fn written<'m>(
    len: Len,
    first: &Command<'_>,
    second: &Command<'_>,
    memory: Option<&'m [u8]>,
) -> &'m [u8] {
    let memory = memory.unwrap_or_default();
    let len = match len {
        Len::Of(at) | Len::OfOrAll(at) => first.number(at).min(second.number(at)),
        _ => return memory,
    };
    &memory[..memory.len().min(len as usize)]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// SAFETY: its fds are the first kernel's, which gave them; the second's are owned here.
unsafe impl Kernel for Tee {
    fn name(&self) -> &'static str {
        "both"
    }

    fn bpf(&self, command: &mut Command<'_>) -> Result<u32, Errno> {
        if !command.row().alike {
            return self.first.bpf(command);
        }
        let mut copy = command.copy();
        self.translate_command(&mut copy);
        let first = self.first.bpf(command);
        let second = self.second.bpf(&mut copy);
        self.compare(command, &copy, (first, second));
        if let Ok(second) = second
            && command.gives_fd()
        {
            // SAFETY: the second kernel gave it just now, to us alone.
            let second = unsafe { Fd::from_raw(self.second.clone(), second as RawFd) };
            if let Ok(first) = first {
                self.remember(command, first as RawFd, second);
            }
        }
        first
    }

    unsafe fn close(&self, fd: RawFd) {
        let entry = self.state().fds.remove(&fd);
        drop(entry);
        // SAFETY: the caller's own contract; the first kernel gave it.
        unsafe { self.first.close(fd) };
    }

    unsafe fn mmap(
        &self,
        fd: RawFd,
        offset: u64,
        len: usize,
        writable: bool,
    ) -> Result<Mapping, Errno> {
        // SAFETY: the caller's own contract; the first kernel gave it.
        unsafe { self.first.mmap(fd, offset, len, writable) }
    }

    unsafe fn poll(&self, fd: RawFd, timeout: Duration) -> Result<bool, Errno> {
        // SAFETY: the caller's own contract; the first kernel gave it.
        unsafe { self.first.poll(fd, timeout) }
    }

    #[cfg(unix)]
    unsafe fn event(&self, fd: RawFd) -> Result<std::os::fd::OwnedFd, Errno> {
        // SAFETY: the caller's own contract; the first kernel gave it.
        unsafe { self.first.event(fd) }
    }

    fn perf_open(&self, event: &PerfSpec) -> Result<RawFd, Errno> {
        self.first.perf_open(event)
    }
    unsafe fn perf_control(&self, fd: RawFd, what: PerfControl) -> Result<(), Errno> {
        // SAFETY: the caller's own contract; the first kernel gave it.
        unsafe { self.first.perf_control(fd, what) }
    }
    unsafe fn read(&self, fd: RawFd, bytes: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the caller's own contract; the first kernel gave it.
        unsafe { self.first.read(fd, bytes) }
    }
    #[cfg(unix)]
    unsafe fn attach_socket(
        &self,
        program: RawFd,
        socket: std::os::fd::BorrowedFd<'_>,
        place: SocketPlace,
    ) -> Result<(), Errno> {
        // SAFETY: the caller's own contract; the first kernel gave it.
        unsafe { self.first.attach_socket(program, socket, place) }
    }
    #[cfg(unix)]
    fn detach_socket(
        &self,
        socket: std::os::fd::BorrowedFd<'_>,
        place: SocketPlace,
    ) -> Result<(), Errno> {
        self.first.detach_socket(socket, place)
    }
    fn possible_cpus(&self) -> u32 {
        self.first.possible_cpus()
    }

    fn host(&self) -> &Host {
        self.first.host()
    }
}
