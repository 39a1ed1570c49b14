//! What a program's surroundings are to the compiler: the maps that it names, the functions
//! that it calls by number, and what its code asks of whoever runs it. That is all that is
//! known of them here.

use skep_isa::{AtomicOp, Insn, Pc};
use skep_verify::Facts;

use crate::bare;
use crate::state::State;

/// Which checks compiled code makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checks {
    /// All: nothing is known about the program.
    Guarded,
    /// None: a verifier proved that they are not needed.
    Elided,
}

/// In which order a machine keeps the bytes of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByteOrder {
    /// The least significant first.
    Little,
    /// The most significant first.
    Big,
}

impl ByteOrder {
    /// The order of the machine that this runs on.
    pub const HOST: ByteOrder =
        if cfg!(target_endian = "little") { ByteOrder::Little } else { ByteOrder::Big };

    /// How far up in a number of `bytes` a part of `size` bytes is that lies `off` bytes
    /// behind its start, in bits.
    pub fn shift(self, bytes: u32, off: u32, size: u32) -> u32 {
        match self {
            ByteOrder::Little => 8 * off,
            ByteOrder::Big => 8 * (bytes - off - size),
        }
    }
}

/// A map that a program names, as its code sees it.
#[derive(Clone, Debug)]
pub struct MapView {
    /// What the program has in the place of a pointer to it.
    pub word: u64,
    /// What functions of the host get that take it by address.
    pub address: u64,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Its only value, which code has the address of from the start.
    pub direct: Option<DirectValue>,
    /// The bytes of that value, where they can never change.
    pub constant: Option<Vec<u8>>,
    /// Where the elements of an array are.
    pub elements: Option<Layout>,
    /// Where the slots of an array of programs are.
    pub slots: Option<Layout>,
    /// The function that looks a key up in it: state, the map's address, the key's.
    pub lookup: usize,
    /// Whether its values are maps.
    pub of_maps: bool,
}

/// A value that stays where it is.
#[derive(Clone, Copy, Debug)]
pub struct DirectValue {
    /// Its first address.
    pub start: u64,
    /// Bytes of it.
    pub len: u32,
    /// Whether programs may write to it.
    pub writable: bool,
}

/// Where the elements of an array are: `base + vCPU * area + index * slot`.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Address of the first.
    pub base: u64,
    /// Bytes from one to the next.
    pub slot: u64,
    /// Bytes from a vCPU's elements to the next one's; 0 where they share them.
    pub area: u64,
    /// How many there are.
    pub count: u32,
}

/// Kernel functions of linked code are callees, too: their number is this, and the one that the
/// instruction has. Helpers' numbers are below.
pub const KFUNCS: u32 = 1 << 16;

/// A function of the kernel, which programs call by number.
#[derive(Clone, Debug)]
pub struct Callee {
    /// Argument words that it reads.
    pub words: usize,
    /// Which of them are maps.
    pub maps: [bool; 5],
    /// What it sees of the memory that each of them points to, and keeps no pointer to.
    pub reach: [Reach; 5],
    /// Whether loads of the context may give something else after it.
    pub changes_context: bool,
    /// What does it with plain words.
    pub direct: Option<Direct>,
    /// What code does in its place.
    pub inline: Option<Inline>,
}

impl Callee {
    /// One that nothing is known of.
    pub const UNKNOWN: Callee = Callee {
        words: 5,
        maps: [false; 5],
        reach: [Reach::Unknown; 5],
        changes_context: false,
        direct: None,
        inline: None,
    };
}

/// Bytes that a callee reads or writes at a pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Any, or it keeps the pointer.
    Unknown,
    /// So many.
    Bytes(u32),
    /// A key of its map.
    Key,
    /// A value of its map.
    Value,
    /// As many as the argument behind says.
    Next,
}

/// A function of the host that takes the state and a callee's words as they are, but for maps,
/// which it gets by address.
#[derive(Clone, Copy, Debug)]
pub struct Direct {
    /// Its address.
    pub entry: usize,
    /// Whether code with checks calls it, too.
    pub guarded: bool,
    /// Whether a map that the code names brings its own ([`MapView::lookup`]); this one gets
    /// other maps by their words then.
    pub of_map: bool,
    /// Whether it is called only where all of a program's maps are known.
    pub balanced: bool,
}

/// What code does in the place of a call.
#[derive(Clone, Copy, Debug)]
pub enum Inline {
    /// Gives the number of the vCPU.
    Cpu,
    /// Goes on to another program: context, map, index.
    TailCall,
    /// Finds an element of an array, by the index that the second argument points to; in
    /// other maps it is a call.
    Element,
    /// Calls a subprogram so often: count, subprogram, context, flags that are 0; the
    /// subprogram gets index and context, and ends it with 1.
    Loop {
        /// How often at most.
        most: u64,
        /// What it gives for more.
        too_many: u64,
    },
    /// A step of an iteration over numbers, whose iterator the first argument points to: the
    /// number that it is at, and the one that it ends before, of 32 bits each.
    Range(Range),
    /// Does nothing, and gives 0.
    Nothing,
    /// Walks over a map that the code names: map, subprogram, context, flags that are 0. This
    /// function takes the state, the call's site, the map's address, and the first three.
    Walk {
        /// Its address.
        entry: usize,
    },
}

/// A step of an iteration over numbers.
#[derive(Clone, Copy, Debug)]
pub enum Range {
    /// Begins one: iterator, first number, the one behind the last. Gives 0, or, for an empty
    /// iteration, why it is none.
    New {
        /// How many numbers at most.
        most: u64,
        /// What it gives where the end is before the start.
        backward: u64,
        /// What it gives for more numbers.
        too_many: u64,
    },
    /// Goes on to the next number; gives a pointer to it, or 0.
    Next,
}

/// What code asks of whoever runs it. The functions get the state first and leave the run by
/// [`State::leave`].
///
/// A *site* is the instruction's number, times 2^32, and what is said with it.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Calls a function of the kernel: site with its number, r1 to r5.
    pub call: unsafe extern "C" fn(*mut State<'_>, u64, u64, u64, u64, u64, u64) -> u64,
    /// Goes on to another program: site with whether it is a subprogram's, r1 to r3.
    pub tail_call: unsafe extern "C" fn(*mut State<'_>, u64, u64, u64, u64) -> u64,
    /// The same by a slot of an array of programs: site, the slot's address. Code leaves with
    /// what it gives, if that is not 0.
    pub jump: unsafe extern "C" fn(*mut State<'_>, u64, u64) -> u64,
    /// The address of the map that a word stands for.
    pub map: unsafe extern "C" fn(*mut State<'_>, u64) -> u64,
    /// A legacy packet load: site with the number of bytes, offset.
    pub legacy: unsafe extern "C" fn(*mut State<'_>, u64, u64) -> u64,
    /// A store to a field of the context: site with the number of bytes, offset, value.
    pub store_context: unsafe extern "C" fn(*mut State<'_>, u64, u64, u64),
    /// A load that the fast checks did not let through: site with the number of bytes and,
    /// 256 times, whether it is signed; address.
    pub load: unsafe extern "C" fn(*mut State<'_>, u64, u64) -> u64,
    /// A store: site with the number of bytes, address, value.
    pub store: unsafe extern "C" fn(*mut State<'_>, u64, u64, u64),
    /// An atomic operation, which gives the old word: site with the number of bytes and, 256
    /// times, [`atomic_code`]; address, operand, what is expected.
    pub atomic: unsafe extern "C" fn(*mut State<'_>, u64, u64, u64, u64) -> u64,
}

/// An atomic operation as a number.
pub fn atomic_code(op: AtomicOp) -> u32 {
    match op {
        AtomicOp::Add { .. } => 0,
        AtomicOp::Or { .. } => 1,
        AtomicOp::And { .. } => 2,
        AtomicOp::Xor { .. } => 3,
        AtomicOp::Xchg => 4,
        AtomicOp::Cmpxchg => 5,
    }
}

/// What is known of a program's callees, by their numbers.
pub type Callees = fn(u32) -> &'static Callee;

/// What is compiled.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    /// Instructions, one for each slot.
    pub(crate) insns: &'s [Insn],
    /// The maps that they name by index.
    pub(crate) maps: &'s [MapView],
    /// What a verifier knows of them; only of code without checks.
    pub(crate) facts: Option<&'s Facts>,
    /// Which of the maps those are that the facts speak of.
    pub(crate) fact_maps: &'s [Option<u32>],
    pub(crate) callees: Callees,
    /// Subprograms that the host calls, besides those that the program gives to it.
    pub(crate) called: &'s [Pc],
    pub(crate) host: &'s Host,
    /// Whether there is a kernel around the run.
    pub(crate) hosted: bool,
    /// Whether code without checks spends from the budget, too.
    pub(crate) counted: bool,
    /// How the machine that code is made for orders bytes.
    pub(crate) bytes: ByteOrder,
}

impl<'s> Source<'s> {
    /// Instructions that know nothing but their memory.
    pub fn bare(insns: &'s [Insn]) -> Source<'s> {
        Source {
            insns,
            maps: &[],
            facts: None,
            fact_maps: &[],
            callees: |_| &Callee::UNKNOWN,
            called: &[],
            host: &bare::HOST,
            hosted: false,
            counted: false,
            bytes: ByteOrder::HOST,
        }
    }

    /// A program of a kernel.
    ///
    /// # Safety
    /// As long as there is code of it: the maps are what their views say, and the host's
    /// functions, with those of maps and callees, are there, have the signatures that are
    /// told of here, and may be called with what such code passes to them.
    pub unsafe fn hosted(
        insns: &'s [Insn],
        maps: &'s [MapView],
        callees: Callees,
        host: &'s Host,
    ) -> Source<'s> {
        Source { maps, callees, host, hosted: true, ..Source::bare(insns) }
    }

    /// What a verifier knows of the program, and which of its maps the facts speak of.
    pub fn with_facts(self, facts: &'s Facts, fact_maps: &'s [Option<u32>]) -> Source<'s> {
        Source { facts: Some(facts), fact_maps, ..self }
    }

    /// With subprograms, by their first slots, which the host calls by itself.
    pub fn calling(self, called: &'s [Pc]) -> Source<'s> {
        Source { called, ..self }
    }

    /// Counting what it does, whatever it is compiled with: backward jumps and calls spend from
    /// the budget.
    pub fn counting(self) -> Source<'s> {
        Source { counted: true, ..self }
    }

    /// For a machine that orders bytes like this.
    pub fn on(self, bytes: ByteOrder) -> Source<'s> {
        Source { bytes, ..self }
    }
}

/// Why a program was not compiled. An interpreter runs it all the same.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JitError {
    /// An instruction that is not compiled.
    #[error("insn {pc}: {what} are not compiled")]
    Unsupported {
        /// The instruction.
        pc: Pc,
        /// What it does.
        what: &'static str,
    },
    /// More than the compiler takes on.
    #[error("too large to compile: {what}")]
    TooLarge {
        /// Of what there is too much.
        what: &'static str,
    },
    /// The back end gave up.
    #[error("code generation: {0}")]
    Backend(String),
    /// No memory for code.
    #[error("code memory: {0}")]
    Memory(std::io::ErrorKind),
    /// A pass broke the rules of the SSA form (checked under test only).
    #[error("after {pass}: {broken}")]
    Broken {
        /// The pass.
        pass: &'static str,
        /// What does not hold.
        broken: String,
    },
}
