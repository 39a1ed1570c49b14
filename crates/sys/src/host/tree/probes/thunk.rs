//! A thunk: says which function it is, then does what the jump to it covers, and goes on behind.
//!
//! ```text
//!      .quad  where a call that was moved returns to
//!      .quad  the function's address
//!      lea    -128(%rsp), %rsp
//!      push   $which
//!      call   *agent(%rip)
//!      lea    136(%rsp), %rsp
//!      what was covered; jmp behind it
//! ```
//! It is laid out at one place, and moved to another by the agent: distances to the file's own
//! places are found by laying it out twice.

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, FlowControl, Instruction, InstructionBlock,
    MemoryOperand, Mnemonic, Register,
};

use super::Part;
use super::site::Site;
use crate::host::tree::layout::probe;

/// Bytes in front of a thunk.
const DATA: usize = 16;
/// What all begin with: see above.
const BEGIN: usize = 24;
/// By so much the second layout lies elsewhere: each byte of a distance differs.
const MOVED: u64 = 0x0101_0101;

/// Adds one to a file's image; gives where it is.
///
/// # Errors
/// What is covered cannot be moved.
pub fn add(part: &mut Part, site: &Site, which: u32) -> Result<u32, String> {
    let at = part.image.len().next_multiple_of(16) + DATA;
    let code = part.area + (at + BEGIN) as u64;
    let returns = part.area + (at - DATA) as u64;
    let body = encode(site, code, returns)?;
    let again = encode(site, code + MOVED, returns + MOVED)?;
    let near = distances(&body, &again)?;
    part.image.resize(at - DATA, 0xcc);
    let first = part.image.len();
    part.image.extend(site.next.to_le_bytes());
    part.image.extend(site.address.to_le_bytes());
    part.far.extend([first as u32, first as u32 + 8]);
    part.image.extend([0x48, 0x8d, 0x64, 0x24, 0x80, 0x68]);
    part.image.extend(which.to_le_bytes());
    // Calls alone need no registers: the short way.
    let full = which & (probe::REGISTERS | probe::RETURN) != 0;
    let slot = if full { 8 } else { 0 } - (at as i32 + 16);
    part.image.extend([0xff, 0x15]);
    part.image.extend(slot.to_le_bytes());
    part.image.extend([0x48, 0x8d, 0xa4, 0x24, 0x88, 0, 0, 0]);
    debug_assert_eq!(part.image.len(), at + BEGIN);
    part.near.extend(near.iter().map(|offset| (at + BEGIN) as u32 + offset));
    part.image.extend(body);
    Ok(at as u32)
}

/// What was covered, and the way back.
fn encode(site: &Site, at: u64, returns: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: iced_x86::IcedError| format!("its code cannot be moved: {error}");
    let mut code = Vec::new();
    let mut falls = true;
    for insn in &site.moved {
        match insn.flow_control() {
            _ if insn.mnemonic() == Mnemonic::Call => {
                let word = MemoryOperand::with_base_displ(Register::RIP, returns as i64);
                code.push(Instruction::with1(Code::Push_rm64, word).map_err(cannot)?);
                code.push(jump_for(insn).map_err(cannot)?);
                falls = false;
            }
            FlowControl::UnconditionalBranch
            | FlowControl::Return
            | FlowControl::IndirectBranch => {
                code.push(*insn);
                falls = false;
            }
            _ => code.push(*insn),
        }
    }
    if falls {
        code.push(Instruction::with_branch(Code::Jmp_rel32_64, site.next).map_err(cannot)?);
    }
    let block = InstructionBlock::new(&code, at);
    let done = BlockEncoder::encode(64, block, BlockEncoderOptions::NONE).map_err(cannot)?;
    Ok(done.code_buffer)
}

/// The jump to what an instruction calls.
fn jump_for(call: &Instruction) -> Result<Instruction, iced_x86::IcedError> {
    if call.flow_control() == FlowControl::Call {
        return Instruction::with_branch(Code::Jmp_rel32_64, call.near_branch64());
    }
    let mut jump = *call;
    jump.set_code(Code::Jmp_rm64);
    Ok(jump)
}

/// Where two layouts differ, which is by how far they lie from each other.
fn distances(one: &[u8], other: &[u8]) -> Result<Vec<u32>, String> {
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).map(|word| u32::from_le_bytes(word.try_into().unwrap_or_default()))
    };
    let (mut at, mut found) = (0, Vec::new());
    while at < one.len().max(other.len()) {
        if one.get(at) == other.get(at) {
            at += 1;
            continue;
        }
        let (Some(here), Some(there)) = (word(one, at), word(other, at)) else {
            return Err("its code cannot be moved".into());
        };
        if here.wrapping_sub(there) != MOVED as u32 {
            return Err("its code cannot be moved".into());
        }
        found.push(at as u32);
        at += 4;
    }
    Ok(found)
}
