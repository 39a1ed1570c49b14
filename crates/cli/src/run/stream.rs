//! Every frame of a capture through each side, in order, with a progress bar where it
//! takes a while.

use std::io::{BufReader, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use skep::load::ReadError;
use skep::load::capture::{Packet, Reader, Writer};

use super::compare::{self, Differences};
use super::side::{Ran, Side};
use super::{Clock, verdict};
use crate::failure::Failure;
use crate::files::{in_file, shown};
use crate::output::{Output, written};
use crate::signal::{Input, Stop};

/// What to read, how often, and where to write.
pub struct Options<'a> {
    pub pcap: &'a Path,
    pub object: &'a Path,
    pub out: Option<&'a Path>,
    pub repeat: u64,
    pub limit: Option<u64>,
    pub clock: Clock,
    pub seed: Option<u64>,
    /// When to stop before the end.
    pub stop: &'a Stop,
}

/// Runs the capture through the sides.
///
/// # Errors
/// A capture that cannot be read, a program that trapped, an output that cannot be
/// written.
pub fn run(
    options: &Options<'_>,
    sides: &mut [Side],
    differences: &mut Differences,
) -> Result<(), Failure> {
    // The capture is opened before its output is made, so that a wrong name makes none.
    let Some(mut reader) = open(options)? else { return Ok(()) };
    let mut writer = match options.out {
        Some(out) => Some((Written::create(out, options)?, out)),
        None => None,
    };
    let compares = sides.len() > 1;
    sides.iter_mut().for_each(|side| side.drain(compares));
    let mut progress = Progress::new(options);
    let mut random = fastrand::Rng::with_seed(options.seed.unwrap_or(1));
    // Where a pass starts on the clock: each goes on where the one before ended.
    let mut start = 0;
    for pass in 0..options.repeat {
        if options.stop.signal().is_some() {
            break;
        }
        if pass > 0 {
            let Some(again) = open(options)? else { break };
            reader = again;
        }
        let mut times: Option<(u64, u64)> = None;
        let mut number = 0;
        while options.limit.is_none_or(|limit| number < limit) {
            if options.stop.signal().is_some() {
                break;
            }
            let packet = match reader.next_packet() {
                Ok(packet) => packet,
                // Whoever waits for a packet that does not come is told so by an error.
                Err(_) if options.stop.signal().is_some() => None,
                Err(error) => return Err(error.into()),
            };
            let Some(packet) = packet else { break };
            number += 1;
            let (first, last) = times.unwrap_or((packet.time, packet.time));
            times = Some((first, last.max(packet.time)));
            if options.clock == Clock::Packet {
                let (now, random) = (packet.time.saturating_add(start), random.u32(..));
                for side in sides.iter_mut() {
                    side.set_clock(now, random)?;
                }
            }
            one(&packet, number, sides, differences)
                .map_err(|failure| failure.context(&format!("packet {number}")))?;
            if let (Some((writer, _)), 0) = (&mut writer, pass) {
                writer.packet(&packet, &sides[0], differences)?;
            }
            progress.tick(pass, reader.offset());
        }
        start += times.map_or(0, |(first, last)| last - first + 1);
    }
    match writer {
        Some((writer, path)) => writer.finish(path),
        None => Ok(()),
    }
}

/// Opens the capture; `None` where a signal came before its header did.
fn open(options: &Options<'_>) -> Result<Option<Reader<BufReader<Input>>>, Failure> {
    let (path, name) = (options.pcap, shown(options.pcap));
    let input = Input::open(path, options.stop)
        .map_err(|error| in_file(path, format!("cannot be read: {}", ReadError::from(error))))?;
    if options.repeat > 1 && !input.is_repeatable() {
        let failure = in_file(path, "can be read once only, and --repeat reads it again");
        return Err(failure.hint("write it to a file first"));
    }
    match Reader::named(&name, BufReader::with_capacity(1 << 16, input)) {
        Ok(reader) => Ok(Some(reader.ethernet_only())),
        Err(_) if options.stop.signal().is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// One packet through each side.
fn one(
    packet: &Packet<'_>,
    number: u64,
    sides: &mut [Side],
    differences: &mut Differences,
) -> Result<(), Failure> {
    let compares = sides.len() > 1;
    // What one kernel does not take is kept from the other, too: else their maps differ.
    if !sides.iter().all(|side| side.takes(packet.data.len())) {
        sides.iter_mut().for_each(|side| side.tally.outside += 1);
        differences.last = None;
        return Ok(());
    }
    // Linux comes last and runs first: it looks at more than lengths.
    let mut verdicts = Vec::with_capacity(sides.len());
    differences.last = None;
    for index in (0..sides.len()).rev() {
        let side = &mut sides[index];
        let name = side.name();
        let ran = side.run(packet.data).map_err(|failure| match compares {
            true => failure.context(&format!("{name} kernel")),
            false => failure,
        })?;
        side.drain(compares);
        match ran {
            Ran::Verdict(retval) => verdicts.insert(0, retval),
            Ran::Outside => {
                sides[..index].iter_mut().for_each(|side| side.tally.outside += 1);
                return Ok(());
            }
        }
    }
    if (packet.data.len() as u32) < packet.wire_len {
        sides.iter_mut().for_each(|side| side.tally.cut += 1);
    }
    differences.last = verdicts.first().copied();
    if compares {
        compare::packet(sides, &verdicts, number, differences);
    }
    Ok(())
}

/// The packets as the program left them.
struct Written {
    writer: Writer<Output>,
}

impl Written {
    fn create(path: &Path, options: &Options<'_>) -> Result<Written, Failure> {
        let output = Output::create(path, &[options.pcap, options.object])?;
        let writer = Writer::new(output).map_err(|error| written(path, &error))?;
        Ok(Written { writer })
    }

    fn packet(
        &mut self,
        packet: &Packet<'_>,
        side: &Side,
        differences: &Differences,
    ) -> Result<(), Failure> {
        let result = match differences.last {
            Some(retval) => {
                let data = side.packet();
                // What was not captured is still missing.
                let cut = packet.wire_len.saturating_sub(packet.data.len() as u32);
                let left = Packet { data, wire_len: data.len() as u32 + cut, ..*packet };
                let text = verdict::text(side.prog_type(), retval);
                let mark = verdict::mark(side.prog_type(), retval);
                self.writer.packet(&left, Some(&text), mark)
            }
            None => self.writer.packet(packet, Some("not run"), None),
        };
        result.map_err(|error| self.writer.get_ref().failure(&error))
    }

    fn finish(self, path: &Path) -> Result<(), Failure> {
        self.writer.finish().map_err(|error| written(path, &error))?.commit()
    }
}

/// A bar on the terminal, after a second.
struct Progress {
    started: Instant,
    bar: Option<ProgressBar>,
    /// Bytes of the capture; 0 where it has no length.
    len: u64,
    passes: u64,
    ticks: u32,
    wanted: bool,
}

impl Progress {
    fn new(options: &Options<'_>) -> Progress {
        let len = std::fs::metadata(options.pcap).map_or(0, |metadata| metadata.len());
        Progress {
            started: Instant::now(),
            bar: None,
            len,
            passes: options.repeat,
            ticks: 0,
            wanted: std::io::stderr().is_terminal(),
        }
    }

    fn tick(&mut self, pass: u64, offset: u64) {
        self.ticks = self.ticks.wrapping_add(1);
        if !self.wanted || !self.ticks.is_multiple_of(256) {
            return;
        }
        if self.bar.is_none() && self.started.elapsed() > Duration::from_secs(1) {
            let bar = ProgressBar::new(self.len.saturating_mul(self.passes));
            let form = "{elapsed} {wide_bar} {percent} %, {eta} left";
            bar.set_style(
                ProgressStyle::with_template(form).unwrap_or(ProgressStyle::default_bar()),
            );
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(pass.saturating_mul(self.len).saturating_add(offset));
        }
    }
}

/// Whatever is printed next stands where the bar was.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
