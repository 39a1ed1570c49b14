//! Load time: BPF_PROG_LOAD of an object's programs on both kernels, in turns. Linux
//! verifies and compiles in it; ours verifies in it and compiles when a program first
//! runs, which is added.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use skep::load::{Options, load, relocate};
use skep::sys::{Below, Between, Command, Layer};
use skep::{Errno, Kernel, Linux, Object, Skep, Target, TestRun, Vm};

use super::side::PREPARE;
use crate::linux;
use crate::run::measure::median;

/// Median microseconds until all programs of an object can run.
pub struct Load {
    pub name: String,
    /// Whether it uses what only a kernel has.
    pub in_kernel: bool,
    pub linux: f64,
    /// Our PROG_LOAD, most of which is the verifier.
    pub verify: f64,
    /// What the first run takes longer than the second one.
    pub compile: f64,
}

impl Load {
    /// Our time by Linux's.
    pub fn over(&self) -> f64 {
        (self.verify + self.compile) / self.linux
    }
}

/// Adds up the CPU time of each PROG_LOAD.
#[derive(Default)]
struct Timed {
    spent: AtomicU64,
}

impl Between for Timed {
    fn bpf(&self, below: &Below<'_>, command: &mut Command<'_>) -> Result<u32, Errno> {
        let start = linux::thread_time();
        let result = below.bpf(command);
        if matches!(command, Command::ProgLoad(_)) {
            self.spent.fetch_add(linux::thread_time() - start, Ordering::Relaxed);
        }
        result
    }
}

/// Loads an object on both kernels, `times` times. Programs are run on `packet`.
pub fn measure(
    name: &str,
    in_kernel: bool,
    mut object: Object,
    packet: &[u8],
    times: usize,
) -> Result<Load> {
    object.select(|def| def.name != PREPARE);
    let timed = |kernel| Arc::new(Layer::new(kernel, Timed::default()));
    let (linux, ours) = (timed(Arc::new(Linux::new())), timed(Arc::new(Vm::new())));
    let target = Target::of(&*linux);
    let linked = relocate(&object, &target)?;
    let load = |timed: &Arc<Layer<Timed>>| -> Result<(Skep, f64)> {
        let kernel: Arc<dyn Kernel> = timed.clone();
        timed.spent.store(0, Ordering::Relaxed);
        let skep = load(&linked, &target, &kernel, &Options::default())?;
        Ok((skep, timed.spent.load(Ordering::Relaxed) as f64 / 1e3))
    };
    let mut all: [Vec<f64>; 3] = Default::default();
    // The first time warms both up.
    for time in 0..=times {
        let linux = load(&linux)?.1;
        let (skep, verify) = load(&ours)?;
        let compile = first_runs(&skep, packet)?;
        if time > 0 {
            for (times, figure) in all.iter_mut().zip([linux, verify, compile]) {
                times.push(figure);
            }
        }
    }
    let [linux, verify, compile] = all.map(|times| median(&times).unwrap_or(f64::NAN));
    Ok(Load { name: name.to_owned(), in_kernel, linux, verify, compile })
}

/// Microseconds that the first runs of all programs take longer than the second ones.
fn first_runs(skep: &Skep, packet: &[u8]) -> Result<f64> {
    let run = |program: &skep::Program| -> Result<f64> {
        let start = linux::thread_time();
        let (_, result) = program.test_run(TestRun {
            data_size_in: packet.len() as u32,
            data_in: Some(packet.into()),
            ..TestRun::default()
        });
        result.context("a first run")?;
        Ok((linux::thread_time() - start) as f64 / 1e3)
    };
    skep.programs().iter().map(|program| Ok((run(program)? - run(program)?).max(0.0))).sum()
}
