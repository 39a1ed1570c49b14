//! Machine code as the back end gives it, before it is put where it runs: bytes, where
//! functions start, and, only where it is asked for, which instruction each part of it
//! comes from. `bpftool prog dump jited linum` shows the same of Linux's code.

use cranelift_codegen::CompiledCode;
use skep_isa::Pc;

use crate::ir::Func;

/// Machine code of a program.
#[derive(Default)]
pub struct MachineCode {
    /// All functions; the entry is the first byte.
    pub bytes: Vec<u8>,
    /// How far behind the start of a page the first byte is placed best.
    pub(crate) lead: usize,
    /// Where the functions start that helpers call: by their first slots, sorted.
    pub(crate) callbacks: Vec<(Pc, u32)>,
    /// Functions in the order of their code; only where they were asked for.
    pub functions: Vec<MachineFunction>,
}

/// One function.
pub struct MachineFunction {
    /// The instruction that it starts with.
    pub pc: Pc,
    /// Where its code is in [`MachineCode::bytes`].
    pub start: usize,
    /// Bytes of it.
    pub len: usize,
    /// Where parts of the code start in it that come from one instruction, and which that
    /// is, in order. `None` for code that comes from none.
    pub lines: Vec<(usize, Option<Pc>)>,
    /// Where its blocks start. Tables of jumps stand between a jump and a block.
    pub blocks: Vec<usize>,
}

impl MachineFunction {
    pub(super) fn new(func: &Func, compiled: &CompiledCode, start: usize) -> MachineFunction {
        let mut lines: Vec<(usize, Option<Pc>)> = Vec::new();
        let mut put = |at: u32, pc: Option<Pc>| {
            if lines.last().is_none_or(|last| last.1 != pc) {
                lines.push((at as usize, pc));
            }
        };
        let mut end = 0;
        for place in compiled.buffer.get_srclocs_sorted() {
            if place.start > end {
                put(end, None);
            }
            put(place.start, (!place.loc.is_default()).then(|| place.loc.bits()));
            end = place.end;
        }
        let blocks = compiled.bb_starts.iter().map(|&at| at as usize).collect();
        let pc = func.pcs.first().copied().unwrap_or(0);
        MachineFunction { pc, start, len: compiled.buffer.data().len(), lines, blocks }
    }
}
