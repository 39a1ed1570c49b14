//! One 64-bit instruction slot as it stands in memory and in ELF files
//! (`struct bpf_insn`). Fields only, no meaning.

/// A raw instruction slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Slot {
    /// Opcode.
    pub code: u8,
    /// Destination register, 0 to 15.
    pub dst: u8,
    /// Source register or pseudo kind, 0 to 15.
    pub src: u8,
    /// Offset.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

impl Slot {
    /// Bytes in a slot.
    pub const SIZE: usize = 8;

    /// Reads a little-endian slot.
    pub fn from_bytes(bytes: [u8; 8]) -> Slot {
        let [code, regs, off0, off1, imm @ ..] = bytes;
        Slot {
            code,
            dst: regs & 0xf,
            src: regs >> 4,
            off: i16::from_le_bytes([off0, off1]),
            imm: i32::from_le_bytes(imm),
        }
    }

    /// Writes a little-endian slot. Register numbers above 15 lose their upper bits.
    pub fn to_bytes(self) -> [u8; 8] {
        let [off0, off1] = self.off.to_le_bytes();
        let [imm0, imm1, imm2, imm3] = self.imm.to_le_bytes();
        let regs = (self.dst & 0xf) | (self.src << 4);
        [self.code, regs, off0, off1, imm0, imm1, imm2, imm3]
    }

    /// Splits bytes into slots; `None` where the length is no multiple of 8.
    pub fn split(bytes: &[u8]) -> Option<Vec<Slot>> {
        let (slots, rest) = bytes.as_chunks::<8>();
        rest.is_empty().then(|| slots.iter().map(|&slot| Slot::from_bytes(slot)).collect())
    }

    /// Joins slots into bytes.
    pub fn join(slots: &[Slot]) -> Vec<u8> {
        slots.iter().flat_map(|slot| slot.to_bytes()).collect()
    }
}
