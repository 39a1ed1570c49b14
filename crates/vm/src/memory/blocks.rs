//! Memory of objects that programs make: blocks of a few sizes, cut from larger pieces. A block
//! that was given back is used again for one of its size, and stays mapped as long as the
//! kernel: a program that still knows its address reads another object, and harms nobody.

use std::collections::BTreeMap;

use super::packet::PacketMemory;
use super::value::{Kind, Region};

/// Bytes of a piece.
const PIECE: usize = 1 << 16;
/// Blocks are as large as a multiple of this.
const UNIT: u32 = 64;

/// A block: its piece, its place in that, and its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    piece: usize,
    offset: usize,
    len: u32,
}

/// Blocks, those in use and those that wait.
#[derive(Default)]
pub(crate) struct Blocks {
    pieces: Vec<PacketMemory>,
    /// Blocks that wait, by their bytes.
    free: BTreeMap<u32, Vec<Block>>,
}

impl Blocks {
    /// A block of at least `len` bytes, all zero.
    pub fn take(&mut self, len: u32) -> Block {
        let len = len.max(1).next_multiple_of(UNIT);
        let block = match self.free.get_mut(&len).and_then(Vec::pop) {
            Some(block) => block,
            None => self.cut(len),
        };
        let region = self.region(block, len);
        let cleared = region.pointer(0).write(&vec![0; len as usize]);
        debug_assert!(cleared.is_ok(), "a block is writable");
        block
    }

    /// Cuts a new piece into blocks; gives one of them.
    fn cut(&mut self, len: u32) -> Block {
        let piece = self.pieces.len();
        let count = (PIECE / len as usize).max(1);
        self.pieces.push(PacketMemory::new(count * len as usize));
        let block = |index| Block { piece, offset: index * len as usize, len };
        self.free.entry(len).or_default().extend((1..count).map(block));
        block(0)
    }

    /// A block is nobody's any more.
    pub fn give_back(&mut self, block: Block) {
        self.free.entry(block.len).or_default().push(block);
    }

    /// The first `len` bytes of a block as programs see them.
    pub fn region(&self, block: Block, len: u32) -> Region {
        let piece = &self.pieces[block.piece];
        let end = block.offset + len.min(block.len) as usize;
        piece.region(block.offset, end, true).with_kind(Kind::Memory)
    }
}

#[cfg(test)]
mod tests {
    use skep_isa::Size;

    use super::*;

    #[test]
    fn blocks_are_apart_and_come_back_as_zeros() {
        let mut blocks = Blocks::default();
        let (first, second) = (blocks.take(100), blocks.take(128));
        let apart = blocks.region(first, 128).start().abs_diff(blocks.region(second, 128).start());
        assert!(apart >= 128, "{apart}");
        blocks.region(first, 100).pointer(96).store(0, Size::W, 7).expect("inside");
        blocks.give_back(first);
        let again = blocks.take(100);
        assert_eq!(blocks.region(again, 100).start(), blocks.region(first, 100).start());
        assert_eq!(blocks.region(again, 100).pointer(96).load(0, Size::W), Ok(0));
        let large = blocks.take(1 << 20);
        assert_eq!(blocks.region(large, 1 << 20).size(), 1 << 20);
    }
}
