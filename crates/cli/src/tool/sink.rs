//! Takes what a script prints, as lines of JSON, and writes it as the tool does.

use std::io::{self, Write};

use serde_json::Value;

use super::compose::{END, TICK};
use super::flags::Given;
use super::rows::{Rows, header};
use super::shape::{Counted, Shape};
use super::summary::Summary;
use super::table::Tool;
use super::values::{Maps, clock};
use crate::terminal::clean;

/// What stands between a script and the output.
pub struct Sink<'a> {
    tool: &'static Tool,
    given: &'a Given,
    out: &'a mut dyn Write,
    line: Vec<u8>,
    rows: Rows,
    maps: Maps,
}

impl<'a> Sink<'a> {
    /// For a tool's output to `out`.
    pub fn new(tool: &'static Tool, given: &'a Given, out: &'a mut dyn Write) -> Sink<'a> {
        Sink { tool, given, out, line: Vec::new(), rows: Rows::default(), maps: Maps::new() }
    }

    /// The end of all: what was counted of rows.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Shape::Rows { .. } = self.tool.shape {
            self.rows.finish(self.tool, self.given, self.out)?;
        }
        self.out.flush()
    }

    fn record(&mut self, record: &Value) -> io::Result<()> {
        let data = &record["data"];
        match record["type"].as_str().unwrap_or_default() {
            "attached_probes" if !self.given.json => self.header(),
            "printf" | "time" => self.text(data.as_str().unwrap_or_default()),
            "map" | "hist" | "stats" => {
                let maps = data.as_object().into_iter().flatten();
                self.maps.extend(maps.map(|(name, content)| (name.clone(), content.clone())));
                Ok(())
            }
            "value" => match data {
                Value::Object(row) => self.rows.row(self.tool, self.given, row.clone(), self.out),
                Value::String(text) if text == TICK || text == END => self.summary(),
                Value::String(text) => self.text(text),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What stands in front of all output.
    fn header(&mut self) -> io::Result<()> {
        match self.tool.shape {
            Shape::Rows { columns, banner } => {
                let least = self.given.value("least").unwrap_or("10");
                header(columns, &banner.replace("{least}", least), self.given, self.out)?;
            }
            Shape::Histogram { banner, .. } | Shape::Lines { banner } => {
                if !banner.is_empty() {
                    writeln!(self.out, "{banner}")?;
                }
            }
            Shape::Counts(Counted::Calls) => {
                let kind = if self.given.has("failures") { "failed " } else { "" };
                let top = self.given.number("top").unwrap_or(10);
                writeln!(
                    self.out,
                    "Tracing {kind}syscalls, printing top {top}... Ctrl+C to quit."
                )?;
            }
            Shape::Counts(Counted::Probes) => {
                let what = self.given.patterns.join(", ");
                writeln!(self.out, "Tracing {}... Hit Ctrl-C to end.", clean(&what))?;
            }
            Shape::Stacks { .. } if self.given.has("folded") => {}
            Shape::Stacks { samples: true } => {
                let hz = self.given.number("frequency").unwrap_or(49);
                writeln!(
                    self.out,
                    "Sampling at {hz} Hertz of all threads by stack... Hit Ctrl-C to end."
                )?;
            }
            Shape::Stacks { samples: false } => {
                let what = self.given.patterns.join(", ");
                writeln!(self.out, "Tracing {}... Hit Ctrl-C to end.", clean(&what))?;
            }
            Shape::Cache => {
                if self.given.has("timestamp") {
                    write!(self.out, "{:8} ", "TIME")?;
                }
                writeln!(
                    self.out,
                    "{:>8} {:>8} {:>8} {:>8} {:>12} {:>10}",
                    "HITS", "MISSES", "DIRTIES", "HITRATIO", "BUFFERS_MB", "CACHED_MB"
                )?;
            }
            Shape::Percentiles { .. } => {}
        }
        self.out.flush()
    }

    /// Text as the script made it, without anything that a terminal obeys.
    fn text(&mut self, text: &str) -> io::Result<()> {
        for line in text.split_inclusive('\n') {
            let (line, end) = match line.strip_suffix('\n') {
                Some(line) => (line, "\n"),
                None => (line, ""),
            };
            write!(self.out, "{}{end}", clean(line))?;
        }
        Ok(())
    }

    /// What maps hold, as the tool shows it.
    fn summary(&mut self) -> io::Result<()> {
        let maps = std::mem::take(&mut self.maps);
        if self.given.json && !matches!(self.tool.shape, Shape::Percentiles { .. }) {
            let mut all = serde_json::Map::new();
            all.insert("time".into(), clock().into());
            all.extend(
                maps.into_iter().map(|(name, of)| (name.trim_start_matches('@').to_owned(), of)),
            );
            return writeln!(self.out, "{}", Value::Object(all));
        }
        let mut summary =
            Summary { tool: self.tool, given: self.given, maps: &maps, out: self.out };
        summary.write()?;
        self.out.flush()
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            // What a command prints to the same place is not ours to read.
            if let Ok(record) = serde_json::from_slice::<Value>(&line) {
                self.record(&record)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
