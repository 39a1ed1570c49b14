//! Slots as text, also those that are no instruction: tools print what they read
//! before they judge it.

use std::fmt;

use super::{Names, Style, Text};
use crate::encode::first_slot;
use crate::opcode as op;
use crate::{DecodeErrorKind, Insn, Pc, Slot, decode_at};

/// The instruction that starts at a slot, as text. Where reserved fields are not
/// zero, the instruction without them; where there is none, what the style's tool
/// prints: `<unknown>`, `BUG_st_e2`.
#[derive(Clone, Copy)]
pub struct SlotText<'a> {
    slots: &'a [Slot],
    index: usize,
    style: Style,
    names: &'a dyn Names,
}

impl<'a> SlotText<'a> {
    /// The instruction at `slots[index]`.
    pub fn new(slots: &'a [Slot], index: usize, style: Style) -> SlotText<'a> {
        SlotText { slots, index, style, names: &() }
    }

    /// The same among things with names.
    pub fn with(self, names: &'a dyn Names) -> SlotText<'a> {
        SlotText { names, ..self }
    }

    /// The instruction, reserved fields aside; for LLVM's style, those that LLVM
    /// overlooks.
    pub fn insn(&self) -> Option<Insn> {
        let first = self.slots.get(self.index)?;
        let insn = self.lenient()?;
        let plain = first_slot(&insn);
        let noticed = match insn {
            Insn::Alu { .. } | Insn::MovSx { .. } => plain.off != first.off,
            Insn::Exit => plain.imm != first.imm,
            _ => false,
        };
        (self.style != Style::Llvm || !noticed).then_some(insn)
    }

    fn lenient(&self) -> Option<Insn> {
        let mut pair = [*self.slots.get(self.index)?, Slot::default()];
        let len = match self.slots.get(self.index + 1) {
            Some(&second) => {
                pair[1] = Slot { imm: second.imm, ..Slot::default() };
                2
            }
            None => 1,
        };
        loop {
            match decode_at(&pair[..len], 0) {
                Ok(insn) => return Some(insn),
                Err(error) => match error.kind {
                    DecodeErrorKind::Reserved("dst") => pair[0].dst = 0,
                    DecodeErrorKind::Reserved("src") | DecodeErrorKind::Value("src", _) => {
                        pair[0].src = 0;
                    }
                    DecodeErrorKind::Reserved("off") | DecodeErrorKind::Value("off", _) => {
                        pair[0].off = 0;
                    }
                    DecodeErrorKind::Reserved("imm") => pair[0].imm = 0,
                    _ => return None,
                },
            }
        }
    }
}

impl fmt::Display for SlotText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(insn) = self.insn() {
            let text = Text { insn: &insn, style: self.style, pc: 0, names: &() };
            return text.at(self.index as Pc, self.names).fmt(f);
        }
        let code = self.slots.get(self.index).map_or(0, |slot| slot.code);
        match (self.style, code & 0x07) {
            (Style::Llvm | Style::Mnemonic, _) => f.write_str("<unknown>"),
            (Style::Linux, op::LD) => write!(f, "BUG_ld_{code:02x}"),
            (Style::Linux, op::LDX) => write!(f, "BUG_ldx_{code:02x}"),
            (Style::Linux, op::ST) => write!(f, "BUG_st_{code:02x}"),
            (Style::Linux, _) => write!(f, "BUG_{code:02x}"),
        }
    }
}
