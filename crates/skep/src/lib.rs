//! eBPF as a library: one object, one interface, two kernels.
#![forbid(unsafe_code)]

pub use skep_abi as abi;
pub use skep_btf as btf;
pub use skep_isa as isa;
pub use skep_load as load;
pub use skep_sys as sys;
pub use skep_vm as vm;
