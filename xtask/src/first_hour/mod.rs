//! `cargo xtask first-hour` (and `tests/first_hour`): does what README.md, docs/cli.md and
//! docs/verify.md tell a newcomer to do, as they tell it, and compares with what they show.
//!
//! ```text
//!   document ── document::parts ──> steps (`$ command` and what it prints), JSON, tables, Rust
//!   step     ── run, in a folder that looks like the repository, with skep on the path
//!   output   ── shown: line by line; JSON and tables of members: by their members
//! ```
//! A file that a document shows with `cat` and that is not there is written as shown. A step
//! that shows an error has to fail, and the others not.

mod document;
mod shape;
mod shown;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{self, workspace};
use document::{Part, Step};

/// What a newcomer reads.
const DOCUMENTS: [&str; 3] = ["README.md", "docs/cli.md", "docs/verify.md"];
/// What steps refer to, below the workspace's root.
const INPUTS: [&str; 4] = ["examples", "crates", "docs", "tests"];
/// What runs this, and cannot be one of its steps.
const OURSELVES: &str = "cargo xtask test";
/// What runs a skep of its own build.
const RUNS: &str = "cargo run --release -- ";

/// Where steps run.
struct Place {
    folder: PathBuf,
    path: std::ffi::OsString,
    /// Why programs cannot be loaded into Linux.
    no_linux: Option<String>,
    builds: bool,
}

/// Runs all steps. Gives whether each did what its document says; `skipped` gets those that
/// cannot run here. Without `builds`, what steps would build in release mode is the skep that
/// was built for the tests.
///
/// # Errors
/// skep does not build, or a document cannot be read.
pub fn execute(builds: bool, skipped: &mut Vec<String>) -> Result<bool> {
    let place = Place::new(builds)?;
    let (mut done, mut wrong) = (0, 0);
    for name in DOCUMENTS {
        let text = std::fs::read_to_string(workspace().join(name)).context(name)?;
        let mut before: Vec<serde_json::Value> = Vec::new();
        let mut is_skipped = false;
        for part in document::parts(&text).with_context(|| name.to_owned())? {
            let (line, result) = match &part {
                Part::Step(step) if step.command == OURSELVES => continue,
                Part::Step(step) => {
                    if let Some(why) = place.cannot(step) {
                        skipped.push(format!("{name}:{}: {}: {why}", step.line, step.command));
                        is_skipped = true;
                        continue;
                    }
                    let ran = place.step(step)?;
                    if step.command.contains("--json") {
                        before.extend(shape::values(&ran.out));
                    }
                    (step.line, judge(step, &ran))
                }
                // What it tells of did not run here.
                Part::Json(..) | Part::Members(..) if is_skipped && before.is_empty() => continue,
                Part::Json(line, json) => {
                    (*line, shape::compare(json, &std::mem::take(&mut before)))
                }
                Part::Members(line, names) => {
                    (*line, shape::members(names, &std::mem::take(&mut before)))
                }
                Part::Rust(line, code) => (*line, is_an_example(code)),
            };
            if !matches!(part, Part::Step(_)) {
                is_skipped = false;
            }
            done += 1;
            if let Err(reason) = result {
                wrong += 1;
                println!("{name}:{line}: {reason:#}");
            }
        }
    }
    println!("first hour: {} of {done} steps and forms are as written", done - wrong);
    Ok(wrong == 0)
}

/// How a step ended.
struct Ran {
    status: i32,
    out: String,
}

impl Place {
    fn new(builds: bool) -> Result<Place> {
        let root = workspace();
        let skep = cargo::skep()?;
        let folder = std::env::temp_dir().join(format!("skep-first-hour-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        for input in INPUTS {
            std::os::unix::fs::symlink(root.join(input), folder.join(input))?;
        }
        let programs = std::fs::canonicalize(&skep).with_context(|| skep.display().to_string())?;
        let programs = programs.parent().map(Path::to_owned).unwrap_or_default();
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&paths)))?;
        let no_linux = (!crate::test::bpf_is_permitted())
            .then(|| "Linux does not let us load programs".to_owned());
        Ok(Place { folder, path, no_linux, builds })
    }

    /// Why a step cannot run here.
    fn cannot(&self, step: &Step) -> Option<String> {
        if !self.builds && step.command.starts_with("cargo install ") {
            return Some("cargo xtask first-hour does".into());
        }
        let wants_types =
            step.command.contains("/sys/kernel/btf") || step.command.contains("btfpack");
        if wants_types && !Path::new("/sys/kernel/btf/vmlinux").exists() {
            return Some("this kernel shows no types".into());
        }
        let in_linux =
            step.command.contains("--kernel linux") || step.command.contains("--kernel both");
        self.no_linux.clone().filter(|_| in_linux)
    }

    fn step(&self, step: &Step) -> Result<Ran> {
        if let Some(name) = step.command.strip_prefix("cat ") {
            let file = self.folder.join(name);
            if !file.exists() {
                std::fs::write(file, step.shown.join("\n") + "\n").context(name.to_owned())?;
            }
        }
        let command = match step.command.strip_prefix(RUNS) {
            Some(arguments) if !self.builds => format!("skep {arguments}"),
            _ => step.command.clone(),
        };
        // Cargo knows packages by where they are.
        let is_cargo = command.starts_with("cargo ");
        let folder = if is_cargo { workspace() } else { self.folder.clone() };
        let ran = Command::new("bash")
            .args(["-o", "pipefail", "-c", &format!("exec 2>&1; {command}")])
            .current_dir(folder)
            .env("PATH", &self.path)
            .env("CARGO_INSTALL_ROOT", self.folder.join("installed"))
            .env("CARGO_TERM_QUIET", "true")
            .stdin(Stdio::null())
            .output()
            .context("bash")?;
        let out = String::from_utf8_lossy(&ran.stdout).into_owned();
        Ok(Ran { status: ran.status.code().unwrap_or(-1), out })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left in a temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether a step ended and printed as its document shows.
fn judge(step: &Step, ran: &Ran) -> Result<()> {
    let shows = |start: &str| step.shown.iter().any(|line| line.starts_with(start));
    let expected: &[i32] = match () {
        () if shows("rejected ") || shows("worse ") => &[1],
        () if shows("error: ") => &[1, 2],
        () => &[0],
    };
    if !expected.contains(&ran.status) {
        bail!("`{}` ended with {}, not {expected:?}:\n{}", step.command, ran.status, ran.out);
    }
    if let Err(reason) = shown::compare(&step.shown, &ran.out) {
        bail!("`{}` {reason}; it printed:\n{}", step.command, ran.out);
    }
    Ok(())
}

/// Whether code of a document is part of an example, which the tests build and run.
fn is_an_example(code: &[String]) -> Result<()> {
    let trimmed = |text: &str| -> Vec<String> {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let wanted = trimmed(&code.join("\n"));
    let (uses, body): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|line| line.starts_with("use "));
    let folder = workspace().join("crates/skep/examples");
    let holds = |path: &Path| -> Result<bool> {
        let lines = trimmed(&std::fs::read_to_string(path)?);
        let has_uses = uses.iter().all(|wanted| lines.contains(wanted));
        Ok(has_uses && lines.windows(body.len()).any(|window| window == body))
    };
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "rs") && holds(&path)? {
            return Ok(());
        }
    }
    bail!("this code is not part of any of crates/skep/examples")
}
