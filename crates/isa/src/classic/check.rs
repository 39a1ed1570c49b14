//! What Linux demands of a classic program before it runs it (`bpf_check_classic` in
//! `net/core/filter.c`): known opcodes, sane constants, jumps within the program, a
//! return at its end, and no cell of memory read before it was written on every path.

use std::fmt;

use super::{Filter, Insn, MAX_INSNS, MEM_WORDS, Op, Operand};

/// Why a program is refused; Linux says `EINVAL` to all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("instruction {pc}: {kind}")]
pub struct ClassicError {
    /// The instruction.
    pub pc: usize,
    /// What is wrong with it.
    pub kind: ClassicErrorKind,
}

/// What is wrong with a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClassicErrorKind {
    /// It has so many instructions: none, or more than 4096.
    Length(usize),
    /// No instruction has this opcode.
    UnknownCode(u16),
    /// Division by the constant zero.
    DivisionByZero,
    /// A shift by 32 or more.
    Shift(u32),
    /// A cell that does not exist.
    Cell(u32),
    /// A jump behind the end.
    Jump,
    /// An offset of metadata that does not exist.
    Ancillary(i32),
    /// A cell that some path has not written.
    Unwritten(u32),
    /// The last instruction is no return.
    NoReturn,
    /// Metadata that eBPF programs cannot read.
    NoCounterpart(super::Ancillary),
}

impl fmt::Display for ClassicErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassicErrorKind::Length(0) => f.write_str("the program is empty"),
            ClassicErrorKind::Length(count) => {
                write!(f, "the program has {count} instructions, more than {MAX_INSNS}")
            }
            ClassicErrorKind::UnknownCode(code) => write!(f, "no instruction has opcode {code:#x}"),
            ClassicErrorKind::DivisionByZero => f.write_str("division by zero"),
            ClassicErrorKind::Shift(amount) => write!(f, "shift by {amount}, more than 31"),
            ClassicErrorKind::Cell(cell) => write!(f, "there is no M[{cell}], only M[0] to M[15]"),
            ClassicErrorKind::Jump => f.write_str("jump behind the end of the program"),
            ClassicErrorKind::Ancillary(offset) => write!(f, "there is no metadata at [{offset}]"),
            ClassicErrorKind::Unwritten(cell) => write!(f, "M[{cell}] may not have been written"),
            ClassicErrorKind::NoReturn => f.write_str("the last instruction is no return"),
            ClassicErrorKind::NoCounterpart(what) => {
                write!(f, "eBPF programs cannot read [{}]", what.name())
            }
        }
    }
}

/// Checks a program and gives its instructions.
///
/// # Errors
/// The first instruction that Linux would refuse.
pub fn check(filters: &[Filter]) -> Result<Vec<Insn>, ClassicError> {
    let error = |pc, kind| ClassicError { pc, kind };
    if filters.is_empty() || filters.len() > MAX_INSNS {
        return Err(error(0, ClassicErrorKind::Length(filters.len())));
    }
    let mut insns = Vec::with_capacity(filters.len());
    for (pc, filter) in filters.iter().enumerate() {
        let insn = filter.decode().ok_or(error(pc, ClassicErrorKind::UnknownCode(filter.code)))?;
        sane(insn, filters.len() - pc - 1).map_err(|kind| error(pc, kind))?;
        insns.push(insn);
    }
    if !matches!(insns.last(), Some(Insn::RetA | Insn::RetK(_))) {
        return Err(error(insns.len() - 1, ClassicErrorKind::NoReturn));
    }
    written(&insns).map_err(|(pc, cell)| error(pc, ClassicErrorKind::Unwritten(cell)))?;
    Ok(insns)
}

/// One instruction by itself, with the number of instructions that follow it.
fn sane(insn: Insn, after: usize) -> Result<(), ClassicErrorKind> {
    match insn {
        Insn::Alu(Op::Div | Op::Mod, Operand::K(0)) => Err(ClassicErrorKind::DivisionByZero),
        Insn::Alu(Op::Lsh | Op::Rsh, Operand::K(amount)) if amount >= 32 => {
            Err(ClassicErrorKind::Shift(amount))
        }
        Insn::LoadMem(_, cell) | Insn::Store(_, cell) if cell >= MEM_WORDS => {
            Err(ClassicErrorKind::Cell(cell))
        }
        Insn::Ja(off) if off as usize >= after => Err(ClassicErrorKind::Jump),
        Insn::Branch { jt, jf, .. } if usize::from(jt.max(jf)) >= after => {
            Err(ClassicErrorKind::Jump)
        }
        Insn::LoadAbs { offset: offset @ -0x1000..0, .. } => {
            Err(ClassicErrorKind::Ancillary(offset))
        }
        _ => Ok(()),
    }
}

/// Follows the cells that are written on every path; all jumps go forward. As in
/// Linux, code that nothing reaches may read any cell.
fn written(insns: &[Insn]) -> Result<(), (usize, u32)> {
    let mut on_arrival = vec![u16::MAX; insns.len()];
    let mut cells = 0;
    for (pc, insn) in insns.iter().enumerate() {
        cells &= on_arrival[pc];
        let mut arrive = |skip: usize| {
            if let Some(target) = on_arrival.get_mut(pc + 1 + skip) {
                *target &= cells;
            }
        };
        match *insn {
            Insn::Store(_, cell) => cells |= 1 << cell,
            Insn::LoadMem(_, cell) if cells & 1 << cell == 0 => return Err((pc, cell)),
            Insn::Ja(off) => {
                arrive(off as usize);
                cells = u16::MAX;
            }
            Insn::Branch { jt, jf, .. } => {
                arrive(jt.into());
                arrive(jf.into());
                cells = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn what_linux_refuses_is_refused_with_a_reason() {
        let cases = [
            ("(000) tax", "instruction 0: the last instruction is no return"),
            ("(000) div #0\n(001) ret #0", "instruction 0: division by zero"),
            ("(000) mod #0\n(001) ret #0", "instruction 0: division by zero"),
            ("(000) lsh #32\n(001) ret #0", "instruction 0: shift by 32, more than 31"),
            (
                "(000) st M[16]\n(001) ret #0",
                "instruction 0: there is no M[16], only M[0] to M[15]",
            ),
            ("(000) ld M[1]\n(001) ret #0", "instruction 0: M[1] may not have been written"),
            ("(000) ja 2\n(001) ret #0", "instruction 0: jump behind the end of the program"),
            (
                "(000) jeq #1 jt 1 jf 2\n(001) ret #0",
                "instruction 0: jump behind the end of the program",
            ),
            ("(000) ld [-4032]\n(001) ret #0", "instruction 0: there is no metadata at [-4032]"),
            (
                "(000) jeq #1 jt 1 jf 2\n(001) st M[3]\n(002) ldx M[3]\n(003) ret a",
                "instruction 2: M[3] may not have been written",
            ),
        ];
        for (text, expected) in cases {
            let filters = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(check(&filters).unwrap_err().to_string(), expected, "{text}");
        }
        let unknown = Filter { code: 0x85, ..Filter::default() };
        assert_eq!(check(&[unknown]).unwrap_err().kind, ClassicErrorKind::UnknownCode(0x85));
        assert_eq!(check(&[]).unwrap_err().kind, ClassicErrorKind::Length(0));
        let long = vec![Insn::RetA.encode(); MAX_INSNS + 1];
        assert_eq!(check(&long).unwrap_err().kind, ClassicErrorKind::Length(MAX_INSNS + 1));
        assert!(check(&long[1..]).is_ok());
    }
}
