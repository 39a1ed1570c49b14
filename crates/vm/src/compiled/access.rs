//! Accesses that compiled code does not make by itself: to fields of the context, legacy loads
//! of packets, and of guarded code those that its fast checks did not let through.

use skep_abi::TrapKind;
use skep_isa::{AluOp, Size, Width, alu, movsx};
use skep_jit::{Exit, State};

use super::entry::{entered, leave, site, stop};
use super::{fill, refill, run_of};
use crate::run::Stop;

/// A legacy packet load: outside of the packet the program returns 0.
pub extern "C" fn legacy(state: *mut State<'_>, access: u64, at: u64) -> u64 {
    let (pc, bytes) = site(access);
    entered(state, Some(pc), 0, || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { run_of(state) }) else {
            leave(state, Exit::UnknownCall, Some(pc));
            return 0;
        };
        match run.context.load_legacy(i64::from(at as u32 as i32), size_of(bytes)) {
            Some(word) => word.into(),
            None => stop(run, state, Some(pc), Stop::Return(0)),
        }
    })
}

/// A store to a field of the context.
pub extern "C" fn store_context(state: *mut State<'_>, access: u64, offset: u64, bits: u64) {
    let (pc, bytes) = site(access);
    entered(state, Some(pc), (), || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { run_of(state) }) else {
            return leave(state, Exit::Memory, Some(pc));
        };
        let (offset, size) = (offset as i64, size_of(bytes));
        let stored = u32::try_from(offset).ok().and_then(|at| run.context.store(at, size, bits));
        match stored {
            // SAFETY: a state is valid while its code runs.
            Some(()) => refill(run, unsafe { &mut *state }, offset, size),
            None => {
                let kind = TrapKind::BadContextAccess { offset, size: size.bytes(), write: true };
                stop(run, state, Some(pc), kind.into());
            }
        }
    })
}

/// A load that the fast checks did not let through.
pub extern "C" fn load(state: *mut State<'_>, access: u64, address: u64) -> u64 {
    let (pc, what) = site(access);
    entered(state, Some(pc), 0, || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { run_of(state) }) else {
            leave(state, Exit::Memory, Some(pc));
            return 0;
        };
        let (size, signed) = (size_of(what & 0xff), what >> 8 != 0);
        match run.load_at(pc, address, size) {
            Ok((bits, region)) => {
                if let Some(region) = region {
                    // SAFETY: a state is valid while its code runs.
                    run.favour(unsafe { &mut *state }, region);
                }
                if signed { movsx(Width::W64, size, bits) } else { bits }
            }
            Err(kind) => stop(run, state, Some(pc), kind.into()),
        }
    })
}

/// A store that the fast checks did not let through.
pub extern "C" fn store(state: *mut State<'_>, access: u64, address: u64, bits: u64) {
    let (pc, what) = site(access);
    entered(state, Some(pc), (), || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { run_of(state) }) else {
            return leave(state, Exit::Memory, Some(pc));
        };
        match run.store_at(pc, address, size_of(what), bits) {
            Ok(region) => {
                // SAFETY: a state is valid while its code runs.
                let state = unsafe { &mut *state };
                match region {
                    Some(region) => run.favour(state, region),
                    None => {
                        fill(run, state);
                    }
                }
            }
            Err(kind) => {
                stop(run, state, Some(pc), kind.into());
            }
        }
    })
}

/// An atomic operation that the fast checks did not let through, by [`skep_jit::atomic_code`];
/// gives the old word.
pub extern "C" fn atomic(
    state: *mut State<'_>,
    access: u64,
    address: u64,
    operand: u64,
    expected: u64,
) -> u64 {
    let (pc, what) = site(access);
    entered(state, Some(pc), 0, || {
        // SAFETY: compiled code passes on its state.
        let Some(run) = (unsafe { run_of(state) }) else {
            leave(state, Exit::Memory, Some(pc));
            return 0;
        };
        let size = size_of(what & 0xff);
        let width = if size == Size::DW { Width::W64 } else { Width::W32 };
        let cut = |bits: u64| if size == Size::DW { bits } else { bits as u32 as u64 };
        let updated = run.update_at(pc, address, size, |old| match what >> 8 {
            0 => alu(AluOp::Add, width, old, operand),
            1 => alu(AluOp::Or, width, old, operand),
            2 => alu(AluOp::And, width, old, operand),
            3 => alu(AluOp::Xor, width, old, operand),
            4 => cut(operand),
            _ if old == cut(expected) => cut(operand),
            _ => old,
        });
        match updated {
            Ok(old) => old,
            Err(kind) => stop(run, state, Some(pc), kind.into()),
        }
    })
}

fn size_of(bytes: u32) -> Size {
    match bytes {
        1 => Size::B,
        2 => Size::H,
        4 => Size::W,
        _ => Size::DW,
    }
}
