//! One round's numbers as lanes of vectors: what [`vectorise`](super::vectorise) makes a
//! loop's operations of.
//!
//! A value of several rounds is a row of vectors. A lane holds the lowest bits of the
//! round's number, and a [`Kind`] says how the 64 bits follow from them, exactly. An
//! operation whose lower bits need no more than its operands' lower bits is done in
//! lanes that its result fits in; one that looks at whole numbers (comparisons, shifts
//! to the right) in lanes that hold its operands exactly. What has no such form makes
//! the whole attempt end without a result.

use rustc_hash::FxHashMap;
use skep_isa::{Cond, Pc, Size, Width};

use super::bits::Bits;
use crate::ir::vector::{BYTES, Vector, half, twice};
use crate::ir::{Bin, Func, Op, Val};

/// How a number follows from its lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// By zero extension.
    Unsigned,
    /// By sign extension.
    Signed,
    /// All ones are 1, and no other but 0 occurs.
    Mask,
}

/// A value of several rounds.
#[derive(Clone, Debug)]
pub struct Row {
    pub vectors: Vec<Val>,
    pub size: Size,
    pub kind: Kind,
}

/// An operand.
#[derive(Clone)]
enum Operand {
    /// Another number every round.
    Row(Row),
    /// The same number every round.
    Same(Val),
}

/// Rewrites a block's operations for several rounds at a time.
pub struct Builder<'f> {
    pub func: &'f mut Func,
    bits: &'f Bits,
    /// Rounds at a time.
    rounds: u32,
    /// What is made before the loop, and in it.
    pub before: Vec<Val>,
    pub out: Vec<Val>,
    rows: FxHashMap<Val, Row>,
    splats: FxHashMap<(Val, Size), Val>,
    /// Whether a value is made in the loop.
    inside: Vec<bool>,
    pc: Pc,
}

fn smallest(fits: impl Fn(u32) -> bool) -> Size {
    [Size::B, Size::H, Size::W].into_iter().find(|size| fits(size.bits())).unwrap_or(Size::DW)
}

/// The smallest size that holds a number of at most `upper`.
pub fn size_for(upper: u64) -> Size {
    smallest(|bits| upper >> bits == 0)
}

fn size_of(width: Width) -> Size {
    if width == Width::W64 { Size::DW } else { Size::W }
}

impl<'f> Builder<'f> {
    pub fn new(func: &'f mut Func, bits: &'f Bits, rounds: u32, inside: Vec<bool>) -> Self {
        Builder {
            func,
            bits,
            rounds,
            before: Vec::new(),
            out: Vec::new(),
            rows: FxHashMap::default(),
            splats: FxHashMap::default(),
            inside,
            pc: 0,
        }
    }

    /// The smallest lanes: as many rounds of them as there are fill a vector.
    fn least(&self) -> Size {
        smallest(|bits| bits / 8 * self.rounds >= BYTES)
    }

    fn vectors(&self, size: Size) -> usize {
        (self.rounds * size.bytes() / BYTES) as usize
    }

    pub fn emit(&mut self, op: Vector) -> Val {
        let val = self.func.push(Op::Vector(op), self.pc);
        self.out.push(val);
        val
    }

    pub fn constant(&mut self, number: u64) -> Val {
        self.func.push(Op::Const(number), self.pc)
    }

    /// The same number in all lanes, made before the loop.
    pub fn splat(&mut self, of: Val, size: Size) -> Val {
        let splat = Op::Vector(Vector::Splat(size, of));
        let (func, before, pc) = (&mut *self.func, &mut self.before, self.pc);
        *self.splats.entry((of, size)).or_insert_with(|| {
            let val = func.push(splat, pc);
            before.push(val);
            val
        })
    }

    fn operand(&self, val: Val) -> Option<Operand> {
        match self.inside.get(val.at()) {
            Some(true) => self.rows.get(&val).cloned().map(Operand::Row),
            _ => Some(Operand::Same(val)),
        }
    }

    /// Makes the row of one of the loop's operations.
    pub fn inst(&mut self, val: Val) -> Option<()> {
        self.pc = self.func.pcs[val.at()];
        let row = match self.func.op(val) {
            Op::Load { size, signed, base, off } => {
                let vectors = (0..self.vectors(size) as i32)
                    .map(|at| off.checked_add(at * BYTES as i32))
                    .map(|off| Some(self.emit(Vector::Load { size, base, off: off? })))
                    .collect::<Option<Vec<Val>>>()?;
                Row { vectors, size, kind: if signed { Kind::Signed } else { Kind::Unsigned } }
            }
            Op::Store { size, base, off, value } => {
                let value = self.operand(value)?;
                for (at, value) in (0..).zip(self.fit(&value, size)?) {
                    let off = off.checked_add(at * BYTES as i32)?;
                    self.emit(Vector::Store { size, base, off, value });
                }
                return Some(());
            }
            Op::Ext { bits, signed, of } => {
                let (size, of) = (smallest(|size| size == bits.into()), self.operand(of)?);
                let kind = if signed { Kind::Signed } else { Kind::Unsigned };
                Row { vectors: self.fit(&of, size)?, size, kind }
            }
            Op::Swap(bits, of) => {
                let (size, of) = (smallest(|size| size == bits.into()), self.operand(of)?);
                let vectors = self.fit(&of, size)?;
                self.row(size, &vectors, |&of| Vector::Swap(size, of))
            }
            Op::Bin(op, width, left, right) => self.binary(val, op, width, left, right)?,
            Op::Cmp(cond, width, left, right) => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                self.compare(cond, width, &left, &right)?
            }
            Op::Select(test, yes, no) => {
                let Operand::Row(test) = self.operand(test)? else { return None };
                let (yes, no) = (self.operand(yes)?, self.operand(no)?);
                self.select(test, &yes, &no)?
            }
            _ => return None,
        };
        self.rows.insert(val, row);
        Some(())
    }

    fn row<T>(&mut self, size: Size, of: &[T], op: impl Fn(&T) -> Vector) -> Row {
        let vectors = of.iter().map(|of| self.emit(op(of))).collect();
        Row { vectors, size, kind: Kind::Unsigned }
    }

    /// Operations of two rows.
    fn both(
        &mut self,
        left: Vec<Val>,
        right: Vec<Val>,
        op: impl Fn(Val, Val) -> Vector,
    ) -> Vec<Val> {
        left.into_iter().zip(right).map(|(left, right)| self.emit(op(left, right))).collect()
    }

    /// Lanes that hold a number of a width exactly, extended as `signed` says.
    fn exact(&self, operand: &Operand, width: Width, signed: bool) -> Size {
        let size = match operand {
            Operand::Row(Row { size, kind, .. }) => match (kind, signed) {
                (Kind::Unsigned, false) | (Kind::Signed, true) | (Kind::Mask, _) => *size,
                (Kind::Unsigned, true) => twice(*size),
                (Kind::Signed, false) => Size::DW,
            },
            Operand::Same(val) => match (self.func.number(*val), signed) {
                (Some(number), true) => smallest(|bits| {
                    let unused = 64 - bits;
                    ((number << unused) as i64 >> unused) as u64 == number
                }),
                (None, true) => smallest(|bits| self.bits.upper(*val) >> (bits - 1) == 0),
                (Some(number), false) => size_for(number),
                (None, false) => size_for(self.bits.upper(*val)),
            },
        };
        // The lower half of a number is exact by itself.
        size.max(self.least()).min(size_of(width))
    }

    /// The size of a row; the smallest of what is the same every round.
    fn floor(&self, operand: &Operand) -> Size {
        match operand {
            Operand::Row(row) => row.size,
            Operand::Same(_) => self.least(),
        }
    }

    /// The lowest bits of an operand, in lanes of a size.
    fn fit(&mut self, operand: &Operand, size: Size) -> Option<Vec<Val>> {
        match operand {
            Operand::Same(val) => {
                let splat = self.splat(*val, size);
                let count = self.vectors(size);
                (count > 0).then(|| vec![splat; count])
            }
            Operand::Row(row) => {
                let mut row = row.clone();
                if row.kind == Kind::Mask {
                    let one = self.constant(1);
                    let one = self.splat_number(one, 1, row.size);
                    row = self.row(row.size, &row.vectors, |&mask| {
                        Vector::Bin(Bin::And, row.size, mask, one)
                    });
                }
                self.resize(row, size)
            }
        }
    }

    /// A constant's splat, whichever value the constant is.
    fn splat_number(&mut self, of: Val, number: u64, size: Size) -> Val {
        let known = self
            .splats
            .iter()
            .find(|((val, other), _)| *other == size && self.func.number(*val) == Some(number));
        match known {
            Some((_, &splat)) => splat,
            None => self.splat(of, size),
        }
    }

    fn resize(&mut self, row: Row, size: Size) -> Option<Vec<Val>> {
        let signed = row.kind != Kind::Unsigned;
        let (mut vectors, mut from) = (row.vectors, row.size);
        while from < size {
            let halves: Vec<(Val, bool)> =
                vectors.iter().flat_map(|&of| [(of, false), (of, true)]).collect();
            vectors = self
                .row(from, &halves, |&(of, high)| Vector::Widen { from, signed, high, of })
                .vectors;
            from = twice(from);
        }
        while from > size {
            vectors = self.narrow(&vectors, from, false)?;
            from = half(from);
        }
        Some(vectors)
    }

    fn narrow(&mut self, vectors: &[Val], from: Size, upper: bool) -> Option<Vec<Val>> {
        let pairs: Vec<[Val; 2]> = vectors.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        let row = self.row(from, &pairs, |&parts| Vector::Narrow { from, upper, parts });
        vectors.len().is_multiple_of(2).then_some(row.vectors)
    }

    fn binary(&mut self, val: Val, op: Bin, width: Width, left: Val, right: Val) -> Option<Row> {
        let amount =
            self.func.number(right).map(|amount| amount as u8 & (size_of(width).bits() - 1) as u8);
        let (left, right) = (self.operand(left)?, self.operand(right)?);
        match op {
            Bin::And | Bin::Or | Bin::Xor
                if let (Operand::Row(left), Operand::Row(right)) = (&left, &right)
                    && (left.kind, right.kind) == (Kind::Mask, Kind::Mask) =>
            {
                let size = left.size.max(right.size);
                let (left, right) = (left.clone(), right.clone());
                let (left, right) = (self.resize(left, size)?, self.resize(right, size)?);
                let vectors = self.both(left, right, |a, b| Vector::Bin(op, size, a, b));
                Some(Row { vectors, size, kind: Kind::Mask })
            }
            Bin::Add | Bin::Sub | Bin::Mul | Bin::And | Bin::Or | Bin::Xor => {
                let size = self.modular(val, width, [&left, &right]);
                let size = if op == Bin::Mul { size.max(Size::H) } else { size };
                if op == Bin::Mul && size == Size::DW {
                    return self.product(&left, &right);
                }
                let (left, right) = (self.fit(&left, size)?, self.fit(&right, size)?);
                let vectors = self.both(left, right, |a, b| Vector::Bin(op, size, a, b));
                Some(Row { vectors, size, kind: Kind::Unsigned })
            }
            Bin::Shl => {
                let (amount, size) =
                    (amount?, self.modular(val, width, [&left, &left]).max(Size::H));
                let of = self.fit(&left, size)?;
                (u32::from(amount) < size.bits()).then_some(())?;
                Some(self.row(size, &of, |&of| Vector::Shift(op, size, of, amount)))
            }
            Bin::Shr => {
                let (amount, size) = (amount?, self.exact(&left, width, false).max(Size::H));
                self.shift_right(val, &left, size, amount)
            }
            Bin::Sar => {
                let (amount, size) = (amount?, self.exact(&left, width, true).max(Size::H));
                // The result of 32 bits is zero-extended.
                let size = if width == Width::W32 { Size::W } else { size };
                let amount = amount.min(size.bits() as u8 - 1);
                let of = self.fit(&left, size)?;
                let row = self.row(size, &of, |&of| Vector::Shift(op, size, of, amount));
                let kind = if width == Width::W32 { Kind::Unsigned } else { Kind::Signed };
                Some(Row { kind, ..row })
            }
            Bin::Rotl => {
                let (amount, size) = (amount.filter(|&amount| amount > 0)?, size_of(width));
                let of = self.fit(&left, size)?;
                let back = size.bits() as u8 - amount;
                let up = self.row(size, &of, |&of| Vector::Shift(Bin::Shl, size, of, amount));
                let down = self.row(size, &of, |&of| Vector::Shift(Bin::Shr, size, of, back));
                let vectors =
                    self.both(up.vectors, down.vectors, |a, b| Vector::Bin(Bin::Or, size, a, b));
                Some(Row { vectors, ..up })
            }
            Bin::MulHigh if width == Width::W32 => {
                let low = |operand: Operand, this: &mut Self| this.fit(&operand, Size::W);
                let (left, right) = (low(left, self)?, low(right, self)?);
                let products = self.products(left, right);
                let vectors = self.narrow(&products, Size::DW, true)?;
                Some(Row { vectors, size: Size::W, kind: Kind::Unsigned })
            }
            Bin::Min | Bin::Max => {
                let size = self.exact(&left, width, false).max(self.exact(&right, width, false));
                let (left, right) = (self.fit(&left, size)?, self.fit(&right, size)?);
                (size < Size::DW).then_some(())?;
                let vectors = self.both(left, right, |a, b| Vector::Bin(op, size, a, b));
                Some(Row { vectors, size, kind: Kind::Unsigned })
            }
            _ => None,
        }
    }

    /// Lanes for an operation whose lowest bits need only its operands' lowest bits: the
    /// result fits in, or they are as wide as the operation.
    fn modular(&self, val: Val, width: Width, operands: [&Operand; 2]) -> Size {
        let need = size_for(self.bits.upper(val)).max(self.least());
        let [left, right] = operands.map(|operand| self.floor(operand));
        match left.max(right) {
            Size::DW if need <= Size::W => Size::W,
            floor => floor.max(need).min(size_of(width)),
        }
    }

    fn product(&mut self, left: &Operand, right: &Operand) -> Option<Row> {
        let exact = |operand| self.exact(operand, Width::W64, false) <= Size::W;
        (exact(left) && exact(right)).then_some(())?;
        let (left, right) = (self.fit(left, Size::W)?, self.fit(right, Size::W)?);
        let vectors = self.products(left, right);
        Some(Row { vectors, size: Size::DW, kind: Kind::Unsigned })
    }

    fn products(&mut self, left: Vec<Val>, right: Vec<Val>) -> Vec<Val> {
        let halves: Vec<([Val; 2], bool)> = left
            .into_iter()
            .zip(right)
            .flat_map(|(left, right)| [([left, right], false), ([left, right], true)])
            .collect();
        self.row(Size::DW, &halves, |&(of, high)| Vector::Product { high, of }).vectors
    }

    fn shift_right(&mut self, val: Val, of: &Operand, size: Size, amount: u8) -> Option<Row> {
        (u32::from(amount) < size.bits()).then_some(())?;
        let mut vectors = self.fit(of, size)?;
        let narrow = size == Size::DW
            && size_for(self.bits.upper(val)) <= Size::W
            && self.least() <= Size::W;
        let shift = |size, by| move |&of: &Val| Vector::Shift(Bin::Shr, size, of, by);
        if !narrow {
            return Some(self.row(size, &vectors, shift(size, amount)));
        }
        if amount < 32 {
            vectors = self.row(size, &vectors, shift(size, amount)).vectors;
            vectors = self.narrow(&vectors, size, false)?;
        } else {
            vectors = self.narrow(&vectors, size, true)?;
            if amount > 32 {
                vectors = self.row(Size::W, &vectors, shift(Size::W, amount - 32)).vectors;
            }
        }
        Some(Row { vectors, size: Size::W, kind: Kind::Unsigned })
    }

    fn compare(
        &mut self,
        cond: Cond,
        width: Width,
        left: &Operand,
        right: &Operand,
    ) -> Option<Row> {
        let size = |signed| self.exact(left, width, signed).max(self.exact(right, width, signed));
        let (unsigned, signed) = (size(false), size(true));
        let (cond, size) = match (cond, unsigned_of(cond)) {
            (Cond::Set, _) => return None,
            // Neither is negative.
            (_, Some(other)) if unsigned < size_of(width) => (other, unsigned),
            (_, Some(_)) => (cond, signed),
            (_, None) => (cond, unsigned),
        };
        let (left, right) = (self.fit(left, size)?, self.fit(right, size)?);
        let vectors = self.both(left, right, |a, b| Vector::Cmp(cond, size, a, b));
        Some(Row { vectors, size, kind: Kind::Mask })
    }

    fn select(&mut self, test: Row, yes: &Operand, no: &Operand) -> Option<Row> {
        let zero = self.constant(0);
        let test = match test.kind {
            Kind::Mask => test,
            _ => {
                let test = Operand::Row(test);
                self.compare(Cond::Ne, Width::W64, &test, &Operand::Same(zero))?
            }
        };
        if let (Some(yes_size), Some(no_size)) = (self.mask_size(yes), self.mask_size(no)) {
            let size = yes_size.max(no_size).max(test.size);
            let (yes_mask, no_mask) = (self.mask_at(yes, size)?, self.mask_at(no, size)?);
            let vectors = self.choose(test, size, yes_mask, (no, no_mask))?;
            return Some(Row { vectors, size, kind: Kind::Mask });
        }
        let exact = |signed| {
            let size = |operand| self.exact(operand, Width::W64, signed);
            size(yes).max(size(no))
        };
        let (unsigned, signed) = (exact(false), exact(true));
        let (size, kind) = match unsigned <= signed {
            true => (unsigned, Kind::Unsigned),
            false => (signed, Kind::Signed),
        };
        let (yes_lanes, no_lanes) = (self.fit(yes, size)?, self.fit(no, size)?);
        let vectors = self.choose(test, size, yes_lanes, (no, no_lanes))?;
        Some(Row { vectors, size, kind })
    }

    fn choose(
        &mut self,
        test: Row,
        size: Size,
        yes_lanes: Vec<Val>,
        (no, no_lanes): (&Operand, Vec<Val>),
    ) -> Option<Vec<Val>> {
        let is_zero = |this: &Self, operand: &Operand| matches!(operand, Operand::Same(val) if this.func.number(*val) == Some(0));
        let test = self.resize(test, size)?;
        if is_zero(self, no) {
            return Some(self.both(test, yes_lanes, |a, b| Vector::Bin(Bin::And, size, a, b)));
        }
        let sides = yes_lanes.into_iter().zip(no_lanes).zip(test);
        Some(
            sides.map(|((yes, no), test)| self.emit(Vector::Select(size, test, yes, no))).collect(),
        )
    }

    /// The size of a mask, or of a constant that can be one.
    fn mask_size(&self, operand: &Operand) -> Option<Size> {
        match operand {
            Operand::Row(row) => (row.kind == Kind::Mask).then_some(row.size),
            Operand::Same(val) => (self.func.number(*val)? <= 1).then_some(self.least()),
        }
    }

    fn mask_at(&mut self, operand: &Operand, size: Size) -> Option<Vec<Val>> {
        match operand {
            Operand::Row(row) => self.resize(row.clone(), size),
            Operand::Same(val) if self.func.number(*val) == Some(1) => {
                let all = self.constant(u64::MAX);
                let all = self.splat_number(all, u64::MAX, size);
                Some(vec![all; self.vectors(size)])
            }
            same => self.fit(same, size),
        }
    }

    /// A term of a sum: lanes, and whether they are to be subtracted instead, as masks
    /// are (all ones are -1).
    pub fn term(&mut self, val: Val, size: Size) -> Option<(Vec<Val>, bool)> {
        match self.operand(val)? {
            Operand::Row(row) if row.kind == Kind::Mask => Some((self.resize(row, size)?, true)),
            operand => Some((self.fit(&operand, size)?, false)),
        }
    }

    /// The lowest bits of a value.
    pub fn number(&mut self, val: Val, size: Size) -> Option<Vec<Val>> {
        let operand = self.operand(val)?;
        self.fit(&operand, size)
    }

    /// Lanes that hold a value exactly, zero-extended.
    pub fn unsigned(&self, val: Val, width: Width) -> Option<Size> {
        Some(self.exact(&self.operand(val)?, width, false))
    }

    /// The size of a value's lanes, and what it is at most.
    pub fn extent(&self, val: Val) -> Option<(Size, u64)> {
        Some((self.floor(&self.operand(val)?), self.bits.upper(val)))
    }
}

/// The unsigned form of a signed comparison.
fn unsigned_of(cond: Cond) -> Option<Cond> {
    Some(match cond {
        Cond::Slt => Cond::Lt,
        Cond::Sle => Cond::Le,
        Cond::Sgt => Cond::Gt,
        Cond::Sge => Cond::Ge,
        _ => return None,
    })
}
