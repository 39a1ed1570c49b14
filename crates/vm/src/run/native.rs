//! What a run knows while compiled code runs it.
#![allow(unsafe_code, reason = "names the state that the code works on")]

use std::ptr::{null, null_mut};
use std::sync::Arc;

use skep_abi::Frame;
use skep_jit::State;

use super::Stop;
use crate::memory::value::Value;
use crate::objects::program::{How, Program};

/// What a run knows while compiled code runs it.
pub(crate) struct Native<'r> {
    pub state: *mut State<'r>,
    /// Whether the code that runs makes checks.
    pub guarded: bool,
    /// How programs are compiled that it calls.
    pub how: How,
    /// The context as programs see it.
    pub context: Value,
    /// The program that the run began with, once another one goes on in its place.
    pub first: Option<Arc<Program>>,
    /// The program that runs; null where the run says which one it is.
    pub running: *const Program,
    /// Callbacks that run.
    pub depth: usize,
    /// The program that goes on in the place of this one.
    pub next: Option<Arc<Program>>,
    /// Why the run is to end, and where, innermost first.
    pub stop: Option<Stop>,
    pub frames: Vec<Frame>,
}

// SAFETY: every run sets the addresses anew, and nobody follows them between runs.
unsafe impl Send for Native<'_> {}

impl<'r> Native<'r> {
    /// For runs of a program with this context.
    pub fn new(guarded: bool, how: How, context: Value) -> Native<'r> {
        Native {
            state: null_mut(),
            guarded,
            how,
            context,
            first: None,
            running: null(),
            depth: 0,
            next: None,
            stop: None,
            frames: Vec::new(),
        }
    }
}
