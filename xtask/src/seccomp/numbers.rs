//! Numbers of calls beside `scmp_sys_resolver`'s, and systemd's sets beside
//! `systemd-analyze`'s.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result};
use skep_lang::seccomp::{Arch, arch, behind, sets};

/// What it says of a call that an architecture, or it itself, does not know. Below are
/// numbers of its own: of calls that are elsewhere, and of those behind another call.
const UNKNOWN: i64 = -1;

/// Where it has something else than Linux's tables: a call that only parisc's 32-bit table
/// has, and one that x86's table has for all.
const LINUX_SAYS: [(Arch, &str); 2] =
    [(Arch::Parisc64, "_llseek"), (Arch::X32, "map_shadow_stack")];

/// Compares numbers, of every `step`th call. Gives whether all agree.
pub(super) fn execute(step: usize) -> Result<bool> {
    if !crate::cargo::has("scmp_sys_resolver") {
        println!("skipped: parity seccomp-numbers: scmp_sys_resolver is missing");
        return Ok(true);
    }
    let (mut agree, mut all, mut unknown) = (0, 0, 0);
    for arch in Arch::all() {
        let theirs = |call: &str| -> Result<Option<i64>> {
            let output = Command::new("scmp_sys_resolver")
                .args(["-a", arch.name(), call])
                .output()
                .context("scmp_sys_resolver")?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
        };
        // An architecture that this version does not know.
        if theirs("read")?.is_none() {
            continue;
        }
        for call in arch::names().step_by(step) {
            let ours = arch.number(call).map(i64::from);
            match (theirs(call)?, ours) {
                (Some(UNKNOWN) | None, _) => unknown += 1,
                _ if LINUX_SAYS.contains(&(arch, call)) => {}
                (Some(number), ours) => {
                    all += 1;
                    let same = match ours {
                        Some(ours) => number == ours || number < 0 && behind(arch, call).is_some(),
                        None => number < 0,
                    };
                    agree += usize::from(same);
                    if !same {
                        println!("{} {call}: {ours:?}, not {number}", arch.name());
                    }
                }
            }
        }
    }
    println!("{unknown} calls are newer than it");
    println!("parity seccomp-numbers: agree {agree} of {all}");
    Ok(agree == all)
}

/// Compares sets: what an older systemd has in one, ours has, too. Gives whether it does.
pub(super) fn sets() -> Result<bool> {
    if !crate::cargo::has("systemd-analyze") {
        println!("skipped: parity seccomp-sets: systemd-analyze is missing");
        return Ok(true);
    }
    let output = Command::new("systemd-analyze").arg("syscall-filter").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut agree, mut all) = (0, 0);
    let mut ours: Option<BTreeSet<&str>> = None;
    for line in text.lines() {
        match line.trim() {
            name if line.starts_with('@') => {
                ours = if name == "@known" { None } else { sets::calls(name) };
                if ours.is_none() && name != "@known" {
                    all += 1;
                    println!("there is no set {name}");
                }
            }
            "" => {}
            member if member.starts_with('#') => {}
            member => {
                let Some(ours) = &ours else { continue };
                all += 1;
                let same = match member.starts_with('@') {
                    true => sets::calls(member).is_some_and(|of| of.is_subset(ours)),
                    false => ours.contains(member),
                };
                agree += usize::from(same);
                if !same {
                    println!("{member} is in no set of its name");
                }
            }
        }
    }
    println!("parity seccomp-sets: agree {agree} of {all}");
    Ok(agree == all)
}
