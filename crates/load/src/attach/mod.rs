//! Programs at their hooks: one file for each kind of hook.
//!
//! A [`Hook`] says where, [`Program::attach`](crate::Program::attach) puts the program there,
//! and the [`Link`] that comes of it keeps it there: who drops the link, or dies, takes the
//! program away again. Kernels other than the program's own never see it. Counterpart:
//! `bpf_program__attach*` of libbpf.
//!
//! | hook | what |
//! |---|---|
//! | [`Tracepoint`], [`RawTracepoint`] | tracepoints of the kernel |
//! | [`Tracing`] | what is named by BTF: tp_btf, fentry, fexit, fmod_ret, lsm |
//! | [`PerfEvent`] | software and hardware events, by count or frequency |
//! | [`Uprobe`], [`Uprobes`] | functions of files, one or many |
//! | [`Kprobe`], [`Kprobes`] | functions of the kernel, one or many |
//! | [`Xdp`], [`Tcx`], [`Netfilter`] | packets of an interface or a namespace |
//! | [`Cgroup`] | what the processes of a cgroup do |
//! | [`NetNamespace`] | sk_lookup, flow_dissector |
//! | [`Sockmap`], [`Socket`] | sockets of a map, or one |
//! | [`Iter`] | iterators; [`Link::iterate`] reads one |
//! | [`Replaced`] | functions of other programs |
//!
//! Structures of operations are registered, by
//! [`Skep::register`](crate::Skep::register).

pub mod auto;
mod cgroup;
mod freplace;
mod hook;
mod interface;
mod iter;
mod kprobe;
mod kprobes;
mod link;
mod netfilter;
mod netns;
mod order;
mod pattern;
mod perf_event;
mod raw_tracepoint;
mod socket;
mod sockmap;
mod struct_ops;
pub mod symbols;
mod tcx;
mod tracepoint;
mod tracing;
mod uprobe;
mod uprobes;
mod xdp;

pub use cgroup::Cgroup;
pub use freplace::Replaced;
pub use hook::Hook;
pub use interface::interface;
pub use iter::{CgroupOrder, Iter, Pass};
pub use kprobe::Kprobe;
pub use kprobes::Kprobes;
pub use link::Link;
pub use netfilter::{Family, Netfilter, Stage};
pub use netns::NetNamespace;
pub use order::Order;
pub use pattern::Pattern;
pub use perf_event::PerfEvent;
pub use raw_tracepoint::RawTracepoint;
pub use socket::Socket;
pub use sockmap::Sockmap;
pub use tcx::Tcx;
pub use tracepoint::Tracepoint;
pub use tracing::Tracing;
pub use uprobe::{Spot, Uprobe};
pub use uprobes::{Point, Uprobes};
pub use xdp::Xdp;
