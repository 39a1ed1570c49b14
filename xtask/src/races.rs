//! The maps' algorithms for many threads, under ThreadSanitizer and, by the models in
//! `tests/maps`, under loom.
//!
//! ThreadSanitizer needs every synchronisation instrumented, and `std` comes as it is built:
//! `-Cunsafe-allow-abi-mismatch=sanitizer` lets the two be linked, and reports that owe to
//! it are left out: those of which a side is not in the maps (a join of threads, the test
//! harness), and those of which both sides hold a lock of `std` ([`LOCKED`]). It knows no
//! fences either; what relies on them accesses by atomics, which are no race to it, and is
//! shown by loom's models.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cargo::{cargo, target};

/// The machine that is built for: said, it keeps the flags away from build scripts.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Files whose plain accesses are all made while a `std` lock of theirs is held.
const LOCKED: [&str; 1] = ["kinds/lpm.rs"];

/// `cargo test` with flags, in a folder of its own.
fn test(folder: &str, flags: &str, arguments: &[&str]) -> Command {
    let mut command = cargo();
    command
        .args(["test", "--quiet", "--lib"])
        .args(arguments)
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", target().join("sanitized").join(folder));
    command
}

/// Runs loom's models. Gives whether they hold.
///
/// # Errors
/// cargo does not start.
pub fn orders() -> Result<bool> {
    let arguments = ["--manifest-path", "tests/maps/Cargo.toml"];
    let status = test("loom", "--cfg loom", &arguments).status().context("cargo test")?;
    Ok(status.success())
}

/// Runs the maps' concurrency tests under ThreadSanitizer. Gives whether they pass without
/// a race in the maps.
///
/// # Errors
/// cargo does not start.
pub fn threads() -> Result<bool> {
    let flags = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";
    let package = ["-p", "skep-maps", "--target", TRIPLE];
    let arguments = [&package[..], &["tests::concurrency", "--", "--test-threads=1"]].concat();
    let output = test("thread", flags, &arguments)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("TSAN_OPTIONS", "exitcode=0")
        .stdin(Stdio::null())
        .output()
        .context("cargo test")?;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut races = BTreeMap::new();
    for report in err.split("==================").filter(|text| text.contains("data race")) {
        if let Some(sides) = sides(report) {
            races.entry(sides).or_insert(report);
        }
    }
    for report in races.values() {
        println!("{report}");
    }
    let ran = out
        .lines()
        .any(|line| line.starts_with("test result: ok. ") && !line.contains(" 0 passed"));
    if !output.status.success() || !ran {
        println!("{out}{err}");
    }
    println!("races: {} in the maps", races.len());
    Ok(output.status.success() && ran && races.is_empty())
}

/// Where in the maps the two sides of a report are, if both are there and not under a lock
/// that the sanitizer does not see.
fn sides(report: &str) -> Option<[String; 2]> {
    let mut stacks = report.split("\n\n").filter(|part| part.contains(" of size "));
    let mut side = || place(stacks.next()?);
    let (first, second) = (side()?, side()?);
    let locked = LOCKED.iter().any(|file| first.starts_with(file) && second.starts_with(file));
    (!locked).then_some([first, second])
}

/// The innermost frame of a stack that is in the maps, as `FILE:LINE`; `None` where there is
/// none, or it is a test's.
fn place(stack: &str) -> Option<String> {
    let rest = stack.lines().find_map(|line| Some(line.split_once("/crates/maps/src/")?.1))?;
    let place = rest.split(' ').next()?;
    (!place.starts_with("tests/")).then(|| place.to_owned())
}

#[cfg(test)]
mod tests {
    use super::sides;

    fn report(first: &str, second: &str) -> String {
        format!(
            "WARNING: ThreadSanitizer: data race (pid=1)\n  Write of size 4 at 0x1 by thread T1:\n    \
             #0 memcpy /rustc/x.rs:1:1 (p+0x1)\n    #1 f /s/crates/maps/src/{first} (p+0x2)\n\n  \
             Previous read of size 4 at 0x1 by thread T2:\n    #0 g /s/crates/maps/src/{second} (p+0x3)\n\n  \
             Thread T1 'x' created by main thread at:\n    #0 h /s/crates/maps/src/kinds/queue.rs:1:1 (p)\n"
        )
    }

    #[test]
    fn races_count_where_both_sides_are_the_maps_own() {
        let both = report("kinds/queue.rs:3:1", "mem/words.rs:9:2");
        assert_eq!(sides(&both), Some(["kinds/queue.rs:3:1".into(), "mem/words.rs:9:2".into()]));
        assert_eq!(sides(&report("tests/concurrency.rs:3:1", "kinds/queue.rs:1:1")), None);
        assert_eq!(sides(&report("kinds/lpm.rs:412:1", "kinds/lpm.rs:435:9")), None);
        assert!(sides(&report("kinds/lpm.rs:412:1", "kinds/queue.rs:435:9")).is_some());
        assert_eq!(sides("WARNING: ThreadSanitizer: data race\n"), None);
    }
}
