//! A map: what all kinds have in common, and the kind that it is.

mod batch;
mod create;
mod program;
mod state;
mod storage;
mod user;

pub use batch::{BatchKind, BatchResult};
pub use create::MapAttr;
pub use program::{Cursor, Element};
pub use state::{UserMapping, WriteGuard};

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use skep_abi::{Errno, FieldKind, MapType, flags};

use crate::fields::Fields;
use crate::kinds::arena::Arena;
use crate::kinds::array::Array;
use crate::kinds::bloom::Bloom;
use crate::kinds::hash::{Hash, Shape};
use crate::kinds::lpm::LpmTrie;
use crate::kinds::model::Model;
use crate::kinds::objects::{ObjectArray, ObjectHash};
use crate::kinds::queue::Queue;
use crate::kinds::ringbuf::RingBuf;
use crate::kinds::stacks::Stacks;
use crate::kinds::targets::{TargetHash, Targets};
use crate::mem::PAGE;
use state::State;

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

#[derive(Debug)]
enum Storage {
    Array(Array),
    Hash(Hash),
    Lpm(LpmTrie),
    Queue(Queue),
    Ring(Box<RingBuf>),
    /// Programs, perf events, cgroups, maps.
    Objects(ObjectArray),
    /// Sockets, whose slots are emptied and filled by other rules.
    Sockets(ObjectArray),
    ObjectHash(ObjectHash),
    Targets(Targets),
    TargetHash(Box<TargetHash>),
    Stacks(Stacks),
    Bloom(Bloom),
    Arena(Arena),
    /// Values of sockets, tasks, inodes, cgroups.
    Owned(Hash),
    /// Values of cgroups' programs.
    OfCgroups(Hash),
}

/// The `u32` that an array's key is.
fn index_of(key: &[u8]) -> u32 {
    key.first_chunk().map_or(u32::MAX, |bytes| u32::from_ne_bytes(*bytes))
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

impl Storage {
    fn new(attr: &MapAttr, max_entries: u32, cpus: u32) -> Result<Storage, Errno> {
        let (key_size, value_size) = (attr.key_size, attr.value_size);
        let fits = |bytes: u64| {
            if bytes > attr.memory_limit { Err(Errno::ENOMEM) } else { Ok(()) }
        };
        let hash = |value_size: u32| -> Result<Hash, Errno> {
            let mut shape = Shape {
                key_size,
                value_size,
                capacity: max_entries,
                elements: max_entries,
                cpus,
                percpu: attr.percpu(),
                lru: attr.lru(),
                lru_shares: attr.has(flags::map::NO_COMMON_LRU),
                zero_seed: attr.has(flags::map::ZERO_SEED),
            };
            fits(shape.table_bytes())?;
            let room = (attr.memory_limit - shape.table_bytes()) / shape.element_bytes();
            if room < u64::from(max_entries) {
                if !attr.has(flags::map::NO_PREALLOC) {
                    return Err(Errno::ENOMEM);
                }
                shape.elements = room as u32;
            }
            Hash::new(shape, attr.fields.clone())
        };
        let owned = |percpu: bool| -> Result<Hash, Errno> {
            let shape = Shape {
                key_size: storage::OWNER,
                value_size,
                capacity: storage::MOST_OWNERS,
                elements: storage::MOST_OWNERS,
                cpus,
                percpu,
                lru: false,
                lru_shares: false,
                zero_seed: false,
            };
            let room =
                attr.memory_limit.saturating_sub(shape.table_bytes()) / shape.element_bytes();
            let elements = u32::try_from(room).unwrap_or(u32::MAX).min(storage::MOST_OWNERS);
            if elements == 0 {
                return Err(Errno::ENOMEM);
            }
            Hash::new(Shape { elements, ..shape }, attr.fields.clone())
        };
        Ok(match attr.map_type {
            MapType::Array => {
                fits(Array::footprint(max_entries, value_size, 1))?;
                let shared = attr.has(flags::map::MMAPABLE);
                Storage::Array(Array::new(max_entries, value_size, shared, attr.fields.clone())?)
            }
            MapType::PercpuArray => {
                fits(Array::footprint(max_entries, value_size, cpus))?;
                Storage::Array(Array::percpu(max_entries, value_size, cpus, attr.fields.clone())?)
            }
            MapType::Hash | MapType::PercpuHash | MapType::LruHash | MapType::LruPercpuHash => {
                Storage::Hash(hash(value_size)?)
            }
            MapType::LpmTrie => {
                let room = attr.memory_limit / LpmTrie::node_bytes(key_size, value_size);
                let nodes = LpmTrie::most_nodes(max_entries);
                let nodes = nodes.min(u32::try_from(room).unwrap_or(u32::MAX));
                Storage::Lpm(LpmTrie::new(key_size, value_size, max_entries, nodes)?)
            }
            MapType::Queue | MapType::Stack => {
                fits(Queue::footprint(max_entries, value_size))?;
                let last_first = attr.map_type == MapType::Stack;
                Storage::Queue(Queue::new(max_entries, value_size, last_first)?)
            }
            MapType::Ringbuf | MapType::UserRingbuf => {
                fits(RingBuf::footprint(max_entries))?;
                Storage::Ring(RingBuf::new(max_entries)?)
            }
            MapType::ProgArray
            | MapType::PerfEventArray
            | MapType::CgroupArray
            | MapType::ArrayOfMaps => {
                fits(ObjectArray::footprint(max_entries))?;
                Storage::Objects(ObjectArray::new(max_entries)?)
            }
            MapType::Xskmap => {
                fits(ObjectArray::footprint(max_entries))?;
                Storage::Sockets(ObjectArray::new(max_entries)?)
            }
            MapType::HashOfMaps => Storage::ObjectHash(ObjectHash::new(hash(ObjectHash::VALUE)?)),
            MapType::Devmap | MapType::Cpumap => {
                fits(Targets::footprint(max_entries))?;
                Storage::Targets(Targets::new(max_entries)?)
            }
            MapType::StackTrace => {
                fits(Stacks::footprint(max_entries, value_size))?;
                Storage::Stacks(Stacks::new(max_entries, value_size))
            }
            MapType::DevmapHash => {
                let targets = hash(TargetHash::VALUE)?;
                Storage::TargetHash(Box::new(TargetHash::new(targets, hash(ObjectHash::VALUE)?)))
            }
            MapType::Sockmap | MapType::ReuseportSockarray => {
                fits(ObjectArray::footprint(max_entries))?;
                Storage::Sockets(ObjectArray::new(max_entries)?)
            }
            MapType::Sockhash => Storage::ObjectHash(ObjectHash::new(hash(ObjectHash::VALUE)?)),
            MapType::BloomFilter => {
                fits(Bloom::footprint(max_entries, attr.map_extra))?;
                Storage::Bloom(Bloom::new(max_entries, attr.map_extra))
            }
            MapType::Arena => {
                fits(u64::from(max_entries) * PAGE as u64)?;
                Storage::Arena(Arena::new(max_entries)?)
            }
            MapType::SkStorage
            | MapType::TaskStorage
            | MapType::InodeStorage
            | MapType::CgrpStorage => Storage::Owned(owned(false)?),
            MapType::CgroupStorage => Storage::OfCgroups(owned(false)?),
            MapType::PercpuCgroupStorage => Storage::OfCgroups(owned(true)?),
            _ => return Err(Errno::EINVAL),
        })
    }
}
