//! The door between compiled code and the functions that it calls, the same for all of
//! them. A panic does not pass it: it ends the run with a trap. And once a run is to end,
//! nothing is done for it any more: what was called says so to the code, which leaves at
//! the next place where it asks. Code asks after each call.

use skep_abi::{Frame, TrapKind};
use skep_isa::Pc;
use skep_jit::{Exit, State};

use super::unsettled;
use crate::run::panics::caught;
use crate::run::{Run, Stop};

/// Does `body` for code that called from `site`, if that is known; gives `otherwise` where
/// the run is to end.
#[inline(always)]
pub(super) fn entered<R>(
    state: *mut State<'_>,
    site: Option<Pc>,
    otherwise: R,
    body: impl FnOnce() -> R,
) -> R {
    // SAFETY: a state is valid while its code runs.
    if unsafe { !(*state).goes_on() } {
        return otherwise;
    }
    match caught(body) {
        Ok(result) => result,
        Err(kind) => {
            end(state, site, kind);
            otherwise
        }
    }
}

#[cold]
fn end(state: *mut State<'_>, site: Option<Pc>, kind: TrapKind) {
    // SAFETY: compiled code passes on its state, and what panicked uses the run no more.
    match unsafe { unsettled(state) } {
        Some(run) => {
            stop(run, state, site, kind.into());
        }
        None => leave(state, Exit::UnknownCall, site),
    }
}

/// Lets code leave, at an instruction if that is known: else code says which it is.
pub(super) fn leave(state: *mut State<'_>, exit: Exit, site: Option<Pc>) {
    // SAFETY: a state is valid while its code runs.
    let state = unsafe { &mut *state };
    state.leave(exit, site.unwrap_or(state.pc()));
}

/// Lets code leave for this reason; gives what the call returns then.
pub(super) fn stop(run: &mut Run<'_>, state: *mut State<'_>, site: Option<Pc>, why: Stop) -> u64 {
    if let Some(native) = &mut run.native {
        if let (Stop::Trap(_), Some(pc)) = (&why, site) {
            native.frames.push(Frame { pc });
        }
        native.stop = Some(why);
    }
    leave(state, Exit::Host, site);
    0
}

/// What a word of a call site says: the instruction, and what it is about.
pub(super) fn site(word: u64) -> (Pc, u32) {
    ((word >> 32) as u32, word as u32)
}
