//! Which kind a map is: one match, from where each does its own.

use skep_abi::flags::map as flag;
use skep_abi::{Errno, MapType};

use super::create::MapAttr;
use crate::kinds::arena::Arena;
use crate::kinds::array::Array;
use crate::kinds::bloom::Bloom;
use crate::kinds::hash::{Hash, Shape};
use crate::kinds::lpm::LpmTrie;
use crate::kinds::objects::{ObjectArray, ObjectHash, Objects};
use crate::kinds::owned::{self, Owned};
use crate::kinds::queue::Queue;
use crate::kinds::ringbuf::RingBuf;
use crate::kinds::sockets::{SocketHash, Sockets};
use crate::kinds::stacks::Stacks;
use crate::kinds::targets::{TargetHash, Targets};
use crate::mem::PAGE;

/// A map of some kind.
#[derive(Debug)]
pub(super) enum Storage {
    Array(Array),
    Hash(Hash),
    Lpm(LpmTrie),
    Queue(Queue),
    Ring(Box<RingBuf>),
    /// Programs, perf events, cgroups, maps.
    Objects(Objects),
    ObjectHash(ObjectHash),
    Sockets(Sockets),
    SocketHash(SocketHash),
    Targets(Targets),
    TargetHash(Box<TargetHash>),
    Stacks(Stacks),
    Bloom(Bloom),
    Arena(Arena),
    Owned(Owned),
}

/// What the kind does that a map is: `kind!(storage, |kind| Kind::read(kind, ..))`.
macro_rules! kind {
    ($storage:expr, |$kind:ident| $answer:expr) => {
        match $storage {
            Storage::Array($kind) => $answer,
            Storage::Hash($kind) => $answer,
            Storage::Lpm($kind) => $answer,
            Storage::Queue($kind) => $answer,
            Storage::Ring(ring) => {
                let $kind = &**ring;
                $answer
            }
            Storage::Objects($kind) => $answer,
            Storage::ObjectHash($kind) => $answer,
            Storage::Sockets($kind) => $answer,
            Storage::SocketHash($kind) => $answer,
            Storage::Targets($kind) => $answer,
            Storage::TargetHash(targets) => {
                let $kind = &**targets;
                $answer
            }
            Storage::Stacks($kind) => $answer,
            Storage::Bloom($kind) => $answer,
            Storage::Arena($kind) => $answer,
            Storage::Owned($kind) => $answer,
        }
    };
}
pub(super) use kind;

impl Storage {
    pub(super) fn new(attr: &MapAttr, max_entries: u32, cpus: u32) -> Result<Storage, Errno> {
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
                lru_shares: attr.has(flag::NO_COMMON_LRU),
                zero_seed: attr.has(flag::ZERO_SEED),
            };
            fits(shape.table_bytes())?;
            let room = (attr.memory_limit - shape.table_bytes()) / shape.element_bytes();
            if room < u64::from(max_entries) {
                if !attr.has(flag::NO_PREALLOC) {
                    return Err(Errno::ENOMEM);
                }
                shape.elements = room as u32;
            }
            Hash::new(shape, attr.fields.clone())
        };
        let owned = |percpu: bool, of_programs: bool| -> Result<Owned, Errno> {
            let shape = Shape {
                key_size: owned::OWNER,
                value_size,
                capacity: owned::MOST_OWNERS,
                elements: owned::MOST_OWNERS,
                cpus,
                percpu,
                lru: false,
                lru_shares: false,
                zero_seed: false,
            };
            let room =
                attr.memory_limit.saturating_sub(shape.table_bytes()) / shape.element_bytes();
            let elements = u32::try_from(room).unwrap_or(u32::MAX).min(owned::MOST_OWNERS);
            if elements == 0 {
                return Err(Errno::ENOMEM);
            }
            let values = Hash::new(Shape { elements, ..shape }, attr.fields.clone())?;
            Ok(Owned::new(values, value_size, of_programs))
        };
        Ok(match attr.map_type {
            MapType::Array => {
                fits(Array::footprint(max_entries, value_size, 1))?;
                let shared = attr.has(flag::MMAPABLE);
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
                Storage::Objects(Objects::new(attr.map_type, max_entries)?)
            }
            MapType::Xskmap => {
                fits(ObjectArray::footprint(max_entries))?;
                Storage::Sockets(Sockets::new(attr.map_type, max_entries, value_size)?)
            }
            MapType::HashOfMaps => Storage::ObjectHash(ObjectHash::new(hash(ObjectHash::VALUE)?)),
            MapType::Devmap | MapType::Cpumap => {
                fits(Targets::footprint(max_entries))?;
                let cpus = (attr.map_type == MapType::Cpumap).then_some(cpus);
                Storage::Targets(Targets::new(max_entries, cpus)?)
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
                Storage::Sockets(Sockets::new(attr.map_type, max_entries, value_size)?)
            }
            MapType::Sockhash => {
                let sockets = ObjectHash::new(hash(ObjectHash::VALUE)?);
                Storage::SocketHash(SocketHash::new(sockets, value_size))
            }
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
            | MapType::CgrpStorage => Storage::Owned(owned(false, false)?),
            MapType::CgroupStorage => Storage::Owned(owned(false, true)?),
            MapType::PercpuCgroupStorage => Storage::Owned(owned(true, true)?),
            _ => return Err(Errno::EINVAL),
        })
    }
}
