//! Linked code: what instructions name has become a number of what was found. Maps are
//! [`ImmKind::MapIdx`] and [`ImmKind::MapIdxValue`] then, whose lower half is an index, and
//! calls of kernel functions hold a number in the place of the BTF id.

use crate::{Callee, Imm64, ImmKind, Insn, Pc};

/// Puts into each instruction the number of what it names. `map` finds a map by the instruction
/// and its immediate, `kfunc` a kernel function by the instruction, its BTF id and its module.
///
/// # Errors
/// The first that one of them gives.
pub fn link<E>(
    insns: &mut [Insn],
    mut map: impl FnMut(Pc, Imm64) -> Result<u32, E>,
    mut kfunc: impl FnMut(Pc, i32, i16) -> Result<u32, E>,
) -> Result<(), E> {
    for (insn, pc) in insns.iter_mut().zip(0..) {
        match insn {
            Insn::LoadImm64 { imm, .. } => {
                let kind = match imm.kind {
                    ImmKind::MapFd | ImmKind::MapIdx => ImmKind::MapIdx,
                    ImmKind::MapValue | ImmKind::MapIdxValue => ImmKind::MapIdxValue,
                    ImmKind::Const | ImmKind::BtfId | ImmKind::Func => continue,
                };
                *imm = Imm64 { kind, lo: map(pc, *imm)?, hi: imm.hi };
            }
            Insn::Call(Callee::Kfunc { btf_id, module }) => {
                (*btf_id, *module) = (kfunc(pc, *btf_id, *module)? as i32, 0);
            }
            _ => {}
        }
    }
    Ok(())
}
