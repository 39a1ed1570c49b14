//! Operations on vectors: 128 bits, as lanes of one size. Loops over memory become
//! such operations (see the pass `vectorise`); programs have none by themselves.
//!
//! A vector is as wide as its lanes say that it was made with; operations name the
//! size of the lanes that they work on, and their operands have that size.

use skep_isa::{Cond, Size};

use super::{Bin, Val};

/// Bytes of a vector.
pub const BYTES: u32 = 16;

/// What a vector (or a number taken from one) is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Vector {
    /// A parameter of a block.
    Param(Size),
    /// The lower bits of a number in every lane.
    Splat(Size, Val),
    /// 16 bytes from `base + off`.
    Load {
        /// Bytes of a lane.
        size: Size,
        /// Address.
        base: Val,
        /// Added to it.
        off: i32,
    },
    /// 16 bytes to `base + off`; no value.
    Store {
        /// Bytes of a lane.
        size: Size,
        /// Address.
        base: Val,
        /// Added to it.
        off: i32,
        /// What is stored.
        value: Val,
    },
    /// Lane by lane: sums, differences, products, bits; unsigned least and greatest.
    Bin(Bin, Size, Val, Val),
    /// Every lane shifted by as many bits, fewer than it has.
    Shift(Bin, Size, Val, u8),
    /// All bits of a lane where the condition holds, else none.
    Cmp(Cond, Size, Val, Val),
    /// Where the mask's bits are 1 the second's bits, else the third's.
    Select(Size, Val, Val, Val),
    /// The lower or upper half of the lanes, each extended to twice its size.
    Widen {
        /// Size of the operand's lanes.
        from: Size,
        /// Whether the sign fills the rest.
        signed: bool,
        /// Whether it is the upper lanes.
        high: bool,
        /// Operand.
        of: Val,
    },
    /// The lower (or upper) half of every lane of two vectors.
    Narrow {
        /// Size of the operands' lanes.
        from: Size,
        /// Whether it is the upper halves.
        upper: bool,
        /// Where the lower lanes come from, and the upper ones.
        parts: [Val; 2],
    },
    /// Products of 64 bits of the lower (or upper) two lanes of 32 bits, unsigned.
    Product {
        /// Whether it is the upper lanes.
        high: bool,
        /// Operands.
        of: [Val; 2],
    },
    /// The bytes of every lane reversed.
    Swap(Size, Val),
    /// The number in a lane, zero-extended.
    Lane(Size, u8, Val),
}

impl Vector {
    /// Calls `change` for each operand.
    pub fn map(&mut self, mut change: impl FnMut(Val) -> Val) {
        match self {
            Vector::Param(_) => {}
            Vector::Splat(_, of) | Vector::Shift(_, _, of, _) | Vector::Swap(_, of) => {
                *of = change(*of);
            }
            Vector::Widen { of, .. } | Vector::Lane(_, _, of) => *of = change(*of),
            Vector::Load { base, .. } => *base = change(*base),
            Vector::Store { base, value, .. } => {
                *base = change(*base);
                *value = change(*value);
            }
            Vector::Bin(_, _, left, right) | Vector::Cmp(_, _, left, right) => {
                *left = change(*left);
                *right = change(*right);
            }
            Vector::Select(_, mask, yes, no) => {
                *mask = change(*mask);
                *yes = change(*yes);
                *no = change(*no);
            }
            Vector::Narrow { parts: pair, .. } | Vector::Product { of: pair, .. } => {
                pair.iter_mut().for_each(|part| *part = change(*part));
            }
        }
    }
}

/// Lanes of this size in a vector.
pub fn lanes(size: Size) -> u32 {
    BYTES / size.bytes()
}

/// The size of twice as many bytes.
pub fn twice(size: Size) -> Size {
    match size {
        Size::B => Size::H,
        Size::H => Size::W,
        Size::W | Size::DW => Size::DW,
    }
}

/// The size of half as many bytes.
pub fn half(size: Size) -> Size {
    match size {
        Size::DW => Size::W,
        Size::W => Size::H,
        Size::H | Size::B => Size::B,
    }
}
