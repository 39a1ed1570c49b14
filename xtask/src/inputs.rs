//! Random inputs for programs: frames, keys and values.

/// Numbers that depend on a seed alone (SplitMix64).
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// A number below a bound, which is not 0.
    pub fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// True once in so many times.
    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    /// One of a list, which is not empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.index(list.len())]
    }

    /// Bytes, among them many zeros, small numbers and extremes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut byte = || match self.below(8) {
            0..3 => 0,
            3 => 0xff,
            4 => self.below(16) as u8,
            5 => 0x80,
            _ => self.next() as u8,
        };
        (0..len).map(|_| byte()).collect()
    }

    /// A frame: short ones, and such as parsers go into.
    pub fn frame(&mut self) -> Vec<u8> {
        let len = 14 + self.below(150) as usize;
        let mut frame = self.bytes(len);
        let kind: [u8; 2] = match self.below(4) {
            0 => [0x08, 0x00],
            1 => [0x86, 0xdd],
            2 => [0x81, 0x00],
            _ => [self.next() as u8, self.next() as u8],
        };
        frame[12..14].copy_from_slice(&kind);
        if len > 24 && self.below(2) == 0 {
            frame[14] = 0x45;
            frame[23] = [1, 6, 17, 58][self.below(4) as usize];
        }
        frame
    }
}
