//! `skep run --interface`, `skep run --attach`: programs at their hooks in Linux, by links,
//! until a signal comes or the time is over. Nothing stays behind: the kernel takes a link
//! away with the process, however that ends.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use skep::abi::AttachType;
use skep::load::attach::auto::{self, Found, Places};
use skep::load::attach::{Cgroup, ClassicTc, Link, Xdp, interface};
use skep::load::{Linked, MapOrigin, Object, Options, RingBuffer, Skep, Target, relocate};
use skep::sys::Kernel;

use super::fill::{self, Fill};
use super::records::Ring;
use super::{Args, Where, contents, json, report, select, side};
use crate::failure::{Failure, Outcome, Status};
use crate::signal::Stop;
use crate::terminal::{Guard, Paint, clean};
use crate::{kernels, types};

/// Where programs go, and for how long.
#[derive(clap::Args)]
pub struct AttachArgs {
    /// Run on the frames of an interface: in the embedded kernel on a copy of each, with --to or
    /// with --kernel linux the program decides
    #[arg(long, value_name = "NAME", conflicts_with_all = ["raw", "pcap", "context", "events"])]
    pub interface: Option<String>,
    /// Have frames cross to this interface and back as the program says (embedded kernel); the
    /// machine should not forward or bridge them itself
    #[arg(long, value_name = "NAME", requires = "interface", conflicts_with = "attach")]
    pub to: Option<String>,
    /// Attach every program where its section says (--kernel linux); with --program, that one
    #[arg(long, conflicts_with_all = ["raw", "pcap", "context", "events"])]
    pub attach: bool,
    /// The cgroup of cgroup programs
    #[arg(long, value_name = "DIR", requires = "attach")]
    pub cgroup: Option<std::path::PathBuf>,
    /// Probe the functions of this process alone
    #[arg(long, value_name = "PID", requires = "attach")]
    pub pid: Option<u32>,
    /// Attach also what sees or decides what concerns every process of the machine: probes of
    /// functions, security hooks (lsm), structures of operations
    #[arg(long, requires = "attach")]
    pub system_wide: bool,
    /// In which part of the machine an XDP program runs
    #[arg(long, value_enum, value_name = "MODE", requires = "interface")]
    pub xdp_mode: Option<XdpMode>,
    /// Leave a tc program on the interface for good, as a filter of the classic traffic control,
    /// which has no links; `skep net detach` removes it
    #[arg(long, requires = "interface", conflicts_with = "duration")]
    pub persistent: bool,
    /// End after so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum XdpMode {
    /// In the network stack
    Generic,
    /// In the driver
    Native,
    /// In the device
    Offload,
}

/// `0.5`, `10`.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

/// How often ring buffers are looked at.
const MOMENT: Duration = Duration::from_millis(50);

/// A program at its place.
struct Attached {
    program: String,
    kind: &'static str,
    link: Link,
}

/// Programs at their places, and what came of them.
struct Live {
    skep: Skep,
    attached: Vec<Attached>,
    /// Programs that are attached nowhere, and why.
    open: Vec<(String, String)>,
    rings: Vec<Ring>,
    notes: Vec<String>,
}

/// Attaches, waits, and reports.
pub fn run(args: &Args, mut object: Object, out: &mut dyn Write) -> Outcome {
    if args.kernel != Where::Linux && !args.live.attach {
        return super::live::run(args, object, out);
    }
    if args.live.to.is_some() {
        let failure = Failure::unusable("--to is for the embedded kernel");
        return Err(failure.hint("in Linux a program sends frames on by XDP_REDIRECT"));
    }
    if args.kernel != Where::Linux {
        let failure = Failure::unusable("the embedded kernel attaches programs to nothing live");
        return Err(failure.hint("--kernel linux attaches them to this machine"));
    }
    args.engine.refuse()?;
    let fills = fill::read(&args.map, args.maps.as_deref())?;
    let left_out = choose(args, &mut object, &fills)?;
    let fills = fill::data_sections(&mut object, fills)?;
    let kernel = kernels::linux()?;
    // Before anything is attached: a signal must find somebody who takes it away.
    let stop = Stop::on_signals();
    let mut live = load(args, &object, &kernel)?;
    live.open = left_out;
    fill::maps(&live.skep, &fills)?;
    attach(args, &object, &mut live)?;
    if live.attached.is_empty() {
        return Err(nowhere(&object, &live));
    }
    if args.live.persistent {
        return leave(args, live, out);
    }
    if !args.json {
        announce(&live, args.live.duration, out)?;
        out.flush()?;
    }
    wait(&mut live, args.live.duration, &stop);
    let stopped = stop.signal();
    let stopped_by = stopped.map(|signal| signal.name());
    // What is counted while it is told is told in part.
    live.attached.iter_mut().for_each(|of| {
        // Links that cannot be detached so go with this process.
        let _ = of.link.detach();
    });
    live.rings.iter_mut().for_each(|ring| ring.drain(false));
    match args.json {
        true => write_json(args, &object, &live, stopped_by, out)?,
        false => write_text(args, &live, out)?,
    }
    Ok(stopped.map_or(Status::Done, Status::Stopped))
}

/// Leaves the programs where they are.
fn leave(args: &Args, live: Live, out: &mut dyn Write) -> Outcome {
    let one =
        |of: &Attached| json!({ "program": of.program, "type": of.kind, "place": of.link.place() });
    let told: Vec<Json> = live.attached.iter().map(one).collect();
    for of in live.attached {
        if !args.json {
            let place = clean(of.link.place()).into_owned();
            writeln!(out, "{} ({}) stays at {place}", clean(&of.program), of.kind)?;
        }
        of.link.keep();
    }
    if args.json {
        let told =
            json!({ "kernel": "linux", "enforced": true, "persistent": true, "attached": told });
        writeln!(out, "{told}")?;
    }
    Ok(Status::Done)
}

/// The place of a program that stays: tc has one, all else has links, which go with us.
fn for_good(
    kind: &str,
    attach_type: Option<AttachType>,
    places: &Places,
) -> Result<Found, Failure> {
    let (Some(ifindex), "sched_cls") = (places.ifindex, kind) else {
        let failure = Failure::unusable(format!("a program of type {kind} goes with its link"));
        return Err(failure.hint("pin it in a bpffs: skep prog loadall OBJECT DIR autoattach"));
    };
    let hook = match attach_type {
        Some(AttachType::TcxEgress) => ClassicTc::egress(ifindex),
        _ => ClassicTc::ingress(ifindex),
    };
    Ok(Found::At(Box::new(hook)))
}

/// Has only those programs loaded that are wanted. Gives those that were left out, and why.
fn choose(
    args: &Args,
    object: &mut Object,
    fills: &[Fill],
) -> Result<Vec<(String, String)>, Failure> {
    let name = args.program.as_deref();
    if args.live.attach {
        if let Some(name) = name {
            if object.program(name).is_none() {
                let all: Vec<&str> = object.programs.iter().map(|of| of.name.as_str()).collect();
                let failure = Failure::unusable(format!("{}: no program {name:?}", object.file));
                return Err(failure.hint(format!("it has {}", all.join(", "))));
            }
            object.select(|program| program.name == name);
        }
        return Ok(if args.live.system_wide { Vec::new() } else { skip(object, &places(args)?) });
    }
    let chosen = select::choose(object, name)?;
    select::load_only(object, chosen, fills);
    Ok(Vec::new())
}

/// What is for the whole machine is not even loaded without being asked for.
fn skip(object: &mut Object, places: &Places) -> Vec<(String, String)> {
    let mut skipped = Vec::new();
    for map in &mut object.maps {
        if matches!(map.origin, MapOrigin::StructOps(_)) {
            map.autocreate = false;
        }
    }
    for program in &mut object.programs {
        if program.autoload && auto::acts_on_all(program, places) {
            program.autoload = false;
            let why = format!("{} (--system-wide)", auto::ACTS_ON_ALL);
            skipped.push((program.name.clone(), why));
        }
    }
    skipped
}

fn load(args: &Args, object: &Object, kernel: &Arc<dyn Kernel>) -> Result<Live, Failure> {
    let mut target = Target::of(&**kernel);
    if let Some(file) = &args.btf {
        target = target.with_core_btf(Arc::new(types::open(file, None)?));
    }
    let linked: Linked = relocate(object, &target)?;
    let options = Options { pin_dir: args.pin.clone(), ..Options::default() };
    let (skep, mut notes) = side::load_what_is_used(kernel, &linked, &target, &options)?;
    notes.extend(skep.notes().iter().cloned());
    let mut rings = Vec::new();
    for map in skep.maps() {
        // What is no ring buffer says so.
        if let Ok(reader) = RingBuffer::new(map) {
            rings.push(Ring::new(map.clone(), reader));
        }
    }
    Ok(Live { skep, attached: Vec::new(), open: Vec::new(), rings, notes })
}

/// Puts each program where it belongs. One that is refused ends it: what is attached by then
/// goes again.
fn attach(args: &Args, object: &Object, live: &mut Live) -> Result<(), Failure> {
    let places = places(args)?;
    for program in live.skep.programs() {
        let name = program.name().to_owned();
        let kind = program.def().prog_type.map_or("unknown", |kind| kind.name());
        let chosen = args.live.interface.is_some() && !args.live.attach;
        if chosen && is_tail_called(object, &name) {
            continue;
        }
        let found = match (args.live.xdp_mode, places.ifindex) {
            _ if args.live.persistent => for_good(kind, program.def().attach_type, &places)?,
            (Some(mode), Some(ifindex)) if kind == "xdp" => {
                let hook = Xdp::new(ifindex);
                Found::At(Box::new(match mode {
                    XdpMode::Generic => hook.generic(),
                    XdpMode::Native => hook.native(),
                    XdpMode::Offload => hook.offloaded(),
                }))
            }
            _ => auto::find(program, &places).map_err(|reason| {
                Failure::unusable(format!("{}: program {name:?}: {reason}", object.file))
            })?,
        };
        match found {
            Found::At(hook) => {
                let link = program.attach(hook)?;
                live.attached.push(Attached { program: name, kind, link });
            }
            Found::Open(why) => live.open.push((name, why)),
        }
    }
    if !args.live.attach || !args.live.system_wide {
        return Ok(());
    }
    let structures: Vec<String> = live
        .skep
        .maps()
        .filter(|map| matches!(map.def().origin, MapOrigin::StructOps(_)))
        .map(|map| map.name().to_owned())
        .collect();
    for name in structures {
        let link = live.skep.register(&name)?;
        live.attached.push(Attached { program: name, kind: "struct_ops", link });
    }
    Ok(())
}

/// What sections leave open, from the command line.
fn places(args: &Args) -> Result<Places, Failure> {
    let live = &args.live;
    let ifindex = live.interface.as_deref().map(interface).transpose();
    let open = |path: &Path| Cgroup::open(path);
    Ok(Places {
        ifindex: ifindex.map_err(Failure::unusable)?,
        cgroup: live.cgroup.as_deref().map(open).transpose().map_err(Failure::unusable)?,
        pid: live.pid,
        system_wide: live.system_wide,
    })
}

/// Whether a program is there to be called by others.
fn is_tail_called(object: &Object, name: &str) -> bool {
    let arrays = object.maps.iter().filter(|map| map.kind() == Some(skep::abi::MapType::ProgArray));
    let mut slots = arrays.flat_map(|map| &map.slots);
    slots.any(|slot| object.programs.get(slot.1).is_some_and(|program| program.name == name))
}

/// No program has a place.
fn nowhere(object: &Object, live: &Live) -> Failure {
    let failure = Failure::unusable(format!("{}: no program is attached anywhere", object.file));
    match live.open.first() {
        Some((name, why)) => failure.hint(format!("{name}: {why}")),
        None => failure.hint("the object has no program that is loaded"),
    }
}

/// Empties ring buffers until it is time to go.
fn wait(live: &mut Live, duration: Option<Duration>, stop: &Stop) {
    let started = Instant::now();
    while stop.signal().is_none() {
        let left = duration.map(|duration| duration.saturating_sub(started.elapsed()));
        if left == Some(Duration::ZERO) {
            break;
        }
        live.rings.iter_mut().for_each(|ring| ring.drain(false));
        std::thread::sleep(left.unwrap_or(MOMENT).min(MOMENT));
    }
}

fn announce(live: &Live, duration: Option<Duration>, out: &mut dyn Write) -> std::io::Result<()> {
    let paint = Paint::stdout();
    for of in &live.attached {
        let program = paint.bold(&clean(&of.program));
        writeln!(out, "{program} ({}) at {}", of.kind, clean(of.link.place()))?;
    }
    for (name, why) in &live.open {
        writeln!(out, "{} {}: {why}", paint.yellow("not attached"), clean(name))?;
    }
    match duration {
        Some(duration) => writeln!(out, "running for {duration:?}; Ctrl-C ends it sooner"),
        None => writeln!(out, "running; Ctrl-C ends it"),
    }
}

/// Ring buffers and maps.
fn write_text(args: &Args, live: &Live, out: &mut dyn Write) -> std::io::Result<()> {
    let mut out = Guard::new(out);
    let out = &mut out as &mut dyn Write;
    writeln!(out)?;
    for ring in &live.rings {
        let lines = ring.records.iter().map(|record| ring.show(record).to_string());
        report::listed(ring.name(), "record", ring.count, lines, args.show, out)?;
    }
    for map in live.skep.maps().filter(|map| contents::is_listed(map)) {
        report::contents_of(map, None, args.show, out)?;
    }
    for note in &live.notes {
        writeln!(out, "note: {}", clean(note))?;
    }
    out.flush()
}

/// Its shape is documented in docs/cli.md and only grows.
fn write_json(
    args: &Args,
    object: &Object,
    live: &Live,
    stopped: Option<&str>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let mut out = Guard::json(out);
    let out = &mut out as &mut dyn Write;
    let attached: Vec<Json> = live
        .attached
        .iter()
        .map(|of| {
            let id = of.link.info().ok().map(|info| info.id);
            json!({"program": of.program, "type": of.kind, "place": of.link.place(), "link": id})
        })
        .collect();
    let open = |(name, why): &(String, String)| json!({"program": name, "why": why});
    let open: Vec<Json> = live.open.iter().map(open).collect();
    let rings: Vec<Json> = live
        .rings
        .iter()
        .map(|ring| {
            let shown = ring.records.iter().map(|record| json::shown(&ring.show(record)));
            let records: Vec<Json> = shown.collect();
            json!({"map": ring.name(), "count": ring.count, "records": records})
        })
        .collect();
    writeln!(out, "{{")?;
    for (name, value) in [
        ("object", json!(object.file)),
        ("kernel", json!("linux")),
        ("enforced", json!(true)),
        ("attached", json!(attached)),
        ("not_attached", json!(open)),
        ("stopped", json!(stopped)),
        ("ring_buffers", json!(rings)),
    ] {
        json::member(out, "  ", name, &value)?;
    }
    write!(out, "  \"maps\": [")?;
    let listed = live.skep.maps().filter(|map| contents::is_listed(map));
    for (index, map) in listed.enumerate() {
        write!(out, "{}", if index > 0 { "," } else { "" })?;
        json::map(map, args.show, out)?;
    }
    write!(out, "],\n  \"notes\": ")?;
    serde_json::to_writer(&mut *out, &live.notes)?;
    writeln!(out, "\n}}")?;
    out.flush()
}
