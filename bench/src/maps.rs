//! `bench maps`: hash maps beside Linux's own.
//!
//! Linux's maps are called by a program in a TEST_RUN loop, ours by the same loop in Rust, and
//! by the same program in the embedded kernel; nothing is subtracted on any side. Two threads are pinned to two CPUs
//! and work on one map. Time is the threads' CPU time, which on an idle machine is
//! the wall's.

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::{Arc, Barrier};

use serde_json::{Value, json};
use skep::sys::{Command, Kernel, MapCreate, MapElem, ProgLoad, TestRun};
use skep_abi::{MapType, ProgType};
use skep_vm::Vm;
use skep_vm::maps::{Map, MapAttr};

use crate::program::{Operation, key, packet};
use crate::{linux, ours, program};

/// Entries, and the rounds of a repetition: some tens of milliseconds of Linux's time, which
/// stops a program's loop after a quarter of a second.
const SIZES: [(u32, u64, &str); 3] =
    [(1 << 10, 1 << 19, "1k"), (1 << 16, 1 << 18, "64k"), (1 << 20, 1 << 17, "1M")];
const KEY_SIZES: [u32; 2] = [4, 16];
const REPETITIONS: usize = 21;

/// A kernel's map, filled, and how to loop over it.
enum Side {
    Linux { lookup: OwnedFd, update: OwnedFd },
    Ours { map: Arc<Map> },
    Programs { vm: Box<Vm>, lookup: u32, update: u32 },
}

impl Side {
    fn linux(key_size: u32, entries: u32) -> Result<Side> {
        let map = linux::create_map(MapType::Hash as u32, key_size, 8, entries)?;
        for number in 0..entries {
            linux::update(&map, &key(number, key_size), &u64::from(number).to_ne_bytes())?;
        }
        let load = |operation| {
            linux::load_xdp(&program::looping(map.as_raw_fd(), operation, key_size, entries))
        };
        Ok(Side::Linux { lookup: load(Operation::Lookup)?, update: load(Operation::Update)? })
    }

    fn ours(key_size: u32, entries: u32) -> Side {
        let attr = MapAttr::new(MapType::Hash, key_size, 8, entries);
        let map = Map::create(&attr, 2).expect("a map of at most some 100 MiB");
        for number in 0..entries {
            let value = u64::from(number).to_ne_bytes();
            map.update(&key(number, key_size)[..key_size as usize], &value, 0, 0)
                .expect("the map has room");
        }
        Side::Ours { map }
    }

    /// Ours, called by Linux's very program.
    fn programs(key_size: u32, entries: u32) -> Side {
        let vm = Box::new(Vm::with_cpus(2));
        let create = MapCreate {
            map_type: MapType::Hash as u32,
            key_size,
            value_size: 8,
            max_entries: entries,
            ..MapCreate::default()
        };
        let map_fd = vm.bpf(&mut Command::MapCreate(create)).expect("a map of some 100 MiB");
        for number in 0..entries {
            let (key, mut value) = (key(number, key_size), u64::from(number).to_ne_bytes());
            let elem = MapElem {
                map_fd,
                key: Some(key[..key_size as usize].into()),
                value: value.as_mut_slice().into(),
                ..MapElem::default()
            };
            vm.bpf(&mut Command::MapUpdate(elem)).expect("the map has room");
        }
        let load = |operation| {
            let insns = program::looping(map_fd as i32, operation, key_size, entries);
            let bytes: Vec<u8> = insns.iter().flat_map(|slot| slot.to_ne_bytes()).collect();
            let load = ProgLoad {
                prog_type: ProgType::Xdp as u32,
                insn_cnt: insns.len() as u32,
                insns: Some(bytes.into()),
                license: Some(b"MIT\0"[..].into()),
                ..ProgLoad::default()
            };
            vm.bpf(&mut Command::ProgLoad(Box::new(load))).expect("Linux takes it, too")
        };
        let (lookup, update) = (load(Operation::Lookup), load(Operation::Update));
        Side::Programs { vm, lookup, update }
    }

    /// Runs the loop on this thread: the sum.
    fn rounds(&self, case: Case, state: u64, cpu: usize) -> Result<u32> {
        match self {
            Side::Linux { lookup, update } => {
                let program = match case.operation {
                    Operation::Lookup => lookup,
                    Operation::Update => update,
                };
                linux::test_run(program, &packet(state, case.rounds))
            }
            Side::Programs { vm, lookup, update } => {
                let packet = packet(state, case.rounds);
                let run = TestRun {
                    prog_fd: match case.operation {
                        Operation::Lookup => *lookup,
                        Operation::Update => *update,
                    },
                    data_size_in: packet.len() as u32,
                    data_in: Some(packet[..].into()),
                    ..TestRun::default()
                };
                let mut command = Command::TestRun(Box::new(run));
                let done = vm.bpf(&mut command);
                done.map_err(|errno| Error::from_raw_os_error(errno.0))?;
                let Command::TestRun(run) = command else { unreachable!("it was made above") };
                Ok(run.retval)
            }
            Side::Ours { map } => {
                let Case { operation, key_size, entries, .. } = case;
                let work = (state, case.rounds);
                Ok(ours::looping(map, operation, key_size, entries, work, cpu as u32))
            }
        }
    }

    /// Nanoseconds per operation and thread, of one repetition; and the threads' sums.
    fn measure(&self, case: Case, seed: u64) -> Result<(f64, Vec<u32>)> {
        let barrier = Barrier::new(case.threads);
        let work = |cpu: usize| {
            linux::pin_to_cpu(cpu)?;
            barrier.wait();
            let start = linux::thread_time();
            let sum = self.rounds(case, seed + cpu as u64, cpu)?;
            Ok(((linux::thread_time() - start) as f64 / case.rounds as f64, sum))
        };
        let results: Vec<Result<(f64, u32)>> = std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                (0..case.threads).map(|cpu| scope.spawn(move || work(cpu))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let results = results.into_iter().collect::<Result<Vec<_>>>()?;
        let time = results.iter().map(|(time, _)| time).sum::<f64>() / case.threads as f64;
        Ok((time, results.into_iter().map(|(_, sum)| sum).collect()))
    }
}

#[derive(Clone, Copy)]
struct Case {
    operation: Operation,
    key_size: u32,
    entries: u32,
    rounds: u64,
    threads: usize,
}

impl Case {
    fn name(&self, size: &str) -> String {
        let operation = match self.operation {
            Operation::Lookup => "look-up",
            Operation::Update => "update",
        };
        let threads = if self.threads == 1 { "1 thread" } else { "2 threads" };
        format!("{operation}, {size} entries, {}-byte keys, {threads}", self.key_size)
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A case's times, ours and Linux's, by repetition.
struct Timing {
    name: String,
    case: Case,
    ours: Vec<f64>,
    linux: Vec<f64>,
    programs: Vec<f64>,
}

impl Timing {
    /// Ours, Linux's, ours in programs.
    fn medians(&self) -> [f64; 3] {
        [&self.ours, &self.linux, &self.programs].map(|times| median(times.iter().copied()))
    }

    /// The goal of look-ups in programs, of Linux's time: where every access misses the
    /// caches, most of it is the machine's.
    fn goal(&self) -> Option<f64> {
        match self.case.operation {
            Operation::Lookup => Some(if self.case.entries < 1 << 20 { 0.35 } else { 0.6 }),
            Operation::Update => None,
        }
    }
}

/// The median of the repetitions' quotients: what disturbs the machine for longer than a
/// repetition disturbs both sides of each.
fn quotient(above: &[f64], below: &[f64]) -> f64 {
    median(above.iter().zip(below).map(|(above, below)| above / below))
}

/// Runs the bench; 1 when short of a goal.
pub fn run() -> ExitCode {
    match measure_all() {
        Ok(timings) => report(&timings),
        Err(error) => {
            println!("bench maps: skipped: {error}");
            ExitCode::SUCCESS
        }
    }
}

fn measure_all() -> Result<Vec<Timing>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(2);
    if threads < 2 {
        println!("bench maps: one CPU only: two threads are not measured");
    }
    let mut timings = Vec::new();
    for (entries, rounds, size) in SIZES {
        for key_size in KEY_SIZES {
            let sides = [
                Side::ours(key_size, entries),
                Side::linux(key_size, entries)?,
                Side::programs(key_size, entries),
            ];
            for operation in [Operation::Lookup, Operation::Update] {
                let cases: Vec<Case> = (1..=threads)
                    .map(|threads| Case { operation, key_size, entries, rounds, threads })
                    .collect();
                for timing in compare(&cases, &sides, size)? {
                    let [ours, linux, programs] = timing.medians();
                    println!(
                        "{}: {ours:.1} ns, in programs {programs:.1} ns, Linux {linux:.1} ns",
                        timing.name
                    );
                    timings.push(timing);
                }
            }
        }
    }
    Ok(timings)
}

/// Measures all sides with one thread and with two in turns, so that what else the machine
/// does meets all alike.
fn compare(cases: &[Case], sides: &[Side; 3], size: &str) -> Result<Vec<Timing>> {
    let mut times = vec![[const { Vec::new() }; 3]; cases.len()];
    for repetition in 0..=REPETITIONS as u64 {
        for (case, times) in cases.iter().zip(&mut times) {
            let mut sums = Vec::new();
            for (side, times) in sides.iter().zip(times) {
                let (time, sum) = side.measure(*case, repetition << 32)?;
                sums.push(sum);
                // The first repetition warms up.
                if repetition > 0 {
                    times.push(time);
                }
            }
            assert!(
                sums.iter().all(|sum| *sum == sums[0]),
                "{}: the loops differ",
                case.name(size)
            );
        }
    }
    let timing = |(case, [ours, linux, programs]): (&Case, [Vec<f64>; 3])| Timing {
        name: case.name(size),
        case: *case,
        ours,
        linux,
        programs,
    };
    Ok(cases.iter().zip(times).map(timing).collect())
}

fn report(timings: &[Timing]) -> ExitCode {
    let mut figures: Vec<(String, f64, f64, bool)> = Vec::new();
    for timing in timings {
        let ratio = quotient(&timing.ours, &timing.linux);
        figures.push((format!("{}, of Linux's time", timing.name), ratio, 0.5, ratio <= 0.5));
        if let Some(goal) = timing.goal() {
            let ratio = quotient(&timing.programs, &timing.linux);
            let name = format!("{}, in programs, of Linux's time", timing.name);
            figures.push((name, ratio, goal, ratio <= goal));
        }
    }
    for one in timings.iter().filter(|t| t.case.threads == 1) {
        let two = timings.iter().find(|two| {
            two.case.threads == 2
                && two.case.operation == Operation::Lookup
                && one.case.operation == Operation::Lookup
                && (two.case.key_size, two.case.entries) == (one.case.key_size, one.case.entries)
        });
        if let Some(two) = two {
            let speedup = 2.0 * quotient(&one.ours, &two.ours);
            figures.push((format!("{}, speed-up", two.name), speedup, 1.8, speedup >= 1.8));
        }
    }
    write_json(timings, &figures);
    for (name, value, goal, _) in &figures {
        println!("bench maps: {name} = {value:.2} (goal {goal})");
    }
    if figures.iter().all(|(.., met)| *met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write_json(timings: &[Timing], figures: &[(String, f64, f64, bool)]) {
    let document = json!({
        "bench": "maps",
        "unit": "ns per operation and thread",
        "timings": timings.iter().map(|timing| json!({
            "name": timing.name,
            "ours": timing.medians()[0],
            "linux": timing.medians()[1],
            "programs": timing.medians()[2],
        })).collect::<Vec<Value>>(),
        "figures": figures.iter().map(|(name, value, goal, met)| json!({
            "name": name, "value": value, "goal": goal, "met": met,
        })).collect::<Vec<Value>>(),
    });
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench");
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(format!("{folder}/maps.json"), format!("{document:#}\n")));
    if let Err(error) = written {
        eprintln!("{folder}/maps.json: {error}");
    }
}
