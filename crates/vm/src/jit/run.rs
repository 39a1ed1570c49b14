//! Entering compiled code and leaving it.

use std::marker::PhantomData;

use skep_abi::{Frame, Trap, TrapKind};

use super::Code;
use super::ir::Exit;
use crate::interp::Outcome;
use crate::mem::stack::{FRAME_SIZE, MAX_FRAMES, Stack};
use crate::mem::value::Region;

/// What compiled code shares with the kernel around it. Code accesses the fields by
/// their offsets.
#[repr(C)]
pub struct State<'r> {
    /// Instructions left.
    budget: u64,
    /// An [`Exit`] as a number.
    exit: u32,
    /// The instruction that it left at.
    pc: u32,
    /// End of the current function's frame.
    frame: u64,
    /// First address of the stack; it is 8 frames long.
    stack: u64,
    /// First address of the memory that r1 points to.
    memory: u64,
    /// For accesses of 1, 2, 4 and 8 bytes: at how many places they fit into it.
    places: [u64; 4],
    run: PhantomData<&'r mut Stack>,
}

/// Where fields of [`State`] are.
pub(super) mod offset {
    use super::State;
    use std::mem::offset_of;

    pub const BUDGET: i32 = offset_of!(State, budget) as i32;
    pub const EXIT: i32 = offset_of!(State, exit) as i32;
    pub const PC: i32 = offset_of!(State, pc) as i32;
    pub const FRAME: i32 = offset_of!(State, frame) as i32;
    pub const STACK: i32 = offset_of!(State, stack) as i32;
    pub const MEMORY: i32 = offset_of!(State, memory) as i32;
    pub const PLACES: i32 = offset_of!(State, places) as i32;
}

/// Bytes of all frames.
pub(super) const STACK_SIZE: u64 = FRAME_SIZE as u64 * MAX_FRAMES as u64;

/// The signature of every compiled function: state, r1 to r5; gives r0.
type Entry = unsafe extern "C" fn(*mut State<'_>, u64, u64, u64, u64, u64) -> u64;

impl<'r> State<'r> {
    /// For a run on this stack and, where there is some, this memory.
    pub fn new(stack: &'r mut Stack, memory: Option<Region>, budget: u64) -> State<'r> {
        let start = stack.frame(0).region().start();
        let (memory, len) = memory.map_or((0, 0), |region| (region.start(), region.size()));
        let places = [1, 2, 4, 8].map(|size| (u64::from(len) + 1).saturating_sub(size));
        let frame = start + u64::from(FRAME_SIZE);
        State {
            budget,
            exit: Exit::None as u32,
            pc: 0,
            frame,
            stack: start,
            memory,
            places,
            run: PhantomData,
        }
    }
}

impl Code {
    /// Runs the program with these in r1 and r2.
    pub fn run(&self, state: &mut State<'_>, r1: u64, r2: u64) -> Outcome {
        let address = self.memory.entry();
        // SAFETY: the address of a function with this signature; code memory lives as
        // long as `self`.
        let entry = unsafe { std::mem::transmute::<*const u8, Entry>(address) };
        // SAFETY: guarded code stays within the ranges of the state, which its maker
        // vouches for; for other code, the caller of `compile_unchecked` did.
        let r0 = unsafe { entry(state, r1, r2, 0, 0, 0) };
        if state.exit == Exit::None as u32 { Outcome::Returned(r0) } else { state.outcome() }
    }
}

impl State<'_> {
    fn outcome(&self) -> Outcome {
        let pc = self.pc;
        let kind = match self.exit {
            exit if exit == Exit::Budget as u32 => return Outcome::OutOfBudget,
            exit if exit == Exit::Memory as u32 => {
                TrapKind::NotAPointer { register: 0, value: 0, write: false }
            }
            exit if exit == Exit::CallDepth as u32 => TrapKind::CallDepth,
            exit if exit == Exit::BadJump as u32 => TrapKind::BadJump { target: pc.into() },
            exit if exit == Exit::UnknownCall as u32 => TrapKind::UnknownKfunc { btf_id: 0 },
            _ => TrapKind::BadInstruction,
        };
        Outcome::Trapped(Trap { pc, kind, frames: vec![Frame { pc }] })
    }
}
