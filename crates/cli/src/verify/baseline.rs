//! An earlier run, and what is worse now: `--baseline FILE`, a CSV of veristat or of ours.
//!
//! Programs go by the names of file and program. Columns go by their names, in any order;
//! those that an older veristat does not have are not compared.

use std::collections::BTreeMap;
use std::path::Path;

use skep::verify::explain::Source;

use super::judge::{Judged, Verdict};
use super::stats::base_name;
use crate::failure::Failure;
use crate::files::{self, in_file};

/// What is compared, beside the verdict: a column, and what it counts.
type Compared = (&'static str, fn(&Judged) -> u64);
const COMPARED: [Compared; 3] = [
    ("total_insns", |of| of.counts.processed.into()),
    ("total_states", |of| of.counts.total_states.into()),
    ("stack_depth", |of| of.stack.into()),
];

/// An earlier run.
#[derive(Debug)]
pub struct Baseline {
    programs: BTreeMap<(String, String), Earlier>,
}

/// A program then.
#[derive(Clone, Debug)]
struct Earlier {
    accepted: bool,
    /// In the order of [`COMPARED`]; `None` where the file has no such column.
    counts: [Option<u64>; COMPARED.len()],
}

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

impl Baseline {
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

    /// The rows of a text.
    ///
    /// # Errors
    /// The line that is no row, or the column that is missing.
    pub fn parse(text: &str) -> Result<Baseline, String> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (_, titles) = lines.next().ok_or("is empty, expected CSV")?;
        let titles = cells(titles).map_err(|reason| format!("line 1: {reason}"))?;
        let column = |name: &str| titles.iter().position(|title| title == name);
        let needed = |name: &str| column(name).ok_or_else(|| format!("has no column {name}"));
        let (file, program, verdict) =
            (needed("file_name")?, needed("prog_name")?, needed("verdict")?);
        let counted = COMPARED.map(|(name, _)| column(name));
        let mut programs = BTreeMap::new();
        for (number, line) in lines {
            let wrong = |reason: String| format!("line {}: {reason}", number + 1);
            let row = cells(line).map_err(|reason| wrong(reason.into()))?;
            if row.len() != titles.len() {
                return Err(wrong(format!("{} cells, expected {}", row.len(), titles.len())));
            }
            let accepted = match &*row[verdict] {
                "success" => true,
                "failure" => false,
                other => {
                    return Err(wrong(format!("verdict {other:?}, expected success or failure")));
                }
            };
            let mut counts = [None; COMPARED.len()];
            for (count, at) in counts.iter_mut().zip(counted) {
                let Some(at) = at else { continue };
                let number = row[at].parse::<u64>();
                *count = Some(number.map_err(|_| wrong(format!("{:?} is no number", row[at])))?);
            }
            programs
                .insert((row[file].clone(), row[program].clone()), Earlier { accepted, counts });
        }
        Ok(Baseline { programs })
    }

    /// What is worse than it was, by more than `threshold` per cent where it is a number.
    pub fn compare(&self, judged: &[Judged], threshold: f64) -> Vec<Regression> {
        let mut all = Vec::new();
        for of in judged {
            let key = (base_name(&of.object).to_owned(), of.program.def.name.clone());
            let Some(earlier) = self.programs.get(&key) else { continue };
            let mut add = |what: &'static str, message: String| {
                let source = of.source().or(of.start.as_ref()).cloned();
                let (object, program) = (of.object.clone(), key.1.clone());
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
            for ((name, now), before) in COMPARED.iter().zip(earlier.counts) {
                let (now, Some(before)) = (now(of), before) else { continue };
                if is_worse(before, now, threshold) {
                    add(name, format!("{name} {before} -> {now} ({})", grown(before, now)));
                }
            }
        }
        all
    }

    /// How many of the programs were known.
    pub fn known(&self, judged: &[Judged]) -> usize {
        let key = |of: &Judged| (base_name(&of.object).to_owned(), of.program.def.name.clone());
        judged.iter().filter(|of| self.programs.contains_key(&key(of))).count()
    }
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

/// The cells of a line: separated by commas, in quotes where they hold some.
fn cells(line: &str) -> Result<Vec<String>, &'static str> {
    let mut cells = Vec::new();
    let mut rest = line.trim_end_matches('\r');
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_cell(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(cells),
            None => return Err("a quoted cell goes on behind its quotes"),
        }
    }
}

/// A cell behind its opening quote, and what follows the closing one.
fn quoted_cell(text: &str) -> Result<(String, &str), &'static str> {
    let mut cell = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or("a quoted cell has no end")?;
        cell.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => return Ok((cell, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_may_be_quoted() {
        assert_eq!(cells("a,,\"b,\"\"c\"\"\""), Ok(vec!["a".into(), "".into(), "b,\"c\"".into()]));
        assert!(cells("\"a").is_err());
        assert!(cells("\"a\"b").is_err());
    }

    #[test]
    fn a_baseline_names_the_line_that_is_no_row() {
        let error = |text: &str| Baseline::parse(text).expect_err("it is none");
        assert_eq!(error(""), "is empty, expected CSV");
        assert_eq!(error("a,b\n"), "has no column file_name");
        let titles = "file_name,prog_name,verdict,total_insns\n";
        assert_eq!(error(&format!("{titles}a,b,success\n")), "line 2: 3 cells, expected 4");
        assert!(error(&format!("{titles}a,b,success,x\n")).contains("is no number"));
        assert!(error(&format!("{titles}a,b,maybe,1\n")).contains("\"maybe\""));
        assert_eq!(
            Baseline::parse(&format!("{titles}a,b,success,1\n")).map(|of| of.programs.len()),
            Ok(1)
        );
    }

    #[test]
    fn only_what_grows_by_more_than_the_threshold_is_worse() {
        assert!(!is_worse(100, 100, 0.0));
        assert!(is_worse(100, 101, 0.0));
        assert!(!is_worse(100, 110, 10.0));
        assert!(is_worse(100, 111, 10.0));
        assert!(is_worse(0, 1, 10.0));
    }
}
