//! An eBPF kernel in user space: maps, programs, helpers and hooks behind the same
//! [`skep_sys::Kernel`] interface as Linux, and the engines that run programs.
//!
//! ```text
//!   syscall  ->  objects  ->  program  ->  engine: jit or interp  ->  helpers, maps
//!                                            ^
//!                                          hooks (contexts, events)
//! ```
#![deny(unsafe_code)]

mod engine;
pub mod environment;
pub mod helpers;
pub mod hooks;
pub mod interp;
pub mod jit;
pub mod maps;
mod mem;
mod objects;
mod panics;
mod printer;
pub mod program;
mod raw;
mod syscall;
mod vcpus;
mod vm;
mod workspaces;

pub use engine::Engine;
pub use maps::MOST_CPUS;
pub use raw::{RawError, RawMemory, run_raw};
pub use vcpus::{MOST_NESTED, NoVcpu};
pub use vm::{DEFAULT_BUDGET, Vm};
