//! Machine code as text: on x86-64 in the notation of `objdump`, elsewhere as the bytes
//! themselves.

use skep::vm::jit::MachineFunction;

use crate::hex;

/// One machine instruction, or a part of a table of jumps or of constants.
pub struct Line {
    /// Where it is in its function.
    pub at: usize,
    /// Its bytes.
    pub len: usize,
    /// Its text.
    pub text: String,
    /// Whether it is no instruction.
    pub is_data: bool,
}

/// Whether this machine's code has a text.
pub const READABLE: bool = cfg!(target_arch = "x86_64");

/// The instructions of a function, whose code is `bytes`.
pub fn lines(function: &MachineFunction, bytes: &[u8]) -> Vec<Line> {
    let mut blocks = function.blocks.clone();
    blocks.push(bytes.len());
    let mut lines = Vec::new();
    let mut start = 0;
    for end in blocks {
        if start < end && end <= bytes.len() {
            block(&bytes[start..end], start, &mut lines);
            start = end;
        }
    }
    lines
}

/// Instructions without gaps, as the kernel's compiler makes them.
pub fn straight(bytes: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let mut decoder = iced_x86::Decoder::with_ip(64, bytes, 0, iced_x86::DecoderOptions::NONE);
        let mut formatter = formatter();
        while decoder.can_decode() {
            let insn = decoder.decode();
            let mut text = String::new();
            iced_x86::Formatter::format(&mut formatter, &insn, &mut text);
            lines.push(Line { at: insn.ip() as usize, len: insn.len(), text, is_data: false });
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    words(bytes, 0, 4, &mut lines);
    lines
}

/// What writes instructions in the notation of `objdump`.
#[cfg(target_arch = "x86_64")]
fn formatter() -> iced_x86::GasFormatter {
    use iced_x86::{Formatter, GasFormatter};
    let mut formatter = GasFormatter::new();
    formatter.options_mut().set_uppercase_hex(false);
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.options_mut().set_gas_show_mnemonic_size_suffix(false);
    formatter.options_mut().set_branch_leading_zeros(false);
    formatter.options_mut().set_show_branch_size(false);
    formatter
}

/// A block of instructions, and what stands behind the last of them: a table of jumps, or
/// the function's constants.
#[cfg(target_arch = "x86_64")]
fn block(bytes: &[u8], start: usize, lines: &mut Vec<Line>) {
    use iced_x86::{Decoder, DecoderOptions, Formatter, Mnemonic};
    let mut formatter = formatter();
    let mut decoder = Decoder::with_ip(64, bytes, start as u64, DecoderOptions::NONE);
    while decoder.can_decode() {
        let insn = decoder.decode();
        let mut text = String::new();
        formatter.format(&insn, &mut text);
        lines.push(Line { at: insn.ip() as usize, len: insn.len(), text, is_data: false });
        if matches!(insn.mnemonic(), Mnemonic::Ret | Mnemonic::Jmp) {
            words(&bytes[decoder.position()..], start + decoder.position(), 4, lines);
            return;
        }
    }
}

/// Nothing here reads this machine's code.
#[cfg(not(target_arch = "x86_64"))]
fn block(bytes: &[u8], start: usize, lines: &mut Vec<Line>) {
    words(bytes, start, if cfg!(target_arch = "s390x") { 2 } else { 4 }, lines);
}

fn words(bytes: &[u8], start: usize, size: usize, lines: &mut Vec<Line>) {
    for (word, number) in bytes.chunks(size).zip(0..) {
        let text = format!(".byte {}", hex::spaced(word));
        lines.push(Line { at: start + number * size, len: word.len(), text, is_data: true });
    }
}
