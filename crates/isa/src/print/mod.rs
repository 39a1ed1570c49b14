//! Instructions as text, in three styles. The text of every style assembles back to
//! the same instruction.
//!
//! Where a tool's own text loses what an instruction says, ours says it: LLVM prints
//! calls of helpers, subprograms and kernel functions alike and cuts the upper half
//! of a pseudo `ld_imm64`; Linux leaves out the module of a kernel function and
//! prints addresses for maps.

mod linux;
mod llvm;
mod mnemonic;
mod raw;

use std::fmt;

use crate::{Callee, Imm64, ImmKind, Insn, Pc};

pub use raw::SlotText;

/// How instructions are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Style {
    /// As `llvm-objdump -d`: `r1 = *(u32 *)(r2 + 0x8)`.
    #[default]
    Llvm,
    /// As Linux's verifier log and bpftool: `(61) r1 = *(u32 *)(r2 +8)`.
    Linux,
    /// As uBPF's assembler and the conformance vectors: `ldxw %r1, [%r2+8]`.
    Mnemonic,
}

/// What a printer may know about numbers. Every method may answer `None`.
pub trait Names {
    /// The name of a jump's target: `LBB0_2`, `main+0x18`. LLVM's style prints it in
    /// angle brackets behind the distance, the others do not.
    fn target(&self, _pc: Pc) -> Option<String> {
        None
    }

    /// The name of what the call at `pc` calls. LLVM's style prints it in angle
    /// brackets; Linux's puts it where Linux does: `call NAME#1234`, `call pc+5#NAME`.
    fn callee(&self, _pc: Pc, _callee: Callee) -> Option<String> {
        None
    }

    /// What the 64-bit immediate at `pc` stands for. LLVM's style prints it in angle
    /// brackets; Linux's prints it instead of the number.
    fn imm64(&self, _pc: Pc, _imm: Imm64) -> Option<String> {
        None
    }
}

/// Knows no name.
impl Names for () {}

/// An instruction on its way to text; see [`Insn::display`].
#[derive(Clone, Copy)]
pub struct Text<'a> {
    insn: &'a Insn,
    style: Style,
    pc: Pc,
    names: &'a dyn Names,
}

impl Insn {
    /// The instruction as text.
    pub fn display(&self, style: Style) -> Text<'_> {
        Text { insn: self, style, pc: 0, names: &() }
    }
}

impl<'a> Text<'a> {
    /// The same, standing at `pc` among things with names.
    pub fn at(self, pc: Pc, names: &'a dyn Names) -> Text<'a> {
        Text { pc, names, ..self }
    }

    /// The name of the place `off` slots after the next instruction.
    fn target(&self, off: i32) -> Option<String> {
        let next = self.pc.checked_add(1)?;
        self.names.target(next.checked_add_signed(off)?)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Style::Llvm => llvm::write(f, self),
            Style::Linux => linux::write(f, self),
            Style::Mnemonic => mnemonic::write(f, self),
        }
    }
}

/// A program as text: a line for each instruction, none for the second slots of
/// 64-bit immediates.
pub fn disassemble(insns: &[Insn], style: Style) -> String {
    let mut text = String::new();
    for insn in insns.iter().filter(|insn| !matches!(insn, Insn::Hole)) {
        text.push_str(&insn.display(style).to_string());
        text.push('\n');
    }
    text
}

/// A 64-bit immediate that is no plain number, in the notation that all styles
/// share: `map[fd:5]`, `map[idx:1][0]+16`, `subprog[+4]`, `ksym[id:1234 fd:7]`.
struct Pseudo(Imm64);

impl fmt::Display for Pseudo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Imm64 { kind, lo, hi } = self.0;
        match kind {
            ImmKind::Const => write!(f, "{:#x}", self.0.value())?,
            ImmKind::MapFd => write!(f, "map[fd:{lo}]")?,
            ImmKind::MapIdx => write!(f, "map[idx:{lo}]")?,
            ImmKind::MapValue => write!(f, "map[fd:{lo}][0]+{hi}")?,
            ImmKind::MapIdxValue => write!(f, "map[idx:{lo}][0]+{hi}")?,
            ImmKind::Func => write!(f, "subprog[{:+}]", lo as i32)?,
            ImmKind::BtfId if hi == 0 => write!(f, "ksym[id:{lo}]")?,
            ImmKind::BtfId => write!(f, "ksym[id:{lo} fd:{hi}]")?,
        }
        // Linux refuses an upper half here, but it can be written.
        match kind {
            ImmKind::MapFd | ImmKind::MapIdx | ImmKind::Func if hi != 0 => write!(f, "+{hi}"),
            _ => Ok(()),
        }
    }
}
