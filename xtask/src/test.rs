//! `cargo xtask test`: everything that must hold, and one line at the end that counts.
//!
//! A test that cannot run here prints a line starting with `skipped:`; such lines are
//! counted and shown again at the end.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cargo::{self, cargo};
use crate::{boundaries, examples, first_hour, fuzz, house, packages, parity, prove, races};

/// How to test.
#[derive(Args)]
pub struct Options {
    /// Do not install packages
    #[arg(long)]
    no_install: bool,
    /// Only what `cargo test` runs: no parity, no proofs, no fuzzing
    #[arg(long)]
    quick: bool,
}

/// What has been run so far.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    /// What failed, by name.
    failures: Vec<String>,
    skipped: Vec<String>,
}

impl Tally {
    /// Counts a step that is one check.
    fn step(&mut self, name: &str, check: impl FnOnce() -> Result<bool>) {
        println!("== {name}");
        let started = Instant::now();
        match check() {
            Ok(true) => self.passed += 1,
            Ok(false) => self.failure(name.to_owned()),
            Err(error) => self.failure(format!("{name}: {error:#}")),
        }
        println!("== {name}: {:.0} s", started.elapsed().as_secs_f64());
    }

    fn failure(&mut self, what: String) {
        println!("FAILED: {what}");
        self.failures.push(what);
        self.failed += 1;
    }
}

/// Runs it all. Gives whether nothing failed.
///
/// # Errors
/// A tool that cannot be started.
pub fn execute(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    if !options.no_install {
        for name in packages::install()? {
            tally.skipped.push(format!("what needs the package {name}"));
        }
    }
    formatting(&mut tally);
    tally.step("house", || house::execute(&house::Options::check()));
    println!("== cargo test");
    cargo_test(&mut tally, &["test", "--workspace"])?;
    if cargo::has("clang-19") {
        tally.step("examples", || examples::execute(&examples::Options::default()));
    } else {
        tally.skipped.push("examples: clang-19 is missing".into());
    }
    let mut skipped = Vec::new();
    tally.step("first hour", || first_hour::execute(false, &mut skipped));
    tally.skipped.extend(skipped);
    if !options.quick {
        if std::fs::exists("/sys/fs/bpf").unwrap_or(false) && bpf_is_permitted() {
            for what in parity::What::all() {
                // Some keep to one CPU; what comes after them has all.
                let apart =
                    || std::thread::scope(|scope| scope.spawn(|| parity::execute(&what)).join());
                tally.step(&format!("parity {}", what.name()), || {
                    apart().unwrap_or_else(|_| bail!("it panicked"))
                });
            }
        } else {
            tally.skipped.push("parity: bpf(2) is not permitted here; run as root".into());
        }
        if prove::is_possible() {
            tally.step("prove --quick", || prove::execute(&prove::Options::quick()));
        } else {
            tally.skipped.push("prove: z3 is missing".into());
        }
        tally.step("orders (loom)", races::orders);
        tally.step("threads (ThreadSanitizer)", races::threads);
        tally.step("boundaries", || boundaries::execute(&boundaries::Options::short()));
        tally.step("fuzz", fuzz::short_run);
    }
    println!();
    for what in &tally.skipped {
        println!("skipped: {what}");
    }
    for what in &tally.failures {
        println!("failed: {what}");
    }
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped.len());
    Ok(tally.failed == 0)
}

/// Whether this process may load programs.
pub fn bpf_is_permitted() -> bool {
    use skep_sys::{Command, Errno, Fd, Kernel, Linux, MapCreate};
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let create = MapCreate {
        map_type: skep_abi::MapType::Array as u32,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        ..MapCreate::default()
    };
    match Fd::open(&linux, &mut Command::MapCreate(create)) {
        Ok(_) => true,
        Err(errno) => errno != Errno::EPERM && errno != Errno::ENOSYS,
    }
}

/// Formatting and lints, where their tools are installed.
fn formatting(tally: &mut Tally) {
    let succeeds = |arguments: &[&str]| -> Result<bool> {
        Ok(cargo().args(arguments).status().context("cargo")?.success())
    };
    let exists = |tool: &str| {
        let version =
            cargo().args([tool, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    if exists("fmt") {
        tally.step("cargo fmt", || succeeds(&["fmt", "--all", "--check"]));
    } else {
        tally.skipped.push("cargo fmt: rustup component add rustfmt".into());
    }
    if exists("clippy") {
        tally.step("cargo clippy", || {
            succeeds(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
        });
    } else {
        tally.skipped.push("cargo clippy: rustup component add clippy".into());
    }
}

/// Runs `cargo test`, passing its output on, and counts what it says.
fn cargo_test(tally: &mut Tally, arguments: &[&str]) -> Result<()> {
    let mut child = cargo()
        .args(arguments)
        .args(["--no-fail-fast", "--", "--show-output"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo test")?;
    let mut counted_failures = 0;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            if let Some(what) = line.strip_prefix("skipped: ") {
                tally.skipped.push(what.to_owned());
            }
            if let Some(name) = failed_test(&line) {
                tally.failures.push(name.to_owned());
            }
            if let Some((passed, failed)) = test_result(&line) {
                tally.passed += passed;
                counted_failures += failed;
            }
        }
    }
    // A test program that does not build or dies counts as one failure.
    let status = child.wait()?;
    if !status.success() && counted_failures == 0 {
        tally.failures.push("cargo test: a test program did not build, or died".into());
    }
    tally.failed += counted_failures.max(u64::from(!status.success()));
    Ok(())
}

/// The name in a line `test name ... FAILED`.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// The counts in a line `test result: ok. 3 passed; 0 failed; ...`.
fn test_result(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |word: &str| -> Option<u64> {
        counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse().ok())
    };
    Some((count("passed")?, count("failed")?))
}

/// Runs a program of ours and gives whether it succeeded.
///
/// # Errors
/// It cannot be started.
pub fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(command.status().with_context(|| format!("{command:?}"))?.success())
}

#[cfg(test)]
mod tests {
    use super::{failed_test, test_result};

    #[test]
    fn counts_are_read_from_the_closing_lines_of_cargo_test() {
        let line = "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(test_result(line), Some((3, 1)));
        assert_eq!(test_result("running 3 tests"), None);
        assert_eq!(failed_test("test log::tests::it ... FAILED"), Some("log::tests::it"));
        assert_eq!(failed_test("test log::tests::it ... ok"), None);
    }
}
