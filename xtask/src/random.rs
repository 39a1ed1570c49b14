//! `parity random`: random programs by TEST_RUN on Linux, and on the interpreter, on
//! guarded and on elided code, on elided code that one pass did not work on, the pass
//! rotating. For each input what is returned, the packet and the maps must be the same.
//!
//! Programs are those that load without CAP_PERFMON: others may show addresses, or
//! what was left on the stack. All see the same clock and the same random numbers (see
//! [`clock`]), and run on CPU 0.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use skep_abi::MapType;
use skep_isa::{Callee, Insn, Operand, Reg, Size, Style, decode, disassemble, encode};
use skep_load::clock;
use skep_sys::{Command, Errno, Fd, Kernel, Linux, MapCreate, RawFd, TestRun};
use skep_vm::jit::Passes;
use skep_vm::{Engine, Vm};

use crate::elements::Map;
use crate::inputs::Random;
use crate::run::pin_to_cpu_0;
use crate::verify::privilege::Privilege;
use crate::verify::random::{MapPlace, RandomProgram, careful_program, create_maps, program};

/// What to run.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// How many random programs
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// The first random program's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Random inputs for each program
    #[arg(long, default_value_t = 4)]
    inputs: u64,
}

impl Options {
    /// What continuous integration runs.
    pub fn short() -> Options {
        Options { count: 2_000, seed: 1, inputs: 4 }
    }
}

/// A kernel, with maps of its own.
struct Side {
    name: String,
    kernel: Arc<dyn Kernel>,
    privilege: Privilege,
    maps: Vec<MapPlace>,
    clock: RawFd,
}

impl Side {
    fn new(name: &str, kernel: Arc<dyn Kernel>, privilege: Privilege) -> Result<Side> {
        let mut maps = create_maps(&*kernel)?;
        // Linux evicts early from an LRU map; what is in it is not comparable.
        maps.pop();
        let mut command = Command::MapCreate(MapCreate {
            map_type: MapType::Array as u32,
            key_size: 4,
            value_size: clock::SIZE,
            max_entries: 1,
            ..MapCreate::default()
        });
        let clock = kernel.bpf(&mut command).context("a map cannot be created")? as RawFd;
        Ok(Side { name: name.to_owned(), kernel, privilege, maps, clock })
    }

    fn embedded(name: &str, vm: Vm) -> Result<Side> {
        let vm = vm.with_capabilities(Privilege::Reduced.set());
        Side::new(name, Arc::new(vm), Privilege::All)
    }

    /// The program of a seed, with the maps and the clock of this side.
    fn program(&self, seed: u64) -> RandomProgram {
        runnable(seed, &self.maps, |insns| {
            if let Some(replaced) = clock::replace_calls(insns, self.clock as u32) {
                *insns = replaced.insns;
            }
        })
    }

    fn load(&self, seed: u64) -> Result<Fd, Errno> {
        let random = self.program(seed);
        let loaded = self.privilege.during(|| random.load(&self.kernel));
        loaded.unwrap_or(Err(Errno::EPERM))
    }

    /// Runs a program on an input.
    fn run(&self, fd: RawFd, input: &Input) -> Result<Outcome> {
        self.prepare(input)?;
        let mut out = vec![0; 1 << 13];
        let room = out.len();
        let mut command = Command::TestRun(Box::new(TestRun {
            prog_fd: fd as u32,
            data_size_in: input.frame.len() as u32,
            data_in: Some((&input.frame[..]).into()),
            data_size_out: room as u32,
            data_out: (&mut out[..]).into(),
            ..TestRun::default()
        }));
        let result = self.kernel.bpf(&mut command);
        let Command::TestRun(run) = command else { unreachable!("as it was made") };
        let (retval, size) = (run.retval, run.data_size_out as usize);
        let why = run.diagnostic.as_ref().map(|diagnostic| diagnostic.message.clone());
        drop(run);
        Ok(match result {
            Ok(_) => {
                out.truncate(size);
                Outcome::Returned { retval, packet: out, maps: self.contents() }
            }
            Err(errno) => Outcome::Failed(errno, why.unwrap_or_default()),
        })
    }

    /// Maps and clock as the input has them.
    fn prepare(&self, input: &Input) -> Result<()> {
        let now = clock::value(input.now, input.random as u32);
        let kernel = &*self.kernel;
        let clock = Map { fd: self.clock, key: 4, value: now.len() };
        clock.update(kernel, &[0; 4], &now).context("the clock's map")?;
        for (map, elements) in self.maps.iter().zip(&input.maps) {
            let map = map.elements();
            for key in map.keys(kernel, MOST_KEYS) {
                if !elements.contains_key(&key) {
                    // Those of arrays stay.
                    let _ = map.delete(kernel, &key);
                }
            }
            for (key, value) in elements {
                map.update(kernel, key, value).context("a map")?;
            }
        }
        Ok(())
    }

    fn contents(&self) -> Vec<Elements> {
        let of = |place: &MapPlace| {
            // Linux writes a value for each CPU, of which CPU 0's stands first.
            let map = Map { value: 4096, ..place.elements() };
            let value = |key: &[u8]| {
                let mut value = map.value(&*self.kernel, key).unwrap_or_default();
                value.truncate(place.value as usize);
                value
            };
            let keys = map.keys(&*self.kernel, MOST_KEYS).into_iter();
            keys.map(|key| (key.clone(), value(&key))).collect()
        };
        self.maps.iter().map(of).collect()
    }
}

/// More than any map of the programs holds.
const MOST_KEYS: usize = 64;

type Elements = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a run gave.
#[derive(PartialEq, Eq)]
enum Outcome {
    Returned { retval: u32, packet: Vec<u8>, maps: Vec<Elements> },
    Failed(Errno, String),
}

impl Outcome {
    /// Where it differs from what was expected.
    fn difference(&self, expected: &Outcome) -> String {
        let (found, expected) = match (self, expected) {
            (
                Outcome::Returned { retval, packet, maps },
                Outcome::Returned { retval: wanted, packet: other, maps: others },
            ) => {
                if retval != wanted {
                    return format!("returns {retval:#x}, not {wanted:#x}");
                }
                if packet != other {
                    let at = packet.iter().zip(other).position(|(a, b)| a != b);
                    let (len, wanted) = (packet.len(), other.len());
                    return format!("packet of {len} bytes, not {wanted}; differs at {at:?}");
                }
                let number = maps.iter().zip(others).position(|(a, b)| a != b).unwrap_or(0);
                let only = |a: &Elements, b: &Elements| {
                    let differs = a.iter().filter(|(key, value)| b.get(*key) != Some(*value));
                    differs.map(|element| format!("{element:02x?} ")).collect::<String>()
                };
                let (a, b) = (&maps[number], &others[number]);
                return format!("map {number} holds {}, not {}", only(a, b), only(b, a));
            }
            (Outcome::Failed(errno, why), _) => (format!("{errno:?} {why}"), expected),
            (Outcome::Returned { retval, .. }, _) => (format!("returns {retval:#x}"), expected),
        };
        match expected {
            Outcome::Failed(errno, why) => format!("{found}, not {errno:?} {why}"),
            Outcome::Returned { retval, .. } => format!("{found}, not {retval:#x}"),
        }
    }
}

/// What a run starts from.
struct Input {
    frame: Vec<u8>,
    now: u64,
    random: u64,
    maps: Vec<Elements>,
}

impl Input {
    fn new(random: &mut Random, maps: &[MapPlace], cpus: usize) -> Input {
        let mut frame = random.frame();
        // TEST_RUN wants more than a link header.
        frame.extend(random.bytes(8));
        let elements = |(number, map): (usize, &MapPlace)| {
            let (is_array, per_cpu) = (map.direct, number == 3);
            let keys = if is_array { 1 } else { 8 };
            let mut elements = Elements::new();
            for key in 0..keys {
                if is_array || per_cpu || random.below(3) == 0 {
                    let mut bytes = vec![0; map.key as usize];
                    bytes[0] = key;
                    let mut value = random.bytes(map.value as usize);
                    if per_cpu {
                        value.resize(value.len().next_multiple_of(8), 0);
                        value = value.repeat(cpus);
                    }
                    elements.insert(bytes, value);
                }
            }
            elements
        };
        let maps = maps.iter().enumerate().map(elements).collect();
        Input { frame, now: random.next() >> 2, random: random.next(), maps }
    }
}

/// Whether the program of a seed is meant to be accepted.
pub fn is_careful(seed: u64) -> bool {
    !seed.is_multiple_of(8)
}

/// The program of a seed, changed so that what it does depends on nothing that differs
/// between engines: most are accepted, some are near it only.
pub fn runnable(
    seed: u64,
    maps: &[MapPlace],
    change: impl FnOnce(&mut Vec<Insn>),
) -> RandomProgram {
    let write = if is_careful(seed) { careful_program } else { program };
    let random = write(seed, maps);
    let Ok(mut insns) = decode(&random.slots) else { return random };
    clear_stack(&mut insns);
    change(&mut insns);
    RandomProgram { slots: encode(&insns), ..random }
}

/// Has each function write its stack first: a store of a part of a slot lets Linux
/// take the rest of it for written, too, and what is there is anything.
fn clear_stack(insns: &mut Vec<Insn>) {
    const SLOTS: i16 = 16;
    let callee = |pc: usize, insn: &Insn| match insn {
        Insn::Call(Callee::Local(off)) => Some(pc as i64 + 1 + i64::from(*off)),
        _ => None,
    };
    let calls = insns.iter().enumerate().filter_map(|(pc, insn)| callee(pc, insn));
    let starts: BTreeSet<i64> = calls.chain([0]).collect();
    // A call of a function goes to its first store; everything else moves behind them.
    let stores = i64::from(SLOTS);
    let moved = |pc: i64| pc + stores * starts.range(..=pc).count() as i64;
    let entry = |pc: i64| pc + stores * starts.range(..pc).count() as i64;
    let mut all = Vec::with_capacity(insns.len() + starts.len() * SLOTS as usize);
    for (pc, insn) in insns.iter().enumerate() {
        if starts.contains(&(pc as i64)) {
            all.extend((1..=SLOTS).map(|slot| Insn::Store {
                size: Size::DW,
                base: Reg::R10,
                off: -8 * slot,
                src: Operand::Imm(0),
            }));
        }
        all.push(match callee(pc, insn) {
            Some(to) => {
                let off = entry(to) - moved(pc as i64) - 1;
                Insn::Call(Callee::Local(off as i32))
            }
            None => *insn,
        });
    }
    *insns = all;
}

/// Runs, and prints the figures. Gives whether all agree.
///
/// # Errors
/// Maps that cannot be created or filled.
pub fn execute(options: &Options) -> Result<bool> {
    pin_to_cpu_0()?;
    let linux = Side::new("Linux", Arc::new(Linux::new()), Privilege::Reduced)?;
    let cpus = skep_sys::possible_cpus() as usize;
    let always = [
        Side::embedded("interpreter", Vm::new().with_engine(Engine::Interpreter))?,
        Side::embedded("guarded", Vm::new().with_engine(Engine::Guarded).unverified())?,
        Side::embedded("elided", Vm::new())?,
    ];
    let without = |name: &&str| {
        let off = Passes::named(name).unwrap_or(Passes::NONE);
        Side::embedded(
            &format!("elided without {name}"),
            Vm::new().with_passes(Passes::ALL.without(off)),
        )
    };
    let without: Vec<Side> = Passes::names().iter().map(without).collect::<Result<_>>()?;
    let (mut accepted, mut on_linux, mut not_run) = (0u64, 0u64, 0u64);
    let (mut runs, mut differ) = (0u64, 0u64);
    for seed in options.seed..options.seed + options.count {
        let Ok(first) = always[0].load(seed) else { continue };
        accepted += 1;
        let rotating = &without[seed as usize % without.len()];
        let mut sides = vec![(&always[0], first)];
        for side in always[1..].iter().chain([rotating]) {
            sides.push((side, side.load(seed).with_context(|| format!("seed {seed}"))?));
        }
        if let Ok(fd) = linux.load(seed) {
            on_linux += 1;
            sides.push((&linux, fd));
        }
        let mut random = Random::new(seed);
        'inputs: for number in 0..options.inputs {
            let input = Input::new(&mut random, &linux.maps, cpus);
            let expected = sides[0].0.run(sides[0].1.raw(), &input)?;
            if matches!(expected, Outcome::Failed(Errno::ENOTSUPP, _)) {
                not_run += 1;
                break;
            }
            for (side, fd) in &sides[1..] {
                runs += 1;
                let found = side.run(fd.raw(), &input)?;
                if found != expected {
                    differ += 1;
                    let what = found.difference(&expected);
                    println!("seed {seed}, input {number}: {}: {what}", side.name);
                    let insns = decode(&linux.program(seed).slots)?;
                    println!("{}", disassemble(&insns, Style::Linux));
                    break 'inputs;
                }
            }
        }
    }
    println!(
        "parity random: {} programs from seed {}, {accepted} accepted, {on_linux} of them on Linux too, \
         {not_run} of a type that is not run",
        options.count, options.seed
    );
    println!("parity random: {runs} runs compared with the interpreter, {differ} differ");
    Ok(differ == 0 && accepted > 0)
}
