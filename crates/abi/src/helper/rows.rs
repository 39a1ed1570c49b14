//! Every helper of Linux 6.18, one row each: number, name, the kernel version that it
//! came with, and its prototypes. A helper has more than one where program types
//! differ in what it takes.

use super::Helper;
use super::family::Allowed::{NotTracing, PathFunctions, SleepableHooks};
use super::family::Family::*;
use super::family::When::{AttachIn, AttachNotIn, CgroupHooks, Iterators, MemberNot};
use super::family::{
    CONNECT, COOKIE, ITERATOR, NO_RETVAL, PATH_FUNCTIONS, SETSOCKOPT, SOCKET_HOOKS,
    SOCKET_ITERATORS, TRAMPOLINE,
};
use super::proto::*;
use crate::Version;

const fn helper(
    id: u32,
    name: &'static str,
    (major, minor): (u8, u8),
    protos: &'static [Proto],
) -> Helper {
    Helper { id, name, since: Version { major, minor }, protos }
}

#[rustfmt::skip]
pub(super) const HELPERS: &[Helper] = &[
    helper(1, "bpf_map_lookup_elem", (3, 19), &[
        proto(&[MAP, MAP_KEY], TO_VALUE.or_null()).packet().of(&[Base, Lirc]),
    ]),
    helper(2, "bpf_map_update_elem", (3, 19), &[
        proto(&[MAP, MAP_KEY, MAP_VALUE, ANY], INTEGER).packet().of(&[Base, Lirc]),
    ]),
    helper(3, "bpf_map_delete_elem", (3, 19), &[
        proto(&[MAP, MAP_KEY], INTEGER).packet().of(&[Base, Lirc]),
    ]),
    helper(4, "bpf_probe_read", (4, 1), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).gpl().of(&[Trace]),
    ]),
    helper(5, "bpf_ktime_get_ns", (4, 1), &[
        proto(&[], INTEGER).of(&[Base, Lirc]),
    ]),
    helper(6, "bpf_trace_printk", (4, 1), &[
        proto(&[MEM.read_only(), SIZE], INTEGER).gpl().of(&[Perfmon, LircPerfmon]),
    ]),
    helper(7, "bpf_get_prandom_u32", (4, 1), &[
        proto(&[], INTEGER).of(&[Base, Lirc]),
    ]),
    helper(8, "bpf_get_smp_processor_id", (4, 1), &[
        proto(&[], INTEGER).fastcall().of(&[Base, Tc, Xdp, LwtOut]),
    ]),
    helper(9, "bpf_skb_store_bytes", (4, 1), &[
        proto(&[CTX, ANY, MEM.read_only(), SIZE, ANY], INTEGER).of(&[Tc, SkSkb, LwtXmit]),
    ]),
    helper(10, "bpf_l3_csum_replace", (4, 1), &[
        proto(&[CTX, ANY, ANY, ANY, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(11, "bpf_l4_csum_replace", (4, 1), &[
        proto(&[CTX, ANY, ANY, ANY, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(12, "bpf_tail_call", (4, 2), &[
        proto(&[CTX, MAP, ANY], VOID).of(&[Base, Lirc]),
    ]),
    helper(13, "bpf_clone_redirect", (4, 2), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(14, "bpf_get_current_pid_tgid", (4, 2), &[
        proto(&[], INTEGER).of(&[Base]),
    ]),
    helper(15, "bpf_get_current_uid_gid", (4, 2), &[
        proto(&[], INTEGER).of(&[Base]),
    ]),
    helper(16, "bpf_get_current_comm", (4, 2), &[
        proto(&[MEM.uninit(), SIZE], INTEGER).of(&[Perfmon]),
    ]),
    helper(17, "bpf_get_cgroup_classid", (4, 3), &[
        proto(&[], INTEGER).of(&[Bpf]),
        proto(&[CTX], INTEGER).of(&[Tc, LwtOut]),
    ]),
    helper(18, "bpf_skb_vlan_push", (4, 3), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(19, "bpf_skb_vlan_pop", (4, 3), &[
        proto(&[CTX], INTEGER).of(&[Tc]),
    ]),
    helper(20, "bpf_skb_get_tunnel_key", (4, 3), &[
        proto(&[CTX, MEM.uninit(), SIZE, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(21, "bpf_skb_set_tunnel_key", (4, 3), &[
        proto(&[CTX, MEM.read_only(), SIZE, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(22, "bpf_perf_event_read", (4, 3), &[
        proto(&[MAP, ANY], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(23, "bpf_redirect", (4, 4), &[
        proto(&[ANY, ANY], INTEGER).of(&[Tc, Xdp, LwtXmit]),
    ]),
    helper(24, "bpf_get_route_realm", (4, 4), &[
        proto(&[CTX], INTEGER).of(&[Tc, LwtOut]),
    ]),
    helper(25, "bpf_perf_event_output", (4, 4), &[
        proto(&[CTX, MAP, ANY, MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl()
            .of(&[
                CgroupSock, CgroupSockAddr, SkFilter, CgroupSkb, Tc, Xdp, SockOps,
                SkMsg, SkSkb, LwtOut, SkLookup, Kprobe, Tracepoint, PerfEvent,
                RawTp, CgroupDevice, CgroupSysctl, CgroupSockopt,
            ]),
    ]),
    helper(26, "bpf_skb_load_bytes", (4, 5), &[
        proto(&[CTX, ANY, MEM.uninit(), SIZE], INTEGER)
            .of(&[SkFilter, Tc, SkSkb, FlowDissector, LwtOut, SkReuseport]),
    ]),
    helper(27, "bpf_get_stackid", (4, 6), &[
        proto(&[CTX, MAP, ANY], INTEGER).gpl().of(&[Kprobe, Tracepoint, RawTp]),
        proto(&[CTX, MAP, ANY], INTEGER).of(&[PerfEvent]),
    ]),
    helper(28, "bpf_csum_diff", (4, 6), &[
        proto(&[MEM.or_null().read_only(), SIZE_OR_ZERO, MEM.or_null().read_only(), SIZE_OR_ZERO, ANY], INTEGER).packet()
            .of(&[Tc, Xdp, LwtOut]),
    ]),
    helper(29, "bpf_skb_get_tunnel_opt", (4, 6), &[
        proto(&[CTX, MEM.uninit(), SIZE], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(30, "bpf_skb_set_tunnel_opt", (4, 6), &[
        proto(&[CTX, MEM.read_only(), SIZE], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(31, "bpf_skb_change_proto", (4, 8), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(32, "bpf_skb_change_type", (4, 8), &[
        proto(&[CTX, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(33, "bpf_skb_under_cgroup", (4, 8), &[
        proto(&[CTX, MAP, ANY], INTEGER).of(&[Tc, LwtOut]),
    ]),
    helper(34, "bpf_get_hash_recalc", (4, 8), &[
        proto(&[CTX], INTEGER).of(&[Tc, LwtOut]),
    ]),
    helper(35, "bpf_get_current_task", (4, 8), &[
        proto(&[], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(36, "bpf_probe_write_user", (4, 8), &[
        proto(&[ANY, MEM.read_only(), SIZE], INTEGER).gpl().of(&[TraceAdmin]),
    ]),
    helper(37, "bpf_current_task_under_cgroup", (4, 9), &[
        proto(&[MAP, ANY], INTEGER).of(&[Bpf]),
    ]),
    helper(38, "bpf_skb_change_tail", (4, 9), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc, SkSkb, LwtXmit]),
    ]),
    helper(39, "bpf_skb_pull_data", (4, 9), &[
        proto(&[CTX, ANY], INTEGER).of(&[Tc, SkSkb, LwtOut]),
    ]),
    helper(40, "bpf_csum_update", (4, 9), &[
        proto(&[CTX, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(41, "bpf_set_hash_invalid", (4, 9), &[
        proto(&[CTX], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(42, "bpf_get_numa_node_id", (4, 10), &[
        proto(&[], INTEGER).of(&[Base]),
    ]),
    helper(43, "bpf_skb_change_head", (4, 10), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc, SkSkb, LwtXmit]),
    ]),
    helper(44, "bpf_xdp_adjust_head", (4, 10), &[
        proto(&[CTX, ANY], INTEGER).of(&[Xdp]),
    ]),
    helper(45, "bpf_probe_read_str", (4, 11), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).gpl().of(&[Trace]),
    ]),
    helper(46, "bpf_get_socket_cookie", (4, 12), &[
        proto(&[CTX], INTEGER).of(&[CgroupSock, CgroupSockAddr, SkFilter, Tc, SockOps, SkSkb]),
        proto(&[KERNEL_SOCK.or_null()], INTEGER).of(&[SkReuseport, TracingBtf]),
    ]),
    helper(47, "bpf_get_socket_uid", (4, 12), &[
        proto(&[CTX], INTEGER).of(&[SkFilter, Tc, SkSkb]),
    ]),
    helper(48, "bpf_set_hash", (4, 13), &[
        proto(&[CTX, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(49, "bpf_setsockopt", (4, 13), &[
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
    helper(50, "bpf_skb_adjust_room", (4, 13), &[
        proto(&[CTX, ANY, ANY, ANY], INTEGER).of(&[Tc, SkSkb]),
    ]),
    helper(51, "bpf_redirect_map", (4, 14), &[
        proto(&[MAP, ANY, ANY], INTEGER).of(&[Xdp]),
    ]),
    helper(52, "bpf_sk_redirect_map", (4, 14), &[
        proto(&[CTX, MAP, ANY, ANY], INTEGER).of(&[SkSkb]),
    ]),
    helper(53, "bpf_sock_map_update", (4, 14), &[
        proto(&[CTX, MAP, MAP_KEY, ANY], INTEGER).packet().of(&[SockOps]),
    ]),
    helper(54, "bpf_xdp_adjust_meta", (4, 15), &[
        proto(&[CTX, ANY], INTEGER).of(&[Xdp]),
    ]),
    helper(55, "bpf_perf_event_read_value", (4, 15), &[
        proto(&[MAP, ANY, MEM.uninit(), SIZE], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(56, "bpf_perf_prog_read_value", (4, 15), &[
        proto(&[CTX, MEM.uninit(), SIZE], INTEGER).gpl().of(&[PerfEvent]),
    ]),
    helper(57, "bpf_getsockopt", (4, 15), &[
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
    helper(58, "bpf_override_return", (4, 16), &[
        proto(&[CTX, ANY], INTEGER).gpl().of(&[Kprobe]),
    ]),
    helper(59, "bpf_sock_ops_cb_flags_set", (4, 16), &[
        proto(&[CTX, ANY], INTEGER).of(&[SockOps]),
    ]),
    helper(60, "bpf_msg_redirect_map", (4, 17), &[
        proto(&[CTX, MAP, ANY, ANY], INTEGER).of(&[SkMsg]),
    ]),
    helper(61, "bpf_msg_apply_bytes", (4, 17), &[
        proto(&[CTX, ANY], INTEGER).of(&[SkMsg]),
    ]),
    helper(62, "bpf_msg_cork_bytes", (4, 17), &[
        proto(&[CTX, ANY], INTEGER).of(&[SkMsg]),
    ]),
    helper(63, "bpf_msg_pull_data", (4, 17), &[
        proto(&[CTX, ANY, ANY, ANY], INTEGER).of(&[SkMsg]),
    ]),
    helper(64, "bpf_bind", (4, 17), &[
        proto(&[CTX, MEM.read_only(), SIZE], INTEGER).when(AttachIn(CONNECT)).of(&[CgroupSockAddr]),
    ]),
    helper(65, "bpf_xdp_adjust_tail", (4, 18), &[
        proto(&[CTX, ANY], INTEGER).of(&[Xdp]),
    ]),
    helper(66, "bpf_skb_get_xfrm_state", (4, 18), &[
        proto(&[CTX, ANY, MEM.uninit(), SIZE, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(67, "bpf_get_stack", (4, 18), &[
        proto(&[CTX, MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).gpl()
            .of(&[Kprobe, Tracepoint, PerfEvent]),
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY], INTEGER).gpl().of(&[RawTp]),
    ]),
    helper(68, "bpf_skb_load_bytes_relative", (4, 18), &[
        proto(&[CTX, ANY, MEM.uninit(), SIZE, ANY], INTEGER).of(&[SkFilter, Tc, SkReuseport]),
    ]),
    helper(69, "bpf_fib_lookup", (4, 18), &[
        proto(&[CTX, MEM.write(), SIZE, ANY], INTEGER).gpl().of(&[Tc, Xdp]),
    ]),
    helper(70, "bpf_sock_hash_update", (4, 18), &[
        proto(&[CTX, MAP, MAP_KEY, ANY], INTEGER).packet().of(&[SockOps]),
    ]),
    helper(71, "bpf_msg_redirect_hash", (4, 18), &[
        proto(&[CTX, MAP, MAP_KEY, ANY], INTEGER).of(&[SkMsg]),
    ]),
    helper(72, "bpf_sk_redirect_hash", (4, 18), &[
        proto(&[CTX, MAP, MAP_KEY, ANY], INTEGER).of(&[SkSkb]),
    ]),
    helper(73, "bpf_lwt_push_encap", (4, 18), &[
        proto(&[CTX, ANY, MEM.read_only()], INTEGER).of(&[LwtIn, LwtXmit]),
    ]),
    helper(74, "bpf_lwt_seg6_store_bytes", (4, 18), &[
        proto(&[CTX, ANY, MEM.read_only()], INTEGER).of(&[LwtSeg6]),
    ]),
    helper(75, "bpf_lwt_seg6_adjust_srh", (4, 18), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[LwtSeg6]),
    ]),
    helper(76, "bpf_lwt_seg6_action", (4, 18), &[
        proto(&[CTX, ANY, MEM.read_only()], INTEGER).of(&[LwtSeg6]),
    ]),
    helper(77, "bpf_rc_repeat", (4, 18), &[
        proto(&[CTX], INTEGER).gpl().of(&[Lirc]),
    ]),
    helper(78, "bpf_rc_keydown", (4, 18), &[
        proto(&[CTX, ANY, ANY, ANY], INTEGER).gpl().of(&[Lirc]),
    ]),
    helper(79, "bpf_skb_cgroup_id", (4, 18), &[
        proto(&[CTX], INTEGER).of(&[CgroupSkb, Tc]),
    ]),
    helper(80, "bpf_get_current_cgroup_id", (4, 18), &[
        proto(&[], INTEGER).of(&[Bpf]),
    ]),
    helper(81, "bpf_get_local_storage", (4, 19), &[
        proto(&[MAP, ANY], TO_VALUE).of(&[CgroupCommon]),
    ]),
    helper(82, "bpf_sk_select_reuseport", (4, 19), &[
        proto(&[CTX, MAP, MAP_KEY, ANY], INTEGER).of(&[SkReuseport]),
    ]),
    helper(83, "bpf_skb_ancestor_cgroup_id", (4, 19), &[
        proto(&[CTX, ANY], INTEGER).of(&[CgroupSkb, Tc]),
    ]),
    helper(84, "bpf_sk_lookup_tcp", (4, 20), &[
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCKET.or_null())
            .of(&[CgroupSockAddr]),
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCKET.or_null()).packet()
            .of(&[CgroupSkb, Tc, Xdp, SkSkb]),
    ]),
    helper(85, "bpf_sk_lookup_udp", (4, 20), &[
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCKET.or_null())
            .of(&[CgroupSockAddr]),
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCKET.or_null()).packet()
            .of(&[CgroupSkb, Tc, Xdp, SkSkb]),
    ]),
    helper(86, "bpf_sk_release", (4, 20), &[
        proto(&[KERNEL_SOCK.release()], INTEGER)
            .of(&[CgroupSockAddr, CgroupSkb, Tc, Xdp, SkSkb, SkLookup]),
    ]),
    helper(87, "bpf_map_push_elem", (4, 20), &[
        proto(&[MAP, MAP_VALUE, ANY], INTEGER).packet().of(&[Base, Lirc]),
    ]),
    helper(88, "bpf_map_pop_elem", (4, 20), &[
        proto(&[MAP, MAP_VALUE.uninit()], INTEGER).of(&[Base, Lirc]),
    ]),
    helper(89, "bpf_map_peek_elem", (4, 20), &[
        proto(&[MAP, MAP_VALUE.uninit()], INTEGER).of(&[Base, Lirc]),
    ]),
    helper(90, "bpf_msg_push_data", (4, 20), &[
        proto(&[CTX, ANY, ANY, ANY], INTEGER).of(&[SkMsg]),
    ]),
    helper(91, "bpf_msg_pop_data", (5, 0), &[
        proto(&[CTX, ANY, ANY, ANY], INTEGER).of(&[SkMsg]),
    ]),
    helper(92, "bpf_rc_pointer_rel", (5, 0), &[
        proto(&[CTX, ANY, ANY], INTEGER).gpl().of(&[Lirc]),
    ]),
    helper(93, "bpf_spin_lock", (5, 1), &[
        proto(&[SPIN_LOCK], VOID).of(&[Bpf]),
    ]),
    helper(94, "bpf_spin_unlock", (5, 1), &[
        proto(&[SPIN_LOCK], VOID).of(&[Bpf]),
    ]),
    helper(95, "bpf_sk_fullsock", (5, 1), &[
        proto(&[SOCK_COMMON], TO_SOCKET.or_null()).of(&[CgroupSkb, Tc]),
    ]),
    helper(96, "bpf_tcp_sock", (5, 1), &[
        proto(&[SOCK_COMMON], TO_TCP_SOCK.or_null()).of(&[CgroupSkb, Tc, SockOps, CgroupSockopt]),
    ]),
    helper(97, "bpf_skb_ecn_set_ce", (5, 1), &[
        proto(&[CTX], INTEGER).of(&[CgroupSkb, Tc]),
    ]),
    helper(98, "bpf_get_listener_sock", (5, 1), &[
        proto(&[SOCK_COMMON], TO_SOCKET.or_null()).of(&[CgroupSkb, Tc]),
    ]),
    helper(99, "bpf_skc_lookup_tcp", (5, 2), &[
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCK_COMMON.or_null())
            .of(&[CgroupSockAddr]),
        proto(&[CTX, MEM.read_only(), SIZE_OR_ZERO, ANY, ANY], TO_SOCK_COMMON.or_null()).packet()
            .of(&[CgroupSkb, Tc, Xdp, SkSkb]),
    ]),
    helper(100, "bpf_tcp_check_syncookie", (5, 2), &[
        proto(&[KERNEL_SOCK, MEM.read_only(), SIZE, MEM.read_only(), SIZE], INTEGER).gpl().packet()
            .of(&[Tc, Xdp]),
    ]),
    helper(101, "bpf_sysctl_get_name", (5, 2), &[
        proto(&[CTX, MEM.write(), SIZE, ANY], INTEGER).of(&[CgroupSysctl]),
    ]),
    helper(102, "bpf_sysctl_get_current_value", (5, 2), &[
        proto(&[CTX, MEM.uninit(), SIZE], INTEGER).of(&[CgroupSysctl]),
    ]),
    helper(103, "bpf_sysctl_get_new_value", (5, 2), &[
        proto(&[CTX, MEM.uninit(), SIZE], INTEGER).of(&[CgroupSysctl]),
    ]),
    helper(104, "bpf_sysctl_set_new_value", (5, 2), &[
        proto(&[CTX, MEM.read_only(), SIZE], INTEGER).of(&[CgroupSysctl]),
    ]),
    helper(105, "bpf_strtol", (5, 2), &[
        proto(&[MEM.read_only(), SIZE, ANY, fixed(8).uninit().aligned()], INTEGER).of(&[Base]),
    ]),
    helper(106, "bpf_strtoul", (5, 2), &[
        proto(&[MEM.read_only(), SIZE, ANY, fixed(8).uninit().aligned()], INTEGER).of(&[Base]),
    ]),
    helper(107, "bpf_sk_storage_get", (5, 2), &[
        proto(&[MAP, CTX, MAP_VALUE.or_null(), ANY], TO_VALUE.or_null()).of(&[CgroupSock]),
        proto(&[MAP, KERNEL_SOCK, MAP_VALUE.or_null(), ANY], TO_VALUE.or_null())
            .of(&[CgroupSockAddr, CgroupSkb, Tc, SockOps, SkMsg, Lsm, CgroupSockopt, StructOps]),
        proto(&[MAP, btf("sock_common").or_null(), MAP_VALUE.or_null(), ANY], TO_VALUE.or_null()).allowed(NotTracing("bpf_sk_storage"))
            .of(&[TracingBtf]),
    ]),
    helper(108, "bpf_sk_storage_delete", (5, 2), &[
        proto(&[MAP, KERNEL_SOCK], INTEGER)
            .of(&[CgroupSockAddr, CgroupSkb, Tc, SockOps, SkMsg, Lsm, CgroupSockopt, StructOps]),
        proto(&[MAP, btf("sock_common").or_null()], INTEGER).allowed(NotTracing("bpf_sk_storage"))
            .of(&[TracingBtf]),
    ]),
    helper(109, "bpf_send_signal", (5, 3), &[
        proto(&[ANY], INTEGER).of(&[Perfmon]),
    ]),
    helper(110, "bpf_tcp_gen_syncookie", (5, 3), &[
        proto(&[KERNEL_SOCK, MEM.read_only(), SIZE, MEM.read_only(), SIZE], INTEGER).gpl().packet()
            .of(&[Tc, Xdp]),
    ]),
    helper(111, "bpf_skb_output", (5, 5), &[
        proto(&[btf("sk_buff"), MAP, ANY, MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl()
            .of(&[TracingBtf]),
    ]),
    helper(112, "bpf_probe_read_user", (5, 5), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(113, "bpf_probe_read_kernel", (5, 5), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(114, "bpf_probe_read_user_str", (5, 5), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(115, "bpf_probe_read_kernel_str", (5, 5), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(116, "bpf_tcp_send_ack", (5, 6), &[
        proto(&[btf("tcp_sock"), ANY], INTEGER).of(&[StructOps]),
    ]),
    helper(117, "bpf_send_signal_thread", (5, 6), &[
        proto(&[ANY], INTEGER).of(&[Perfmon]),
    ]),
    helper(118, "bpf_jiffies64", (5, 6), &[
        proto(&[], INTEGER).of(&[Bpf]),
    ]),
    helper(119, "bpf_read_branch_records", (5, 7), &[
        proto(&[CTX, MEM.or_null().write(), SIZE_OR_ZERO, ANY], INTEGER).gpl().of(&[PerfEvent]),
    ]),
    helper(120, "bpf_get_ns_current_pid_tgid", (5, 7), &[
        proto(&[ANY, ANY, MEM.uninit(), SIZE], INTEGER).of(&[Base]),
    ]),
    helper(121, "bpf_xdp_output", (5, 7), &[
        proto(&[btf("xdp_buff"), MAP, ANY, MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl()
            .of(&[TracingBtf]),
    ]),
    helper(122, "bpf_get_netns_cookie", (5, 7), &[
        proto(&[CTX.or_null()], INTEGER)
            .of(&[CgroupSock, CgroupSockAddr, SkFilter, Tc, SockOps, SkMsg, CgroupSockopt]),
    ]),
    helper(123, "bpf_get_current_ancestor_cgroup_id", (5, 7), &[
        proto(&[ANY], INTEGER).of(&[Bpf]),
    ]),
    helper(124, "bpf_sk_assign", (5, 7), &[
        proto(&[CTX, KERNEL_SOCK, ANY], INTEGER).of(&[Tc]),
        proto(&[CTX, SOCKET.or_null(), ANY], INTEGER).of(&[SkLookup]),
    ]),
    helper(125, "bpf_ktime_get_boot_ns", (5, 8), &[
        proto(&[], INTEGER).of(&[Base, Lirc]),
    ]),
    helper(126, "bpf_seq_printf", (5, 8), &[
        proto(&[btf("seq_file"), MEM.read_only(), SIZE, MEM.or_null().read_only(), SIZE_OR_ZERO], INTEGER).gpl().when(AttachIn(ITERATOR))
            .of(&[TracingBtf]),
    ]),
    helper(127, "bpf_seq_write", (5, 8), &[
        proto(&[btf("seq_file"), MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl().when(AttachIn(ITERATOR))
            .of(&[TracingBtf]),
    ]),
    helper(128, "bpf_sk_cgroup_id", (5, 8), &[
        proto(&[KERNEL_SOCK], INTEGER).of(&[CgroupSkb]),
    ]),
    helper(129, "bpf_sk_ancestor_cgroup_id", (5, 8), &[
        proto(&[KERNEL_SOCK, ANY], INTEGER).of(&[CgroupSkb]),
    ]),
    helper(130, "bpf_ringbuf_output", (5, 8), &[
        proto(&[MAP, MEM.read_only(), SIZE_OR_ZERO, ANY], INTEGER).of(&[Base]),
    ]),
    helper(131, "bpf_ringbuf_reserve", (5, 8), &[
        proto(&[MAP, ALLOC_SIZE, ANY], TO_RECORD.or_null()).of(&[Base]),
    ]),
    helper(132, "bpf_ringbuf_submit", (5, 8), &[
        proto(&[RECORD.release(), ANY], VOID).of(&[Base]),
    ]),
    helper(133, "bpf_ringbuf_discard", (5, 8), &[
        proto(&[RECORD.release(), ANY], VOID).of(&[Base]),
    ]),
    helper(134, "bpf_ringbuf_query", (5, 8), &[
        proto(&[MAP, ANY], INTEGER).of(&[Base]),
    ]),
    helper(135, "bpf_csum_level", (5, 8), &[
        proto(&[CTX, ANY], INTEGER).of(&[Tc, LwtXmit]),
    ]),
    helper(136, "bpf_skc_to_tcp6_sock", (5, 9), &[
        proto(&[KERNEL_SOCK], to_btf("tcp6_sock").or_null()).of(&[SkBasePerfmon, TracingBtf]),
    ]),
    helper(137, "bpf_skc_to_tcp_sock", (5, 9), &[
        proto(&[KERNEL_SOCK], to_btf("tcp_sock").or_null()).of(&[SkBasePerfmon, TracingBtf]),
    ]),
    helper(138, "bpf_skc_to_tcp_timewait_sock", (5, 9), &[
        proto(&[KERNEL_SOCK], to_btf("tcp_timewait_sock").or_null())
            .of(&[SkBasePerfmon, TracingBtf]),
    ]),
    helper(139, "bpf_skc_to_tcp_request_sock", (5, 9), &[
        proto(&[KERNEL_SOCK], to_btf("tcp_request_sock").or_null())
            .of(&[SkBasePerfmon, TracingBtf]),
    ]),
    helper(140, "bpf_skc_to_udp6_sock", (5, 9), &[
        proto(&[KERNEL_SOCK], to_btf("udp6_sock").or_null()).of(&[SkBasePerfmon, TracingBtf]),
    ]),
    helper(141, "bpf_get_task_stack", (5, 9), &[
        proto(&[btf("task_struct"), MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).of(&[Perfmon]),
    ]),
    helper(142, "bpf_load_hdr_opt", (5, 10), &[
        proto(&[CTX, MEM.write(), SIZE, ANY], INTEGER).of(&[SockOps]),
    ]),
    helper(143, "bpf_store_hdr_opt", (5, 10), &[
        proto(&[CTX, MEM.read_only(), SIZE, ANY], INTEGER).of(&[SockOps]),
    ]),
    helper(144, "bpf_reserve_hdr_opt", (5, 10), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[SockOps]),
    ]),
    helper(145, "bpf_inode_storage_get", (5, 10), &[
        proto(&[MAP, btf("inode").or_null(), MAP_VALUE.or_null(), ANY], TO_VALUE.or_null())
            .of(&[Lsm]),
    ]),
    helper(146, "bpf_inode_storage_delete", (5, 10), &[
        proto(&[MAP, btf("inode").or_null()], INTEGER).of(&[Lsm]),
    ]),
    helper(147, "bpf_d_path", (5, 10), &[
        proto(&[btf("path"), MEM.write(), SIZE_OR_ZERO], INTEGER).allowed(PathFunctions(PATH_FUNCTIONS))
            .of(&[TracingBtf]),
    ]),
    helper(148, "bpf_copy_from_user", (5, 10), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY], INTEGER).sleeps().of(&[Perfmon]),
    ]),
    helper(149, "bpf_snprintf_btf", (5, 10), &[
        proto(&[MEM, SIZE, MEM.read_only(), SIZE, ANY], INTEGER).of(&[Perfmon]),
    ]),
    helper(150, "bpf_seq_printf_btf", (5, 10), &[
        proto(&[btf("seq_file"), MEM.read_only(), SIZE_OR_ZERO, ANY], INTEGER).gpl().when(AttachIn(ITERATOR))
            .of(&[TracingBtf]),
    ]),
    helper(151, "bpf_skb_cgroup_classid", (5, 10), &[
        proto(&[CTX], INTEGER).of(&[Tc]),
    ]),
    helper(152, "bpf_redirect_neigh", (5, 10), &[
        proto(&[ANY, MEM.or_null().read_only(), SIZE_OR_ZERO, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(153, "bpf_per_cpu_ptr", (5, 10), &[
        proto(&[PERCPU, ANY], TO_VARIABLE.or_null().read_only()).of(&[Bpf]),
    ]),
    helper(154, "bpf_this_cpu_ptr", (5, 10), &[
        proto(&[PERCPU], TO_VARIABLE.read_only()).of(&[Bpf]),
    ]),
    helper(155, "bpf_redirect_peer", (5, 10), &[
        proto(&[ANY, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(156, "bpf_task_storage_get", (5, 11), &[
        proto(&[MAP, btf("task_struct").or_null(), MAP_VALUE.or_null(), ANY], TO_VALUE.or_null())
            .of(&[Bpf]),
    ]),
    helper(157, "bpf_task_storage_delete", (5, 11), &[
        proto(&[MAP, btf("task_struct").or_null()], INTEGER).of(&[Bpf]),
    ]),
    helper(158, "bpf_get_current_task_btf", (5, 11), &[
        proto(&[], to_btf("task_struct").trusted()).gpl().of(&[Perfmon]),
    ]),
    helper(159, "bpf_bprm_opts_set", (5, 11), &[
        proto(&[btf("linux_binprm"), ANY], INTEGER).of(&[Lsm]),
    ]),
    helper(160, "bpf_ktime_get_coarse_ns", (5, 11), &[
        proto(&[], INTEGER).of(&[SkBase, CgroupSock, SkReuseport, CgroupSysctl, StructOps]),
    ]),
    helper(161, "bpf_ima_inode_hash", (5, 11), &[
        proto(&[btf("inode"), MEM.uninit(), SIZE], INTEGER).sleeps().allowed(SleepableHooks)
            .of(&[Lsm]),
    ]),
    helper(162, "bpf_sock_from_file", (5, 11), &[
        proto(&[btf("file")], to_btf("socket").or_null()).of(&[TracingBtf]),
    ]),
    helper(163, "bpf_check_mtu", (5, 12), &[
        proto(&[CTX, ANY, fixed(4).write().aligned(), ANY, ANY], INTEGER).gpl().of(&[Tc, Xdp]),
    ]),
    helper(164, "bpf_for_each_map_elem", (5, 13), &[
        proto(&[MAP, FUNC, STACK.or_null(), ANY], INTEGER).of(&[Bpf]),
    ]),
    helper(165, "bpf_snprintf", (5, 13), &[
        proto(&[MEM.or_null().write(), SIZE_OR_ZERO, CONST_STR, MEM.or_null().read_only(), SIZE_OR_ZERO], INTEGER).gpl()
            .of(&[Perfmon]),
    ]),
    helper(166, "bpf_sys_bpf", (5, 14), &[
        proto(&[ANY, MEM.read_only(), SIZE], INTEGER).sleeps().of(&[SyscallPerfmon]),
    ]),
    helper(167, "bpf_btf_find_by_name_kind", (5, 14), &[
        proto(&[MEM.read_only(), SIZE, ANY, ANY], INTEGER).sleeps().of(&[Syscall]),
    ]),
    helper(168, "bpf_sys_close", (5, 14), &[
        proto(&[ANY], INTEGER).sleeps().of(&[Syscall]),
    ]),
    helper(169, "bpf_timer_init", (5, 15), &[
        proto(&[TIMER, MAP, ANY], INTEGER).gpl().of(&[Bpf]),
    ]),
    helper(170, "bpf_timer_set_callback", (5, 15), &[
        proto(&[TIMER, FUNC], INTEGER).gpl().of(&[Bpf]),
    ]),
    helper(171, "bpf_timer_start", (5, 15), &[
        proto(&[TIMER, ANY, ANY], INTEGER).gpl().of(&[Bpf]),
    ]),
    helper(172, "bpf_timer_cancel", (5, 15), &[
        proto(&[TIMER], INTEGER).gpl().of(&[Bpf]),
    ]),
    helper(173, "bpf_get_func_ip", (5, 15), &[
        proto(&[CTX], INTEGER).gpl().of(&[Trace, Kprobe]),
    ]),
    helper(174, "bpf_get_attach_cookie", (5, 15), &[
        proto(&[CTX], INTEGER).of(&[Kprobe, Tracepoint, PerfEvent, RawTracepoint]),
        proto(&[CTX], INTEGER).when(AttachIn(COOKIE)).of(&[TracingBtf]),
        proto(&[CTX], INTEGER).when(AttachIn(TRAMPOLINE)).of(&[Lsm]),
    ]),
    helper(175, "bpf_task_pt_regs", (5, 15), &[
        proto(&[btf("task_struct")], to_btf("pt_regs")).gpl().of(&[Perfmon]),
    ]),
    helper(176, "bpf_get_branch_snapshot", (5, 16), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO], INTEGER).gpl().of(&[Perfmon]),
    ]),
    helper(177, "bpf_trace_vprintk", (5, 16), &[
        proto(&[MEM.read_only(), SIZE, MEM.or_null().read_only(), SIZE_OR_ZERO], INTEGER).gpl()
            .of(&[Perfmon]),
    ]),
    helper(178, "bpf_skc_to_unix_sock", (5, 16), &[
        proto(&[KERNEL_SOCK], to_btf("unix_sock").or_null()).of(&[SkBasePerfmon, TracingBtf]),
    ]),
    helper(179, "bpf_kallsyms_lookup_name", (5, 16), &[
        proto(&[MEM.read_only(), SIZE_OR_ZERO, ANY, fixed(8).uninit().aligned()], INTEGER).of(&[Syscall]),
    ]),
    helper(180, "bpf_find_vma", (5, 17), &[
        proto(&[btf("task_struct"), ANY, FUNC, STACK.or_null(), ANY], INTEGER).of(&[Perfmon]),
    ]),
    helper(181, "bpf_loop", (5, 17), &[
        proto(&[ANY, FUNC, STACK.or_null(), ANY], INTEGER).of(&[Bpf]),
    ]),
    helper(182, "bpf_strncmp", (5, 17), &[
        proto(&[MEM.read_only(), SIZE, CONST_STR], INTEGER).of(&[Base]),
    ]),
    helper(183, "bpf_get_func_arg", (5, 17), &[
        proto(&[CTX, ANY, fixed(8).uninit().aligned()], INTEGER).when(AttachIn(TRAMPOLINE))
            .of(&[TracingBtf]),
    ]),
    helper(184, "bpf_get_func_ret", (5, 17), &[
        proto(&[CTX, fixed(8).uninit().aligned()], INTEGER).when(AttachIn(TRAMPOLINE))
            .of(&[TracingBtf]),
    ]),
    helper(185, "bpf_get_func_arg_cnt", (5, 17), &[
        proto(&[CTX], INTEGER).when(AttachIn(TRAMPOLINE)).of(&[TracingBtf]),
    ]),
    helper(186, "bpf_get_retval", (5, 18), &[
        proto(&[], INTEGER).when(AttachNotIn(NO_RETVAL)).of(&[CgroupCommon]),
    ]),
    helper(187, "bpf_set_retval", (5, 18), &[
        proto(&[ANY], INTEGER).when(AttachNotIn(NO_RETVAL)).of(&[CgroupCommon]),
    ]),
    helper(188, "bpf_xdp_get_buff_len", (5, 18), &[
        proto(&[CTX], INTEGER).of(&[Xdp]),
        proto(&[btf("xdp_buff")], INTEGER).of(&[TracingBtf]),
    ]),
    helper(189, "bpf_xdp_load_bytes", (5, 18), &[
        proto(&[CTX, ANY, MEM.uninit(), SIZE], INTEGER).of(&[Xdp]),
    ]),
    helper(190, "bpf_xdp_store_bytes", (5, 18), &[
        proto(&[CTX, ANY, MEM.read_only(), SIZE], INTEGER).of(&[Xdp]),
    ]),
    helper(191, "bpf_copy_from_user_task", (5, 18), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY, btf("task_struct")], INTEGER).gpl().sleeps()
            .of(&[Perfmon]),
    ]),
    helper(192, "bpf_skb_set_tstamp", (5, 18), &[
        proto(&[CTX, ANY, ANY], INTEGER).of(&[Tc]),
    ]),
    helper(193, "bpf_ima_file_hash", (5, 18), &[
        proto(&[btf("file"), MEM.uninit(), SIZE], INTEGER).sleeps().allowed(SleepableHooks)
            .of(&[Lsm]),
    ]),
    helper(194, "bpf_kptr_xchg", (5, 19), &[
        proto(&[KPTR_SLOT, KPTR.or_null().release()], TO_KPTR.or_null()).of(&[Bpf]),
    ]),
    helper(195, "bpf_map_lookup_percpu_elem", (5, 19), &[
        proto(&[MAP, MAP_KEY, ANY], TO_VALUE.or_null()).packet().of(&[Base]),
    ]),
    helper(196, "bpf_skc_to_mptcp_sock", (5, 19), &[
        proto(&[SOCK_COMMON], to_btf("mptcp_sock").or_null()).of(&[SkBasePerfmon, TracingBtf]),
    ]),
    helper(197, "bpf_dynptr_from_mem", (5, 19), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, ANY, DYNPTR.uninit().local()], INTEGER).of(&[Bpf]),
    ]),
    helper(198, "bpf_ringbuf_reserve_dynptr", (5, 19), &[
        proto(&[MAP, ANY, ANY, DYNPTR.uninit().ringbuf()], INTEGER).of(&[Bpf]),
    ]),
    helper(199, "bpf_ringbuf_submit_dynptr", (5, 19), &[
        proto(&[DYNPTR.ringbuf().release(), ANY], VOID).of(&[Bpf]),
    ]),
    helper(200, "bpf_ringbuf_discard_dynptr", (5, 19), &[
        proto(&[DYNPTR.ringbuf().release(), ANY], VOID).of(&[Bpf]),
    ]),
    helper(201, "bpf_dynptr_read", (5, 19), &[
        proto(&[MEM.uninit(), SIZE_OR_ZERO, DYNPTR.read_only(), ANY, ANY], INTEGER).of(&[Bpf]),
    ]),
    helper(202, "bpf_dynptr_write", (5, 19), &[
        proto(&[DYNPTR.read_only(), ANY, MEM.read_only(), SIZE_OR_ZERO, ANY], INTEGER).of(&[Bpf]),
    ]),
    helper(203, "bpf_dynptr_data", (5, 19), &[
        proto(&[DYNPTR.read_only(), ANY, ALLOC_SIZE], TO_SLICE.or_null()).of(&[Bpf]),
    ]),
    helper(204, "bpf_tcp_raw_gen_syncookie_ipv4", (6, 0), &[
        proto(&[fixed(20).read_only(), MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl().packet().of(&[Tc, Xdp]),
    ]),
    helper(205, "bpf_tcp_raw_gen_syncookie_ipv6", (6, 0), &[
        proto(&[fixed(40).read_only(), MEM.read_only(), SIZE_OR_ZERO], INTEGER).gpl().packet().of(&[Tc, Xdp]),
    ]),
    helper(206, "bpf_tcp_raw_check_syncookie_ipv4", (6, 0), &[
        proto(&[fixed(20).read_only(), fixed(20).read_only()], INTEGER).gpl().packet().of(&[Tc, Xdp]),
    ]),
    helper(207, "bpf_tcp_raw_check_syncookie_ipv6", (6, 0), &[
        proto(&[fixed(40).read_only(), fixed(20).read_only()], INTEGER).gpl().packet().of(&[Tc, Xdp]),
    ]),
    helper(208, "bpf_ktime_get_tai_ns", (6, 1), &[
        proto(&[], INTEGER).of(&[Base]),
    ]),
    helper(209, "bpf_user_ringbuf_drain", (6, 1), &[
        proto(&[MAP, FUNC, STACK.or_null(), ANY], INTEGER).of(&[Bpf]),
    ]),
    helper(210, "bpf_cgrp_storage_get", (6, 2), &[
        proto(&[MAP, btf("cgroup").or_null(), MAP_VALUE.or_null(), ANY], TO_VALUE.or_null())
            .of(&[Bpf]),
    ]),
    helper(211, "bpf_cgrp_storage_delete", (6, 2), &[
        proto(&[MAP, btf("cgroup").or_null()], INTEGER).of(&[Bpf]),
    ]),
];
