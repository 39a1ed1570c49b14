//! `parity engines`: what the verifier accepts gives the same on every engine of the
//! embedded kernel: the interpreter, code with all checks, code without any, and code
//! that one pass was left out of. Compared are verdict, packet and maps, on random
//! packets and maps. Programs that the verifier refuses run with all checks, and
//! nothing is asked of them but that they stay in their memory.
//!
//! The packet lies elsewhere on each engine. What programs compute may not depend on
//! addresses, nor on what nobody wrote: those that are written with care do not, others
//! are judged as of a loader without CAP_PERFMON.

use std::sync::Arc;

use anyhow::Result;
use skep_abi::{Capabilities, TrapKind};
use skep_sys::{Kernel, RawFd};
use skep_vm::hooks::{PacketError, PacketHook};
use skep_vm::jit::Passes;
use skep_vm::{Engine, Vm};

use crate::corpus;
use crate::elements::Map;
use crate::inputs::Random;
use crate::random::{is_careful, runnable};
use crate::sound::{Tally, each_program, fill, share};
use crate::verify::random::{MapPlace, create_maps};

/// What to run.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// How many random programs
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// The first random program's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Random inputs for each program
    #[arg(long, default_value_t = 8)]
    inputs: u64,
}

impl Options {
    /// What continuous integration runs.
    pub fn short() -> Options {
        Options { count: 10_000, seed: 1, inputs: 4 }
    }
}

/// Instructions of one run.
const BUDGET: u64 = 1 << 16;

/// An engine, and a name for it.
struct Side {
    name: String,
    engine: Engine,
    passes: Passes,
}

/// The interpreter, what is compared with it always, and code without one pass, in turn.
fn sides(turn: u64) -> [Side; 4] {
    let side = |name: &str, engine, passes| Side { name: name.to_owned(), engine, passes };
    let names = Passes::names();
    let off = names[turn as usize % names.len()];
    let rest = Passes::named(off).map_or(Passes::NONE, |off| Passes::ALL.without(off));
    [
        side("interpreter", Engine::Interpreter, Passes::NONE),
        side("guarded", Engine::Guarded, Passes::ALL),
        side("elided", Engine::Auto, Passes::ALL),
        side(&format!("elided without {off}"), Engine::Auto, rest),
    ]
}

/// Runs, and prints the figures. Gives whether nothing differs.
///
/// # Errors
/// A corpus that cannot be had.
pub fn execute(options: &Options) -> Result<bool> {
    let mut good = true;
    for (name, tally) in [("random", random(options)?), ("objects", objects(options)?)] {
        for line in tally.wrong.iter().take(50) {
            println!("DIFFERS {line}");
        }
        for (why, count) in &tally.left {
            println!("  not compared: {count}: {why}");
        }
        println!(
            "parity engines-{name}: {} programs, {} runs, {} out of budget, {} differ",
            tally.ran,
            tally.runs,
            tally.out_of_budget,
            tally.wrong.len()
        );
        good &= tally.wrong.is_empty() && tally.ran > 0;
    }
    Ok(good)
}

/// A worker's kernels, each with its maps: one for programs that are written with care,
/// one for others, and one that takes everything.
struct Worker {
    careful: (Arc<Vm>, Vec<MapPlace>),
    judging: (Arc<Vm>, Vec<MapPlace>),
    wild: (Arc<Vm>, Vec<MapPlace>),
}

fn random(options: &Options) -> Result<Tally> {
    let caps = Capabilities::BPF | Capabilities::NET_ADMIN;
    let start = || {
        let vm = || Vm::with_cpus(1).with_budget(BUDGET);
        let with_maps = |vm: Vm| {
            let mut maps = create_maps(&vm)?;
            // The last is an LRU map: what it evicts depends on what was in it before.
            maps.pop();
            anyhow::Ok((Arc::new(vm), maps))
        };
        Ok(Worker {
            careful: with_maps(vm())?,
            judging: with_maps(vm().with_capabilities(caps))?,
            wild: with_maps(vm().with_engine(Engine::Guarded).unverified())?,
        })
    };
    share(options.count as usize, start, |worker, at, tally| {
        let seed = options.seed + at as u64;
        let (vm, maps) = if is_careful(seed) { &worker.careful } else { &worker.judging };
        match runnable(seed, maps, |_| {}).load(&(vm.clone() as Arc<dyn Kernel>)) {
            Ok(fd) => {
                let maps: Vec<Map> = maps.iter().map(MapPlace::elements).collect();
                let name = format!("seed {seed}");
                compare(vm, fd.raw(), &maps, &name, seed, options.inputs, tally);
            }
            Err(errno) => {
                tally.leave(format!("refused: {errno}"));
                let (vm, maps) = &worker.wild;
                let kernel: Arc<dyn Kernel> = vm.clone();
                if let Ok(fd) = runnable(seed, maps, |_| {}).load(&kernel) {
                    run_wild(vm, fd.raw(), maps, seed);
                }
            }
        }
    })
}

/// A program that nobody accepted, on a few packets.
fn run_wild(vm: &Arc<Vm>, fd: RawFd, maps: &[MapPlace], seed: u64) {
    let mut random = Random::new(seed);
    let Ok(mut hook) = PacketHook::new(vm, fd) else { return };
    for _ in 0..4 {
        maps.iter().for_each(|map| fill(vm, &map.elements(), &mut random));
        // A trap is as good as a verdict.
        let _ = hook.run(&random.frame());
    }
}

/// The packet programs of Debian's objects and of our own.
fn objects(options: &Options) -> Result<Tally> {
    let paths: Vec<_> = corpus::objects()?.into_iter().map(|object| object.path).collect();
    let kernel = || Arc::new(Vm::with_cpus(1).with_budget(BUDGET));
    each_program(&paths, kernel, |vm, fd, name, maps, seed, tally| {
        compare(vm, fd, maps, name, seed, options.inputs, tally);
    })
}

/// What a run left behind.
#[derive(PartialEq, Debug)]
struct After {
    verdict: Result<u32, String>,
    packet: Vec<u8>,
    maps: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl After {
    /// The first thing that another side did differently.
    fn difference(&self, other: &After) -> String {
        if self.verdict != other.verdict {
            return format!("{:x?}, expected {:x?}", other.verdict, self.verdict);
        }
        if self.packet != other.packet {
            return format!("packet {:02x?}, expected {:02x?}", other.packet, self.packet);
        }
        let maps = self.maps.iter().zip(&other.maps).enumerate();
        let differ = maps.flat_map(|(number, (left, right))| {
            let element = left.iter().zip(right).find(|(left, right)| left != right);
            element.map(|(left, right)| format!("map {number}: {right:02x?}, expected {left:02x?}"))
        });
        differ.take(1).next().unwrap_or_else(|| "elements of a map".into())
    }
}

/// Empties a map, or fills it with zeros where elements cannot go.
fn clear(vm: &Vm, map: &Map) {
    for key in map.keys(vm, MOST_ELEMENTS) {
        if map.delete(vm, &key).is_err() {
            // What cannot be written either is constant.
            let _ = map.update(vm, &key, &vec![0; map.value]);
        }
    }
}

/// Runs a program on all engines; they see the same packets, maps, clock and random
/// numbers.
fn compare(
    vm: &Arc<Vm>,
    fd: RawFd,
    maps: &[Map],
    name: &str,
    seed: u64,
    inputs: u64,
    tally: &mut Tally,
) {
    let mut hooks = Vec::new();
    for side in sides(seed) {
        let Ok(hook) = PacketHook::new(vm, fd) else {
            return tally.leave("a program type that the embedded kernel does not run");
        };
        hooks.push((hook.with_engine(side.engine, side.passes), side));
    }
    for input in 0..inputs {
        let mut expected = None;
        for (hook, side) in &mut hooks {
            let seed = seed ^ input << 32;
            let mut random = Random::new(seed);
            vm.environment().seed(seed);
            hook.set_time(Some(seed));
            for map in maps {
                clear(vm, map);
                fill(vm, map, &mut random);
            }
            let verdict = match hook.run(&random.frame()) {
                Ok(verdict) => Ok(verdict.retval),
                Err(PacketError::OutOfBudget) => {
                    tally.out_of_budget += 1;
                    return;
                }
                Err(PacketError::Trapped(trap)) => match trap.kind {
                    TrapKind::UnknownHelper { .. } | TrapKind::UnknownKfunc { .. } => {
                        return tally.leave("a function that the embedded kernel lacks");
                    }
                    _ => Err(trap.to_string()),
                },
                Err(error) => Err(error.to_string()),
            };
            let maps = maps.iter().map(|map| contents(vm, map)).collect();
            let after = After { verdict, packet: hook.packet().to_vec(), maps };
            tally.runs += 1;
            match &expected {
                None => expected = Some(after),
                Some(expected) if *expected == after => {}
                Some(expected) => {
                    let what = expected.difference(&after);
                    let line = format!("{name}, {}, input {input}: {what}", side.name);
                    return tally.wrong.push(line);
                }
            }
        }
    }
    tally.ran += 1;
}

/// Elements of a map that are compared.
const MOST_ELEMENTS: usize = 256;

/// The elements of a map that can be walked, sorted.
fn contents(vm: &Vm, map: &Map) -> Vec<(Vec<u8>, Vec<u8>)> {
    let element = |key: Vec<u8>| map.value(vm, &key).map(|value| (key, value));
    let keys = map.keys(vm, MOST_ELEMENTS).into_iter();
    let mut elements: Vec<_> = keys.filter_map(element).collect();
    elements.sort();
    elements
}
