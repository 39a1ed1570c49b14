//! What code finds that runs alone, without a kernel around it: whatever it asks for, it
//! leaves.

use crate::describe::Host;
use crate::state::{Exit, State};

/// The host of bare code.
pub static HOST: Host = Host {
    call,
    tail_call,
    jump: nothing,
    map,
    legacy: nothing,
    store_context: store,
    load,
    store,
    atomic,
};

extern "C" fn call(
    state: *mut State<'_>,
    site: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    leave(state, site, Exit::UnknownCall)
}

extern "C" fn tail_call(state: *mut State<'_>, site: u64, _: u64, _: u64, _: u64) -> u64 {
    leave(state, site, Exit::UnknownCall)
}

extern "C" fn nothing(state: *mut State<'_>, site: u64, _: u64) -> u64 {
    leave(state, site, Exit::UnknownCall)
}

extern "C" fn map(state: *mut State<'_>, _: u64) -> u64 {
    leave(state, 0, Exit::UnknownCall)
}

extern "C" fn load(state: *mut State<'_>, site: u64, _: u64) -> u64 {
    leave(state, site, Exit::Memory)
}

extern "C" fn store(state: *mut State<'_>, site: u64, _: u64, _: u64) {
    leave(state, site, Exit::Memory);
}

extern "C" fn atomic(state: *mut State<'_>, site: u64, _: u64, _: u64, _: u64) -> u64 {
    leave(state, site, Exit::Memory)
}

fn leave(state: *mut State<'_>, site: u64, exit: Exit) -> u64 {
    // SAFETY: code passes on its state, which is valid while it runs.
    unsafe { &mut *state }.leave(exit, (site >> 32) as u32);
    0
}
