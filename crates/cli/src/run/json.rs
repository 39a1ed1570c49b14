//! The outcome of a run as JSON. Its shape is documented in docs/cli.md and only grows.

use std::io::{self, Write};
use std::sync::PoisonError;

use serde_json::{Value as Json, json};
use skep::load::{Map, clock, to_json};

use super::contents::{self, Shown};
use super::report::{Run, per_packet};
use super::side::Side;
use super::verdict;
use crate::hex;

/// Writes it.
pub fn write(run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
    let sides: Vec<Json> = run.sides.iter().map(side).collect();
    let mut json = json!({
        "object": run.object.display().to_string(),
        "capture": run.capture.display().to_string(),
        "program": run.sides.first().map(|side| json!({
            "name": side.program().name(),
            "type": side.prog_type().name(),
        })),
        "runs": sides,
        "notes": run.notes,
    });
    if let Some(signal) = run.stopped {
        json["stopped"] = signal.into();
    }
    if let Some(differences) = run.differences {
        json["differences"] = json!({
            "packets": differences.packets,
            "records": differences.records,
            "printed": differences.printed,
            "maps": differences.maps,
            "described": differences.described,
            "notes": differences.notes,
        });
    }
    serde_json::to_writer_pretty(&mut *out, &json)?;
    writeln!(out)
}

fn side(side: &Side) -> Json {
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
    let is_told = |map: &&Map| map.name() != clock::MAP && contents::is_listed(map);
    json!({
        "kernel": side.name(),
        "engine": side.engine(),
        "packets": tally.packets,
        "bytes": tally.bytes,
        "not_run": tally.outside,
        "cut": tally.cut,
        "compile_ns": (side.name() == "embedded").then_some(tally.compiling.as_nanos() as u64),
        "ns_per_packet": per_packet(tally),
        "verdicts": verdicts,
        "printed": {"count": printed.count, "lines": printed.lines},
        "ring_buffers": rings,
        "maps": side.skep().maps().filter(is_told).map(map).collect::<Vec<_>>(),
    })
}

fn map(map: &Map) -> Json {
    let def = map.def();
    let mut json = json!({
        "name": map.name(),
        "type": def.kind().map(|kind| kind.name()),
        "max_entries": def.max_entries,
    });
    if let Some(section) = def.origin.section() {
        json["section"] = section.into();
    }
    match contents::read(map) {
        Ok(elements) => {
            let elements = contents::sorted(map, &elements);
            json["elements"] = elements
                .iter()
                .map(|(key, _, bytes)| {
                    let values: Vec<Shown> = map
                        .split_cpus(bytes)
                        .iter()
                        .map(|bytes| contents::value(map, bytes))
                        .collect();
                    let mut element = json!({ "key": shown(key) });
                    match &values[..] {
                        [one] if !map.is_per_cpu() => element["value"] = shown(one),
                        values => {
                            element["sum"] =
                                contents::sum(values).as_ref().map_or(Json::Null, to_json);
                            element["cpus"] = values.iter().map(shown).collect();
                        }
                    }
                    element
                })
                .collect();
        }
        Err(errno) => json["error"] = errno.to_string().into(),
    }
    json
}

fn shown(shown: &Shown) -> Json {
    match shown {
        Shown::Value(of) => to_json(of),
        Shown::Bytes(bytes) => format!("hex:{}", hex::plain(bytes)).into(),
    }
}
