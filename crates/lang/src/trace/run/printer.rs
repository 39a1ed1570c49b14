//! Where a script's output goes, as text or as lines of JSON.

use std::io::{self, Write};

use super::super::output::value::{MapContent, Value};
use super::super::output::{json, text};

/// A script's output, and what is said beside it.
pub struct Printer<'a> {
    /// What the script prints.
    pub out: &'a mut dyn Write,
    /// What is said about it.
    pub err: &'a mut dyn Write,
    /// Lines of JSON instead of text.
    pub json: bool,
}

impl Printer<'_> {
    /// Bytes as they are.
    pub fn plain(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text)
    }

    /// Text of a kind: `printf`, `time`, `cat`.
    pub fn text(&mut self, kind: &str, bytes: &[u8]) -> io::Result<()> {
        match self.json {
            true => json::write_text_record(self.out, kind, bytes),
            false => self.out.write_all(bytes),
        }
    }

    /// Text of a kind that is a line of its own: `join`, `syscall`.
    pub fn line(&mut self, kind: &str, bytes: &[u8]) -> io::Result<()> {
        match self.json {
            true => json::write_text_record(self.out, kind, bytes),
            false => {
                self.out.write_all(bytes)?;
                self.out.write_all(b"\n")
            }
        }
    }

    /// A value.
    pub fn value(&mut self, value: &Value) -> io::Result<()> {
        if self.json {
            return json::write_record(self.out, "value", |out| json::write_value(out, value));
        }
        text::write_value(self.out, value)?;
        self.out.write_all(b"\n")
    }

    /// A map.
    pub fn map(&mut self, name: &str, map: &MapContent) -> io::Result<()> {
        match self.json {
            true => json::write_map(self.out, name, map),
            false => text::write_map(self.out, name, map),
        }
    }

    /// How many probes are attached.
    pub fn attached(&mut self, count: usize) -> io::Result<()> {
        if self.json {
            let (kind, data) = ("attached_probes", format!("{{\"probes\": {count}}}"));
            return writeln!(
                self.out,
                "{{\"type\": \"{kind}\", \"count\": {count}, \"data\": {data}}}"
            );
        }
        let s = if count == 1 { "" } else { "s" };
        writeln!(self.err, "Attached {count} probe{s}")
    }

    /// How many records were lost, and whose.
    pub fn lost(&mut self, count: u64, by_program: &[(String, u64)]) -> io::Result<()> {
        if self.json {
            writeln!(
                self.out,
                "{{\"type\": \"lost_events\", \"count\": {count}, \"data\": {{\"events\": {count}}}}}"
            )?;
        }
        let all: Vec<String> =
            by_program.iter().map(|(name, count)| format!("{count} of {name}")).collect();
        writeln!(self.err, "WARNING: Total lost event count: {count} ({})", all.join(", "))
    }

    /// Something about the script, beside its output.
    pub fn message(&mut self, text: &str) -> io::Result<()> {
        self.out.flush()?;
        self.err.write_all(text.as_bytes())
    }

    /// The events are over; what comes are maps.
    pub fn end(&mut self) -> io::Result<()> {
        if self.json { Ok(()) } else { self.out.write_all(b"\n\n") }
    }

    /// Hands on what was written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
