//! The registers of a run. Most hold numbers, so the bits lie apart from what they may
//! point into, and one mask says which registers hold more than a number: arithmetic
//! on numbers touches nothing else.

use skep_isa::Reg;

use crate::memory::value::{Kind, Region, Value};

/// Eleven registers; arrays of 16, so that a register's number is always inside.
pub(crate) struct Registers {
    bits: [u64; 16],
    regions: [Region; 16],
    /// A bit for each register that holds no plain number.
    tagged: u16,
}

impl Registers {
    /// Registers that nothing was written to.
    pub fn new() -> Registers {
        let uninit = Value::UNINIT.region();
        Registers { bits: [0; 16], regions: [uninit; 16], tagged: u16::MAX }
    }

    /// What a register holds.
    #[inline(always)]
    pub fn get(&self, reg: Reg) -> Value {
        let bits = self.bits[reg as usize];
        if self.is_number(reg) {
            Value::scalar(bits)
        } else {
            self.regions[reg as usize].value(bits)
        }
    }

    /// The bits of a register.
    #[inline(always)]
    pub fn bits(&self, reg: Reg) -> u64 {
        self.bits[reg as usize]
    }

    /// Whether a register holds a plain number.
    #[inline(always)]
    pub fn is_number(&self, reg: Reg) -> bool {
        self.tagged >> (reg as u16) & 1 == 0
    }

    /// What a register points into, or that it holds nothing.
    #[inline(always)]
    pub fn kind(&self, reg: Reg) -> Kind {
        if self.is_number(reg) { Kind::Scalar } else { self.regions[reg as usize].kind() }
    }

    /// Puts a number into a register.
    #[inline(always)]
    pub fn set_number(&mut self, reg: Reg, bits: u64) {
        self.bits[reg as usize] = bits;
        self.tagged &= !(1 << reg as u16);
    }

    /// Puts a number into a register that already holds one.
    #[inline(always)]
    pub fn update_number(&mut self, reg: Reg, bits: u64) {
        self.bits[reg as usize] = bits;
    }

    /// Puts a value into a register.
    #[inline(always)]
    pub fn set(&mut self, reg: Reg, value: Value) {
        self.bits[reg as usize] = value.bits;
        if value.kind() == Kind::Scalar {
            self.tagged &= !(1 << reg as u16);
        } else {
            self.regions[reg as usize] = value.region();
            self.tagged |= 1 << reg as u16;
        }
    }

    /// r1 to r5 hold nothing any more, as after a call.
    #[inline(always)]
    pub fn forget_arguments(&mut self) {
        for reg in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            self.set(reg, Value::UNINIT);
        }
    }

    /// Puts arguments into r1 and on.
    pub fn set_arguments(&mut self, arguments: &[Value]) {
        for (reg, argument) in
            [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5].into_iter().zip(arguments)
        {
            self.set(reg, *argument);
        }
    }

    /// Takes r6 to r9 out, for a call.
    pub fn take_saved(&mut self) -> [Value; 4] {
        let saved = SAVED.map(|reg| self.get(reg));
        for reg in SAVED {
            self.set(reg, Value::UNINIT);
        }
        saved
    }

    /// Puts r6 to r9 back.
    pub fn restore_saved(&mut self, saved: [Value; 4]) {
        for (reg, value) in SAVED.into_iter().zip(saved) {
            self.set(reg, value);
        }
    }
}

const SAVED: [Reg; 4] = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];
