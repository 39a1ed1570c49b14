//! What is worse than in an earlier run: `--baseline FILE`.

use std::path::Path;

use skep::baseline::{Baseline, COUNTED};
use skep::verify::explain::Source;

use super::judge::{Judged, Verdict};
use super::stats::base_name;
use crate::failure::Failure;
use crate::files::{self, in_file};

/// What is worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regression {
    pub object: String,
    pub program: String,
    /// `verdict`, or the column.
    pub what: &'static str,
    /// In a line.
    pub message: String,
    /// Where: the line at fault, or the one that the program starts at.
    pub source: Option<Source>,
}

/// Reads a file.
///
/// # Errors
/// It is no such CSV.
pub fn read(path: &Path) -> Result<Baseline, Failure> {
    Baseline::parse(&files::read_text(path)?).map_err(|reason| {
        let failure = in_file(path, reason);
        failure.hint("`skep verify ... --output csv` and `veristat -o csv` write baselines")
    })
}

/// What is counted of a program now, in the order of [`COUNTED`].
fn counts(of: &Judged) -> [u64; COUNTED.len()] {
    [of.counts.processed.into(), of.counts.total_states.into(), of.stack.into()]
}

/// What is worse than it was, by more than `threshold` per cent where it is a number.
pub fn compare(baseline: &Baseline, judged: &[Judged], threshold: f64) -> Vec<Regression> {
    let mut all = Vec::new();
    for of in judged {
        let name = of.program.def.name.clone();
        let Some(earlier) = baseline.get(base_name(&of.object), &name) else { continue };
        let mut add = |what: &'static str, message: String| {
            let source = of.source().or(of.start.as_ref()).cloned();
            let (object, program) = (of.object.clone(), name.clone());
            all.push(Regression { object, program, what, message, source });
        };
        match (&of.verdict, earlier.accepted) {
            (Verdict::Accepted, true) => {}
            // What was refused took as long as it took to be refused.
            (Verdict::Accepted, false) | (_, false) => continue,
            (_, true) => {
                let why = of.message().unwrap_or_default();
                add("verdict", format!("accepted before, refused now: {why}"));
                continue;
            }
        }
        for ((name, now), before) in COUNTED.into_iter().zip(counts(of)).zip(earlier.counts) {
            let Some(before) = before else { continue };
            if is_worse(before, now, threshold) {
                add(name, format!("{name} {before} -> {now} ({})", grown(before, now)));
            }
        }
    }
    all
}

/// How many of the programs were known.
pub fn known(baseline: &Baseline, judged: &[Judged]) -> usize {
    let is_known =
        |of: &&Judged| baseline.get(base_name(&of.object), &of.program.def.name).is_some();
    judged.iter().filter(is_known).count()
}

fn is_worse(before: u64, now: u64, threshold: f64) -> bool {
    now > before && (now - before) as f64 > before as f64 * threshold / 100.0
}

fn grown(before: u64, now: u64) -> String {
    match before {
        0 => "from nothing".into(),
        _ => format!("+{:.1} %", 100.0 * (now - before) as f64 / before as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grows_by_more_than_the_threshold_is_worse() {
        assert!(!is_worse(100, 100, 0.0));
        assert!(is_worse(100, 101, 0.0));
        assert!(!is_worse(100, 110, 10.0));
        assert!(is_worse(100, 111, 10.0));
        assert!(is_worse(0, 1, 10.0));
    }
}
