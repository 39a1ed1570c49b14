//! What scripts print: values as they are once their bytes are decoded, before anybody chose
//! between text and JSON.
//!
//! Text is bytes: what a kernel hands over need not be UTF-8, and is printed as it came.

use std::cmp::Ordering;

/// One value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing.
    None,
    /// A truth value.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// Text.
    Text(Vec<u8>),
    /// A number that has a name, or a way of its own to be written.
    Symbol {
        /// What people read.
        text: Vec<u8>,
        /// What programs read.
        number: u64,
    },
    /// Bytes without a meaning.
    Buffer(Vec<u8>),
    /// Values of one type.
    Array(Vec<Value>),
    /// Values by their places.
    Tuple(Vec<Value>),
    /// Values by their names.
    Record(Vec<(String, Value)>),
}

impl Value {
    /// Text from a string.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into().into_bytes())
    }

    /// The number that it is, for formats which want one.
    pub fn number(&self) -> Option<i128> {
        match self {
            Value::Bool(bit) => Some(i128::from(*bit)),
            Value::Int(number) => Some(i128::from(*number)),
            Value::Uint(number) | Value::Symbol { number, .. } => Some(i128::from(*number)),
            _ => None,
        }
    }

    /// The order of values of one type; values of others have none.
    pub fn order(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
            _ => Some(self.number()?.cmp(&other.number()?)),
        }
    }

    /// A number by a divisor, for `print(@, top, div)`.
    pub(crate) fn divided(self, by: u64) -> Value {
        match self {
            Value::Int(number) => {
                Value::Int(i64::try_from(by).map_or(0, |by| number.wrapping_div(by.max(1))))
            }
            Value::Uint(number) => Value::Uint(number / by.max(1)),
            other => other,
        }
    }
}

/// What stands in a map, or under one of its keys.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// A value.
    One(Value),
    /// A value of `avg()` or `stats()`, which JSON names so.
    Stats(Value),
    /// A histogram.
    Histogram(Histogram),
    /// Values over time.
    Series(Series),
}

/// A whole map, as it is printed.
#[derive(Clone, PartialEq, Debug)]
pub enum MapContent {
    /// A map without keys.
    Scalar(Content),
    /// Keys and what is under them, in the order in which they are printed.
    Keyed(Vec<(Value, Content)>),
}

/// Counts of intervals that follow each other.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Histogram {
    /// Where the first interval begins; `None` where it has no beginning.
    pub lower: Option<Value>,
    /// Where each interval ends; the last may have no end.
    pub labels: Vec<Value>,
    /// How many values fell into each.
    pub counts: Vec<u64>,
}

/// Values of intervals of time, some of which have none.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Series {
    /// Nanoseconds since 1970 at which each interval starts, and its value.
    pub points: Vec<(u64, Option<Value>)>,
}
