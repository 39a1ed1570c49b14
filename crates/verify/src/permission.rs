//! Which capabilities a program type takes, whatever the program does. Counterpart:
//! `bpf_prog_load` with `is_net_admin_prog_type` and `is_perfmon_prog_type`.

use skep_abi::{Capabilities, ProgType};

/// The capabilities without which a program of this type is refused with EPERM; that
/// the kernel lets unprivileged processes load programs at all
/// (`kernel.unprivileged_bpf_disabled`) is taken for granted.
pub fn needed(kind: ProgType) -> Capabilities {
    use ProgType as T;
    let unprivileged = matches!(kind, T::SocketFilter | T::CgroupSkb);
    let network = matches!(
        kind,
        T::SchedCls
            | T::SchedAct
            | T::Xdp
            | T::LwtIn
            | T::LwtOut
            | T::LwtXmit
            | T::LwtSeg6local
            | T::SkSkb
            | T::SkMsg
            | T::FlowDissector
            | T::CgroupDevice
            | T::CgroupSock
            | T::CgroupSockAddr
            | T::CgroupSockopt
            | T::CgroupSysctl
            | T::SockOps
            | T::Ext
            | T::Netfilter
    );
    let tracing = matches!(
        kind,
        T::Kprobe
            | T::Tracepoint
            | T::PerfEvent
            | T::RawTracepoint
            | T::RawTracepointWritable
            | T::Tracing
            | T::Lsm
            | T::StructOps
            | T::Ext
    );
    let mut caps = Capabilities::empty();
    caps.set(Capabilities::BPF, !unprivileged);
    caps.set(Capabilities::NET_ADMIN, network);
    caps.set(Capabilities::PERFMON, tracing);
    caps
}
