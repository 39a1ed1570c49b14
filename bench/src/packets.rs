//! `bench packets`: what a packet costs besides the program that it is given to.
//!
//! Programs that do nearly nothing run on the frames of a recorded capture by
//! [`PacketHook`], one for each type that takes packets; what is compared is their time by
//! that of an XDP program. One PROG_TEST_RUN of one of them is measured beside Linux's. All
//! times are the thread's CPU time; sides take turns, and a figure is the median of the
//! turns' quotients.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use skep::abi::ProgType;
use skep::load::capture::Reader;
use skep::sys::{Command, Kernel, Linux, ProgLoad};
use skep::vm::hooks::PacketHook;
use skep::{TestRun, Vm};

use crate::linux;

const CAPTURE: &str = "../examples/mixed.pcapng";
const TURNS: usize = 31;
/// Packets and calls of a turn.
const PACKETS: usize = 100_000;
const CALLS: usize = 5_000;
/// How much of an XDP packet's time another type's packet may take, and of a call of Linux's
/// one of ours.
const PACKET_GOAL: f64 = 1.2;
const CALL_GOAL: f64 = 1.5;

/// The types by which packets are taken; the first is what the others are compared with.
const TYPES: [(ProgType, &str); 4] = [
    (ProgType::Xdp, "XDP"),
    (ProgType::SchedCls, "tc"),
    (ProgType::SocketFilter, "socket filter"),
    (ProgType::CgroupSkb, "cgroup"),
];

/// `r0 = 0; exit`
const EMPTY: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// Runs the bench; 1 when short of a goal.
pub fn run() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("skep-bench packets: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn load(kernel: &dyn Kernel, kind: ProgType) -> Result<u32> {
    let load = ProgLoad {
        prog_type: kind as u32,
        insn_cnt: (EMPTY.len() / 8) as u32,
        insns: Some(EMPTY[..].into()),
        license: Some(b"MIT\0"[..].into()),
        ..ProgLoad::default()
    };
    let loaded = kernel.bpf(&mut Command::ProgLoad(Box::new(load)));
    loaded.map_err(|errno| anyhow!("{} refuses the program: {errno}", kernel.name()))
}

fn frames() -> Result<Vec<Vec<u8>>> {
    let mut reader = Reader::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(CAPTURE))?;
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet()? {
        if packet.data.len() >= 14 {
            frames.push(packet.data.to_vec());
        }
    }
    Ok(frames)
}

/// Nanoseconds of this thread's time that each of `count` steps takes.
fn time(count: usize, mut step: impl FnMut(usize) -> bool) -> Result<f64> {
    let start = linux::thread_time();
    let all = (0..count).all(&mut step);
    anyhow::ensure!(all, "a program did not return");
    Ok((linux::thread_time() - start) as f64 / count as f64)
}

/// One TEST_RUN on a packet.
fn test_run(kernel: &dyn Kernel, prog_fd: u32, packet: &[u8]) -> bool {
    let run = TestRun {
        prog_fd,
        data_size_in: packet.len() as u32,
        data_in: Some(packet.into()),
        ..TestRun::default()
    };
    kernel.bpf(&mut Command::TestRun(Box::new(run))).is_ok()
}

fn median(values: &[f64]) -> Result<f64> {
    crate::run::median(values).context("nothing was measured")
}

/// The median of the turns' quotients.
fn quotient(above: &[f64], below: &[f64]) -> Result<f64> {
    median(&above.iter().zip(below).map(|(above, below)| above / below).collect::<Vec<_>>())
}

fn measure() -> Result<bool> {
    linux::pin_to_cpu(1).or_else(|_| linux::pin_to_cpu(0))?;
    let (frames, vm) = (frames()?, Arc::new(Vm::new()));
    let mut hooks = Vec::new();
    for (kind, _) in TYPES {
        hooks.push(PacketHook::new(&vm, load(&*vm, kind)? as i32)?);
    }
    let kernel = Linux::new();
    let packet = [0; 64];
    let ours = load(&*vm, ProgType::SchedCls)?;
    let theirs = load(&kernel, ProgType::SchedCls)
        .inspect_err(|error| println!("skipped: TEST_RUN beside Linux: {error:#}"))
        .ok();
    let mut packets = vec![Vec::new(); hooks.len()];
    let mut calls = [Vec::new(), Vec::new()];
    for turn in 0..=TURNS {
        // The first turn warms up.
        let keep = |all: &mut Vec<f64>, time: f64| all.extend((turn > 0).then_some(time));
        for (hook, times) in hooks.iter_mut().zip(&mut packets) {
            let taken = time(PACKETS, |at| hook.run(&frames[at % frames.len()]).is_ok())?;
            keep(times, taken);
        }
        if let Some(theirs) = theirs {
            keep(&mut calls[0], time(CALLS, |_| test_run(&*vm, ours, &packet))?);
            keep(&mut calls[1], time(CALLS, |_| test_run(&kernel, theirs, &packet))?);
        }
    }
    report(&packets, &calls)
}

fn report(packets: &[Vec<f64>], calls: &[Vec<f64>; 2]) -> Result<bool> {
    let mut figures = Vec::new();
    for ((_, name), times) in TYPES.iter().zip(packets) {
        let quotient = quotient(times, &packets[0])?;
        println!("a packet, {name}: {:.0} ns", median(times)?);
        figures.push((format!("a packet, {name}, of XDP's time"), quotient, PACKET_GOAL));
    }
    if let [ours, theirs] = calls
        && !theirs.is_empty()
    {
        println!("a call of TEST_RUN: {:.0} ns, Linux {:.0} ns", median(ours)?, median(theirs)?);
        let name = "a call of TEST_RUN, of Linux's time".to_owned();
        figures.push((name, quotient(ours, theirs)?, CALL_GOAL));
    }
    let rows = figures.iter().map(|(name, figure, goal)| {
        json!({ "name": name, "figure": figure, "goal": goal, "met": figure <= goal })
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench/packets.json");
    std::fs::write(path, serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?)?;
    for (name, figure, goal) in &figures {
        let verdict = if figure <= goal { "met" } else { "MISSED" };
        println!("{name}: {figure:.2}, goal {goal}: {verdict}");
    }
    Ok(figures.iter().all(|(_, figure, goal)| figure <= goal))
}
