//! From a file to running programs, in three stages, each a function from one type
//! to the next:
//!
//! ```text
//!   file ── Object::open ──> Object    plain data, to be looked at and edited
//!              relocate  ──> Linked    each program's instructions as one piece
//!              load      ──> Skep      live maps and programs of a kernel
//! ```
//!
//! An object is read as libbpf 1.7 reads it, and relocated to the same bytes.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod attach;
pub mod capture;
pub mod clock;
mod elf;
mod error;
#[cfg(feature = "serde")]
pub mod event;
mod kconfig;
pub mod linker;
mod load;
mod object;
mod open;
mod parse;
mod parts;
mod relocate;
pub mod skeleton;
mod target;

pub use error::{
    AccessError, Error, LinkError, LinkErrorKind, LoadError, LoadErrorKind, ObjectError,
    ObjectErrorKind, ReadError, RelocateError, RelocateErrorKind,
};
#[cfg(feature = "serde")]
pub use load::{ByBtf, to_json};
pub use load::{
    Bytes, Element, Entries, Global, Keys, Map, Options, PerCpu, PerfBuffer, PerfRecord, Place,
    Program, Ran, Records, RingBuffer, Skep, Variable, load,
};
pub use object::{
    CoreRecord, Extern, ExternKind, Function, KconfigType, MapDef, MapOrigin, Object, Operation,
    ProgramDef, Reference, Symbol,
};
pub use relocate::{
    Linked, LinkedProgram, MapReference, PlacedFunction, Poisoned, Structure, StructureMember,
    relocate,
};
pub use skep_abi::Loader;
pub use target::{AttachError, Target};
pub use zerocopy;
