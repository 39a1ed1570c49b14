//! Running cargo and other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The folder of build results.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Builds a binary of the workspace in release mode, with these features, and gives its
/// path.
///
/// # Errors
/// It does not build.
pub fn build(package: &str, features: &str) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "--quiet", "--package", package]);
    if !features.is_empty() {
        build.args(["--features", features]);
    }
    let status = build.status().context("cargo build")?;
    if !status.success() {
        bail!("{package} does not build");
    }
    Ok(target().join("release").join(package))
}

/// Builds the command in release mode and gives its path.
///
/// # Errors
/// It does not build.
pub fn skep() -> Result<PathBuf> {
    Ok(build("skep-cli", "")?.with_file_name("skep"))
}

/// Whether a program is on the path.
pub fn has(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok()
}
