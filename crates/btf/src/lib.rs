//! BTF, the BPF Type Format: read it, write it, print it, and match types by it.
//!
//! - [`Btf`] is one parsed object: its types, by id, as [`Type`] views over the
//!   bytes; [`Builder`] writes one.
//! - [`Ext`] is the `.BTF.ext` section: function, line and CO-RE records.
//! - [`core`] computes what CO-RE relocations ask for ("compile once, run everywhere").
//! - [`c`] prints types as C, [`dump`] as `bpftool btf dump` does, and [`value`]
//!   reads and writes bytes by their type.
//! - [`pack`] makes a kernel's types small enough to be kept and sent, and [`subset`] leaves
//!   out those that nobody looked at; [`dedup`] puts those together that are the same.
//!
//! After [`Btf::parse`] every type id and every string offset inside the types
//! is known to be in range; cycles are not excluded, so each walk is bounded.
//! The format is that of Linux's `Documentation/bpf/btf.rst`.
#![forbid(unsafe_code)]

mod btf;
mod builder;
pub mod c;
pub mod core;
pub mod dedup;
pub mod dump;
mod error;
mod ext;
mod index;
mod kind;
mod layout;
pub mod pack;
mod records;
pub mod subset;
mod types;
pub mod value;
mod wire;

pub use btf::Btf;
pub use builder::Builder;
pub use error::BtfError;
pub use ext::{Ext, FuncInfo, LineInfo, Section};
pub use kind::Kind;
pub use layout::Bitfield;
pub use records::{Record, Records};
pub use types::{
    Array, Composite, DataSec, Enum, Enumerator, FuncLinkage, FuncProto, Int, Member, Param,
    SecVar, Type, VarLinkage,
};
pub use wire::Endian;
