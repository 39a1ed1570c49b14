//! `parity gen`: what `skep gen` makes of Debian's objects, by the tests that do so with our own:
//! skeletons compile, in C wherever bpftool's do, and linked objects have the instructions that
//! bpftool's have.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::workspace;
use crate::corpus;

/// Runs the tests on the objects. Gives whether they pass.
///
/// # Errors
/// The objects cannot be had, or the tests not built.
pub fn execute() -> Result<bool> {
    let objects = corpus::objects()?;
    println!("parity gen: {} objects of {}", objects.len(), corpus::PACKAGES.join(", "));
    let folder = workspace().join(Path::new("target/parity/objects"));
    // Of the whole workspace, so that nothing is built with other features.
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "-q", "--workspace", "--test", "cli", "generate::", "--", "--nocapture"])
        .current_dir(workspace())
        .env("SKEP_OBJECTS", folder)
        .status()
        .context("cargo")?;
    Ok(status.success())
}
