//! The agent: what runs inside of each traced process.
//!
//! It is freestanding. It uses no thread-local storage, no library and no memory but the
//! three areas of `layout` and the caller's stack, and it is linked by `build.rs` into one
//! block of bytes that runs wherever it is mapped. All its system calls lie within its own
//! code, which Syscall User Dispatch lets pass.
//!
//! How a call goes: the kernel raises SIGSYS (`signals::agent_on_sigsys`), whose handler only
//! has the program go on at `agent_entry` (`entry`); there it is recorded (`ring`) and made, on
//! the program's own stack and with its own mask, as if by itself. Later the site jumps there
//! directly (`patch`). Some calls need more than that (`special`, `exec`, `birth`). Functions
//! that are probed begin with a jump, too (`plant`, `functions`).
//!
//! Nothing here may panic: what could would not link. Vector registers are the program's, and
//! are saved around what is written in Rust.
#![no_std]
#![allow(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]

mod birth;
mod calls;
mod capture;
mod entry;
mod exec;
mod functions;
#[path = "../layout.rs"]
#[allow(dead_code)]
mod layout;
mod patch;
mod plant;
mod ring;
mod signals;
mod special;
mod start;
mod state;
