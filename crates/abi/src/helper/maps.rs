//! Which maps serve few helpers. Helpers that take few maps say so in their rows. Counterpart: `check_map_func_compatibility`.

use super::{Helper, id};
use crate::MapType;
use crate::MapType as M;

impl Helper {
    /// Numbers of the only helpers that take maps of this type; `None` where all do.
    pub fn of_map(kind: MapType) -> Option<&'static [u32]> {
        match kind {
            M::ProgArray => Some(&[id::TAIL_CALL]),
            M::PerfEventArray => Some(&[
                id::PERF_EVENT_READ,
                id::PERF_EVENT_OUTPUT,
                id::PERF_EVENT_READ_VALUE,
                id::SKB_OUTPUT,
                id::XDP_OUTPUT,
            ]),
            M::Ringbuf => Some(&[
                id::RINGBUF_OUTPUT,
                id::RINGBUF_RESERVE,
                id::RINGBUF_QUERY,
                id::RINGBUF_RESERVE_DYNPTR,
                id::RINGBUF_SUBMIT_DYNPTR,
                id::RINGBUF_DISCARD_DYNPTR,
            ]),
            M::UserRingbuf => Some(&[id::USER_RINGBUF_DRAIN]),
            M::StackTrace => Some(&[id::GET_STACKID]),
            M::CgroupArray => Some(&[id::SKB_UNDER_CGROUP, id::CURRENT_TASK_UNDER_CGROUP]),
            M::CgroupStorage | M::PercpuCgroupStorage => Some(&[id::GET_LOCAL_STORAGE]),
            M::Devmap | M::DevmapHash | M::Xskmap => Some(&[id::REDIRECT_MAP, id::MAP_LOOKUP_ELEM]),
            M::Cpumap => Some(&[id::REDIRECT_MAP]),
            M::ArrayOfMaps | M::HashOfMaps => Some(&[id::MAP_LOOKUP_ELEM]),
            M::Sockmap => Some(&[
                id::SK_REDIRECT_MAP,
                id::SOCK_MAP_UPDATE,
                id::MSG_REDIRECT_MAP,
                id::SK_SELECT_REUSEPORT,
                id::MAP_LOOKUP_ELEM,
            ]),
            M::Sockhash => Some(&[
                id::SK_REDIRECT_HASH,
                id::SOCK_HASH_UPDATE,
                id::MSG_REDIRECT_HASH,
                id::SK_SELECT_REUSEPORT,
                id::MAP_LOOKUP_ELEM,
            ]),
            M::ReuseportSockarray => Some(&[id::SK_SELECT_REUSEPORT]),
            M::Queue | M::Stack => Some(&[id::MAP_PUSH_ELEM, id::MAP_POP_ELEM, id::MAP_PEEK_ELEM]),
            M::SkStorage => Some(&[id::SK_STORAGE_GET, id::SK_STORAGE_DELETE, id::KPTR_XCHG]),
            M::InodeStorage => {
                Some(&[id::INODE_STORAGE_GET, id::INODE_STORAGE_DELETE, id::KPTR_XCHG])
            }
            M::TaskStorage => Some(&[id::TASK_STORAGE_GET, id::TASK_STORAGE_DELETE, id::KPTR_XCHG]),
            M::CgrpStorage => Some(&[id::CGRP_STORAGE_GET, id::CGRP_STORAGE_DELETE, id::KPTR_XCHG]),
            M::BloomFilter => Some(&[id::MAP_PUSH_ELEM, id::MAP_PEEK_ELEM]),
            _ => None,
        }
    }
}
