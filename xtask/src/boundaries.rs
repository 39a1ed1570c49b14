//! `cargo xtask boundaries`: random sequences of safe calls under AddressSanitizer
//! (`tests/boundaries/generator`).
//!
//! The compiler at hand has the sanitizer's runtime; that it lets a stable compiler use it
//! is what `RUSTC_BOOTSTRAP=1` is for. `std` and the libraries come as they are built: they
//! are not instrumented, and need no flags (AddressSanitizer changes no ABI; `-Zbuild-std`
//! would need std's source). Their allocations are watched all the same, since the allocator
//! is replaced.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo::{self, Instrumented, target};

/// What to run.
#[derive(Args)]
pub struct Options {
    /// Sequences
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// The first sequence's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processes side by side
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Only these calls, or all but these after a `-`; for narrowing down
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    calls: String,
}

impl Options {
    /// What continuous integration runs.
    pub fn short() -> Options {
        Options { count: 10_000, seed: 1, jobs: 2, calls: String::new() }
    }
}

/// Runs. Gives whether nothing was found.
///
/// # Errors
/// The generator does not build or start.
pub fn execute(options: &Options) -> Result<bool> {
    let program = build()?;
    let started = Instant::now();
    let share = options.count.div_ceil(options.jobs.max(1));
    let mut running = Vec::new();
    let end = options.seed + options.count;
    for job in 0..options.jobs.max(1) {
        let first = (options.seed + job * share).min(end);
        let count = share.min(end - first);
        let progress = target().join("instrumented").join(format!("progress-{job}"));
        running.push((start(&program, first, count, &progress, &options.calls)?, progress));
    }
    let mut clean = true;
    for (mut child, progress) in running {
        let status = child.wait()?;
        if !status.success() {
            let seed = std::fs::read_to_string(&progress).unwrap_or_default();
            println!("boundaries: FOUND SOMETHING: --seed {} --count 1: {status}", seed.trim());
            clean = false;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "boundaries: {} sequences from seed {} in {seconds:.0} s, {:.0} a second: {}",
        options.count,
        options.seed,
        options.count as f64 / seconds,
        if clean { "nothing was reached" } else { "something was" },
    );
    Ok(clean)
}

fn start(program: &Path, first: u64, count: u64, progress: &Path, calls: &str) -> Result<Child> {
    let mut command = Command::new(program);
    command.arg(first.to_string()).arg(count.to_string()).arg(progress).arg(calls);
    command
        // Memory that is kept until the end is no fault here, and leaks are looked for by
        // ptrace, which not every place permits.
        .env("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=1:symbolize=1")
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| program.display().to_string())
}

/// Builds the generator with the sanitizer; gives its path.
fn build() -> Result<PathBuf> {
    const ADDRESS: Instrumented = Instrumented { name: "address", flags: &["-Zsanitizer=address"] };
    let built = cargo::programs(&["generator"], Some(&ADDRESS))?.join("generator");
    // Under a name of its own: the next build without the sanitizer takes the other.
    let program = built.with_file_name("generator-address");
    std::fs::copy(&built, &program).context("generator")?;
    Ok(program)
}
