//! Loads and stores through registers.

use skep_abi::TrapKind;
use skep_isa::{Reg, Size};

use crate::memory::value::{Fault, Kind, Value};
use crate::run::{Run, Stop, describe};

impl Run<'_> {
    #[inline(always)]
    pub(super) fn load(&mut self, base: Reg, off: i16, size: Size) -> Result<Value, Stop> {
        let pointer = self.regs.get(base);
        let offset = i64::from(off);
        let loaded = match pointer.kind() {
            Kind::Stack if self.holds(&pointer) => self.stack.load(pointer, offset, size),
            Kind::MapValue | Kind::Memory => pointer.load(offset, size).map(Value::scalar),
            Kind::Packet | Kind::Record if self.holds(&pointer) => {
                pointer.load(offset, size).map(Value::scalar)
            }
            Kind::Context => return self.load_context(pointer, offset, size),
            _ => return self.load_elsewhere_or_fail(base, pointer, offset, size),
        };
        loaded.or_else(|fault| self.load_outside(fault, base, pointer, offset, size))
    }

    /// A load that went past what the pointer points into: of an arena it gives 0.
    #[cold]
    fn load_outside(
        &self,
        fault: Fault,
        base: Reg,
        pointer: Value,
        offset: i64,
        size: Size,
    ) -> Result<Value, Stop> {
        let address = pointer.bits.wrapping_add(offset as u64);
        let there = self.has_arena().then(|| self.load_elsewhere(self.pc, address, size));
        match there.flatten() {
            Some(bits) => Ok(Value::scalar(bits)),
            None => Err(self.fault(fault, base, offset, size.bytes().into(), false)),
        }
    }

    #[cold]
    fn load_elsewhere_or_fail(
        &self,
        base: Reg,
        pointer: Value,
        offset: i64,
        size: Size,
    ) -> Result<Value, Stop> {
        if let Some(loaded) = self.load_map_field(pointer, offset, size) {
            return Ok(Value::scalar(loaded));
        }
        let number = pointer.kind() == Kind::Scalar;
        let address = pointer.bits.wrapping_add(offset as u64);
        let loaded = number.then(|| self.load_elsewhere(self.pc, address, size)).flatten();
        loaded.map(Value::scalar).ok_or_else(|| self.no_memory(base, pointer, false))
    }

    #[inline(always)]
    pub(super) fn store(
        &mut self,
        base: Reg,
        off: i16,
        size: Size,
        value: Value,
    ) -> Result<(), Stop> {
        let pointer = self.regs.get(base);
        let offset = i64::from(off);
        let stored = match pointer.kind() {
            Kind::Stack if self.holds(&pointer) => self.stack.store(pointer, offset, size, value),
            Kind::MapValue | Kind::Memory => pointer.store(offset, size, value.bits),
            Kind::Packet | Kind::Record if self.holds(&pointer) => {
                pointer.store(offset, size, value.bits)
            }
            Kind::Context => return self.store_context(pointer, offset, size, value.bits),
            _ => return self.store_elsewhere_or_fail(base, pointer, offset, size, value.bits),
        };
        stored.or_else(|fault| {
            let address = pointer.bits.wrapping_add(offset as u64);
            let outside = self.has_arena().then(|| self.store_elsewhere(self.pc, address));
            match outside.flatten() {
                Some(_) => Ok(()),
                None => Err(self.fault(fault, base, offset, size.bytes().into(), true)),
            }
        })
    }

    #[cold]
    fn store_elsewhere_or_fail(
        &self,
        base: Reg,
        pointer: Value,
        offset: i64,
        size: Size,
        bits: u64,
    ) -> Result<(), Stop> {
        let address = pointer.bits.wrapping_add(offset as u64);
        let number = pointer.kind() == Kind::Scalar;
        let place = number.then(|| self.store_elsewhere(self.pc, address)).flatten();
        let Some(place) = place else { return Err(self.no_memory(base, pointer, true)) };
        // What does not fit goes nowhere.
        let _stored = place.map(|place| place.store(0, size, bits));
        Ok(())
    }

    pub(super) fn update(
        &mut self,
        base: Reg,
        off: i16,
        size: Size,
        change: impl FnMut(u64) -> u64,
    ) -> Result<u64, Stop> {
        let mut pointer = self.regs.get(base);
        if pointer.kind() == Kind::Scalar {
            let address = pointer.bits.wrapping_add(off as u64);
            match self.store_elsewhere(self.pc, address) {
                Some(Some(place)) => pointer = place.with_bits(pointer.bits),
                Some(None) => return Ok(0),
                None => {}
            }
        }
        if pointer.kind() == Kind::Context || !self.holds(&pointer) {
            return Err(self.no_memory(base, pointer, true));
        }
        let old = pointer
            .update(off.into(), size, change)
            .map_err(|fault| self.fault(fault, base, off.into(), size.bytes().into(), true))?;
        let len = u64::from(size.bytes());
        self.stack.overwritten(pointer.with_bits(pointer.bits.wrapping_add(off as u64)), len);
        Ok(old)
    }

    /// The address of byte `offset` of a map's only value.
    pub(super) fn map_value(&self, index: u32, offset: u32) -> Result<Value, Stop> {
        let region = self.program.maps[index as usize].direct_region();
        region.map(|region| region.pointer(offset.into())).ok_or(TrapKind::BadInstruction.into())
    }

    fn load_context(&mut self, pointer: Value, offset: i64, size: Size) -> Result<Value, Stop> {
        let offset = pointer.offset().wrapping_add(offset);
        u32::try_from(offset)
            .ok()
            .and_then(|offset| self.context.load(offset, size))
            .ok_or_else(|| bad_context(offset, size, false))
    }

    fn store_context(
        &mut self,
        pointer: Value,
        offset: i64,
        size: Size,
        bits: u64,
    ) -> Result<(), Stop> {
        let offset = pointer.offset().wrapping_add(offset);
        u32::try_from(offset)
            .ok()
            .and_then(|offset| self.context.store(offset, size, bits))
            .ok_or_else(|| bad_context(offset, size, true))
    }

    #[cold]
    fn no_memory(&self, base: Reg, pointer: Value, write: bool) -> Stop {
        let register = base.number();
        match pointer.kind() {
            Kind::Uninit => TrapKind::Uninitialised { register },
            Kind::Map if !write => TrapKind::KernelMemory { what: "map" },
            Kind::Stack | Kind::Packet | Kind::Record => {
                TrapKind::Stale { region: pointer.kind().name() }
            }
            _ => TrapKind::NotAPointer { register, value: pointer.bits, write },
        }
        .into()
    }

    #[cold]
    fn fault(&self, fault: Fault, base: Reg, offset: i64, len: u64, write: bool) -> Stop {
        let pointer = self.regs.get(base);
        describe(fault, pointer, base.number(), offset, len, write).into()
    }
}

fn bad_context(offset: i64, size: Size, write: bool) -> Stop {
    TrapKind::BadContextAccess { offset, size: size.bytes(), write }.into()
}
