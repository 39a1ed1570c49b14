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
pub mod mem;
mod objects;
mod panics;
pub mod program;
mod raw;
mod syscall;
mod vm;

pub use engine::Engine;
pub use objects::{MapHandle, Object};
pub use raw::{RawError, RawMemory, run_raw};
pub use vm::{DEFAULT_BUDGET, HeldVcpu, Vcpu, Vm};
