//! The sets of helpers that program types draw from, and when they have which.
//!
//! In Linux each program type has a function from helper number to prototype, which
//! falls back to that of a more general type, down to `bpf_base_func_proto`. Here
//! each of these functions is a [`Family`], and a program type a list of them.

use super::Caller;
use crate::{AttachType, Capabilities, ProgType};

/// One set of helpers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    /// For every program (`bpf_base_func_proto`).
    Base,
    /// For every program loaded with CAP_BPF.
    Bpf,
    /// For every program loaded with CAP_PERFMON besides.
    Perfmon,
    /// For programs with sockets (`bpf_sk_base_func_proto`).
    SkBase,
    /// Those of them that need CAP_PERFMON.
    SkBasePerfmon,
    /// For programs attached to cgroups (`cgroup_common_func_proto`).
    CgroupCommon,
    /// `sock_filter_func_proto`
    CgroupSock,
    /// `sock_addr_func_proto`
    CgroupSockAddr,
    /// `cg_skb_func_proto`
    CgroupSkb,
    /// `cgroup_dev_func_proto`
    CgroupDevice,
    /// `sysctl_func_proto`
    CgroupSysctl,
    /// `cg_sockopt_func_proto`
    CgroupSockopt,
    /// `sk_filter_func_proto`
    SkFilter,
    /// `tc_cls_act_func_proto`
    Tc,
    /// `xdp_func_proto`
    Xdp,
    /// `sock_ops_func_proto`
    SockOps,
    /// `sk_msg_func_proto`
    SkMsg,
    /// `sk_skb_func_proto`
    SkSkb,
    /// `flow_dissector_func_proto`
    FlowDissector,
    /// `lwt_out_func_proto`
    LwtOut,
    /// `lwt_in_func_proto`
    LwtIn,
    /// `lwt_xmit_func_proto`
    LwtXmit,
    /// `lwt_seg6local_func_proto`
    LwtSeg6,
    /// `sk_reuseport_func_proto`
    SkReuseport,
    /// `sk_lookup_func_proto`
    SkLookup,
    /// For tracing (`bpf_tracing_func_proto`).
    Trace,
    /// Those of them that need CAP_SYS_ADMIN.
    TraceAdmin,
    /// `kprobe_prog_func_proto`
    Kprobe,
    /// `tp_prog_func_proto`
    Tracepoint,
    /// `pe_prog_func_proto`
    PerfEvent,
    /// `raw_tp_prog_func_proto`, which typed tracing has too.
    RawTp,
    /// What of that only raw tracepoints have.
    RawTracepoint,
    /// Tracing with typed arguments (`tracing_prog_func_proto`).
    TracingBtf,
    /// `bpf_lsm_func_proto`
    Lsm,
    /// `syscall_prog_func_proto`
    Syscall,
    /// Those of them that need CAP_PERFMON.
    SyscallPerfmon,
    /// `bpf_tcp_ca_get_func_proto`
    StructOps,
    /// `lirc_mode2_func_proto`
    Lirc,
    /// Those of them that need CAP_PERFMON.
    LircPerfmon,
}

impl Family {
    /// What the loader of a program must hold for it to have these.
    pub fn needs(self) -> Capabilities {
        match self {
            Family::Bpf => Capabilities::BPF,
            Family::Perfmon => Capabilities::BPF.union(Capabilities::PERFMON),
            Family::SkBasePerfmon | Family::SyscallPerfmon | Family::LircPerfmon => {
                Capabilities::PERFMON
            }
            Family::TraceAdmin => Capabilities::SYS_ADMIN,
            _ => Capabilities::empty(),
        }
    }

    /// The families of a program type, in the order in which they are asked. A
    /// program that replaces another (`ext`) has those of its target.
    pub fn of(prog_type: ProgType, attach_type: AttachType) -> &'static [Family] {
        use Family::*;
        match prog_type {
            ProgType::SocketFilter => &[SkFilter, SkBase, SkBasePerfmon, Base, Bpf, Perfmon],
            ProgType::SchedCls | ProgType::SchedAct => {
                &[Tc, SkBase, SkBasePerfmon, Base, Bpf, Perfmon]
            }
            ProgType::Xdp => &[Xdp, SkBase, SkBasePerfmon, Base, Bpf, Perfmon],
            ProgType::CgroupSkb => {
                &[CgroupCommon, CgroupSkb, SkFilter, SkBase, SkBasePerfmon, Base, Bpf, Perfmon]
            }
            ProgType::CgroupSock => &[CgroupCommon, CgroupSock, Base, Bpf, Perfmon],
            ProgType::CgroupSockAddr => {
                &[CgroupCommon, CgroupSockAddr, SkBase, SkBasePerfmon, Base, Bpf, Perfmon]
            }
            ProgType::CgroupDevice => &[CgroupCommon, CgroupDevice, Base, Bpf, Perfmon],
            ProgType::CgroupSysctl => &[CgroupCommon, CgroupSysctl, Base, Bpf, Perfmon],
            ProgType::CgroupSockopt => &[CgroupCommon, CgroupSockopt, Base, Bpf, Perfmon],
            ProgType::LwtIn => &[LwtIn, LwtOut, SkBase, SkBasePerfmon, Base, Bpf, Perfmon],
            ProgType::LwtOut => &[LwtOut, SkBase, SkBasePerfmon, Base, Bpf, Perfmon],
            ProgType::LwtXmit => &[LwtXmit, LwtOut, SkBase, SkBasePerfmon, Base, Bpf, Perfmon],
            ProgType::LwtSeg6local => &[LwtSeg6, LwtOut, SkBase, SkBasePerfmon, Base, Bpf, Perfmon],
            ProgType::SockOps => {
                &[CgroupCommon, SockOps, SkBase, SkBasePerfmon, Base, Bpf, Perfmon]
            }
            ProgType::SkSkb => &[SkSkb, SkBase, SkBasePerfmon, Base, Bpf, Perfmon],
            ProgType::SkMsg => &[SkMsg, SkBase, SkBasePerfmon, Base, Bpf, Perfmon],
            ProgType::FlowDissector => &[FlowDissector, SkBase, SkBasePerfmon, Base, Bpf, Perfmon],
            ProgType::SkReuseport => &[SkReuseport, Base, Bpf, Perfmon],
            ProgType::SkLookup => &[SkLookup, SkBase, SkBasePerfmon, Base, Bpf, Perfmon],
            ProgType::Kprobe => &[Kprobe, Trace, TraceAdmin, Base, Bpf, Perfmon],
            ProgType::Tracepoint => &[Tracepoint, Trace, TraceAdmin, Base, Bpf, Perfmon],
            ProgType::PerfEvent => &[PerfEvent, Trace, TraceAdmin, Base, Bpf, Perfmon],
            ProgType::RawTracepoint | ProgType::RawTracepointWritable => {
                &[RawTp, RawTracepoint, Trace, TraceAdmin, Base, Bpf, Perfmon]
            }
            ProgType::Tracing => &[TracingBtf, RawTp, Trace, TraceAdmin, Base, Bpf, Perfmon],
            ProgType::Lsm if attach_type == AttachType::LsmCgroup => {
                &[CgroupCommon, Lsm, TracingBtf, RawTp, Trace, TraceAdmin, Base, Bpf, Perfmon]
            }
            ProgType::Lsm => &[Lsm, TracingBtf, RawTp, Trace, TraceAdmin, Base, Bpf, Perfmon],
            ProgType::Syscall => {
                &[Syscall, SyscallPerfmon, TracingBtf, RawTp, Trace, TraceAdmin, Base, Bpf, Perfmon]
            }
            ProgType::StructOps => &[StructOps, Base, Bpf, Perfmon],
            ProgType::LircMode2 => &[Lirc, LircPerfmon],
            ProgType::Netfilter => &[Base, Bpf, Perfmon],
            ProgType::Unspec | ProgType::Ext => &[],
        }
    }
}

/// Under which conditions a family has a helper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Always.
    Always,
    /// For programs to be attached so.
    AttachIn(&'static [AttachType]),
    /// For programs to be attached otherwise.
    AttachNotIn(&'static [AttachType]),
    /// For programs attached to cgroups at one of these LSM hooks.
    CgroupHooks(&'static [&'static str]),
    /// For these iterators.
    Iterators(&'static [&'static str]),
    /// For programs that implement something else.
    MemberNot(&'static str),
}

impl When {
    /// Whether it is so for this caller.
    pub fn holds(self, caller: &Caller<'_>) -> bool {
        match self {
            When::Always => true,
            When::AttachIn(types) => types.contains(&caller.attach_type),
            When::AttachNotIn(types) => !types.contains(&caller.attach_type),
            When::CgroupHooks(hooks) => {
                caller.attach_type == AttachType::LsmCgroup
                    && caller.target.is_some_and(|target| hooks.contains(&target))
            }
            When::Iterators(names) => {
                caller.attach_type == AttachType::TraceIter
                    && caller.target.is_some_and(|target| names.contains(&target))
            }
            When::MemberNot(name) => caller.target != Some(name),
        }
    }
}

/// Where a helper may be called, beyond what its families say: elsewhere, "helper
/// call is not allowed in probe".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allowed {
    /// Wherever its families have it.
    Everywhere,
    /// At LSM hooks where programs may sleep.
    SleepableHooks,
    /// In iterators, at LSM hooks where programs may sleep, and on these functions.
    PathFunctions(&'static [&'static str]),
    /// In typed tracing, but not of the functions whose name begins so.
    NotTracing(&'static str),
}

pub(super) const TRAMPOLINE: &[AttachType] = &[
    AttachType::TraceFentry,
    AttachType::TraceFexit,
    AttachType::ModifyReturn,
    AttachType::LsmMac,
];

pub(super) const COOKIE: &[AttachType] = &[
    AttachType::TraceFentry,
    AttachType::TraceFexit,
    AttachType::ModifyReturn,
    AttachType::LsmMac,
    AttachType::TraceRawTp,
];

pub(super) const ITERATOR: &[AttachType] = &[AttachType::TraceIter];

/// Iterators over sockets that may be changed on the way.
pub(super) const SOCKET_ITERATORS: &[&str] = &["bpf_iter_tcp", "bpf_iter_unix"];

pub(super) const SETSOCKOPT: &[AttachType] = &[AttachType::CgroupSetsockopt];

pub(super) const CONNECT: &[AttachType] =
    &[AttachType::CgroupInet4Connect, AttachType::CgroupInet6Connect];

/// Where a cgroup's program has no return value to pass on.
pub(super) const NO_RETVAL: &[AttachType] = &[
    AttachType::CgroupInetIngress,
    AttachType::CgroupInetEgress,
    AttachType::CgroupSockOps,
    AttachType::CgroupUdp4Recvmsg,
    AttachType::CgroupUdp6Recvmsg,
    AttachType::CgroupUnixRecvmsg,
    AttachType::CgroupInet4Getpeername,
    AttachType::CgroupInet6Getpeername,
    AttachType::CgroupUnixGetpeername,
    AttachType::CgroupInet4Getsockname,
    AttachType::CgroupInet6Getsockname,
    AttachType::CgroupUnixGetsockname,
];

/// Hooks that run while the socket is locked, or before anyone else has it.
pub(super) const SOCKET_HOOKS: &[&str] = &[
    "bpf_lsm_sock_graft",
    "bpf_lsm_inet_csk_clone",
    "bpf_lsm_inet_conn_established",
    "bpf_lsm_socket_post_create",
    "bpf_lsm_socket_socketpair",
];

pub(super) const PATH_FUNCTIONS: &[&str] = &[
    "security_file_permission",
    "security_inode_getattr",
    "security_file_open",
    "security_path_truncate",
    "vfs_truncate",
    "vfs_fallocate",
    "dentry_open",
    "vfs_getattr",
    "filp_close",
];
