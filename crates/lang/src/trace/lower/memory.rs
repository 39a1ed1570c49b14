//! The region's memory: addresses, numbers in it, bytes that are cleared and copied.

use skep_abi::helper::id;
use skep_isa::{AluOp, Insn, Operand, Reg, Size};

use super::code::Code;

/// Up to so many bytes are cleared or copied by instructions, more by a helper.
const INLINE: u32 = 128;

/// The size of a number of so many bytes.
pub(super) fn size_of(bytes: u32) -> Size {
    match bytes {
        1 => Size::B,
        2 => Size::H,
        3 | 4 => Size::W,
        _ => Size::DW,
    }
}

/// Parts of so many bytes that single instructions move: offset and size.
fn parts(size: u32) -> impl Iterator<Item = (u32, Size)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let part = match size - at {
            0 => return None,
            1 => Size::B,
            2 | 3 => Size::H,
            4..=7 => Size::W,
            _ => Size::DW,
        };
        let of = (at, part);
        at += part.bytes();
        Some(of)
    })
}

impl Code<'_, '_> {
    /// `dst = region + at`
    pub fn address(&mut self, dst: Reg, at: u32) {
        self.b.copy(dst, Reg::R9);
        if at != 0 {
            self.b.alu(AluOp::Add, dst, Operand::Imm(at as i32));
        }
    }

    /// A register and an offset for a place of the region; r5 for those that are far.
    fn base(&mut self, at: u32) -> (Reg, i16) {
        match i16::try_from(at) {
            Ok(at) => (Reg::R9, at),
            Err(_) => {
                self.address(Reg::R5, at);
                (Reg::R5, 0)
            }
        }
    }

    /// Stores a register, other than r5, into the region.
    pub fn store(&mut self, size: Size, at: u32, src: Reg) {
        let (base, off) = self.base(at);
        self.b.store(size, base, off, Operand::Reg(src));
    }

    /// Stores a constant into the region.
    pub fn store_imm(&mut self, size: Size, at: u32, number: i32) {
        let (base, off) = self.base(at);
        self.b.store(size, base, off, Operand::Imm(number));
    }

    /// Loads a number of the region, extended by its sign.
    pub fn load(&mut self, dst: Reg, size: Size, signed: bool, at: u32) {
        let (base, off) = self.base(at);
        self.load_at(dst, size, signed, base, off);
    }

    /// Loads a number, extended by its sign.
    pub fn load_at(&mut self, dst: Reg, size: Size, signed: bool, base: Reg, off: i16) {
        let signed = signed && size != Size::DW;
        self.b.push(Insn::Load { size, signed, dst, base, off });
    }

    /// Sets bytes of the region to zero. All registers but r6 to r9 may change.
    pub fn clear(&mut self, at: u32, size: u32) {
        if size > INLINE {
            // A read from nowhere fails, and leaves zeros.
            self.address(Reg::R1, at);
            self.b.set(Reg::R2, size as i32);
            self.b.set(Reg::R3, 0);
            self.b.helper(id::PROBE_READ_KERNEL);
            return;
        }
        let (base, off) = self.base(at);
        let (base, off) = if off > i16::MAX - INLINE as i16 {
            self.address(Reg::R5, at);
            (Reg::R5, 0)
        } else {
            (base, off)
        };
        for (part, size) in parts(size) {
            self.b.store(size, base, off + part as i16, Operand::Imm(0));
        }
    }

    /// Copies bytes from an address in r1 into the region. All registers but r6 to r9 may
    /// change.
    pub fn copy_in(&mut self, to: u32, size: u32) {
        if size > INLINE {
            self.b.copy(Reg::R3, Reg::R1);
            self.address(Reg::R1, to);
            self.b.set(Reg::R2, size as i32);
            self.b.helper(id::PROBE_READ_KERNEL);
            return;
        }
        self.address(Reg::R2, to);
        for (part, size) in parts(size) {
            self.b.load(size, Reg::R3, Reg::R1, part as i16);
            self.b.store(size, Reg::R2, part as i16, Operand::Reg(Reg::R3));
        }
    }

    /// Copies bytes within the region.
    pub fn copy(&mut self, from: u32, to: u32, size: u32) {
        if from == to || size == 0 {
            return;
        }
        self.address(Reg::R1, from);
        self.copy_in(to, size);
    }

    /// Writes bytes that are known, and zeros behind them up to `size`.
    pub fn literal(&mut self, at: u32, bytes: &[u8], size: u32) {
        let mut bytes = bytes[..bytes.len().min(size as usize)].to_vec();
        let used = bytes.len().next_multiple_of(8).min(size as usize);
        bytes.resize(used, 0);
        for (part, of) in parts(used as u32) {
            let start = part as usize;
            let mut word = [0; 8];
            word[..of.bytes() as usize].copy_from_slice(&bytes[start..start + of.bytes() as usize]);
            let word = u64::from_le_bytes(word);
            match i32::try_from(word.cast_signed()) {
                Ok(small) => self.store_imm(of, at + part, small),
                Err(_) if of != Size::DW => self.store_imm(of, at + part, word as i32),
                Err(_) => {
                    self.constant(Reg::R0, word);
                    self.store(of, at + part, Reg::R0);
                }
            }
        }
        if size > used as u32 {
            self.clear(at + used as u32, size - used as u32);
        }
    }
}
