//! The verifier: would Linux load this program, and if not, why.
//!
//! `domain` is what it knows of a number; everything else is built on top of it.
#![forbid(unsafe_code)]

pub mod domain;
