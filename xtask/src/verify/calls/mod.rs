//! `parity kfuncs` and `parity globals`: calls with every kind of argument beside the
//! running Linux, which judges. What may not happen is that we accept what it refuses.
//!
//! A script makes the instructions, a scene has what programs find around them; a case
//! is a function of its index alone, so that `--only` finds it again.

mod globals;
mod kfuncs;
mod scene;
mod script;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use skep_btf::Btf;
use skep_sys::{Kernel, Layer, Linux};

use super::judge::{Case, Judge};
use super::privilege::Privilege;
use super::report::Report;
use super::{Corpus, finish};
use crate::inputs::Random;
use scene::Scene;

/// How many, and which.
#[derive(clap::Args, Clone, Default)]
pub struct Options {
    /// How many calls, chosen at random; all by default
    #[arg(long)]
    count: Option<usize>,
    /// Which choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only calls with this in their name
    #[arg(long)]
    only: Option<String>,
    /// Put both logs of what differs into the list, and print it
    #[arg(long)]
    logs: bool,
    /// With these capabilities
    #[arg(long, value_enum, default_value = "all")]
    caps: Option<Privilege>,
}

impl Options {
    /// What continuous integration runs.
    pub fn short(count: usize) -> Options {
        let caps = Some(Privilege::All);
        Options { count: Some(count), seed: 1, caps, ..Options::default() }
    }
}

/// Which calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Of the kernel's functions.
    Kfuncs,
    /// Of the program's own global functions.
    Globals,
}

/// The calls, made.
enum Cases {
    Kfuncs(Vec<kfuncs::Case>),
    Globals(Vec<globals::Case>),
}

/// What became of one call: its place, its name, and what both say.
type Outcome = (usize, String, Vec<Case>);

/// Compares, and prints the figures. Gives whether the goal is met.
///
/// # Errors
/// A kernel that does not have what the programs need.
pub fn execute(calls: Calls, options: &Options) -> Result<bool> {
    let raw = Linux::new().host().vmlinux_btf();
    let raw = raw.context("/sys/kernel/btf/vmlinux cannot be read")?;
    let vmlinux = Arc::new(Btf::parse(raw.to_vec())?);
    let judging =
        super::Options { caps: options.caps, logs: options.logs, ..super::Options::default() };
    let scene = || -> Result<(Arc<Layer<Judge>>, Scene)> {
        let judge = Judge::of_linux(Some(Arc::clone(&vmlinux)), &judging);
        let scene = Scene::new(&judge, &vmlinux)?;
        Ok((judge, scene))
    };
    let (_judge, first) = scene()?;
    let cases = match calls {
        Calls::Kfuncs => Cases::Kfuncs(kfuncs::cases(&first)),
        Calls::Globals => Cases::Globals(globals::cases()),
    };
    let all = match &cases {
        Cases::Kfuncs(cases) => cases.len(),
        Cases::Globals(cases) => cases.len(),
    };
    let chosen = choose(all, options);
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::<Outcome>::new()));
    let absent = AtomicUsize::new(0);
    let work = || -> Result<()> {
        let (judge, scene) = scene()?;
        let mut loaded = globals::Loaded::default();
        while let Some(&at) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = match &cases {
                Cases::Kfuncs(cases) => kfuncs::judge(&scene, &judge, &cases[at]),
                Cases::Globals(cases) => globals::judge(&scene, &judge, &mut loaded, &cases[at])?,
            };
            let Some(name) = name else {
                absent.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let outcome = (at, name, judge.take_cases());
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
    })?;
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(at, ..)| *at);
    let mut report = Report::default();
    let corpus = match calls {
        Calls::Kfuncs => Corpus::Kfuncs,
        Calls::Globals => Corpus::Globals,
    };
    for (_, name, cases) in &outcomes {
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        if cases.is_empty() {
            report.skip("programs that are not permitted");
        }
        for case in cases {
            if let Some(why) = no_verdict(case) {
                report.skip(why);
                continue;
            }
            report.add(corpus, name, case, options.logs);
        }
    }
    let absent = absent.into_inner();
    if absent > 0 {
        report.skipped.insert("hooks without the thing that is given".into(), absent);
    }
    finish(report, options.logs, &format!("target/parity/{}.txt", corpus.name()))
}

/// Why what Linux says is none of the verifier's verdicts.
fn no_verdict(case: &Case) -> Option<&'static str> {
    let message = case.linux.message();
    if message.contains("failed to find the address for kernel symbol") {
        return Some("variables that this kernel has types but no addresses of");
    }
    message.starts_with("verifier bug").then_some("programs that Linux has a fault of its own with")
}

/// Which of so many: all, or as many as asked for.
fn choose(all: usize, options: &Options) -> Vec<usize> {
    let Some(count) = options.count.filter(|count| *count < all) else {
        return (0..all).collect();
    };
    let mut dice = Random::new(options.seed);
    let mut drawn = BTreeSet::new();
    while drawn.len() < count {
        drawn.insert(dice.range(0, all as i64 - 1) as usize);
    }
    drawn.into_iter().collect()
}
