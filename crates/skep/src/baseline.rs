//! An earlier verification of programs, read from the CSV that veristat and `skep verify
//! --output csv` write.
//!
//! Programs go by the names of file and program. Columns go by their names, in any order;
//! those of [`COUNTED`] that an older veristat does not have are not known. Counterpart:
//! `parse_stats_csv` in `tools/testing/selftests/bpf/veristat.c` of Linux 6.18.

use std::collections::BTreeMap;

/// The columns that are counted: instructions followed, states kept, bytes of stack.
pub const COUNTED: [&str; 3] = ["total_insns", "total_states", "stack_depth"];

/// An earlier run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Baseline {
    programs: BTreeMap<(String, String), Earlier>,
}

/// A program then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Earlier {
    /// Whether it was accepted.
    pub accepted: bool,
    /// In the order of [`COUNTED`]; `None` where the file has no such column.
    pub counts: [Option<u64>; COUNTED.len()],
}

/// Why a text is no baseline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BaselineError {
    /// There is nothing in it.
    Empty,
    /// A column that is needed is missing.
    NoColumn(&'static str),
    /// A line is wrong, counted from 1: why.
    Line(usize, String),
}

impl std::error::Error for BaselineError {}

impl std::fmt::Display for BaselineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BaselineError::Empty => write!(f, "is empty, expected CSV"),
            BaselineError::NoColumn(name) => write!(f, "has no column {name}"),
            BaselineError::Line(number, reason) => write!(f, "line {number}: {reason}"),
        }
    }
}

impl Baseline {
    /// Reads the rows of a text.
    ///
    /// # Errors
    /// The line that is no row, or the column that is missing.
    pub fn parse(text: &str) -> Result<Baseline, BaselineError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (first, titles) = lines.next().ok_or(BaselineError::Empty)?;
        let wrong = |number: usize, reason: String| BaselineError::Line(number + 1, reason);
        let titles = cells(titles).map_err(|reason| wrong(first, reason.into()))?;
        let column = |name: &str| titles.iter().position(|title| title == name);
        let needed = |name: &'static str| column(name).ok_or(BaselineError::NoColumn(name));
        let (file, program, verdict) =
            (needed("file_name")?, needed("prog_name")?, needed("verdict")?);
        let counted = COUNTED.map(column);
        let mut programs = BTreeMap::new();
        for (number, line) in lines {
            let wrong = |reason: String| wrong(number, reason);
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
            let mut counts = [None; COUNTED.len()];
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

    /// What a program of a file was then; `file` without folders.
    pub fn get(&self, file: &str, program: &str) -> Option<&Earlier> {
        self.programs.get(&(file.to_owned(), program.to_owned()))
    }

    /// The programs, by file and name.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &str, &Earlier)> {
        self.programs.iter().map(|((file, name), earlier)| (&**file, &**name, earlier))
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
        let error = |text: &str| Baseline::parse(text).expect_err("it is none").to_string();
        assert_eq!(error(""), "is empty, expected CSV");
        assert_eq!(error("a,b\n"), "has no column file_name");
        let titles = "file_name,prog_name,verdict,total_insns\n";
        assert_eq!(error(&format!("{titles}a,b,success\n")), "line 2: 3 cells, expected 4");
        assert!(error(&format!("{titles}a,b,success,x\n")).contains("is no number"));
        assert!(error(&format!("{titles}a,b,maybe,1\n")).contains("\"maybe\""));
        let baseline = Baseline::parse(&format!("{titles}\na,b,success,1\n")).unwrap();
        let expected = Earlier { accepted: true, counts: [Some(1), None, None] };
        assert_eq!(baseline.get("a", "b"), Some(&expected));
        assert_eq!(baseline.programs().count(), 1);
    }
}
