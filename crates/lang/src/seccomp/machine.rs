//! Programs for seccomp: classic ones that Linux takes for it (`seccomp_check_filter` in
//! `kernel/seccomp.c`), run on calls.

use std::fmt;

use skep_isa::Size;
use skep_isa::classic::{self, ClassicError, Filter, Insn, Op, Packet};

use super::facts::WORDS;
use super::plan::Data;

/// Why a program is none for seccomp.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MachineError {
    /// No kernel takes it for anything.
    #[error(transparent)]
    Classic(#[from] ClassicError),
    /// Seccomp does without this instruction.
    #[error("instruction {pc}: seccomp has no such instruction; {reason}")]
    Refused {
        /// The instruction.
        pc: usize,
        /// What it does.
        reason: &'static str,
    },
}

/// A program that Linux takes as a seccomp filter.
#[derive(Clone, PartialEq, Eq)]
pub struct Machine {
    filters: Vec<Filter>,
    program: classic::Program,
    little: bool,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Machine({} instructions)", self.filters.len())
    }
}

impl Machine {
    /// Checks a program as Linux does; `little` says whether it is for architectures that
    /// have the lower half of an argument first.
    ///
    /// # Errors
    /// The first instruction that Linux would refuse.
    pub fn new(filters: &[Filter], little: bool) -> Result<Machine, MachineError> {
        let program = classic::Program::new(filters)?;
        for (pc, insn) in program.insns().iter().enumerate() {
            let reason = match *insn {
                Insn::LoadAbs { size: Size::W, offset } => match usize::try_from(offset) {
                    Ok(offset) if offset % 4 == 0 && offset < 4 * WORDS => continue,
                    _ => "it reads beside the words of a call",
                },
                Insn::LoadAbs { .. } => "it reads less than a word",
                Insn::LoadInd { .. } | Insn::LoadHeaderLen { .. } => "it reads at an index",
                Insn::LoadAncillary { .. } => "it reads of a packet",
                Insn::Alu(Op::Mod, _) => "it takes a remainder",
                _ => continue,
            };
            return Err(MachineError::Refused { pc, reason });
        }
        Ok(Machine { filters: filters.to_vec(), program, little })
    }

    /// Its instructions.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// The same, decoded.
    pub(super) fn insns(&self) -> &[Insn] {
        self.program.insns()
    }

    pub(super) fn is_little(&self) -> bool {
        self.little
    }

    /// Runs it on a call: what it returns, and how many instructions that took.
    pub fn run(&self, data: &Data) -> (u32, u32) {
        let words = words(data, self.little);
        // A load reads bytes in the order of networks.
        let mut bytes = [0; 4 * WORDS];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        let mut steps = 0;
        let value = self.program.trace(&Packet::of(&bytes), |_| steps += 1);
        (value, steps)
    }

    /// Whether Linux knows that it allows a call without running it: before 0x7fff0000 is
    /// returned, nothing but number and architecture is read, and only plain comparisons
    /// and jumps are met (`seccomp_is_const_allow`).
    pub fn is_constant_allow(&self, nr: u32, arch: u32) -> bool {
        let mut a = 0;
        let mut pc = 0;
        while let Some(insn) = self.insns().get(pc) {
            pc += 1;
            match *insn {
                Insn::LoadAbs { offset: 0, .. } => a = nr,
                Insn::LoadAbs { offset: 4, .. } => a = arch,
                Insn::RetK(value) => return value == super::policy::Action::Allow.value(),
                Insn::Ja(off) => pc += off as usize,
                Insn::Branch { cond, src: classic::Operand::K(k), jt, jf } => {
                    pc += usize::from(if classic::holds(cond, a, k) { jt } else { jf });
                }
                Insn::Alu(Op::And, classic::Operand::K(k)) => a &= k,
                _ => return false,
            }
        }
        false
    }
}

/// The sixteen words of a call.
pub(super) fn words(data: &Data, little: bool) -> [u32; WORDS] {
    let mut words = [data.nr, data.arch, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let numbers = [data.ip].into_iter().chain(data.args);
    for (pair, number) in words[2..].chunks_exact_mut(2).zip(numbers) {
        let halves = [number as u32, (number >> 32) as u32];
        pair.copy_from_slice(&if little { halves } else { [halves[1], halves[0]] });
    }
    words
}

/// The call of sixteen words.
pub(super) fn data(words: &[u32; WORDS], little: bool) -> Data {
    let number = |index: usize| {
        let [first, second] = [words[2 + 2 * index], words[3 + 2 * index]].map(u64::from);
        if little { second << 32 | first } else { first << 32 | second }
    };
    let args = std::array::from_fn(|arg| number(1 + arg));
    Data { nr: words[0], arch: words[1], ip: number(0), args }
}

/// What a load of the packet's length gives.
pub(super) const LENGTH: u32 = 4 * WORDS as u32;
