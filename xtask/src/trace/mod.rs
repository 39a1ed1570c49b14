//! `parity trace`: bpftrace's own runtime tests that need no function of the kernel, by
//! `skep trace` on this machine: same output, same status.
//!
//! Tests whose probes see what all processes do are run on the command that they start alone;
//! those that wait for what others do are left out, and counted as such. The tests are not
//! part of the repository; without them a line says so. The programs that they run are this
//! program under other names (`programs.rs`).

mod judge;
pub mod programs;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use judge::{Verdict, judge};

/// At least so many tests agree.
const FLOOR: usize = 315;

/// What to compare.
#[derive(clap::Args, Clone, Default)]
pub struct Options {
    /// Only tests whose suite and name match
    #[arg(long)]
    only: Option<String>,
    /// Print what came of tests that differ
    #[arg(long)]
    verbose: bool,
    /// The folder with the outputs that tests name (`outputs/hist.json`)
    #[arg(long)]
    outputs: Option<PathBuf>,
}

/// Providers whose tests are run.
const PROVIDERS: &[&str] = &[
    "begin_end",
    "interval",
    "tracepoint",
    "rawtracepoint",
    "profile",
    "self",
    "bench",
    "test",
    "software",
];

/// Those of them that see what all processes do.
const EVERYWHERE: &[&str] = &["tracepoint", "rawtracepoint", "software"];

/// Compares. Gives whether as many agree as have to.
///
/// # Errors
/// Data that cannot be read, or a program that cannot be built.
pub fn execute(options: &Options) -> Result<bool> {
    let Some(file) = data() else {
        println!("skipped: parity trace: bpftrace's tests are not there (SKEP_DATA)");
        return Ok(true);
    };
    let wanted = options.only.as_deref().map(regex::Regex::new).transpose()?;
    let folder = prepare(options.outputs.as_deref())?;
    let (mut agree, mut all, mut left_out) = (0, 0, 0);
    for line in std::fs::read_to_string(&file)?.lines() {
        let test: Value = serde_json::from_str(line)?;
        let name = format!("{}/{}", text(&test, "suite"), text(&test, "name"));
        if wanted.as_ref().is_some_and(|wanted| !wanted.is_match(&name)) || !is_for_here(&test) {
            continue;
        }
        if let Some(reason) = left_out_for(&test, &folder) {
            if options.verbose {
                println!("{name}: left out: {reason}");
            }
            left_out += 1;
            continue;
        }
        all += 1;
        judge::write_script(&test, &folder)?;
        match judge(&test, &folder)? {
            Verdict::Same => agree += 1,
            Verdict::Differs { command, output, reason } => {
                println!("{name}: {reason}");
                if options.verbose {
                    println!("  {command}\n  {}", output.replace('\n', "\n  "));
                }
            }
        }
    }
    println!("parity trace: agree {agree} of {all} ({left_out} left out)");
    Ok(wanted.is_some() || agree >= FLOOR)
}

/// A field that is text.
fn text<'a>(test: &'a Value, field: &str) -> &'a str {
    test[field].as_str().unwrap_or_default()
}

/// The words of a field that is a list.
fn list<'a>(test: &'a Value, field: &str) -> Vec<&'a str> {
    let words = test[field].as_array().into_iter().flatten();
    words.filter_map(Value::as_str).collect()
}

fn is_for_here(test: &Value) -> bool {
    let arch = text(test, "arch");
    let here = arch.is_empty() || arch.split('|').any(|arch| arch == "x86_64" || arch == "le");
    here && list(test, "probe_kinds").iter().all(|of| of.is_empty() || PROVIDERS.contains(of))
}

/// Why a test is not run here.
fn left_out_for(test: &Value, folder: &Path) -> Option<&'static str> {
    let kinds = list(test, "probe_kinds");
    if kinds.iter().any(|kind| EVERYWHERE.contains(kind)) && text(test, "after").is_empty() {
        return Some("it waits for what other processes do");
    }
    if text(test, "after").contains("pkill") {
        return Some("it ends programs by their name");
    }
    if !list(test, "before").is_empty() {
        return Some("it needs a program of its project's");
    }
    let named = test["expect"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|expect| matches!(text(expect, "mode"), "json" | "file"));
    if named.into_iter().any(|expect| !folder.join(text(expect, "value")).is_file()) {
        return Some("the output that it names is not there (--outputs)");
    }
    let fails = |command: &&str| !judge::succeeds(command, folder);
    list(test, "requires").iter().any(fails).then_some("what it requires is not there")
}

/// The folder that tests run in: bpftrace and the programs that they start under the names
/// that they have there.
fn prepare(outputs: Option<&Path>) -> Result<PathBuf> {
    let folder = std::fs::canonicalize("target/parity")?.join("trace");
    for inner in ["bin", "testprogs", "runtime/scripts"] {
        std::fs::create_dir_all(folder.join(inner))?;
    }
    let link = |from: &Path, to: &str| -> Result<()> {
        let to = folder.join(to);
        // One of an earlier run may be in the way.
        let _ = std::fs::remove_file(&to);
        std::os::unix::fs::symlink(from, &to).with_context(|| to.display().to_string())
    };
    link(&crate::cargo::skep()?, "bin/bpftrace")?;
    let me = std::env::current_exe()?;
    for name in programs::NAMES {
        link(&me, &format!("testprogs/{name}"))?;
    }
    if let Some(outputs) = outputs {
        link(&std::fs::canonicalize(outputs)?, "runtime/outputs")?;
    }
    Ok(folder)
}

/// The tests: in `SKEP_DATA`, or in `shared/data` beside the checkout or above it.
fn data() -> Option<PathBuf> {
    let named = std::env::var_os("SKEP_DATA").map(PathBuf::from);
    let workspace = crate::cargo::workspace();
    let above = workspace.ancestors().skip(1).map(|folder| folder.join("shared/data"));
    let mut files = named.into_iter().chain(above).map(|of| of.join("bpftrace-runtime.jsonl"));
    files.find(|file| file.is_file())
}
