//! A map: what all kinds have in common, and the kind that it is.

mod batch;
mod create;
mod program;
mod state;
mod storage;
mod user;

pub use batch::BatchResult;
pub use create::MapAttr;
pub use program::Cursor;
pub use state::{UserMapping, WriteGuard};

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use skep_abi::{Errno, FieldKind, MapType, flags};

use crate::fields::Fields;
use crate::kinds::arena::Arena;
use crate::kinds::model::Model;
use state::State;
use storage::Storage;

/// Most vCPUs of a kernel, and so slots of a per-CPU value (Linux's `NR_CPUS` where it is built
/// for large machines).
pub const MOST_CPUS: u32 = 8192;

/// A map.
#[derive(Debug)]
pub struct Map {
    map_type: MapType,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    cpus: u32,
    id: AtomicU32,
    state: State,
    fields: Fields,
    inner: Option<Model>,
    storage: Storage,
}

impl Map {
    /// Makes a map for `cpus` vCPUs, of which no kernel has more than [`MOST_CPUS`].
    pub fn create(attr: &MapAttr, cpus: u32) -> Result<Arc<Map>, Errno> {
        attr.check()?;
        attr.check_type()?;
        if !attr.fields.fit(attr.value_size) {
            return Err(Errno::EINVAL);
        }
        let cpus = cpus.clamp(1, MOST_CPUS);
        let mut max_entries = attr.max_entries;
        if attr.has(flags::map::NO_COMMON_LRU) {
            // The same share for each vCPU.
            max_entries = max_entries.checked_next_multiple_of(cpus).unwrap_or(max_entries);
        }
        let mut kept = attr.flags & !(flags::map::RDONLY | flags::map::WRONLY);
        if matches!(attr.map_type, MapType::Devmap | MapType::DevmapHash) {
            kept |= flags::map::RDONLY_PROG;
        }
        Ok(Arc::new(Map {
            map_type: attr.map_type,
            key_size: attr.key_size,
            value_size: attr.value_size,
            max_entries,
            flags: kept,
            cpus,
            id: AtomicU32::new(0),
            state: State::default(),
            fields: attr.fields.clone(),
            inner: attr.inner.as_ref().filter(|_| attr.of_maps()).map(|inner| inner.model()),
            storage: Storage::new(attr, max_entries, cpus)?,
        }))
    }

    /// What kind of map.
    #[inline]
    pub fn map_type(&self) -> MapType {
        self.map_type
    }

    /// Bytes of a key.
    #[inline]
    pub fn key_size(&self) -> u32 {
        self.key_size
    }

    /// Bytes of a value, as programs see it.
    #[inline]
    pub fn value_size(&self) -> u32 {
        self.value_size
    }

    /// Elements at most.
    #[inline]
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// `map_flags` without those of the fd.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// vCPUs that per-CPU values are for.
    #[inline]
    pub fn cpus(&self) -> u32 {
        self.cpus
    }

    /// The id that the system call layer gave it; 0 before.
    pub fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    /// Gives it an id.
    pub fn set_id(&self, id: u32) {
        self.id.store(id, Ordering::Relaxed);
    }

    /// The arena that this map is.
    pub fn arena(&self) -> Option<&Arena> {
        match &self.storage {
            Storage::Arena(arena) => Some(arena),
            _ => None,
        }
    }

    /// Where values have a special field of this kind.
    pub fn field(&self, kind: FieldKind) -> Option<u32> {
        self.fields.place(kind)
    }

    /// What a map of maps demands of the others, if it is made with this one.
    pub fn model(&self) -> Model {
        Model {
            map_type: self.map_type,
            key_size: self.key_size,
            value_size: self.value_size,
            flags: self.flags,
            fields: self.fields.clone(),
            max_entries: self.max_entries,
        }
    }

    /// Whether each vCPU has its own values.
    pub fn percpu(&self) -> bool {
        use MapType::{LruPercpuHash, PercpuArray, PercpuCgroupStorage, PercpuHash};
        matches!(self.map_type, PercpuArray | PercpuHash | LruPercpuHash | PercpuCgroupStorage)
    }

    /// Bytes of a value, as system calls see it: a per-CPU map's are rounded up to 8 and one
    /// behind the other.
    pub fn user_value_size(&self) -> usize {
        let size = self.value_size as usize;
        if self.percpu() { size.next_multiple_of(8) * self.cpus as usize } else { size }
    }
}
