//! `parity sound`: what the verifier accepts runs on the tagged interpreter, on random
//! packets and maps, with everything that the verifier was sure of asserted at every
//! instruction. A trap, or a fact that does not hold, is an error of the verifier.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use skep_abi::TrapKind;
use skep_btf::Btf;
use skep_load::{Object, Options as LoadOptions, Skep, Target, load, relocate};
use skep_sys::{Kernel, Linux, RawFd};
use skep_vm::Vm;
use skep_vm::hooks::{PacketError, PacketHook};

use crate::corpus;
use crate::elements::Map;
use crate::inputs::Random;
use crate::verify::random::{MapPlace, create_maps, program};
use crate::verify::{Corpus, is_verifier_test, selftests};

/// What to run.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Only this corpus
    #[arg(long, value_enum)]
    corpus: Vec<Corpus>,
    /// How many random programs
    #[arg(long, default_value_t = 200_000)]
    count: u64,
    /// The first random program's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Random inputs for each program
    #[arg(long, default_value_t = 100)]
    inputs: u64,
}

impl Options {
    /// What continuous integration runs.
    pub fn short() -> Options {
        Options { corpus: Vec::new(), count: 2_000, seed: 1, inputs: 20 }
    }
}

/// Instructions of one run: loops may lawfully run for hours.
const BUDGET: u64 = 1 << 16;

/// What became of the programs of a corpus.
#[derive(Default)]
pub struct Tally {
    pub ran: usize,
    pub runs: u64,
    pub out_of_budget: u64,
    /// Programs that were not run, by reason.
    pub left: BTreeMap<String, usize>,
    /// Errors of the verifier.
    pub wrong: Vec<String>,
}

impl Tally {
    fn merge(&mut self, other: Tally) {
        self.ran += other.ran;
        self.runs += other.runs;
        self.out_of_budget += other.out_of_budget;
        for (why, count) in other.left {
            *self.left.entry(why).or_default() += count;
        }
        self.wrong.extend(other.wrong);
    }

    pub fn leave(&mut self, why: impl Into<String>) {
        *self.left.entry(why.into()).or_default() += 1;
    }
}

/// Runs, and prints the figures. Gives whether nothing went wrong.
///
/// # Errors
/// A corpus that cannot be had.
pub fn execute(options: &Options) -> Result<bool> {
    let raw = Linux::new().host().vmlinux_btf();
    let vmlinux =
        Arc::new(Btf::parse(raw.context("/sys/kernel/btf/vmlinux cannot be read")?.to_vec())?);
    let corpora = match &options.corpus[..] {
        [] => vec![Corpus::AVerifier, Corpus::B, Corpus::C],
        some => some.to_vec(),
    };
    let mut good = true;
    for corpus in corpora {
        let tally = match corpus {
            Corpus::AVerifier => {
                objects(&selftests::objects(&vmlinux, is_verifier_test)?, options)?
            }
            Corpus::ARest => {
                objects(&selftests::objects(&vmlinux, |name| !is_verifier_test(name))?, options)?
            }
            Corpus::B => {
                let paths: Vec<PathBuf> =
                    corpus::objects()?.into_iter().map(|object| object.path).collect();
                objects(&paths, options)?
            }
            Corpus::C
            | Corpus::Tables
            | Corpus::Kfuncs
            | Corpus::Globals
            | Corpus::Trampolines
            | Corpus::Paths => random(options)?,
        };
        for line in tally.wrong.iter().take(50) {
            println!("WRONG {line}");
        }
        for (why, count) in &tally.left {
            println!("  not run: {count}: {why}");
        }
        println!(
            "parity sound-{}: {} programs, {} runs, {} out of budget, {} wrong",
            corpus.name(),
            tally.ran,
            tally.runs,
            tally.out_of_budget,
            tally.wrong.len()
        );
        good &= tally.wrong.is_empty();
    }
    Ok(good)
}

fn embedded() -> Arc<Vm> {
    Arc::new(Vm::with_cpus(1).with_budget(BUDGET).asserting_facts())
}

/// Shares work between the cores; each thread gets numbers below `count`.
pub fn share<S>(
    count: usize,
    start: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, usize, &mut Tally) + Sync,
) -> Result<Tally> {
    let next = AtomicUsize::new(0);
    let run = || -> Result<Tally> {
        let (mut state, mut tally) = (start()?, Tally::default());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return Ok(tally);
            }
            work(&mut state, at, &mut tally);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(run)).collect();
        workers.into_iter().try_for_each(|worker| {
            all.merge(worker.join().expect("no panic")?);
            anyhow::Ok(())
        })
    })?;
    Ok(all)
}

/// Corpus C.
fn random(options: &Options) -> Result<Tally> {
    let start = || {
        let vm = embedded();
        let maps = create_maps(&*vm)?;
        Ok((vm, maps))
    };
    share(options.count as usize, start, |(vm, maps), at, tally| {
        let seed = options.seed + at as u64;
        let random = program(seed, maps);
        match random.load(&(vm.clone() as Arc<dyn Kernel>)) {
            Err(errno) => tally.leave(format!("refused: {errno}")),
            Ok(fd) => {
                let maps: Vec<Map> = maps.iter().map(MapPlace::elements).collect();
                let name = format!("seed {seed}");
                run(vm, fd.raw(), &name, &maps, seed, options.inputs, tally);
            }
        }
    })
}

/// Corpora A and B.
fn objects(paths: &[PathBuf], options: &Options) -> Result<Tally> {
    each_program(paths, embedded, |vm, fd, name, maps, seed, tally| {
        run(vm, fd, name, maps, seed, options.inputs, tally);
    })
}

/// Loads each program of each object on its own into a kernel that `kernel` makes. `work`
/// gets it with its name and maps, and a number to draw inputs by.
pub fn each_program(
    paths: &[PathBuf],
    kernel: impl Fn() -> Arc<Vm> + Sync,
    work: impl Fn(&Arc<Vm>, RawFd, &str, &[Map], u64, &mut Tally) + Sync,
) -> Result<Tally> {
    share(
        paths.len(),
        || Ok(()),
        |(), at, tally| {
            let Ok(object) = Object::open(&paths[at]) else {
                return tally.leave("an object that the loader does not read");
            };
            let file = paths[at].file_name().unwrap_or_default().to_string_lossy().into_owned();
            for def in &object.programs {
                let vm = kernel();
                match load_one(&vm, &object, &def.name) {
                    Err(why) => tally.leave(why),
                    Ok(skep) => {
                        let Some(loaded) = skep.program(&def.name) else { continue };
                        let maps: Vec<Map> = skep.maps().map(elements).collect();
                        let name = format!("{file}:{}", def.name);
                        work(&vm, loaded.fd().raw(), &name, &maps, at as u64, tally);
                    }
                }
            }
        },
    )
}

fn load_one(vm: &Arc<Vm>, object: &Object, name: &str) -> Result<Skep, String> {
    let mut object = object.clone();
    object.select(|def| def.name == name);
    let kernel: Arc<dyn Kernel> = vm.clone();
    let target = Target::of(&*kernel);
    let linked = relocate(&object, &target).map_err(|_| "it does not relocate")?;
    load(&linked, &target, &kernel, &LoadOptions::default()).map_err(|error| match error.kind() {
        skep_load::LoadErrorKind::Program { .. } => "refused".to_owned(),
        skep_load::LoadErrorKind::Map { .. } => "a map that the embedded kernel lacks".into(),
        _ => "its types or target".into(),
    })
}

/// Runs a program on random packets, with random elements in its maps.
fn run(
    vm: &Arc<Vm>,
    fd: RawFd,
    name: &str,
    maps: &[Map],
    seed: u64,
    inputs: u64,
    tally: &mut Tally,
) {
    let mut random = Random::new(seed);
    let mut hook = match PacketHook::new(vm, fd) {
        Ok(hook) => hook,
        Err(PacketError::Missing(_)) => {
            return tally.leave("a function that the embedded kernel lacks");
        }
        Err(_) => return tally.leave("a program type that the embedded kernel does not run"),
    };
    vm.environment().seed(seed);
    for _ in 0..inputs {
        maps.iter().for_each(|map| fill(vm, map, &mut random));
        match hook.run(&random.frame()) {
            Ok(_) => {}
            Err(PacketError::OutOfBudget) => tally.out_of_budget += 1,
            Err(PacketError::Trapped(trap)) => match trap.kind {
                TrapKind::UnknownHelper { .. } | TrapKind::UnknownKfunc { .. } => {
                    return tally.leave("a function that the embedded kernel lacks");
                }
                TrapKind::KernelMemory { .. } => {
                    return tally.leave("a structure of the kernel that is not here");
                }
                _ => {
                    tally.wrong.push(format!("{name}: {trap}"));
                    break;
                }
            },
            Err(
                PacketError::Program(_)
                | PacketError::Missing(_)
                | PacketError::TooShort(_)
                | PacketError::TooLong(_)
                | PacketError::Vcpu(_),
            ) => {}
        }
        tally.runs += 1;
    }
    tally.ran += 1;
}

/// The map of an object, as system calls see it: a per-CPU map's values are rounded up to
/// 8 bytes.
fn elements(map: &skep_load::Map) -> Map {
    let (def, fd) = (map.def(), map.fd().raw());
    let value = (def.value_size as usize).next_multiple_of(8);
    Map { fd, key: def.key_size as usize, value }
}

/// Puts an element into a map, where it takes one.
pub fn fill(vm: &Vm, map: &Map, random: &mut Random) {
    if map.key > 64 || map.value > 4096 {
        return;
    }
    let mut key = random.bytes(map.key);
    // Small keys are those that programs look up.
    key.iter_mut().skip(1).for_each(|byte| *byte = 0);
    if let Some(first) = key.first_mut() {
        *first &= 7;
    }
    let _ = map.update(vm, &key, &random.bytes(map.value));
}
