//! An eBPF kernel in user space: maps, programs, helpers and hooks behind the same
//! [`skep_sys::Kernel`] interface as Linux, and the engines that run programs.
//!
//! Its rooms, each leaning only on those above it:
//!
//! ```text
//!   memory                   tagged values, stacks, packets
//!   objects                  programs, maps, BTF; fds and ids
//!   contexts                 what r1 of programs points to
//!   run                      one run, its vCPU, clock, and what it holds
//!   helpers                  what programs call
//!   kfuncs                   what they call by BTF
//!   interp | compiled        two engines, beside each other
//!   engine                   which one, and what runs programs again and again
//!   kernel                   the system call
//!   hooks                    where events come from
//! ```
#![deny(unsafe_code)]

mod compiled;
mod contexts;
mod engine;
mod helpers;
pub mod hooks;
mod interp;
mod kernel;
mod kfuncs;
mod memory;
mod objects;
mod run;

pub use engine::Engine;
pub use engine::machine::DEFAULT_BUDGET;
pub use helpers::exists as has_helper;
pub use hooks::raw::{RawError, RawMemory, run_raw};
pub use kernel::vm::Vm;
pub use kfuncs::{MissingKfunc, has as has_kfunc};
pub use objects::heap::Objects;
pub use objects::hook::{Arguments, HelperEnd, HookDef, HookFunction};
pub use objects::program::{Program, ProgramError};
pub use run::Outcome;
pub use run::environment::Environment;
pub use run::network::{Device, Neighbour, Network, Redirect, Route, RouteKind, Socket, Way};
pub use run::vcpus::{MOST_NESTED, NoVcpu};
pub use run::world::{Captured, Task, World};
pub use skep_jit as jit;
pub use skep_maps::{self as maps, MOST_CPUS};
