//! What MAP_CREATE checks, in Linux's order and with its errors.
//!
//! [`MapAttr::check`] is what Linux looks at before the caller's privileges
//! (`map_create()` and the types' `map_alloc_check`), [`MapAttr::check_type`] what
//! it looks at after them (the beginning of the types' `map_alloc`). Privileges,
//! names and BTF are the system call layer's.

use skep_abi::limits::{BUILD_ID, MAX_ALLOCATION, MAX_PERCPU_ALLOCATION, MAX_STACK_TRACE};
use std::sync::Arc;

use skep_abi::flags::map as flag;
use skep_abi::{Errno, MapType};

use super::Map;
use crate::fields::Fields;
use crate::mem::PAGE;

/// The attributes of MAP_CREATE that make a map.
#[derive(Clone, Debug)]
pub struct MapAttr {
    /// What kind of map.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Elements at most; a ring buffer's bytes.
    pub max_entries: u32,
    /// `map_flags`, without `BPF_F_TOKEN_FD`.
    pub flags: u32,
    /// Counts with `BPF_F_NUMA_NODE` only.
    pub numa_node: u32,
    /// For types that know it; none of ours.
    pub map_extra: u64,
    /// The map that `inner_map_fd` named, for maps of maps.
    pub inner: Option<Arc<Map>>,
    /// Special fields of values, by the map's BTF.
    pub fields: Fields,
    /// Bytes that the map may take; what needs more is ENOMEM.
    pub memory_limit: u64,
}

/// `sizeof(struct htab_elem)` without key and value.
const HTAB_ELEM: u64 = 48;
/// `sizeof(struct lpm_trie_node)` without data.
const LPM_NODE: u64 = 24;

/// `BPF_LOCAL_STORAGE_MAX_VALUE_SIZE`.
const OWNED_MAX: u32 = 0xffff - 128;
/// Longest key of a hash of sockets (`MAX_BPF_STACK`).
const SOCKET_KEY_MAX: u32 = 512;

const ACCESS: u32 = flag::RDONLY | flag::WRONLY | flag::RDONLY_PROG | flag::WRONLY_PROG;

impl MapAttr {
    /// A map of the given type and sizes, without flags and limit.
    pub fn new(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapAttr {
        MapAttr {
            map_type,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            numa_node: 0,
            map_extra: 0,
            inner: None,
            fields: Fields::default(),
            memory_limit: u64::MAX,
        }
    }

    pub(super) fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    fn only(&self, known: u32) -> bool {
        self.flags & !known == 0
    }

    /// `bpf_map_flags_access_ok()`.
    fn program_access_ok(&self) -> bool {
        let both = flag::RDONLY_PROG | flag::WRONLY_PROG;
        self.flags & both != both
    }

    /// Whether values are per vCPU.
    pub(super) fn percpu(&self) -> bool {
        matches!(self.map_type, MapType::PercpuArray | MapType::PercpuHash | MapType::LruPercpuHash)
    }

    /// Whether old keys give way to new ones.
    pub(super) fn lru(&self) -> bool {
        matches!(self.map_type, MapType::LruHash | MapType::LruPercpuHash)
    }

    /// Whether values are maps.
    pub(super) fn of_maps(&self) -> bool {
        matches!(self.map_type, MapType::ArrayOfMaps | MapType::HashOfMaps)
    }

    /// The checks that come before those of privileges. Missing privileges for
    /// `BPF_F_ZERO_SEED` come first of all hash maps' checks and are the caller's.
    pub fn check(&self) -> Result<(), Errno> {
        let knows_extra = matches!(self.map_type, MapType::BloomFilter | MapType::Arena);
        let both = flag::RDONLY | flag::WRONLY;
        if !knows_extra && self.map_extra != 0
            || self.flags & both == both
            || self.has(flag::NUMA_NODE) && !node_online(self.numa_node)
        {
            return Err(Errno::EINVAL);
        }
        match self.map_type {
            MapType::Array | MapType::PercpuArray => self.check_array(),
            MapType::ProgArray
            | MapType::PerfEventArray
            | MapType::CgroupArray
            | MapType::ArrayOfMaps => {
                if self.value_size != 4 || self.has(flag::RDONLY_PROG | flag::WRONLY_PROG) {
                    return Err(Errno::EINVAL);
                }
                self.check_array()
            }
            MapType::HashOfMaps if self.value_size != 4 => Err(Errno::EINVAL),
            MapType::Hash
            | MapType::PercpuHash
            | MapType::LruHash
            | MapType::LruPercpuHash
            | MapType::HashOfMaps => self.check_hash(),
            MapType::Queue | MapType::Stack => self.check_queue(),
            MapType::Devmap | MapType::DevmapHash => self.check_devmap(),
            MapType::LpmTrie
            | MapType::StackTrace
            | MapType::Ringbuf
            | MapType::UserRingbuf
            | MapType::Cpumap
            | MapType::Sockmap
            | MapType::Sockhash
            | MapType::Arena
            | MapType::CgroupStorage
            | MapType::PercpuCgroupStorage
            | MapType::Xskmap => Ok(()),
            MapType::BloomFilter if u64::from(self.value_size) > MAX_ALLOCATION => {
                Err(Errno::E2BIG)
            }
            MapType::BloomFilter => Ok(()),
            MapType::ReuseportSockarray if !matches!(self.value_size, 4 | 8) => Err(Errno::EINVAL),
            MapType::ReuseportSockarray => self.check_array(),
            kind if has_owners(kind) => self.check_owned(),
            // Types that this kernel is built without.
            _ => Err(Errno::EINVAL),
        }
    }

    /// `bpf_local_storage_map_alloc_check()`; that there are types is the caller's to see.
    fn check_owned(&self) -> Result<(), Errno> {
        if !self.only(flag::NO_PREALLOC | flag::CLONE)
            || !self.has(flag::NO_PREALLOC)
            || self.max_entries != 0
            || self.key_size != 4
            || self.value_size == 0
        {
            return Err(Errno::EINVAL);
        }
        if self.value_size > OWNED_MAX { Err(Errno::E2BIG) } else { Ok(()) }
    }

    fn check_array(&self) -> Result<(), Errno> {
        let known =
            flag::NUMA_NODE | flag::MMAPABLE | ACCESS | flag::PRESERVE_ELEMS | flag::INNER_MAP;
        let percpu = self.map_type == MapType::PercpuArray;
        if self.max_entries == 0
            || self.key_size != 4
            || self.value_size == 0
            || !self.only(known)
            || !self.program_access_ok()
            || percpu && self.has(flag::NUMA_NODE)
            || self.map_type != MapType::Array && self.has(flag::MMAPABLE | flag::INNER_MAP)
            || self.map_type != MapType::PerfEventArray && self.has(flag::PRESERVE_ELEMS)
        {
            return Err(Errno::EINVAL);
        }
        if self.value_size > i32::MAX as u32 || percpu && self.percpu_value_too_large() {
            return Err(Errno::E2BIG);
        }
        Ok(())
    }

    fn percpu_value_too_large(&self) -> bool {
        u64::from(self.value_size).next_multiple_of(8) > MAX_PERCPU_ALLOCATION
    }

    fn check_hash(&self) -> Result<(), Errno> {
        let known =
            flag::NO_PREALLOC | flag::NO_COMMON_LRU | flag::NUMA_NODE | ACCESS | flag::ZERO_SEED;
        if !self.only(known)
            || !self.program_access_ok()
            || !self.lru() && self.has(flag::NO_COMMON_LRU)
        {
            return Err(Errno::EINVAL);
        }
        if self.lru() && self.has(flag::NO_PREALLOC) {
            return Err(Errno::ENOTSUPP);
        }
        if self.has(flag::NUMA_NODE) && (self.percpu() || self.has(flag::NO_COMMON_LRU))
            || self.max_entries == 0
            || self.key_size == 0
            || self.value_size == 0
        {
            return Err(Errno::EINVAL);
        }
        let size = u64::from(self.key_size) + u64::from(self.value_size);
        if size >= MAX_ALLOCATION - HTAB_ELEM || self.percpu() && self.percpu_value_too_large() {
            return Err(Errno::E2BIG);
        }
        Ok(())
    }

    fn check_queue(&self) -> Result<(), Errno> {
        if self.max_entries == 0
            || self.key_size != 0
            || self.value_size == 0
            || !self.only(flag::NUMA_NODE | ACCESS)
            || !self.program_access_ok()
        {
            return Err(Errno::EINVAL);
        }
        if u64::from(self.value_size) > MAX_ALLOCATION
            || self.max_entries >= u32::MAX / self.value_size
        {
            return Err(Errno::E2BIG);
        }
        Ok(())
    }

    fn check_devmap(&self) -> Result<(), Errno> {
        if self.max_entries == 0
            || self.key_size != 4
            || !matches!(self.value_size, 4 | 8)
            || !self.only(flag::NUMA_NODE | flag::RDONLY | flag::WRONLY)
            || self.map_type == MapType::DevmapHash && self.max_entries > 1 << 31
        {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// The checks that come after those of privileges.
    pub fn check_type(&self) -> Result<(), Errno> {
        let valid = match self.map_type {
            MapType::Hash
            | MapType::PercpuHash
            | MapType::LruHash
            | MapType::LruPercpuHash
            | MapType::HashOfMaps => {
                self.check_inner()?;
                // More buckets of 16 bytes than 32 bits can count.
                if self.max_entries > 1 << 27 {
                    return Err(Errno::E2BIG);
                }
                true
            }
            MapType::ArrayOfMaps => return self.check_inner(),
            MapType::LpmTrie => {
                self.max_entries > 0
                    && self.has(flag::NO_PREALLOC)
                    && self.only(flag::NO_PREALLOC | flag::NUMA_NODE | ACCESS)
                    && self.program_access_ok()
                    && (4 + 1..=4 + 256).contains(&self.key_size)
                    && self.value_size > 0
                    && u64::from(self.value_size) <= MAX_ALLOCATION - 256 - LPM_NODE
            }
            MapType::Ringbuf | MapType::UserRingbuf => {
                self.only(flag::NUMA_NODE)
                    && self.key_size == 0
                    && self.value_size == 0
                    && self.max_entries.is_power_of_two()
                    && (self.max_entries as usize).is_multiple_of(PAGE)
            }
            MapType::StackTrace => {
                let known = flag::NUMA_NODE | flag::RDONLY | flag::WRONLY | flag::STACK_BUILD_ID;
                let element = if self.has(flag::STACK_BUILD_ID) { BUILD_ID as u32 } else { 8 };
                let valid = self.only(known)
                    && self.max_entries > 0
                    && self.key_size == 4
                    && self.value_size >= 8
                    && self.value_size.is_multiple_of(8)
                    && self.value_size.is_multiple_of(element)
                    && self.value_size / element <= most_stack_depth();
                if valid && self.max_entries > 1 << 31 {
                    return Err(Errno::E2BIG);
                }
                valid
            }
            MapType::Cpumap => {
                let valid = self.max_entries > 0
                    && self.key_size == 4
                    && matches!(self.value_size, 4 | 8)
                    && self.only(flag::NUMA_NODE);
                if valid && self.max_entries > nr_cpus() {
                    return Err(Errno::E2BIG);
                }
                valid
            }
            MapType::Sockmap | MapType::Sockhash => {
                let array = self.map_type == MapType::Sockmap;
                let valid = self.max_entries > 0
                    && (if array { self.key_size == 4 } else { self.key_size > 0 })
                    && matches!(self.value_size, 4 | 8)
                    && self.only(flag::NUMA_NODE | flag::RDONLY | flag::WRONLY);
                if valid && !array && self.key_size > SOCKET_KEY_MAX {
                    return Err(Errno::E2BIG);
                }
                valid
            }
            MapType::BloomFilter => {
                self.key_size == 0
                    && self.value_size > 0
                    && self.max_entries > 0
                    && self.only(flag::NUMA_NODE | flag::ZERO_SEED | ACCESS)
                    && self.program_access_ok()
                    && self.map_extra & !0xf == 0
            }
            MapType::Arena => return self.check_arena(),
            MapType::CgroupStorage | MapType::PercpuCgroupStorage => {
                let percpu = self.map_type == MapType::PercpuCgroupStorage;
                if !matches!(self.key_size, 8 | 16) || self.value_size == 0 {
                    return Err(Errno::EINVAL);
                }
                let most =
                    if percpu { OWNED_MAX.min(MAX_PERCPU_ALLOCATION as u32) } else { OWNED_MAX };
                if self.value_size > most {
                    return Err(Errno::E2BIG);
                }
                self.only(flag::NUMA_NODE | ACCESS)
                    && self.program_access_ok()
                    && self.max_entries == 0
            }
            MapType::Xskmap => {
                self.max_entries > 0
                    && self.key_size == 4
                    && self.value_size == 4
                    && self.only(flag::NUMA_NODE | flag::RDONLY | flag::WRONLY)
            }
            _ => true,
        };
        if valid { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// `arena_map_alloc()`: an address that user space wants it at may not cross 4 GiB.
    fn check_arena(&self) -> Result<(), Errno> {
        const LARGEST: u64 = 1 << 32;
        if self.key_size != 0
            || self.value_size != 0
            || self.max_entries == 0
            || !self.has(flag::MMAPABLE)
            || !self.only(flag::MMAPABLE | flag::SEGV_ON_FAULT | flag::NO_USER_CONV)
            || !self.map_extra.is_multiple_of(PAGE as u64)
        {
            return Err(Errno::EINVAL);
        }
        let len = u64::from(self.max_entries) * PAGE as u64;
        if len > LARGEST {
            return Err(Errno::E2BIG);
        }
        let last = self.map_extra.wrapping_add(len - 1);
        if self.map_extra >> 32 == last >> 32 { Ok(()) } else { Err(Errno::ERANGE) }
    }

    /// A map of maps needs a map to model its elements on (`bpf_map_meta_alloc()`).
    fn check_inner(&self) -> Result<(), Errno> {
        if !self.of_maps() {
            return Ok(());
        }
        let inner = self.inner.as_ref().ok_or(Errno::EBADF)?;
        match inner.map_type() {
            MapType::ArrayOfMaps | MapType::HashOfMaps => Err(Errno::EINVAL),
            MapType::ProgArray => Err(Errno::ENOTSUPP),
            _ => Ok(()),
        }
    }
}

/// CPUs that the host's kernel is built for (`NR_CPUS`); as many as Debian's where it does
/// not say.
fn nr_cpus() -> u32 {
    let largest = std::fs::read_to_string("/sys/devices/system/cpu/kernel_max");
    let largest = largest.ok().and_then(|text| text.trim().parse::<u32>().ok());
    largest.map_or(8192, |largest| largest.saturating_add(1))
}

/// Most addresses of a stack trace that Linux keeps here.
fn most_stack_depth() -> u32 {
    let most = std::fs::read_to_string("/proc/sys/kernel/perf_event_max_stack");
    let most = most.ok().and_then(|text| text.trim().parse().ok());
    most.unwrap_or(MAX_STACK_TRACE as u32)
}

/// Whether the host has this memory node. Where it lists none, node 0 is all there is.
fn node_online(node: u32) -> bool {
    let online = std::fs::read_to_string("/sys/devices/system/node/online");
    online.as_deref().unwrap_or("0").trim().split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = first.parse::<u32>().ok().zip(last.parse::<u32>().ok());
        bounds.is_some_and(|(first, last)| (first..=last).contains(&node))
    })
}

/// Whether values of maps of this type belong to something else.
fn has_owners(map_type: MapType) -> bool {
    use MapType::{CgrpStorage, InodeStorage, SkStorage, TaskStorage};
    matches!(map_type, SkStorage | TaskStorage | InodeStorage | CgrpStorage)
}
