//! Random inputs for programs: frames, keys and values.

/// Numbers that depend on a seed alone.
#[derive(Clone, Debug)]
pub struct Random(fastrand::Rng);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Random {
        Random(fastrand::Rng::with_seed(seed))
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0.u64(..limit.max(1))
    }

    /// A number below a bound, which is not 0.
    pub fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        self.0.i64(low..=high)
    }

    /// Whether something of this many in a hundred happens.
    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// True once in so many times.
    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    /// One of a list, which is not empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.index(list.len())]
    }

    /// A copy of one of a list, which is not empty.
    pub fn choose<T: Copy>(&mut self, list: &[T]) -> T {
        *self.pick(list)
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
