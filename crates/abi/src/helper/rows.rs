//! Every helper of Linux 6.18, one row each: number, name, the kernel version that it
//! came with, and its prototypes. A helper has more than one where program types
//! differ in what it takes.

use super::effects::Called::{Later, Now};
use super::effects::Given::*;
use super::effects::{Effects, Effects as E, Yield};
use super::family::Allowed::{NotTracing, PathFunctions, SleepableHooks};
use super::family::Family::*;
use super::family::When::{AttachIn, AttachNotIn, CgroupHooks, Iterators, MemberNot};
use super::family::{
    CONNECT, COOKIE, ITERATOR, NO_RETVAL, PATH_FUNCTIONS, SETSOCKOPT, SOCKET_HOOKS,
    SOCKET_ITERATORS, TRAMPOLINE,
};
use super::proto::*;
use super::{Helper, id};
use crate::{MapType as M, Version};

const SEGMENTS: &str = "it changes a packet on its way through Linux's segment routing";
const SYSTEM_CALL: &str = "it makes a system call for the process that runs the program";

const fn helper(
    id: u32,
    name: &'static str,
    (major, minor): (u8, u8),
    protos: &'static [Proto],
) -> Helper {
    Helper {
        id,
        name,
        since: Version { major, minor },
        protos,
        maps: None,
        effects: Effects::empty(),
        callback: None,
        yields: Yield::Anything,
        linux_only: None,
    }
}

#[rustfmt::skip]
pub(super) const HELPERS: &[Helper] = &[
    helper(id::MAP_LOOKUP_ELEM, "bpf_map_lookup_elem", (3, 19), &[
        proto(&[MAP, MAP_KEY], TO_VALUE.or_null()).packet().of(&[Base, Lirc]),
    ])
        .effects(E::RECORDS_MAP),
    helper(id::MAP_UPDATE_ELEM, "bpf_map_update_elem", (3, 19), &[
        proto(&[MAP, MAP_KEY, MAP_VALUE, ANY], INTEGER).packet().of(&[Base, Lirc]),
    ])
        .effects(E::RECORDS_MAP.union(E::WRITES_MAP)),
    helper(id::MAP_DELETE_ELEM, "bpf_map_delete_elem", (3, 19), &[
        proto(&[MAP, MAP_KEY], INTEGER).packet().of(&[Base, Lirc]),
    ])
        .effects(E::RECORDS_MAP.union(E::WRITES_MAP)),
    helper(id::PROBE_READ, "bpf_probe_read", (4, 1), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ADDRESS], INTEGER).gpl().of(&[Trace]),
    ]),
    helper(id::KTIME_GET_NS, "bpf_ktime_get_ns", (4, 1), &[
        proto(&[], INTEGER).of(&[Base, Lirc]),
    ])
        .yields(Yield::Time),
    helper(id::TRACE_PRINTK, "bpf_trace_printk", (4, 1), &[
        proto(&[MEM.read_only(), SIZE], INTEGER).gpl().of(&[Perfmon, LircPerfmon]),
    ])
        .effects(E::FORMATS.union(E::VARIADIC)),
    helper(id::GET_PRANDOM_U32, "bpf_get_prandom_u32", (4, 1), &[
        proto(&[], INTEGER).of(&[Base, Lirc]),
    ])
        .yields(Yield::Chance),
    helper(id::GET_SMP_PROCESSOR_ID, "bpf_get_smp_processor_id", (4, 1), &[
        proto(&[], INTEGER).fastcall().of(&[Base, Tc, Xdp, LwtOut]),
    ])
        .effects(E::INLINED)
        .yields(Yield::Cpu),
    helper(id::SKB_STORE_BYTES, "bpf_skb_store_bytes", (4, 1), &[
        proto(&[CTX, ANY, MEM.read_only(), SIZE, ANY], INTEGER).of(&[Tc, SkSkb, LwtXmit]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::L3_CSUM_REPLACE, "bpf_l3_csum_replace", (4, 1), &[
        proto(&[CTX, ANY, ANY, ANY, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ])
        .effects(E::MOVES_PACKET.union(E::KEEPS_CONTEXT)),
    helper(id::L4_CSUM_REPLACE, "bpf_l4_csum_replace", (4, 1), &[
        proto(&[CTX, ANY, ANY, ANY, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ])
        .effects(E::MOVES_PACKET.union(E::KEEPS_CONTEXT)),
    helper(id::TAIL_CALL, "bpf_tail_call", (4, 2), &[
        proto(&[CTX, MAP, ANY], VOID).of(&[Base, Lirc]),
    ])
        .maps(&[M::ProgArray])
        .effects(E::MOVES_PACKET.union(E::RECORDS_MAP)),
    helper(id::CLONE_REDIRECT, "bpf_clone_redirect", (4, 2), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::GET_CURRENT_PID_TGID, "bpf_get_current_pid_tgid", (4, 2), &[
        proto(&[], INTEGER).of(&[Base]),
    ]),
    helper(id::GET_CURRENT_UID_GID, "bpf_get_current_uid_gid", (4, 2), &[
        proto(&[], INTEGER).of(&[Base]),
    ]),
    helper(id::GET_CURRENT_COMM, "bpf_get_current_comm", (4, 2), &[
        proto(&[MEM.uninit(), SIZE], INTEGER).of(&[Perfmon]),
    ]),
    helper(id::GET_CGROUP_CLASSID, "bpf_get_cgroup_classid", (4, 3), &[
        proto(&[], INTEGER).of(&[Bpf]),
        proto(&[CTX], INTEGER).of(&[Tc, LwtOut]),
    ]),
    helper(id::SKB_VLAN_PUSH, "bpf_skb_vlan_push", (4, 3), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::SKB_VLAN_POP, "bpf_skb_vlan_pop", (4, 3), &[
        proto(&[CTX], INTEGER).of(&[Tc]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::SKB_GET_TUNNEL_KEY, "bpf_skb_get_tunnel_key", (4, 3), &[
        proto(&[CTX, MEM.uninit(), SIZE, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(id::SKB_SET_TUNNEL_KEY, "bpf_skb_set_tunnel_key", (4, 3), &[
        proto(&[CTX, MEM.read_only(), SIZE, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(id::PERF_EVENT_READ, "bpf_perf_event_read", (4, 3), &[
        proto(&[MAP, ANY], INTEGER).gpl().of(&[Perfmon]),
    ])
        .maps(&[M::PerfEventArray]),
    helper(id::REDIRECT, "bpf_redirect", (4, 4), &[
        proto(&[ANY, ANY], INTEGER).of(&[Tc, Xdp, LwtXmit]),
    ]),
    helper(id::GET_ROUTE_REALM, "bpf_get_route_realm", (4, 4), &[
        proto(&[CTX], INTEGER).of(&[Tc, LwtOut]),
    ]),
    helper(id::PERF_EVENT_OUTPUT, "bpf_perf_event_output", (4, 4), &[
        proto(&[CTX, MAP, ANY, MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl()
            .of(&[
                CgroupSock, CgroupSockAddr, SkFilter, CgroupSkb, Tc, Xdp, SockOps,
                SkMsg, SkSkb, LwtOut, SkLookup, Kprobe, Tracepoint, PerfEvent,
                RawTp, CgroupDevice, CgroupSysctl, CgroupSockopt,
            ]),
    ])
        .maps(&[M::PerfEventArray])
        .effects(E::KEEPS_CONTEXT),
    helper(id::SKB_LOAD_BYTES, "bpf_skb_load_bytes", (4, 5), &[
        proto(&[CTX, ANY, MEM.uninit(), SIZE], INTEGER)
            .of(&[SkFilter, Tc, SkSkb, FlowDissector, LwtOut, SkReuseport]),
    ])
        .effects(E::KEEPS_CONTEXT),
    helper(id::GET_STACKID, "bpf_get_stackid", (4, 6), &[
        proto(&[CTX, MAP, ANY], INTEGER).gpl().of(&[Kprobe, Tracepoint, RawTp]),
        proto(&[CTX, MAP, ANY], INTEGER).of(&[PerfEvent]),
    ])
        .maps(&[M::StackTrace]),
    helper(id::CSUM_DIFF, "bpf_csum_diff", (4, 6), &[
        proto(&[MEM.or_null().read_only(), SIZE_OR_ZERO, MEM.or_null().read_only(), SIZE_OR_ZERO, ANY], INTEGER).packet()
            .of(&[Tc, Xdp, LwtOut]),
    ]),
    helper(id::SKB_GET_TUNNEL_OPT, "bpf_skb_get_tunnel_opt", (4, 6), &[
        proto(&[CTX, MEM.uninit(), SIZE], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(id::SKB_SET_TUNNEL_OPT, "bpf_skb_set_tunnel_opt", (4, 6), &[
        proto(&[CTX, MEM.read_only(), SIZE], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(id::SKB_CHANGE_PROTO, "bpf_skb_change_proto", (4, 8), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::SKB_CHANGE_TYPE, "bpf_skb_change_type", (4, 8), &[
        proto(&[CTX, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(id::SKB_UNDER_CGROUP, "bpf_skb_under_cgroup", (4, 8), &[
        proto(&[CTX, MAP, ANY], INTEGER).of(&[Tc, LwtOut]),
    ])
        .maps(&[M::CgroupArray]),
    helper(id::GET_HASH_RECALC, "bpf_get_hash_recalc", (4, 8), &[
        proto(&[CTX], INTEGER).of(&[Tc, LwtOut]),
    ]),
    helper(id::GET_CURRENT_TASK, "bpf_get_current_task", (4, 8), &[
        proto(&[], INTEGER).gpl().of(&[Perfmon]),
    ])
        .effects(E::INLINED),
    helper(id::PROBE_WRITE_USER, "bpf_probe_write_user", (4, 8), &[
        proto(&[ANY, MEM.read_only(), SIZE], INTEGER).gpl().of(&[TraceAdmin]),
    ]),
    helper(id::CURRENT_TASK_UNDER_CGROUP, "bpf_current_task_under_cgroup", (4, 9), &[
        proto(&[MAP, ANY], INTEGER).of(&[Bpf]),
    ])
        .maps(&[M::CgroupArray]),
    helper(id::SKB_CHANGE_TAIL, "bpf_skb_change_tail", (4, 9), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc, SkSkb, LwtXmit]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::SKB_PULL_DATA, "bpf_skb_pull_data", (4, 9), &[
        proto(&[CTX, ANY], INTEGER).of(&[Tc, SkSkb, LwtOut]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::CSUM_UPDATE, "bpf_csum_update", (4, 9), &[
        proto(&[CTX, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ])
        .effects(E::KEEPS_CONTEXT),
    helper(id::SET_HASH_INVALID, "bpf_set_hash_invalid", (4, 9), &[
        proto(&[CTX], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(id::GET_NUMA_NODE_ID, "bpf_get_numa_node_id", (4, 10), &[
        proto(&[], INTEGER).of(&[Base]),
    ]),
    helper(id::SKB_CHANGE_HEAD, "bpf_skb_change_head", (4, 10), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc, SkSkb, LwtXmit]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::XDP_ADJUST_HEAD, "bpf_xdp_adjust_head", (4, 10), &[
        proto(&[CTX, ANY], INTEGER).of(&[Xdp]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::PROBE_READ_STR, "bpf_probe_read_str", (4, 11), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ADDRESS], INTEGER).gpl().of(&[Trace]),
    ])
        .yields(Yield::Length),
    helper(id::GET_SOCKET_COOKIE, "bpf_get_socket_cookie", (4, 12), &[
        proto(&[CTX], INTEGER).of(&[CgroupSock, CgroupSockAddr, SkFilter, Tc, SockOps, SkSkb]),
        proto(&[KERNEL_SOCK.or_null()], INTEGER).of(&[SkReuseport, TracingBtf]),
    ]),
    helper(id::GET_SOCKET_UID, "bpf_get_socket_uid", (4, 12), &[
        proto(&[CTX], INTEGER).of(&[SkFilter, Tc, SkSkb]),
    ]),
    helper(id::SET_HASH, "bpf_set_hash", (4, 13), &[
        proto(&[CTX, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(id::SETSOCKOPT, "bpf_setsockopt", (4, 13), &[
        proto(&[CTX, ANY, ANY, MEM.read_only(), SIZE], INTEGER).of(&[CgroupSockAddr, SockOps]),
        proto(&[KERNEL_SOCK, ANY, ANY, MEM.read_only(), SIZE], INTEGER).when(CgroupHooks(SOCKET_HOOKS))
            .of(&[Lsm]),
        proto(&[KERNEL_SOCK, ANY, ANY, MEM.read_only(), SIZE], INTEGER).when(AttachIn(SETSOCKOPT))
            .of(&[CgroupSockopt]),
        proto(&[KERNEL_SOCK, ANY, ANY, MEM.read_only(), SIZE], INTEGER).when(MemberNot("release"))
            .of(&[StructOps]),
        proto(&[KERNEL_SOCK, ANY, ANY, MEM.read_only(), SIZE], INTEGER).when(Iterators(SOCKET_ITERATORS))
            .of(&[TracingBtf]),
    ]),
    helper(id::SKB_ADJUST_ROOM, "bpf_skb_adjust_room", (4, 13), &[
        proto(&[CTX, ANY, ANY, ANY], INTEGER).of(&[Tc, SkSkb]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::REDIRECT_MAP, "bpf_redirect_map", (4, 14), &[
        proto(&[MAP, ANY, ANY], INTEGER).of(&[Xdp]),
    ])
        .maps(&[M::Devmap, M::DevmapHash, M::Cpumap, M::Xskmap])
        .effects(E::RECORDS_MAP),
    helper(id::SK_REDIRECT_MAP, "bpf_sk_redirect_map", (4, 14), &[
        proto(&[CTX, MAP, ANY, ANY], INTEGER).of(&[SkSkb]),
    ])
        .maps(&[M::Sockmap]),
    helper(id::SOCK_MAP_UPDATE, "bpf_sock_map_update", (4, 14), &[
        proto(&[CTX, MAP, MAP_KEY, ANY], INTEGER).packet().of(&[SockOps]),
    ])
        .maps(&[M::Sockmap]),
    helper(id::XDP_ADJUST_META, "bpf_xdp_adjust_meta", (4, 15), &[
        proto(&[CTX, ANY], INTEGER).of(&[Xdp]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::PERF_EVENT_READ_VALUE, "bpf_perf_event_read_value", (4, 15), &[
        proto(&[MAP, ANY, MEM.uninit(), SIZE], INTEGER).gpl().of(&[Perfmon]),
    ])
        .maps(&[M::PerfEventArray]),
    helper(id::PERF_PROG_READ_VALUE, "bpf_perf_prog_read_value", (4, 15), &[
        proto(&[CTX, MEM.uninit(), SIZE], INTEGER).gpl().of(&[PerfEvent]),
    ]),
    helper(id::GETSOCKOPT, "bpf_getsockopt", (4, 15), &[
        proto(&[CTX, ANY, ANY, MEM.uninit(), SIZE], INTEGER).of(&[CgroupSockAddr, SockOps]),
        proto(&[KERNEL_SOCK, ANY, ANY, MEM.uninit(), SIZE], INTEGER).when(CgroupHooks(SOCKET_HOOKS))
            .of(&[Lsm]),
        proto(&[KERNEL_SOCK, ANY, ANY, MEM.uninit(), SIZE], INTEGER).when(AttachIn(SETSOCKOPT))
            .of(&[CgroupSockopt]),
        proto(&[KERNEL_SOCK, ANY, ANY, MEM.uninit(), SIZE], INTEGER).when(MemberNot("release"))
            .of(&[StructOps]),
        proto(&[KERNEL_SOCK, ANY, ANY, MEM.uninit(), SIZE], INTEGER).when(Iterators(SOCKET_ITERATORS))
            .of(&[TracingBtf]),
    ]),
    helper(id::OVERRIDE_RETURN, "bpf_override_return", (4, 16), &[
        proto(&[CTX, ANY], INTEGER).gpl().of(&[Kprobe]),
    ]),
    helper(id::SOCK_OPS_CB_FLAGS_SET, "bpf_sock_ops_cb_flags_set", (4, 16), &[
        proto(&[CTX, ANY], INTEGER).of(&[SockOps]),
    ]),
    helper(id::MSG_REDIRECT_MAP, "bpf_msg_redirect_map", (4, 17), &[
        proto(&[CTX, MAP, ANY, ANY], INTEGER).of(&[SkMsg]),
    ])
        .maps(&[M::Sockmap]),
    helper(id::MSG_APPLY_BYTES, "bpf_msg_apply_bytes", (4, 17), &[
        proto(&[CTX, ANY], INTEGER).of(&[SkMsg]),
    ]),
    helper(id::MSG_CORK_BYTES, "bpf_msg_cork_bytes", (4, 17), &[
        proto(&[CTX, ANY], INTEGER).of(&[SkMsg]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::MSG_PULL_DATA, "bpf_msg_pull_data", (4, 17), &[
        proto(&[CTX, ANY, ANY, ANY], INTEGER).of(&[SkMsg]),
    ]),
    helper(id::BIND, "bpf_bind", (4, 17), &[
        proto(&[CTX, MEM.read_only(), SIZE], INTEGER).when(AttachIn(CONNECT)).of(&[CgroupSockAddr]),
    ]),
    helper(id::XDP_ADJUST_TAIL, "bpf_xdp_adjust_tail", (4, 18), &[
        proto(&[CTX, ANY], INTEGER).of(&[Xdp]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::SKB_GET_XFRM_STATE, "bpf_skb_get_xfrm_state", (4, 18), &[
        proto(&[CTX, ANY, MEM.uninit(), SIZE, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(id::GET_STACK, "bpf_get_stack", (4, 18), &[
        proto(&[CTX, MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).gpl()
            .of(&[Kprobe, Tracepoint, PerfEvent, RawTp]),
    ])
        .yields(Yield::Length),
    helper(id::SKB_LOAD_BYTES_RELATIVE, "bpf_skb_load_bytes_relative", (4, 18), &[
        proto(&[CTX, ANY, MEM.uninit(), SIZE, ANY], INTEGER).of(&[SkFilter, Tc, SkReuseport]),
    ])
        .effects(E::KEEPS_CONTEXT),
    helper(id::FIB_LOOKUP, "bpf_fib_lookup", (4, 18), &[
        proto(&[CTX, MEM.write(), SIZE, ANY], INTEGER).gpl().of(&[Tc, Xdp]),
    ]),
    helper(id::SOCK_HASH_UPDATE, "bpf_sock_hash_update", (4, 18), &[
        proto(&[CTX, MAP, MAP_KEY, ANY], INTEGER).packet().of(&[SockOps]),
    ])
        .maps(&[M::Sockhash]),
    helper(id::MSG_REDIRECT_HASH, "bpf_msg_redirect_hash", (4, 18), &[
        proto(&[CTX, MAP, MAP_KEY, ANY], INTEGER).of(&[SkMsg]),
    ])
        .maps(&[M::Sockhash]),
    helper(id::SK_REDIRECT_HASH, "bpf_sk_redirect_hash", (4, 18), &[
        proto(&[CTX, MAP, MAP_KEY, ANY], INTEGER).of(&[SkSkb]),
    ])
        .maps(&[M::Sockhash]),
    helper(id::LWT_PUSH_ENCAP, "bpf_lwt_push_encap", (4, 18), &[
        proto(&[CTX, ANY, MEM.read_only(), SIZE], INTEGER).of(&[LwtIn, LwtXmit]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::LWT_SEG6_STORE_BYTES, "bpf_lwt_seg6_store_bytes", (4, 18), &[
        proto(&[CTX, ANY, MEM.read_only(), SIZE], INTEGER).of(&[LwtSeg6]),
    ])
        .linux_only(SEGMENTS)
        .effects(E::MOVES_PACKET),
    helper(id::LWT_SEG6_ADJUST_SRH, "bpf_lwt_seg6_adjust_srh", (4, 18), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[LwtSeg6]),
    ])
        .linux_only(SEGMENTS)
        .effects(E::MOVES_PACKET),
    helper(id::LWT_SEG6_ACTION, "bpf_lwt_seg6_action", (4, 18), &[
        proto(&[CTX, ANY, MEM.read_only(), SIZE], INTEGER).of(&[LwtSeg6]),
    ])
        .linux_only(SEGMENTS)
        .effects(E::MOVES_PACKET),
    helper(id::RC_REPEAT, "bpf_rc_repeat", (4, 18), &[
        proto(&[CTX], INTEGER).gpl().of(&[Lirc]),
    ]),
    helper(id::RC_KEYDOWN, "bpf_rc_keydown", (4, 18), &[
        proto(&[CTX, ANY, ANY, ANY], INTEGER).gpl().of(&[Lirc]),
    ]),
    helper(id::SKB_CGROUP_ID, "bpf_skb_cgroup_id", (4, 18), &[
        proto(&[CTX], INTEGER).of(&[CgroupSkb, Tc]),
    ]),
    helper(id::GET_CURRENT_CGROUP_ID, "bpf_get_current_cgroup_id", (4, 18), &[
        proto(&[], INTEGER).of(&[Bpf]),
    ]),
    helper(id::GET_LOCAL_STORAGE, "bpf_get_local_storage", (4, 19), &[
        proto(&[MAP, ANY], TO_VALUE).of(&[CgroupCommon]),
    ])
        .maps(&[M::CgroupStorage, M::PercpuCgroupStorage]),
    helper(id::SK_SELECT_REUSEPORT, "bpf_sk_select_reuseport", (4, 19), &[
        proto(&[CTX, MAP, MAP_KEY, ANY], INTEGER).of(&[SkReuseport]),
    ])
        .maps(&[M::ReuseportSockarray, M::Sockmap, M::Sockhash]),
    helper(id::SKB_ANCESTOR_CGROUP_ID, "bpf_skb_ancestor_cgroup_id", (4, 19), &[
        proto(&[CTX, ANY], INTEGER).of(&[CgroupSkb, Tc]),
    ]),
    helper(id::SK_LOOKUP_TCP, "bpf_sk_lookup_tcp", (4, 20), &[
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCKET.or_null())
            .of(&[CgroupSockAddr]),
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCKET.or_null()).packet()
            .of(&[CgroupSkb, Tc, Xdp, SkSkb]),
    ])
        .effects(E::ACQUIRES),
    helper(id::SK_LOOKUP_UDP, "bpf_sk_lookup_udp", (4, 20), &[
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCKET.or_null())
            .of(&[CgroupSockAddr]),
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCKET.or_null()).packet()
            .of(&[CgroupSkb, Tc, Xdp, SkSkb]),
    ])
        .effects(E::ACQUIRES),
    helper(id::SK_RELEASE, "bpf_sk_release", (4, 20), &[
        proto(&[KERNEL_SOCK.release()], INTEGER)
            .of(&[CgroupSockAddr, CgroupSkb, Tc, Xdp, SkSkb, SkLookup]),
    ]),
    helper(id::MAP_PUSH_ELEM, "bpf_map_push_elem", (4, 20), &[
        proto(&[MAP, MAP_VALUE, ANY], INTEGER).packet().of(&[Base, Lirc]),
    ])
        .maps(&[M::Queue, M::Stack, M::BloomFilter])
        .effects(E::RECORDS_MAP.union(E::WRITES_MAP)),
    helper(id::MAP_POP_ELEM, "bpf_map_pop_elem", (4, 20), &[
        proto(&[MAP, MAP_VALUE.uninit()], INTEGER).of(&[Base, Lirc]),
    ])
        .maps(&[M::Queue, M::Stack])
        .effects(E::RECORDS_MAP.union(E::WRITES_MAP)),
    helper(id::MAP_PEEK_ELEM, "bpf_map_peek_elem", (4, 20), &[
        proto(&[MAP, MAP_VALUE.uninit()], INTEGER).of(&[Base, Lirc]),
    ])
        .maps(&[M::Queue, M::Stack, M::BloomFilter])
        .effects(E::RECORDS_MAP),
    helper(id::MSG_PUSH_DATA, "bpf_msg_push_data", (4, 20), &[
        proto(&[CTX, ANY, ANY, ANY], INTEGER).of(&[SkMsg]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::MSG_POP_DATA, "bpf_msg_pop_data", (5, 0), &[
        proto(&[CTX, ANY, ANY, ANY], INTEGER).of(&[SkMsg]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::RC_POINTER_REL, "bpf_rc_pointer_rel", (5, 0), &[
        proto(&[CTX, ANY, ANY], INTEGER).gpl().of(&[Lirc]),
    ]),
    helper(id::SPIN_LOCK, "bpf_spin_lock", (5, 1), &[
        proto(&[SPIN_LOCK], VOID).of(&[Bpf]),
    ]),
    helper(id::SPIN_UNLOCK, "bpf_spin_unlock", (5, 1), &[
        proto(&[SPIN_LOCK], VOID).of(&[Bpf]),
    ]),
    helper(id::SK_FULLSOCK, "bpf_sk_fullsock", (5, 1), &[
        proto(&[SOCK_COMMON], TO_SOCKET.or_null()).of(&[CgroupSkb, Tc]),
    ])
        .effects(E::CASTS),
    helper(id::TCP_SOCK, "bpf_tcp_sock", (5, 1), &[
        proto(&[SOCK_COMMON], TO_TCP_SOCK.or_null()).of(&[CgroupSkb, Tc, SockOps, CgroupSockopt]),
    ])
        .effects(E::CASTS),
    helper(id::SKB_ECN_SET_CE, "bpf_skb_ecn_set_ce", (5, 1), &[
        proto(&[CTX], INTEGER).of(&[CgroupSkb, Tc]),
    ]),
    helper(id::GET_LISTENER_SOCK, "bpf_get_listener_sock", (5, 1), &[
        proto(&[SOCK_COMMON], TO_SOCKET.or_null()).of(&[CgroupSkb, Tc]),
    ]),
    helper(id::SKC_LOOKUP_TCP, "bpf_skc_lookup_tcp", (5, 2), &[
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCK_COMMON.or_null())
            .of(&[CgroupSockAddr]),
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCK_COMMON.or_null()).packet()
            .of(&[CgroupSkb, Tc, Xdp, SkSkb]),
    ])
        .effects(E::ACQUIRES),
    helper(id::TCP_CHECK_SYNCOOKIE, "bpf_tcp_check_syncookie", (5, 2), &[
        proto(&[KERNEL_SOCK, MEM.read_only(), SIZE, MEM.read_only(), SIZE], INTEGER).gpl().packet()
            .of(&[Tc, Xdp]),
    ]),
    helper(id::SYSCTL_GET_NAME, "bpf_sysctl_get_name", (5, 2), &[
        proto(&[CTX, MEM.write(), SIZE, ANY], INTEGER).of(&[CgroupSysctl]),
    ]),
    helper(id::SYSCTL_GET_CURRENT_VALUE, "bpf_sysctl_get_current_value", (5, 2), &[
        proto(&[CTX, MEM.uninit(), SIZE], INTEGER).of(&[CgroupSysctl]),
    ]),
    helper(id::SYSCTL_GET_NEW_VALUE, "bpf_sysctl_get_new_value", (5, 2), &[
        proto(&[CTX, MEM.uninit(), SIZE], INTEGER).of(&[CgroupSysctl]),
    ]),
    helper(id::SYSCTL_SET_NEW_VALUE, "bpf_sysctl_set_new_value", (5, 2), &[
        proto(&[CTX, MEM.read_only(), SIZE], INTEGER).of(&[CgroupSysctl]),
    ]),
    helper(id::STRTOL, "bpf_strtol", (5, 2), &[
        proto(&[MEM.read_only(), SIZE, ANY, fixed(8).uninit().aligned()], INTEGER).of(&[Base]),
    ]),
    helper(id::STRTOUL, "bpf_strtoul", (5, 2), &[
        proto(&[MEM.read_only(), SIZE, ANY, fixed(8).uninit().aligned()], INTEGER).of(&[Base]),
    ]),
    helper(id::SK_STORAGE_GET, "bpf_sk_storage_get", (5, 2), &[
        proto(&[MAP, CTX, MAP_VALUE.or_null(), ANY], TO_VALUE.or_null()).of(&[CgroupSock]),
        proto(&[MAP, KERNEL_SOCK, MAP_VALUE.or_null(), ANY], TO_VALUE.or_null())
            .of(&[CgroupSockAddr, CgroupSkb, Tc, SockOps, SkMsg, Lsm, CgroupSockopt, StructOps]),
        proto(&[MAP, btf("sock_common").or_null(), MAP_VALUE.or_null(), ANY], TO_VALUE.or_null()).allowed(NotTracing("bpf_sk_storage"))
            .of(&[TracingBtf]),
    ])
        .maps(&[M::SkStorage]),
    helper(id::SK_STORAGE_DELETE, "bpf_sk_storage_delete", (5, 2), &[
        proto(&[MAP, KERNEL_SOCK], INTEGER)
            .of(&[CgroupSockAddr, CgroupSkb, Tc, SockOps, SkMsg, Lsm, CgroupSockopt, StructOps]),
        proto(&[MAP, btf("sock_common").or_null()], INTEGER).allowed(NotTracing("bpf_sk_storage"))
            .of(&[TracingBtf]),
    ])
        .maps(&[M::SkStorage]),
    helper(id::SEND_SIGNAL, "bpf_send_signal", (5, 3), &[
        proto(&[ANY], INTEGER).of(&[Perfmon]),
    ]),
    helper(id::TCP_GEN_SYNCOOKIE, "bpf_tcp_gen_syncookie", (5, 3), &[
        proto(&[KERNEL_SOCK, MEM.read_only(), SIZE, MEM.read_only(), SIZE], INTEGER).gpl().packet()
            .of(&[Tc, Xdp]),
    ]),
    helper(id::SKB_OUTPUT, "bpf_skb_output", (5, 5), &[
        proto(&[btf("sk_buff"), MAP, ANY, MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl()
            .of(&[TracingBtf]),
    ])
        .maps(&[M::PerfEventArray]),
    helper(id::PROBE_READ_USER, "bpf_probe_read_user", (5, 5), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ADDRESS], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(id::PROBE_READ_KERNEL, "bpf_probe_read_kernel", (5, 5), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ADDRESS], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(id::PROBE_READ_USER_STR, "bpf_probe_read_user_str", (5, 5), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ADDRESS], INTEGER).gpl().of(&[Perfmon]),
    ])
        .yields(Yield::Length),
    helper(id::PROBE_READ_KERNEL_STR, "bpf_probe_read_kernel_str", (5, 5), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ADDRESS], INTEGER).gpl().of(&[Perfmon]),
    ])
        .yields(Yield::Length),
    helper(id::TCP_SEND_ACK, "bpf_tcp_send_ack", (5, 6), &[
        proto(&[btf("tcp_sock"), ANY], INTEGER).of(&[StructOps]),
    ]),
    helper(id::SEND_SIGNAL_THREAD, "bpf_send_signal_thread", (5, 6), &[
        proto(&[ANY], INTEGER).of(&[Perfmon]),
    ]),
    helper(id::JIFFIES64, "bpf_jiffies64", (5, 6), &[
        proto(&[], INTEGER).of(&[Bpf]),
    ])
        .yields(Yield::Jiffies),
    helper(id::READ_BRANCH_RECORDS, "bpf_read_branch_records", (5, 7), &[
        proto(&[CTX, MEM.or_null().write(), SIZE_OR_ZERO, ANY], INTEGER).gpl().of(&[PerfEvent]),
    ]),
    helper(id::GET_NS_CURRENT_PID_TGID, "bpf_get_ns_current_pid_tgid", (5, 7), &[
        proto(&[ANY, ANY, MEM.uninit(), SIZE], INTEGER).of(&[Base]),
    ]),
    helper(id::XDP_OUTPUT, "bpf_xdp_output", (5, 7), &[
        proto(&[btf("xdp_buff"), MAP, ANY, MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl()
            .of(&[TracingBtf]),
    ])
        .maps(&[M::PerfEventArray]),
    helper(id::GET_NETNS_COOKIE, "bpf_get_netns_cookie", (5, 7), &[
        proto(&[CTX.or_null()], INTEGER)
            .of(&[CgroupSock, CgroupSockAddr, SkFilter, Tc, SockOps, SkMsg, CgroupSockopt]),
    ]),
    helper(id::GET_CURRENT_ANCESTOR_CGROUP_ID, "bpf_get_current_ancestor_cgroup_id", (5, 7), &[
        proto(&[ANY], INTEGER).of(&[Bpf]),
    ]),
    helper(id::SK_ASSIGN, "bpf_sk_assign", (5, 7), &[
        proto(&[CTX, KERNEL_SOCK, ANY], INTEGER).of(&[Tc]),
        proto(&[CTX, SOCKET.or_null(), ANY], INTEGER).of(&[SkLookup]),
    ]),
    helper(id::KTIME_GET_BOOT_NS, "bpf_ktime_get_boot_ns", (5, 8), &[
        proto(&[], INTEGER).of(&[Base, Lirc]),
    ])
        .yields(Yield::Time),
    helper(id::SEQ_PRINTF, "bpf_seq_printf", (5, 8), &[
        proto(&[btf("seq_file"), MEM.read_only(), SIZE, MEM.or_null().read_only(), SIZE_OR_ZERO], INTEGER).gpl().when(AttachIn(ITERATOR))
            .of(&[TracingBtf]),
    ])
        .effects(E::FORMATS),
    helper(id::SEQ_WRITE, "bpf_seq_write", (5, 8), &[
        proto(&[btf("seq_file"), MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl().when(AttachIn(ITERATOR))
            .of(&[TracingBtf]),
    ]),
    helper(id::SK_CGROUP_ID, "bpf_sk_cgroup_id", (5, 8), &[
        proto(&[KERNEL_SOCK], INTEGER).of(&[CgroupSkb]),
    ]),
    helper(id::SK_ANCESTOR_CGROUP_ID, "bpf_sk_ancestor_cgroup_id", (5, 8), &[
        proto(&[KERNEL_SOCK, ANY], INTEGER).of(&[CgroupSkb]),
    ]),
    helper(id::RINGBUF_OUTPUT, "bpf_ringbuf_output", (5, 8), &[
        proto(&[MAP, MEM.read_only(), SIZE_OR_ZERO, ANY], INTEGER).of(&[Base]),
    ])
        .maps(&[M::Ringbuf]),
    helper(id::RINGBUF_RESERVE, "bpf_ringbuf_reserve", (5, 8), &[
        proto(&[MAP, ALLOC_SIZE, ANY], TO_RECORD.or_null()).of(&[Base]),
    ])
        .maps(&[M::Ringbuf])
        .effects(E::ACQUIRES),
    helper(id::RINGBUF_SUBMIT, "bpf_ringbuf_submit", (5, 8), &[
        proto(&[RECORD.release(), ANY], VOID).of(&[Base]),
    ]),
    helper(id::RINGBUF_DISCARD, "bpf_ringbuf_discard", (5, 8), &[
        proto(&[RECORD.release(), ANY], VOID).of(&[Base]),
    ]),
    helper(id::RINGBUF_QUERY, "bpf_ringbuf_query", (5, 8), &[
        proto(&[MAP, ANY], INTEGER).of(&[Base]),
    ])
        .maps(&[M::Ringbuf]),
    helper(id::CSUM_LEVEL, "bpf_csum_level", (5, 8), &[
        proto(&[CTX, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(id::SKC_TO_TCP6_SOCK, "bpf_skc_to_tcp6_sock", (5, 9), &[
        proto(&[KERNEL_SOCK], to_btf("tcp6_sock").or_null()).of(&[SkBasePerfmon, TracingBtf]),
    ])
        .effects(E::CASTS),
    helper(id::SKC_TO_TCP_SOCK, "bpf_skc_to_tcp_sock", (5, 9), &[
        proto(&[KERNEL_SOCK], to_btf("tcp_sock").or_null()).of(&[SkBasePerfmon, TracingBtf]),
    ])
        .effects(E::CASTS),
    helper(id::SKC_TO_TCP_TIMEWAIT_SOCK, "bpf_skc_to_tcp_timewait_sock", (5, 9), &[
        proto(&[KERNEL_SOCK], to_btf("tcp_timewait_sock").or_null())
            .of(&[SkBasePerfmon, TracingBtf]),
    ])
        .effects(E::CASTS),
    helper(id::SKC_TO_TCP_REQUEST_SOCK, "bpf_skc_to_tcp_request_sock", (5, 9), &[
        proto(&[KERNEL_SOCK], to_btf("tcp_request_sock").or_null())
            .of(&[SkBasePerfmon, TracingBtf]),
    ])
        .effects(E::CASTS),
    helper(id::SKC_TO_UDP6_SOCK, "bpf_skc_to_udp6_sock", (5, 9), &[
        proto(&[KERNEL_SOCK], to_btf("udp6_sock").or_null()).of(&[SkBasePerfmon, TracingBtf]),
    ])
        .effects(E::CASTS),
    helper(id::GET_TASK_STACK, "bpf_get_task_stack", (5, 9), &[
        proto(&[btf("task_struct"), MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).of(&[Perfmon]),
    ])
        .yields(Yield::Length),
    helper(id::LOAD_HDR_OPT, "bpf_load_hdr_opt", (5, 10), &[
        proto(&[CTX, MEM.write(), SIZE, ANY], INTEGER).of(&[SockOps]),
    ]),
    helper(id::STORE_HDR_OPT, "bpf_store_hdr_opt", (5, 10), &[
        proto(&[CTX, MEM.read_only(), SIZE, ANY], INTEGER).of(&[SockOps]),
    ])
        .effects(E::MOVES_PACKET),
    helper(id::RESERVE_HDR_OPT, "bpf_reserve_hdr_opt", (5, 10), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[SockOps]),
    ]),
    helper(id::INODE_STORAGE_GET, "bpf_inode_storage_get", (5, 10), &[
        proto(&[MAP, btf("inode").or_null(), MAP_VALUE.or_null(), ANY], TO_VALUE.or_null())
            .of(&[Lsm]),
    ])
        .maps(&[M::InodeStorage]),
    helper(id::INODE_STORAGE_DELETE, "bpf_inode_storage_delete", (5, 10), &[
        proto(&[MAP, btf("inode").or_null()], INTEGER).of(&[Lsm]),
    ])
        .maps(&[M::InodeStorage]),
    helper(id::D_PATH, "bpf_d_path", (5, 10), &[
        proto(&[btf("path"), MEM.write(), SIZE_OR_ZERO], INTEGER).allowed(PathFunctions(PATH_FUNCTIONS))
            .of(&[TracingBtf]),
    ]),
    helper(id::COPY_FROM_USER, "bpf_copy_from_user", (5, 10), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).sleeps().of(&[Perfmon]),
    ]),
    helper(id::SNPRINTF_BTF, "bpf_snprintf_btf", (5, 10), &[
        proto(&[MEM.write(), SIZE, MEM.read_only(), SIZE, ANY], INTEGER).of(&[Perfmon]),
    ])
        .effects(E::FORMATS),
    helper(id::SEQ_PRINTF_BTF, "bpf_seq_printf_btf", (5, 10), &[
        proto(&[btf("seq_file"), MEM.read_only(), SIZE_OR_ZERO, ANY], INTEGER).gpl().when(AttachIn(ITERATOR))
            .of(&[TracingBtf]),
    ])
        .effects(E::FORMATS),
    helper(id::SKB_CGROUP_CLASSID, "bpf_skb_cgroup_classid", (5, 10), &[
        proto(&[CTX], INTEGER).of(&[Tc]),
    ]),
    helper(id::REDIRECT_NEIGH, "bpf_redirect_neigh", (5, 10), &[
        proto(&[ANY, MEM.or_null().read_only(), SIZE_OR_ZERO, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(id::PER_CPU_PTR, "bpf_per_cpu_ptr", (5, 10), &[
        proto(&[PERCPU, ANY], TO_VARIABLE.or_null().read_only()).of(&[Bpf]),
    ]),
    helper(id::THIS_CPU_PTR, "bpf_this_cpu_ptr", (5, 10), &[
        proto(&[PERCPU], TO_VARIABLE.read_only()).of(&[Bpf]),
    ]),
    helper(id::REDIRECT_PEER, "bpf_redirect_peer", (5, 10), &[
        proto(&[ANY, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(id::TASK_STORAGE_GET, "bpf_task_storage_get", (5, 11), &[
        proto(&[MAP, btf("task_struct").or_null(), MAP_VALUE.or_null(), ANY], TO_VALUE.or_null())
            .of(&[Bpf]),
    ])
        .maps(&[M::TaskStorage]),
    helper(id::TASK_STORAGE_DELETE, "bpf_task_storage_delete", (5, 11), &[
        proto(&[MAP, btf("task_struct").or_null()], INTEGER).of(&[Bpf]),
    ])
        .maps(&[M::TaskStorage]),
    helper(id::GET_CURRENT_TASK_BTF, "bpf_get_current_task_btf", (5, 11), &[
        proto(&[], to_btf("task_struct").trusted()).gpl().of(&[Perfmon]),
    ])
        .effects(E::INLINED),
    helper(id::BPRM_OPTS_SET, "bpf_bprm_opts_set", (5, 11), &[
        proto(&[btf("linux_binprm"), ANY], INTEGER).of(&[Lsm]),
    ]),
    helper(id::KTIME_GET_COARSE_NS, "bpf_ktime_get_coarse_ns", (5, 11), &[
        proto(&[], INTEGER).of(&[SkBase, CgroupSock, SkReuseport, CgroupSysctl, StructOps]),
    ])
        .yields(Yield::Time),
    helper(id::IMA_INODE_HASH, "bpf_ima_inode_hash", (5, 11), &[
        proto(&[btf("inode"), MEM.uninit(), SIZE], INTEGER).sleeps().allowed(SleepableHooks)
            .of(&[Lsm]),
    ])
        .linux_only("it asks what Linux's IMA measured"),
    helper(id::SOCK_FROM_FILE, "bpf_sock_from_file", (5, 11), &[
        proto(&[btf("file")], to_btf("socket").or_null()).of(&[TracingBtf]),
    ]),
    helper(id::CHECK_MTU, "bpf_check_mtu", (5, 12), &[
        proto(&[CTX, ANY, fixed(4).write().aligned(), ANY, ANY], INTEGER).gpl().of(&[Tc, Xdp]),
    ]),
    helper(id::FOR_EACH_MAP_ELEM, "bpf_for_each_map_elem", (5, 13), &[
        proto(&[MAP, FUNC, STACK.or_null(), ANY], INTEGER).of(&[Bpf]),
    ])
        .effects(E::RECORDS_MAP)
        .calls(&[Same(1), Key(1), Value(1), Same(3)], Now, 1),
    helper(id::SNPRINTF, "bpf_snprintf", (5, 13), &[
        proto(&[MEM.or_null().write(), SIZE_OR_ZERO, CONST_STR, MEM.or_null().read_only(), SIZE_OR_ZERO], INTEGER).gpl()
            .of(&[Perfmon]),
    ])
        .effects(E::FORMATS),
    helper(id::SYS_BPF, "bpf_sys_bpf", (5, 14), &[
        proto(&[ANY, MEM.read_only(), SIZE], INTEGER).sleeps().of(&[SyscallPerfmon]),
    ])
        .linux_only(SYSTEM_CALL),
    helper(id::BTF_FIND_BY_NAME_KIND, "bpf_btf_find_by_name_kind", (5, 14), &[
        proto(&[MEM.read_only(), SIZE, ANY, ANY], INTEGER).sleeps().of(&[Syscall]),
    ]),
    helper(id::SYS_CLOSE, "bpf_sys_close", (5, 14), &[
        proto(&[ANY], INTEGER).sleeps().of(&[Syscall]),
    ])
        .linux_only(SYSTEM_CALL),
    helper(id::TIMER_INIT, "bpf_timer_init", (5, 15), &[
        proto(&[TIMER, MAP, ANY], INTEGER).gpl().of(&[Bpf]),
    ]),
    helper(id::TIMER_SET_CALLBACK, "bpf_timer_set_callback", (5, 15), &[
        proto(&[TIMER, FUNC], INTEGER).gpl().of(&[Bpf]),
    ])
        .calls(&[Map(1), Key(1), Value(1)], Later, 0),
    helper(id::TIMER_START, "bpf_timer_start", (5, 15), &[
        proto(&[TIMER, ANY, ANY], INTEGER).gpl().of(&[Bpf]),
    ]),
    helper(id::TIMER_CANCEL, "bpf_timer_cancel", (5, 15), &[
        proto(&[TIMER], INTEGER).gpl().of(&[Bpf]),
    ]),
    helper(id::GET_FUNC_IP, "bpf_get_func_ip", (5, 15), &[
        proto(&[CTX], INTEGER).gpl().of(&[Trace, Kprobe]),
    ]),
    helper(id::GET_ATTACH_COOKIE, "bpf_get_attach_cookie", (5, 15), &[
        proto(&[CTX], INTEGER).of(&[Kprobe, Tracepoint, PerfEvent, RawTracepoint]),
        proto(&[CTX], INTEGER).when(AttachIn(COOKIE)).of(&[TracingBtf]),
        proto(&[CTX], INTEGER).when(AttachIn(TRAMPOLINE)).of(&[Lsm]),
    ]),
    helper(id::TASK_PT_REGS, "bpf_task_pt_regs", (5, 15), &[
        proto(&[btf("task_struct")], to_btf("pt_regs")).gpl().of(&[Perfmon]),
    ]),
    helper(id::GET_BRANCH_SNAPSHOT, "bpf_get_branch_snapshot", (5, 16), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(id::TRACE_VPRINTK, "bpf_trace_vprintk", (5, 16), &[
        proto(&[MEM.read_only(), SIZE, MEM.or_null().read_only(), SIZE_OR_ZERO], INTEGER).gpl()
            .of(&[Perfmon]),
    ])
        .effects(E::FORMATS),
    helper(id::SKC_TO_UNIX_SOCK, "bpf_skc_to_unix_sock", (5, 16), &[
        proto(&[KERNEL_SOCK], to_btf("unix_sock").or_null()).of(&[SkBasePerfmon, TracingBtf]),
    ]),
    helper(id::KALLSYMS_LOOKUP_NAME, "bpf_kallsyms_lookup_name", (5, 16), &[
        proto(&[MEM.read_only(), SIZE_OR_ZERO, ANY, fixed(8).uninit().aligned()], INTEGER).of(&[Syscall]),
    ]),
    helper(id::FIND_VMA, "bpf_find_vma", (5, 17), &[
        proto(&[btf("task_struct"), ANY, FUNC, STACK.or_null(), ANY], INTEGER).of(&[Perfmon]),
    ])
        .calls(&[Same(1), Kernel("vm_area_struct"), Same(4)], Now, 1),
    helper(id::LOOP, "bpf_loop", (5, 17), &[
        proto(&[ANY, FUNC, STACK.or_null(), ANY], INTEGER).of(&[Bpf]),
    ])
        .calls(&[Index, Same(3)], Now, 1),
    helper(id::STRNCMP, "bpf_strncmp", (5, 17), &[
        proto(&[MEM.read_only(), SIZE, CONST_STR], INTEGER).of(&[Base]),
    ]),
    helper(id::GET_FUNC_ARG, "bpf_get_func_arg", (5, 17), &[
        proto(&[CTX, ANY, fixed(8).uninit().aligned()], INTEGER).when(AttachIn(TRAMPOLINE))
            .of(&[TracingBtf]),
    ]),
    helper(id::GET_FUNC_RET, "bpf_get_func_ret", (5, 17), &[
        proto(&[CTX, fixed(8).uninit().aligned()], INTEGER).when(AttachIn(TRAMPOLINE))
            .of(&[TracingBtf]),
    ]),
    helper(id::GET_FUNC_ARG_CNT, "bpf_get_func_arg_cnt", (5, 17), &[
        proto(&[CTX], INTEGER).when(AttachIn(TRAMPOLINE)).of(&[TracingBtf]),
    ]),
    helper(id::GET_RETVAL, "bpf_get_retval", (5, 18), &[
        proto(&[], INTEGER).when(AttachNotIn(NO_RETVAL)).of(&[CgroupCommon]),
    ]),
    helper(id::SET_RETVAL, "bpf_set_retval", (5, 18), &[
        proto(&[ANY], INTEGER).when(AttachNotIn(NO_RETVAL)).of(&[CgroupCommon]),
    ]),
    helper(id::XDP_GET_BUFF_LEN, "bpf_xdp_get_buff_len", (5, 18), &[
        proto(&[CTX], INTEGER).of(&[Xdp]),
        proto(&[btf("xdp_buff")], INTEGER).of(&[TracingBtf]),
    ])
        .effects(E::KEEPS_CONTEXT),
    helper(id::XDP_LOAD_BYTES, "bpf_xdp_load_bytes", (5, 18), &[
        proto(&[CTX, ANY, MEM.uninit(), SIZE], INTEGER).of(&[Xdp]),
    ])
        .effects(E::KEEPS_CONTEXT),
    helper(id::XDP_STORE_BYTES, "bpf_xdp_store_bytes", (5, 18), &[
        proto(&[CTX, ANY, MEM.read_only(), SIZE], INTEGER).of(&[Xdp]),
    ])
        .effects(E::KEEPS_CONTEXT),
    helper(id::COPY_FROM_USER_TASK, "bpf_copy_from_user_task", (5, 18), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY, btf("task_struct")], INTEGER).gpl().sleeps()
            .of(&[Perfmon]),
    ]),
    helper(id::SKB_SET_TSTAMP, "bpf_skb_set_tstamp", (5, 18), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(id::IMA_FILE_HASH, "bpf_ima_file_hash", (5, 18), &[
        proto(&[btf("file"), MEM.uninit(), SIZE], INTEGER).sleeps().allowed(SleepableHooks)
            .of(&[Lsm]),
    ])
        .linux_only("it asks what Linux's IMA measured"),
    helper(id::KPTR_XCHG, "bpf_kptr_xchg", (5, 19), &[
        proto(&[KPTR_SLOT, KPTR.or_null().release()], TO_KPTR.or_null()).of(&[Bpf]),
    ])
        .effects(E::ACQUIRES),
    helper(id::MAP_LOOKUP_PERCPU_ELEM, "bpf_map_lookup_percpu_elem", (5, 19), &[
        proto(&[MAP, MAP_KEY, ANY], TO_VALUE.or_null()).packet().of(&[Base]),
    ])
        .maps(&[M::PercpuArray, M::PercpuHash, M::LruPercpuHash])
        .effects(E::RECORDS_MAP),
    helper(id::SKC_TO_MPTCP_SOCK, "bpf_skc_to_mptcp_sock", (5, 19), &[
        proto(&[SOCK_COMMON], to_btf("mptcp_sock").or_null()).of(&[SkBasePerfmon, TracingBtf]),
    ])
        .effects(E::CASTS),
    helper(id::DYNPTR_FROM_MEM, "bpf_dynptr_from_mem", (5, 19), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY, DYNPTR.uninit().local()], INTEGER).of(&[Bpf]),
    ])
        .effects(E::KEEPS_POINTER),
    helper(id::RINGBUF_RESERVE_DYNPTR, "bpf_ringbuf_reserve_dynptr", (5, 19), &[
        proto(&[MAP, ANY, ANY, DYNPTR.uninit().ringbuf()], INTEGER).of(&[Bpf]),
    ])
        .maps(&[M::Ringbuf]),
    helper(id::RINGBUF_SUBMIT_DYNPTR, "bpf_ringbuf_submit_dynptr", (5, 19), &[
        proto(&[DYNPTR.ringbuf().release(), ANY], VOID).of(&[Bpf]),
    ])
        .maps(&[M::Ringbuf]),
    helper(id::RINGBUF_DISCARD_DYNPTR, "bpf_ringbuf_discard_dynptr", (5, 19), &[
        proto(&[DYNPTR.ringbuf().release(), ANY], VOID).of(&[Bpf]),
    ])
        .maps(&[M::Ringbuf]),
    helper(id::DYNPTR_READ, "bpf_dynptr_read", (5, 19), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, DYNPTR.read_only(), ANY, ANY], INTEGER).of(&[Bpf]),
    ]),
    helper(id::DYNPTR_WRITE, "bpf_dynptr_write", (5, 19), &[
        proto(&[DYNPTR.read_only(), ANY, MEM.read_only(), SIZE_OR_ZERO, ANY], INTEGER).of(&[Bpf]),
    ]),
    helper(id::DYNPTR_DATA, "bpf_dynptr_data", (5, 19), &[
        proto(&[DYNPTR.read_only(), ANY, ALLOC_SIZE], TO_SLICE.or_null()).of(&[Bpf]),
    ]),
    helper(id::TCP_RAW_GEN_SYNCOOKIE_IPV4, "bpf_tcp_raw_gen_syncookie_ipv4", (6, 0), &[
        proto(&[fixed(20).read_only(), MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl().packet().of(&[Tc, Xdp]),
    ]),
    helper(id::TCP_RAW_GEN_SYNCOOKIE_IPV6, "bpf_tcp_raw_gen_syncookie_ipv6", (6, 0), &[
        proto(&[fixed(40).read_only(), MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl().packet().of(&[Tc, Xdp]),
    ]),
    helper(id::TCP_RAW_CHECK_SYNCOOKIE_IPV4, "bpf_tcp_raw_check_syncookie_ipv4", (6, 0), &[
        proto(&[fixed(20).read_only(), fixed(20).read_only()], INTEGER).gpl().packet().of(&[Tc, Xdp]),
    ]),
    helper(id::TCP_RAW_CHECK_SYNCOOKIE_IPV6, "bpf_tcp_raw_check_syncookie_ipv6", (6, 0), &[
        proto(&[fixed(40).read_only(), fixed(20).read_only()], INTEGER).gpl().packet().of(&[Tc, Xdp]),
    ]),
    helper(id::KTIME_GET_TAI_NS, "bpf_ktime_get_tai_ns", (6, 1), &[
        proto(&[], INTEGER).of(&[Base]),
    ])
        .yields(Yield::Time),
    helper(id::USER_RINGBUF_DRAIN, "bpf_user_ringbuf_drain", (6, 1), &[
        proto(&[MAP, FUNC, STACK.or_null(), ANY], INTEGER).of(&[Bpf]),
    ])
        .maps(&[M::UserRingbuf])
        .calls(&[Record, Same(3)], Now, 1),
    helper(id::CGRP_STORAGE_GET, "bpf_cgrp_storage_get", (6, 2), &[
        proto(&[MAP, btf("cgroup").or_null(), MAP_VALUE.or_null(), ANY], TO_VALUE.or_null())
            .of(&[Bpf]),
    ])
        .maps(&[M::CgrpStorage]),
    helper(id::CGRP_STORAGE_DELETE, "bpf_cgrp_storage_delete", (6, 2), &[
        proto(&[MAP, btf("cgroup").or_null()], INTEGER).of(&[Bpf]),
    ])
        .maps(&[M::CgrpStorage]),
];
