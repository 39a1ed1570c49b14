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

    /// The same by the rules of a loader.
    pub fn find_for(section: &str, loader: Loader) -> Option<(&'static SectionDef, Option<&str>)> {
        match loader {
            Loader::Libbpf => SectionDef::find(section),
            Loader::Cilium => SECTIONS.iter().find_map(|def| def.by_prefix(section)),
            Loader::Aya => by_head(section),
        }
    }

    /// cilium/ebpf's rule: rows that take no target are prefixes of the whole name.
    fn by_prefix<'a>(
        &'static self,
        section: &'a str,
    ) -> Option<(&'static SectionDef, Option<&'a str>)> {
        let (head, target) =
            section.split_once('/').map_or((section, None), |(head, rest)| (head, Some(rest)));
        match self.target {
            SectionTarget::Nothing => section.starts_with(self.name).then_some((self, None)),
            _ => (head == self.name).then_some((self, target)),
        }
    }

    /// The row whose name is most like one that no row has, for a hint: the longest that
    /// the name starts with, or else one that is at most two letters away.
    pub fn nearest(section: &str) -> Option<&'static SectionDef> {
        let start = SECTIONS.iter().filter(|def| section.starts_with(def.name));
        let by_start = start.max_by_key(|def| def.name.len());
        let head = section.split('/').next().unwrap_or(section);
        let near = || {
            let distances = SECTIONS.iter().map(|def| (distance(head, def.name), def));
            distances.filter(|(far, _)| *far <= 2).min_by_key(|(far, _)| *far).map(|(_, def)| def)
        };
        by_start.or_else(near)
    }

    /// The row of this name, or of a program type of this name: the one without an attach
    /// type, or else the first.
    pub fn of_type(name: &str) -> Option<&'static SectionDef> {
        let of_type = || SECTIONS.iter().filter(|def| def.prog_type.name() == name);
        let plain = || of_type().find(|def| def.attach_type.is_none());
        let by_name = SECTIONS.iter().find(|def| def.name == name);
        by_name.or_else(plain).or_else(|| of_type().next())
    }

    /// All rows.
    pub fn all() -> &'static [SectionDef] {
        SECTIONS
    }
}

/// Whose rules hold for what an object leaves to its loader.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Loader {
    /// libbpf 1.x.
    #[default]
    Libbpf,
    /// cilium/ebpf, in Go.
    Cilium,
    /// aya, in Rust.
    Aya,
}

impl Loader {
    /// All, the default first.
    pub const ALL: [Loader; 3] = [Loader::Libbpf, Loader::Cilium, Loader::Aya];

    /// `libbpf`, `cilium`, `aya`.
    pub fn name(self) -> &'static str {
        match self {
            Loader::Libbpf => "libbpf",
            Loader::Cilium => "cilium",
            Loader::Aya => "aya",
        }
    }

    /// As its authors call it.
    pub fn title(self) -> &'static str {
        match self {
            Loader::Cilium => "cilium/ebpf",
            other => other.name(),
        }
    }
}

/// What aya reads as the whole of a type, whatever stands behind a slash.
const AYA_HEADS: [&str; 34] = [
    "kprobe",
    "kretprobe",
    "uprobe",
    "uprobe.s",
    "uprobe.multi",
    "uprobe.multi.s",
    "uretprobe",
    "uretprobe.s",
    "uretprobe.multi",
    "uretprobe.multi.s",
    "tp_btf",
    "tracepoint",
    "tp",
    "socket",
    "sk_msg",
    "sockops",
    "classifier",
    "lirc_mode2",
    "perf_event",
    "raw_tp",
    "raw_tracepoint",
    "lsm",
    "lsm.s",
    "lsm_cgroup",
    "fentry",
    "fentry.s",
    "fexit",
    "fexit.s",
    "flow_dissector",
    "freplace",
    "sk_lookup",
    "iter",
    "iter.s",
    "xdp.frags",
];

/// What aya reads from two parts of a name. More may follow where `true`.
const AYA_PAIRS: [(&str, bool); 5] = [
    ("xdp", false),
    ("sk_skb", true),
    ("cgroup_skb", true),
    ("cgroup", true),
    ("sk_reuseport", true),
];

/// aya's rule: the first part says the type, for some types the second one, too.
fn by_head(section: &str) -> Option<(&'static SectionDef, Option<&str>)> {
    let named = |name: &str| SECTIONS.iter().find(|def| def.name == name);
    let (head, rest) = match section.split_once('/') {
        Some((head, rest)) => (head, Some(rest)),
        None => (section, None),
    };
    if let Some((_, more)) = AYA_PAIRS.iter().find(|(name, _)| *name == head) {
        let Some(rest) = rest else {
            return matches!(head, "xdp" | "sk_reuseport").then(|| named(head))?.zip(Some(None));
        };
        let second = rest.split('/').next().filter(|_| *more).unwrap_or(rest);
        return named(&section[..head.len() + 1 + second.len()]).zip(Some(None));
    }
    if head == "xdp.frags" && rest.is_some() {
        return named(section).zip(Some(None));
    }
    let def = AYA_HEADS.contains(&head).then(|| named(head))??;
    Some((def, rest.filter(|_| def.target != SectionTarget::Nothing)))
}

/// Letters to insert, delete or change to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, counterpart) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *counterpart);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
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
    fn each_loader_has_its_own_rule_for_what_follows_a_name() {
        let found = |section: &'static str, loader: Loader| {
            SectionDef::find_for(section, loader).map(|(def, target)| (def.name, target))
        };
        use Loader::{Aya, Cilium, Libbpf};
        for (section, libbpf, cilium, aya) in [
            ("classifier/ingress", None, Some("classifier"), Some("classifier")),
            ("sockops/x", None, Some("sockops"), Some("sockops")),
            ("xdp_stats1", None, Some("xdp"), None),
            ("xdp/a", None, Some("xdp"), None),
            ("xdp/devmap", Some("xdp/devmap"), Some("xdp/devmap"), Some("xdp/devmap")),
            ("tc", Some("tc"), Some("tc"), None),
            (
                "sk_skb/stream_verdict/x",
                None,
                Some("sk_skb/stream_verdict"),
                Some("sk_skb/stream_verdict"),
            ),
            (
                "cgroup_skb/egress",
                Some("cgroup_skb/egress"),
                Some("cgroup_skb/egress"),
                Some("cgroup_skb/egress"),
            ),
            ("cgroup/foo", None, None, None),
            ("nothing", None, None, None),
        ] {
            let names = [Libbpf, Cilium, Aya].map(|loader| found(section, loader).map(|of| of.0));
            assert_eq!(names, [libbpf, cilium, aya], "{section}");
        }
        for loader in Loader::ALL {
            assert_eq!(found("kprobe/do_exit", loader), Some(("kprobe", Some("do_exit"))));
        }
    }

    #[test]
    fn the_nearest_name_starts_the_same_or_differs_by_a_typing_error() {
        let nearest = |section| SectionDef::nearest(section).map(|def| def.name);
        assert_eq!(nearest("xdp_stats1"), Some("xdp"));
        assert_eq!(nearest("classifer"), Some("classifier"));
        assert_eq!(nearest("perf_event/sample"), Some("perf_event"));
        assert_eq!(nearest("something_else"), None);
        assert_eq!(SectionDef::of_type("sched_cls").map(|def| def.name), Some("tc"));
        assert_eq!(SectionDef::of_type("xdp").map(|def| def.name), Some("xdp"));
        assert_eq!(SectionDef::of_type("nothing"), None);
    }

    #[test]
    fn no_row_hides_a_later_one() {
        for def in SectionDef::all() {
            assert_eq!(SectionDef::find(def.name).map(|row| row.0), Some(def), "{}", def.name);
        }
    }
}
