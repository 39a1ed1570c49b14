//! Programs that use what there is to use; some are refused, and some of those run all the
//! same, where nobody verifies them.

use super::world::{Dice, World};

/// An instruction's bytes.
fn i(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; 8] {
    let mut bytes = [code, src << 4 | dst, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&off.to_ne_bytes());
    bytes[4..].copy_from_slice(&imm.to_ne_bytes());
    bytes
}

const EXIT: u8 = 0x95;
const CALL: u8 = 0x85;
const MOV: u8 = 0xb7;
const MOVX: u8 = 0xbf;
const ADD: u8 = 0x07;

/// r1 = a map.
fn map(fd: u32) -> [[u8; 8]; 2] {
    [i(0x18, 1, 1, 0, fd as i32), i(0, 0, 0, 0, 0)]
}

/// r2 = the address of `key` on the stack.
fn key(key: i32) -> [[u8; 8]; 3] {
    [i(0x62, 10, 0, -8, key), i(MOVX, 2, 10, 0, 0), i(ADD, 2, 0, 0, -8)]
}

/// A program that names maps by the numbers of fds in `world`.
pub fn random(world: &World, dice: &mut Dice) -> Vec<[u8; 8]> {
    let fd = world.number(dice);
    let small = dice.below(4) as i32;
    let mut insns = vec![i(MOVX, 6, 1, 0, 0)];
    match dice.below(14) {
        // Look up, and write to what was found, if anything.
        0 | 1 => {
            insns.extend(map(fd).into_iter().chain(key(small)));
            insns.push(i(CALL, 0, 0, 0, 1));
            let checked = !dice.one_in(4);
            if checked {
                insns.push(i(0x15, 0, 0, 2, 0));
            }
            let off = dice.pick(&[0, 0, 0, 4, 8, 60, -8]);
            insns.extend([i(0x79, 7, 0, off, 0), i(0x7b, 0, 7, off, 0)]);
        }
        2 => {
            insns.extend(map(fd).into_iter().chain(key(small)));
            insns.extend([i(0x7a, 10, 0, -16, small), i(MOVX, 3, 10, 0, 0), i(ADD, 3, 0, 0, -16)]);
            insns.extend([i(MOV, 4, 0, 0, 0), i(CALL, 0, 0, 0, 2)]);
        }
        3 => {
            insns.extend(map(fd).into_iter().chain(key(small)));
            insns.push(i(CALL, 0, 0, 0, 3));
        }
        // The value's own address.
        4 => {
            let off = dice.pick(&[0, 0, 8, 56, 4096]);
            insns.extend([
                i(0x18, 1, 2, 0, fd as i32),
                i(0, 0, 0, 0, off),
                i(0x7a, 1, 0, 0, small),
            ]);
        }
        // A record of a ring, submitted, given up, or left.
        5 | 6 => {
            insns.extend(map(fd));
            insns.extend([i(MOV, 2, 0, 0, 16), i(MOV, 3, 0, 0, 0), i(CALL, 0, 0, 0, 131)]);
            insns.push(i(0x15, 0, 0, if dice.one_in(4) { 0 } else { 4 }, 0));
            insns.extend([i(0x7a, 0, 0, 8, small), i(MOVX, 1, 0, 0, 0), i(MOV, 2, 0, 0, 0)]);
            insns.push(i(CALL, 0, 0, 0, dice.pick(&[132, 132, 133, 5])));
        }
        7 => {
            insns.extend([i(0x18, 2, 1, 0, fd as i32), i(0, 0, 0, 0, 0)]);
            insns.extend([i(MOVX, 1, 6, 0, 0), i(MOV, 3, 0, 0, small), i(CALL, 0, 0, 0, 12)]);
        }
        // Print, which calls back.
        8..=10 => {
            insns.extend([i(0x62, 10, 0, -8, 0x000a_6948), i(MOVX, 1, 10, 0, 0)]);
            insns.extend([i(ADD, 1, 0, 0, -8), i(MOV, 2, 0, 0, 4), i(CALL, 0, 0, 0, 6)]);
        }
        // Move the packet, and use what pointed into it.
        11 => {
            let (data, helper) = dice.pick(&[(0, 44), (76, 38), (0, 65), (76, 43)]);
            insns.extend([i(0x61, 7, 6, data, 0), i(MOVX, 1, 6, 0, 0)]);
            insns.extend([i(MOV, 2, 0, 0, dice.pick(&[-20, 8, 100, 4000])), i(MOV, 3, 0, 0, 0)]);
            insns.push(i(CALL, 0, 0, 0, helper));
            insns.push(if dice.one_in(2) { i(0x71, 0, 7, 0, 0) } else { i(MOV, 0, 0, 0, 1) });
        }
        // A loop, and calls of a function of its own.
        12 => {
            insns.extend([i(MOV, 7, 0, 0, 40), i(0x17, 7, 0, 0, 1), i(0x55, 7, 0, -2, 0)]);
            insns.extend([i(CALL, 0, 1, 0, 2), i(MOV, 0, 0, 0, 1), i(EXIT, 0, 0, 0, 0)]);
        }
        // Anything.
        _ => {
            let codes = [
                0x07, 0x0f, 0xb7, 0xbf, 0x61, 0x79, 0x7b, 0x63, 0x72, 0xdb, 0xc3, 0x1d, 0x85, 0x8d,
            ];
            for _ in 0..dice.below(12) {
                let registers = dice.next();
                let (dst, src) = ((registers % 11) as u8, (registers / 11 % 11) as u8);
                let off = dice.pick(&[0, 0, -8, 8, 1, -1, 100, -512]);
                let imm = dice.pick(&[0, 1, 6, 8, 26, 51, 181, -1, i32::MAX]);
                insns.push(i(dice.pick(&codes), dst, src, off, imm));
            }
        }
    }
    insns.extend([i(MOV, 0, 0, 0, dice.below(3) as i32), i(EXIT, 0, 0, 0, 0)]);
    insns
}
