//! eBPF as a library: one object, one interface, two kernels.
//!
//! An [`Object`] is read from a file or from bytes, loaded into a [`Kernel`], and run.
//! The kernel is [`Vm`], which lives in this process and needs no permission, or
//! [`Linux`], the machine's own; what stands above them cannot tell which.
//!
//! ```
//! use std::sync::Arc;
//! use skep::{Kernel, Object, TestRun, Vm};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel: Arc<dyn Kernel> = Arc::new(Vm::new());
//! let object = Object::open("../../examples/hello.bpf.o")?;
//! let skep = object.load(&kernel)?;
//!
//! let frame = [0u8; 60];
//! let program = skep.program("hello").ok_or("no such program")?;
//! let (run, result) = program.test_run(TestRun {
//!     data_in: Some(frame[..].into()),
//!     data_size_in: frame.len() as u32,
//!     repeat: 3,
//!     ..TestRun::default()
//! });
//! result?;
//! assert_eq!(run.retval, 2); // XDP_PASS
//!
//! let variables = skep.map(".bss").ok_or("no variables")?;
//! let value = variables.lookup(&0u32.to_ne_bytes())?;
//! assert_eq!(value, Some(3u64.to_ne_bytes().to_vec()));
//! # Ok(())
//! # }
//! ```
//!
//! The same with `Arc::new(skep::Linux::new())`, as root, runs in Linux.
//!
//! | to | see |
//! |---|---|
//! | look into an object, edit it, load it | [`Object`], [`load`](mod@load) |
//! | read and write maps, read ring buffers | [`Map`], [`RingBuffer`] |
//! | run programs on frames without TEST_RUN's limits | [`vm::hooks::PacketHook`] |
//! | set clock, chance and output of programs | [`vm::environment`] |
//! | read captures | [`load::capture`] |
//! | ask for Linux's verdict without loading | [`judge`], [`verify`](mod@verify) |
//! | work with instructions and types | [`isa`], [`btf`] |
//! | see each `bpf()` command, or compare two kernels | [`Trace`], [`Tee`] |
#![forbid(unsafe_code)]

pub mod judge;

pub use skep_abi as abi;
pub use skep_btf as btf;
pub use skep_isa as isa;
pub use skep_load as load;
pub use skep_sys as sys;
pub use skep_verify as verify;
pub use skep_vm as vm;

pub use skep_abi::Errno;
pub use skep_load::{
    Error, Linked, LoadError, Map, Object, ObjectError, Program, RelocateError, RingBuffer, Skep,
    Target,
};
#[cfg(target_os = "linux")]
pub use skep_sys::Linux;
pub use skep_sys::{Kernel, Tee, TestRun, Trace};
pub use skep_vm::{RawMemory, Vm, run_raw};
