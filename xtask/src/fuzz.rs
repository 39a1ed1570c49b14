//! libFuzzer on the targets of `fuzz/`, with the toolchain at hand: the coverage that
//! `cargo fuzz` asks of a nightly compiler is a matter of code generation flags.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cargo::{self, Instrumented, workspace};

/// What to fuzz, and for how long.
#[derive(Args)]
pub struct Options {
    /// Targets, all by default
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 3600)]
    seconds: u32,
}

/// Seconds for each target in the tests.
const SHORT: u32 = 30;
/// Targets that run side by side.
const PARALLEL: usize = 2;
/// Megabytes that a target may take.
const MEMORY_LIMIT: u32 = 2048;

/// The names of the targets: the files of `fuzz/targets`.
///
/// # Errors
/// The folder cannot be read.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(workspace().join("fuzz/targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Half a minute of each target.
///
/// # Errors
/// The targets do not build.
pub fn short_run() -> Result<bool> {
    execute(&Options { targets: Vec::new(), seconds: SHORT })
}

/// Fuzzes. Gives whether nothing was found.
///
/// # Errors
/// An unknown target, or targets that do not build.
pub fn execute(options: &Options) -> Result<bool> {
    let all = targets()?;
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(name)) {
        bail!("no fuzz target {unknown}; there are: {}", all.join(", "));
    }
    let wanted = if options.targets.is_empty() { all } else { options.targets.clone() };
    let programs: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let folder = cargo::programs(&programs, Some(&COVERAGE))?;
    let mut clean = true;
    for group in wanted.chunks(PARALLEL) {
        let mut running = Vec::new();
        for name in group {
            running.push((name, start(&folder.join(name), name, options.seconds)?));
        }
        for (name, child) in running {
            let output = child.wait_with_output()?;
            let log = String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                let last = log.lines().rev().find(|line| line.starts_with("Done")).unwrap_or("");
                println!("fuzz {name}: {last}");
            } else {
                clean = false;
                println!("fuzz {name}: FOUND SOMETHING\n{log}");
            }
        }
    }
    Ok(clean)
}

/// How `cargo fuzz` has the compiler note what runs. Libraries are not looked into, which
/// leaves libFuzzer with what is ours to find.
const COVERAGE: Instrumented = Instrumented {
    name: "coverage",
    flags: &[
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
        "-Ccodegen-units=1",
        "--cfg=fuzzing",
    ],
};

fn start(program: &std::path::Path, name: &str, seconds: u32) -> Result<Child> {
    let corpus = workspace().join("fuzz/corpus").join(name);
    let artifacts = workspace().join("fuzz/artifacts").join(name);
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    let seeds = workspace().join("fuzz/seeds").join(name);
    let mut command = Command::new(program);
    command.arg(corpus);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY_LIMIT}"))
        .arg("-timeout=120")
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| program.display().to_string())
}
