//! Compiled programs beside their peers: Linux's JIT, rbpf's three engines, and the
//! same C compiled natively.
//!
//! Every program of `programs` is an XDP program; all engines but the native one get
//! the same bytes. Context and packet lie below 4 GiB, so that the context's 32-bit
//! fields are addresses everywhere. Results are compared before anything is timed;
//! engines take turns, and a figure is the median of its turns.

mod peers;

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use skep_vm::jit::Passes;

use crate::linux;
use peers::{Engine, LowMemory, Native, Rbpf, RbpfEngine, Skep};

/// Turns of every engine.
const TURNS: usize = 15;
/// Nanoseconds of a turn.
const TURN: f64 = 1e6;
/// Programs of which Linux takes less than this are not in the headline.
const HEADLINE_NS: f64 = 100.0;

/// One program's figures.
struct Row {
    name: String,
    /// Median nanoseconds of each engine, in the order of `names`; `None` where it
    /// failed or gave another result.
    times: Vec<Option<f64>>,
    /// The least of each.
    least: Vec<Option<f64>>,
    compile_us: f64,
    peer_compile_us: Option<f64>,
    code: usize,
    insns: usize,
}

/// Measures and reports. Without arguments with all passes; `--without PASS` switches
/// one off, `--only PART` takes programs whose name holds that.
pub fn run(arguments: &[String]) -> ExitCode {
    match measure(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("skep-bench run: {error:#}");
            ExitCode::from(2)
        }
    }
}

impl Row {
    fn medians(&self) -> &[Option<f64>] {
        &self.times
    }

    fn least(&self) -> &[Option<f64>] {
        &self.least
    }
}

/// What is measured.
struct Plan {
    passes: Passes,
    /// Parts of names; none means all programs.
    only: Vec<String>,
    /// Only Linux, ours and native.
    quick: bool,
    turns: usize,
    dump: bool,
}

fn measure(arguments: &[String]) -> Result<bool> {
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag);
        at.and_then(|at| arguments.get(at + 1)).cloned()
    };
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let mut passes = Passes::ALL;
    if let Some(off) = after("--without") {
        for off in off.split(',') {
            let off = Passes::named(off).with_context(|| format!("no pass is called {off}"))?;
            passes = passes.without(off);
        }
    }
    let only = after("--only").unwrap_or_default().split(',').map(str::to_owned).collect();
    let turns = after("--turns").map_or(Ok(TURNS), |turns| turns.parse())?;
    let plan = Plan { passes, only, quick: has("--quick"), turns, dump: has("--dump") };
    linux::pin_to_cpu(1).or_else(|_| linux::pin_to_cpu(0))?;
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/programs"));
    let target = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench"));
    std::fs::create_dir_all(target)?;
    let mut sources: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    let (mut rows, mut refused) = (Vec::new(), Vec::new());
    for source in &sources {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !plan.only.iter().any(|part| name.contains(part)) {
            continue;
        }
        // A program that Linux refuses is no measure, and not shown to be safe to run.
        match program(source, target, &plan) {
            Ok(row) => rows.push(row),
            Err(error) => {
                let text = format!("{error:#}");
                refused.push(name.clone());
                println!("{name}: not measured: {}", text.lines().next_back().unwrap_or_default());
            }
        }
    }
    anyhow::ensure!(!rows.is_empty(), "nothing was measured");
    let over_native =
        |row: &Row| row.times[1].zip(row.times[3]).map(|(skep, native)| skep / native);
    rows.sort_by(|a, b| over_native(a).partial_cmp(&over_native(b)).unwrap_or(Ordering::Equal));
    rows.iter().for_each(|row| println!("{}", line(row)));
    Ok(report(&rows, target)? && refused.is_empty())
}

/// Names of the engines, in the order of [`Row::times`].
const NAMES: [&str; 7] =
    ["linux", "skep", "guarded", "native", "rbpf-jit", "rbpf-cranelift", "rbpf-interpreter"];

fn program(source: &Path, target: &Path, plan: &Plan) -> Result<Row> {
    let passes = plan.passes;
    let code = peers::compile_bpf(source, target)?;
    let memory = LowMemory::new()?;
    let started = std::time::Instant::now();
    let rbpf_cranelift = Rbpf::new(&code, RbpfEngine::Cranelift);
    let peer_compile_us = rbpf_cranelift.is_ok().then(|| started.elapsed().as_secs_f64() * 1e6);
    let (skep, guarded) = (Skep::elided(&code, passes)?, Skep::guarded(&code, passes)?);
    let (compile_us, bytes) = skep.compile_cost(&code, passes);
    if plan.dump {
        let file = target.join(source.file_name().unwrap_or_default()).with_extension("bin");
        std::fs::write(&file, skep.bytes())?;
        std::fs::write(file.with_extension("ssa"), peers::form(&code, passes)?)?;
    }
    let mut engines: Vec<Option<Box<dyn Engine + '_>>> = vec![
        Some(Box::new(peers::Linux::new(&code, memory.packet())?)),
        Some(Box::new(skep)),
        Some(Box::new(guarded)),
        Some(Box::new(Native::new(source, target)?)),
        Rbpf::new(&code, RbpfEngine::Jit).ok().map(|engine| Box::new(engine) as Box<dyn Engine>),
        rbpf_cranelift.ok().map(|engine| Box::new(engine) as Box<dyn Engine>),
        Rbpf::new(&code, RbpfEngine::Interpreter)
            .ok()
            .map(|engine| Box::new(engine) as Box<dyn Engine>),
    ];
    if plan.quick {
        engines[2] = None;
        engines.truncate(4);
        engines.resize_with(NAMES.len(), || None);
    }
    let mut expected = None;
    let mut rounds = vec![0u64; engines.len()];
    for (index, slot) in engines.iter_mut().enumerate() {
        let Some(engine) = slot else { continue };
        memory.reset();
        let result = engine.once(&memory);
        let expected = *expected.get_or_insert(result);
        if result != expected {
            println!("  {}: {result:#x} instead of {expected:#x}", NAMES[index]);
            *slot = None;
            continue;
        }
        // As many rounds as fill a turn.
        let mut count = 16;
        while count < 1 << 24 {
            let spent = engine.time(&memory, count) * count as f64;
            if spent > TURN / 4.0 {
                count = (count as f64 * TURN / spent) as u64;
                break;
            }
            count *= 2;
        }
        rounds[index] = count.max(1);
    }
    let mut times = vec![Vec::new(); engines.len()];
    for _ in 0..plan.turns {
        for (index, slot) in engines.iter_mut().enumerate() {
            if let Some(engine) = slot {
                memory.reset();
                times[index].push(engine.time(&memory, rounds[index]));
            }
        }
    }
    let least = times.iter().map(|times| times.iter().copied().reduce(f64::min)).collect();
    let times = times.into_iter().map(median).collect();
    let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let insns = code.len() / 8;
    Ok(Row { name, times, least, compile_us, peer_compile_us, code: bytes, insns })
}

fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

fn line(row: &Row) -> String {
    let over = |at: usize, times: &[Option<f64>], under: usize| match (times[at], times[under]) {
        (Some(time), Some(under)) => format!("{:.2}", time / under),
        _ => "-".into(),
    };
    let times: Vec<String> = (1..NAMES.len())
        .filter(|&at| row.times[at].is_some())
        .map(|at| format!("{} {}", NAMES[at], over(at, &row.times, 0)))
        .collect();
    format!(
        "{:16} {:6.0} ns  skep/native {} (least {})  {}  {} insns {:.0} us",
        row.name,
        row.times[0].unwrap_or(f64::NAN),
        over(1, &row.times, 3),
        over(1, &row.least, 3),
        times.join("  "),
        row.insns,
        row.compile_us
    )
}

/// The geometric mean of an engine's time over another's.
fn geometric(rows: &[&Row], times: fn(&Row) -> &[Option<f64>], at: usize, over: usize) -> f64 {
    let quotient = |row: &&Row| Some((times(row)[at]? / times(row)[over]?).ln());
    let logs: Vec<f64> = rows.iter().filter_map(quotient).collect();
    (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp()
}

fn report(rows: &[Row], target: &Path) -> Result<bool> {
    let (medians, least) = (Row::medians, Row::least);
    let headline: Vec<&Row> =
        rows.iter().filter(|row| row.times[0].is_some_and(|time| time >= HEADLINE_NS)).collect();
    let means: Vec<(&str, f64, usize)> = NAMES
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let ran = headline.iter().filter(|row| row.times[index].is_some()).count();
            (*name, geometric(&headline, medians, index, 0), ran)
        })
        .collect();
    let table: Vec<Value> = rows
        .iter()
        .map(|row| {
            let times: serde_json::Map<String, Value> = NAMES
                .iter()
                .zip(&row.times)
                .map(|(name, time)| ((*name).into(), json!(time)))
                .collect();
            json!({
                "name": row.name,
                "instructions": row.insns,
                "ns": times,
                "compile_us": row.compile_us,
                "rbpf_cranelift_compile_us": row.peer_compile_us,
                "code_bytes": row.code,
            })
        })
        .collect();
    let compile = median(rows.iter().map(|row| row.compile_us).collect()).unwrap_or(0.0);
    let peer = median(rows.iter().filter_map(|row| row.peer_compile_us).collect()).unwrap_or(0.0);
    let json = json!({ "programs": table, "means": means });
    std::fs::write(target.join("run.json"), serde_json::to_string_pretty(&json)?)?;
    println!("over {} programs that take Linux at least {HEADLINE_NS} ns:", headline.len());
    println!(
        "  by the least of the turns: skep {:.3} of native, {:.3} of linux; native {:.3}",
        geometric(&headline, least, 1, 3),
        geometric(&headline, least, 1, 0),
        geometric(&headline, least, 3, 0)
    );
    for (name, mean, ran) in means.iter().filter(|mean| mean.2 > 0) {
        println!("  {name:18} {mean:.3} of Linux's JIT ({ran} programs)");
    }
    let slower = |limit: f64| {
        let slow = headline.iter().filter(|row| {
            row.times[1].zip(row.times[0]).is_none_or(|(skep, linux)| skep > limit * linux)
        });
        slow.count() as f64
    };
    let figures = [
        ("skep over native", geometric(&headline, medians, 1, 3), 1.05),
        ("skep over linux", geometric(&headline, medians, 1, 0), 0.70),
        ("programs slower than 1.1 of linux", slower(1.1), 3.0),
        ("programs slower than 1.5 of linux", slower(1.5), 0.0),
        ("compile time in us, median", compile, 1000.0),
        ("compile time over rbpf's cranelift", compile / peer, 0.33),
    ];
    for (name, value, goal) in figures {
        println!("bench run: {name} = {value:.3} (goal {goal})");
    }
    Ok(figures.iter().all(|(_, value, goal)| value <= goal))
}
