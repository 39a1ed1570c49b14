//! The types of programs of Linux 6.18, in the order of their numbers.

use super::{Attaches, PacketAccess, ProgRow, Runs, Sleeps};
use crate::AttachType as A;
use crate::{Capabilities, ProgType as T};

const NOTHING: Capabilities = Capabilities::empty();
const BPF: Capabilities = Capabilities::BPF;
const NETWORK: Capabilities = BPF.union(Capabilities::NET_ADMIN);
const TRACING: Capabilities = BPF.union(Capabilities::PERFMON);

/// Where a program of a cgroup is told of an address, and has no say.
const TOLD: &[A] = &[
    A::CgroupUdp4Recvmsg,
    A::CgroupUdp6Recvmsg,
    A::CgroupUnixRecvmsg,
    A::CgroupInet4Getpeername,
    A::CgroupInet6Getpeername,
    A::CgroupUnixGetpeername,
    A::CgroupInet4Getsockname,
    A::CgroupInet6Getsockname,
    A::CgroupUnixGetsockname,
];

/// Where a program sees the address of a socket.
const ADDRESSES: &[A] = &[
    A::CgroupInet4Bind,
    A::CgroupInet6Bind,
    A::CgroupInet4Connect,
    A::CgroupInet6Connect,
    A::CgroupUnixConnect,
    A::CgroupInet4Getpeername,
    A::CgroupInet6Getpeername,
    A::CgroupUnixGetpeername,
    A::CgroupInet4Getsockname,
    A::CgroupInet6Getsockname,
    A::CgroupUnixGetsockname,
    A::CgroupUdp4Sendmsg,
    A::CgroupUdp6Sendmsg,
    A::CgroupUnixSendmsg,
    A::CgroupUdp4Recvmsg,
    A::CgroupUdp6Recvmsg,
    A::CgroupUnixRecvmsg,
];

/// A type that nothing else is said of.
const fn row(kind: T, needs: Capabilities) -> ProgRow {
    ProgRow {
        kind,
        needs,
        attaches: Attaches::Any,
        default: None,
        names_btf: false,
        packet: PacketAccess::None,
        legacy_loads: false,
        sleeps: Sleeps::Never,
        returns: &[],
        context: None,
        context_is_memory: false,
        runs: Runs::Plainly,
    }
}

pub(super) const ROWS: &[ProgRow] = &[
    row(T::Unspec, BPF),
    ProgRow { legacy_loads: true, context: Some("__sk_buff"), ..row(T::SocketFilter, NOTHING) },
    ProgRow {
        sleeps: Sleeps::Asked,
        returns: &[(&[A::TraceKprobeSession, A::TraceUprobeSession], (0, 1))],
        context: Some("pt_regs"),
        context_is_memory: true,
        runs: Runs::Interrupting,
        ..row(T::Kprobe, TRACING)
    },
    ProgRow {
        packet: PacketAccess::Write,
        legacy_loads: true,
        context: Some("__sk_buff"),
        ..row(T::SchedCls, NETWORK)
    },
    ProgRow {
        packet: PacketAccess::Write,
        legacy_loads: true,
        context: Some("__sk_buff"),
        ..row(T::SchedAct, NETWORK)
    },
    ProgRow { context_is_memory: true, runs: Runs::Interrupting, ..row(T::Tracepoint, TRACING) },
    ProgRow { packet: PacketAccess::Write, context: Some("xdp_md"), ..row(T::Xdp, NETWORK) },
    ProgRow {
        context: Some("bpf_perf_event_data"),
        runs: Runs::Interrupting,
        ..row(T::PerfEvent, TRACING)
    },
    ProgRow {
        attaches: Attaches::To(&[A::CgroupInetIngress, A::CgroupInetEgress]),
        packet: PacketAccess::Read,
        returns: &[(&[A::CgroupInetEgress], (0, 3)), (&[], (0, 1))],
        context: Some("__sk_buff"),
        ..row(T::CgroupSkb, NOTHING)
    },
    ProgRow {
        attaches: Attaches::To(&[
            A::CgroupInetSockCreate,
            A::CgroupInetSockRelease,
            A::CgroupInet4PostBind,
            A::CgroupInet6PostBind,
        ]),
        default: Some(A::CgroupInetSockCreate),
        returns: &[(&[], (0, 1))],
        context: Some("bpf_sock"),
        ..row(T::CgroupSock, NETWORK)
    },
    ProgRow { packet: PacketAccess::Read, context: Some("__sk_buff"), ..row(T::LwtIn, NETWORK) },
    ProgRow { packet: PacketAccess::Read, context: Some("__sk_buff"), ..row(T::LwtOut, NETWORK) },
    ProgRow { packet: PacketAccess::Write, context: Some("__sk_buff"), ..row(T::LwtXmit, NETWORK) },
    ProgRow {
        returns: &[(&[], (0, 1))],
        context: Some("bpf_sock_ops"),
        ..row(T::SockOps, NETWORK)
    },
    ProgRow { packet: PacketAccess::Write, context: Some("__sk_buff"), ..row(T::SkSkb, NETWORK) },
    ProgRow {
        returns: &[(&[], (0, 1))],
        context: Some("bpf_cgroup_dev_ctx"),
        ..row(T::CgroupDevice, NETWORK)
    },
    ProgRow { packet: PacketAccess::Write, context: Some("sk_msg_md"), ..row(T::SkMsg, NETWORK) },
    ProgRow {
        context: Some("bpf_raw_tracepoint_args"),
        context_is_memory: true,
        runs: Runs::Interrupting,
        ..row(T::RawTracepoint, TRACING)
    },
    ProgRow {
        attaches: Attaches::To(ADDRESSES),
        returns: &[
            (TOLD, (1, 1)),
            (&[A::CgroupInet4Bind, A::CgroupInet6Bind], (0, 3)),
            (&[], (0, 1)),
        ],
        context: Some("bpf_sock_addr"),
        ..row(T::CgroupSockAddr, NETWORK)
    },
    ProgRow {
        packet: PacketAccess::Read,
        context: Some("__sk_buff"),
        ..row(T::LwtSeg6local, NETWORK)
    },
    ProgRow { context_is_memory: true, ..row(T::LircMode2, BPF) },
    ProgRow {
        attaches: Attaches::To(&[A::SkReuseportSelect, A::SkReuseportSelectOrMigrate]),
        default: Some(A::SkReuseportSelect),
        packet: PacketAccess::Read,
        context: Some("sk_reuseport_md"),
        ..row(T::SkReuseport, BPF)
    },
    ProgRow {
        packet: PacketAccess::Read,
        context: Some("__sk_buff"),
        ..row(T::FlowDissector, NETWORK)
    },
    ProgRow {
        returns: &[(&[], (0, 1))],
        context: Some("bpf_sysctl"),
        ..row(T::CgroupSysctl, NETWORK)
    },
    ProgRow {
        context: Some("bpf_raw_tracepoint_args"),
        context_is_memory: true,
        runs: Runs::Writing,
        ..row(T::RawTracepointWritable, TRACING)
    },
    ProgRow {
        attaches: Attaches::To(&[A::CgroupGetsockopt, A::CgroupSetsockopt]),
        packet: PacketAccess::Own,
        returns: &[(&[], (0, 1))],
        context: Some("bpf_sockopt"),
        ..row(T::CgroupSockopt, NETWORK)
    },
    ProgRow {
        names_btf: true,
        sleeps: Sleeps::At(&[A::TraceFentry, A::TraceFexit, A::ModifyReturn, A::TraceIter]),
        returns: &[(&[A::TraceFentry, A::TraceFexit], (0, 0)), (&[A::TraceIter], (0, 1))],
        context_is_memory: true,
        runs: Runs::Typed,
        ..row(T::Tracing, TRACING)
    },
    ProgRow {
        names_btf: true,
        sleeps: Sleeps::Asked,
        context_is_memory: true,
        ..row(T::StructOps, TRACING)
    },
    ProgRow { attaches: Attaches::None, names_btf: true, ..row(T::Ext, TRACING.union(NETWORK)) },
    ProgRow {
        names_btf: true,
        sleeps: Sleeps::NotAt(&[A::LsmCgroup]),
        returns: &[(&[A::LsmCgroup], (0, 1))],
        context_is_memory: true,
        runs: Runs::Typed,
        ..row(T::Lsm, TRACING)
    },
    ProgRow {
        attaches: Attaches::To(&[A::SkLookup]),
        returns: &[(&[], (0, 1))],
        context: Some("bpf_sk_lookup"),
        ..row(T::SkLookup, BPF)
    },
    ProgRow {
        attaches: Attaches::None,
        sleeps: Sleeps::Always,
        context_is_memory: true,
        ..row(T::Syscall, BPF)
    },
    ProgRow {
        attaches: Attaches::To(&[A::Netfilter]),
        returns: &[(&[], (0, 1))],
        context: Some("bpf_nf_ctx"),
        context_is_memory: true,
        ..row(T::Netfilter, NETWORK)
    },
];
