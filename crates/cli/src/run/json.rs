//! The outcome of a run as JSON. Its shape is documented in docs/cli.md and only grows.

use std::io::{self, Write};
use std::sync::PoisonError;

use serde_json::{Value as Json, json};
use skep::abi::Errno;
use skep::load::{Map, clock, to_json};

use super::contents::{self, Shown};
use super::elements::{self, Flow};
use super::report::{Run, per_packet};
use super::side::Side;
use super::verdict;
use crate::hex;
use crate::terminal::Guard;

/// Writes it, a map's element at a time: what a run left may be far more than what is kept in
/// memory for it.
pub fn write(run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = Guard::json(out);
    let out = &mut out as &mut dyn Write;
    writeln!(out, "{{")?;
    member(out, "  ", "object", &run.object.display().to_string().into())?;
    member(out, "  ", "capture", &run.capture.display().to_string().into())?;
    let program = run
        .sides
        .first()
        .map(|side| json!({ "name": side.program().name(), "type": side.prog_type().name() }));
    member(out, "  ", "program", &program.into())?;
    write!(out, "  \"runs\": [")?;
    for (index, of) in run.sides.iter().enumerate() {
        write!(out, "{}", if index > 0 { ", {\n" } else { "{\n" })?;
        side(of, run.show, out)?;
        write!(out, "  }}")?;
    }
    writeln!(out, "],")?;
    if let Some(signal) = run.stopped {
        member(out, "  ", "stopped", &signal.into())?;
    }
    #[cfg(target_os = "linux")]
    if let Some(live) = run.live {
        live.members(out)?;
    }
    if let Some(differences) = run.differences {
        let differences = json!({
            "packets": differences.packets,
            "records": differences.records,
            "printed": differences.printed,
            "maps": differences.maps,
            "described": differences.described,
            "notes": differences.notes,
        });
        member(out, "  ", "differences", &differences)?;
    }
    write!(out, "  \"notes\": ")?;
    serde_json::to_writer(&mut *out, &run.notes)?;
    writeln!(out, "\n}}")?;
    out.flush()
}

/// A member that others follow.
pub fn member(out: &mut dyn Write, indent: &str, name: &str, value: &Json) -> io::Result<()> {
    write!(out, "{indent}\"{name}\": ")?;
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out, ",")
}

fn side(side: &Side, show: usize, out: &mut dyn Write) -> io::Result<()> {
    let tally = &side.tally;
    let verdicts: Vec<Json> = tally
        .verdicts
        .iter()
        .map(|(&retval, &(packets, bytes))| {
            json!({
                "verdict": verdict::name(side.prog_type(), retval),
                "value": retval,
                "packets": packets,
                "bytes": bytes,
            })
        })
        .collect();
    let printed = side.printed.lock().unwrap_or_else(PoisonError::into_inner);
    let rings: Vec<Json> = side
        .rings
        .iter()
        .map(|ring| {
            let records = ring.records.iter().map(|record| shown(&ring.show(record)));
            let records: Vec<Json> = records.collect();
            json!({"map": ring.name(), "count": ring.count, "records": records})
        })
        .collect();
    let compile_ns = (side.name() == "embedded").then_some(tally.compiling.as_nanos() as u64);
    let members = [
        ("kernel", json!(side.name())),
        ("engine", json!(side.engine())),
        ("packets", json!(tally.packets)),
        ("bytes", json!(tally.bytes)),
        ("not_run", json!(tally.outside)),
        ("cut", json!(tally.cut)),
        ("compile_ns", json!(compile_ns)),
        ("ns_per_packet", json!(per_packet(tally))),
        ("verdicts", json!(verdicts)),
        ("printed", json!({"count": printed.count, "lines": printed.lines})),
        ("ring_buffers", json!(rings)),
    ];
    for (name, value) in &members {
        member(out, "    ", name, value)?;
    }
    write!(out, "    \"maps\": [")?;
    let is_told = |map: &&Map| map.name() != clock::MAP && contents::is_listed(map);
    for (index, of) in side.skep().maps().filter(is_told).enumerate() {
        write!(out, "{}", if index > 0 { "," } else { "" })?;
        map(of, show, out)?;
    }
    writeln!(out, "]")
}

/// A map on a line of its own, and its elements on a line each.
pub fn map(map: &Map, show: usize, out: &mut dyn Write) -> io::Result<()> {
    let def = map.def();
    let mut head = json!({
        "name": map.name(),
        "type": def.kind().map(|kind| kind.name()),
        "max_entries": def.max_entries,
    });
    if let Some(section) = def.origin.section() {
        head["section"] = section.into();
    }
    let head = head.to_string();
    write!(out, "\n      {}, ", head.trim_end_matches('}'))?;
    // All elements go out as they are read, in the kernel's order; a few are sorted.
    if show == usize::MAX {
        return all(map, out);
    }
    match elements::excerpt(map, show) {
        Ok(excerpt) => {
            write!(out, "\"elements\": [")?;
            for (index, (key, bytes)) in excerpt.shown.iter().enumerate() {
                line(map, index == 0, key, bytes, out)?;
            }
            write!(out, "], \"count\": {}, \"zeros\": {}}}", excerpt.count, excerpt.zeros)
        }
        Err(errno) => failed(errno, out),
    }
}

fn all(map: &Map, out: &mut dyn Write) -> io::Result<()> {
    let (mut count, mut zeros) = (0u64, 0u64);
    let mut written = Ok(());
    let read = elements::each(map, &mut |key, bytes| {
        let start = if count == 0 { "\"elements\": [" } else { "" };
        written = write!(out, "{start}")
            .and_then(|()| line(map, count == 0, &contents::key(map, key), bytes, out));
        count += 1;
        zeros += u64::from(elements::is_zero(map, bytes));
        if written.is_ok() { Flow::On } else { Flow::Stop }
    });
    written?;
    match read {
        Err(errno) if count == 0 => return failed(errno, out),
        // What was read is there, and why there is no more.
        Err(errno) => write!(out, "], \"error\": {}", json!(errno.to_string()))?,
        Ok(()) if count == 0 => write!(out, "\"elements\": []")?,
        Ok(()) => write!(out, "]")?,
    }
    write!(out, ", \"count\": {count}, \"zeros\": {zeros}}}")
}

fn failed(errno: Errno, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "\"error\": {}}}", json!(errno.to_string()))
}

fn line(
    map: &Map,
    is_first: bool,
    key: &Shown,
    bytes: &[u8],
    out: &mut dyn Write,
) -> io::Result<()> {
    let values: Vec<Shown> =
        map.split_cpus(bytes).iter().map(|bytes| contents::value(map, bytes)).collect();
    let mut element = json!({ "key": shown(key) });
    match &values[..] {
        [one] if !map.is_per_cpu() => element["value"] = shown(one),
        values => {
            element["sum"] = contents::sum(values).as_ref().map_or(Json::Null, to_json);
            element["cpus"] = values.iter().map(shown).collect();
        }
    }
    write!(out, "{}\n        {element}", if is_first { "" } else { "," })
}

pub fn shown(shown: &Shown) -> Json {
    match shown {
        Shown::Value(of) => to_json(of),
        Shown::Bytes(bytes) => format!("hex:{}", hex::plain(bytes)).into(),
    }
}
