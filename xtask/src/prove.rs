//! `cargo xtask prove`: has z3 prove every function of the verifier's scalar domain,
//! for all words of 64 bits where it can, and refute each with an error planted.
//!
//! The domain says itself what is to be proved (`skep_verify::domain::obligations`).
//! Beside each obligation stands the width at which z3 has answered in ten minutes;
//! one that is not answered at its width, and a function of the domain that no
//! obligation is about, fail the check.

mod coverage;
mod plan;
mod symbolic;

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use skep_verify::domain::obligations::{Obligation, Plant};
use symbolic::{Query, Symbol};

/// What to prove, and for how long.
#[derive(clap::Args)]
pub struct Options {
    /// Give up a query after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// Prove at 8 bits what is otherwise proved at more: a minute in all
    #[arg(long)]
    quick: bool,
    /// Try all widths from 64 down, instead of those that are known to be answered
    #[arg(long)]
    search: bool,
    /// Only obligations whose names contain this
    #[arg(value_name = "NAME")]
    filter: Option<String>,
}

impl Options {
    /// A proof at few bits.
    pub fn quick() -> Options {
        Options { timeout: 600, quick: true, search: false, filter: None }
    }
}

/// Whether z3 is installed.
pub fn is_possible() -> bool {
    let version = Command::new("z3").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// What a solver says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// There is no counterexample.
    Proved,
    /// There is one.
    Refuted,
    /// It did not come to an end.
    Unknown,
}

/// Proves everything, prints a line for each function, and says whether all held.
///
/// # Errors
/// If z3 cannot be run, or the sources cannot be read.
pub fn execute(options: &Options) -> Result<bool> {
    let version = Command::new("z3").arg("--version").output().context("z3 is not installed")?;
    print!("{}", String::from_utf8_lossy(&version.stdout));
    let mut good = coverage::check()?;

    let wanted: Vec<Obligation> = Obligation::all()
        .into_iter()
        .filter(|one| options.filter.as_ref().is_none_or(|name| one.to_string().contains(name)))
        .collect();
    let mut prover = Prover { options, answers: HashMap::new() };
    let (mut proved, mut refuted, mut planted) = (0, 0, 0);
    for obligation in &wanted {
        let proof = prover.prove(*obligation)?;
        let missed = prover.unnoticed(*obligation)?;
        planted += obligation.plants().len();
        refuted += obligation.plants().len() - missed.len();
        proved += usize::from(proof.answer == Answer::Proved);
        good &= proof.answer == Answer::Proved && missed.is_empty();
        println!("{:36} {proof}", obligation.to_string());
        for plant in missed {
            println!("{:36} not refuted with an error planted: {plant:?}", obligation.to_string());
        }
    }
    println!(
        "prove: {proved} of {} proved, {refuted} of {planted} planted errors refuted",
        wanted.len()
    );
    Ok(good)
}

/// How an obligation was proved, or was not.
#[derive(Clone, Copy)]
struct Proof {
    answer: Answer,
    /// Bits of the words.
    width: u32,
    /// How long z3 took; `None` where the proof is that of its parts.
    time: Option<Duration>,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = match self.answer {
            Answer::Proved => "proved",
            Answer::Refuted => "REFUTED",
            Answer::Unknown => "UNKNOWN",
        };
        write!(f, "{answer} at {:2} bits", self.width)?;
        match self.time {
            Some(time) => write!(f, " in {:.1} s", time.as_secs_f64()),
            None => f.write_str(" by its parts"),
        }
    }
}

/// Proofs, each done once.
struct Prover<'a> {
    options: &'a Options,
    answers: HashMap<Obligation, Proof>,
}

impl Prover<'_> {
    fn prove(&mut self, obligation: Obligation) -> Result<Proof> {
        if let Some(proof) = self.answers.get(&obligation) {
            return Ok(*proof);
        }
        let parts = obligation.parts();
        let proof = if parts.is_empty() {
            self.prove_directly(obligation)?
        } else {
            // No wider than the narrowest of them, and no better than the worst.
            let mut whole = Proof { answer: Answer::Proved, width: 64, time: None };
            for part in parts {
                let part = self.prove(part)?;
                whole.width = whole.width.min(part.width);
                if part.answer != Answer::Proved {
                    whole.answer = part.answer;
                }
            }
            whole
        };
        self.answers.insert(obligation, proof);
        Ok(proof)
    }

    /// At the width that the plan has for it, or the widest that is answered.
    fn prove_directly(&self, obligation: Obligation) -> Result<Proof> {
        let planned = plan::width(obligation);
        let widths: &[u32] = match (self.options.search, self.options.quick) {
            (true, _) => &[64, 32, 16, 8],
            (false, true) => &[planned.min(8)],
            (false, false) => &[planned],
        };
        let mut proof = Proof { answer: Answer::Unknown, width: planned, time: None };
        for width in widths {
            let start = Instant::now();
            let answer = ask(obligation, None, *width, self.options.timeout)?;
            proof = Proof { answer, width: *width, time: Some(start.elapsed()) };
            if answer != Answer::Unknown {
                break;
            }
        }
        Ok(proof)
    }

    /// The planted errors that are not refuted, on words of few bits.
    fn unnoticed(&self, obligation: Obligation) -> Result<Vec<Plant>> {
        // As many as show each error: the tests go through all words of so many bits too.
        let few = if obligation.is_about_scalars() { 2 } else { 4 };
        let width = obligation.least_bits().max(few);
        let mut missed = Vec::new();
        for plant in obligation.plants() {
            if ask(obligation, Some(*plant), width, self.options.timeout)? != Answer::Refuted {
                missed.push(*plant);
            }
        }
        Ok(missed)
    }
}

/// Asks z3 about one obligation on words of this width.
fn ask(obligation: Obligation, plant: Option<Plant>, width: u32, seconds: u64) -> Result<Answer> {
    let mut query = Query::new();
    let claim = match width {
        64 => obligation.claim::<Symbol<64>>(&mut query, plant),
        32 => obligation.claim::<Symbol<32>>(&mut query, plant),
        16 => obligation.claim::<Symbol<16>>(&mut query, plant),
        8 => obligation.claim::<Symbol<8>>(&mut query, plant),
        4 => obligation.claim::<Symbol<4>>(&mut query, plant),
        2 => obligation.claim::<Symbol<2>>(&mut query, plant),
        _ => bail!("there are no words of {width} bits"),
    };
    let claim = claim.context("a solver gives up no draw")?;
    let end = Instant::now() + Duration::from_secs(seconds);
    // A proof is found part by part, a counterexample all at once.
    let scripts = match plant {
        None => query.scripts(claim),
        Some(_) => vec![query.script(claim)],
    };
    for script in scripts {
        let left = end.saturating_duration_since(Instant::now()).as_secs().max(1);
        match solve(&script, left)? {
            Answer::Proved => {}
            other => return Ok(other),
        }
    }
    Ok(Answer::Proved)
}

/// Runs z3 on a script.
fn solve(script: &str, seconds: u64) -> Result<Answer> {
    let mut child = Command::new("z3")
        .args(["-in", "-smt2", &format!("-T:{seconds}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("running z3")?;
    let mut input = child.stdin.take().context("z3 has no input")?;
    input.write_all(script.as_bytes()).context("asking z3")?;
    drop(input);
    let output = child.wait_with_output().context("waiting for z3")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim() {
        "unsat" => Ok(Answer::Proved),
        "sat" => Ok(Answer::Refuted),
        // At its time-out z3 may end without a word.
        "unknown" | "timeout" | "" => Ok(Answer::Unknown),
        other => bail!("z3 says: {other}"),
    }
}
