//! eBPF as a library: one object, one interface, two kernels.
//!
//! An [`Object`] is read from a file or from bytes, loaded into a [`Kernel`], and run.
//! The kernel is [`Vm`], which lives in this process and needs no permission, or
//! [`Linux`], the machine's own; what stands above them cannot tell which.
//!
//! ```
//! use std::sync::Arc;
//! use skep::{Kernel, Object, Vm};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel: Arc<dyn Kernel> = Arc::new(Vm::new());
//! # const HELLO: &[u8] =
//! #     include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello.bpf.o"));
//! // What `clang -O2 -g --target=bpf -c hello.bpf.c` made; Object::open reads a file.
//! let object = Object::parse("hello.bpf.o", HELLO)?;
//! let skep = object.load(&kernel)?;
//!
//! let program = skep.program("hello").ok_or("no such program")?;
//! assert_eq!(program.run(&[0; 60])?.retval, 2); // XDP_PASS
//! assert_eq!(skep.global::<u64>("packets")?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! The same with `Arc::new(skep::Linux::new())`, as root, runs in Linux.
//!
//! | to | see |
//! |---|---|
//! | look into an object, edit it, load it | [`Object`], [`load`](mod@load) |
//! | set and read variables | [`Object::set_global`], [`Skep::global`], [`Skep::set_global`] |
//! | read and write maps by Rust types | [`Skep::typed`], [`Map`], [`PerCpu`] |
//! | read ring buffers, or wait for them | [`Skep::ring_buffer`], [`RingBuffer::event`] |
//! | run programs on frames without TEST_RUN's limits | [`vm::hooks::PacketHook`] |
//! | have programs extend your own application | [`hook`] |
//! | set clock, chance and output of programs | [`vm::environment`] |
//! | ask which packets an expression takes | [`filter()`], [`lang`] |
//! | put programs at their hooks, by links | [`load::attach`] |
//! | read captures | [`load::capture`] |
//! | ask for Linux's verdict without loading | [`judge`], [`verify`](mod@verify) |
//! | compare with an earlier verification | [`baseline`] |
//! | decide system calls by a policy, prove its filter | [`seccomp::Policy`] |
//! | work with instructions and types | [`isa`], [`btf`] |
//! | read maps by the object's own types, through serde | `ByBtf` (feature `serde`) |
//! | see each `bpf()` command, or compare two kernels | [`Trace`], [`Tee`] |
#![forbid(unsafe_code)]

/// The Rust of docs/attach.md, to be compiled.
#[cfg(all(doctest, target_os = "linux"))]
#[doc = include_str!("../../../docs/attach.md")]
struct AttachPage;

pub mod baseline;
mod filter;
pub mod hook;
pub mod judge;

pub use skep_abi as abi;
pub use skep_btf as btf;
pub use skep_isa as isa;
pub use skep_lang as lang;
pub use skep_lang::seccomp;
pub use skep_load as load;
/// What plain data is read and written by: skeletons derive its traits.
pub use skep_load::zerocopy;
pub use skep_sys as sys;
pub use skep_verify as verify;
pub use skep_vm as vm;

pub use filter::{FilterError, FilterOptions, PacketFilter, filter};
pub use hook::{Hook, HookContext};
pub use skep_abi::Errno;
#[cfg(feature = "derive")]
pub use skep_derive::HookContext;
#[cfg(feature = "serde")]
pub use skep_load::ByBtf;
pub use skep_load::{
    AccessError, Error, Global, Linked, LoadError, Map, Object, ObjectError, PerCpu, Program,
    RelocateError, RingBuffer, Skep, Target,
};
#[cfg(target_os = "linux")]
pub use skep_sys::Linux;
pub use skep_sys::{Kernel, Tee, TestRun, Trace};
pub use skep_vm::{RawMemory, Vm, run_raw};
