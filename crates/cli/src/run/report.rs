//! The outcome of a run as people read it.

use std::io::{self, Write};
use std::path::Path;
use std::sync::PoisonError;

use skep::btf::value::Value;
use skep::load::{Map, clock};

use super::compare::Differences;
use super::contents::{self, Shown};
use super::side::{Side, Tally};
use super::{elements, verdict};
use crate::table::{Cell, Table};
use crate::terminal::{Paint, clean};

/// What there is to tell.
pub struct Run<'a> {
    pub capture: &'a Path,
    pub object: &'a Path,
    pub sides: &'a [Side],
    /// Where there were two sides.
    pub differences: Option<&'a Differences>,
    pub notes: &'a [String],
    /// The signal that ended it early.
    pub stopped: Option<&'static str>,
    /// What came of an interface, where frames came from one.
    #[cfg(target_os = "linux")]
    pub live: Option<&'a super::live::Counts>,
    /// Elements, records and lines to show of each.
    pub show: usize,
}

/// Writes it. Maps that hold the same in both kernels are shown once.
pub fn write(run: &Run<'_>, out: &mut dyn Write) -> io::Result<()> {
    let paint = Paint::stdout();
    for side in run.sides {
        let title = format!("{} ({})", side.program().name(), side.prog_type());
        let kernel = side.name();
        let capture = crate::files::shown(run.capture);
        writeln!(
            out,
            "{} in the {kernel} kernel, on {}",
            paint.bold(&clean(&title)),
            clean(&capture)
        )?;
        writeln!(out)?;
        verdicts(side, run.sides.len() > 1, out)?;
        #[cfg(target_os = "linux")]
        if let Some(live) = run.live {
            live.text(out)?;
        }
        writeln!(out)?;
    }
    if let Some(differences) = run.differences {
        differ(run, differences, out)?;
        writeln!(out)?;
    }
    let Some(side) = run.sides.first() else { return Ok(()) };
    printed(side, run.show, out)?;
    records(side, run.show, out)?;
    let is_told = |map: &&Map| {
        map.name() != clock::MAP && !contents::is_constant(map) && contents::is_listed(map)
    };
    let differs = |map: &Map| {
        run.differences.is_some_and(|of| of.unequal.iter().any(|name| name == map.name()))
    };
    for map in side.skep().maps().filter(is_told) {
        contents_of(map, differs(map).then(|| side.name()), run.show, out)?;
    }
    for other in run.sides.iter().skip(1) {
        let only_here = |map: &Map| side.skep().map(map.name()).is_none();
        for map in other.skep().maps().filter(is_told) {
            if differs(map) || only_here(map) {
                contents_of(map, Some(other.name()), run.show, out)?;
            }
        }
    }
    for note in run.notes {
        writeln!(out, "{} {}", paint.yellow("note:"), clean(note))?;
    }
    Ok(())
}

fn verdicts(side: &Side, compared: bool, out: &mut dyn Write) -> io::Result<()> {
    let tally = &side.tally;
    let mut table = Table::default();
    table.row([
        Cell::text("verdict"),
        Cell::right("packets"),
        Cell::right("share"),
        Cell::right("bytes"),
    ]);
    for (&retval, &(packets, bytes)) in &tally.verdicts {
        table.row([
            Cell::text(verdict::text(side.prog_type(), retval)),
            Cell::right(packets),
            Cell::right(share(packets, tally.packets)),
            Cell::right(bytes),
        ]);
    }
    table.row([
        Cell::text("all"),
        Cell::right(tally.packets),
        Cell::right(""),
        Cell::right(tally.bytes),
    ]);
    table.write(out, "  ")?;
    if let Some(each) = per_packet(tally) {
        let compiling = match tally.compiling.as_micros() {
            0 => String::new(),
            micros => format!(", after {:.1} ms to compile the program", micros as f64 / 1000.0),
        };
        writeln!(out, "\n  {each:.0} ns for a packet{compiling}")?;
    }
    if tally.outside > 0 {
        let why = match side.name() {
            "embedded" if !compared => "shorter than an Ethernet header",
            _ => "outside of BPF_PROG_TEST_RUN's limits",
        };
        writeln!(out, "  {} packets not run: {why}", tally.outside)?;
    }
    if tally.cut > 0 {
        let cut = lines(tally.cut, "packet");
        writeln!(out, "  {cut} cut short by the recording: the program saw what it kept")?;
    }
    Ok(())
}

/// Mean time of a run, in ns.
pub fn per_packet(tally: &Tally) -> Option<f64> {
    (tally.packets > 0 && !tally.time.is_zero())
        .then(|| tally.time.as_nanos() as f64 / tally.packets as f64)
}

fn share(part: u64, all: u64) -> String {
    format!("{:.1} %", 100.0 * part as f64 / all.max(1) as f64)
}

fn differ(run: &Run<'_>, differences: &Differences, out: &mut dyn Write) -> io::Result<()> {
    let paint = Paint::stdout();
    let names: Vec<&str> = run.sides.iter().map(Side::name).collect();
    let names = names.join(" and ");
    if differences.count() == 0 {
        writeln!(
            out,
            "{}",
            paint.green(&format!("{names} agree on every packet, record and map"))
        )?;
    } else {
        let Differences { packets, records, printed, maps, .. } = differences;
        let title = format!(
            "{names} differ: {packets} packets, {records} records, {printed} lines, {maps} maps"
        );
        writeln!(out, "{}", paint.red(&title))?;
        for line in &differences.described {
            writeln!(out, "  {}", clean(line))?;
        }
        let more = differences.count().saturating_sub(differences.described.len() as u64);
        if more > 0 {
            writeln!(out, "  {}", paint.dim(&format!("and {more} more")))?;
        }
    }
    for note in &differences.notes {
        writeln!(out, "  {} {}", paint.yellow("note:"), clean(note))?;
    }
    Ok(())
}

fn printed(side: &Side, show: usize, out: &mut dyn Write) -> io::Result<()> {
    let printed = side.printed.lock().unwrap_or_else(PoisonError::into_inner);
    if printed.count == 0 {
        return Ok(());
    }
    title(out, "bpf_printk", &lines(printed.count, "line"))?;
    for line in printed.lines.iter().take(show) {
        writeln!(out, "  {}", clean(line))?;
    }
    more(out, printed.count, show)?;
    writeln!(out)
}

fn records(side: &Side, show: usize, out: &mut dyn Write) -> io::Result<()> {
    for ring in &side.rings {
        title(out, ring.name(), &format!("ringbuf, {}", lines(ring.count, "record")))?;
        for record in ring.records.iter().take(show) {
            writeln!(out, "  {}", ring.show(record))?;
        }
        more(out, ring.count, show)?;
        writeln!(out)?;
    }
    Ok(())
}

/// What came out of a program, of which the first is shown.
pub fn listed(
    name: &str,
    what: &str,
    count: u64,
    shown: impl Iterator<Item = impl AsRef<str>>,
    show: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    title(out, name, &lines(count, what))?;
    for line in shown.take(show) {
        writeln!(out, "  {}", clean(line.as_ref()))?;
    }
    more(out, count, show)?;
    writeln!(out)
}

/// A map with its elements; `kernel` is told where the other one's differs.
pub fn contents_of(
    map: &Map,
    kernel: Option<&str>,
    show: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let paint = Paint::stdout();
    let kind = map.def().kind().map_or("unknown", |kind| kind.name());
    let whose = kernel.map_or(String::new(), |kernel| format!(", {kernel}"));
    let section = map.def().origin.section();
    let most = if section.is_some() { 1 } else { show };
    let excerpt = match elements::excerpt(map, most) {
        Ok(excerpt) => excerpt,
        Err(errno) => {
            title(out, map.name(), &format!("{kind}, cannot be read: {errno}{whose}"))?;
            return writeln!(out);
        }
    };
    if let Some(section) = section {
        let mut text = Vec::new();
        for (_, bytes) in &excerpt.shown {
            variables(&contents::value(map, bytes), show, &mut text)?;
        }
        if text.is_empty() {
            return Ok(());
        }
        title(out, section, &format!("variables{whose}"))?;
        out.write_all(&text)?;
        return writeln!(out);
    }
    let most = map.def().max_entries;
    title(out, map.name(), &format!("{kind}, {} of {most}{whose}", excerpt.count))?;
    for (key, bytes) in &excerpt.shown {
        let values: Vec<Shown> =
            map.split_cpus(bytes).iter().map(|bytes| contents::value(map, bytes)).collect();
        match &values[..] {
            [value] if !map.is_per_cpu() => writeln!(out, "  {key}: {value}")?,
            values => per_cpu(key, values, &map.split_cpus(bytes), out)?,
        }
    }
    let zeros = excerpt.zeros;
    more(out, excerpt.count - zeros, show)?;
    if zeros > 0 {
        writeln!(out, "  {}", paint.dim(&format!("{} of zeros", lines(zeros, "element"))))?;
    }
    writeln!(out)
}

/// The sum, and a line for each CPU that has something to say.
fn per_cpu(
    key: &Shown,
    values: &[Shown],
    bytes: &[Vec<u8>],
    out: &mut dyn Write,
) -> io::Result<()> {
    let paint = Paint::stdout();
    match contents::sum(values) {
        Some(sum) => writeln!(out, "  {key}: {sum}")?,
        None => writeln!(out, "  {key}:")?,
    }
    for (cpu, (value, bytes)) in values.iter().zip(bytes).enumerate() {
        if bytes.iter().any(|&byte| byte != 0) {
            writeln!(out, "    {}", paint.dim(&format!("cpu {cpu}: {value}")))?;
        }
    }
    Ok(())
}

/// The variables of a data section, one on a line.
fn variables(section: &Shown, show: usize, out: &mut dyn Write) -> io::Result<()> {
    match section {
        Shown::Value(Value::Struct(variables)) => {
            // Null pointers are there to make a type known, as a rule.
            let shown: Vec<_> =
                variables.iter().filter(|(_, value)| *value != Value::Pointer(0)).collect();
            for (name, value) in shown.iter().take(show) {
                writeln!(out, "  {}: {value}", clean(name))?;
            }
            more(out, shown.len() as u64, show)
        }
        other => writeln!(out, "  {other}"),
    }
}

fn title(out: &mut dyn Write, name: &str, what: &str) -> io::Result<()> {
    writeln!(out, "{} ({what})", Paint::stdout().bold(&clean(name)))
}

fn lines(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn more(out: &mut dyn Write, count: u64, show: usize) -> io::Result<()> {
    match count.saturating_sub(show as u64) {
        0 => Ok(()),
        left => {
            let text = format!("and {left} more (--show N shows more, --show all)");
            writeln!(out, "  {}", Paint::stdout().dim(&text))
        }
    }
}
