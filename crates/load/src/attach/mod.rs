//! Programs at their hooks: one file for each kind of hook.
//!
//! A [`Hook`] says where, [`Program::attach`] puts the program there, and the [`Link`] that
//! comes of it keeps it there: who drops the link, or dies, takes the program away again. A
//! kernel other than the program's own never sees it. Counterpart: `bpf_program__attach*` of
//! libbpf.
//!
//! | hook | file |
//! |---|---|
//! | [`Tracepoint`] | `tracepoint` |
//! | [`RawTracepoint`] | `raw_tracepoint` |
//! | [`Tracing`]: tp_btf, fentry, fexit, fmod_ret, lsm | `tracing` |
//! | [`PerfEvent`]: software and hardware events, by count or frequency | `perf_event` |
//! | [`Uprobe`], [`Uprobes`]: functions of files, one or many | `uprobe`, `uprobes` |
//! | [`Kprobe`], [`Kprobes`]: functions of the kernel, one or many | `kprobe`, `kprobes` |

mod hook;
mod kprobe;
mod kprobes;
mod link;
mod pattern;
mod perf_event;
mod raw_tracepoint;
pub mod symbols;
mod tracepoint;
mod tracing;
mod uprobe;
mod uprobes;

pub use hook::Hook;
pub use kprobe::Kprobe;
pub use kprobes::Kprobes;
pub use link::Link;
pub use pattern::Pattern;
pub use perf_event::PerfEvent;
pub use raw_tracepoint::RawTracepoint;
pub use tracepoint::Tracepoint;
pub use tracing::Tracing;
pub use uprobe::{Spot, Uprobe};
pub use uprobes::{Point, Uprobes};
