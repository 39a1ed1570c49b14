//! `parity engines`: what the verifier accepts gives the same on every engine of the
//! embedded kernel: the interpreter, code with all checks, code without any, and code
//! that one pass was left out of. Compared are verdict, packet and maps, on random
//! packets and maps. Programs that the verifier refuses run with all checks, and
//! nothing is asked of them but that they stay in their memory.
//!
//! Addresses are others on each engine, so that random programs are judged as of a
//! loader without CAP_PERFMON: what they compute may not depend on addresses, nor on
//! what nobody wrote.

use std::sync::Arc;

use anyhow::Result;
use skep_abi::{Capabilities, Errno, MapType, TrapKind};
use skep_isa::{Slot, decode, encode};
use skep_load::{Object, Options as LoadOptions, Target, load, relocate};
use skep_sys::{Command, Kernel, MapDelete, MapElem, MapNextKey, Output, ProgLoad, RawFd};
use skep_vm::hooks::{PacketError, PacketHook};
use skep_vm::jit::Passes;
use skep_vm::{Engine, Vm};

use crate::corpus;
use crate::inputs::Random;
use crate::random::clear_stack;
use crate::sound::{Tally, fill, share};
use crate::verify::random::{MapPlace, RandomProgram, create_maps, program};

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

/// A map and the sizes that system calls give for its keys and values.
#[derive(Clone, Copy)]
struct Place {
    fd: RawFd,
    key: usize,
    value: usize,
    lru: bool,
}

/// A kernel, and a name for what it does.
struct Side {
    name: String,
    vm: Arc<Vm>,
}

fn kernel(engine: Engine, passes: Passes, caps: Capabilities) -> Vm {
    let vm = Vm::with_cpus(1).with_budget(BUDGET).with_capabilities(caps);
    vm.with_engine(engine).with_passes(passes)
}

/// The interpreter, then what is compared with it; the last ones without a pass each.
fn sides(caps: Capabilities) -> Vec<Side> {
    let kernel = |engine, passes| kernel(engine, passes, caps);
    let mut all = vec![
        ("interpreter".to_owned(), kernel(Engine::Interpreter, Passes::NONE)),
        ("guarded".to_owned(), kernel(Engine::Guarded, Passes::ALL)),
        ("elided".to_owned(), kernel(Engine::Auto, Passes::ALL)),
    ];
    for name in Passes::names() {
        let off = Passes::named(name).unwrap_or(Passes::NONE);
        let passes = Passes::ALL.without(off);
        all.push((format!("elided without {name}"), kernel(Engine::Auto, passes)));
    }
    all.into_iter().map(|(name, vm)| Side { name, vm: Arc::new(vm) }).collect()
}

/// Sides that a program runs on: all engines, and one pass left out, in turn.
fn chosen(count: usize, turn: u64) -> [usize; 4] {
    const ENGINES: usize = 3;
    [0, 1, 2, ENGINES + (turn % (count - ENGINES) as u64) as usize]
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

/// A worker's kernels: judged ones, each with its maps, and one that takes everything.
struct Worker {
    sides: Vec<(Side, Vec<MapPlace>)>,
    wild: (Arc<Vm>, Vec<MapPlace>),
}

fn random(options: &Options) -> Result<Tally> {
    let caps = Capabilities::BPF | Capabilities::NET_ADMIN;
    let start = || {
        let with_maps = |side: Side| {
            let maps = comparable_maps(&side.vm)?;
            anyhow::Ok((side, maps))
        };
        let wild = Arc::new(kernel(Engine::Guarded, Passes::ALL, caps).unverified());
        let maps = comparable_maps(&wild)?;
        let sides = sides(caps).into_iter().map(with_maps).collect::<Result<_>>()?;
        Ok(Worker { sides, wild: (wild, maps) })
    };
    share(options.count as usize, start, |worker, at, tally| {
        let seed = options.seed + at as u64;
        let mut loaded = Vec::new();
        for index in chosen(worker.sides.len(), seed) {
            let (side, maps) = &worker.sides[index];
            let random = prepared(seed, maps);
            match load_random(&side.vm, &random) {
                Ok(fd) => loaded.push(Loaded { side, fd, maps: places(maps) }),
                Err(errno) => {
                    tally.leave(format!("refused: {errno}"));
                    break;
                }
            }
        }
        if loaded.len() == 4 {
            compare(&loaded, &format!("seed {seed}"), seed, options.inputs, tally);
        } else if let (vm, maps) = &worker.wild
            && let random = prepared(seed, maps)
            && let Ok(fd) = load_random(vm, &random)
        {
            run_wild(vm, fd, &places(maps), seed);
        }
        loaded.iter().for_each(|loaded| loaded.side.vm.close(loaded.fd));
    })
}

/// The maps of random programs, without the last: what an LRU map evicts depends on
/// what was in it before.
fn comparable_maps(vm: &Vm) -> Result<Vec<MapPlace>> {
    let mut maps = create_maps(vm)?;
    maps.pop();
    Ok(maps)
}

/// The program of a seed, which reads nothing of its stack that it did not write.
fn prepared(seed: u64, maps: &[MapPlace]) -> RandomProgram {
    let random = program(seed, maps);
    let Ok(mut insns) = decode(&random.slots) else { return random };
    clear_stack(&mut insns);
    RandomProgram { slots: encode(&insns), ..random }
}

fn places(maps: &[MapPlace]) -> Vec<Place> {
    let place = |map: &MapPlace| Place {
        fd: map.fd,
        key: map.key as usize,
        value: (map.value as usize).next_multiple_of(8),
        // The last one of them; see `create_maps`.
        lru: maps.last().is_some_and(|last| last.fd == map.fd),
    };
    maps.iter().map(place).collect()
}

fn load_random(vm: &Vm, random: &RandomProgram) -> Result<RawFd, Errno> {
    let mut command = Command::ProgLoad(Box::new(ProgLoad {
        prog_type: random.kind as u32,
        insn_cnt: random.slots.len() as u32,
        insns: Some(Slot::join(&random.slots).into()),
        license: Some(b"GPL\0".to_vec().into()),
        prog_flags: random.flags,
        ..ProgLoad::default()
    }));
    vm.bpf(&mut command).map(|fd| fd as RawFd)
}

/// A program that nobody accepted, on a few packets.
fn run_wild(vm: &Vm, fd: RawFd, maps: &[Place], seed: u64) {
    let mut random = Random::new(seed);
    if let Ok(mut hook) = PacketHook::new(vm, fd) {
        for _ in 0..4 {
            maps.iter().for_each(|map| fill(vm, map.fd, map.key, map.value, &mut random));
            // A trap is as good as a verdict.
            let _ = hook.run(vm, &random.frame());
        }
    }
    vm.close(fd);
}

/// The packet programs of Debian's objects and of our own, each loaded on its own.
fn objects(options: &Options) -> Result<Tally> {
    let paths: Vec<_> = corpus::objects()?.into_iter().map(|object| object.path).collect();
    share(
        paths.len(),
        || Ok(()),
        |(), at, tally| {
            let Ok(object) = Object::open(&paths[at]) else {
                return tally.leave("an object that the loader does not read");
            };
            let file = paths[at].file_name().unwrap_or_default().to_string_lossy().into_owned();
            for def in &object.programs {
                let name = format!("{file}:{}", def.name);
                object_program(&object, &def.name, &name, at as u64, options, tally);
            }
        },
    )
}

fn object_program(
    object: &Object,
    program: &str,
    name: &str,
    seed: u64,
    options: &Options,
    tally: &mut Tally,
) {
    let mut object = object.clone();
    object.select(|def| def.name == program);
    let sides = sides(Capabilities::all());
    let mut kept = Vec::new();
    let mut loaded = Vec::new();
    for index in chosen(sides.len(), seed) {
        let side = &sides[index];
        let kernel: Arc<dyn Kernel> = side.vm.clone();
        let target = Target::of(&*kernel);
        let linked = relocate(&object, &target);
        let Ok(skep) = linked.map_err(drop).and_then(|linked| {
            load(&linked, &target, &kernel, &LoadOptions::default()).map_err(drop)
        }) else {
            return tally.leave("refused, or not for the embedded kernel");
        };
        let Some(fd) = skep.program(program).map(|program| program.fd().raw()) else { return };
        let place = |map: &skep_load::Map| Place {
            fd: map.fd().raw(),
            key: map.def().key_size as usize,
            value: (map.def().value_size as usize).next_multiple_of(8),
            lru: matches!(map.def().kind(), Some(MapType::LruHash | MapType::LruPercpuHash)),
        };
        loaded.push(Loaded { side, fd, maps: skep.maps().map(place).collect() });
        kept.push(skep);
    }
    compare(&loaded, name, seed, options.inputs, tally);
}

/// A program in a kernel.
struct Loaded<'s> {
    side: &'s Side,
    fd: RawFd,
    maps: Vec<Place>,
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
fn clear(vm: &Vm, map: &Place) {
    for (key, value) in contents(vm, map) {
        let gone = vm.bpf(&mut Command::MapDelete(MapDelete {
            map_fd: map.fd as u32,
            key: Some(key.clone().into()),
            ..MapDelete::default()
        }));
        if gone.is_err() {
            let mut zeros = vec![0; value.len()];
            // What cannot be written either is constant.
            let _ = vm.bpf(&mut Command::MapUpdate(MapElem {
                map_fd: map.fd as u32,
                key: Some(key.into()),
                value: Output::Slice(&mut zeros),
                ..MapElem::default()
            }));
        }
    }
}

/// Runs a program on all sides; they see the same packets, clock and random numbers.
fn compare(loaded: &[Loaded<'_>], name: &str, seed: u64, inputs: u64, tally: &mut Tally) {
    let mut hooks = Vec::new();
    for program in loaded {
        let Ok(hook) = PacketHook::new(&program.side.vm, program.fd) else {
            return tally.leave("a program type that the embedded kernel does not run");
        };
        program.maps.iter().for_each(|map| clear(&program.side.vm, map));
        program.side.vm.environment().seed(seed);
        program.side.vm.environment().set_time(Some(seed));
        hooks.push(hook);
    }
    for input in 0..inputs {
        let mut expected = None;
        for (program, hook) in loaded.iter().zip(&mut hooks) {
            let mut random = Random::new(seed ^ input << 32);
            let vm = &program.side.vm;
            for map in &program.maps {
                // What gives way in a full LRU map depends on all that was in it before.
                if map.lru {
                    clear(vm, map);
                }
                fill(vm, map.fd, map.key, map.value, &mut random);
            }
            let verdict = match hook.run(vm, &random.frame()) {
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
            let maps = program.maps.iter().map(|map| contents(vm, map)).collect();
            let after = After { verdict, packet: hook.packet().to_vec(), maps };
            tally.runs += 1;
            match &expected {
                None => expected = Some(after),
                Some(expected) if *expected == after => {}
                Some(expected) => {
                    let side = &program.side.name;
                    let what = expected.difference(&after);
                    return tally.wrong.push(format!("{name}, {side}, input {input}: {what}"));
                }
            }
        }
    }
    tally.ran += 1;
}

/// The elements of a map that can be walked, sorted.
fn contents(vm: &Vm, map: &Place) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut elements = Vec::new();
    let mut key: Option<Vec<u8>> = None;
    while elements.len() < 256 {
        let mut next = vec![0; map.key];
        let found = vm.bpf(&mut Command::MapNextKey(MapNextKey {
            map_fd: map.fd as u32,
            key: key.clone().map(Into::into),
            next_key: Output::Slice(&mut next),
            ..MapNextKey::default()
        }));
        if found.is_err() {
            break;
        }
        let mut value = vec![0; map.value];
        let read = vm.bpf(&mut Command::MapLookup(MapElem {
            map_fd: map.fd as u32,
            key: Some(next.clone().into()),
            value: Output::Slice(&mut value),
            ..MapElem::default()
        }));
        if read.is_ok() {
            elements.push((next.clone(), value));
        }
        key = Some(next);
    }
    elements.sort();
    elements
}
