//! A capture through the filter: counted, or written as it was read.

use std::io::{BufWriter, IsTerminal, Read, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use skep::isa::classic;
use skep_lang::pcap::{Explainer, Filter, Kind, Link};

use super::capture::{Broken, Capture};
use super::print::Printer;
use super::why::Why;
use super::{Args, expression};
use crate::failure::{Failure, Outcome, Status};
use crate::files::in_file;
use crate::output::Output;
use crate::signal::{Input, Stop};

/// Files below this are read before a bar could be seen.
const LONG: u64 = 64 << 20;

/// Packets between two looks at the clock.
const STRIDE: u64 = 4096;

/// The programs of an expression by link type, made when one is met.
struct Programs<'a> {
    args: &'a Args,
    text: &'a str,
    made: Vec<Made>,
}

/// A program, and what says why it decides.
struct Made {
    link: u16,
    filter: Filter,
    explainer: Option<Explainer>,
}

impl Programs<'_> {
    fn of(&mut self, number: u16) -> Result<&Made, Failure> {
        let index = match self.made.iter().position(|made| made.link == number) {
            Some(index) => index,
            None => {
                let settings = self.args.settings(link(number));
                let filter = expression::compile(self.text, &settings)?;
                let explainer = match self.args.why {
                    true => Some(expression::explainer(self.text, &settings)?),
                    false => None,
                };
                self.made.push(Made { link: number, filter, explainer });
                self.made.len() - 1
            }
        };
        Ok(&self.made[index])
    }
}

/// A link type by its number; of those that nobody knows bytes and lengths can be asked for.
fn link(number: u16) -> Link {
    let unknown = Link { number, name: "UNKNOWN", description: "not known", kind: Kind::Other };
    Link::of_number(number).unwrap_or(unknown)
}

/// Filters a file.
pub fn run(args: &Args, text: &str, file: &Path, out: &mut dyn Write) -> Outcome {
    let stop = Stop::on_signals();
    let (input, len) = open(file, &stop)?;
    let capture = Capture::new(input).map_err(|broken| failure(file, broken))?;
    let mut programs = Programs { args, text, made: Vec::new() };
    // Mistakes are told before anything is written.
    let first = capture.link().map_or(Link::ETHERNET, link);
    if args.shows() {
        return args.show(text, first, out);
    }
    if capture.link().is_some() {
        programs.of(first.number)?;
    }
    let mut sink = match &args.write {
        Some(path) => Some(Sink::new(path, file)?),
        None => None,
    };
    let bar = bar(len);
    let ends = Ends { limit: args.limit, stop: &stop };
    let prints = args.lines.print || args.write.is_none() && !args.count;
    let tell = match () {
        () if args.why => Tell::Why(Why::new(args.json, text, out)),
        () if prints => {
            let printer = Printer::new(args.lines.style());
            Tell::Lines { printer, out, at_once: args.lines.by_line }
        }
        () => Tell::Nothing,
    };
    let each = Each { sink: sink.as_mut(), tell };
    let (matches, end) = filter(capture, &mut programs, each, &ends, bar.as_ref())?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if let Some(sink) = sink {
        sink.finish()?;
    }
    if args.count {
        writeln!(out, "{matches} packet{}", if matches == 1 { "" } else { "s" })?;
    }
    match (stop.signal(), end) {
        // What was read until then is reported and written.
        (Some(signal), _) => Ok(Status::Stopped(signal)),
        (None, None) => Ok(Status::Done),
        (None, Some(broken)) => Err(failure(file, broken)),
    }
}

/// What ends a walk over packets before the file does.
struct Ends<'a> {
    /// Matches.
    limit: Option<u64>,
    stop: &'a Stop,
}

/// Where packets go.
struct Each<'a> {
    sink: Option<&'a mut Sink>,
    tell: Tell<'a>,
}

/// What is said of each packet.
enum Tell<'a> {
    Nothing,
    Why(Why<'a>),
    Lines { printer: Printer, out: &'a mut dyn Write, at_once: bool },
}

/// Gives how many match, and why the file ended early where it did.
fn filter<R: Read>(
    mut capture: Capture<R>,
    programs: &mut Programs<'_>,
    mut each: Each<'_>,
    ends: &Ends<'_>,
    bar: Option<&ProgressBar>,
) -> Result<(u64, Option<Broken>), Failure> {
    let (mut packets, mut matches) = (0u64, 0u64);
    while ends.limit.is_none_or(|limit| matches < limit) && ends.stop.signal().is_none() {
        packets += 1;
        if let Some(bar) = bar.filter(|_| packets % STRIDE == 0) {
            bar.set_position(capture.offset());
        }
        let piece = match capture.next() {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(broken) => return Ok((matches, Some(broken))),
        };
        let wanted = match &piece.packet {
            // What is no packet belongs to all of them: headers, interfaces, names.
            None => true,
            Some(packet) => {
                let made = programs.of(packet.link)?;
                let seen = classic::Packet { data: packet.data, len: packet.len, metadata: None };
                let wanted = made.filter.program().run(&seen) != 0;
                matches += u64::from(wanted);
                match (&mut each.tell, &made.explainer) {
                    (Tell::Why(why), Some(explainer)) => why.tell(explainer, &seen, wanted)?,
                    (Tell::Lines { printer, out, at_once }, _) if wanted => {
                        out.write_all(printer.packet(packet).as_bytes())?;
                        if *at_once {
                            out.flush()?;
                        }
                    }
                    _ => {}
                }
                wanted
            }
        };
        if let Some(sink) = each.sink.as_mut().filter(|_| wanted) {
            sink.write(piece.raw)?;
        }
    }
    Ok((matches, None))
}

fn failure(file: &Path, broken: Broken) -> Failure {
    let failure = in_file(file, broken.reason);
    match broken.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A file and its length; the standard input and pipes have none.
fn open(path: &Path, stop: &Stop) -> Result<(Input, Option<u64>), Failure> {
    let input = Input::open(path, stop).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::IsADirectory => "it is a directory".into(),
            _ => error.to_string(),
        };
        in_file(path, format!("cannot be read: {why}"))
    })?;
    let metadata = std::fs::metadata(path).ok().filter(|_| path.as_os_str() != "-");
    let len = metadata.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
    Ok((input, len))
}

fn bar(len: Option<u64>) -> Option<ProgressBar> {
    let len = len.filter(|&len| len >= LONG && std::io::stderr().is_terminal())?;
    let style = "{bytes}/{total_bytes} {wide_bar} {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(style).ok()?;
    Some(ProgressBar::new(len).with_style(style))
}

/// Where packets that match go. A file counts when all of them are in it.
struct Sink {
    name: String,
    out: BufWriter<Output>,
}

impl Sink {
    fn new(path: &Path, input: &Path) -> Result<Sink, Failure> {
        let name = match path.as_os_str() == "-" {
            true if std::io::stdout().is_terminal() => {
                let failure = Failure::unusable("packets are not for a terminal");
                return Err(failure.hint("name a file: -w FILE"));
            }
            true => "standard output".into(),
            false => path.display().to_string(),
        };
        let out = Output::create(path, &[input])?;
        Ok(Sink { name, out: BufWriter::with_capacity(1 << 18, out) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| self.failure(&error))
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| self.failure(&error))?;
        let (name, out) = (self.name, self.out.into_inner());
        match out {
            Ok(out) => out.commit(),
            Err(error) => Err(failed(&name, error.error())),
        }
    }

    fn failure(&self, error: &std::io::Error) -> Failure {
        failed(&self.name, error)
    }
}

fn failed(name: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::from(std::io::Error::from(error.kind())),
        _ => Failure::unusable(format!("{name}: cannot be written: {error}")),
    }
}
