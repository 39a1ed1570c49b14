//! What maps hold, as tools show it: histograms, percentiles, counts, stacks, the page cache.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::flags::Given;
use super::shape::{Counted, Shape};
use super::table::Tool;
use super::values::{Maps, clock, number};
use crate::terminal::clean;

/// One output of a tool that counts.
pub struct Summary<'a> {
    /// The tool.
    pub tool: &'static Tool,
    /// Its command line.
    pub given: &'a Given,
    /// What its script printed.
    pub maps: &'a Maps,
    /// Where it goes.
    pub out: &'a mut dyn Write,
}

/// Where an interval of a histogram begins and ends, and what fell into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bucket {
    first: i64,
    last: i64,
    count: i64,
}

fn buckets(content: &Value) -> Vec<Bucket> {
    let bucket = |of: &Value| Bucket {
        first: number(of.get("min")),
        last: of.get("max").map_or(i64::MAX, |last| number(Some(last))),
        count: number(of.get("count")),
    };
    content.as_array().into_iter().flatten().map(bucket).collect()
}

impl Summary<'_> {
    /// Writes it.
    pub fn write(&mut self) -> io::Result<()> {
        match self.tool.shape {
            Shape::Histogram { map, .. } => self.histograms(map),
            Shape::Percentiles { map } => self.percentiles(map),
            Shape::Counts(Counted::Probes) => self.probes(),
            Shape::Counts(Counted::Calls) => self.calls(),
            Shape::Stacks { samples } => self.stacks(samples),
            Shape::Cache => self.cache(),
            Shape::Rows { .. } | Shape::Lines { .. } => Ok(()),
        }
    }

    /// The elements of a map.
    fn elements(&self, map: &str) -> Vec<(&str, &Value)> {
        let of = self.maps.get(map).and_then(Value::as_object);
        of.into_iter().flatten().map(|(key, value)| (key.as_str(), value)).collect()
    }

    fn time(&mut self) -> io::Result<()> {
        match self.given.has("timestamp") {
            true => writeln!(self.out, "{:8}", clock()),
            false => Ok(()),
        }
    }

    fn histograms(&mut self, map: &str) -> io::Result<()> {
        let label = if self.given.has("milliseconds") { "msecs" } else { "usecs" };
        let section =
            ["disks", "flags", "pids", "tids"].into_iter().find(|flag| self.given.has(flag));
        let mut by_section: BTreeMap<String, Vec<Bucket>> = BTreeMap::new();
        for (key, content) in self.elements(map) {
            let (first, rest) = key.split_once(',').unwrap_or((key, ""));
            let key = match section {
                None => "",
                Some("disks") => rest,
                Some(_) => first,
            };
            by_section.entry(key.to_owned()).or_default().extend(buckets(content));
        }
        writeln!(self.out)?;
        self.time()?;
        for (key, buckets) in &by_section {
            match section {
                None => {}
                Some("disks") => writeln!(self.out, "\ndisk = {}", clean(key))?,
                Some("flags") => {
                    let flags = key.parse().unwrap_or(0);
                    writeln!(self.out, "\nflags = {}", flags_name(flags))?;
                }
                Some(_) => writeln!(self.out, "\npid = {key}")?,
            }
            histogram(label, buckets, self.out)?;
        }
        if self.given.has("extension") {
            let total: i64 = self.elements("@sums").iter().map(|(_, sum)| number(Some(sum))).sum();
            let count: i64 = by_section.values().flatten().map(|bucket| bucket.count).sum();
            let average = total / count.max(1);
            writeln!(
                self.out,
                "\navg = {average} {label}, total: {total} {label}, count: {count}\n"
            )?;
        }
        Ok(())
    }

    fn percentiles(&mut self, map: &str) -> io::Result<()> {
        let wanted = self.given.value("pcts").unwrap_or("1,5,10,16,25,50,75,84,90,95,99,100");
        let wanted: Vec<&str> = wanted.split(',').map(str::trim).collect();
        let device = self.given.value("device").unwrap_or("all");
        let kinds = ["read", "write", "flush", "discard"];
        let mut by_kind: [Vec<Bucket>; 4] = Default::default();
        for (key, content) in self.elements(map) {
            if let Some(of) = key.parse::<usize>().ok().and_then(|kind| by_kind.get_mut(kind)) {
                of.extend(buckets(content));
            }
        }
        let micros =
            |kind: usize, part: &str| percentile(&by_kind[kind], part.parse().unwrap_or(0.0));
        let shown = [0, 1, 3, 2];
        if self.given.json {
            let row = |kind: &usize| {
                let of = wanted
                    .iter()
                    .map(|part| ((*part).to_owned(), json!(micros(*kind, part) as f64 / 1e6)));
                (kinds[*kind].to_owned(), Value::Object(of.collect()))
            };
            return writeln!(self.out, "{}", Value::Object(shown.iter().map(row).collect()));
        }
        let cells =
            |of: Vec<String>| of.iter().map(|cell| format!(" {cell:>5}")).collect::<String>();
        let titles = cells(wanted.iter().map(|part| format!("p{part}")).collect());
        writeln!(self.out, "{:7}{titles}", clean(device))?;
        for kind in shown {
            let row = cells(wanted.iter().map(|part| short_time(micros(kind, part))).collect());
            writeln!(self.out, "{:7}{row}", kinds[kind])?;
        }
        writeln!(self.out)
    }

    fn probes(&mut self) -> io::Result<()> {
        let mut hits: Vec<(String, i64)> = self
            .elements("@hits")
            .iter()
            .map(|(key, count)| (probe(key), number(Some(count))))
            .collect();
        hits.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        writeln!(self.out)?;
        self.time()?;
        writeln!(self.out, "{:36} {:>8}", "FUNC", "COUNT")?;
        for (name, count) in hits {
            writeln!(self.out, "{:36} {count:8}", clean(&name))?;
        }
        Ok(())
    }

    fn calls(&mut self) -> io::Result<()> {
        let by_process = self.given.has("process");
        let (counts, times) = match by_process {
            true => ("@processes", "@process_time"),
            false => ("@calls", "@call_time"),
        };
        let times: BTreeMap<&str, i64> =
            self.elements(times).into_iter().map(|(key, time)| (key, number(Some(time)))).collect();
        let mut rows: Vec<(&str, i64, i64)> = self
            .elements(counts)
            .into_iter()
            .map(|(key, count)| (key, number(Some(count)), times.get(key).copied().unwrap_or(0)))
            .collect();
        let latency = self.given.has("latency");
        rows.sort_by_key(|(_, count, time)| {
            std::cmp::Reverse(if latency { *time } else { *count })
        });
        let top = self.given.number("top").and_then(|top| usize::try_from(top).ok()).unwrap_or(10);
        rows.truncate(top);
        let names = self.maps.get("@names");
        let name = |key: &str| match by_process {
            true => {
                let name = names.and_then(|names| names.get(key)).and_then(Value::as_str);
                format!("{key:6} {:15}", clean(name.unwrap_or("[unknown]")))
            }
            false => clean(key).into_owned(),
        };
        let title = if by_process { "PID    COMM" } else { "SYSCALL" };
        let mut text = format!("[{}]\n{title:22} {:>8}", clock(), "COUNT");
        let millis = self.given.has("milliseconds");
        if latency {
            text += &format!(" {:>16}", if millis { "TIME (ms)" } else { "TIME (us)" });
        }
        for (key, count, time) in rows {
            text += &format!("\n{:22} {count:8}", name(key));
            match (latency, millis) {
                (false, _) => {}
                (true, true) => text += &format!(" {:16.6}", time as f64 / 1e6),
                (true, false) => text += &format!(" {:16.3}", time as f64 / 1e3),
            }
        }
        writeln!(self.out, "{text}\n")
    }

    fn stacks(&mut self, samples: bool) -> io::Result<()> {
        let mut all: Vec<Stack> = Vec::new();
        for map in ["@kernel", "@user", "@both"] {
            all.extend(
                self.elements(map)
                    .into_iter()
                    .map(|(key, count)| Stack::read(map, key, number(Some(count)))),
            );
        }
        all.sort_by_key(|stack| stack.count);
        self.time()?;
        let names = self.maps.get("@names");
        for stack in &all {
            let name = names.and_then(|names| names.get(&stack.process)).and_then(Value::as_str);
            let name = clean(name.unwrap_or("")).into_owned();
            if self.given.has("folded") {
                let note = if self.given.has("annotations") { "_[k]" } else { "" };
                let user = stack.user.iter().rev().cloned();
                let between = self.given.has("delimited")
                    && !stack.user.is_empty()
                    && !stack.kernel.is_empty();
                let kernel = stack.kernel.iter().rev().map(|frame| format!("{frame}{note}"));
                let mut frames: Vec<String> = Vec::new();
                frames.extend((!name.is_empty()).then(|| name.clone()));
                frames.extend(user);
                frames.extend(between.then(|| "-".to_owned()));
                frames.extend(kernel);
                writeln!(self.out, "{} {}", clean(&frames.join(";")), stack.count)?;
                continue;
            }
            let indent = if samples { "    " } else { "  " };
            let mut text = String::new();
            for frame in &stack.kernel {
                text += &format!("{indent}{}\n", clean(frame));
            }
            if self.given.has("delimited") && !stack.kernel.is_empty() && !stack.user.is_empty() {
                text += "    --\n";
            }
            for frame in &stack.user {
                text += &format!("{indent}{}\n", clean(frame));
            }
            match samples {
                true => {
                    text += &format!(
                        "    {:16} {name} ({})\n        {}\n",
                        "-", stack.process, stack.count
                    )
                }
                false if self.given.has("perpid") => {
                    text += &format!("    {name} [{}]\n    {}\n", stack.process, stack.count);
                }
                false => text += &format!("    {}\n", stack.count),
            }
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    fn cache(&mut self) -> io::Result<()> {
        let of = |map: &str| number(self.maps.get(map));
        let (asked, missed, dirtied) = (of("@asked"), of("@missed"), of("@dirtied"));
        // What is read ahead is added without being asked for.
        let hits = (asked - missed).max(0);
        let ratio = if asked > 0 { hits as f64 * 100.0 / asked.max(hits) as f64 } else { 0.0 };
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let megabytes = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kilobytes =
                line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kilobytes.unwrap_or(0) / 1024
        };
        let (buffers, cached) = (megabytes("Buffers"), megabytes("Cached"));
        if self.given.has("timestamp") {
            write!(self.out, "{:8} ", clock())?;
        }
        writeln!(self.out, "{hits:8} {missed:8} {dirtied:8} {ratio:7.2}% {buffers:12} {cached:10}")
    }
}

/// Writes a histogram of powers of two as bcc does: what is 0 stands with what is 1.
fn histogram(label: &str, buckets: &[Bucket], out: &mut dyn Write) -> io::Result<()> {
    let slot = |value: i64| if value < 2 { 0 } else { value.ilog2() as usize };
    let mut counts: Vec<i64> = Vec::new();
    for bucket in buckets.iter().filter(|bucket| bucket.count > 0) {
        let slot = slot(bucket.first);
        counts.resize(counts.len().max(slot + 1), 0);
        counts[slot] += bucket.count;
    }
    if counts.is_empty() {
        return Ok(());
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    // Where numbers have many digits, stars have less room.
    let (digits, room) = if counts.len() > 32 { (20, 20) } else { (10, 40) };
    let title = 2 * digits - 1;
    writeln!(out, "     {label:title$} : count     distribution")?;
    for (slot, count) in counts.into_iter().enumerate() {
        let first = if slot == 0 { 0 } else { 1_i64 << slot };
        let last = ((1_i128 << (slot + 1)) - 1) as i64;
        let stars = "*".repeat((i128::from(count) * room / i128::from(most)) as usize);
        let room = room as usize;
        writeln!(out, "{first:digits$} -> {last:<digits$} : {count:<8} |{stars:room$}|")?;
    }
    Ok(())
}

/// The value that so many of a hundred do not exceed; 0 where there is none.
fn percentile(buckets: &[Bucket], part: f64) -> i64 {
    let mut buckets = buckets.to_vec();
    buckets.sort_by_key(|bucket| bucket.first);
    let total: i64 = buckets.iter().map(|bucket| bucket.count).sum();
    let wanted = total as f64 * part / 100.0;
    let mut below = 0;
    for bucket in buckets.iter().filter(|bucket| bucket.count > 0) {
        below += bucket.count;
        if below as f64 >= wanted {
            return bucket.first / 2 + bucket.last.min(bucket.first.saturating_mul(2)) / 2;
        }
    }
    0
}

/// Microseconds in five places.
fn short_time(micros: i64) -> String {
    match micros {
        0 => "-".into(),
        1..1_000 => format!("{micros}us"),
        1_000..10_000 => format!("{:.1}ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{}ms", micros / 1_000),
        _ => format!("{:.1}s", micros as f64 / 1e6),
    }
}

/// A probe as a pattern names it: a function by its name, a tracepoint as `t:category:event`.
fn probe(name: &str) -> String {
    match name.strip_prefix("tracepoint:") {
        Some(rest) => format!("t:{rest}"),
        None => name.rsplit(':').next().unwrap_or(name).to_owned(),
    }
}

/// Flags of a request as words: what is done, and how.
fn flags_name(flags: u64) -> String {
    /// Bits of `enum req_flag_bits`, from `include/linux/blk_types.h`.
    const BITS: [(u32, &str); 5] =
        [(11, "Sync"), (12, "Metadata"), (15, "Idle"), (17, "ForcedUnitAccess"), (19, "ReadAhead")];
    let operation = match flags & 0xff {
        0 => "Read",
        1 => "Write",
        2 => "Flush",
        3 => "Discard",
        _ => "Other",
    };
    let mut words: Vec<&str> =
        BITS.iter().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, word)| *word).collect();
    words.push(operation);
    words.join("-")
}

/// A way on which something was reached, and how often.
struct Stack {
    process: String,
    kernel: Vec<String>,
    user: Vec<String>,
    count: i64,
}

impl Stack {
    /// Reads an element of one of the maps. A stack's text begins and ends with a line's end.
    fn read(map: &str, key: &str, count: i64) -> Stack {
        let (process, rest) = key.split_once(',').unwrap_or(("", key));
        let frames = |text: &str| text.lines().filter(|line| !line.is_empty()).map(frame).collect();
        let (kernel, user) = match map {
            "@kernel" => (rest, ""),
            "@user" => ("", rest),
            _ => rest.split_once("\n,\n").unwrap_or((rest, "")),
        };
        Stack { process: process.to_owned(), kernel: frames(kernel), user: frames(user), count }
    }
}

/// A frame without the offset in its function.
fn frame(line: &str) -> String {
    let line = line.trim();
    match line.rsplit_once('+') {
        Some((name, offset)) if offset.chars().all(|c| c.is_ascii_hexdigit() || c == 'x') => {
            name.to_owned()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_as_bcc_prints_them() {
        let of = [(0, 0, 1), (1, 1, 1), (4, 7, 4)].map(|(first, last, count)| Bucket {
            first,
            last,
            count,
        });
        let mut out = Vec::new();
        histogram("usecs", &of, &mut out).unwrap();
        let stars = "*".repeat(20);
        let all = "*".repeat(40);
        let expected = format!(
            "     usecs               : count     distribution\n\
             \x20        0 -> 1          : 2        |{stars:40}|\n\
             \x20        2 -> 3          : 0        |{:40}|\n\
             \x20        4 -> 7          : 4        |{all}|\n",
            ""
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn percentiles_lie_in_their_buckets() {
        let of = [(10, 11, 90), (100, 103, 10)].map(|(first, last, count)| Bucket {
            first,
            last,
            count,
        });
        assert_eq!(percentile(&of, 50.0), 10);
        assert!((100..=103).contains(&percentile(&of, 99.0)));
        assert_eq!(percentile(&[], 50.0), 0);
    }

    #[test]
    fn stacks_are_read_from_keys() {
        let stack = Stack::read("@both", "7,\na+1\nb+0x2\n,\nc\n", 3);
        assert_eq!((stack.process.as_str(), stack.count), ("7", 3));
        assert_eq!(
            (stack.kernel, stack.user),
            (vec!["a".into(), "b".into()], vec![String::from("c")])
        );
    }
}
