//! `parity verify`: the verifier beside Linux's, on Linux's own tests (A), on the
//! objects of Debian's packages (B) and on random programs (C), with all capabilities
//! and with few. Linux is the only judge; a program without a verdict there (its types
//! or maps are not to be had, or the capabilities do not suffice) is not counted.

pub mod calls;
mod judge;
mod objects;
pub mod privilege;
pub mod random;
mod report;
pub mod selftests;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use skep_btf::Btf;
use skep_sys::{Kernel, Linux};

use crate::corpus;
use privilege::Privilege;
use report::{Report, Tally};

/// Where the list of what differs is written.
const LIST: &str = "target/parity/verify.txt";

/// What to verify.
#[derive(clap::Args, Clone, Default)]
pub struct Options {
    /// Objects, or folders of them, in place of the corpora
    paths: Vec<PathBuf>,
    /// Only this corpus
    #[arg(long, value_enum)]
    corpus: Vec<Corpus>,
    /// Only with these capabilities
    #[arg(long, value_enum)]
    caps: Option<Privilege>,
    /// How many random programs
    #[arg(long, default_value_t = 200_000)]
    count: u64,
    /// The first random program's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only programs with this in their name
    #[arg(long)]
    only: Option<String>,
    /// Put both logs of what differs into the list, and print it
    #[arg(long)]
    logs: bool,
}

/// Where programs are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Corpus {
    /// The selftests of the verifier: verifier_*.c
    #[value(name = "A-verifier")]
    AVerifier,
    /// All other selftests
    #[value(name = "A-rest")]
    ARest,
    /// Objects of Debian's packages
    #[value(name = "B")]
    B,
    /// Random programs
    #[value(name = "C")]
    C,
    /// Every row of the tables of program types, contexts and helpers; not among the
    /// corpora unless asked for
    #[value(name = "tables")]
    Tables,
    /// Calls of the kernel's functions: `parity kfuncs`
    #[value(skip)]
    Kfuncs,
    /// Calls of global functions: `parity globals`
    #[value(skip)]
    Globals,
    /// Programs of A that cannot be put to Linux here, by what they say of themselves
    #[value(skip)]
    Trampolines,
    /// What the command line names
    #[value(skip)]
    Paths,
}

impl Corpus {
    const EACH: [Corpus; 4] = [Corpus::AVerifier, Corpus::ARest, Corpus::B, Corpus::C];

    /// Its name in the figures.
    pub fn name(self) -> &'static str {
        match self {
            Corpus::AVerifier => "A-verifier",
            Corpus::ARest => "A-rest",
            Corpus::B => "B",
            Corpus::C => "C",
            Corpus::Tables => "tables",
            Corpus::Kfuncs => "kfuncs",
            Corpus::Globals => "globals",
            Corpus::Trampolines => "trampolines",
            Corpus::Paths => "paths",
        }
    }
}

impl Options {
    /// What continuous integration runs: the corpora that have goals, of the random
    /// programs a few.
    pub fn short() -> Options {
        let corpus = vec![Corpus::AVerifier, Corpus::B, Corpus::C];
        Options { corpus, count: 2_000, seed: 1, ..Options::default() }
    }

    fn privileges(&self) -> Vec<Privilege> {
        self.caps.map_or_else(|| Privilege::EACH.to_vec(), |one| vec![one])
    }
}

/// Compares, and prints the figures. Gives whether all goals are met.
///
/// # Errors
/// A corpus that cannot be had.
pub fn execute(options: &Options) -> Result<bool> {
    let linux = Linux::new();
    let raw = linux.host().vmlinux_btf().context("/sys/kernel/btf/vmlinux cannot be read")?;
    let vmlinux = Arc::new(Btf::parse(raw.to_vec())?);
    let corpora = match (&options.paths[..], &options.corpus[..]) {
        ([], []) => Corpus::EACH.to_vec(),
        ([], some) => some.to_vec(),
        (_, _) => vec![Corpus::Paths],
    };
    let mut report = Report::default();
    for corpus in corpora {
        let paths = match corpus {
            Corpus::AVerifier => selftests::objects(&vmlinux, is_verifier_test)?,
            Corpus::ARest => selftests::objects(&vmlinux, |name| !is_verifier_test(name))?,
            Corpus::B => corpus::objects()?.into_iter().map(|object| object.path).collect(),
            Corpus::Paths => objects::expand(&options.paths)?,
            Corpus::Trampolines | Corpus::Kfuncs | Corpus::Globals => Vec::new(),
            Corpus::Tables => {
                let judge = judge::Judge::of_linux(Some(Arc::clone(&vmlinux)), options);
                tables::judge(&judge, options, &mut report)?;
                continue;
            }
            Corpus::C => {
                random::judge(&vmlinux, options, &mut report)?;
                continue;
            }
        };
        objects::judge(corpus, &paths, &vmlinux, options, &mut report)?;
    }
    finish(report, options.logs, LIST)
}

/// Whether a selftest is one of the verifier's own.
pub fn is_verifier_test(name: &str) -> bool {
    name.starts_with("verifier_")
}

/// The objects of corpora A and B.
///
/// # Errors
/// A corpus that cannot be had.
pub fn all_objects() -> Result<Vec<PathBuf>> {
    let raw = Linux::new().host().vmlinux_btf();
    let raw = raw.context("/sys/kernel/btf/vmlinux cannot be read")?;
    let mut paths = selftests::objects(&Btf::parse(raw.to_vec())?, |_| true)?;
    paths.extend(corpus::objects()?.into_iter().map(|object| object.path));
    Ok(paths)
}

/// Prints what came out, and writes the list.
fn finish(mut report: Report, print: bool, list: &str) -> Result<bool> {
    std::fs::write(list, report.differences.clone() + &report.slow)
        .with_context(|| list.to_string())?;
    if print {
        print!("{}", report.differences);
    }
    for (why, count) in &report.skipped {
        println!("without a verdict: {count}: {why}");
    }
    report.ratios.sort_by(f64::total_cmp);
    if let (Some(median), Some(worst)) =
        (report.ratios.get(report.ratios.len() / 2), report.ratios.last())
    {
        println!("time, ours / Linux's: median {median:.2}, worst {worst:.2}");
    }
    println!("what differs: {list}");
    let (mut agree, mut of, mut met) = (0, 0, true);
    let corpora = [Corpus::Tables, Corpus::Kfuncs, Corpus::Globals, Corpus::Paths];
    let corpora = [&Corpus::EACH[..], &corpora].concat();
    for corpus in corpora {
        for privilege in Privilege::EACH {
            let Some(tally) = report.tallies.get(&(corpus as usize, privilege as usize)) else {
                continue;
            };
            println!("parity verify-{}-{}: {tally}", corpus.name(), privilege.name());
            let Tally { accepted, alike, tags, .. } = *tally;
            println!(
                "  explored alike: {alike} of {accepted} accepted; tags: {tags} of {accepted}"
            );
            if !tally.meets_goal(corpus, privilege) {
                println!("  which is below the goal");
                met = false;
            }
            agree += tally.verdicts;
            of += tally.judged;
        }
    }
    let trampolines = (Corpus::Trampolines as usize, Privilege::All as usize);
    if let Some(Tally { verdicts, judged, .. }) = report.tallies.get(&trampolines) {
        println!("parity verify-trampolines: {verdicts} of {judged} as their authors expect");
    }
    println!("parity verify: agree {agree} of {of}");
    Ok(met)
}
