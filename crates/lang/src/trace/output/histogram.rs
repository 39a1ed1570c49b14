//! Histograms: which interval a bucket stands for, and how the bars are drawn.
//!
//! Bucket 0 of a logarithmic histogram holds negative values, the next `2^k` one value each;
//! behind them every power of two is cut into `2^k` intervals. Bucket 0 of a linear one holds
//! what lies below its range, the last what lies above.

use std::io::{self, Write};

use super::text::write_value;
use super::value::{Histogram, Value};

/// The parameters of `lhist()`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Linear {
    /// Where the first interval begins.
    pub min: i64,
    /// Where the last one ends.
    pub max: i64,
    /// How wide each is.
    pub step: i64,
}

impl Linear {
    /// How many buckets it has, the outer two with it.
    pub fn buckets(&self) -> usize {
        usize::try_from((self.max - self.min) / self.step.max(1)).unwrap_or(0) + 2
    }
}

/// How many buckets `hist(n, k)` has: signs, single values, and `2^k` for each power of two.
pub fn log_buckets(k: u32) -> usize {
    let per_power = 1usize << k;
    1 + per_power + (64 - k as usize) * per_power
}

/// The bucket of `hist(n, k)` that a value falls into; programs compute the same.
pub fn log_bucket(value: i64, k: u32) -> usize {
    if value < 0 {
        return 0;
    }
    let value = value as u64;
    if value < 1 << k {
        return value as usize + 1;
    }
    let power = 63 - value.leading_zeros();
    let within = (value >> (power - k)) & ((1 << k) - 1);
    ((((power - k + 1) as u64) << k) + within + 1) as usize
}

/// The histogram of logarithmic buckets.
pub fn logarithmic(buckets: &[u64], k: u32, div: u64) -> Histogram {
    let Some((first, last)) = filled(buckets) else { return Histogram::default() };
    let end = |bucket: usize| match bucket {
        0 => Value::Int(0),
        small if small <= 2 << k => Value::Int(small as i64),
        large => log_label(large as u64, k),
    };
    let begin = |bucket: usize| match bucket {
        small if small <= 2 << k => Value::Int(small as i64),
        large => log_label(large as u64, k),
    };
    Histogram {
        lower: (first > 0).then(|| begin(first - 1)),
        labels: (first..=last).map(end).collect(),
        counts: buckets[first..=last].iter().map(|count| count / div.max(1)).collect(),
    }
}

/// The histogram of linear buckets.
pub fn linear(buckets: &[u64], of: Linear) -> Histogram {
    let Some((first, last)) = filled(buckets) else { return Histogram::default() };
    let border = |bucket: usize| of.min + bucket as i64 * of.step;
    Histogram {
        lower: first.checked_sub(1).map(|before| linear_label(border(before), of.step)),
        labels: (first..=last)
            .map(border)
            .filter(|border| *border <= of.max)
            .map(|border| linear_label(border, of.step))
            .collect(),
        counts: buckets[first..=last].to_vec(),
    }
}

/// The first and the last bucket with something in it.
fn filled(buckets: &[u64]) -> Option<(usize, usize)> {
    let first = buckets.iter().position(|count| *count > 0)?;
    let last = buckets.iter().rposition(|count| *count > 0)?;
    Some((first, last))
}

/// Where a large bucket begins, in the largest unit of 1024 that keeps it whole.
fn log_label(bucket: u64, k: u32) -> Value {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    let per_power = 1u64 << k;
    let parts = per_power + (bucket & (per_power - 1));
    let power = (bucket >> k).saturating_sub(1).min(63);
    let (unit, rest) = (power / 10, power % 10);
    let number = parts.wrapping_shl(power as u32);
    let text = format!("{}{}", parts << rest, UNITS[unit as usize]);
    Value::Symbol { text: text.into_bytes(), number }
}

fn linear_label(border: i64, step: i64) -> Value {
    const KILO: i64 = 1 << 10;
    const MEGA: i64 = 1 << 20;
    if step % KILO != 0 {
        return Value::Int(border);
    }
    let text = match border {
        0 => "0".to_owned(),
        _ if border % MEGA == 0 => format!("{}M", border / MEGA),
        _ if border % KILO == 0 => format!("{}K", border / KILO),
        _ => border.to_string(),
    };
    Value::Symbol { text: text.into_bytes(), number: border as u64 }
}

/// The widest bar.
const WIDTH: usize = 52;

/// Draws a histogram, a line for each interval.
pub fn write_histogram(out: &mut dyn Write, histogram: &Histogram) -> io::Result<()> {
    let most = histogram.counts.iter().copied().max().unwrap_or(0);
    for (index, count) in histogram.counts.iter().enumerate() {
        let begin = match index {
            0 => histogram.lower.as_ref(),
            _ => histogram.labels.get(index - 1),
        };
        let name = interval(begin, histogram.labels.get(index))?;
        // In single precision, as the bars that people compare with were computed.
        let bar = (*count as f32 / most as f32 * WIDTH as f32) as usize;
        let bar = "@".repeat(bar.min(WIDTH));
        writeln!(out, "{name:<16}{count:>8} |{bar:<WIDTH$}|")?;
    }
    Ok(())
}

fn interval(begin: Option<&Value>, end: Option<&Value>) -> io::Result<String> {
    let plain = |value: &Value| -> io::Result<String> {
        let mut text = Vec::new();
        write_value(&mut text, value)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    Ok(match (begin, end) {
        (None, None) => "(..., ...)".into(),
        (None, Some(end)) => format!("(..., {})", plain(end)?),
        (Some(begin), None) => format!("[{}, ...)", plain(begin)?),
        (Some(begin), Some(end)) if is_single(begin, end) => format!("[{}]", plain(begin)?),
        (Some(begin), Some(end)) => format!("[{}, {})", plain(begin)?, plain(end)?),
    })
}

/// Whether an interval of plain numbers holds one of them alone.
fn is_single(begin: &Value, end: &Value) -> bool {
    match (begin, end) {
        (Value::Int(begin), Value::Int(end)) => begin.checked_add(1) == Some(*end),
        (Value::Uint(begin), Value::Uint(end)) => begin.checked_add(1) == Some(*end),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(histogram: &Histogram) -> String {
        let mut out = Vec::new();
        write_histogram(&mut out, histogram).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn of(values: &[i64], k: u32) -> Vec<u64> {
        let mut buckets = vec![0; log_buckets(k)];
        for value in values {
            buckets[log_bucket(*value, k)] += 1;
        }
        buckets
    }

    #[test]
    fn bars_are_scaled_to_the_largest_count() {
        let text = drawn(&logarithmic(&of(&[-1, 2, 3, 5, 16], 0), 0, 1));
        let half = "@".repeat(26);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("(..., 0)               1 |{half:<52}|"));
        assert_eq!(lines[1], format!("[0]                    0 |{:<52}|", ""));
        assert_eq!(lines[3], format!("[2, 4)                 2 |{}|", "@".repeat(52)));
        assert_eq!(lines[6], format!("[16, 32)               1 |{half:<52}|"));
        assert_eq!(lines.len(), 7);
    }

    #[test]
    fn each_value_falls_between_the_borders_of_its_bucket() {
        for k in 0..=5 {
            let tried = [0, 1, 2, 3, 5, 31, 32, 33, 1023, 1024, 1 << 40, i64::MAX];
            for value in tried {
                let bucket = log_bucket(value, k);
                assert!(bucket < log_buckets(k), "{value} {k}");
                let histogram = logarithmic(&of(&[value], k), k, 1);
                let lower = histogram.lower.unwrap().number().unwrap();
                let upper = histogram.labels[0].number().unwrap();
                let value = i128::from(value);
                assert!(lower <= value && value < upper, "{lower} {value} {upper}, k {k}");
                assert!((upper - lower) << k <= value.max(1 << k), "{lower} {upper}, k {k}");
            }
        }
    }

    #[test]
    fn large_borders_have_units() {
        let text = drawn(&logarithmic(&of(&[10 << 30], 0), 0, 1));
        assert!(text.starts_with("[8G, 16G)              1 |@"), "{text}");
        let text = drawn(&logarithmic(&of(&[1025], 0), 0, 1));
        assert!(text.starts_with("[1K, 2K)               1 |@"), "{text}");
    }

    #[test]
    fn linear_borders_end_where_the_range_does() {
        let of = Linear { min: 0, max: 100, step: 10 };
        let mut buckets = vec![0; of.buckets()];
        buckets[0] = 1;
        buckets[1] = 2;
        *buckets.last_mut().unwrap() = 1;
        let text = drawn(&linear(&buckets, of));
        let names: Vec<&str> = text.lines().map(|line| line[..16].trim()).collect();
        assert_eq!(names[..2], ["(..., 0)", "[0, 10)"]);
        assert_eq!(names[names.len() - 1], "[100, ...)");
        assert_eq!(names.len(), 12);
    }
}
