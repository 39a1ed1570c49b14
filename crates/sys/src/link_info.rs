//! What OBJ_GET_INFO_BY_FD tells of a link (`struct bpf_link_info`), as a structure.

use skep_abi::{Errno, LinkType};

use crate::fd::RawFd;
use crate::info::{Pointed, point, query, u32_at, u64_at};
use crate::kernel::Kernel;

/// Size of `struct bpf_link_info` in Linux 6.18.
pub const LINK_INFO_SIZE: usize = 64;

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// [`LinkType`] number.
    pub link_type: u32,
    /// Its id.
    pub id: u32,
    /// The id of its program; 0 where it has none.
    pub prog_id: u32,
    /// Where it is.
    pub at: Linked,
}

/// Where a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of struct bpf_link_info")]
pub enum Linked {
    RawTracepoint {
        name: String,
        cookie: u64,
    },
    Tracing {
        attach_type: u32,
        target_obj_id: u32,
        target_btf_id: u32,
        cookie: u64,
    },
    Cgroup {
        cgroup_id: u64,
        attach_type: u32,
    },
    Iter {
        target: String,
        map_id: u32,
        cgroup_id: u64,
        order: u32,
        tid: u32,
        pid: u32,
    },
    Netns {
        inode: u32,
        attach_type: u32,
    },
    Xdp {
        ifindex: u32,
    },
    Perf(PerfLinked),
    KprobeMulti {
        addrs: Vec<u64>,
        cookies: Vec<u64>,
        flags: u32,
        missed: u64,
    },
    StructOps {
        map_id: u32,
    },
    Netfilter {
        pf: u32,
        hook: u32,
        priority: i32,
        flags: u32,
    },
    Tcx {
        ifindex: u32,
        attach_type: u32,
    },
    UprobeMulti {
        path: String,
        offsets: Vec<u64>,
        ref_ctr_offsets: Vec<u64>,
        cookies: Vec<u64>,
        flags: u32,
        pid: u32,
    },
    Netkit {
        ifindex: u32,
        attach_type: u32,
    },
    Sockmap {
        map_id: u32,
        attach_type: u32,
    },
    /// A type that is not known here, or that says nothing.
    Other,
}

/// The perf event that a link is on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of struct bpf_link_info")]
pub enum PerfLinked {
    Uprobe {
        file: String,
        offset: u32,
        is_return: bool,
        ref_ctr_offset: u64,
        cookie: u64,
    },
    Kprobe {
        function: String,
        offset: u32,
        addr: u64,
        missed: u64,
        is_return: bool,
        cookie: u64,
    },
    Tracepoint {
        name: String,
        cookie: u64,
    },
    Event {
        event_type: u32,
        config: u64,
        cookie: u64,
    },
    /// A kind that is not known here, or none that may be seen.
    Other,
}

/// `enum bpf_perf_event_type`.
mod perf_type {
    pub const UPROBE: u32 = 1;
    pub const URETPROBE: u32 = 2;
    pub const KPROBE: u32 = 3;
    pub const KRETPROBE: u32 = 4;
    pub const TRACEPOINT: u32 = 5;
    pub const EVENT: u32 = 6;
}

/// Bytes of the longest path or name.
const NAME_ROOM: usize = 4096;
/// Bytes of the most numbers of a list: as many as a link may have functions.
const MOST_LONGS: usize = 8 << 20;

impl LinkInfo {
    /// Asks `kernel` about the link behind `fd`.
    ///
    /// # Errors
    /// The command's: `EBADF`, `EINVAL` where it is no link.
    pub fn query(kernel: &dyn Kernel, fd: RawFd) -> Result<LinkInfo, Errno> {
        let mut first = [0; LINK_INFO_SIZE];
        query(kernel, fd, &mut first, Vec::new())?;
        let kind = LinkType::from_number(u32_at(&first, 0));
        let mut pointed = pointed(kind, &first);
        let mut bytes = [0; LINK_INFO_SIZE];
        if !pointed.is_empty() {
            point(kernel, fd, &mut bytes, &mut pointed)?;
        } else {
            bytes = first;
        }
        let text = |at: usize| pointed.iter().find(|of| of.at == at).map(|of| text(&of.bytes));
        let text = |at: usize| text(at).unwrap_or_default();
        let longs = |at: usize| pointed.iter().find(|of| of.at == at).map(|of| longs(&of.bytes));
        let longs = |at: usize| longs(at).unwrap_or_default();
        let at = kind.map_or(Linked::Other, |kind| linked(kind, &bytes, &text, &longs));
        let (link_type, id, prog_id) = (u32_at(&bytes, 0), u32_at(&bytes, 4), u32_at(&bytes, 8));
        Ok(LinkInfo { link_type, id, prog_id, at })
    }
}

/// What the structure of a kind points to, with room for it.
fn pointed(kind: Option<LinkType>, info: &[u8]) -> Vec<Pointed> {
    let name = |at, len_at| Pointed { at, len_at, unit: 1, bytes: vec![0; NAME_ROOM] };
    let longs = |at, len_at| {
        let bytes = vec![0; (u32_at(info, len_at) as usize * 8).min(MOST_LONGS)];
        Pointed { at, len_at, unit: 8, bytes }
    };
    match kind {
        Some(LinkType::RawTracepoint | LinkType::Iter) => vec![name(16, 24)],
        Some(LinkType::PerfEvent) => match u32_at(info, 16) {
            perf_type::UPROBE..=perf_type::TRACEPOINT => vec![name(24, 32)],
            _ => Vec::new(),
        },
        Some(LinkType::KprobeMulti) if u32_at(info, 24) > 0 => vec![longs(16, 24), longs(40, 24)],
        Some(LinkType::UprobeMulti) => {
            vec![name(16, 48), longs(24, 52), longs(32, 52), longs(40, 52)]
        }
        _ => Vec::new(),
    }
}

fn linked(
    kind: LinkType,
    info: &[u8],
    text: &dyn Fn(usize) -> String,
    longs: &dyn Fn(usize) -> Vec<u64>,
) -> Linked {
    let (u32, u64) = (|at| u32_at(info, at), |at| u64_at(info, at));
    match kind {
        LinkType::RawTracepoint => Linked::RawTracepoint { name: text(16), cookie: u64(32) },
        LinkType::Tracing => Linked::Tracing {
            attach_type: u32(16),
            target_obj_id: u32(20),
            target_btf_id: u32(24),
            cookie: u64(32),
        },
        LinkType::Cgroup => Linked::Cgroup { cgroup_id: u64(16), attach_type: u32(24) },
        LinkType::Iter => iterated(text(16), info),
        LinkType::Netns => Linked::Netns { inode: u32(16), attach_type: u32(20) },
        LinkType::Xdp => Linked::Xdp { ifindex: u32(16) },
        LinkType::PerfEvent => Linked::Perf(perf(info, text(24))),
        LinkType::KprobeMulti => Linked::KprobeMulti {
            addrs: longs(16),
            cookies: longs(40),
            flags: u32(28),
            missed: u64(32),
        },
        LinkType::StructOps => Linked::StructOps { map_id: u32(16) },
        LinkType::Netfilter => Linked::Netfilter {
            pf: u32(16),
            hook: u32(20),
            priority: u32(24) as i32,
            flags: u32(28),
        },
        LinkType::Tcx => Linked::Tcx { ifindex: u32(16), attach_type: u32(20) },
        LinkType::UprobeMulti => Linked::UprobeMulti {
            path: text(16),
            offsets: longs(24),
            ref_ctr_offsets: longs(32),
            cookies: longs(40),
            flags: u32(56),
            pid: u32(60),
        },
        LinkType::Netkit => Linked::Netkit { ifindex: u32(16), attach_type: u32(20) },
        LinkType::Sockmap => Linked::Sockmap { map_id: u32(16), attach_type: u32(20) },
        LinkType::Unspec => Linked::Other,
    }
}

/// What an iterator goes over says which fields count.
fn iterated(target: String, info: &[u8]) -> Linked {
    let is = |what: &str| target == what;
    let (map, cgroup) =
        (is("bpf_map_elem") || is("bpf_sk_storage_map") || is("sockmap"), is("cgroup"));
    let task = is("task") || is("task_file") || is("task_vma");
    Linked::Iter {
        map_id: if map { u32_at(info, 28) } else { 0 },
        cgroup_id: if cgroup { u64_at(info, 32) } else { 0 },
        order: if cgroup { u32_at(info, 40) } else { 0 },
        tid: if task { u32_at(info, 32) } else { 0 },
        pid: if task { u32_at(info, 36) } else { 0 },
        target,
    }
}

fn perf(info: &[u8], name: String) -> PerfLinked {
    let (u32, u64) = (|at| u32_at(info, at), |at| u64_at(info, at));
    let kind = u32(16);
    match kind {
        perf_type::UPROBE | perf_type::URETPROBE => PerfLinked::Uprobe {
            file: name,
            offset: u32(36),
            is_return: kind == perf_type::URETPROBE,
            cookie: u64(40),
            ref_ctr_offset: u64(48),
        },
        perf_type::KPROBE | perf_type::KRETPROBE => PerfLinked::Kprobe {
            function: name,
            offset: u32(36),
            addr: u64(40),
            missed: u64(48),
            is_return: kind == perf_type::KRETPROBE,
            cookie: u64(56),
        },
        perf_type::TRACEPOINT => PerfLinked::Tracepoint { name, cookie: u64(40) },
        perf_type::EVENT => {
            PerfLinked::Event { config: u64(24), event_type: u32(32), cookie: u64(40) }
        }
        _ => PerfLinked::Other,
    }
}

fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn longs(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|long| u64_at(long, 0)).collect()
}
