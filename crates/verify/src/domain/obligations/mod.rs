//! What has to be proved of the domain, as statements about words of any kind.
//!
//! An [`Obligation`] draws words from a [`Source`], assumes what its function may
//! assume, and claims what must then hold: that the result contains what the machine
//! computes, and is well formed. Over few bits a test tries every draw, over 64 bits
//! random ones, and `cargo xtask prove` has a solver try all of them at once.
//!
//! Each function in use has a row in [`Obligation::all`]. An obligation can be asked
//! for with an error planted in the result: then it must fail, or it says nothing.

mod draw;
mod scalars;
mod views;

use skep_isa::{AluOp, Cond, Size, Width};

use super::range::{Signed, Unsigned};
use super::register::Register;
use super::scalar::Scalar;
pub use draw::Draw;

/// Where the words of an obligation come from.
pub trait Source<W: Register> {
    /// Any word.
    fn word(&mut self) -> W;
    /// Any half of a word.
    fn half(&mut self) -> W::Half;
    /// `None` if the draw turned out not to satisfy `bit`, and is to be given up.
    fn assume(&mut self, bit: W::Bit) -> Option<()>;
    /// A consistent scalar and a word that it contains, from a source that knows a
    /// faster way to them than to draw until they are.
    fn scalar(&mut self) -> Option<(Scalar<W>, W)> {
        None
    }
}

/// An error in a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// The lowest unknown bit is said to be 0.
    Bits,
    /// The greatest unsigned number is left out.
    Unsigned,
    /// The least signed number is left out.
    Signed,
    /// The greatest unsigned number of the lower half is left out.
    Unsigned32,
    /// The least signed number of the lower half is left out.
    Signed32,
    /// Yes stands for no.
    Answer,
}

/// One function of the domain and what must hold of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Obligation {
    /// A function of [`Tnum`](super::Tnum).
    Tnum(TnumFn),
    /// A function of unsigned [`Range`](super::Range)s.
    Unsigned(RangeFn),
    /// A function of signed [`Range`](super::Range)s.
    Signed(RangeFn),
    /// A step of [`Scalar::sync`](super::Scalar::sync).
    Sync(SyncStep),
    /// An operation, before it is synchronised.
    Transfer(AluOp, Width),
    /// [`Scalar::alu`](super::Scalar::alu), as a whole.
    Alu(AluOp, Width),
    /// [`Scalar::neg`](super::Scalar::neg).
    Neg(Width),
    /// [`Scalar::movsx`](super::Scalar::movsx).
    Movsx(Width, Size),
    /// A 32-bit [`Scalar::movsx`](super::Scalar::movsx), before it is synchronised.
    SignExtend32(Size),
    /// [`Scalar::truncate`](super::Scalar::truncate).
    Truncate(Size),
    /// The same, before it is synchronised.
    Cut(Size),
    /// [`Tnum::swap_bytes`](super::Tnum::swap_bytes).
    SwapBytes(Size),
    /// [`Scalar::byte_swap`](super::Scalar::byte_swap).
    ByteSwap(Size),
    /// What is learnt where a condition holds, or where it does not, before it is
    /// synchronised.
    Learn(Cond, Width, bool),
    /// [`Scalar::refine`](super::Scalar::refine), as a whole.
    Refine(Cond, Width),
    /// [`Scalar::refine_self`](super::Scalar::refine_self).
    RefineSelf(Cond, Width),
    /// [`Scalar::outcome_bits`](super::Scalar::outcome_bits).
    Outcome(Cond, Width),
    /// Another function of [`Scalar`](super::Scalar).
    Scalar(ScalarFn),
}

macro_rules! functions {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $function:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $(#[doc = concat!("`", $function, "`")] $variant,)* }

        impl $name {
            /// Every function.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// Its name in the code.
            pub fn function(self) -> &'static str {
                match self { $($name::$variant => $function,)* }
            }
        }
    };
}

functions! {
    /// The functions of [`Tnum`](super::Tnum).
    TnumFn {
        Add = "add",
        Sub = "sub",
        Mul = "mul",
        And = "and",
        Or = "or",
        Xor = "xor",
        Shl = "shl",
        Shr = "shr",
        Sar = "sar",
        Meet = "meet",
        Join = "join",
        Range = "range",
        Unsigned = "unsigned",
        Signed = "signed",
        Overlaps = "overlaps",
        Includes = "includes",
        IsAligned = "is_aligned",
        NextMember = "next_member",
        OnlyMember = "only_member",
        OnlyMemberWithin = "only_member_within",
        AddProduct = "add_product",
        LongMultiplication = "mul",
    }
}

functions! {
    /// The functions of [`Range`](super::Range).
    RangeFn {
        Add = "add",
        Sub = "sub",
        Mul = "mul",
        AddUnwrapped = "add_unwrapped",
        SubUnwrapped = "sub_unwrapped",
        Shl = "shl",
        Shr = "shr",
        Sar = "sar",
        Meet = "meet",
        Without = "without",
        CastOrFull = "cast_or_full",
        Includes = "includes",
        Disjoint = "disjoint",
        Below = "below",
        Monotone = "product_wraps",
    }
}

functions! {
    /// The steps of [`Scalar::sync`](super::Scalar::sync), and all of them.
    SyncStep {
        LearnRanges = "learn_ranges",
        LearnFromBits = "learn_from_bits",
        Learn32FromBits = "learn32_from_bits",
        Deduce32 = "deduce32",
        Deduce64 = "deduce64",
        DeduceMixed = "deduce_mixed",
        LearnBits = "learn_bits",
        Sync = "sync",
    }
}

functions! {
    /// Functions of [`Scalar`](super::Scalar) besides arithmetic and branches.
    ScalarFn {
        ZeroExtend = "zero_extend",
        OffsetAdd = "offset_add",
        OffsetSub = "offset_sub",
        SignCases = "sign_cases",
        Settle = "settle",
        Includes = "includes",
        Limited = "limited",
        LimitSigned32 = "limit_signed32",
    }
}

impl Obligation {
    /// Every obligation.
    pub fn all() -> Vec<Obligation> {
        use Obligation as O;
        let mut all: Vec<Obligation> = Vec::new();
        all.extend(TnumFn::ALL.iter().copied().map(O::Tnum));
        for function in RangeFn::ALL.iter().copied() {
            match function {
                RangeFn::Shl | RangeFn::Shr => all.push(O::Unsigned(function)),
                RangeFn::Sar => all.push(O::Signed(function)),
                _ => all.extend([O::Unsigned(function), O::Signed(function)]),
            }
        }
        all.extend(SyncStep::ALL.iter().copied().map(O::Sync));
        all.extend(ScalarFn::ALL.iter().copied().map(O::Scalar));
        for width in [Width::W64, Width::W32] {
            for op in AluOp::ALL {
                all.extend([O::Transfer(op, width), O::Alu(op, width)]);
            }
            all.push(O::Neg(width));
            for cond in Cond::ALL {
                all.extend([true, false].map(|holds| O::Learn(cond, width, holds)));
                all.extend([O::Refine(cond, width), O::RefineSelf(cond, width)]);
                all.push(O::Outcome(cond, width));
            }
        }
        all.extend([Size::B, Size::H, Size::W].map(O::Cut));
        all.extend([Size::B, Size::H, Size::W].map(O::Truncate));
        all.extend([Size::H, Size::W, Size::DW].map(O::SwapBytes));
        all.extend([Size::H, Size::W, Size::DW].map(O::ByteSwap));
        all.extend([Size::B, Size::H].map(O::SignExtend32));
        all.extend([Size::B, Size::H].map(|size| O::Movsx(Width::W32, size)));
        all.extend([Size::B, Size::H, Size::W].map(|size| O::Movsx(Width::W64, size)));
        all
    }

    /// The function's name in the code.
    pub fn function(self) -> &'static str {
        match self {
            Obligation::Tnum(function) => function.function(),
            Obligation::Unsigned(function) | Obligation::Signed(function) => function.function(),
            Obligation::Sync(step) => step.function(),
            Obligation::Scalar(function) => function.function(),
            Obligation::Transfer(..) => "transfer",
            Obligation::Alu(..) => "alu",
            Obligation::Neg(_) => "neg",
            Obligation::Movsx(..) => "movsx",
            Obligation::SignExtend32(_) => "sign_extend32",
            Obligation::Truncate(_) => "truncate",
            Obligation::Cut(_) => "cut",
            Obligation::SwapBytes(_) => "swap_bytes",
            Obligation::ByteSwap(_) => "byte_swap",
            Obligation::Learn(..) => "learn",
            Obligation::Refine(..) => "refine",
            Obligation::RefineSelf(..) => "refine_self",
            Obligation::Outcome(..) => "outcome_bits",
        }
    }

    /// The file that declares the function.
    pub fn file(self) -> &'static str {
        match self {
            Obligation::Tnum(_) | Obligation::SwapBytes(_) => "tnum.rs",
            Obligation::Unsigned(_) | Obligation::Signed(_) => "range.rs",
            Obligation::Sync(_) => "sync.rs",
            Obligation::Transfer(..) | Obligation::Alu(..) | Obligation::Neg(_) => "alu.rs",
            Obligation::Movsx(..)
            | Obligation::SignExtend32(_)
            | Obligation::Truncate(_)
            | Obligation::Cut(_)
            | Obligation::ByteSwap(_) => "convert.rs",
            Obligation::Learn(..)
            | Obligation::Refine(..)
            | Obligation::RefineSelf(..)
            | Obligation::Outcome(..) => "branch.rs",
            Obligation::Scalar(
                ScalarFn::ZeroExtend
                | ScalarFn::OffsetAdd
                | ScalarFn::OffsetSub
                | ScalarFn::SignCases,
            ) => "alu.rs",
            Obligation::Scalar(_) => "scalar.rs",
        }
    }

    /// The obligations that it follows from, where its function only calls theirs one
    /// after the other; none, where it has to be proved by itself. Every step keeps
    /// each word that its argument contains, whatever else is in it, so they compose.
    pub fn parts(self) -> Vec<Obligation> {
        use Obligation as O;
        let sync = O::Sync(SyncStep::Sync);
        let steps = |step: &&SyncStep| **step != SyncStep::Sync;
        match self {
            O::Sync(SyncStep::Sync) => {
                SyncStep::ALL.iter().filter(steps).copied().map(O::Sync).collect()
            }
            O::Sync(SyncStep::LearnFromBits) => {
                vec![O::Sync(SyncStep::LearnRanges), O::Tnum(TnumFn::OnlyMemberWithin)]
            }
            O::Tnum(TnumFn::OnlyMemberWithin) => {
                vec![O::Tnum(TnumFn::NextMember), O::Tnum(TnumFn::OnlyMember)]
            }
            // A step for each bit of the left factor.
            O::Tnum(TnumFn::Mul) => {
                vec![O::Tnum(TnumFn::AddProduct), O::Tnum(TnumFn::LongMultiplication)]
            }
            // One factor after the other moves to its bound.
            O::Unsigned(RangeFn::Mul) => vec![O::Unsigned(RangeFn::Monotone)],
            O::Signed(RangeFn::Mul) => vec![O::Signed(RangeFn::Monotone)],
            // Each view by itself.
            O::Transfer(AluOp::Mul, _) => vec![
                O::Tnum(TnumFn::Mul),
                O::Unsigned(RangeFn::Mul),
                O::Signed(RangeFn::Mul),
                O::Scalar(ScalarFn::ZeroExtend),
            ],
            O::Alu(AluOp::Mov, Width::W64) => Vec::new(),
            O::Alu(op, width) => vec![O::Transfer(op, width), sync],
            O::Neg(width) => vec![O::Transfer(AluOp::Sub, width), sync],
            O::Movsx(Width::W32, size) => vec![O::SignExtend32(size), sync],
            O::Truncate(size) => vec![O::Cut(size), sync],
            O::ByteSwap(Size::DW) => vec![O::SwapBytes(Size::DW), sync],
            O::ByteSwap(size) => vec![O::SwapBytes(size), O::Cut(size), sync],
            O::Refine(cond, width) => {
                vec![O::Learn(cond, width, true), O::Learn(cond, width, false), sync]
            }
            O::RefineSelf(cond, width) => vec![
                O::Learn(cond, width, true),
                O::Learn(cond, width, false),
                O::Tnum(TnumFn::Meet),
                O::Unsigned(RangeFn::Meet),
                O::Signed(RangeFn::Meet),
                sync,
            ],
            O::Scalar(ScalarFn::OffsetAdd) => vec![
                O::Tnum(TnumFn::Add),
                O::Unsigned(RangeFn::AddUnwrapped),
                O::Signed(RangeFn::AddUnwrapped),
            ],
            O::Scalar(ScalarFn::OffsetSub) => vec![
                O::Tnum(TnumFn::Sub),
                O::Unsigned(RangeFn::SubUnwrapped),
                O::Signed(RangeFn::SubUnwrapped),
            ],
            O::Scalar(ScalarFn::LimitSigned32) => vec![O::Scalar(ScalarFn::Limited), sync],
            _ => Vec::new(),
        }
    }

    /// Whether it draws one scalar and no other.
    pub fn is_unary(self) -> bool {
        match self {
            Obligation::Sync(_)
            | Obligation::Neg(_)
            | Obligation::Movsx(..)
            | Obligation::SignExtend32(_)
            | Obligation::Truncate(_)
            | Obligation::Cut(_)
            | Obligation::ByteSwap(_)
            | Obligation::RefineSelf(..) => true,
            Obligation::Scalar(function) => {
                !matches!(function, ScalarFn::OffsetAdd | ScalarFn::OffsetSub | ScalarFn::Includes)
            }
            _ => false,
        }
    }

    /// Whether it is about whole scalars, rather than one view.
    pub fn is_about_scalars(self) -> bool {
        !matches!(
            self,
            Obligation::Tnum(_)
                | Obligation::SwapBytes(_)
                | Obligation::Unsigned(_)
                | Obligation::Signed(_)
        )
    }

    /// The narrowest word on which it says something: one where sizes have bits.
    pub fn least_bits(self) -> u32 {
        match self {
            Obligation::Movsx(_, size)
            | Obligation::SignExtend32(size)
            | Obligation::Truncate(size)
            | Obligation::Cut(size) => 8 / size.bytes(),
            Obligation::SwapBytes(_) | Obligation::ByteSwap(_) => 8,
            _ => 2,
        }
    }

    /// The errors that can be planted.
    pub fn plants(self) -> &'static [Plant] {
        use Plant::*;
        match self {
            Obligation::Tnum(TnumFn::Unsigned) => &[Unsigned],
            Obligation::Tnum(TnumFn::Signed) => &[Signed],
            Obligation::Tnum(
                TnumFn::Overlaps
                | TnumFn::Includes
                | TnumFn::IsAligned
                | TnumFn::NextMember
                | TnumFn::OnlyMember
                | TnumFn::OnlyMemberWithin
                | TnumFn::LongMultiplication,
            )
            | Obligation::Unsigned(
                RangeFn::Includes | RangeFn::Disjoint | RangeFn::Below | RangeFn::Monotone,
            )
            | Obligation::Signed(
                RangeFn::Includes | RangeFn::Disjoint | RangeFn::Below | RangeFn::Monotone,
            )
            | Obligation::Outcome(..)
            | Obligation::Scalar(ScalarFn::Includes) => &[Answer],
            Obligation::Tnum(_) | Obligation::SwapBytes(_) => &[Bits],
            Obligation::Unsigned(_) | Obligation::Signed(_) => &[Unsigned, Signed],
            // A 32-bit quotient has no upper half, though nobody knows.
            Obligation::Transfer(op, Width::W32) | Obligation::Alu(op, Width::W32)
                if scalars::is_division(op) =>
            {
                &[Bits, Unsigned32, Signed32]
            }
            // What is left of the lower half is not yet said of its ranges.
            Obligation::Cut(Size::B | Size::H) => &[Bits, Unsigned, Signed],
            _ => &[Bits, Unsigned, Signed, Unsigned32, Signed32],
        }
    }

    /// Draws from `source` and says whether what must hold does; `None` if the draw was
    /// given up. With an error planted, it is to fail for some draw.
    pub fn claim<W: Register>(
        self,
        source: &mut impl Source<W>,
        plant: Option<Plant>,
    ) -> Option<W::Bit> {
        let mut draw = Draw::new(source, plant);
        match self {
            Obligation::Tnum(function) => draw.tnum_claim(function),
            Obligation::Unsigned(RangeFn::Monotone) => draw.monotone_claim::<Unsigned>(),
            Obligation::Signed(RangeFn::Monotone) => draw.monotone_claim::<Signed>(),
            Obligation::Unsigned(function) => draw.range_claim::<Unsigned>(function),
            Obligation::Signed(function) => draw.range_claim::<Signed>(function),
            Obligation::Scalar(function) => draw.scalar_claim(function),
            Obligation::Sync(step) => draw.sync_claim(step),
            Obligation::Transfer(op, width) => draw.transfer_claim(op, width),
            Obligation::Alu(op, width) => draw.alu_claim(op, width),
            Obligation::Neg(width) => draw.neg_claim(width),
            Obligation::Movsx(width, size) => draw.movsx_claim(width, size),
            Obligation::SignExtend32(size) => draw.sign_extend32_claim(size),
            Obligation::Truncate(size) => draw.truncate_claim(size),
            Obligation::Cut(size) => draw.cut_claim(size),
            Obligation::SwapBytes(size) => draw.swap_bytes_claim(size),
            Obligation::ByteSwap(size) => draw.byte_swap_claim(size),
            Obligation::Learn(cond, width, holds) => draw.learn_claim(cond, width, holds),
            Obligation::Refine(cond, width) => draw.refine_claim(cond, width),
            Obligation::RefineSelf(cond, width) => draw.refine_self_claim(cond, width),
            Obligation::Outcome(cond, width) => draw.outcome_claim(cond, width),
        }
    }
}

impl std::fmt::Display for Obligation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = |width| if width == Width::W64 { 64 } else { 32 };
        let function = self.function();
        match *self {
            Obligation::Tnum(TnumFn::LongMultiplication) => f.write_str("long multiplication"),
            Obligation::Tnum(_) => write!(f, "tnum {function}"),
            Obligation::Unsigned(RangeFn::Monotone) => f.write_str("unsigned product is monotone"),
            Obligation::Signed(RangeFn::Monotone) => f.write_str("signed product is monotone"),
            Obligation::Unsigned(_) => write!(f, "unsigned {function}"),
            Obligation::Signed(_) => write!(f, "signed {function}"),
            Obligation::Sync(_) | Obligation::Scalar(_) => f.write_str(function),
            Obligation::Transfer(op, width) => write!(f, "{op:?}{}, before sync", bits(width)),
            Obligation::Alu(op, width) => write!(f, "{op:?}{}", bits(width)),
            Obligation::Neg(width) => write!(f, "Neg{}", bits(width)),
            Obligation::Movsx(width, size) => write!(f, "Movsx{} from {size:?}", bits(width)),
            Obligation::SignExtend32(size) => write!(f, "Movsx32 from {size:?}, before sync"),
            Obligation::Truncate(size) => write!(f, "truncate to {size:?}"),
            Obligation::Cut(size) => write!(f, "truncate to {size:?}, before sync"),
            Obligation::SwapBytes(size) => write!(f, "tnum {function} of {size:?}"),
            Obligation::ByteSwap(size) => write!(f, "{function} of {size:?}"),
            Obligation::Learn(cond, width, holds) => {
                let side = if holds { "holds" } else { "fails" };
                write!(f, "{cond:?}{} {side}, before sync", bits(width))
            }
            Obligation::Refine(cond, width) => write!(f, "{cond:?}{} refine", bits(width)),
            Obligation::RefineSelf(cond, width) => {
                write!(f, "{cond:?}{} refine with itself", bits(width))
            }
            Obligation::Outcome(cond, width) => write!(f, "{cond:?}{} outcome", bits(width)),
        }
    }
}
