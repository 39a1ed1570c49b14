//! Branches: what a condition decides beforehand (`is_scalar_branch_taken`), and what
//! is known of its operands on either side of it (`regs_refine_cond_op`).
//!
//! A condition compares two registers or their lower halves. Both are a [`View`], so
//! each rule is written once. Eleven conditions and their opposites come down to six
//! facts about the operands, in one order or the other.

use skep_isa::{Cond, Width, Word};

use super::range::{Range, Sign, Signed, Unsigned};
use super::register::{Register, WordExt};
use super::scalar::{Scalar, Scalar64};
use super::tnum::Tnum;

/// What is known behind a branch, on either side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refined<T> {
    /// Where the condition holds.
    pub taken: T,
    /// Where it does not.
    pub not_taken: T,
}

impl<W: Register> Scalar<W> {
    /// Both operands behind `left cond right`, synchronised. The caller still has to
    /// ask whether each is [consistent](Scalar::is_consistent). To be asked only if
    /// [the outcome](Scalar::outcome_bits) is open.
    #[inline]
    pub fn refine(cond: Cond, width: Width, left: Self, right: Self) -> Refined<(Self, Self)> {
        let side = |holds: bool| {
            let (left, right) = Scalar::learn(cond, holds, width, left, right);
            (left.sync(), right.sync())
        };
        Refined { taken: side(true), not_taken: side(false) }
    }

    /// The operand behind `operand cond operand`, which learns from both of its places,
    /// synchronised. Linux does not see that it is one register.
    #[inline]
    pub fn refine_self(cond: Cond, width: Width, operand: Self) -> Refined<Self> {
        let side = |holds: bool| {
            let (left, right) = Scalar::learn(cond, holds, width, operand, operand);
            left.meet(right).sync().sync()
        };
        Refined { taken: side(true), not_taken: side(false) }
    }

    /// Whether `left cond right` always holds, and whether it never does.
    #[inline]
    pub fn outcome_bits(cond: Cond, width: Width, left: Self, right: Self) -> (W::Bit, W::Bit) {
        match width {
            Width::W64 => {
                let apart = left.unsigned32.disjoint(right.unsigned32)
                    | left.signed32.disjoint(right.signed32);
                outcome(cond, left.view(), right.view(), apart)
            }
            Width::W32 => outcome(cond, left.view32(), right.view32(), W::bit(false)),
        }
    }

    /// Both operands, where `left cond right` is known to hold or known not to.
    #[inline(always)]
    pub(super) fn learn(
        cond: Cond,
        holds: bool,
        width: Width,
        left: Self,
        right: Self,
    ) -> (Self, Self) {
        let (fact, swapped) = fact(cond, holds);
        let (a, b) = if swapped { (right, left) } else { (left, right) };
        let (a, b) = if let Fact::BitsClear = fact { forget_ranges(width, a, b) } else { (a, b) };
        let (a, b) = match width {
            Width::W64 => {
                let (x, y) = fact.learn(a.view(), b.view());
                (a.with_view(x), b.with_view(y))
            }
            Width::W32 => {
                let (x, y) = fact.learn(a.view32(), b.view32());
                (a.with_view32(x), b.with_view32(y))
            }
        };
        if swapped { (b, a) } else { (a, b) }
    }

    /// What holds of a register of which each of these holds.
    #[inline(always)]
    fn meet(self, other: Self) -> Self {
        Scalar {
            tnum: self.tnum.meet(other.tnum),
            unsigned: self.unsigned.meet(other.unsigned),
            signed: self.signed.meet(other.signed),
            unsigned32: self.unsigned32.meet(other.unsigned32),
            signed32: self.signed32.meet(other.signed32),
        }
    }

    #[inline(always)]
    fn view(self) -> View<W> {
        View { tnum: self.tnum, unsigned: self.unsigned, signed: self.signed }
    }

    #[inline(always)]
    fn view32(self) -> View<W::Half> {
        let tnum = self.tnum.lower();
        View { tnum, unsigned: self.unsigned32, signed: self.signed32 }
    }

    #[inline(always)]
    fn with_view(self, view: View<W>) -> Self {
        Scalar { tnum: view.tnum, unsigned: view.unsigned, signed: view.signed, ..self }
    }

    #[inline(always)]
    fn with_view32(self, view: View<W::Half>) -> Self {
        Scalar {
            tnum: self.tnum.with_lower(view.tnum),
            unsigned32: view.unsigned,
            signed32: view.signed,
            ..self
        }
    }
}

impl Scalar64 {
    /// Whether `left cond right` holds, if that can be told.
    pub fn outcome(cond: Cond, width: Width, left: &Scalar64, right: &Scalar64) -> Option<bool> {
        match Scalar::outcome_bits(cond, width, *left, *right) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }
}

/// The bits and the ranges at one width.
#[derive(Clone, Copy)]
struct View<V> {
    tnum: Tnum<V>,
    unsigned: Range<V, Unsigned>,
    signed: Range<V, Signed>,
}

impl<V: Word> View<V> {
    #[inline(always)]
    fn pick(bit: V::Bit, yes: Self, no: Self) -> Self {
        View {
            tnum: Tnum::pick(bit, yes.tnum, no.tnum),
            unsigned: Range::pick(bit, yes.unsigned, no.unsigned),
            signed: Range::pick(bit, yes.signed, no.signed),
        }
    }

    /// Where exactly one of two views may be a constant, the other learns from it;
    /// where both are, the left does.
    #[inline(always)]
    fn learn_from_constant(
        left: Self,
        right: Self,
        learn: impl Fn(Self, V) -> Self,
    ) -> (Self, Self) {
        let (by_right, by_left) = (right.tnum.is_constant(), left.tnum.is_constant());
        (
            View::pick(by_right, learn(left, right.tnum.value), left),
            View::pick(!by_right & by_left, learn(right, left.tnum.value), right),
        )
    }
}

/// What the outcome of a branch says of its operands.
#[derive(Clone, Copy)]
enum Fact {
    /// `a == b`
    Equal,
    /// `a != b`
    Differ,
    /// `a & b != 0`
    BitsSet,
    /// `a & b == 0`
    BitsClear,
    /// `a < b`; signed or not.
    Less(bool),
    /// `a <= b`; signed or not.
    AtMost(bool),
}

/// The fact behind a condition that holds or does not, and whether its operands are
/// in the other order.
#[inline(always)]
fn fact(cond: Cond, holds: bool) -> (Fact, bool) {
    let (holding, failing) = match cond {
        Cond::Eq => ((Fact::Equal, false), (Fact::Differ, false)),
        Cond::Ne => ((Fact::Differ, false), (Fact::Equal, false)),
        Cond::Set => ((Fact::BitsSet, false), (Fact::BitsClear, false)),
        Cond::Lt => ((Fact::Less(false), false), (Fact::AtMost(false), true)),
        Cond::Le => ((Fact::AtMost(false), false), (Fact::Less(false), true)),
        Cond::Gt => ((Fact::Less(false), true), (Fact::AtMost(false), false)),
        Cond::Ge => ((Fact::AtMost(false), true), (Fact::Less(false), false)),
        Cond::Slt => ((Fact::Less(true), false), (Fact::AtMost(true), true)),
        Cond::Sle => ((Fact::AtMost(true), false), (Fact::Less(true), true)),
        Cond::Sgt => ((Fact::Less(true), true), (Fact::AtMost(true), false)),
        Cond::Sge => ((Fact::AtMost(true), true), (Fact::Less(true), false)),
    };
    if holds { holding } else { failing }
}

impl Fact {
    /// Both operands, knowing this of them.
    #[inline(always)]
    fn learn<V: Word>(self, a: View<V>, b: View<V>) -> (View<V>, View<V>) {
        match self {
            Fact::Equal => {
                let both = View {
                    tnum: a.tnum.meet(b.tnum),
                    unsigned: a.unsigned.meet(b.unsigned),
                    signed: a.signed.meet(b.signed),
                };
                (both, both)
            }
            Fact::Differ => View::learn_from_constant(a, b, |view, word| View {
                unsigned: view.unsigned.without(word),
                signed: view.signed.without(word),
                ..view
            }),
            // Which of several bits is set remains open.
            Fact::BitsSet => View::learn_from_constant(a, b, |view, word| {
                let set = view.tnum.or(Tnum::constant(word));
                View { tnum: Tnum::pick(word.is_power_of_two(), set, view.tnum), ..view }
            }),
            Fact::BitsClear => View::learn_from_constant(a, b, |view, word| View {
                tnum: view.tnum.and(Tnum::constant(!word)),
                ..view
            }),
            Fact::Less(false) => {
                let (x, y) = a.unsigned.less_than(b.unsigned);
                (View { unsigned: x, ..a }, View { unsigned: y, ..b })
            }
            Fact::AtMost(false) => {
                let (x, y) = a.unsigned.at_most(b.unsigned);
                (View { unsigned: x, ..a }, View { unsigned: y, ..b })
            }
            Fact::Less(true) => {
                let (x, y) = a.signed.less_than(b.signed);
                (View { signed: x, ..a }, View { signed: y, ..b })
            }
            Fact::AtMost(true) => {
                let (x, y) = a.signed.at_most(b.signed);
                (View { signed: x, ..a }, View { signed: y, ..b })
            }
        }
    }
}

/// Whichever operand is to learn that bits are clear forgets its ranges: on a branch
/// that cannot be taken they would contradict the bits.
#[inline(always)]
fn forget_ranges<W: Register>(width: Width, a: Scalar<W>, b: Scalar<W>) -> (Scalar<W>, Scalar<W>) {
    let constant = |scalar: Scalar<W>| match width {
        Width::W64 => scalar.is_constant(),
        Width::W32 => scalar.is_constant32(),
    };
    let (by_b, by_a) = (constant(b), constant(a));
    (Scalar::pick(by_b, a.unbounded(), a), Scalar::pick(!by_b & by_a, b.unbounded(), b))
}

/// Whether `left cond right` always holds, and whether it never does; `apart` says
/// that they differ for another reason than these views.
#[inline(always)]
fn outcome<V: Word>(cond: Cond, left: View<V>, right: View<V>, apart: V::Bit) -> (V::Bit, V::Bit) {
    match cond {
        Cond::Eq => equal(left, right, apart),
        Cond::Ne => {
            let (always, never) = equal(left, right, apart);
            (never, always)
        }
        Cond::Set => bits_set(left.tnum, right.tnum),
        Cond::Lt => less(left.unsigned, right.unsigned),
        Cond::Gt => less(right.unsigned, left.unsigned),
        Cond::Le => at_most(left.unsigned, right.unsigned),
        Cond::Ge => at_most(right.unsigned, left.unsigned),
        Cond::Slt => less(left.signed, right.signed),
        Cond::Sgt => less(right.signed, left.signed),
        Cond::Sle => at_most(left.signed, right.signed),
        Cond::Sge => at_most(right.signed, left.signed),
    }
}

#[inline(always)]
fn equal<V: Word>(left: View<V>, right: View<V>, apart: V::Bit) -> (V::Bit, V::Bit) {
    let known = left.tnum.is_constant() & right.tnum.is_constant();
    let always = known & left.tnum.value.eq(right.tnum.value);
    let differ = !left.tnum.overlaps(right.tnum)
        | left.unsigned.disjoint(right.unsigned)
        | left.signed.disjoint(right.signed)
        | apart;
    (always, !always & differ)
}

/// Decided only where one side is known.
#[inline(always)]
fn bits_set<V: Word>(left: Tnum<V>, right: Tnum<V>) -> (V::Bit, V::Bit) {
    let known = left.is_constant() | right.is_constant();
    let always = !(left.value & right.value).eq(V::lit(0));
    let never = (left.greatest() & right.greatest()).eq(V::lit(0));
    (known & always, known & never)
}

#[inline(always)]
fn less<V: Word, S: Sign>(left: Range<V, S>, right: Range<V, S>) -> (V::Bit, V::Bit) {
    let always = S::less(left.max, right.min);
    (always, !always & !S::less(left.min, right.max))
}

#[inline(always)]
fn at_most<V: Word, S: Sign>(left: Range<V, S>, right: Range<V, S>) -> (V::Bit, V::Bit) {
    let always = !S::less(right.min, left.max);
    (always, !always & S::less(right.max, left.min))
}

impl<V: Word, S: Sign> Range<V, S> {
    /// Both, where a word of this is at most one of `other`.
    #[inline(always)]
    fn at_most(self, other: Self) -> (Self, Self) {
        let up_to = Range::new(S::least(), other.max);
        let from = Range::new(self.min, S::greatest());
        (self.meet(up_to), other.meet(from))
    }

    /// Both, where a word of this is less than one of `other`.
    #[inline(always)]
    fn less_than(self, other: Self) -> (Self, Self) {
        let one = V::lit(1);
        let up_to = Range::new(S::least(), other.max - one);
        let from = Range::new(self.min + one, S::greatest());
        (self.meet(up_to), other.meet(from))
    }
}
