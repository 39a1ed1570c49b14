//! The memory that a run's values point into: whether it is still there, and what words in it
//! are.

use skep_abi::TrapKind;
use skep_abi::context::memory::is_memory;
use skep_isa::{Pc, Reg, Size};
use skep_verify::Region;

use super::{Run, Stop};
use crate::memory::value::{Fault, Kind, Region as Memory, Value};

impl Run<'_> {
    /// Reads a register that something was written to.
    #[inline(always)]
    pub fn read(&self, reg: Reg) -> Result<Value, Stop> {
        let value = self.regs.get(reg);
        if value.kind() == Kind::Uninit { Err(uninitialised(reg)) } else { Ok(value) }
    }

    /// Reads the bits of a register that something was written to.
    #[inline(always)]
    pub fn read_bits(&self, reg: Reg) -> Result<u64, Stop> {
        if self.regs.kind(reg) == Kind::Uninit {
            Err(uninitialised(reg))
        } else {
            Ok(self.regs.bits(reg))
        }
    }

    /// Whether what a pointer points into is still there: the packet was not moved,
    /// the record not given back, the frame not left.
    #[inline(always)]
    pub fn holds(&self, pointer: &Value) -> bool {
        match pointer.kind() {
            Kind::Stack => pointer.epoch() <= self.callers.len() as u64 || self.native.is_some(),
            Kind::Packet => pointer.epoch() == self.context.epoch(),
            Kind::Record => self.held.has_record(pointer.region()),
            _ => true,
        }
    }

    /// What a load gives through a pointer that leads to none of the run's memory, where the
    /// verifier let it: one to a kernel's structure, which Linux reads with care. Bytes that
    /// were captured, else 0; `None` where it may not be made.
    pub fn load_elsewhere(&self, pc: Pc, address: u64, size: Size) -> Option<u64> {
        let proof = self.program.proof.as_ref()?;
        if !matches!(proof.verified.facts().at(pc).region, Region::Other | Region::Mixed) {
            return None;
        }
        if let Some(region) = self.elsewhere(address) {
            return Some(region.value(address).load(0, size).unwrap_or(0));
        }
        let mut word = [0; 8];
        let _zeros_where_nothing_is = self.read_world(address, &mut word[..size.bytes() as usize]);
        Some(u64::from_le_bytes(word))
    }

    /// What such an address is in, if it is memory: an object, an arena.
    fn elsewhere(&self, address: u64) -> Option<Memory> {
        let inside = |region: &Memory| address.wrapping_sub(region.start()) < region.size().into();
        let object = self.env.heap.object(address);
        object.or_else(|| self.arena().filter(inside))
    }

    /// Whether the program has an arena, outside of which loads give 0 and stores do nothing.
    pub fn has_arena(&self) -> bool {
        self.arena().is_some()
    }

    /// The arena of the program, if it has one.
    fn arena(&self) -> Option<Memory> {
        let arena = self.program.maps.iter().find(|map| map.map.arena().is_some())?;
        arena.direct_region()
    }

    /// The memory that a store goes to through a pointer that leads to none of what the run was
    /// given, where the verifier let it; nothing where it goes nowhere, as outside of an arena.
    /// `None` where it may not be made.
    pub fn store_elsewhere(&self, pc: Pc, address: u64) -> Option<Option<Value>> {
        let proof = self.program.proof.as_ref()?;
        if !matches!(proof.verified.facts().at(pc).region, Region::Other | Region::Mixed) {
            return None;
        }
        match self.elsewhere(address) {
            Some(region) => Some(Some(region.value(address))),
            None => self.arena().map(|_| None),
        }
    }

    /// Whether a pointer leads into a context that is memory.
    pub fn is_memory_context(&self, pointer: &Value) -> bool {
        let inside = |memory: Memory| memory.start() == pointer.region().start();
        is_memory(self.program.prog_type) && self.memory.is_some_and(inside)
    }

    /// Copies what an address leads to that nobody vouches for: the run's own memory, and what
    /// was captured. False where not all of it is there; `user` asks for memory of user space,
    /// to which none of the run's own belongs.
    pub fn probe(&self, pointer: Value, to: &mut [u8], user: bool) -> bool {
        let own = !user
            && pointer.kind() != Kind::Context
            && self.holds(&pointer)
            && pointer.read(to).is_ok();
        own || is_user(pointer.bits) == user && self.read_world(pointer.bits, to)
    }

    /// Whether an address is one of the run's own memory.
    pub fn is_own(&self, pointer: &Value) -> bool {
        let memory = !matches!(pointer.kind(), Kind::Scalar | Kind::Uninit | Kind::Context);
        memory && self.holds(pointer)
    }

    /// The word at an offset from a pointer to memory, as what it points into: spilled
    /// pointers are ones, and so are addresses that guarded code was given.
    pub fn word_of(&self, pointer: Value, offset: i64) -> Option<Value> {
        let word = match pointer.kind() {
            Kind::Stack if self.native.is_none() => self.stack.load(pointer, offset, Size::DW),
            _ => pointer.load(offset, Size::DW).map(Value::scalar),
        };
        let word = word.ok()?;
        Some(match &self.native {
            Some(native) if native.guarded => self.locate(word.bits),
            _ => word,
        })
    }

    /// A helper wrote `len` bytes through a pointer: what was spilled there is gone.
    pub fn stack_overwritten(&mut self, pointer: Value, len: u64) {
        self.stack.overwritten(pointer, len);
    }

    /// A word in memory for a callback of the helper that runs.
    pub fn lend(&mut self, word: u32) -> Value {
        let depth = self.native.as_ref().map_or(self.callers.len(), |native| native.depth);
        self.stack.cell(depth, word)
    }
}

/// Whether an address is one of user space: in the lower half.
pub(crate) fn is_user(address: u64) -> bool {
    address as i64 >= 0
}

#[cold]
fn uninitialised(reg: Reg) -> Stop {
    TrapKind::Uninitialised { register: reg.number() }.into()
}

/// The trap for an access of `len` bytes at `offset` from a pointer in a register.
pub(crate) fn describe(
    fault: Fault,
    pointer: Value,
    register: u8,
    offset: i64,
    len: u64,
    write: bool,
) -> TrapKind {
    let region = pointer.kind().name();
    match fault {
        Fault::NotMemory => TrapKind::NotAPointer { register, value: pointer.bits, write },
        Fault::ReadOnly => TrapKind::ReadOnly { region },
        Fault::OutOfBounds => TrapKind::OutOfBounds {
            region,
            offset: pointer.offset().wrapping_add(offset),
            size: u32::try_from(len).unwrap_or(u32::MAX),
            len: pointer.region().size().into(),
            write,
        },
    }
}
