//! Values over time: a point a line between two bars, and moments as text.

use std::cmp::Ordering;
use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::text::to_text;
use super::value::{Series, Value};

/// How wide the drawing is, its bars with it.
const WIDTH: usize = 53;
/// Where the name of the left border ends and that of the right one begins.
const PADDING: usize = 21;

/// A moment in full, by this machine's clock: `1970-01-01 00:00:00.500000000`.
pub fn moment(nanos: u64) -> String {
    format!("{}.{:09}", strftime("%Y-%m-%d %H:%M:%S", nanos), nanos % 1_000_000_000)
}

/// A moment by a format of `strftime(3)`, by this machine's clock. `%f` is its microseconds.
/// What is no conversion stays as it is.
pub fn strftime(format: &str, nanos: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = time.to_zoned_datetime(TimeZone::system());
    let format = with_micros(format, nanos);
    let mut text = String::new();
    // Each conversion by itself, so that one which is unknown does not take the rest with it.
    let mut rest = &format[..];
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let len = conversion(&rest[at..]);
        let one = &rest[at..at + len];
        match jiff::fmt::strtime::format(one, &time) {
            Ok(part) => text.push_str(&part),
            Err(_) => text.push_str(one),
        }
        rest = &rest[at + len..];
    }
    text.push_str(rest);
    text
}

/// Puts in the microseconds, which no other `strftime` has.
fn with_micros(format: &str, nanos: u64) -> String {
    let micros = format!("{:06}", nanos / 1000 % 1_000_000);
    let mut text = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let len = conversion(&rest[at..]);
        text.push_str(&rest[..at]);
        match &rest[at..at + len] {
            "%f" => text.push_str(&micros),
            other => text.push_str(other),
        }
        rest = &rest[at + len..];
    }
    text + rest
}

/// The length of a conversion, with its flags and width.
fn conversion(text: &str) -> usize {
    let is_flag = |c: char| matches!(c, '-' | '_' | '^' | '#' | ':' | 'E' | 'O' | '0'..='9');
    let mut chars = text.char_indices().skip(1);
    chars.find(|(_, c)| !is_flag(*c)).map_or(text.len(), |(at, c)| at + c.len_utf8())
}

/// The unit of an interval's moments: its name, how wide it is printed, its nanoseconds.
fn unit(interval: u64) -> (&'static str, usize, u64) {
    match interval {
        1_000_000_000.. => ("", 0, 1_000_000_000),
        1_000_000.. => ("ms", 3, 1_000_000),
        1_000.. => ("μs", 6, 1_000),
        _ => ("ns", 9, 1),
    }
}

/// Draws values over time.
pub fn write_series(out: &mut dyn Write, series: &Series) -> io::Result<()> {
    let known: Vec<&Value> = series.points.iter().filter_map(|(_, value)| value.as_ref()).collect();
    let (Some((first, _)), Some((last, _))) = (series.points.first(), series.points.last()) else {
        return out.write_all(b"<no data>");
    };
    let steps = (series.points.len() as u64 - 1).max(1);
    let (name, digits, scale) = unit((last - first) / steps);
    let (min, max) = borders(&known);
    // The name of the column is as wide as what stands in it.
    let column = if digits == 0 { "hh:mm:ss".into() } else { format!("hh:mm:ss.{name}") };
    let size = 8 + if digits == 0 { 0 } else { 1 + digits };
    let plain = |value: &Value| String::from_utf8_lossy(&to_text(value)).into_owned();
    let ends = format!(
        "{:size$} {:<PADDING$}{:>rest$}\n",
        "",
        plain(&min),
        plain(&max),
        rest = WIDTH - PADDING
    );
    out.write_all(ends.as_bytes())?;
    writeln!(out, "{column:<size$} |{}|", "_".repeat(WIDTH - 2))?;
    let zero = zero_line(&min, &max);
    for (at, value) in &series.points {
        let time = strftime("%H:%M:%S", *at);
        let part = at % 1_000_000_000 / scale;
        let time = if digits == 0 { time } else { format!("{time}.{part:0digits$}") };
        let mut line = [b' '; WIDTH];
        line[0] = b'|';
        line[WIDTH - 1] = b'|';
        if let Some(zero) = zero {
            line[zero] = b'.';
        }
        if let Some(value) = value {
            line[point(value, &min, &max)] = b'*';
        }
        let value = value.as_ref().map_or_else(|| "-".into(), plain);
        writeln!(out, "{time} {} {value}", String::from_utf8_lossy(&line))?;
    }
    writeln!(out, "{:size$} v{}v", "", "_".repeat(WIDTH - 2))?;
    out.write_all(ends.as_bytes())
}

/// The least and the greatest value; one alone gets room on both sides.
fn borders(values: &[&Value]) -> (Value, Value) {
    let less = |a: &&&Value, b: &&&Value| a.order(b).unwrap_or(Ordering::Equal);
    let least = values.iter().min_by(less).map_or(Value::Int(0), |value| (**value).clone());
    let most = values.iter().max_by(less).map_or(Value::Int(0), |value| (**value).clone());
    if least != most {
        return (least, most);
    }
    match least {
        Value::Int(only) => {
            (Value::Int(only.saturating_sub(1)), Value::Int(only.saturating_add(1)))
        }
        Value::Uint(only) => {
            (Value::Uint(only.saturating_sub(1)), Value::Uint(only.saturating_add(1)))
        }
        other => (other.clone(), other),
    }
}

fn number(value: &Value) -> i128 {
    value.number().unwrap_or(0)
}

/// In single precision, as the drawings that people compare with were computed.
fn zero_line(min: &Value, max: &Value) -> Option<usize> {
    let (min, max) = (number(min), number(max));
    if min >= 0 || max <= 0 {
        return None;
    }
    let zero = WIDTH as f32 * (-min) as f32 / (max - min) as f32;
    Some(zero as usize).filter(|zero| (1..WIDTH).contains(zero))
}

fn point(value: &Value, min: &Value, max: &Value) -> usize {
    let (min, max) = (number(min), number(max));
    if min == max {
        return WIDTH / 2;
    }
    let at = (WIDTH - 1) as f32 * (number(value) - min) as f32 / (max - min) as f32;
    (at as usize).min(WIDTH - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_stand_between_the_least_and_the_greatest() {
        let points = [(-5i64, 0u64), (0, 1), (5, 2)];
        let points =
            points.map(|(value, at)| (at * 100_000_000 + 100_000_000, Some(Value::Int(value))));
        let mut out = Vec::new();
        write_series(&mut out, &Series { points: points.to_vec() }).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("{:13}-5{:>51}", "", 5));
        assert_eq!(lines[1], format!("hh:mm:ss.ms  |{}|", "_".repeat(51)));
        let hour = strftime("%H", 0);
        assert_eq!(lines[2], format!("{hour}:00:00.100 *{:25}.{:25}| -5", "", ""));
        assert_eq!(lines[3], format!("{hour}:00:00.200 |{:25}*{:25}| 0", "", ""));
        assert_eq!(lines[4], format!("{hour}:00:00.300 |{:25}.{:25}* 5", "", ""));
        assert_eq!(lines[5], format!("{:13}v{}v", "", "_".repeat(51)));
        assert_eq!(lines.len(), 7);
    }

    #[test]
    fn microseconds_have_a_conversion() {
        assert_eq!(strftime("%s.%f", 1_000_123_000), "1.000123");
        assert_eq!(strftime("%f%%", 0), "000000%");
        assert_eq!(strftime("a %! b", 0), "a %! b");
    }

    #[test]
    fn nothing_is_said_where_nothing_is() {
        let mut out = Vec::new();
        write_series(&mut out, &Series::default()).unwrap();
        assert_eq!(out, b"<no data>");
    }
}
