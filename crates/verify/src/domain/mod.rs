//! What the verifier knows of a number, and how instructions change it.
//!
//! A [`Scalar`] is five views of one register: its bits ([`Tnum`]), and its unsigned
//! and signed [`Range`] at 64 and at 32 bits. Every transfer function is written once
//! over words ([`Register`]): `u64` runs it, a few bits test it exhaustively, a
//! solver's terms prove it. The functions and their files:
//!
//! - `tnum`, `range`: one view each, at any width;
//! - `scalar`: the five together: what they contain, when one includes another;
//! - `sync`: how the views learn from each other;
//! - `alu`: arithmetic, and offsets of pointers;
//! - `convert`: truncation and sign extension;
//! - `branch`: what a condition decides, and what is known on either side of it;
//! - `obligations`: what is to be proved of all of these.
//!
//! What always holds: if `x` is contained in `a` and `y` in `b`, then `x op y` is
//! contained in `a op b`. How precise the result is follows Linux 6.18 in each
//! detail, since verdicts hang on it (`kernel/bpf/tnum.c`, and the `scalar_min_max_*`,
//! `reg_bounds_sync` and `regs_refine_cond_op` families of `kernel/bpf/verifier.c`).

#![allow(
    clippy::should_implement_trait,
    reason = "operators would promise the exact result, where these enclose it"
)]

mod alu;
mod branch;
mod convert;
pub mod obligations;
mod print;
mod range;
mod register;
mod scalar;
mod sync;
mod tnum;

pub use branch::Refined;
pub use print::{LogSigned, LogUnsigned};
pub use range::{Range, Sign, Signed, Unsigned};
pub use register::{Register, W32};
pub use scalar::{Scalar, Scalar64};
pub use tnum::Tnum;
