//! The types of maps of Linux 6.18, in the order of their numbers.

use super::{MapRow, SpecialFields as F, Typed, Values};
use crate::{Capabilities as C, MapType as T};

/// A type that nothing else is said of.
const fn row(kind: T, structure: &'static str) -> MapRow {
    MapRow {
        kind,
        structure,
        needs: C::empty(),
        values: Values::Bytes,
        percpu: false,
        array: false,
        of_maps: false,
        evicts: false,
        sleepable: false,
        walkable: false,
        direct_value: false,
        typed: Typed::Kept,
        fields: F::empty(),
    }
}

/// Of values that an owner keeps.
const STORED: F = F::LOCKS.union(F::KPTRS);

pub(super) const ROWS: &[MapRow] = &[
    row(T::Unspec, "bpf_map"),
    MapRow {
        sleepable: true,
        walkable: true,
        fields: STORED.union(F::OWNED),
        ..row(T::Hash, "bpf_htab")
    },
    MapRow {
        array: true,
        sleepable: true,
        walkable: true,
        direct_value: true,
        fields: STORED.union(F::OWNED),
        ..row(T::Array, "bpf_array")
    },
    MapRow { values: Values::Fds, ..row(T::ProgArray, "bpf_array") },
    MapRow { values: Values::Fds, typed: Typed::Refused, ..row(T::PerfEventArray, "bpf_array") },
    MapRow {
        percpu: true,
        sleepable: true,
        walkable: true,
        fields: F::KPTRS,
        ..row(T::PercpuHash, "bpf_htab")
    },
    MapRow {
        percpu: true,
        array: true,
        sleepable: true,
        walkable: true,
        fields: F::KPTRS,
        ..row(T::PercpuArray, "bpf_array")
    },
    MapRow { typed: Typed::LeftOut, needs: C::BPF, ..row(T::StackTrace, "bpf_stack_map") },
    MapRow { values: Values::Fds, typed: Typed::Refused, ..row(T::CgroupArray, "bpf_array") },
    MapRow {
        evicts: true,
        sleepable: true,
        walkable: true,
        fields: F::OWNED.union(F::KPTRS),
        needs: C::BPF,
        ..row(T::LruHash, "bpf_htab")
    },
    MapRow {
        percpu: true,
        evicts: true,
        sleepable: true,
        walkable: true,
        fields: F::KPTRS,
        needs: C::BPF,
        ..row(T::LruPercpuHash, "bpf_htab")
    },
    MapRow { needs: C::BPF, ..row(T::LpmTrie, "lpm_trie") },
    MapRow {
        values: Values::Fds,
        of_maps: true,
        sleepable: true,
        typed: Typed::Refused,
        ..row(T::ArrayOfMaps, "bpf_array")
    },
    MapRow {
        values: Values::Fds,
        of_maps: true,
        sleepable: true,
        typed: Typed::Refused,
        ..row(T::HashOfMaps, "bpf_htab")
    },
    MapRow {
        values: Values::Pairs,
        typed: Typed::Refused,
        needs: C::NET_ADMIN,
        ..row(T::Devmap, "bpf_dtab")
    },
    MapRow {
        values: Values::Fds,
        typed: Typed::Refused,
        needs: C::NET_ADMIN,
        ..row(T::Sockmap, "bpf_stab")
    },
    MapRow {
        values: Values::Pairs,
        typed: Typed::Refused,
        needs: C::BPF,
        ..row(T::Cpumap, "bpf_cpu_map")
    },
    MapRow {
        values: Values::Fds,
        typed: Typed::Refused,
        needs: C::NET_ADMIN,
        ..row(T::Xskmap, "xsk_map")
    },
    MapRow {
        values: Values::Fds,
        typed: Typed::Refused,
        needs: C::NET_ADMIN,
        ..row(T::Sockhash, "bpf_shtab")
    },
    MapRow { fields: F::LOCKS, ..row(T::CgroupStorage, "bpf_cgroup_storage_map") },
    MapRow { values: Values::Fds, needs: C::BPF, ..row(T::ReuseportSockarray, "reuseport_array") },
    MapRow { percpu: true, ..row(T::PercpuCgroupStorage, "bpf_cgroup_storage_map") },
    MapRow {
        sleepable: true,
        typed: Typed::LeftOut,
        needs: C::BPF,
        ..row(T::Queue, "bpf_queue_stack")
    },
    MapRow {
        sleepable: true,
        typed: Typed::LeftOut,
        needs: C::BPF,
        ..row(T::Stack, "bpf_queue_stack")
    },
    MapRow {
        sleepable: true,
        fields: STORED,
        needs: C::BPF,
        ..row(T::SkStorage, "bpf_local_storage_map")
    },
    MapRow {
        values: Values::Pairs,
        typed: Typed::Refused,
        needs: C::NET_ADMIN,
        ..row(T::DevmapHash, "bpf_dtab")
    },
    MapRow { needs: C::BPF, ..row(T::StructOps, "bpf_struct_ops_map") },
    MapRow { values: Values::None, sleepable: true, ..row(T::Ringbuf, "bpf_ringbuf_map") },
    MapRow {
        sleepable: true,
        fields: STORED,
        needs: C::BPF,
        ..row(T::InodeStorage, "bpf_local_storage_map")
    },
    MapRow {
        sleepable: true,
        fields: STORED.union(F::UPTRS),
        needs: C::BPF,
        ..row(T::TaskStorage, "bpf_local_storage_map")
    },
    MapRow { needs: C::BPF, ..row(T::BloomFilter, "bpf_bloom_filter") },
    MapRow { values: Values::None, sleepable: true, ..row(T::UserRingbuf, "bpf_ringbuf_map") },
    MapRow {
        sleepable: true,
        fields: STORED,
        needs: C::BPF,
        ..row(T::CgrpStorage, "bpf_local_storage_map")
    },
    MapRow {
        values: Values::None,
        sleepable: true,
        typed: Typed::LeftOut,
        needs: C::BPF,
        ..row(T::Arena, "bpf_arena")
    },
];
