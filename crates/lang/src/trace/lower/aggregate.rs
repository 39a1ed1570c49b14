//! Aggregations: a value for each CPU, added to without a lock, put together when it is read.
//!
//! What lies in a value is said by `output::maps`: counts and sums are one number; least and
//! greatest are the number and whether there is one; averages are sum and count; histograms
//! are their buckets; time series are buckets of the interval plus one, the value, and what
//! stands beside it.

use skep_abi::flags::update;
use skep_abi::helper::id;
use skep_isa::build::Label;
use skep_isa::{AluOp, Cond, Operand, Reg, Size};

use super::super::checked::{Expr, MapId, SeriesOf, Shape};
use super::super::kind::{Aggregate, Kind};
use super::super::output::histogram::{Linear, log_buckets};
use super::super::output::maps::{SERIES_BUCKET, stored_size};
use super::code::{Code, Lowered, UNKNOWN_ZERO};
use super::element::object_map;

impl<'a> Code<'_, 'a> {
    /// `@m[k] = count()` and its siblings.
    pub fn aggregate(&mut self, map: MapId, key: &'a Expr, value: Option<&'a Expr>) -> Lowered {
        let of = self.map_of(map);
        let Kind::Aggregate(kind) = of.value.kind else {
            return self.error("the map holds no aggregation");
        };
        let number = match value {
            Some(value) => {
                self.number(value)?;
                Some(self.spill()?)
            }
            None => None,
        };
        let key = self.key(map, key)?;
        let now = match kind {
            Aggregate::TSeries => {
                self.series_time()?;
                Some(self.spill()?)
            }
            _ => None,
        };
        let (there, skip) = (self.b.label(), self.b.label());
        self.lookup(map, key);
        self.b.branch(Cond::Ne, Reg::R0, Operand::Imm(0), there);
        let size = stored_size(of) as u32;
        let zeros = self.room(size);
        self.clear(zeros, size);
        self.update(map, key, zeros, update::ANY);
        self.lookup(map, key);
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), skip);
        self.b.place(there);
        if let Some(now) = now {
            self.unspill(Reg::R7, now);
        }
        if let Some(number) = number {
            self.unspill(Reg::R8, number);
        }
        self.add(kind, of.shape, skip)?;
        self.b.place(skip);
        Ok(())
    }

    /// Adds the number in r8 to the value at r0; r7 is the time.
    fn add(&mut self, kind: Aggregate, shape: Shape, skip: Label) -> Lowered {
        match kind {
            Aggregate::Count => self.bump(0, Operand::Imm(1)),
            Aggregate::Sum { .. } => self.bump(0, Operand::Reg(Reg::R8)),
            Aggregate::Avg { .. } | Aggregate::Stats { .. } => {
                self.bump(0, Operand::Reg(Reg::R8));
                self.bump(8, Operand::Imm(1));
            }
            Aggregate::Min { signed } => self.extreme(if signed { Cond::Sge } else { Cond::Ge }),
            Aggregate::Max { signed } => self.extreme(if signed { Cond::Sle } else { Cond::Le }),
            Aggregate::Hist => {
                let bits = match shape {
                    Shape::Hist { bits } => u32::from(bits),
                    _ => 0,
                };
                self.log_bucket(bits);
                self.bump_bucket(log_buckets(bits), skip);
            }
            Aggregate::LHist => {
                let Shape::LHist { min, max, step } = shape else {
                    return self.error("the histogram has no range");
                };
                let (min, max, step) = (min.cast_signed(), max.cast_signed(), step.cast_signed());
                let of = Linear { min, max, step };
                self.linear_bucket(of);
                self.bump_bucket(of.buckets(), skip);
            }
            Aggregate::TSeries => self.add_to_series(shape, skip)?,
        }
        Ok(())
    }

    /// Adds to the number at an offset of r0.
    fn bump(&mut self, at: i16, by: Operand) {
        self.b.load(Size::DW, Reg::R1, Reg::R0, at);
        self.b.alu(AluOp::Add, Reg::R1, by);
        self.b.store(Size::DW, Reg::R0, at, Operand::Reg(Reg::R1));
    }

    /// Keeps the number in r8 unless there is one that the condition holds for.
    fn extreme(&mut self, worse: Cond) {
        let (set, done) = (self.b.label(), self.b.label());
        self.b.load(Size::DW, Reg::R1, Reg::R0, 8);
        self.b.branch(Cond::Eq, Reg::R1, Operand::Imm(0), set);
        self.b.load(Size::DW, Reg::R1, Reg::R0, 0);
        // The new one is worse: not less than the least, not more than the greatest.
        self.b.branch(worse, Reg::R8, Operand::Reg(Reg::R1), done);
        self.b.place(set);
        self.b.store(Size::DW, Reg::R0, 0, Operand::Reg(Reg::R8));
        self.b.store(Size::DW, Reg::R0, 8, Operand::Imm(1));
        self.b.place(done);
    }

    /// `r1`: the bucket of the number in r8, as `output::histogram::log_bucket` has it.
    fn log_bucket(&mut self, bits: u32) {
        let (negative, small, done) = (self.b.label(), self.b.label(), self.b.label());
        let per_power = 1i32 << bits;
        self.b.branch(Cond::Slt, Reg::R8, Operand::Imm(0), negative);
        self.b.branch(Cond::Lt, Reg::R8, Operand::Imm(per_power), small);
        // r1: the highest bit that is set, by halves; r2: what is left of the number.
        self.b.set(Reg::R1, 0);
        self.b.copy(Reg::R2, Reg::R8);
        for half in [32, 16, 8, 4, 2, 1] {
            let below = self.b.label();
            self.b.copy(Reg::R3, Reg::R2);
            self.b.alu(AluOp::Rsh, Reg::R3, Operand::Imm(half));
            self.b.branch(Cond::Eq, Reg::R3, Operand::Imm(0), below);
            self.b.alu(AluOp::Add, Reg::R1, Operand::Imm(half));
            self.b.copy(Reg::R2, Reg::R3);
            self.b.place(below);
        }
        self.b.alu(AluOp::Sub, Reg::R1, Operand::Imm(bits as i32));
        self.b.copy(Reg::R2, Reg::R8);
        self.b.alu(AluOp::Rsh, Reg::R2, Operand::Reg(Reg::R1));
        self.b.alu(AluOp::And, Reg::R2, Operand::Imm(per_power - 1));
        self.b.alu(AluOp::Add, Reg::R1, Operand::Imm(1));
        self.b.alu(AluOp::Lsh, Reg::R1, Operand::Imm(bits as i32));
        self.b.alu(AluOp::Add, Reg::R1, Operand::Reg(Reg::R2));
        self.b.alu(AluOp::Add, Reg::R1, Operand::Imm(1));
        self.b.goto(done);
        self.b.place(small);
        self.b.copy(Reg::R1, Reg::R8);
        self.b.alu(AluOp::Add, Reg::R1, Operand::Imm(1));
        self.b.goto(done);
        self.b.place(negative);
        self.b.set(Reg::R1, 0);
        self.b.place(done);
    }

    /// `r1`: the bucket of the number in r8.
    fn linear_bucket(&mut self, of: Linear) {
        let (low, high, done) = (self.b.label(), self.b.label(), self.b.label());
        self.constant(Reg::R2, of.min.cast_unsigned());
        self.constant(Reg::R3, of.max.cast_unsigned());
        self.b.branch(Cond::Slt, Reg::R8, Operand::Reg(Reg::R2), low);
        self.b.branch(Cond::Sgt, Reg::R8, Operand::Reg(Reg::R3), high);
        self.b.copy(Reg::R1, Reg::R8);
        self.b.alu(AluOp::Sub, Reg::R1, Operand::Reg(Reg::R2));
        self.constant(Reg::R2, of.step.max(1).cast_unsigned());
        self.b.alu(AluOp::Div, Reg::R1, Operand::Reg(Reg::R2));
        self.b.alu(AluOp::Add, Reg::R1, Operand::Imm(1));
        self.b.goto(done);
        self.b.place(low);
        self.b.set(Reg::R1, 0);
        self.b.goto(done);
        self.b.place(high);
        self.b.set(Reg::R1, of.buckets() as i32 - 1);
        self.b.place(done);
    }

    /// Adds one to the bucket of number r1 at r0.
    fn bump_bucket(&mut self, buckets: usize, skip: Label) {
        self.b.branch(Cond::Ge, Reg::R1, Operand::Imm(buckets as i32), skip);
        self.b.alu(AluOp::Lsh, Reg::R1, Operand::Imm(3));
        self.b.alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R1));
        self.bump(0, Operand::Imm(1));
    }

    /// `r0`: the time that time series go by.
    fn series_time(&mut self) -> Lowered {
        let name = self.shared.machine.clock.clone();
        let script = self.shared.script;
        let found = script.maps.iter().position(|map| Some(&*map.name) == name.as_deref());
        let Some(map) = found else {
            self.b.helper(id::KTIME_GET_TAI_NS);
            return Ok(());
        };
        let map = MapId(map as u32);
        let level = self.top;
        let key = self.room(8);
        self.store_imm(Size::DW, key, 0);
        self.lookup(map, key);
        let none = self.b.label();
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), none);
        self.b.load(Size::DW, Reg::R0, Reg::R0, 0);
        self.b.place(none);
        self.top = level;
        Ok(())
    }

    /// Adds the number in r8 to the bucket of the time in r7 at r0.
    fn add_to_series(&mut self, shape: Shape, skip: Label) -> Lowered {
        let Shape::TSeries { interval, count, holds, signed } = shape else {
            return self.error("the time series has no interval");
        };
        let bucket = i32::try_from(count.max(1)).unwrap_or(i32::MAX);
        // r2: the interval plus one; r1: its bucket.
        self.b.copy(Reg::R2, Reg::R7);
        self.constant(Reg::R3, interval.max(1));
        self.b.alu(AluOp::Div, Reg::R2, Operand::Reg(Reg::R3));
        self.b.alu(AluOp::Add, Reg::R2, Operand::Imm(1));
        self.b.copy(Reg::R1, Reg::R2);
        self.b.alu(AluOp::Mod, Reg::R1, Operand::Imm(bucket));
        self.b.branch(Cond::Ge, Reg::R1, Operand::Imm(bucket), skip);
        self.b.alu(AluOp::Mul, Reg::R1, Operand::Imm(SERIES_BUCKET as i32));
        self.b.alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R1));
        let (same, done) = (self.b.label(), self.b.label());
        self.b.load(Size::DW, Reg::R1, Reg::R0, 0);
        self.b.branch(Cond::Eq, Reg::R1, Operand::Reg(Reg::R2), same);
        self.b.store(Size::DW, Reg::R0, 0, Operand::Reg(Reg::R2));
        self.b.store(Size::DW, Reg::R0, 8, Operand::Reg(Reg::R8));
        let beside = match holds {
            SeriesOf::Last => Operand::Reg(Reg::R7),
            _ => Operand::Imm(1),
        };
        self.b.store(Size::DW, Reg::R0, 16, beside);
        self.b.goto(done);
        self.b.place(same);
        let worse = match (holds, signed) {
            (SeriesOf::Min, true) => Some(Cond::Sge),
            (SeriesOf::Min, false) => Some(Cond::Ge),
            (SeriesOf::Max, true) => Some(Cond::Sle),
            (SeriesOf::Max, false) => Some(Cond::Le),
            _ => None,
        };
        match holds {
            SeriesOf::Avg | SeriesOf::Sum => {
                self.bump(8, Operand::Reg(Reg::R8));
                self.bump(16, Operand::Imm(1));
            }
            _ => {
                if let Some(worse) = worse {
                    self.b.load(Size::DW, Reg::R1, Reg::R0, 8);
                    self.b.branch(worse, Reg::R8, Operand::Reg(Reg::R1), done);
                }
                self.b.store(Size::DW, Reg::R0, 8, Operand::Reg(Reg::R8));
                self.b.store(Size::DW, Reg::R0, 16, beside);
            }
        }
        self.b.place(done);
        Ok(())
    }

    /// `r0`: all CPUs' values of a key together.
    pub fn aggregate_number(&mut self, map: MapId, kind: Aggregate, key: u32) -> Lowered {
        let level = self.top;
        let (first, second) = (self.room(8), self.room(8));
        self.store_imm(Size::DW, first, 0);
        self.store_imm(Size::DW, second, 0);
        let (turn, next, out) = (self.b.label(), self.b.label(), self.b.label());
        self.load(Reg::R8, Size::DW, false, UNKNOWN_ZERO);
        self.b.place(turn);
        self.b.may_goto(out);
        self.b.branch(Cond::Ge, Reg::R8, Operand::Imm(self.shared.machine.cpus as i32), out);
        self.map(Reg::R1, object_map(map));
        self.address(Reg::R2, key);
        self.b.copy(Reg::R3, Reg::R8);
        self.b.helper(id::MAP_LOOKUP_PERCPU_ELEM);
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), next);
        match kind {
            Aggregate::Count | Aggregate::Sum { .. } => self.gather(0, first),
            Aggregate::Avg { .. } | Aggregate::Stats { .. } => {
                self.gather(0, first);
                self.gather(8, second);
            }
            Aggregate::Min { signed } => {
                self.gather_extreme(if signed { Cond::Sge } else { Cond::Ge }, first, second, next);
            }
            Aggregate::Max { signed } => {
                self.gather_extreme(if signed { Cond::Sle } else { Cond::Le }, first, second, next);
            }
            _ => return self.error("a histogram is no number"),
        }
        self.b.place(next);
        self.b.alu(AluOp::Add, Reg::R8, Operand::Imm(1));
        self.b.goto(turn);
        self.b.place(out);
        self.load(Reg::R0, Size::DW, false, first);
        if let Aggregate::Avg { signed } | Aggregate::Stats { signed } = kind {
            self.load(Reg::R1, Size::DW, false, second);
            let op = if signed { AluOp::SDiv } else { AluOp::Div };
            self.b.alu(op, Reg::R0, Operand::Reg(Reg::R1));
        }
        self.top = level;
        Ok(())
    }

    /// Adds the number at an offset of r0 to one of the region.
    fn gather(&mut self, from: i16, to: u32) {
        self.b.load(Size::DW, Reg::R1, Reg::R0, from);
        self.load(Reg::R2, Size::DW, false, to);
        self.b.alu(AluOp::Add, Reg::R1, Operand::Reg(Reg::R2));
        self.store(Size::DW, to, Reg::R1);
    }

    fn gather_extreme(&mut self, worse: Cond, to: u32, set: u32, next: Label) {
        let take = self.b.label();
        self.b.load(Size::DW, Reg::R1, Reg::R0, 8);
        self.b.branch(Cond::Eq, Reg::R1, Operand::Imm(0), next);
        self.b.load(Size::DW, Reg::R1, Reg::R0, 0);
        self.load(Reg::R2, Size::DW, false, set);
        self.b.branch(Cond::Eq, Reg::R2, Operand::Imm(0), take);
        self.load(Reg::R2, Size::DW, false, to);
        self.b.branch(worse, Reg::R1, Operand::Reg(Reg::R2), next);
        self.b.place(take);
        self.store(Size::DW, to, Reg::R1);
        self.store_imm(Size::DW, set, 1);
    }
}
