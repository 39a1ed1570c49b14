//! `parity run`: packet programs on a capture, by TEST_RUN on the embedded kernel, with
//! each of its engines, and on Linux. For each packet the verdict and the packet's bytes
//! must be the same, and the maps: small ones after each packet, all of them at the end.
//!
//! Both sides see the same clock and the same random numbers (see [`clock`]), and run on
//! CPU 0.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use skep_abi::{MapType, ProgType};
use skep_load::capture::Reader;
use skep_load::{Map, MapDef, Object, Options, RingBuffer, Skep, Target, clock, load, relocate};
use skep_sys::{Kernel, Linux, TestRun};
use skep_vm::{Engine, Vm};

/// What the programs run on.
const CAPTURE: &str = "examples/mixed.pcapng";
/// Folders of our own programs.
const OWN: [&str; 2] = ["examples", "tests/programs"];
/// Debian's XDP objects.
const DEBIAN: &str = "/usr/lib/x86_64-linux-gnu/bpf";
/// Frames that TEST_RUN takes: longer than a link header, no longer than its page.
const LIMITS: std::ops::RangeInclusive<usize> = 15..=3520;
/// Maps of at most so many elements are compared after each packet.
const SMALL: u32 = 64;

/// A packet of the capture.
struct Packet {
    time: u64,
    data: Vec<u8>,
}

/// The embedded kernel's engines by name.
const ENGINES: [(&str, Engine); 3] =
    [("interpreter", Engine::Interpreter), ("guarded", Engine::Guarded), ("elided", Engine::Auto)];

#[derive(Default)]
struct Tally {
    /// Programs that each engine agrees with Linux on.
    agree: [usize; ENGINES.len()],
    /// Programs that were not compiled for each engine.
    interpreted: [usize; ENGINES.len()],
    judged: usize,
    not_judgeable: usize,
    packets: usize,
    report: String,
}

/// Compares, writes `target/parity/run.txt`, and prints the figures. Gives whether all
/// programs agree.
///
/// # Errors
/// A capture or an object that cannot be read.
pub fn execute() -> Result<bool> {
    pin_to_cpu_0()?;
    let all = read_capture()?;
    let packets: Vec<&Packet> =
        all.iter().filter(|packet| LIMITS.contains(&packet.data.len())).collect();
    let outside = all.len() - packets.len();
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let target = Target::of(&*linux);
    let mut tally = Tally::default();
    for path in objects()? {
        compare_object(&path, &linux, &target, &packets, &mut tally)
            .with_context(|| path.display().to_string())?;
    }
    std::fs::write("target/parity/run.txt", &tally.report)?;
    let share = 100.0 * outside as f64 / all.len() as f64;
    println!(
        "parity run: {} packets for each program, {outside} of {} outside of TEST_RUN's limits ({share:.2} %, at most 1 %)",
        packets.len(),
        all.len()
    );
    println!("parity run: {} runs compared", tally.packets);
    println!("parity run: not judgeable {}", tally.not_judgeable);
    let mut complete = share <= 1.0 && tally.judged > 0;
    for (index, (engine, _)) in ENGINES.into_iter().enumerate() {
        let (agree, interpreted) = (tally.agree[index], tally.interpreted[index]);
        println!("parity run: {engine}: agree {agree} of {}", tally.judged);
        if interpreted > 0 && engine != "interpreter" {
            println!("parity run: {engine}: {interpreted} were interpreted");
        }
        complete &= agree == tally.judged;
    }
    Ok(complete)
}

/// Keeps this thread on the CPU that the embedded kernel numbers 0.
pub fn pin_to_cpu_0() -> Result<()> {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(0);
    rustix::thread::sched_setaffinity(None, &cpus).context("sched_setaffinity")
}

fn read_capture() -> Result<Vec<Packet>> {
    let mut reader = Reader::open(CAPTURE)?;
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet()? {
        packets.push(Packet { time: packet.time, data: packet.data.to_vec() });
    }
    Ok(packets)
}

fn objects() -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for folder in OWN.iter().copied().chain([DEBIAN]) {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "o") {
                paths.push(path);
            }
        }
    }
    if paths.is_empty() {
        bail!("there are no objects in {}", OWN.join(", "));
    }
    paths.sort();
    Ok(paths)
}

fn takes_packets(prog_type: Option<ProgType>) -> bool {
    matches!(
        prog_type,
        Some(ProgType::Xdp | ProgType::SchedCls | ProgType::SchedAct | ProgType::SocketFilter)
    )
}

/// Each packet program of an object, each with maps of its own.
fn compare_object(
    path: &Path,
    linux: &Arc<dyn Kernel>,
    target: &Target,
    packets: &[&Packet],
    tally: &mut Tally,
) -> Result<()> {
    let object = Object::open(path)?;
    for index in 0..object.programs.len() {
        let program = &object.programs[index];
        if !takes_packets(program.prog_type) {
            continue;
        }
        let name = format!("{}: {}", path.display(), program.name);
        let mut alone = object.clone();
        // Programs that a program array holds come along.
        for (other, program) in alone.programs.iter_mut().enumerate() {
            let in_an_array =
                object.maps.iter().any(|map| map.slots.iter().any(|slot| slot.1 == other));
            program.autoload = other == index || in_an_array;
        }
        let mut linked = relocate(&alone, target)?;
        if let Some(note) = clock::replace(&mut linked).first() {
            bail!("{note}");
        }
        let judge = match load(&linked, target, linux, &Options::default()) {
            Ok(judge) => judge,
            Err(error) => {
                tally.not_judgeable += 1;
                writeln!(tally.report, "{name}: not judgeable: {error}")?;
                continue;
            }
        };
        tally.judged += 1;
        let mut ours = Vec::new();
        for (_, engine) in ENGINES {
            let vm = Arc::new(Vm::new().with_engine(engine));
            let kernel: Arc<dyn Kernel> = vm.clone();
            ours.push(load(&linked, target, &kernel, &Options::default()).map(|skep| (vm, skep)));
        }
        let found = compare_program(&object.programs[index].name, &judge, &ours, packets)?;
        for (engine, difference) in found.into_iter().enumerate() {
            tally.packets += packets.len();
            let name = format!("{name}, {}", ENGINES[engine].0);
            match difference {
                None => tally.agree[engine] += 1,
                Some(what) => {
                    println!("{name}: {what}");
                    writeln!(tally.report, "{name}: {what}")?;
                }
            }
            let Ok((vm, skep)) = &ours[engine] else { continue };
            let fd = skep.program(&object.programs[index].name).map(|program| program.fd().raw());
            let loaded = fd.and_then(|fd| vm.program(fd).ok());
            if let Some(error) = loaded.as_ref().and_then(|program| program.compile_error()) {
                writeln!(tally.report, "{name}: interpreted: {error}")?;
            }
            tally.interpreted[engine] +=
                usize::from(loaded.is_some_and(|program| program.checks().is_none()));
        }
    }
    Ok(())
}

/// A kernel of ours with the object loaded.
type Loaded = std::result::Result<(Arc<Vm>, Skep), skep_load::LoadError>;

/// Runs all on every packet; gives the first difference of each to Linux.
fn compare_program(
    name: &str,
    judge: &Skep,
    ours: &[Loaded],
    packets: &[&Packet],
) -> Result<Vec<Option<String>>> {
    let mut differences: Vec<Option<String>> = ours
        .iter()
        .map(|loaded| loaded.as_ref().err().map(|error| format!("does not load: {error}")))
        .collect();
    let sides: Vec<Option<&Skep>> =
        ours.iter().map(|loaded| loaded.as_ref().ok().map(|(_, skep)| skep)).collect();
    let mut rings = AllRings::new(judge, &sides)?;
    for (number, packet) in packets.iter().enumerate() {
        set_clock(judge, packet)?;
        let linux = run(judge, name, packet)?;
        let records = rings.judge.read();
        let small = snapshot(judge, |map| map.max_entries <= SMALL)?;
        for (index, side) in sides.iter().enumerate() {
            let Some(side) = side.filter(|_| differences[index].is_none()) else { continue };
            set_clock(side, packet)?;
            let embedded = run(side, name, packet)?;
            let what = if linux != embedded {
                Some(format!("linux {linux}\n  embedded {embedded}"))
            } else {
                let ring = rings.ours[index].as_mut().map(Rings::read);
                let ring = ring
                    .filter(|ring| *ring != records)
                    .map(|ring| format!("ring buffer: linux {records:02x?}, embedded {ring:02x?}"));
                ring.or(compare_maps(judge, &small, side)?)
            };
            differences[index] = what.map(|what| format!("packet {number}: {what}"));
        }
    }
    let all = snapshot(judge, |_| true)?;
    for (index, side) in sides.iter().enumerate() {
        if let Some(side) = side.filter(|_| differences[index].is_none()) {
            differences[index] = compare_maps(judge, &all, side)?;
        }
    }
    Ok(differences)
}

/// What a run gave, as text that says where two differ.
fn run(skep: &Skep, name: &str, packet: &Packet) -> Result<String> {
    const ROOM: usize = 1 << 17;
    let program = skep.program(name).context("the program is gone")?;
    let mut out = vec![0; ROOM];
    let (run, result) = program.test_run(TestRun {
        data_size_in: packet.data.len() as u32,
        data_in: Some((&packet.data[..]).into()),
        data_size_out: ROOM as u32,
        data_out: (&mut out[..]).into(),
        ..TestRun::default()
    });
    let (retval, size) = (run.retval, run.data_size_out as usize);
    let diagnostic = run.diagnostic.map(|diagnostic| diagnostic.message);
    Ok(match result {
        Ok(()) => {
            let bytes = &out[..size.min(ROOM)];
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("retval {retval:#x}, {size} bytes {hex}")
        }
        Err(errno) => format!("{errno:?} {}", diagnostic.unwrap_or_default()),
    })
}

/// Ring buffers of all sides.
struct AllRings {
    judge: Rings,
    ours: Vec<Option<Rings>>,
}

/// Ring buffers of a side, in the order of its maps.
struct Rings(Vec<RingBuffer>);

impl AllRings {
    fn new(judge: &Skep, ours: &[Option<&Skep>]) -> Result<AllRings> {
        let ours = ours.iter().map(|side| side.map(Rings::new).transpose());
        Ok(AllRings { judge: Rings::new(judge)?, ours: ours.collect::<Result<_>>()? })
    }
}

impl Rings {
    fn new(side: &Skep) -> Result<Rings> {
        let rings = side.maps().filter(|map| map.def().kind() == Some(MapType::Ringbuf));
        Ok(Rings(rings.map(RingBuffer::new).collect::<std::result::Result<_, _>>()?))
    }

    /// The records since it was read before, of one buffer after the other.
    fn read(&mut self) -> Vec<Vec<Vec<u8>>> {
        let records = |ring: &mut RingBuffer| {
            std::iter::from_fn(|| ring.next_record().map(|record| record.to_vec())).collect()
        };
        self.0.iter_mut().map(records).collect()
    }
}

/// Elements by key.
type Elements = BTreeMap<Vec<u8>, Vec<u8>>;

/// The elements of those maps that are wanted.
fn snapshot(side: &Skep, wanted: impl Fn(&MapDef) -> bool) -> Result<Vec<Option<Elements>>> {
    side.maps().map(|map| wanted(map.def()).then(|| contents(map)).transpose()).collect()
}

/// The first map that differs from the judge's, of which `left` are the elements.
fn compare_maps(judge: &Skep, left: &[Option<Elements>], ours: &Skep) -> Result<Option<String>> {
    for ((linux, embedded), left) in judge.maps().zip(ours.maps()).zip(left) {
        let Some(left) = left else { continue };
        let right = contents(embedded)?;
        let lru = matches!(linux.def().kind(), Some(MapType::LruHash | MapType::LruPercpuHash));
        // Linux evicts up to 128 entries early; beyond half, only the limit holds.
        if lru && left.len().max(right.len()) * 2 > linux.def().max_entries as usize {
            if right.len() > linux.def().max_entries as usize {
                return Ok(Some(format!("map {}: {} elements", linux.name(), right.len())));
            }
            continue;
        }
        if *left != right {
            let differs = left
                .keys()
                .chain(right.keys())
                .find(|key| left.get(*key) != right.get(*key))
                .cloned()
                .unwrap_or_default();
            return Ok(Some(format!(
                "map {}: key {differs:02x?}: linux {:02x?}, embedded {:02x?}",
                linux.name(),
                left.get(&differs),
                right.get(&differs)
            )));
        }
    }
    Ok(None)
}

/// The elements of a map that holds values; nothing of others. Queues are emptied.
fn contents(map: &Map) -> Result<Elements> {
    use MapType::{
        Array, Hash, LpmTrie, LruHash, LruPercpuHash, PercpuArray, PercpuHash, Queue, Stack,
    };
    let mut elements = BTreeMap::new();
    match map.def().kind() {
        Some(Array | Hash | LpmTrie | LruHash | LruPercpuHash | PercpuArray | PercpuHash) => {
            for entry in map.entries() {
                let (key, value) = entry?;
                elements.insert(key, value);
            }
        }
        Some(Queue | Stack) => {
            let mut number = 0u32;
            while let Some(value) = map.lookup_and_delete(&[])? {
                elements.insert(number.to_be_bytes().to_vec(), value);
                number += 1;
            }
        }
        _ => {}
    }
    Ok(elements)
}

fn set_clock(skep: &Skep, packet: &Packet) -> Result<()> {
    let random = packet.time.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    clock::set(skep, packet.time, random as u32).context("the clock's map")
}
