//! `bench hook`: what an event costs at an application's hook, by `Hook::run`, which takes a
//! vCPU for each: an empty program, the limiter of `examples/hooks` with a helper of the
//! application's, and the empty program while it is replaced again and again. Times are the
//! thread's CPU time; a figure is the median of the turns.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use serde_json::json;
use skep::hook::{DataEnd, DataStart, Decider, Hook, Verdicts};
use skep::{HookContext, Object};

use crate::linux;

const TURNS: usize = 31;
const EVENTS: usize = 200_000;
/// Nanoseconds that an event may take with an empty program.
const EMPTY_GOAL: f64 = 10.0;

#[derive(HookContext, Default)]
#[repr(C)]
struct Probe {
    number: u64,
    #[hook(write)]
    answer: u64,
}

#[derive(HookContext, Default)]
#[repr(C)]
struct Request {
    time: u64,
    client: u32,
    #[hook(write)]
    status: u32,
    #[hook(write)]
    retry_after: u32,
    port: u16,
    method: [u8; 2],
    path: DataStart,
    path_end: DataEnd,
}

const VERDICTS: Verdicts = Verdicts { without: 1, failed: -1 };

/// Runs the bench; 1 when short of a goal.
pub fn run() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("skep-bench hook: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn object(path: &str) -> Result<Object> {
    Ok(Object::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path))?)
}

/// Nanoseconds of this thread's time that each event takes, of the median turn.
fn time(mut event: impl FnMut(u64) -> bool) -> Result<f64> {
    let mut turns = Vec::new();
    for turn in 0..=TURNS {
        let start = linux::thread_time();
        let all = (0..EVENTS as u64).all(&mut event);
        anyhow::ensure!(all, "a program failed");
        // The first turn warms up.
        turns.extend((turn > 0).then(|| (linux::thread_time() - start) as f64 / EVENTS as f64));
    }
    crate::run::median(&turns).context("nothing was measured")
}

fn measure() -> Result<bool> {
    let blank = object("tests/hooks/blank.bpf.o")?;
    let probe = Hook::<Probe>::builder("probe", VERDICTS).build()?;
    probe.replace(&blank)?;
    let mut context = Probe::default();
    let mut empty_event = |number| {
        context.number = number;
        probe.run(&mut context).by == Decider::Program
    };
    let empty = time(&mut empty_event)?;

    let limiter = Hook::<Request>::builder("request", VERDICTS)
        .helper("is_trusted", |client: u32| client == 0)
        .build()?;
    limiter.replace(&object("examples/hooks/request_rates.bpf.o")?)?;
    let mut request = Request::default();
    let limited = time(|number| {
        // Each of 256 clients comes at a rate that passes.
        request.time = number << 24;
        request.client = 1 + (number as u32 & 255);
        limiter.run(&mut request).by == Decider::Program
    })?;

    let over = AtomicBool::new(false);
    let (replaced, while_replacing) = std::thread::scope(|scope| -> Result<_> {
        let operator = scope.spawn(|| -> Result<u64> {
            let mut replaced = 0;
            while !over.load(Ordering::Relaxed) {
                probe.replace(&blank)?;
                replaced += 1;
            }
            Ok(replaced)
        });
        let while_replacing = time(&mut empty_event);
        over.store(true, Ordering::Relaxed);
        let replaced = operator.join().map_err(|_| anyhow::anyhow!("a panic"))??;
        Ok((replaced, while_replacing?))
    })?;
    let reached = empty <= EMPTY_GOAL;
    println!("an event, empty program: {empty:.2} ns (goal: at most {EMPTY_GOAL})");
    println!("an event, rate limiter with a helper and a map: {limited:.1} ns");
    println!("an event, empty program, replaced {replaced} times: {while_replacing:.2} ns");
    let figures = json!({
        "empty": empty, "limiter": limited, "replacing": while_replacing, "replaced": replaced,
    });
    std::fs::create_dir_all("target/bench")?;
    std::fs::write("target/bench/hook.json", serde_json::to_string_pretty(&figures)?)?;
    Ok(reached)
}
