//! Packs of a kernel's types, by the verdicts that they give: on all of Debian's objects, those
//! by a full pack and by one with `--for` are those by the kernel's own types. And what one
//! call for all of these objects takes beside their verification.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{cargo, corpus};

/// Where the corpus is, below the workspace's root.
const OBJECTS: &str = "target/parity/objects";
/// The kernel's own types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// The most bytes of a full pack.
const FULL: u64 = 3 << 19;
/// The most that a call may take, beside the verification in it.
const GOAL: f64 = 1.5;
/// How often calls are measured; the fastest counts.
const TRIES: usize = 3;

/// Compares the verdicts. Gives whether all are the same, and a full pack is small enough.
///
/// # Errors
/// skep does not build, or the objects cannot be had.
pub fn execute() -> Result<bool> {
    let skep = cargo::skep()?;
    corpus::objects()?;
    let folder = Path::new("target/parity/packs");
    std::fs::create_dir_all(folder)?;
    let pack = |name: &str, more: &[&str]| -> Result<(String, u64)> {
        let file = folder.join(name).display().to_string();
        let status = Command::new(&skep).args(["btf", "pack", "-o", &file]).args(more).status()?;
        if !status.success() {
            bail!("skep btf pack {more:?} failed");
        }
        let size = std::fs::metadata(&file)?.len();
        Ok((file, size))
    };
    let (full, size) = pack("full.btfpack", &[])?;
    let (small, small_size) = pack("small.btfpack", &["--for", OBJECTS])?;
    let expected = verdicts(&skep, VMLINUX)?;
    let mut is_well = size <= FULL;
    println!("a full pack has {size} bytes (goal {FULL}), one for these objects {small_size}");
    for (name, file) in [("full", &full), ("--for", &small)] {
        let found = verdicts(&skep, file)?;
        let count = expected.len().max(found.len());
        let agree = expected.iter().zip(&found).filter(|(one, other)| one == other).count();
        for (one, other) in expected.iter().zip(&found).filter(|(one, other)| one != other).take(8)
        {
            println!("differs by the {name} pack: {one}\n{other}");
        }
        println!("parity packs ({name}): agree {agree} of {count}");
        is_well &= agree == count && count > 0;
    }
    Ok(is_well)
}

/// A line for each program by these types, without what is not the verdict's.
fn verdicts(skep: &Path, types: &str) -> Result<Vec<Value>> {
    let ran = Command::new(skep)
        .args(["verify", OBJECTS, "--json", "--btf", types])
        .output()
        .context("skep verify")?;
    let text = String::from_utf8(ran.stdout)?;
    let without = |line: &str| -> Result<Value> {
        let mut line: Value = serde_json::from_str(line)?;
        if let Some(members) = line.as_object_mut() {
            members.remove("time_us");
            members.remove("btf");
        }
        Ok(line)
    };
    text.lines().map(without).collect()
}

/// Measures one call for all objects beside what it says that their verification took: both
/// are CPU time. Gives whether the goal is met.
///
/// # Errors
/// skep does not build, or the objects cannot be had.
pub fn bench() -> Result<bool> {
    let skep = cargo::skep()?;
    corpus::objects()?;
    let mut best = f64::INFINITY;
    for _ in 0..TRIES {
        // bash tells what its children took.
        let ran = Command::new("bash")
            .args(["-c", r#""$0" verify "$1" --json; times >&2"#])
            .arg(&skep)
            .arg(OBJECTS)
            .output()
            .context("bash")?;
        let times = String::from_utf8_lossy(&ran.stderr).into_owned();
        let last = times.lines().last().unwrap_or_default();
        let total: f64 = last.split(' ').filter_map(seconds).sum();
        let lines = String::from_utf8(ran.stdout)?;
        let time =
            |line: &str| Some(serde_json::from_str::<Value>(line).ok()?["time_us"].as_f64()? / 1e6);
        let verification: f64 = lines.lines().filter_map(time).sum();
        println!(
            "{} programs: verification {verification:.3} s, the whole call {total:.3} s",
            lines.lines().count()
        );
        best = best.min(total / verification);
    }
    println!("bench corpus: call / verification = {best:.2} (goal {GOAL})");
    Ok(best <= GOAL)
}

/// `1m2.345s`, as `times` writes it.
fn seconds(text: &str) -> Option<f64> {
    let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
    Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_of_bash_are_read() {
        assert_eq!(super::seconds("1m2.345s"), Some(62.345));
        assert_eq!(super::seconds("x"), None);
    }
}
