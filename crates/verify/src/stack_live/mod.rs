//! Which slots of the stack may still be read: what a checkpoint need not keep.
//!
//! Exploration visits an instruction `p` of a function many times, under different calls.
//! For each chain of calls `c` that leads into the function, and each frame `k` of that
//! chain, it collects
//!
//! - `reads(c, p, k)`: slots of frame `k` that some visit of `p` read;
//! - `writes(c, p, k)`: slots that every visit of `p` wrote whole.
//!
//! From these, with `s` over the successors of `p` within the function,
//!
//! - `done(c, p, k) = writes(c, p, k) ∪ ∩ done(c, s, k)`: written at `p` or on every way
//!   from there to the function's end (nothing behind `p` counts where the function may
//!   end by a tail call);
//! - `live(c, p, k) = reads(c, p, k) ∪ (∪ live(c, s, k) \ writes(c, p, k))`: read at `p`
//!   or later, and not written before.
//!
//! A call does to its caller's frames what the called function does from its start on: for
//! `c'`, which is `c` with a call at `q`, `live(c', start, k)` is read and
//! `done(c', start, k)` is written at `(c, q, k)`.
//!
//! Both are least solutions, found by going around each function in post-order until
//! nothing changes; `done` starts anew only when an instruction turns out to write less
//! than was thought. [`flow`] solves one function for one frame, [`tree`] keeps the chains
//! of calls. The design is Linux's (`kernel/bpf/liveness.c`), whose verdicts and numbers of
//! states it has to give; where Linux loses something, so does this (see `Point::write`).

mod flow;
mod tree;

use skep_abi::limits::MAX_FRAMES;
use std::rc::Rc;

use rustc_hash::FxHashMap;

pub(crate) use flow::Step;
pub(crate) use tree::{Calls, Instance, InstanceId};

/// What was seen of the stack's slots, and of which function under which calls.
#[derive(Default)]
pub(crate) struct StackLiveness {
    pub calls: Calls,
    /// The instructions of each function, by its start.
    pub steps: FxHashMap<u32, Rc<[Step]>>,
    /// The function that is being explored, unless another one was entered since.
    pub current: Option<InstanceId>,
    /// What the instruction at `writing` has written so far, by frame.
    pub written: [u64; MAX_FRAMES],
    pub writing: u32,
}
