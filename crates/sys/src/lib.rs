//! The seam: `bpf(2)` and its few companions as a typed table of commands, and the
//! kernels that stand below it.
//!
//! ```text
//!        load, skep, cli ...                  typed commands (table)
//!  ═══════════════════════════ trait Kernel ═══════════════════════════
//!    Linux        vm::Vm        Tee (both, compared)      Trace (logged)
//!   bpf(2)     in user space
//! ```
//!
//! An [`Fd`] owns what a command opened; a number alone proves nothing, and what acts on
//! one (closing, mapping) is `unsafe`. What stands before a kernel is a [`Layer`].
//!
//! A command is a plain structure whose pointers are slices. `table` has the commands, and
//! in `table/rows.rs` what each field is for: lengths are checked, fds translated, memory
//! copied and answers compared by these rows. It lays commands out as `union bpf_attr` for
//! Linux, and reads such raw bytes back for kernels that are not Linux (`raw`).
#![deny(unsafe_code)]

mod between;
mod fd;
pub mod host;
mod info;
mod kernel;
mod link_info;
#[cfg(target_os = "linux")]
mod linux;
mod mapping;
pub mod perf;
mod raw;
mod table;
mod tee;
mod trace;

pub use between::{Below, Between, Layer};
pub use fd::{Fd, RawFd};
pub use host::KernelTypes;
pub use info::{
    BTF_INFO_SIZE, BtfInfo, MAP_INFO_SIZE, MapInfo, PROG_INFO_SIZE, ProgCode, ProgInfo,
};
pub use kernel::{Host, Kernel, SocketPlace, possible_cpus};
pub use link_info::{LINK_INFO_SIZE, LinkInfo, Linked, PerfLinked};
#[cfg(target_os = "linux")]
pub use linux::Linux;
pub use mapping::Mapping;
pub use perf::{PerfControl, PerfKind, PerfSpec, Sampling};
pub use raw::raw_bpf;
pub use skep_abi::Errno;
pub use table::{
    ATTR_SIZE, BtfLoad, Command, EnableStats, GetById, Input, IterCreate, LinkCreate,
    LinkCreateIter, LinkCreateKprobes, LinkCreateNetfilter, LinkCreatePerf, LinkCreateUprobes,
    LinkDetach, LinkUpdate, MapBatch, MapCreate, MapDelete, MapElem, MapFreeze, MapNextKey, Memory,
    NestedBuffer, NextId, ObjGet, ObjInfo, ObjPin, ObjectKind, Output, ProgAttach, ProgBindMap,
    ProgLoad, ProgQuery, ProgStreamRead, RawTracepointOpen, TaskFdQuery, TestRun, TokenCreate,
};
pub use tee::{Difference, Tee};
pub use trace::{Trace, Watch};
