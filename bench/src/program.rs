//! The loop over random keys, as a program for both kernels.
//!
//! `ours` holds the same loop in Rust. Both draw key numbers from one generator,
//! make the key from the number, and add up the values that they find, so that the
//! sums tell whether both have done the same. The packet holds the generator's
//! state and the number of rounds.

/// The generator: `state = state * FACTOR + STEP`, of which the upper bits count.
pub const FACTOR: u64 = 6364136223846793005;
/// See [`FACTOR`].
pub const STEP: u64 = 1442695040888963407;
/// Spreads a key's number over 64 bits, for long keys.
pub const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a round does with its key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Look it up and read 8 bytes of the value.
    Lookup,
    /// Replace its value.
    Update,
}

fn insn(opcode: u8, dst: u8, src: u8, offset: i16, imm: i32) -> u64 {
    u64::from(opcode)
        | u64::from(dst) << 8
        | u64::from(src) << 12
        | u64::from(offset as u16) << 16
        | u64::from(imm as u32) << 32
}

/// Instructions with the few forms that the loop needs.
#[derive(Default)]
struct Code(Vec<u64>);

impl Code {
    fn push(&mut self, opcode: u8, dst: u8, src: u8, offset: i16, imm: i32) -> usize {
        self.0.push(insn(opcode, dst, src, offset, imm));
        self.0.len() - 1
    }

    fn load_imm64(&mut self, dst: u8, src: u8, value: u64) {
        self.push(0x18, dst, src, 0, value as i32);
        self.push(0, 0, 0, 0, (value >> 32) as i32);
    }

    fn mov(&mut self, dst: u8, src: u8) {
        self.push(0xbf, dst, src, 0, 0);
    }

    fn add_imm(&mut self, dst: u8, imm: i32) {
        self.push(0x07, dst, 0, 0, imm);
    }

    /// Lets the jump at `from` lead to the next instruction.
    fn land(&mut self, from: usize) {
        let offset = (self.0.len() - from - 1) as u64 & 0xffff;
        self.0[from] = self.0[from] & !0xffff_0000 | offset << 16;
    }

    fn jump_back(&mut self, to: usize) {
        let offset = to as i64 - self.0.len() as i64 - 1;
        self.push(0x05, 0, 0, offset as i16, 0);
    }
}

/// The loop over keys below `entries`, a power of two, of 4 or 16 bytes.
pub fn looping(map: i32, operation: Operation, key_size: u32, entries: u32) -> Vec<u64> {
    let mut code = Code::default();
    code.push(0x61, 2, 1, 0, 0); // r2 = packet
    code.push(0x61, 3, 1, 4, 0); // r3 = its end
    code.mov(4, 2);
    code.add_imm(4, 16);
    let too_short = code.push(0x2d, 4, 3, 0, 0);
    code.push(0x79, 7, 2, 0, 0); // r7 = state
    code.push(0x79, 8, 2, 8, 0); // r8 = rounds
    code.push(0xb7, 9, 0, 0, 0); // r9 = sum
    let round = code.0.len();
    let limit = code.push(0xe5, 0, 0, 0, 0); // may_goto
    let done = code.push(0x15, 8, 0, 0, 0);
    code.add_imm(8, -1);
    code.load_imm64(1, 0, FACTOR);
    code.push(0x2f, 7, 1, 0, 0);
    code.load_imm64(1, 0, STEP);
    code.push(0x0f, 7, 1, 0, 0);
    code.mov(1, 7);
    code.push(0x77, 1, 0, 0, 33);
    code.push(0x57, 1, 0, 0, entries as i32 - 1);
    if key_size == 4 {
        code.push(0x63, 10, 1, -16, 0);
    } else {
        code.push(0x7b, 10, 1, -8, 0);
        code.load_imm64(2, 0, SPREAD);
        code.push(0x2f, 1, 2, 0, 0);
        code.push(0x7b, 10, 1, -16, 0);
    }
    code.load_imm64(1, 1, map as u64);
    code.mov(2, 10);
    code.add_imm(2, -16);
    match operation {
        Operation::Lookup => {
            code.push(0x85, 0, 0, 0, 1);
            let missing = code.push(0x15, 0, 0, 0, 0);
            code.push(0x79, 1, 0, 0, 0);
            code.push(0x0f, 9, 1, 0, 0);
            code.land(missing);
        }
        Operation::Update => {
            code.push(0x7b, 10, 7, -24, 0);
            code.mov(3, 10);
            code.add_imm(3, -24);
            code.push(0xb7, 4, 0, 0, 0);
            code.push(0x85, 0, 0, 0, 2);
            code.push(0x0f, 9, 0, 0, 0);
        }
    }
    code.jump_back(round);
    code.land(limit);
    code.land(done);
    code.mov(0, 9);
    let end = code.push(0x05, 0, 0, 0, 0);
    code.land(too_short);
    code.push(0xb7, 0, 0, 0, 0);
    code.land(end);
    code.push(0x95, 0, 0, 0, 0);
    code.0
}

/// The packet that starts the loop.
pub fn packet(state: u64, rounds: u64) -> [u8; 64] {
    let mut packet = [0; 64];
    packet[..8].copy_from_slice(&state.to_ne_bytes());
    packet[8..16].copy_from_slice(&rounds.to_ne_bytes());
    packet
}

/// The key with a number; the first 4 or 16 bytes of it.
pub fn key(number: u32, key_size: u32) -> [u8; 16] {
    let mut key = [0; 16];
    if key_size == 4 {
        key[..4].copy_from_slice(&number.to_ne_bytes());
    } else {
        let spread = u64::from(number).wrapping_mul(SPREAD);
        key[..8].copy_from_slice(&spread.to_ne_bytes());
        key[8..].copy_from_slice(&u64::from(number).to_ne_bytes());
    }
    key
}
