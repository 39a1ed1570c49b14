//! What a word of compiled code is, and the accesses that guarded code asks for: its
//! addresses are looked up among all that the run was given pointers to.

use skep_abi::TrapKind;
use skep_isa::{Insn, Pc, Size};

use crate::helpers::tags::Tag;
use crate::memory::value::{Fault, Kind, Region, Value};
use crate::run::{Run, describe};

impl Run<'_> {
    /// A word of compiled code as what a helper takes.
    pub(crate) fn value_of(&self, tag: Tag, word: u64) -> Value {
        let Some(native) = &self.native else { return Value::scalar(word) };
        let number = Value::scalar(word);
        match tag {
            Tag::Scalar => number,
            Tag::Map => self.map_of(word).unwrap_or(number),
            Tag::Context if word == native.context.bits => native.context,
            Tag::Function if self.has_callback(word) => Value::function(word as Pc),
            Tag::Record => self.held.record_at(word).unwrap_or(number),
            Tag::Memory | Tag::Address if native.guarded => self.locate(word),
            _ => number,
        }
    }

    /// Whether a function for helpers to call starts at this slot.
    fn has_callback(&self, pc: u64) -> bool {
        self.program.compiled().is_some_and(|code| code.callback(pc).is_some())
    }

    /// A load of guarded code; gives also the region, where it is memory.
    pub(super) fn load_at(
        &mut self,
        pc: Pc,
        address: u64,
        size: Size,
    ) -> Result<(u64, Option<Region>), TrapKind> {
        if let Some(offset) = self.context_offset(address) {
            let loaded = u32::try_from(offset).ok().and_then(|at| self.context.load(at, size));
            let size = size.bytes();
            let trap = TrapKind::BadContextAccess { offset, size, write: false };
            return loaded.map(|value| (value.bits, None)).ok_or(trap);
        }
        if let Some(bits) = self.map_field_at(pc, address, size) {
            return Ok((bits, None));
        }
        let pointer = self.locate(address);
        match pointer.load(0, size) {
            Ok(bits) => Ok((bits, Some(pointer.region()))),
            Err(fault) => {
                let number = pointer.kind() == Kind::Scalar || self.has_arena();
                let loaded = number.then(|| self.load_elsewhere(pc, address, size)).flatten();
                let trap = || self.trap_at(pc, pointer, fault, size, false);
                loaded.map(|bits| (bits, None)).ok_or_else(trap)
            }
        }
    }

    /// A load from the kernel's structure of a map, which a word stands for.
    fn map_field_at(&self, pc: Pc, address: u64, size: Size) -> Option<u64> {
        Value::map_number(address)?;
        let Some(Insn::Load { off, .. }) = self.program.insns.get(pc as usize) else { return None };
        let map = self.map_of(address.wrapping_sub(i64::from(*off) as u64))?;
        self.load_map_field(map, (*off).into(), size)
    }

    /// A store of guarded code; gives the region, where it is memory.
    pub(super) fn store_at(
        &mut self,
        pc: Pc,
        address: u64,
        size: Size,
        bits: u64,
    ) -> Result<Option<Region>, TrapKind> {
        if let Some(offset) = self.context_offset(address) {
            let at = u32::try_from(offset).ok();
            let stored = at.and_then(|at| self.context.store(at, size, bits));
            let size = size.bytes();
            let trap = TrapKind::BadContextAccess { offset, size, write: true };
            return stored.map(|()| None).ok_or(trap);
        }
        let pointer = self.locate(address);
        match pointer.store(0, size, bits) {
            Ok(()) => Ok(Some(pointer.region())),
            Err(fault) => match self.store_elsewhere(pc, address) {
                Some(place) => {
                    // What does not fit goes nowhere.
                    let _stored = place.map(|place| place.store(0, size, bits));
                    Ok(None)
                }
                None => Err(self.trap_at(pc, pointer, fault, size, true)),
            },
        }
    }

    /// An atomic operation of guarded code.
    pub(super) fn update_at(
        &mut self,
        pc: Pc,
        address: u64,
        size: Size,
        change: impl FnMut(u64) -> u64,
    ) -> Result<u64, TrapKind> {
        let pointer = self.locate(address);
        match pointer.update(0, size, change) {
            Err(_) if matches!(self.store_elsewhere(pc, address), Some(None)) => Ok(0),
            updated => updated.map_err(|fault| self.trap_at(pc, pointer, fault, size, true)),
        }
    }

    /// Offset into the context, of an address in it.
    fn context_offset(&self, address: u64) -> Option<i64> {
        let context = self.native.as_ref()?.context;
        let offset = address.wrapping_sub(context.bits);
        let is_context = context.kind() == Kind::Context;
        (is_context && offset < context.region().size().into()).then_some(offset as i64)
    }

    fn trap_at(&self, pc: Pc, pointer: Value, fault: Fault, size: Size, write: bool) -> TrapKind {
        let (base, off) = match self.program.insns.get(pc as usize) {
            Some(
                Insn::Load { base, off, .. }
                | Insn::Store { base, off, .. }
                | Insn::LoadAcquire { base, off, .. }
                | Insn::StoreRelease { base, off, .. }
                | Insn::Atomic { base, off, .. },
            ) => (base.number(), *off),
            _ => (0, 0),
        };
        let off = i64::from(off);
        let base_pointer = pointer.with_bits(pointer.bits.wrapping_sub(off as u64));
        describe(fault, base_pointer, base, off, size.bytes().into(), write)
    }
}
