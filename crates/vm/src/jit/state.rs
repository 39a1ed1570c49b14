//! What compiled code shares with the kernel around it, and how it is entered.

use std::marker::PhantomData;
use std::ptr::{null, null_mut};

use skep_abi::{Frame, Trap, TrapKind};

use super::Code;
use super::ir::Exit;
use super::ir::build::CELLS;
use crate::memory::stack::{FRAME_SIZE, PROGRAM_FRAMES, Stack};
use crate::memory::value::{Kind, Region};
use crate::objects::program::Program;
use crate::run::{Outcome, Run};

/// What compiled code shares with the kernel around it. Code accesses the fields by
/// their offsets.
#[repr(C)]
pub struct State<'r> {
    /// Instructions left.
    pub(crate) budget: u64,
    /// An [`Exit`] as a number.
    pub(crate) exit: u32,
    /// The instruction that it left at.
    pub(crate) pc: u32,
    /// End of the current function's frame; of guarded code.
    pub(crate) frame: u64,
    /// First address of the stack.
    pub(crate) stack: u64,
    /// The last address that may be the end of a frame.
    pub(crate) limit: u64,
    /// First address of a region that may be read and written.
    pub(crate) memory: u64,
    /// For accesses of 1, 2, 4 and 8 bytes: at how many places they fit into it.
    pub(crate) places: [u64; 4],
    /// What the program returned that a nested tail call ran.
    pub(crate) answer: u64,
    /// Number of the vCPU.
    pub(crate) cpu: u64,
    /// The run that this is a part of; null where no kernel is around it.
    pub(crate) run: *mut Run<'r>,
    /// The program that runs; null where the run says which one it is.
    pub(crate) running: *const Program,
    /// Fields of the context.
    pub(crate) cells: [u64; CELLS],
    stack_of: PhantomData<&'r mut Stack>,
}

// SAFETY: the run and the running program are pointers that every run sets anew, and that
// nobody follows between runs.
unsafe impl Send for State<'_> {}

/// Where fields of [`State`] are.
pub(crate) mod offset {
    use super::State;
    use std::mem::offset_of;

    pub const BUDGET: i32 = offset_of!(State, budget) as i32;
    pub const EXIT: i32 = offset_of!(State, exit) as i32;
    pub const PC: i32 = offset_of!(State, pc) as i32;
    pub const FRAME: i32 = offset_of!(State, frame) as i32;
    pub const STACK: i32 = offset_of!(State, stack) as i32;
    pub const LIMIT: i32 = offset_of!(State, limit) as i32;
    pub const MEMORY: i32 = offset_of!(State, memory) as i32;
    pub const PLACES: i32 = offset_of!(State, places) as i32;
    pub const CPU: i32 = offset_of!(State, cpu) as i32;
    pub const ANSWER: i32 = offset_of!(State, answer) as i32;
    pub const CELLS: i32 = offset_of!(State, cells) as i32;
}

/// The signature of every function that is entered: state, r1 to r5; gives r0.
pub(crate) type Entry = unsafe extern "C" fn(*mut State<'_>, u64, u64, u64, u64, u64) -> u64;

/// A stack for code that runs without a kernel around it.
#[derive(Default)]
pub struct CodeStack(Stack);

impl<'r> State<'r> {
    /// For a run without a kernel, on this stack and this memory.
    ///
    /// # Safety
    /// The `len` bytes from `memory` on are there to be read and written as long as code is
    /// run with this, and nobody holds a reference to them meanwhile.
    pub unsafe fn bare(
        stack: &'r mut CodeStack,
        memory: *mut u8,
        len: u32,
        budget: u64,
    ) -> State<'r> {
        memory.expose_provenance();
        // SAFETY: as the caller promises.
        let region = unsafe { Region::new(memory, len, Kind::Memory, true) };
        State::new(&mut stack.0, Some(region), budget)
    }

    /// For a run on this stack and, where there is some, this memory.
    pub(crate) fn new(stack: &'r mut Stack, memory: Option<Region>, budget: u64) -> State<'r> {
        let mut state = State::on(stack);
        state.favour(memory);
        state.budget = budget;
        state
    }

    /// For runs on this stack.
    pub(crate) fn on(stack: &mut Stack) -> State<'r> {
        let start = stack.frame(0).region().start();
        let mut state = State {
            budget: 0,
            exit: 0,
            pc: 0,
            frame: 0,
            stack: start,
            limit: 0,
            memory: 0,
            places: [0; 4],
            answer: 0,
            cpu: 0,
            run: null_mut(),
            running: null(),
            cells: [0; CELLS],
            stack_of: PhantomData,
        };
        state.begin(0);
        state
    }

    /// Everything as it is before a run.
    #[inline]
    pub(crate) fn begin(&mut self, budget: u64) {
        self.budget = budget;
        self.exit = Exit::None as u32;
        self.frame = self.stack + u64::from(FRAME_SIZE);
        self.allow_tail_calls(0);
    }

    /// Lets frames nest as deeply as they may after so many tail calls.
    pub(crate) fn allow_tail_calls(&mut self, tail_calls: u32) {
        let programs = u64::from(tail_calls) + 1;
        self.limit = self.stack + programs * PROGRAM_FRAMES as u64 * u64::from(FRAME_SIZE);
    }

    /// The region that code accesses by itself besides the stack.
    pub(crate) fn favour(&mut self, region: Option<Region>) {
        let (memory, len) = region.map_or((0, 0), |region| (region.start(), region.size()));
        let places = [1, 2, 4, 8].map(|size| (u64::from(len) + 1).saturating_sub(size));
        (self.memory, self.places) = (memory, places);
    }
}

impl Code {
    /// Runs instructions that were compiled alone, with these in r1 and r2. The code of a
    /// loaded program is no instruction here: it runs with the program's own maps and
    /// context, in its kernel.
    pub fn run(&self, state: &mut State<'_>, r1: u64, r2: u64) -> Outcome {
        if self.hosted {
            state.exit = Exit::BadInstruction as u32;
            return state.outcome();
        }
        // SAFETY: guarded code stays within the ranges of the state, which its maker
        // vouches for; for other code, the caller of `compile_unchecked` did.
        let r0 = unsafe { (self.entry())(state, r1, r2, 0, 0, 0) };
        if state.exit == Exit::None as u32 { Outcome::Returned(r0) } else { state.outcome() }
    }

    /// The program's first function.
    #[inline]
    pub(crate) fn entry(&self) -> Entry {
        self.function(0)
    }

    /// The function that starts this many bytes into the code.
    #[inline]
    fn function(&self, offset: u32) -> Entry {
        // SAFETY: offsets of functions lie inside of the code.
        let address = unsafe { self.memory.entry().add(offset as usize) };
        // SAFETY: the address of a function with this signature; code memory lives as
        // long as `self`.
        unsafe { std::mem::transmute::<*const u8, Entry>(address) }
    }

    /// The function for helpers to call that starts at a slot.
    pub(crate) fn callback(&self, pc: u64) -> Option<Entry> {
        let at = self.callbacks.binary_search_by_key(&pc, |&(known, _)| known.into()).ok()?;
        Some(self.function(self.callbacks[at].1))
    }
}

impl State<'_> {
    fn outcome(&self) -> Outcome {
        if self.exit == Exit::Budget as u32 {
            return Outcome::OutOfBudget;
        }
        let pc = self.pc;
        Outcome::Trapped(Trap { pc, kind: self.trap_kind(), frames: vec![Frame { pc }] })
    }

    /// What code that left by itself trapped at.
    pub(crate) fn trap_kind(&self) -> TrapKind {
        match self.exit {
            exit if exit == Exit::Memory as u32 => {
                TrapKind::NotAPointer { register: 0, value: 0, write: false }
            }
            exit if exit == Exit::CallDepth as u32 => TrapKind::CallDepth,
            exit if exit == Exit::BadJump as u32 => TrapKind::BadJump { target: self.pc.into() },
            exit if exit == Exit::UnknownCall as u32 => TrapKind::UnknownKfunc { btf_id: 0 },
            _ => TrapKind::BadInstruction,
        }
    }
}
