//! Freezing, and mapping into user space.
//!
//! A frozen map is never written by system calls again, so a map with a write under
//! way, or mapped writable, cannot be frozen. The system call layer holds a
//! [`WriteGuard`] around each writing command.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use skep_abi::{Errno, MapType, flags};

use super::{Map, Storage};
use crate::mem::{PAGE, SharedMemory, View};

/// Who writes, and whether anybody ever may again.
#[derive(Debug, Default)]
pub struct State {
    frozen: AtomicBool,
    /// Writing commands under way and writable mappings.
    writers: AtomicU64,
    /// Held to freeze and to map.
    changing: Mutex<()>,
}

/// A writing command under way.
#[derive(Debug)]
pub struct WriteGuard<'a>(&'a Map);

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        self.0.state.writers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A map's memory in user space (`mmap(2)` on its fd). Keeps the map.
#[derive(Debug)]
pub struct UserMapping {
    view: View,
    writable: bool,
    map: Arc<Map>,
}

impl UserMapping {
    /// The mapped memory.
    pub fn view(&self) -> &View {
        &self.view
    }
}

impl Drop for UserMapping {
    fn drop(&mut self) {
        if self.writable {
            self.map.state.writers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Map {
    /// Whether system calls may not write any more: their EPERM.
    pub fn frozen(&self) -> bool {
        self.state.frozen.load(Ordering::SeqCst)
    }

    /// Marks a writing command as under way; to be taken before `frozen` is asked.
    pub fn begin_write(&self) -> WriteGuard<'_> {
        self.state.writers.fetch_add(1, Ordering::SeqCst);
        WriteGuard(self)
    }

    /// Whether the map can be frozen at all: nobody could use the special fields of its
    /// values then.
    pub fn check_freezable(&self) -> Result<(), Errno> {
        if self.fields.any() { Err(Errno::ENOTSUPP) } else { Ok(()) }
    }

    /// MAP_FREEZE: EBUSY when frozen already, or while somebody writes.
    pub fn freeze(&self) -> Result<(), Errno> {
        let _alone = self.state.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.state.writers.load(Ordering::SeqCst) > 0 || self.frozen() {
            return Err(Errno::EBUSY);
        }
        self.state.frozen.store(true, Ordering::SeqCst);
        Ok(())
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

    /// `mmap(2)` on the map's fd, shared, `len` a multiple of the page size: ENOTSUPP for
    /// types without memory to map and for values with special fields; EPERM, EACCES and EINVAL as Linux.
    pub fn map_into_user(
        self: &Arc<Map>,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> Result<UserMapping, Errno> {
        let mappable =
            matches!(self.map_type, MapType::Array | MapType::Ringbuf | MapType::UserRingbuf);
        if !mappable || self.fields.any() {
            return Err(Errno::ENOTSUPP);
        }
        let _alone = self.state.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if writable && self.frozen() {
            return Err(Errno::EPERM);
        }
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
        if writable {
            self.state.writers.fetch_add(1, Ordering::SeqCst);
        }
        Ok(UserMapping { view, writable, map: self.clone() })
    }
}
