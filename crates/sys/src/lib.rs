//! The seam: `bpf(2)` and its few companions as a typed table of commands, and the
//! kernels that stand below it.
//!
//! ```text
//!        load, skep, cli ...                  typed commands (command)
//!  ═══════════════════════════ trait Kernel ═══════════════════════════
//!    Linux        vm::Vm        Tee (both, compared)      Trace (logged)
//!   bpf(2)     in user space
//! ```
//!
//! An [`Fd`] owns what a command opened; a number alone proves nothing, and what acts on
//! one (closing, mapping) is `unsafe`. What stands before a kernel is a [`Layer`].
//!
//! A command is a plain structure whose pointers are slices. `wire` lays it out as
//! `union bpf_attr` for Linux, and reads such raw bytes back for kernels that are
//! not Linux, with Linux's checks of sizes and tails.
#![deny(unsafe_code)]

mod between;
mod command;
mod fd;
mod host;
mod info;
mod kernel;
#[cfg(target_os = "linux")]
mod linux;
mod mapping;
mod raw;
mod tee;
mod trace;
mod wire;

pub use between::{Below, Between, Layer};
pub use command::{
    BtfLoad, Command, GetById, MapBatch, MapCreate, MapDelete, MapElem, MapFreeze, MapNextKey,
    NextId, ObjGet, ObjInfo, ObjPin, ObjectKind, ProgLoad, TestRun,
};
pub use fd::{Fd, RawFd};
pub use host::KernelTypes;
pub use info::{
    BTF_INFO_SIZE, BtfInfo, MAP_INFO_SIZE, MapInfo, NestedBuffer, PROG_INFO_SIZE, ProgInfo,
};
pub use kernel::{Host, Kernel, possible_cpus};
#[cfg(target_os = "linux")]
pub use linux::Linux;
pub use mapping::Mapping;
pub use raw::{Memory, raw_bpf};
pub use skep_abi::Errno;
pub use tee::{Difference, Tee};
pub use trace::{Trace, Watch};
pub use wire::{ATTR_SIZE, Input, Output};
