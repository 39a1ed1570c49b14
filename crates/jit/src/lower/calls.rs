//! Calls between functions, which are known by their distance only once all are placed.
//! Each machine has one instruction, or pair of them, that functions are called with.
//! Counterpart: the relocations of the ELF supplements of the four processors.

use cranelift_codegen::binemit::Reloc;

use super::backend;
use crate::describe::JitError;

/// Writes the distance of a call, from the place `at` on, into it.
pub fn patch(code: &mut [u8], at: usize, kind: Reloc, distance: i64) -> Result<(), JitError> {
    let fits = |bits: u32| -> Result<i64, JitError> {
        let half = 1i64 << (bits - 1);
        match (-half..half).contains(&distance) {
            true => Ok(distance),
            false => Err(backend("a call that is too far")),
        }
    };
    let word = |at: usize| u32::from_le_bytes([code[at], code[at + 1], code[at + 2], code[at + 3]]);
    match kind {
        Reloc::X86CallPCRel4 => {
            let distance = fits(32)? as i32;
            code[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
        // BL: 26 bits of words.
        Reloc::Arm64Call => {
            let words = (fits(28)? >> 2) as u32;
            let call = word(at) & 0xfc00_0000 | words & 0x03ff_ffff;
            code[at..at + 4].copy_from_slice(&call.to_le_bytes());
        }
        // AUIPC with the upper 20 bits, rounded, and JALR with the lower 12, signed.
        Reloc::RiscvCallPlt => {
            if i32::try_from(distance + 0x800).is_err() {
                return Err(backend("a call that is too far"));
            }
            let upper = (distance + 0x800) as u32 & 0xffff_f000;
            let (auipc, jalr) = (word(at) & 0xfff | upper, word(at + 4) & 0x000f_ffff);
            let jalr = jalr | (distance as u32 & 0xfff) << 20;
            code[at..at + 4].copy_from_slice(&auipc.to_le_bytes());
            code[at + 4..at + 8].copy_from_slice(&jalr.to_le_bytes());
        }
        // BRASL: 32 bits of halfwords, the highest first. The addend makes up for the two
        // bytes that the place is behind the instruction.
        Reloc::S390xPLTRel32Dbl => {
            let halfwords = (fits(33)? >> 1) as i32;
            code[at..at + 4].copy_from_slice(&halfwords.to_be_bytes());
        }
        other => return Err(backend(format!("relocation {other}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_reaches_as_far_as_its_machine_lets_it() {
        for (kind, least, most, step) in [
            (Reloc::X86CallPCRel4, -(1i64 << 31), (1i64 << 31) - 1, 1),
            (Reloc::Arm64Call, -(1 << 27), (1 << 27) - 4, 4),
            (Reloc::RiscvCallPlt, -(1 << 31) - 0x800, (1 << 31) - 0x802, 2),
            (Reloc::S390xPLTRel32Dbl, -(1 << 32), (1 << 32) - 2, 2),
        ] {
            for (distance, reached) in
                [(least, true), (most, true), (least - step, false), (most + step, false)]
            {
                let done = patch(&mut [0; 8], 0, kind, distance).is_ok();
                assert_eq!(done, reached, "{kind} {distance:#x}");
            }
        }
    }
}
