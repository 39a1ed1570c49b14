//! Whole maps: values of all CPUs put together, elements in bpftrace's order, the last of them
//! where only the largest are wanted.

use std::cmp::Ordering;

use super::super::checked::{Map, SeriesOf, Shape};
use super::super::kind::{Aggregate, Kind, Type};
use super::decode::{Decoder, extend, number};
use super::histogram::{Linear, linear, logarithmic};
use super::value::{Content, MapContent, Series, Value};

/// An element as the kernel has it: its key, and its value on each CPU (one, where CPUs share
/// it).
pub type Element = (Vec<u8>, Vec<Vec<u8>>);

/// How a bucket of a time series is stored: which interval, what it holds, and beside it.
pub const SERIES_BUCKET: usize = 24;

/// What to print of a map.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// So many of the largest; 0 is all.
    pub top: usize,
    /// Values are divided by it; 0 is 1.
    pub div: u64,
}

impl Decoder<'_> {
    /// A map's content. `moment` gives the nanoseconds since 1970 of the start of an interval
    /// of a time series, which the kernel counts by another clock.
    pub fn map(
        &self,
        map: &Map,
        elements: Vec<Element>,
        wanted: Wanted,
        moment: &dyn Fn(u64) -> u64,
    ) -> MapContent {
        let newest = match map.shape {
            Shape::TSeries { .. } => {
                elements.iter().flat_map(|(_, cpus)| cpus).filter_map(|cpu| last_epoch(cpu)).max()
            }
            _ => None,
        };
        let mut rows: Vec<(Vec<u8>, Order, Content)> = elements
            .into_iter()
            .map(|(key, cpus)| {
                let (order, content) = self.content(map, &cpus, wanted, newest, moment);
                (key, order, content)
            })
            .collect();
        sort(&map.key, &mut rows);
        if wanted.top > 0 {
            rows.drain(..rows.len().saturating_sub(wanted.top));
        }
        if map.scalar {
            return match rows.into_iter().next() {
                Some((_, _, content)) => MapContent::Scalar(content),
                None => MapContent::Keyed(Vec::new()),
            };
        }
        let row =
            |(key, _, content): (Vec<u8>, Order, Content)| (self.value(&map.key, &key), content);
        MapContent::Keyed(rows.into_iter().map(row).collect())
    }

    /// What a map without keys prints as while it has no value.
    pub fn empty(&self, map: &Map) -> MapContent {
        let zeros = vec![0; stored_size(map)];
        let content = self.content(map, &[zeros], Wanted::default(), None, &|at| at).1;
        MapContent::Scalar(content)
    }

    fn content(
        &self,
        map: &Map,
        cpus: &[Vec<u8>],
        wanted: Wanted,
        newest: Option<u64>,
        moment: &dyn Fn(u64) -> u64,
    ) -> (Order, Content) {
        let div = wanted.div.max(1);
        let Kind::Aggregate(kind) = map.value.kind else {
            let bytes = cpus.first().map_or(&[][..], |cpu| cpu);
            let value = self.value(&map.value, bytes);
            let order = match &value {
                Value::Int(number) => Order::Number(i128::from(*number)),
                Value::Uint(number) => Order::Number(i128::from(*number)),
                _ if map.value.is_int() => Order::Number(value.number().unwrap_or(0)),
                _ => Order::Key,
            };
            return (order, Content::One(value.divided(div)));
        };
        match (kind, map.shape) {
            (Aggregate::Hist, shape) => {
                let bits = match shape {
                    Shape::Hist { bits } => u32::from(bits),
                    _ => 0,
                };
                let buckets = summed(cpus);
                let total = buckets.iter().map(|count| i128::from(*count)).sum();
                (Order::Number(total), Content::Histogram(logarithmic(&buckets, bits, div)))
            }
            (Aggregate::LHist, Shape::LHist { min, max, step }) => {
                let (min, max, step) = (min.cast_signed(), max.cast_signed(), step.cast_signed());
                let buckets = summed(cpus);
                let total = buckets.iter().map(|count| i128::from(*count)).sum();
                let of = Linear { min, max, step };
                (Order::Number(total), Content::Histogram(linear(&buckets, of)))
            }
            (Aggregate::TSeries, Shape::TSeries { interval, count, holds, signed }) => {
                let newest = newest.unwrap_or(0);
                let of = Points { interval, count, holds, signed };
                let (last, series) = of.series(cpus, newest, moment);
                (Order::Number(i128::from(last)), Content::Series(series))
            }
            (kind, _) => {
                let signed = Type::from(Kind::Aggregate(kind)).is_signed();
                let (order, value) = reduced(kind, signed, cpus, div);
                match kind {
                    Aggregate::Avg { .. } | Aggregate::Stats { .. } => {
                        (order, Content::Stats(value))
                    }
                    _ => (order, Content::One(value)),
                }
            }
        }
    }
}

/// How many bytes of a map hold one value, on one CPU.
pub fn stored_size(map: &Map) -> usize {
    use super::histogram::log_buckets;
    match (&map.value.kind, map.shape) {
        (Kind::Aggregate(Aggregate::Count | Aggregate::Sum { .. }), _) => 8,
        (Kind::Aggregate(Aggregate::Hist), Shape::Hist { bits }) => {
            8 * log_buckets(u32::from(bits))
        }
        (Kind::Aggregate(Aggregate::Hist), _) => 8 * log_buckets(0),
        (Kind::Aggregate(Aggregate::LHist), Shape::LHist { min, max, step }) => {
            let (min, max, step) = (min.cast_signed(), max.cast_signed(), step.cast_signed());
            8 * Linear { min, max, step }.buckets()
        }
        (Kind::Aggregate(Aggregate::TSeries), Shape::TSeries { count, .. }) => {
            SERIES_BUCKET * usize::try_from(count).unwrap_or(usize::MAX / SERIES_BUCKET)
        }
        (Kind::Aggregate(_), _) => 16,
        _ => map.value.size() as usize,
    }
}

/// What elements are sorted by.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Order {
    Number(i128),
    Key,
}

fn sort(key: &Type, rows: &mut [(Vec<u8>, Order, Content)]) {
    // A kernel gives keys in no order; the bytes give equal values one.
    rows.sort_by(|(one, ..), (other, ..)| key_order(key, one, other).then(one.cmp(other)));
    if rows.iter().all(|(_, order, _)| matches!(order, Order::Number(_))) {
        let number = |order: &Order| match order {
            Order::Number(number) => *number,
            Order::Key => 0,
        };
        rows.sort_by_key(|(_, order, _)| number(order));
    }
}

/// Numbers by their values, text by its bytes, tuples part by part; the rest has no order.
fn key_order(key: &Type, one: &[u8], other: &[u8]) -> Ordering {
    match &key.kind {
        Kind::Int { size, .. } => {
            let size = usize::from(*size);
            let of = |bytes: &[u8]| extend(number(bytes, 0, size), size, true).number();
            of(one).cmp(&of(other))
        }
        Kind::String(_) => one.cmp(other),
        Kind::Tuple(parts) => {
            let places = key.layout().offsets;
            let mut parts = parts.iter().zip(places).map(|(part, at)| {
                let range = at as usize..at as usize + part.size() as usize;
                let of = |bytes: &[u8]| bytes.get(range.clone()).unwrap_or_default().to_vec();
                key_order(part, &of(one), &of(other))
            });
            parts.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        }
        _ => Ordering::Equal,
    }
}

/// Buckets of all CPUs together.
fn summed(cpus: &[Vec<u8>]) -> Vec<u64> {
    let len = cpus.iter().map(|cpu| cpu.len() / 8).max().unwrap_or(0);
    let count = |index: usize| {
        cpus.iter().fold(0u64, |sum, cpu| sum.wrapping_add(number(cpu, 8 * index, 8)))
    };
    (0..len).map(count).collect()
}

/// An aggregation of all CPUs together.
fn reduced(kind: Aggregate, signed: bool, cpus: &[Vec<u8>], div: u64) -> (Order, Value) {
    let word = |cpu: &Vec<u8>, at: usize| number(cpu, at, 8);
    let sum = |at: usize| cpus.iter().fold(0u64, |sum, cpu| sum.wrapping_add(word(cpu, at)));
    let typed = |number: u64| extend(number, 8, signed);
    let value = match kind {
        Aggregate::Min { .. } | Aggregate::Max { .. } => {
            let set = cpus.iter().filter(|cpu| word(cpu, 8) != 0).map(|cpu| typed(word(cpu, 0)));
            let of = |value: &Value| value.number();
            let found = match kind {
                Aggregate::Min { .. } => set.min_by_key(of),
                _ => set.max_by_key(of),
            };
            found.unwrap_or_else(|| typed(0))
        }
        Aggregate::Avg { .. } | Aggregate::Stats { .. } => average(sum(0), sum(8), signed),
        _ => typed(sum(0)),
    };
    let order = Order::Number(value.number().unwrap_or(0));
    let value = value.divided(div);
    if !matches!(kind, Aggregate::Stats { .. }) {
        return (order, value);
    }
    let fields = [("count", Value::Uint(sum(8))), ("average", value), ("total", typed(sum(0)))];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    (order, Value::Record(fields.to_vec()))
}

fn average(total: u64, count: u64, signed: bool) -> Value {
    match signed {
        true => Value::Int(total.cast_signed().checked_div(count.cast_signed()).unwrap_or(0)),
        false => Value::Uint(total.checked_div(count).unwrap_or(0)),
    }
}

/// The newest interval that a CPU's buckets know.
fn last_epoch(cpu: &[u8]) -> Option<u64> {
    cpu.chunks_exact(SERIES_BUCKET).map(|bucket| number(bucket, 0, 8)).filter(|at| *at > 0).max()
}

struct Points {
    interval: u64,
    count: u64,
    holds: SeriesOf,
    signed: bool,
}

impl Points {
    /// The points up to the newest interval of the map, from the first that this key has.
    /// Gives the newest interval of the key beside it. Buckets store intervals plus one, so
    /// that 0 is none.
    fn series(&self, cpus: &[Vec<u8>], newest: u64, moment: &dyn Fn(u64) -> u64) -> (u64, Series) {
        let oldest = newest.saturating_sub(self.count.saturating_sub(1)).max(1);
        let mut found: std::collections::BTreeMap<u64, (u64, u64)> = Default::default();
        for bucket in cpus.iter().flat_map(|cpu| cpu.chunks_exact(SERIES_BUCKET)) {
            let (epoch, value, beside) =
                (number(bucket, 0, 8), number(bucket, 8, 8), number(bucket, 16, 8));
            if epoch < oldest || epoch > newest {
                continue;
            }
            found
                .entry(epoch)
                .and_modify(|of| *of = self.joined(*of, (value, beside)))
                .or_insert((value, beside));
        }
        let last = found.keys().next_back().copied().unwrap_or(0);
        let first = found.keys().next().copied().unwrap_or(newest + 1);
        let value = |(value, count): &(u64, u64)| match self.holds {
            SeriesOf::Avg => average(*value, *count, self.signed),
            _ => extend(*value, 8, self.signed),
        };
        let point = |epoch: u64| {
            let at = moment((epoch - 1).saturating_mul(self.interval));
            (at, found.get(&epoch).map(value))
        };
        (last, Series { points: (first..=newest).map(point).collect() })
    }

    /// Two CPUs' values of one interval: what is beside is a count, or when it came.
    fn joined(&self, one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
        let is_less = match self.signed {
            true => one.0.cast_signed() < other.0.cast_signed(),
            false => one.0 < other.0,
        };
        match self.holds {
            SeriesOf::Last => {
                if one.1 >= other.1 {
                    one
                } else {
                    other
                }
            }
            SeriesOf::Avg | SeriesOf::Sum => {
                (one.0.wrapping_add(other.0), one.1.wrapping_add(other.1))
            }
            SeriesOf::Max => {
                if is_less {
                    other
                } else {
                    one
                }
            }
            SeriesOf::Min => {
                if is_less {
                    one
                } else {
                    other
                }
            }
        }
    }
}
