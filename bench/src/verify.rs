//! `bench verify`: the verifier's time beside Linux's own, program by program.
//!
//! Linux's figure is the verifier's, from `BPF_LOG_STATS`; ours is from the relocated
//! program to the verdict, on one thread, without a log, the kernel's BTF already read.
//! Both in turns; each is the median of its repetitions.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use skep::abi::Capabilities;
use skep::load::{Options, load, relocate};
use skep::sys::{Kernel, Linux, possible_cpus};
use skep::verify::{Env, Log, Program, verify};
use skep::{Object, Target, judge};

/// Below this, Linux's clock (whole microseconds) says little; programs count together.
const SMALL: Duration = Duration::from_micros(50);
/// Our time by Linux's, in the median and at worst.
const GOALS: (f64, f64) = (0.5, 2.0);
/// From here on memory is measured, in a process of its own.
const LARGE: u32 = 500_000;
/// Most memory of such a program.
const MEMORY_GOAL: u64 = 256 << 20;

struct Row {
    file: String,
    program: String,
    processed: u32,
    ours: Duration,
    linux: Duration,
    /// Bytes at most, of a large program.
    memory: Option<u64>,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.ours.as_secs_f64() / self.linux.as_secs_f64().max(1e-6)
    }
}

/// Runs over objects, or folders of them. Exit status 1 when short of a goal.
pub fn run(arguments: &[String]) -> ExitCode {
    match arguments {
        [flag, file, program] if flag == "--once" => once(Path::new(file), program),
        _ => match measure(arguments) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(2)
            }
        },
    }
}

fn measure(arguments: &[String]) -> Result<bool> {
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    let target = Target::of(&*kernel);
    let env = env(&target);
    let mut rows = Vec::new();
    for path in objects(arguments)? {
        let Ok(object) = Object::open(&path) else { continue };
        for program in object.programs.iter().map(|def| def.name.clone()).collect::<Vec<_>>() {
            rows.extend(compare(&kernel, &target, &env, &path, &object, &program));
        }
    }
    report(&rows)
}

fn env(target: &Target) -> Env {
    Env {
        caps: Capabilities::all(),
        vmlinux: target.kernel_btf().ok().cloned(),
        cpus: possible_cpus(),
        ..Env::default()
    }
}

fn objects(arguments: &[String]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for argument in arguments {
        let path = PathBuf::from(argument);
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).context(argument.clone())? {
                paths.push(entry?.path());
            }
        } else {
            paths.push(path);
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "o"));
    paths.sort();
    Ok(paths)
}

/// Both verifiers on one program; `None` where one of them refuses it.
fn compare(
    kernel: &Arc<dyn Kernel>,
    target: &Target,
    env: &Env,
    path: &Path,
    object: &Object,
    name: &str,
) -> Option<Row> {
    let mut object = object.clone();
    object.select(|def| def.name == name);
    let linked = relocate(&object, target).ok()?;
    let program = judge::programs(&linked, target).into_iter().next()?;
    let options = Options { log_level: Log::STATS, ..Options::default() };
    let (mut ours, mut linux, mut processed) = (Vec::new(), Vec::new(), 0);
    let started = Instant::now();
    while ours.len() < 3 || ours.len() < 15 && started.elapsed() < Duration::from_millis(300) {
        let skep = load(&linked, target, kernel, &options).ok()?;
        linux.push(reported(skep.program(name)?.log())?);
        drop(skep);
        let (time, count) = time(&program, env)?;
        ours.push(time);
        processed = count;
        if started.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
    Some(Row {
        file: path.file_name()?.to_string_lossy().into_owned(),
        program: name.to_owned(),
        processed,
        ours: median(ours),
        linux: median(linux),
        memory: (processed >= LARGE).then(|| peak_memory(path, name)).flatten(),
    })
}

/// `verification time 123 usec` of Linux's log.
fn reported(log: &str) -> Option<Duration> {
    let rest = log.lines().find_map(|line| line.strip_prefix("verification time "))?;
    rest.split(' ').next()?.parse().ok().map(Duration::from_micros)
}

fn time(program: &Arc<Program>, env: &Env) -> Option<(Duration, u32)> {
    let before = Instant::now();
    let verified = verify(program, env, &mut Log::silent()).ok()?;
    Some((before.elapsed(), verified.counts().processed))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Verifies one program and prints the most memory that this process ever had.
fn once(path: &Path, name: &str) -> ExitCode {
    let verdict = || -> Option<u64> {
        let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
        let target = Target::of(&*kernel);
        let mut object = Object::open(path).ok()?;
        object.select(|def| def.name == name);
        let linked = relocate(&object, &target).ok()?;
        let program = judge::programs(&linked, &target).into_iter().next()?;
        let before = peak()?;
        verify(&program, &env(&target), &mut Log::silent()).ok()?;
        Some(peak()?.saturating_sub(before))
    };
    match verdict() {
        Some(bytes) => {
            println!("{bytes}");
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

/// Most bytes that this process had in memory (`VmHWM`).
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn peak_memory(path: &Path, name: &str) -> Option<u64> {
    let this = std::env::current_exe().ok()?;
    let output = Command::new(this).args(["verify", "--once"]).arg(path).arg(name).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn report(rows: &[Row]) -> Result<bool> {
    let (small, large): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.linux < SMALL);
    let mut sorted = large.clone();
    sorted.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    println!("{:44} {:>9} {:>10} {:>10} {:>6}", "program", "insns", "ours us", "Linux us", "ratio");
    for row in &sorted {
        let memory = row.memory.map_or(String::new(), |bytes| format!("  {} MiB", bytes >> 20));
        println!(
            "{:44} {:>9} {:>10.1} {:>10} {:>6.2}{memory}",
            format!("{}:{}", row.file, row.program),
            row.processed,
            row.ours.as_secs_f64() * 1e6,
            row.linux.as_micros(),
            row.ratio()
        );
    }
    let total = |pick: fn(&Row) -> Duration| small.iter().map(|row| pick(row)).sum::<Duration>();
    let (ours, linux) = (total(|row| row.ours), total(|row| row.linux));
    let together = ours.as_secs_f64() / linux.as_secs_f64().max(1e-6);
    println!("{} programs under {} us together: {together:.2}", small.len(), SMALL.as_micros());
    let (Some(middle), Some(worst)) = (sorted.get(sorted.len() / 2), sorted.last()) else {
        anyhow::bail!("no program was accepted by both; are there objects, and permission?");
    };
    let memory = rows.iter().filter_map(|row| row.memory).max();
    println!(
        "bench verify: {} programs, median {:.2} (goal {}), worst {:.2} (goal {}), most memory {}",
        sorted.len(),
        middle.ratio(),
        GOALS.0,
        worst.ratio(),
        GOALS.1,
        memory.map_or("not measured".into(), |bytes| format!("{} MiB (goal 256)", bytes >> 20)),
    );
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "file": row.file, "program": row.program, "processed": row.processed,
                "ours_us": row.ours.as_secs_f64() * 1e6, "linux_us": row.linux.as_micros() as u64,
                "memory": row.memory,
            })
        })
        .collect();
    std::fs::write("target/bench/verify.json", serde_json::to_string_pretty(&lines)?)?;
    Ok(middle.ratio() <= GOALS.0
        && worst.ratio() <= GOALS.1
        && memory.is_none_or(|bytes| bytes <= MEMORY_GOAL))
}
