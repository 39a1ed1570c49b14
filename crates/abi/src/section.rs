//! What the name of an ELF section says about the program in it: one row for each
//! name that libbpf 1.7 knows (`SEC("xdp")`), in the order in which it tries them.
//!
//! Beyond the type, a row says what the part behind the slash means, so that the
//! loader, the linker of programs to hooks and `inspect` read names in one way.

use bitflags::bitflags;

use crate::{AttachType, ProgType};

bitflags! {
    /// What else a section name says.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct SectionFlags: u8 {
        /// Kernels that are too old to be told the attach type do without.
        const ATTACH_TYPE_OPTIONAL = 1;
        /// `BPF_PROG_ATTACH` and links take the attach type.
        const ATTACHABLE = 2;
        /// The program needs the BTF id of what it attaches to.
        const ATTACH_BTF = 4;
        /// The program may sleep.
        const SLEEPABLE = 8;
        /// XDP that takes packets of several buffers.
        const FRAGS = 16;
    }
}

/// What the part of a section name behind the first slash names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SectionTarget {
    /// No such part: the name is the whole.
    Nothing,
    /// A kernel function: `kprobe/do_unlinkat+0x10`.
    KernelFunction,
    /// A pattern of kernel functions: `kprobe.multi/tcp_*`.
    KernelFunctions,
    /// A function of a file: `uprobe/libc.so.6:malloc`.
    UserFunction,
    /// A pattern of functions of a file.
    UserFunctions,
    /// A system call: `ksyscall/unlinkat`.
    Syscall,
    /// A marker of a file: `usdt/libc.so.6:libc:setjmp`.
    Usdt,
    /// A tracepoint with its category: `tp/sched/sched_switch`.
    Tracepoint,
    /// A raw tracepoint: `raw_tp/sched_switch`.
    RawTracepoint,
    /// A kernel function or tracepoint by BTF, or one of a module: `fentry/nf_nat:nf_nat_fn`.
    Btf,
    /// A function of another program: `freplace/handler`.
    Program,
    /// The slot of a structure of operations; a remark for the reader.
    StructOps,
}

/// One row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SectionDef {
    /// The name, or what stands in front of the slash.
    pub name: &'static str,
    /// Program type.
    pub prog_type: ProgType,
    /// Expected attach type; `None` is 0, "not said".
    pub attach_type: Option<AttachType>,
    /// What else it says.
    pub flags: SectionFlags,
    /// What may follow behind a slash.
    pub target: SectionTarget,
}

impl SectionDef {
    /// The row for a section's name and the part behind the slash, if the row takes
    /// one. A leading `?`, which says "not unless asked for", is not part of the name.
    pub fn find(section: &str) -> Option<(&'static SectionDef, Option<&str>)> {
        SECTIONS.iter().find_map(|def| {
            let rest = section.strip_prefix(def.name)?;
            match rest.strip_prefix('/') {
                _ if rest.is_empty() => Some((def, None)),
                Some(target) if def.target != SectionTarget::Nothing => Some((def, Some(target))),
                _ => None,
            }
        })
    }

    /// All rows.
    pub fn all() -> &'static [SectionDef] {
        SECTIONS
    }
}

const NONE: SectionFlags = SectionFlags::empty();
const ATTACH: SectionFlags = SectionFlags::ATTACHABLE;
const ATTACH_OPT: SectionFlags = SectionFlags::ATTACHABLE.union(SectionFlags::ATTACH_TYPE_OPTIONAL);
const BTF: SectionFlags = SectionFlags::ATTACH_BTF;
const SLEEP: SectionFlags = SectionFlags::SLEEPABLE;
const BTF_SLEEP: SectionFlags = SectionFlags::ATTACH_BTF.union(SectionFlags::SLEEPABLE);
const FRAGS: SectionFlags = SectionFlags::FRAGS;

/// `name, program type, attach type, flags, target;` for each row.
macro_rules! sections {
    ($($name:literal, $prog:ident, $attach:tt, $flags:ident, $target:ident;)*) => {
        &[$(SectionDef {
            name: $name,
            prog_type: ProgType::$prog,
            attach_type: sections!(@attach $attach),
            flags: $flags,
            target: SectionTarget::$target,
        },)*]
    };
    (@attach 0) => { None };
    (@attach $attach:ident) => { Some(AttachType::$attach) };
}

#[rustfmt::skip]
static SECTIONS: &[SectionDef] = sections! {
    "socket", SocketFilter, 0, NONE, Nothing;
    "sk_reuseport/migrate", SkReuseport, SkReuseportSelectOrMigrate, ATTACH, Nothing;
    "sk_reuseport", SkReuseport, SkReuseportSelect, ATTACH, Nothing;

    "kprobe", Kprobe, 0, NONE, KernelFunction;
    "uprobe", Kprobe, 0, NONE, UserFunction;
    "uprobe.s", Kprobe, 0, SLEEP, UserFunction;
    "kretprobe", Kprobe, 0, NONE, KernelFunction;
    "uretprobe", Kprobe, 0, NONE, UserFunction;
    "uretprobe.s", Kprobe, 0, SLEEP, UserFunction;
    "kprobe.multi", Kprobe, TraceKprobeMulti, NONE, KernelFunctions;
    "kretprobe.multi", Kprobe, TraceKprobeMulti, NONE, KernelFunctions;
    "kprobe.session", Kprobe, TraceKprobeSession, NONE, KernelFunctions;
    "uprobe.multi", Kprobe, TraceUprobeMulti, NONE, UserFunctions;
    "uretprobe.multi", Kprobe, TraceUprobeMulti, NONE, UserFunctions;
    "uprobe.session", Kprobe, TraceUprobeSession, NONE, UserFunctions;
    "uprobe.multi.s", Kprobe, TraceUprobeMulti, SLEEP, UserFunctions;
    "uretprobe.multi.s", Kprobe, TraceUprobeMulti, SLEEP, UserFunctions;
    "uprobe.session.s", Kprobe, TraceUprobeSession, SLEEP, UserFunctions;
    "ksyscall", Kprobe, 0, NONE, Syscall;
    "kretsyscall", Kprobe, 0, NONE, Syscall;
    "usdt", Kprobe, 0, NONE, Usdt;
    "usdt.s", Kprobe, 0, SLEEP, Usdt;

    "tc/ingress", SchedCls, TcxIngress, NONE, Nothing;
    "tc/egress", SchedCls, TcxEgress, NONE, Nothing;
    "tcx/ingress", SchedCls, TcxIngress, NONE, Nothing;
    "tcx/egress", SchedCls, TcxEgress, NONE, Nothing;
    "tc", SchedCls, 0, NONE, Nothing;
    "classifier", SchedCls, 0, NONE, Nothing;
    "action", SchedAct, 0, NONE, Nothing;
    "netkit/primary", SchedCls, NetkitPrimary, NONE, Nothing;
    "netkit/peer", SchedCls, NetkitPeer, NONE, Nothing;

    "tracepoint", Tracepoint, 0, NONE, Tracepoint;
    "tp", Tracepoint, 0, NONE, Tracepoint;
    "raw_tracepoint", RawTracepoint, 0, NONE, RawTracepoint;
    "raw_tp", RawTracepoint, 0, NONE, RawTracepoint;
    "raw_tracepoint.w", RawTracepointWritable, 0, NONE, RawTracepoint;
    "raw_tp.w", RawTracepointWritable, 0, NONE, RawTracepoint;

    "tp_btf", Tracing, TraceRawTp, BTF, Btf;
    "fentry", Tracing, TraceFentry, BTF, Btf;
    "fmod_ret", Tracing, ModifyReturn, BTF, Btf;
    "fexit", Tracing, TraceFexit, BTF, Btf;
    "fentry.s", Tracing, TraceFentry, BTF_SLEEP, Btf;
    "fmod_ret.s", Tracing, ModifyReturn, BTF_SLEEP, Btf;
    "fexit.s", Tracing, TraceFexit, BTF_SLEEP, Btf;
    "fsession", Tracing, TraceFsession, BTF, Btf;
    "fsession.s", Tracing, TraceFsession, BTF_SLEEP, Btf;
    "freplace", Ext, 0, BTF, Program;
    "lsm", Lsm, LsmMac, BTF, Btf;
    "lsm.s", Lsm, LsmMac, BTF_SLEEP, Btf;
    "lsm_cgroup", Lsm, LsmCgroup, BTF, Btf;
    "iter", Tracing, TraceIter, BTF, Btf;
    "iter.s", Tracing, TraceIter, BTF_SLEEP, Btf;
    "syscall", Syscall, 0, SLEEP, Nothing;

    "xdp.frags/devmap", Xdp, XdpDevmap, FRAGS, Nothing;
    "xdp/devmap", Xdp, XdpDevmap, ATTACH, Nothing;
    "xdp.frags/cpumap", Xdp, XdpCpumap, FRAGS, Nothing;
    "xdp/cpumap", Xdp, XdpCpumap, ATTACH, Nothing;
    "xdp.frags", Xdp, Xdp, FRAGS, Nothing;
    "xdp", Xdp, Xdp, ATTACH_OPT, Nothing;

    "perf_event", PerfEvent, 0, NONE, Nothing;
    "lwt_in", LwtIn, 0, NONE, Nothing;
    "lwt_out", LwtOut, 0, NONE, Nothing;
    "lwt_xmit", LwtXmit, 0, NONE, Nothing;
    "lwt_seg6local", LwtSeg6local, 0, NONE, Nothing;
    "sockops", SockOps, CgroupSockOps, ATTACH_OPT, Nothing;
    "sk_skb/stream_parser", SkSkb, SkSkbStreamParser, ATTACH_OPT, Nothing;
    "sk_skb/stream_verdict", SkSkb, SkSkbStreamVerdict, ATTACH_OPT, Nothing;
    "sk_skb/verdict", SkSkb, SkSkbVerdict, ATTACH_OPT, Nothing;
    "sk_skb", SkSkb, 0, NONE, Nothing;
    "sk_msg", SkMsg, SkMsgVerdict, ATTACH_OPT, Nothing;
    "lirc_mode2", LircMode2, LircMode2, ATTACH_OPT, Nothing;
    "flow_dissector", FlowDissector, FlowDissector, ATTACH_OPT, Nothing;

    "cgroup_skb/ingress", CgroupSkb, CgroupInetIngress, ATTACH_OPT, Nothing;
    "cgroup_skb/egress", CgroupSkb, CgroupInetEgress, ATTACH_OPT, Nothing;
    "cgroup/skb", CgroupSkb, 0, NONE, Nothing;
    "cgroup/sock_create", CgroupSock, CgroupInetSockCreate, ATTACH, Nothing;
    "cgroup/sock_release", CgroupSock, CgroupInetSockRelease, ATTACH, Nothing;
    "cgroup/sock", CgroupSock, CgroupInetSockCreate, ATTACH_OPT, Nothing;
    "cgroup/post_bind4", CgroupSock, CgroupInet4PostBind, ATTACH, Nothing;
    "cgroup/post_bind6", CgroupSock, CgroupInet6PostBind, ATTACH, Nothing;
    "cgroup/bind4", CgroupSockAddr, CgroupInet4Bind, ATTACH, Nothing;
    "cgroup/bind6", CgroupSockAddr, CgroupInet6Bind, ATTACH, Nothing;
    "cgroup/connect4", CgroupSockAddr, CgroupInet4Connect, ATTACH, Nothing;
    "cgroup/connect6", CgroupSockAddr, CgroupInet6Connect, ATTACH, Nothing;
    "cgroup/connect_unix", CgroupSockAddr, CgroupUnixConnect, ATTACH, Nothing;
    "cgroup/sendmsg4", CgroupSockAddr, CgroupUdp4Sendmsg, ATTACH, Nothing;
    "cgroup/sendmsg6", CgroupSockAddr, CgroupUdp6Sendmsg, ATTACH, Nothing;
    "cgroup/sendmsg_unix", CgroupSockAddr, CgroupUnixSendmsg, ATTACH, Nothing;
    "cgroup/recvmsg4", CgroupSockAddr, CgroupUdp4Recvmsg, ATTACH, Nothing;
    "cgroup/recvmsg6", CgroupSockAddr, CgroupUdp6Recvmsg, ATTACH, Nothing;
    "cgroup/recvmsg_unix", CgroupSockAddr, CgroupUnixRecvmsg, ATTACH, Nothing;
    "cgroup/getpeername4", CgroupSockAddr, CgroupInet4Getpeername, ATTACH, Nothing;
    "cgroup/getpeername6", CgroupSockAddr, CgroupInet6Getpeername, ATTACH, Nothing;
    "cgroup/getpeername_unix", CgroupSockAddr, CgroupUnixGetpeername, ATTACH, Nothing;
    "cgroup/getsockname4", CgroupSockAddr, CgroupInet4Getsockname, ATTACH, Nothing;
    "cgroup/getsockname6", CgroupSockAddr, CgroupInet6Getsockname, ATTACH, Nothing;
    "cgroup/getsockname_unix", CgroupSockAddr, CgroupUnixGetsockname, ATTACH, Nothing;
    "cgroup/sysctl", CgroupSysctl, CgroupSysctl, ATTACH, Nothing;
    "cgroup/getsockopt", CgroupSockopt, CgroupGetsockopt, ATTACH, Nothing;
    "cgroup/setsockopt", CgroupSockopt, CgroupSetsockopt, ATTACH, Nothing;
    "cgroup/dev", CgroupDevice, CgroupDevice, ATTACH_OPT, Nothing;

    "struct_ops", StructOps, 0, NONE, StructOps;
    "struct_ops.s", StructOps, 0, SLEEP, StructOps;
    "sk_lookup", SkLookup, SkLookup, ATTACH, Nothing;
    "netfilter", Netfilter, Netfilter, NONE, Nothing;
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_behind_the_slash_is_a_target_only_where_the_row_takes_one() {
        let (def, target) = SectionDef::find("kprobe/do_unlinkat").expect("a kprobe");
        assert_eq!((def.prog_type, target), (ProgType::Kprobe, Some("do_unlinkat")));
        let (def, target) = SectionDef::find("tp/sched/sched_switch").expect("a tracepoint");
        assert_eq!((def.name, target), ("tp", Some("sched/sched_switch")));
        assert!(SectionDef::find("xdp/whatever").is_none());
        assert!(SectionDef::find("xdpfoo").is_none());
        assert_eq!(SectionDef::find("xdp/devmap").map(|row| row.0.name), Some("xdp/devmap"));
    }

    #[test]
    fn no_row_hides_a_later_one() {
        for def in SectionDef::all() {
            assert_eq!(SectionDef::find(def.name).map(|row| row.0), Some(def), "{}", def.name);
        }
    }
}
