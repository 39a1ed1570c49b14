//! Values and maps as text, as bpftrace writes them.

use std::io::{self, Write};

use super::histogram::write_histogram;
use super::series::write_series;
use super::value::{Content, MapContent, Value};

/// Writes one value.
pub fn write_value(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    match value {
        Value::None => out.write_all(b"null"),
        Value::Bool(bit) => write!(out, "{bit}"),
        Value::Int(number) => write!(out, "{number}"),
        Value::Uint(number) => write!(out, "{number}"),
        Value::Text(text) | Value::Symbol { text, .. } => out.write_all(text),
        Value::Buffer(bytes) => write_buffer(out, bytes, Bytes::Plain),
        Value::Array(values) => write_all(out, values, "[", ",", "]"),
        Value::Tuple(values) => write_all(out, values, "(", ", ", ")"),
        Value::Record(fields) if fields.is_empty() => out.write_all(b"{}"),
        Value::Record(fields) => {
            for (index, (name, value)) in fields.iter().enumerate() {
                write!(out, "{}.{name} = ", if index == 0 { "{ " } else { ", " })?;
                write_value(out, value)?;
            }
            out.write_all(b" }")
        }
    }
}

fn write_all(
    out: &mut dyn Write,
    values: &[Value],
    open: &str,
    between: &str,
    close: &str,
) -> io::Result<()> {
    out.write_all(open.as_bytes())?;
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.write_all(between.as_bytes())?;
        }
        write_value(out, value)?;
    }
    out.write_all(close.as_bytes())
}

/// How bytes are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bytes {
    /// `%r`: what can be printed as it is, the rest as `\x00`.
    Plain,
    /// `%rx`: each as `\x00`.
    Escaped,
    /// `%rh`: each as two digits, with spaces between.
    Spaced,
}

/// Writes bytes.
pub fn write_buffer(out: &mut dyn Write, bytes: &[u8], how: Bytes) -> io::Result<()> {
    for (index, byte) in bytes.iter().enumerate() {
        match how {
            Bytes::Plain if (32..=126).contains(byte) => out.write_all(&[*byte])?,
            Bytes::Plain | Bytes::Escaped => write!(out, "\\x{byte:02x}")?,
            Bytes::Spaced if index > 0 => write!(out, " {byte:02x}")?,
            Bytes::Spaced => write!(out, "{byte:02x}")?,
        }
    }
    Ok(())
}

/// A value as text.
pub fn to_text(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    // Writing into memory does not fail.
    let _ = write_value(&mut text, value);
    text
}

/// A key as it stands between brackets: a tuple's parentheses are left out.
pub fn key_text(key: &Value) -> Vec<u8> {
    let mut text = to_text(key);
    if text.len() >= 2 && text.first() == Some(&b'(') && text.last() == Some(&b')') {
        text.pop();
        text.remove(0);
    }
    text
}

/// Writes a map, called by its name with its `@`.
pub fn write_map(out: &mut dyn Write, name: &str, map: &MapContent) -> io::Result<()> {
    match map {
        MapContent::Scalar(content) => {
            write!(out, "{name}:")?;
            write_content(out, content)
        }
        MapContent::Keyed(elements) => {
            for (key, content) in elements {
                write!(out, "{name}[")?;
                out.write_all(&key_text(key))?;
                out.write_all(b"]:")?;
                write_content(out, content)?;
            }
            Ok(())
        }
    }
}

/// What stands behind the colon.
fn write_content(out: &mut dyn Write, content: &Content) -> io::Result<()> {
    match content {
        Content::One(value) | Content::Stats(value) => {
            out.write_all(b" ")?;
            write_value(out, value)?;
            out.write_all(b"\n")
        }
        Content::Histogram(histogram) => {
            out.write_all(b"\n")?;
            write_histogram(out, histogram)?;
            out.write_all(b"\n")
        }
        Content::Series(series) => {
            out.write_all(b"\n")?;
            write_series(out, series)?;
            out.write_all(b"\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &Value) -> String {
        String::from_utf8(to_text(value)).unwrap()
    }

    #[test]
    fn compounds_differ_in_brackets_and_spaces() {
        let (one, two) = (Value::Int(1), Value::text("two"));
        let array = Value::Array(vec![one.clone(), Value::Int(2)]);
        let tuple = Value::Tuple(vec![one.clone(), Value::Tuple(vec![two.clone(), array])]);
        assert_eq!(text(&tuple), "(1, (two, [1,2]))");
        let inner = Value::Record(vec![("x".into(), one.clone()), ("y".into(), two)]);
        let record = Value::Record(vec![("a".into(), one), ("e".into(), inner)]);
        assert_eq!(text(&record), "{ .a = 1, .e = { .x = 1, .y = two } }");
        assert_eq!(text(&Value::Record(vec![])), "{}");
    }

    #[test]
    fn bytes_are_written_in_three_ways() {
        let write = |how| {
            let mut out = Vec::new();
            write_buffer(&mut out, b"Hi\0", how).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(Bytes::Plain), "Hi\\x00");
        assert_eq!(write(Bytes::Escaped), "\\x48\\x69\\x00");
        assert_eq!(write(Bytes::Spaced), "48 69 00");
    }

    #[test]
    fn keys_lose_a_tuples_parentheses() {
        let key = Value::Tuple(vec![Value::Int(1), Value::text("a")]);
        let map = MapContent::Keyed(vec![(key, Content::One(Value::Uint(3)))]);
        let mut out = Vec::new();
        write_map(&mut out, "@m", &map).unwrap();
        assert_eq!(out, b"@m[1, a]: 3\n");
    }
}
