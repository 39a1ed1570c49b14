//! MAP_CREATE's checks against the running kernel's.

use std::sync::Arc;

use skep_abi::flags::map as flag;
use skep_abi::{Errno, MapType};

use super::Random;
use super::linux::{LinuxMap, permitted};
use crate::{Map, MapAttr};

/// The types that this kernel has so far.
const TYPES: &[MapType] = &[
    MapType::Array,
    MapType::PercpuArray,
    MapType::Hash,
    MapType::PercpuHash,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::LpmTrie,
    MapType::Queue,
    MapType::Stack,
    MapType::Ringbuf,
    MapType::UserRingbuf,
    MapType::ProgArray,
    MapType::PerfEventArray,
    MapType::CgroupArray,
    MapType::Xskmap,
    MapType::Devmap,
    MapType::DevmapHash,
    MapType::Cpumap,
    MapType::ArrayOfMaps,
    MapType::HashOfMaps,
];

fn outcome<T>(result: Result<T, Errno>) -> Result<(), Errno> {
    result.map(drop)
}

/// An array of 3 values of 8 bytes on both kernels, to be an inner map.
struct Inner(Arc<Map>, LinuxMap);

impl Inner {
    fn new() -> Inner {
        let attr = MapAttr::new(MapType::Array, 4, 8, 3);
        Inner(Map::create(&attr, 2).unwrap(), LinuxMap::create(&attr, 8, -1).unwrap())
    }
}

fn agree(attr: &MapAttr, inner: &Inner) {
    let mut attr = attr.clone();
    attr.inner = Some(inner.0.clone());
    let attr = &attr;
    let of_maps = matches!(attr.map_type, MapType::ArrayOfMaps | MapType::HashOfMaps);
    let fd = if of_maps { inner.1.fd() } else { -1 };
    let ours = outcome(Map::create(attr, 2));
    let linux = outcome(LinuxMap::create(attr, 0, fd));
    assert_eq!(ours, linux, "ours, Linux's: {attr:?}");
}

#[test]
fn attributes_are_refused_as_by_linux() {
    if !permitted() {
        return;
    }
    let mut random = Random::new(1);
    let inner = Inner::new();
    let sizes = [0, 1, 3, 4, 5, 8, 12, 16, 260, 261, 512];
    let counts = [0, 1, 2, 3, 7, 64, 4096, 8192];
    for map_type in TYPES {
        for _ in 0..4000 {
            let mut pick = |from: &[u32]| from[random.below(from.len() as u64) as usize];
            let mut attr = MapAttr::new(*map_type, pick(&sizes), pick(&sizes), pick(&counts));
            if random.below(2) == 0 {
                attr.key_size = 4;
            }
            for _ in 0..random.below(3) {
                attr.flags |= 1 << random.below(19);
            }
            // Ours cannot be an inner map by accident of fd numbers, nor a token.
            attr.flags &= !flag::TOKEN_FD;
            if random.below(8) == 0 {
                attr.map_extra = 1;
            }
            attr.numa_node = random.below(2) as u32;
            agree(&attr, &inner);
        }
    }
}

#[test]
fn sizes_are_bounded_as_by_linux() {
    if !permitted() {
        return;
    }
    let inner = Inner::new();
    for map_type in TYPES {
        for exponent in 10..32u32 {
            for size in [(1 << exponent) - 1, 1 << exponent, (1u32 << exponent).saturating_add(1)] {
                // A value, a key, of that size: one element only.
                if size < 1 << 26 {
                    agree(&MapAttr::new(*map_type, 4, size, 1), &inner);
                    agree(&MapAttr::new(*map_type, size, 4, 1), &inner);
                }
            }
        }
        let limit = (4 << 20) - 48 - 4;
        for value_size in [limit - 1, limit, (32 << 10) - 7, 32 << 10, (32 << 10) + 1] {
            agree(&MapAttr::new(*map_type, 4, value_size, 1), &inner);
        }
        for huge in [1u32 << 31, (1 << 31) + 1, u32::MAX] {
            agree(&MapAttr::new(*map_type, 4, huge, 1), &inner);
        }
    }
    for huge in [1u32 << 28, (1 << 31) + 1, u32::MAX] {
        agree(&MapAttr::new(MapType::Hash, 4, 4, huge), &inner);
        agree(&MapAttr::new(MapType::LruHash, 4, 4, huge), &inner);
    }
}

#[test]
fn what_the_memory_limit_forbids_is_enomem() {
    for (map_type, flags) in [
        (MapType::Array, 0),
        (MapType::PercpuArray, 0),
        (MapType::Hash, 0),
        (MapType::LruPercpuHash, 0),
    ] {
        let mut attr = MapAttr::new(map_type, 4, 1024, 1 << 20);
        attr.flags = flags;
        attr.memory_limit = 512 << 20;
        assert_eq!(Map::create(&attr, 2).err(), Some(Errno::ENOMEM), "{map_type}");
        attr.max_entries = 1000;
        assert!(Map::create(&attr, 2).is_ok(), "{map_type}");
    }
    let mut growing = MapAttr::new(MapType::Hash, 4, 1024, 1 << 20);
    growing.flags = flag::NO_PREALLOC;
    growing.memory_limit = 64 << 20;
    let map = Map::create(&growing, 2).unwrap();
    let full =
        (0u32..1 << 20).find_map(|key| map.update(&key.to_ne_bytes(), &[0; 1024], 0, 0).err());
    assert_eq!(full, Some(Errno::ENOMEM));
}
