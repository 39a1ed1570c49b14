//! Packets that reach far into a program: it is run on one, and before a branch the bytes
//! that were read last are often changed so that it goes a certain way.

use skep_isa::Size;
use skep_isa::classic::{Cond, Insn, Op, Operand, Program, Reg, alu, holds};

use crate::inputs::Random;

/// Some bytes to start from: a frame of the pool or noise, of a random length.
pub fn start(pool: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut packet = match pool.is_empty() || random.chance(3) {
        true => {
            let len = random.index(160);
            let zeros = random.chance(2);
            (0..len).map(|_| if zeros { 0 } else { random.next() as u8 }).collect()
        }
        false => random.pick(pool).clone(),
    };
    for _ in 0..random.index(4) {
        if !packet.is_empty() {
            let at = random.index(packet.len().min(80));
            packet[at] = random.next() as u8;
        }
    }
    if random.chance(3) {
        packet.resize(random.index(150), 0);
    }
    packet
}

/// Where A came from: its bytes in the packet, and a mask since.
#[derive(Clone, Copy)]
struct Origin {
    at: usize,
    size: usize,
    mask: u32,
}

/// Changes a packet on its way through a program.
pub fn steer(program: &Program, packet: &mut [u8], random: &mut Random) {
    let (mut a, mut x) = (0u32, 0u32);
    let mut cells = [(0u32, None::<Origin>); 16];
    let mut origin: Option<Origin> = None;
    let mut pc = 0usize;
    for _ in 0..2_000 {
        let Some(insn) = program.insns().get(pc) else { return };
        pc += 1;
        match *insn {
            Insn::LoadAbs { size, offset } => {
                let Some((value, from)) = load(packet, size, u64::from(offset as u32)) else {
                    return;
                };
                (a, origin) = (value, Some(from));
            }
            Insn::LoadInd { size, offset } => {
                let at = u64::from(x) + u64::from(offset as u32);
                let Some((value, from)) = load(packet, size, at) else { return };
                (a, origin) = (value, Some(from));
            }
            Insn::LoadHeaderLen { offset } => {
                let at = offset as u32 as usize;
                if random.chance(2) && at < packet.len() {
                    packet[at] = packet[at] & 0xf0 | 5;
                }
                let Some(byte) = packet.get(at) else { return };
                x = 4 * u32::from(byte & 0xf);
            }
            Insn::LoadAncillary { .. } => (a, origin) = (0, None),
            Insn::LoadLen(Reg::A) => (a, origin) = (packet.len() as u32, None),
            Insn::LoadLen(Reg::X) => x = packet.len() as u32,
            Insn::LoadImm(Reg::A, k) => (a, origin) = (k, None),
            Insn::LoadImm(Reg::X, k) => x = k,
            Insn::LoadMem(Reg::A, cell) => (a, origin) = cells[cell as usize & 15],
            Insn::LoadMem(Reg::X, cell) => x = cells[cell as usize & 15].0,
            Insn::Store(Reg::A, cell) => cells[cell as usize & 15] = (a, origin),
            Insn::Store(Reg::X, cell) => cells[cell as usize & 15] = (x, None),
            Insn::Alu(op, src) => {
                let right = if let Operand::K(k) = src { k } else { x };
                origin = match op {
                    Op::And => origin.map(|from| Origin { mask: from.mask & right, ..from }),
                    _ => None,
                };
                let Some(value) = alu(op, a, right, false) else { return };
                a = value;
            }
            Insn::Neg => (a, origin) = (a.wrapping_neg(), None),
            Insn::Ja(off) => pc = pc.wrapping_add_signed(off as i32 as isize),
            Insn::Branch { cond, src, jt, jf } => {
                let right = if let Operand::K(k) = src { k } else { x };
                if let Some(from) = origin.filter(|_| !random.chance(3)) {
                    let wanted = match cond {
                        Cond::Eq | Cond::Ge => right,
                        Cond::Gt => right.wrapping_add(random.index(3) as u32).wrapping_sub(1),
                        Cond::Set => a & !right | if random.chance(2) { right } else { 0 },
                    };
                    a = patch(packet, from, wanted);
                }
                pc += usize::from(if holds(cond, a, right) { jt } else { jf });
            }
            Insn::Tax => x = a,
            Insn::Txa => (a, origin) = (x, None),
            Insn::RetK(_) | Insn::RetA => return,
        }
    }
}

fn load(packet: &[u8], size: Size, at: u64) -> Option<(u32, Origin)> {
    let at = usize::try_from(at).ok()?;
    let size = match size {
        Size::B => 1,
        Size::H => 2,
        Size::W | Size::DW => 4,
    };
    let bytes = packet.get(at..)?.get(..size)?;
    let value = bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
    Some((value, Origin { at, size, mask: u32::MAX }))
}

/// Makes A under its mask what is wanted, as far as its bytes can be; gives A.
fn patch(packet: &mut [u8], from: Origin, wanted: u32) -> u32 {
    let field = &mut packet[from.at..from.at + from.size];
    let old = field.iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
    let new = old & !from.mask | wanted & from.mask;
    let bytes = new.to_be_bytes();
    field.copy_from_slice(&bytes[4 - from.size..]);
    let kept = field.iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
    kept & from.mask
}

/// The frames of a capture, each with its length on the wire.
pub fn frames(path: &std::path::Path) -> anyhow::Result<Vec<(Vec<u8>, u32)>> {
    let mut reader = skep_load::capture::Reader::open(path)?;
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet()? {
        frames.push((packet.data.to_vec(), packet.wire_len));
    }
    Ok(frames)
}
