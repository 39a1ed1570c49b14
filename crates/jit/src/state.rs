//! What compiled code shares with whoever runs it, and how it is entered.
//!
//! The frames that code works on are bare memory here; who runs it says where.

use std::marker::PhantomData;
use std::ptr::null_mut;

use skep_isa::Pc;

/// Bytes of a frame (`MAX_BPF_STACK`).
pub const FRAME_SIZE: u32 = 512;
/// Most nested frames of one program (`MAX_CALL_FRAMES`).
pub const PROGRAM_FRAMES: usize = 8;
/// Most nested frames: each of 33 tail calls may nest as deeply again.
pub const MAX_FRAMES: usize = PROGRAM_FRAMES * 34;
/// Bytes of all frames.
pub const STACK_SIZE: u64 = FRAME_SIZE as u64 * MAX_FRAMES as u64;

/// Why compiled code leaves a run by itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum Exit {
    /// It returned.
    None = 0,
    /// A load or store outside of the run's memory.
    Memory = 1,
    /// The budget is used up.
    Budget = 2,
    /// More than 8 nested calls.
    CallDepth = 3,
    /// Control left the instructions.
    BadJump = 4,
    /// An instruction without meaning.
    BadInstruction = 5,
    /// A kernel function: none exists.
    UnknownCall = 6,
    /// The kernel around it knows why.
    Host = 7,
    /// Another program goes on in its place.
    TailCall = 8,
    /// Another program's code goes on in its place, at the address that it returned.
    Jump = 9,
}

/// Most fields of the context that a program may load.
pub const CELLS: usize = 64;

/// What compiled code shares with whoever runs it. Code accesses the fields by their offsets.
#[repr(C)]
pub struct State<'r> {
    /// Instructions left.
    budget: u64,
    /// Why code leaves, or left.
    exit: Exit,
    /// The instruction that it left at.
    pc: u32,
    /// End of the current function's frame; of guarded code.
    frame: u64,
    /// First address of the stack.
    stack: u64,
    /// The last address that may be the end of a frame.
    limit: u64,
    /// First address of a region that may be read and written.
    memory: u64,
    /// For accesses of 1, 2, 4 and 8 bytes: at how many places they fit into it.
    places: [u64; 4],
    /// What the program returned that a nested tail call ran.
    answer: u64,
    /// Number of the vCPU.
    cpu: u64,
    /// Whatever the host put here; null where there is none.
    host: *mut (),
    /// Fields of the context.
    cells: [u64; CELLS],
    stack_of: PhantomData<&'r mut [u8]>,
}

// SAFETY: the addresses are followed in runs only; the host sets its own anew for each.
unsafe impl Send for State<'_> {}

/// Where fields of [`State`] are.
pub mod offset {
    #![allow(missing_docs, reason = "the fields' names")]
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
pub type Entry = unsafe extern "C" fn(*mut State<'_>, u64, u64, u64, u64, u64) -> u64;

/// A stack for code that runs alone.
pub struct CodeStack(Box<[u64]>);

impl Default for CodeStack {
    fn default() -> CodeStack {
        CodeStack(vec![0; STACK_SIZE as usize / 8].into())
    }
}

impl<'r> State<'r> {
    /// For code that runs alone, on this stack and this memory.
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
        let start = stack.0.as_mut_ptr().expose_provenance() as u64;
        // SAFETY: the stack is borrowed for as long as there is this.
        let mut state = unsafe { State::on(start) };
        // SAFETY: as the caller promises.
        unsafe { state.favour(memory.expose_provenance() as u64, len) };
        state.begin(budget);
        state
    }

    /// For runs on the stack that starts there.
    ///
    /// # Safety
    /// [`STACK_SIZE`] bytes are there, at a multiple of 8, exposed, to be read and written
    /// while code runs with this, by nothing else that holds a reference to them.
    pub unsafe fn on(stack: u64) -> State<'r> {
        let mut state = State {
            budget: 0,
            exit: Exit::None,
            pc: 0,
            frame: 0,
            stack,
            limit: 0,
            memory: 0,
            places: [0; 4],
            answer: 0,
            cpu: 0,
            host: null_mut(),
            cells: [0; CELLS],
            stack_of: PhantomData,
        };
        state.begin(0);
        state
    }

    /// Everything as it is before a run.
    #[inline]
    pub fn begin(&mut self, budget: u64) {
        self.budget = budget;
        self.exit = Exit::None;
        self.frame = self.stack + u64::from(FRAME_SIZE);
        self.allow_tail_calls(0);
    }

    /// Lets frames nest as deeply as they may after so many tail calls, of which there are
    /// at most 33.
    #[inline]
    pub fn allow_tail_calls(&mut self, tail_calls: u32) {
        let programs = u64::from(tail_calls.min(33)) + 1;
        self.limit = self.stack + programs * PROGRAM_FRAMES as u64 * u64::from(FRAME_SIZE);
    }

    /// The region that code accesses by itself besides the stack.
    ///
    /// # Safety
    /// It is there, exposed, to be read and written until another one is named.
    #[inline]
    pub unsafe fn favour(&mut self, start: u64, len: u32) {
        let places = [1, 2, 4, 8].map(|size| (u64::from(len) + 1).saturating_sub(size));
        (self.memory, self.places) = (start, places);
    }

    /// Code accesses by itself nothing but the stack.
    #[inline]
    pub fn favour_none(&mut self) {
        (self.memory, self.places) = (0, [0; 4]);
    }

    /// Lets code leave for a reason, which stands at this instruction.
    #[inline]
    pub fn leave(&mut self, exit: Exit, pc: Pc) {
        (self.exit, self.pc) = (exit, pc);
    }

    /// Why code left; [`Exit::None`] where it returned.
    #[inline]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The same; from now on it goes on.
    #[inline]
    pub fn take_exit(&mut self) -> Exit {
        std::mem::replace(&mut self.exit, Exit::None)
    }

    /// Whether code returned, or runs.
    #[inline]
    pub fn goes_on(&self) -> bool {
        self.exit == Exit::None
    }

    /// The instruction that code left at.
    #[inline]
    pub fn pc(&self) -> Pc {
        self.pc
    }

    /// Instructions left.
    #[inline]
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Sets how many instructions are left.
    #[inline]
    pub fn set_budget(&mut self, budget: u64) {
        self.budget = budget;
    }

    /// Takes one instruction from the budget; false where it is used up.
    #[inline]
    pub fn spend(&mut self) -> bool {
        let left = self.budget.checked_sub(1);
        self.budget = left.unwrap_or(0);
        left.is_some()
    }

    /// Frames below that of guarded code.
    pub fn depth(&self) -> usize {
        ((self.frame - self.stack) / u64::from(FRAME_SIZE)) as usize
    }

    /// Gives up all frames but the first: whoever has them is not gone back to.
    pub fn unwind(&mut self) {
        self.frame = self.stack + u64::from(FRAME_SIZE);
    }

    /// Does something on the frame above that of guarded code; `None` where there is none.
    pub fn in_next_frame<R>(&mut self, done: impl FnOnce(&mut Self) -> R) -> Option<R> {
        let frame = self.frame;
        if frame + u64::from(FRAME_SIZE) > self.limit {
            return None;
        }
        self.frame = frame + u64::from(FRAME_SIZE);
        let result = done(self);
        self.frame = frame;
        Some(result)
    }

    /// Does something that leaves the frame as it was.
    pub fn in_this_frame<R>(&mut self, done: impl FnOnce(&mut Self) -> R) -> R {
        let frame = self.frame;
        let result = done(self);
        self.frame = frame;
        result
    }

    /// What the program returned that a nested tail call ran.
    #[inline]
    pub fn answer(&mut self, r0: u64) {
        self.answer = r0;
    }

    /// Sets the number of the vCPU.
    #[inline]
    pub fn set_cpu(&mut self, cpu: u32) {
        self.cpu = cpu.into();
    }

    /// Number of the vCPU.
    #[inline]
    pub fn cpu(&self) -> u32 {
        self.cpu as u32
    }

    /// What the host put here.
    #[inline]
    pub fn host(&self) -> *mut () {
        self.host
    }

    /// Puts something here for the host's functions to find; gives what was here.
    #[inline]
    pub fn set_host(&mut self, host: *mut ()) -> *mut () {
        std::mem::replace(&mut self.host, host)
    }

    /// Fields of the context: those that [`Code::cells`](crate::Code::cells) names, in its
    /// order.
    #[inline]
    pub fn cells(&mut self) -> &mut [u64] {
        &mut self.cells
    }
}
