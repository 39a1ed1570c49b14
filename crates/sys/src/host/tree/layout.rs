//! What the reader and the agent in each traced process agree on: addresses, words, bits.
//!
//! This file is compiled twice: into this crate, and into the agent (`build.rs`). All that
//! lies behind [`CONTROL`] and in rings is shared memory, which every traced process can
//! write at any time: neither side may trust a word of it further than it checks.
//!
//! In a traced process, from one address on:
//!
//! ```text
//! 0        CODE   the agent and its tables   a sealed file, shared, r-x
//! PRIVATE         the process's own state    anonymous, rw-
//! CONTROL         what all of a tree share   the other file, from 0, rw-
//! ```
//! and elsewhere one ring, from the other file at `ring_offset(slot)`, and where functions are
//! probed what the sealed file has from [`PROBES`] on.

/// Length of the agent's code with its tables: the only range whose system calls pass.
pub const CODE: usize = 0xb000;
/// A page of thunks in the code, copied near the sites that are patched.
pub const THUNKS: usize = 0x8000;
/// A byte per system call: [`ENTER`] and the others.
pub const WANTED: usize = 0x9000;
/// Bytes that no other tree's agent has: who asks for something shows them.
pub const TOKEN: usize = 0x9200;
/// How many.
pub const TOKEN_LEN: usize = 16;
/// Four words per system call: what is captured ([`Row`]).
pub const ROWS: usize = 0xa000;
/// Where the process's own state begins.
pub const PRIVATE: usize = CODE;
/// Its length.
pub const PRIVATE_LEN: usize = 0x2000;
/// Where the shared page begins.
pub const CONTROL: usize = PRIVATE + PRIVATE_LEN;
/// Its length.
pub const CONTROL_LEN: usize = 0x4000;
/// All of it.
pub const TOTAL: usize = CONTROL + CONTROL_LEN;
/// Where [`Probes`] are in the sealed file, where there are any.
pub const PROBES: usize = TOTAL;

/// System calls below this number are told apart; Linux 6.18 has 470.
pub const CALLS: usize = 512;

/// The reader wants a record when the call begins.
pub const ENTER: u8 = 1;
/// The reader wants a record when it has ended.
pub const EXIT: u8 = 2;
/// Memory is captured with the first: the call goes the slow way.
pub const CAPTURE: u8 = 4;
/// The agent has to do something about the call itself.
pub const SPECIAL: u8 = 8;
/// It may return twice.
pub const CLONE: u8 = 16;
/// It does not return.
pub const SIGRETURN: u8 = 32;

/// Set in [`Shared::ALIVE`](shared::ALIVE) by the kernel when the reader dies (a robust futex),
/// or by the reader when it leaves: `FUTEX_OWNER_DIED`.
pub const LEFT: u32 = 0x4000_0000;

/// Words of the shared page, by their offset.
pub mod shared {
    /// u32: the thread that attends to execs, and [`LEFT`](super::LEFT).
    pub const ALIVE: usize = 0;
    /// u32, a futex: there is something in the slots of execs.
    pub const DOORBELL: usize = 4;
    /// u32, a futex: rings have filled up by a quarter.
    pub const BELL: usize = 8;
    /// u32: the reader sleeps at [`BELL`].
    pub const SLEEPS: usize = 12;
    /// u32, a futex: rings have been emptied.
    pub const DRAINED: usize = 16;
    /// u32: how many wait at [`DRAINED`].
    pub const WAITERS: usize = 20;
    /// u64 each, by [`Count`](super::Count).
    pub const COUNTS: usize = 64;
    /// [`EXECS`](super::EXECS) times 8 u32: state, thread, number of the call, nothing, and the
    /// agent's address in two.
    pub const EXEC_SLOTS: usize = 512;
    /// [`RINGS`](super::RINGS) times 2 u32: process, how many others use it.
    pub const OWNERS: usize = EXEC_SLOTS + super::EXECS * super::EXEC_SLOT;
    /// Where they end.
    pub const END: usize = OWNERS + super::RINGS * 8;
}
const _: () = assert!(shared::END <= CONTROL_LEN);

/// What is counted in the shared page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// Records for which a ring had no room.
    Lost,
    /// Calls that were caught.
    Caught,
    /// Sites that were patched.
    Patched,
    /// Sites that could not be.
    Unpatched,
    /// Threads and processes that were armed.
    Armed,
    /// Execs for which the reader was asked.
    Asked,
    /// Those in which nobody came.
    Unanswered,
    /// Programs that run untraced: with rights of their own, in namespaces of their own.
    Untraced,
    /// Threads that left because they use what the agent needs.
    Left,
    /// Calls by numbers that are none, or by the 32-bit gate.
    Odd,
    /// Processes that share another's ring.
    Sharing,
    /// Programs that began with the agent.
    Begun,
    /// Places of functions that became jumps or breakpoints.
    Planted,
    /// Those that could not: other bytes lie there, or no memory near by.
    Unplanted,
    /// Returns that are not seen: too many were open.
    Unreturned,
}
/// How many there are.
pub const COUNTS: usize = 15;

/// Execs that can be attended to at once.
pub const EXECS: usize = 64;
/// Bytes of a slot.
pub const EXEC_SLOT: usize = 32;
/// States of their slots.
pub mod exec {
    /// Nobody's.
    pub const FREE: u32 = 0;
    /// Taken by a thread that fills it in.
    pub const TAKEN: u32 = 1;
    /// The reader is asked to attach.
    pub const ASKED: u32 = 2;
    /// It is about to.
    pub const COMING: u32 = 3;
    /// It has.
    pub const ATTACHED: u32 = 4;
    /// It may not.
    pub const REFUSED: u32 = 5;
    /// The exec has failed: the reader is asked to let go.
    pub const FAILED: u32 = 6;
    /// Nobody waits for the reader any more.
    pub const ABANDONED: u32 = 7;
}

/// Rings of a tree; processes beyond that share.
pub const RINGS: usize = 256;
/// A ring: a page with its two positions, records, and room for one that begins at the end.
pub const RING: usize = 4096 + RECORDS + SLACK;
/// Bytes of its records.
pub const RECORDS: usize = UNITS << UNIT_LOG;
/// Positions count units of this many bytes, as a power of two.
pub const UNIT_LOG: usize = 5;
/// Units in a ring.
pub const UNITS: usize = 1 << 15;
/// The longest record.
pub const SLACK: usize = 0x4000;
/// Offset of the position that writers claim from; the reader's is at [`TAIL`].
pub const HEAD: usize = 0;
/// What the reader has read.
pub const TAIL: usize = 64;

/// Where a ring begins in the file.
pub const fn ring_offset(slot: usize) -> usize {
    CONTROL_LEN + slot * RING
}

/// The first word of a record, written last: its position and one, its units, its kind.
pub const fn tag(position: u64, units: u64, kind: u64) -> u64 {
    ((position + 1) & POSITION) | units << 48 | kind << 58
}
/// The bits of the position.
pub const POSITION: u64 = (1 << 48) - 1;

/// Kinds of records. Words: 0 tag, 1 time stamp counter, 2 who and number, then as said.
pub mod kind {
    /// A call begins: 3 to 8 arguments, 9 the instruction behind the site, 10 the stack
    /// pointer, 11 rbp, then captured memory.
    pub const ENTER: u64 = 1;
    /// A call has ended: 3 its result.
    pub const EXIT: u64 = 2;
    /// A thread or process began: 3 who made it, 4 flags of clone.
    pub const BORN: u64 = 3;
    /// A program was executed: 3 and 4 the task's name, 5 user, 6 group, 7 the parent process.
    pub const EXEC: u64 = 4;
    /// A function begins or has returned: 3 which ([`probe`](super::probe)), 4 its address (or
    /// where it returns to), 5 the stack pointer, 6 rbp, 7 the word on the stack.
    pub const FUNCTION: u64 = 5;
    /// The same with registers: from 8 on r15 to rdi as `struct pt_regs` has them, and the
    /// flags; then captured memory.
    pub const REGISTERS: u64 = 6;
}
/// Captured memory in a record, from word 12 on: a word with [`ITEM_MARK`], the argument in
/// bits 32 to 39 and the length in bytes in 0 to 31; the address; the bytes, up to a multiple
/// of 8. A word of zero ends it.
pub const ITEM_MARK: u64 = 1 << 63;
/// Word at which it begins.
pub const ITEMS: usize = 12;

/// Word at which that of functions begins.
pub const FUNCTION_ITEMS: usize = 24;

/// Units of a record of a call's beginning, without memory.
pub const ENTER_UNITS: usize = 3;
/// Of its end.
pub const EXIT_UNITS: usize = 1;
/// Of the others, and of functions without registers.
pub const LIFE_UNITS: usize = 2;
/// Of functions with registers, without memory.
pub const REGISTER_UNITS: usize = 6;
const _: () = assert!(REGISTER_UNITS << UNIT_LOG == FUNCTION_ITEMS * 8);

/// Who: the thread in bits 0 to 21, its process in 22 to 43, as `pid_max` allows; bit 44 says
/// that the program takes SIGSYS for blocked. In records the number is in bits 48 to 63.
pub const PID_BITS: u32 = 22;
/// The bit of a virtually blocked SIGSYS.
pub const BLOCKED: u64 = 1 << 44;
/// The same of SIGTRAP, where functions have breakpoints.
pub const TRAP_BLOCKED: u64 = 1 << 45;

/// What a thunk tells the agent: which function, and what is wanted of it.
pub mod probe {
    /// The bits of its number.
    pub const NUMBER: u32 = (1 << 20) - 1;
    /// Its beginning is an event.
    pub const ENTRY: u32 = 1 << 20;
    /// Its return is.
    pub const RETURN: u32 = 1 << 21;
    /// The stack is captured.
    pub const STACK: u32 = 1 << 22;
    /// Memory behind the first argument is captured; the other five are the bits that follow.
    pub const MEMORY: u32 = 1 << 23;
    /// Memory behind the result is.
    pub const RESULT: u32 = 1 << 29;
    /// Registers are recorded; the four above need it.
    pub const REGISTERS: u32 = 1 << 30;
    /// In records: it has returned.
    pub const RETURNED: u64 = 1 << 32;
}
/// Bytes that are captured behind an argument or a result, and of the stack.
pub const BEHIND: usize = 512;
/// See [`BEHIND`].
pub const STACK: usize = 8192;
/// The argument of captured memory that stands for the stack, and for the result.
pub const STACK_ITEM: usize = 7;
/// See [`STACK_ITEM`].
pub const RESULT_ITEM: usize = 6;

/// What is known of functions, at [`PROBES`] of the sealed file: this, then [`Module`]s, then
/// what they refer to by offsets from here.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Probes {
    /// Bytes in all; a multiple of a page.
    pub len: u64,
    /// How many files.
    pub modules: u32,
    /// [`TRAPS`], [`RETURNS`].
    pub flags: u32,
}
/// Some places get a breakpoint: SIGTRAP is the agent's.
pub const TRAPS: u32 = 1;
/// Returns are wanted.
pub const RETURNS: u32 = 2;

/// A file with functions that are probed.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Module {
    /// Which file.
    pub device: u64,
    /// See [`Module::device`].
    pub inode: u64,
    /// Where a program begins, as the file has it.
    pub entry: u64,
    /// Where the file would have the thunks.
    pub area: u64,
    /// The thunks: where, and how many bytes (a multiple of a page). They begin with the
    /// addresses of `agent_function` and `agent_function_full`.
    pub image: u32,
    /// See [`Module::image`].
    pub image_len: u32,
    /// Offsets in the image of distances to the file's own places (an i32 each).
    pub near: u32,
    /// How many.
    pub near_count: u32,
    /// Offsets in the image of addresses in the file (a u64 each).
    pub far: u32,
    /// How many.
    pub far_count: u32,
    /// [`Patch`]es, by their addresses.
    pub patches: u32,
    /// How many.
    pub patch_count: u32,
}

/// A place that becomes a jump or a breakpoint.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Patch {
    /// Where in the file.
    pub offset: u64,
    /// Where the file would have it in memory.
    pub address: u64,
    /// Where in the image its thunk is.
    pub thunk: u32,
    /// How many bytes change: 5 is a jump, 1 a breakpoint.
    pub len: u32,
    /// What lies there.
    pub old: [u8; 8],
}

/// A row of what is captured: 0 is none; bits 0-2 the argument, 3-5 the [`form`], 6-8 the
/// argument that holds the length, 9-15 the most that is captured, in units of 64 bytes.
pub type Row = u16;
/// How long it is.
pub mod form {
    /// Up to a zero byte.
    pub const TEXT: u16 = 1;
    /// As many bytes as another argument says.
    pub const BYTES: u16 = 2;
    /// The most that is captured, always.
    pub const FIXED: u16 = 3;
    /// A list of pointers to texts, which ends with a null pointer; each text gets up to
    /// [`ITEM`](super::ITEM) bytes.
    pub const LIST: u16 = 4;
}
/// The most that is captured of one text of a list.
pub const ITEM: usize = 128;
/// Rows of a call.
pub const ROWS_EACH: usize = 4;

/// What the stub in the vDSO page is told, behind its code.
#[repr(C)]
pub struct Stub {
    /// Where the program begins.
    pub entry: u64,
    /// inode of the file of the code.
    pub code_inode: u64,
    /// inode of the shared file.
    pub shared_inode: u64,
    /// Path of the file of the code, with a zero.
    pub code_path: [u8; 40],
    /// Path of the shared file, with a zero.
    pub shared_path: [u8; 40],
    /// Number of the call that executed the program; 0: the tree's first.
    pub number: u64,
    /// Where the program itself begins, behind the dynamic linker (`AT_ENTRY`).
    pub program: u64,
    /// Where the dynamic linker is mapped (`AT_BASE`).
    pub linker: u64,
    /// Bytes of the probes; 0: there are none.
    pub probes: u64,
}
/// The agent's bytes begin with where in them the stub begins, how long it is, and where
/// [`Stub`] is in it: a u64 each. Behind them is where `agent_start_up` begins.
pub const HEADER: usize = 24;
