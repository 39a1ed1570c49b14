//! Running cargo and other programs.

use std::fs::Permissions;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
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
    Ok(release(&[package], features)?.join(package))
}

/// Builds packages in release mode, together, so that their libraries are built once, and
/// gives the folder that their programs are in.
///
/// # Errors
/// They do not build.
pub fn release(packages: &[&str], features: &str) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "--quiet"]);
    for package in packages {
        build.args(["--package", package]);
    }
    if !features.is_empty() {
        build.args(["--features", features]);
    }
    let status = build.status().context("cargo build")?;
    if !status.success() {
        bail!("{} does not build", packages.join(", "));
    }
    Ok(target().join("release"))
}

/// Builds programs of the workspace as the tests are built, and gives the folder that they
/// are in. The whole workspace is asked for so that features are, for all who build, the
/// same: then Cranelift and the other libraries are built once.
///
/// # Errors
/// They do not build.
pub fn programs(names: &[&str], instrumented: Option<&Instrumented>) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--workspace"]);
    for name in names {
        build.args(["--bin", name]);
    }
    if let Some(instrumented) = instrumented {
        build.env("RUSTC_WORKSPACE_WRAPPER", instrumented.wrapper()?);
    }
    let status = build.status().context("cargo build")?;
    if !status.success() {
        bail!("{} does not build", names.join(", "));
    }
    Ok(target().join("debug"))
}

/// Builds the command and gives its path.
///
/// # Errors
/// It does not build.
pub fn skep() -> Result<PathBuf> {
    Ok(programs(&["skep"], None)?.join("skep"))
}

/// Flags for the crates of the workspace alone: libraries are built, and shared, without.
pub struct Instrumented {
    /// A name that tells one from another.
    pub name: &'static str,
    pub flags: &'static [&'static str],
}

impl Instrumented {
    /// A program that calls the compiler with the flags. What is unstable is allowed in it
    /// alone: build scripts ask for that in the environment, and would build anew.
    fn wrapper(&self) -> Result<PathBuf> {
        // What runs while others are built is linked without what the flags want.
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in\n*' build_script_build '* | *' --crate-type proc-macro '*) \
             exec \"$@\" ;;\nesac\nRUSTC_BOOTSTRAP=1 exec \"$@\" {}\n",
            self.flags.join(" ")
        );
        // Cargo tells builds apart by the path.
        let mut hasher = std::hash::DefaultHasher::new();
        script.hash(&mut hasher);
        let folder = target().join("instrumented");
        let path = folder.join(format!("{}-{:016x}", self.name, hasher.finish()));
        if !path.exists() {
            std::fs::create_dir_all(&folder)?;
            let new = path.with_extension(std::process::id().to_string());
            std::fs::write(&new, script)?;
            std::fs::set_permissions(&new, Permissions::from_mode(0o755))?;
            std::fs::rename(&new, &path)?;
        }
        Ok(std::path::absolute(path)?)
    }
}

/// Whether a program is on the path.
pub fn has(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok()
}
