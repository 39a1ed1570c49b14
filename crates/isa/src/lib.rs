//! eBPF instructions: decoded once into [`Insn`], encoded back byte for byte,
//! printed and read as text, and their arithmetic written once over a word type.
//!
//! ```text
//!  bytes <- Slot -> decode / encode <-> Insn <-> display, disassemble / assemble <- text
//!                                        |
//!                     alu, condition ... over Word: u64, Bits<N>, a solver's terms
//! ```
//!
//! Everything else in skep matches on [`Insn`]; only `decode` and `encode` look at
//! opcode bits. The instruction set is that of RFC 9669 with what Linux added up
//! to 6.18. [`classic`] is the older one of packet filters, with its translation.
//!
//! ```
//! use skep_isa::{Style, assemble, disassemble};
//!
//! let insns = assemble("r0 = 2\nif r1 == 0 goto out\nr0 += 1\nout: exit")?;
//! assert_eq!(disassemble(&insns[..2], Style::Linux), "(b7) r0 = 2\n(15) if r1 == 0x0 goto pc+1\n");
//! # Ok::<(), skep_isa::AsmError>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "arbitrary")]
pub mod arbitrary;
mod arith;
mod asm;
pub mod build;
pub mod classic;
mod decode;
mod encode;
mod insn;
mod link;
mod opcode;
mod print;
mod slot;
mod syntax;
pub mod vector;
mod word;

pub use arith::{
    alu, alu_on, byte_swap, byte_swap_on, condition, condition_on, movsx, movsx_on, neg, neg_on,
};
pub use asm::{
    AsmError, AsmErrorKind, Assembly, Label, Reference, ReferenceKind, assemble, assemble_unit,
};
pub use decode::{DecodeError, DecodeErrorKind, decode, decode_at, decode_each, imm64_at, map_fds};
pub use encode::encode;
pub use insn::{
    AluOp, AtomicOp, Callee, Cond, Imm64, ImmKind, Insn, Operand, Order, Pc, Reg, Size, Width,
};
pub use link::link;
pub use print::{Names, SlotText, Style, Text, disassemble};
pub use slot::Slot;
pub use word::{Bits, W64, Word};
