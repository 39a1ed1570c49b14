//! What maps are made with: sizes that fit a type, and any.

use skep_abi::MapType;
use skep_abi::flags::map as flag;
use skep_sys::MapCreate;

use crate::inputs::Random;

/// Types of a key, a value, and a value with a lock, by their numbers in [`types`].
const KEY: u32 = 1;
const VALUE: u32 = 2;
const LOCKED: u32 = 4;

/// What a map is made with.
#[derive(Clone, Debug)]
pub struct Shape {
    pub kind: MapType,
    pub key: u32,
    pub value: u32,
    pub entries: u32,
    pub flags: u32,
    extra: u64,
    types: (u32, u32),
    holds_maps: bool,
}

/// The types that both kernels are given.
pub fn types() -> Vec<u8> {
    let mut types = skep_btf::Builder::new();
    let word = types.int("unsigned int", 4, 0);
    types.int("unsigned long", 8, 0);
    let member = |name, type_id, bit_offset| skep_btf::Member {
        name,
        type_id,
        bit_offset,
        bitfield_size: 0,
    };
    let lock = types.structure("bpf_spin_lock", 4, &[member("val", word, 0)]);
    types.structure("locked", 8, &[member("lock", lock, 0), member("word", word, 32)]);
    types.to_bytes(skep_btf::Endian::Little)
}

fn is_storage(kind: MapType) -> bool {
    use MapType::{CgrpStorage, InodeStorage, SkStorage, TaskStorage};
    matches!(kind, SkStorage | TaskStorage | InodeStorage | CgrpStorage)
}

fn is_hash(kind: MapType) -> bool {
    use MapType::{Hash, LruHash, LruPercpuHash, PercpuHash};
    matches!(kind, Hash | PercpuHash | LruHash | LruPercpuHash)
}

impl Shape {
    /// What makes a map of a type.
    pub fn usual(kind: MapType, random: &mut Random) -> Shape {
        let (key, value, entries) = match kind {
            MapType::Ringbuf | MapType::UserRingbuf => (0, 0, 4096),
            MapType::Queue | MapType::Stack => (0, 8, 8),
            // So many that nothing is taken for there that is not.
            MapType::BloomFilter => (0, 8, 1 << 14),
            MapType::StackTrace => (4, 64, 8),
            MapType::LpmTrie => (8, 8, 64),
            MapType::CgroupStorage | MapType::PercpuCgroupStorage => (16, 8, 0),
            MapType::Cpumap => (4, 8, 2),
            MapType::Arena => (0, 0, 16),
            MapType::HashOfMaps | MapType::Sockhash => (random.choose(&[4, 8]), 4, 8),
            kind if is_storage(kind) => (4, 8, 0),
            kind if is_hash(kind) => {
                (random.choose(&[1, 4, 8, 13]), random.choose(&[1, 8, 20]), 64)
            }
            MapType::Array | MapType::PercpuArray => (4, random.choose(&[1, 8, 20]), 8),
            MapType::Devmap
            | MapType::DevmapHash
            | MapType::Sockmap
            | MapType::ReuseportSockarray => (4, random.choose(&[4, 8]), 8),
            _ => (4, 4, 8),
        };
        let mut flags = 0;
        if kind == MapType::LpmTrie || is_storage(kind) {
            flags |= flag::NO_PREALLOC;
        }
        if matches!(kind, MapType::Hash | MapType::PercpuHash) && random.chance(2) {
            flags |= flag::NO_PREALLOC;
        }
        if kind == MapType::Arena {
            flags |= flag::MMAPABLE;
        }
        let locked =
            value == 8 && matches!(kind, MapType::Hash | MapType::Array) && random.chance(3);
        let types = match kind {
            kind if is_storage(kind) => (KEY, VALUE),
            _ if locked && key == 4 => (KEY, LOCKED),
            _ => (0, 0),
        };
        let holds_maps = matches!(kind, MapType::ArrayOfMaps | MapType::HashOfMaps);
        Shape { kind, key, value, entries, flags, extra: 0, types, holds_maps }
    }

    /// What may make none.
    pub fn any(kind: MapType, random: &mut Random) -> Shape {
        let mut shape = Shape::usual(kind, random);
        let sizes = [0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 24, 64, 512, 513, 4096, 8192];
        for _ in 0..=random.below(2) {
            match random.below(6) {
                0 => shape.key = random.choose(&sizes),
                1 => shape.value = random.choose(&sizes),
                2 => shape.entries = random.choose(&sizes),
                3 => shape.flags ^= 1 << random.below(14),
                4 => shape.extra = random.below(20),
                _ => {
                    shape.types =
                        random.choose(&[(0, 0), (KEY, VALUE), (KEY, LOCKED), (0, VALUE), (KEY, 0)])
                }
            }
        }
        // Tokens and other descriptors are not compared here, nor memory that only one has.
        shape.flags &= !(flag::TOKEN_FD | flag::NUMA_NODE);
        shape
    }

    /// As MAP_CREATE takes it.
    pub fn attr(&self, types: u32, inner: u32) -> MapCreate<'static> {
        MapCreate {
            map_type: self.kind as u32,
            key_size: self.key,
            value_size: self.value,
            max_entries: self.entries,
            map_flags: self.flags,
            map_extra: self.extra,
            btf_fd: if self.types == (0, 0) { 0 } else { types },
            btf_key_type_id: self.types.0,
            btf_value_type_id: self.types.1,
            inner_map_fd: if self.holds_maps { inner } else { 0 },
            ..MapCreate::default()
        }
    }

    /// Bytes of a value as system calls take it.
    pub fn user_value(&self, cpus: usize) -> usize {
        match self.kind.row().percpu {
            true => (self.value as usize).next_multiple_of(8) * cpus,
            false => self.value as usize,
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        format!(
            "key {} value {} entries {} flags {:#x} extra {} types {:?}",
            self.key, self.value, self.entries, self.flags, self.extra, self.types
        )
    }
}
