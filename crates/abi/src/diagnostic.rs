//! What a kernel can say beyond an errno: the structured diagnostics that
//! `ProgLoad` and `TestRun` carry across the seam.

use std::fmt;

/// Structured reason of a failed command. Linux leaves it empty; the embedded
/// kernel fills it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Diagnostic {
    /// Slot of the instruction at fault, where there is one.
    pub pc: Option<u32>,
    /// One line: what went wrong, worded once.
    pub message: String,
    /// A run-time trap, if the program ran.
    pub trap: Option<Trap>,
}

/// One frame of the call chain at a trap, innermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Slot of the instruction that runs in this frame (the call, for callers).
    pub pc: u32,
}

/// A bad access or a bad call, stopped before it did harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Slot of the instruction.
    pub pc: u32,
    /// What it did.
    pub kind: TrapKind,
    /// The call chain, innermost first.
    pub frames: Vec<Frame>,
}

/// Why a run was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// A load or store outside the region that its pointer belongs to.
    OutOfBounds {
        /// The region (`stack`, `packet`, `map value`, ...).
        region: &'static str,
        /// Offset of the access from the start of the region.
        offset: i64,
        /// Bytes accessed.
        size: u32,
        /// Bytes in the region.
        len: u64,
        /// Whether it was a store.
        write: bool,
    },
    /// A load or store through something that is no pointer.
    NotAPointer {
        /// Register that held the address.
        register: u8,
        /// Its value.
        value: u64,
        /// Whether it was a store.
        write: bool,
    },
    /// A store into memory that a program may only read.
    ReadOnly {
        /// The region.
        region: &'static str,
    },
    /// A field of the context that does not exist or cannot be written.
    BadContextAccess {
        /// Offset into the context.
        offset: i64,
        /// Bytes accessed.
        size: u32,
        /// Whether it was a store.
        write: bool,
    },
    /// A register that nothing was written to.
    Uninitialised {
        /// The register.
        register: u8,
    },
    /// A pointer into memory that was given back or moved.
    Stale {
        /// The region.
        region: &'static str,
    },
    /// A load from one of the kernel's own structures, which are not here.
    KernelMemory {
        /// What it is a part of (`map`).
        what: &'static str,
    },
    /// Control left the program's instructions.
    BadJump {
        /// Target slot.
        target: i64,
    },
    /// A call of a helper that does not exist here.
    UnknownHelper {
        /// Helper number.
        id: u32,
    },
    /// A call of a kernel function that does not exist here.
    UnknownKfunc {
        /// BTF id of the function.
        btf_id: u32,
    },
    /// A relocation that had no answer was reached.
    Poisoned {
        /// What could not be resolved.
        what: String,
    },
    /// A helper got an argument it cannot use.
    BadArgument {
        /// Helper's name.
        helper: &'static str,
        /// Argument, from 1.
        argument: u8,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than 8 nested calls.
    CallDepth,
    /// An instruction that has no meaning at run time.
    BadInstruction,
    /// What the program called, or what was called for it, panicked.
    Panicked {
        /// What the panic said.
        what: String,
    },
    /// The verifier was sure of something that is not so: a fault of the verifier.
    FactViolated {
        /// What it was sure of.
        what: String,
    },
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "insn {}: {}", self.pc, self.kind)?;
        if self.frames.len() > 1 {
            let callers: Vec<String> =
                self.frames[1..].iter().map(|frame| format!("insn {}", frame.pc)).collect();
            write!(f, " (called from {})", callers.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = |write: bool| if write { "store" } else { "load" };
        match self {
            TrapKind::OutOfBounds { region, offset, size, len, write } => write!(
                f,
                "{} of {size} bytes at offset {offset} is outside of the {region} of {len} bytes",
                verb(*write)
            ),
            TrapKind::NotAPointer { register, value, write } => {
                write!(f, "{} through r{register} = {value:#x}, which is no pointer", verb(*write))
            }
            TrapKind::ReadOnly { region } => write!(f, "store into read-only {region}"),
            TrapKind::BadContextAccess { offset, size, write } => {
                write!(f, "invalid bpf_context access off={offset} size={size} ({})", verb(*write))
            }
            TrapKind::Uninitialised { register } => write!(f, "R{register} !read_ok"),
            TrapKind::Stale { region } => {
                write!(f, "access through a pointer into {region} that no longer holds")
            }
            TrapKind::KernelMemory { what } => {
                write!(f, "load from the kernel's own structure of a {what}, which is not here")
            }
            TrapKind::BadJump { target } => {
                write!(f, "jump to insn {target}, outside of the program")
            }
            TrapKind::UnknownHelper { id } => write!(f, "invalid func unknown#{id}"),
            TrapKind::UnknownKfunc { btf_id } => {
                write!(f, "call of kernel function with BTF id {btf_id}, which is not here")
            }
            TrapKind::Poisoned { what } => write!(f, "reached an unresolved relocation: {what}"),
            TrapKind::BadArgument { helper, argument, why } => {
                write!(f, "{helper}: argument {argument} {why}")
            }
            TrapKind::Panicked { what } => write!(f, "a panic outside of the program: {what}"),
            TrapKind::CallDepth => f.write_str("more than 8 nested calls"),
            TrapKind::FactViolated { what } => write!(f, "the verifier was wrong: {what}"),
            TrapKind::BadInstruction => f.write_str("instruction cannot be executed"),
        }
    }
}
