//! Freezing, and mapping into user space.
//!
//! A frozen map is never written from outside of programs again: the verifier takes what
//! it holds for constant, and compiled code does. Writers are counted in the same word that
//! says whether the map is frozen, so that nobody begins to write after a freeze, and
//! nobody freezes while one writes. Every writing system call and every writable mapping
//! holds a [`WriteGuard`]. (`bpf_map_write_active()` of `kernel/bpf/syscall.c`, where a
//! freeze may come between the two and the verifier asks for both.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skep_abi::{Errno, MapType, flags};

use super::Map;
use super::storage::Storage;
use crate::mem::{PAGE, SharedMemory, View};

/// Set once nobody may write any more.
const FROZEN: u64 = 1 << 63;

/// Who writes, and whether anybody ever may again: [`FROZEN`], and below it the number of
/// writing commands under way and of writable mappings.
#[derive(Debug, Default)]
pub struct State(AtomicU64);

impl State {
    /// Counts a writer, unless there may be none any more.
    fn begin(&self) -> bool {
        let before = self.0.fetch_add(1, Ordering::SeqCst);
        if before & FROZEN != 0 {
            self.end();
        }
        before & FROZEN == 0
    }

    fn end(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    /// Freezes, unless that is done already or somebody writes.
    fn freeze(&self) -> bool {
        self.0.compare_exchange(0, FROZEN, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn frozen(&self) -> bool {
        self.0.load(Ordering::SeqCst) & FROZEN != 0
    }
}

/// The right to write a map from outside of programs, which nobody freezes meanwhile.
#[derive(Debug)]
pub struct WriteGuard(Arc<Map>);

impl Drop for WriteGuard {
    fn drop(&mut self) {
        self.0.state.end();
    }
}

/// A map's memory in user space (`mmap(2)` on its fd). Keeps the map.
#[derive(Debug)]
pub struct UserMapping {
    view: View,
    _map: Arc<Map>,
    _writes: Option<WriteGuard>,
}

impl UserMapping {
    /// The mapped memory.
    pub fn view(&self) -> &View {
        &self.view
    }
}

impl Map {
    /// Whether system calls may not write any more: their EPERM.
    pub fn frozen(&self) -> bool {
        self.state.frozen()
    }

    /// Begins to write from outside of programs: EPERM when the map is frozen.
    pub fn begin_write(self: &Arc<Map>) -> Result<WriteGuard, Errno> {
        if self.state.begin() { Ok(WriteGuard(self.clone())) } else { Err(Errno::EPERM) }
    }

    /// Whether the map can be frozen at all: nobody could use the special fields of its
    /// values then.
    pub fn check_freezable(&self) -> Result<(), Errno> {
        if self.fields.any() { Err(Errno::ENOTSUPP) } else { Ok(()) }
    }

    /// MAP_FREEZE: EBUSY when frozen already, or while somebody writes.
    pub fn freeze(&self) -> Result<(), Errno> {
        if self.state.freeze() { Ok(()) } else { Err(Errno::EBUSY) }
    }

    /// The memory that user space may map: of an array with `BPF_F_MMAPABLE`, of a ring
    /// buffer.
    pub fn shared(&self) -> Option<&SharedMemory> {
        match &self.storage {
            Storage::Array(array) => array.shared(),
            Storage::Ring(ring) => Some(ring.shared()),
            _ => None,
        }
    }

    /// Whether there may be memory to map: ENOTSUPP for types without any, and for values with
    /// special fields.
    pub fn check_mappable(&self) -> Result<(), Errno> {
        let mappable =
            matches!(self.map_type, MapType::Array | MapType::Ringbuf | MapType::UserRingbuf);
        if mappable && !self.fields.any() { Ok(()) } else { Err(Errno::ENOTSUPP) }
    }

    /// `mmap(2)` on the map's fd, shared, `len` a multiple of the page size: ENOTSUPP for
    /// types without memory to map and for values with special fields; EPERM, EACCES and EINVAL as Linux.
    pub fn map_into_user(
        self: &Arc<Map>,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> Result<UserMapping, Errno> {
        self.check_mappable()?;
        let writes = if writable { Some(self.begin_write()?) } else { None };
        if writable && self.flags & flags::map::RDONLY_PROG != 0 {
            return Err(Errno::EACCES);
        }
        // A consumer writes its position and nothing else; a producer all but the consumer's.
        let allowed = match self.map_type {
            MapType::Ringbuf => offset == 0 && len == PAGE,
            MapType::UserRingbuf => offset != 0,
            _ => true,
        };
        if writable && !allowed {
            return Err(Errno::EPERM);
        }
        let view = self.shared().ok_or(Errno::EINVAL)?.view(offset, len, writable)?;
        Ok(UserMapping { view, _map: self.clone(), _writes: writes })
    }
}
