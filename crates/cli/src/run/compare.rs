//! Where two kernels differ: verdicts, packets, records, and at last maps.

use std::sync::PoisonError;

use skep::abi::MapType;
use skep::load::clock;

use super::contents::{self, Elements};
use super::elements;
use super::side::Side;
use super::verdict;
use crate::failure::Failure;
use crate::hex;

/// How many differences are described; all are counted.
const DESCRIBED: usize = 8;

/// The differences of a run.
#[derive(Debug, Default)]
pub struct Differences {
    /// Packets with another verdict or other bytes.
    pub packets: u64,
    /// Ring buffers' records that differ.
    pub records: u64,
    /// Printed lines that differ.
    pub printed: u64,
    /// Maps that differ.
    pub maps: u64,
    /// Their names, and those of maps that could not be compared.
    pub unequal: Vec<String>,
    /// The first of all differences.
    pub described: Vec<String>,
    /// Maps that were not compared, and why.
    pub notes: Vec<String>,
    /// What the first side said of the last packet.
    pub last: Option<u32>,
}

impl Differences {
    /// All of them.
    pub fn count(&self) -> u64 {
        self.packets + self.records + self.printed + self.maps
    }

    fn describe(&mut self, what: impl FnOnce() -> String) {
        if self.described.len() < DESCRIBED {
            self.described.push(what());
        }
    }
}

/// Compares what the sides made of a packet.
pub fn packet(sides: &mut [Side], verdicts: &[u32], number: u64, differences: &mut Differences) {
    let [one, other] = sides else { return };
    let &[mine, theirs] = verdicts else { return };
    if mine != theirs {
        differences.packets += 1;
        differences.describe(|| {
            let said = |retval| verdict::exact(one.prog_type(), retval);
            let (left, right) = (said(mine), said(theirs));
            format!("packet {number}: {} {left}, {} {right}", one.name(), other.name())
        });
    } else if one.packet() != other.packet() {
        differences.packets += 1;
        differences.describe(|| {
            let (left, right) = (one.packet(), other.packet());
            let at = left.iter().zip(right).take_while(|(left, right)| left == right).count();
            let (left_at, right_at) = (from(left, at), from(right, at));
            format!(
                "packet {number}: from byte {at} on: {} {left_at}, {} {right_at}",
                one.name(),
                other.name()
            )
        });
    }
    printed(one, other, number, differences);
    for (left, right) in one.rings.iter_mut().zip(&mut other.rings) {
        loop {
            let (record, counterpart) = (left.fresh.pop_front(), right.fresh.pop_front());
            match (record, counterpart) {
                (None, None) => break,
                (record, counterpart) if record == counterpart => {}
                (record, counterpart) => {
                    differences.records += 1;
                    let shown = |bytes: Option<Vec<u8>>| match bytes {
                        Some(bytes) => format!("hex:{}", hex::plain(&bytes)),
                        None => "nothing".into(),
                    };
                    let name = left.name().to_owned();
                    differences.describe(|| {
                        let (left, right) = (shown(record), shown(counterpart));
                        format!("packet {number}: record in {name}: {left}, and {right}")
                    });
                }
            }
        }
    }
}

/// Compares what the sides printed, where that is known of both.
fn printed(one: &Side, other: &Side, number: u64, differences: &mut Differences) {
    let fresh = |side: &Side| {
        let mut printed = side.printed.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut printed.fresh)
    };
    let (mut mine, mut theirs) = (fresh(one), fresh(other));
    if !one.is_heard() || !other.is_heard() {
        return;
    }
    loop {
        match (mine.pop_front(), theirs.pop_front()) {
            (None, None) => break,
            (line, counterpart) if line == counterpart => {}
            (line, counterpart) => {
                differences.printed += 1;
                let shown = |line: Option<String>| match line {
                    Some(line) => format!("{line:?}"),
                    None => "nothing".into(),
                };
                differences.describe(|| {
                    let (left, right) = (shown(line), shown(counterpart));
                    let (one, other) = (one.name(), other.name());
                    format!("packet {number}: printed: {one} {left}, {other} {right}")
                });
            }
        }
    }
}

/// Some bytes from a place on, and how many there are in all.
fn from(bytes: &[u8], at: usize) -> String {
    let end = bytes.len().min(at + 16);
    format!("{} ({} bytes in all)", hex::spaced(&bytes[at.min(end)..end]), bytes.len())
}

/// Compares the maps once all packets are through.
///
/// # Errors
/// None that a map's own refusal to be read would be: those are not compared.
pub fn maps(sides: &[Side], differences: &mut Differences) -> Result<(), Failure> {
    let [one, other] = sides else { return Ok(()) };
    for left in one.skep().maps() {
        let name = left.name();
        // Each kernel may have been left without one that no program uses.
        let Some(right) = other.skep().map(name) else { continue };
        let holds_numbers = !matches!(
            left.def().kind(),
            Some(MapType::ProgArray | MapType::ArrayOfMaps | MapType::HashOfMaps)
        );
        if !contents::is_listed(left) || !holds_numbers || name == clock::MAP {
            continue;
        }
        if contents::is_array(left) {
            arrays((left, right), (one.name(), other.name()), differences);
            continue;
        }
        // Queues are emptied by reading them; the report shows that they were.
        let (Ok(mine), Ok(theirs)) = (contents::read(left), contents::read(right)) else {
            differences.notes.push(format!("map {name} cannot be read, and is not compared"));
            differences.unequal.push(name.to_owned());
            continue;
        };
        let most = mine.len().max(theirs.len());
        let evicts = matches!(left.def().kind(), Some(MapType::LruHash | MapType::LruPercpuHash));
        if evicts && most * 2 > left.def().max_entries as usize {
            differences.notes.push(format!(
                "map {name} is more than half full, where Linux evicts early: not compared"
            ));
            differences.unequal.push(name.to_owned());
            continue;
        }
        if mine != theirs {
            differences.maps += 1;
            differences.unequal.push(name.to_owned());
            differences
                .describe(|| first_difference(left, &mine, &theirs, (one.name(), other.name())));
        }
    }
    Ok(())
}

/// Compares two arrays without keeping either.
fn arrays(
    (left, right): (&skep::load::Map, &skep::load::Map),
    names: (&str, &str),
    differences: &mut Differences,
) {
    let (mut mine, mut theirs) = (Elements::new(), Elements::new());
    let mut count = 0;
    let compared = elements::both(left, right, &mut |key, one, other| {
        if one != other {
            if count == 0 {
                mine.insert(key.to_vec(), one.to_vec());
                theirs.insert(key.to_vec(), other.to_vec());
            }
            count += 1;
        }
    });
    if compared.is_err() {
        let name = left.name();
        differences.notes.push(format!("map {name} cannot be read, and is not compared"));
    } else if count > 0 {
        differences.maps += 1;
        differences.unequal.push(left.name().to_owned());
        differences.describe(|| difference(left, &mine, &theirs, names, count));
    }
}

fn first_difference(
    map: &skep::load::Map,
    mine: &Elements,
    theirs: &Elements,
    (one, other): (&str, &str),
) -> String {
    let differ = |key: &&Vec<u8>| mine.get(*key) != theirs.get(*key);
    let keys = mine.keys().chain(theirs.keys());
    let count = keys.filter(differ).collect::<std::collections::BTreeSet<_>>().len();
    difference(map, mine, theirs, (one, other), count)
}

/// The first element that differs, and of how many.
fn difference(
    map: &skep::load::Map,
    mine: &Elements,
    theirs: &Elements,
    (one, other): (&str, &str),
    count: usize,
) -> String {
    let differ = |key: &&Vec<u8>| mine.get(*key) != theirs.get(*key);
    let Some(key) = mine.keys().chain(theirs.keys()).find(differ) else { return String::new() };
    let shown = |elements: &Elements| match elements.get(key) {
        Some(bytes) => {
            let cpus = map.split_cpus(bytes);
            let values: Vec<String> =
                cpus.iter().map(|bytes| contents::value(map, bytes).to_string()).collect();
            values.join(" | ")
        }
        None => "nothing".into(),
    };
    let name = map.name();
    let key = contents::key(map, key);
    let (mine, theirs) = (shown(mine), shown(theirs));
    format!("map {name}: {count} elements differ, first {key}: {one} {mine}, {other} {theirs}")
}
