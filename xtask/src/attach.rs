//! `cargo xtask parity attach`: each kind of hook that this Linux can attach, by the tests of
//! `skep-load` that attach to it: what was done beside what the program counted, while it was
//! attached. Kinds that this machine has not are listed.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::workspace;

/// Runs the tests, and adds up what they say.
///
/// # Errors
/// They do not build.
pub fn execute() -> Result<bool> {
    let mut tests = Command::new("cargo");
    // Of the whole workspace, so that nothing is built with other features.
    tests.args(["test", "--workspace", "--test", "attach", "--"]);
    tests.args(["--nocapture", "--test-threads=1"]).current_dir(workspace());
    let output = tests.output().context("cargo test")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut kinds = BTreeMap::new();
    // A test's name may stand in front.
    let lines = || text.lines().map(|line| line.rsplit_once(" ... ").map_or(line, |(_, end)| end));
    for line in lines() {
        let Some((kind, rest)) = line.strip_prefix("hook ").and_then(|of| of.split_once(": done "))
        else {
            continue;
        };
        let Some((done, counted)) = rest.split_once(", counted ") else { continue };
        *kinds.entry(kind.to_owned()).or_insert(true) &= done == counted;
    }
    for line in lines().filter(|line| line.starts_with("skipped: ")) {
        println!("{line}");
    }
    for (kind, _) in kinds.iter().filter(|(_, agrees)| !**agrees) {
        println!("differs: {kind}");
    }
    let agree = kinds.values().filter(|agrees| **agrees).count();
    println!("attach: agree {agree} of {}", kinds.len());
    if !output.status.success() {
        println!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.status.success() && agree == kinds.len())
}
