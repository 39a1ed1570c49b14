//! Records as lines of JSON, each with `type` and `data`, spaced as bpftrace spaces them.

use std::io::{self, Write};

use super::series::moment;
use super::text::{key_text, to_text};
use super::value::{Content, Histogram, MapContent, Series, Value};

/// Writes text as a JSON string. Bytes that are no UTF-8 become U+FFFD: JSON has no others.
pub fn write_string(out: &mut dyn Write, text: &[u8]) -> io::Result<()> {
    out.write_all(b"\"")?;
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '"' => out.write_all(b"\\\"")?,
            '\\' => out.write_all(b"\\\\")?,
            '\n' => out.write_all(b"\\n")?,
            '\r' => out.write_all(b"\\r")?,
            '\t' => out.write_all(b"\\t")?,
            c if (c as u32) < 0x20 => write!(out, "\\u{:04x}", c as u32)?,
            c => write!(out, "{c}")?,
        }
    }
    out.write_all(b"\"")
}

/// A number; as a string where a JSON reader's floating point would change it.
fn write_number(out: &mut dyn Write, number: i128) -> io::Result<()> {
    match number as f64 as i128 == number {
        true => write!(out, "{number}"),
        false => write!(out, "\"{number}\""),
    }
}

/// Writes one value.
pub fn write_value(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    match value {
        Value::None => out.write_all(b"null"),
        Value::Bool(bit) => write!(out, "{bit}"),
        Value::Int(number) => write_number(out, i128::from(*number)),
        Value::Uint(number) | Value::Symbol { number, .. } => {
            write_number(out, i128::from(*number))
        }
        Value::Text(text) => write_string(out, text),
        Value::Buffer(bytes) => {
            write_list(out, bytes, |out, byte| write!(out, "{}", byte.cast_signed()))
        }
        Value::Array(values) | Value::Tuple(values) => write_list(out, values, write_value),
        Value::Record(fields) => write_object(
            out,
            fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value)),
            write_value,
        ),
    }
}

fn write_list<T>(
    out: &mut dyn Write,
    values: &[T],
    write: impl Fn(&mut dyn Write, &T) -> io::Result<()>,
) -> io::Result<()> {
    out.write_all(b"[")?;
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        write(out, value)?;
    }
    out.write_all(b"]")
}

fn write_object<'a, T: 'a>(
    out: &mut dyn Write,
    fields: impl Iterator<Item = (Vec<u8>, &'a T)>,
    write: impl Fn(&mut dyn Write, &T) -> io::Result<()>,
) -> io::Result<()> {
    out.write_all(b"{")?;
    for (index, (name, value)) in fields.enumerate() {
        if index > 0 {
            out.write_all(b", ")?;
        }
        write_string(out, &name)?;
        out.write_all(b": ")?;
        write(out, value)?;
    }
    out.write_all(b"}")
}

/// A record of a kind with data that is written by `data`.
pub fn write_record(
    out: &mut dyn Write,
    kind: &str,
    data: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    write!(out, "{{\"type\": \"{kind}\", \"data\": ")?;
    data(out)?;
    out.write_all(b"}\n")
}

/// A record of a kind with text.
pub fn write_text_record(out: &mut dyn Write, kind: &str, text: &[u8]) -> io::Result<()> {
    write_record(out, kind, |out| write_string(out, text))
}

/// A map's record. An empty map has none.
pub fn write_map(out: &mut dyn Write, name: &str, map: &MapContent) -> io::Result<()> {
    let first = match map {
        MapContent::Scalar(content) => content,
        MapContent::Keyed(elements) => match elements.first() {
            Some((_, content)) => content,
            None => return Ok(()),
        },
    };
    let kind = match first {
        Content::One(_) => "map",
        Content::Stats(_) => "stats",
        Content::Histogram(_) => "hist",
        Content::Series(_) => "tseries",
    };
    write_record(out, kind, |out| {
        out.write_all(b"{")?;
        write_string(out, name.as_bytes())?;
        out.write_all(b": ")?;
        match map {
            MapContent::Scalar(content) => write_content(out, content)?,
            MapContent::Keyed(elements) => {
                let key = |key: &Value| {
                    let mut text = key_text(key);
                    text.retain(|byte| *byte != b' ');
                    text
                };
                let fields = elements.iter().map(|(of, content)| (key(of), content));
                write_object(out, fields, write_content)?;
            }
        }
        out.write_all(b"}")
    })
}

fn write_content(out: &mut dyn Write, content: &Content) -> io::Result<()> {
    match content {
        Content::One(value) | Content::Stats(value) => write_value(out, value),
        Content::Histogram(histogram) => write_histogram(out, histogram),
        Content::Series(series) => write_series(out, series),
    }
}

/// Intervals with their ends in them, other than in text.
fn write_histogram(out: &mut dyn Write, histogram: &Histogram) -> io::Result<()> {
    out.write_all(b"[")?;
    for (index, count) in histogram.counts.iter().enumerate() {
        out.write_all(if index > 0 { b",{" } else { b"{" })?;
        let begin = match index {
            0 => histogram.lower.as_ref(),
            _ => histogram.labels.get(index - 1),
        };
        if let Some(begin) = begin {
            out.write_all(b"\"min\": ")?;
            write_border(out, begin, 0)?;
            out.write_all(b", ")?;
        }
        if let Some(end) = histogram.labels.get(index) {
            out.write_all(b"\"max\": ")?;
            write_border(out, end, 1)?;
            out.write_all(b", ")?;
        }
        write!(out, "\"count\": {count}}}")?;
    }
    out.write_all(b"]")
}

/// A border, less what is not in the interval.
fn write_border(out: &mut dyn Write, border: &Value, less: i128) -> io::Result<()> {
    let number = match border {
        // Borders of linear histograms may be negative and still have a unit.
        Value::Symbol { number, .. } => i128::from(number.cast_signed()),
        other => other.number().unwrap_or(0),
    };
    write_number(out, number - less)
}

fn write_series(out: &mut dyn Write, series: &Series) -> io::Result<()> {
    out.write_all(b"[")?;
    let known = series.points.iter().filter_map(|(at, value)| Some((at, value.as_ref()?)));
    for (index, (at, value)) in known.enumerate() {
        let (comma, at) = (if index > 0 { "," } else { "" }, moment(*at));
        write!(out, "{comma}{{\"interval_start\":\"{at}\",\"value\":")?;
        out.write_all(&to_text(value))?;
        out.write_all(b"}")?;
    }
    out.write_all(b"]")
}

#[cfg(test)]
mod tests {
    use super::super::histogram::{log_bucket, log_buckets, logarithmic};
    use super::*;

    fn map(name: &str, content: &MapContent) -> String {
        let mut out = Vec::new();
        write_map(&mut out, name, content).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn keys_of_tuples_have_no_spaces_and_values_do() {
        let key = Value::Tuple(vec![Value::text("bpftrace"), Value::Int(2)]);
        let record = Value::Record(vec![("count".into(), Value::Uint(1))]);
        let of = MapContent::Keyed(vec![(key, Content::Stats(record))]);
        let expected =
            "{\"type\": \"stats\", \"data\": {\"@\": {\"bpftrace,2\": {\"count\": 1}}}}\n";
        assert_eq!(map("@", &of), expected);
    }

    #[test]
    fn histograms_have_closed_intervals() {
        let mut buckets = vec![0; log_buckets(0)];
        buckets[log_bucket(511, 0)] = 1;
        let of = MapContent::Scalar(Content::Histogram(logarithmic(&buckets, 0, 1)));
        assert_eq!(
            map("@h", &of),
            "{\"type\": \"hist\", \"data\": {\"@h\": [{\"min\": 256, \"max\": 511, \"count\": 1}]}}\n"
        );
    }

    #[test]
    fn numbers_that_floats_cannot_hold_are_strings() {
        let mut out = Vec::new();
        write_value(&mut out, &Value::Uint(u64::MAX)).unwrap();
        assert_eq!(out, b"\"18446744073709551615\"");
    }

    #[test]
    fn text_is_escaped() {
        let mut out = Vec::new();
        write_text_record(&mut out, "printf", b"test \r \n \t \\ \" bar\x01").unwrap();
        let expected =
            "{\"type\": \"printf\", \"data\": \"test \\r \\n \\t \\\\ \\\" bar\\u0001\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
