//! The name that Linux gives a program by its instructions: what is shown as `tag`.
//! Counterpart: `bpf_prog_calc_tag` of 6.18 (6.12 and earlier hash with SHA-1).

use sha2::{Digest, Sha256};
use skep_isa::{ImmKind, Slot};

/// Opcode of a 64-bit immediate's first slot.
const LOAD_IMM64: u8 = 0x18;

/// The tag of a program as it was handed in: the first 8 bytes of SHA-256 over its
/// instructions, in which the descriptors of maps, which are other ones each time, and
/// offsets into their values are zero. Maps that are named by their place in an array
/// stay as they are.
pub fn tag(slots: &[Slot]) -> [u8; 8] {
    let mut slots = slots.to_vec();
    let mut second = false;
    for slot in &mut slots {
        let names_map = slot.code == LOAD_IMM64
            && (slot.src == ImmKind::MapFd as u8 || slot.src == ImmKind::MapValue as u8);
        let is_bare = slot.code == 0 && slot.dst == 0 && slot.src == 0 && slot.off == 0;
        if second && is_bare || !second && names_map {
            slot.imm = 0;
        }
        second = !second && names_map;
    }
    let digest = Sha256::digest(Slot::join(&slots));
    digest.first_chunk().copied().unwrap_or_default()
}
