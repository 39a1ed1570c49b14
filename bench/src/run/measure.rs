//! One program on every engine, in turns.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use skep_isa::{Insn, Size};
use skep_vm::Engine as VmEngine;
use skep_vm::jit::Passes;

use super::embedded::Embedded;
use super::peers::{self, Engine, LowMemory, Native, Skep};
use super::rbpf::{Rbpf, RbpfEngine};
use super::{NAMES, NATIVE, Plan};

/// Nanoseconds of a turn.
const TURN: f64 = 1e6;

/// One program's figures.
pub struct Row {
    pub name: String,
    /// Median nanoseconds of each engine, in the order of `NAMES`; `None` where it was
    /// not measured, failed, or gave another result.
    pub times: Vec<Option<f64>>,
    /// The least of each.
    pub least: Vec<Option<f64>>,
    /// The time without each pass by that with all.
    pub without: Vec<Option<f64>>,
    pub compile_us: f64,
    /// rbpf's Cranelift back end.
    pub peer_compile_us: Option<f64>,
    /// Bytes of machine code.
    pub code: usize,
    pub insns: usize,
    /// Whether most of its loads are of one byte.
    pub bytewise: bool,
}

impl Row {
    /// One engine's time by another's.
    pub fn over(&self, engine: usize, other: usize) -> f64 {
        quotient(&self.times, engine, other).unwrap_or(f64::NAN)
    }
}

/// One time by another.
pub fn quotient(times: &[Option<f64>], engine: usize, other: usize) -> Option<f64> {
    Some(times[engine]? / times[other]?)
}

/// An engine, unless it cannot run the program.
pub type Slot<'e> = Option<Box<dyn Engine + 'e>>;

fn boxed<'e>(engine: Result<impl Engine + 'e>) -> Slot<'e> {
    engine.ok().map(|engine| Box::new(engine) as Box<dyn Engine>)
}

/// Measures a program.
pub fn program(source: &Path, name: String, plan: &Plan) -> Result<Row> {
    let passes = plan.passes;
    let code = peers::compile_bpf(source, &plan.target)?;
    let memory = LowMemory::new()?;
    let started = Instant::now();
    let cranelift = Rbpf::new(&code, RbpfEngine::Cranelift);
    let peer_compile_us = cranelift.is_ok().then(|| started.elapsed().as_secs_f64() * 1e6);
    let skep = Skep::elided(&code, passes)?;
    let (compile_us, bytes) = skep.compile_cost(&code, passes);
    if plan.dump {
        let file = plan.target.join(&name);
        std::fs::write(file.with_extension("bin"), skep.bytes())?;
        std::fs::write(file.with_extension("ssa"), peers::form(&code, passes)?)?;
    }
    let mut engines: Vec<Slot<'_>> = vec![
        Some(Box::new(peers::Linux::new(&code, memory.packet())?)),
        Some(Box::new(skep)),
        Some(Box::new(Skep::guarded(&code, passes)?)),
        Some(Box::new(Native::new(source, &plan.target)?)),
        boxed(Rbpf::new(&code, RbpfEngine::Jit)),
        boxed(cranelift),
        Some(Box::new(Embedded::new(VmEngine::Interpreter, &code, memory.packet())?)),
        boxed(Rbpf::new(&code, RbpfEngine::Interpreter)),
    ];
    if plan.quick {
        engines.truncate(NATIVE + 1);
        engines[super::GUARDED] = None;
        engines.resize_with(NAMES.len(), || None);
    }
    if plan.each_pass {
        for name in Passes::names() {
            engines.push(boxed(Skep::elided(&code, passes.without(super::pass(name)?))));
        }
    }
    let all = turns(&mut engines, &memory, plan.turns);
    let mut times: Vec<Option<f64>> = all.iter().map(|times| median(times)).collect();
    let mut least: Vec<Option<f64>> =
        all.iter().map(|times| times.iter().copied().reduce(f64::min)).collect();
    let without = (NAMES.len()..least.len()).map(|at| quotient(&least, at, super::SKEP)).collect();
    times.truncate(NAMES.len());
    least.truncate(NAMES.len());
    let bytewise = is_bytewise(&peers::insns(&code)?);
    let insns = code.len() / 8;
    Ok(Row {
        name,
        times,
        least,
        without,
        compile_us,
        peer_compile_us,
        code: bytes,
        insns,
        bytewise,
    })
}

/// Times of all turns of each engine; none of one that gives another result than the
/// first.
pub fn turns(engines: &mut [Slot<'_>], memory: &LowMemory, turns: usize) -> Vec<Vec<f64>> {
    let mut expected = None;
    let mut rounds = vec![0u64; engines.len()];
    for (index, slot) in engines.iter_mut().enumerate() {
        let Some(engine) = slot else { continue };
        memory.reset();
        let result = engine.once(memory);
        let expected = *expected.get_or_insert(result);
        if result != expected {
            let name = NAMES.get(index).unwrap_or(&"skep without a pass");
            println!("  {name}: {result:#x} instead of {expected:#x}");
            *slot = None;
            continue;
        }
        // As many rounds as fill a turn.
        let mut count = 16;
        while count < 1 << 24 {
            let spent = engine.time(memory, count) * count as f64;
            if spent > TURN / 4.0 {
                count = (count as f64 * TURN / spent) as u64;
                break;
            }
            count *= 8;
        }
        rounds[index] = count.max(1);
    }
    let mut times = vec![Vec::new(); engines.len()];
    for _ in 0..turns {
        for (index, slot) in engines.iter_mut().enumerate() {
            if let Some(engine) = slot {
                memory.reset();
                times[index].push(engine.time(memory, rounds[index]));
            }
        }
    }
    times
}

/// The one in the middle.
pub fn median(all: &[f64]) -> Option<f64> {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// Whether most loads, the two of the packet's bounds aside, are of one byte.
fn is_bytewise(insns: &[Insn]) -> bool {
    let mut loads = insns.iter().filter_map(|insn| match insn {
        Insn::Load { size, .. } => Some(*size),
        _ => None,
    });
    let (mut single, mut wider) = (0, 0);
    loads.by_ref().skip(2).for_each(|size| match size {
        Size::B => single += 1,
        _ => wider += 1,
    });
    single > wider
}
