//! Verdicts and what they took as veristat has them: its columns, its names, its CSV.
//!
//! Counterpart: `tools/testing/selftests/bpf/veristat.c` of Linux 6.18. `skep stat` prints
//! the short list as a table, `--output csv` the long one.

use std::io::{self, Write};

use skep::abi::AttachType;

use super::judge::{Judged, Verdict};
use crate::terminal::clean;

/// A column: title, name in CSV, whether it is text.
pub struct Column {
    pub title: &'static str,
    pub name: &'static str,
    text: bool,
    value: fn(&Judged) -> String,
}

macro_rules! columns {
    ($($title:literal $name:literal $text:literal $value:expr;)*) => {
        &[$(Column { title: $title, name: $name, text: $text, value: $value }),*]
    };
}

/// All, in the order of veristat's CSV.
pub static COLUMNS: &[Column] = columns! {
    "File" "file_name" true |of| base_name(&of.object).to_owned();
    "Program" "prog_name" true |of| of.program.def.name.clone();
    "Verdict" "verdict" true |of| word(of).to_owned();
    "Duration (us)" "duration" false |of| of.time.to_string();
    "Insns" "total_insns" false |of| of.counts.processed.to_string();
    "States" "total_states" false |of| of.counts.total_states.to_string();
    "Peak states" "peak_states" false |of| of.counts.peak_states.to_string();
    "Max states per insn" "max_states_per_insn" false |of| of.counts.max_states_per_insn.to_string();
    "Max mark read length" "max_mark_read_len" false |_| "0".to_owned();
    "Program size" "prog_size" false |of| of.program.insns.len().to_string();
    "Jited size" "prog_size_jited" false |_| "0".to_owned();
    "Program type" "prog_type" false |of| of.program.def.prog_type.map_or("unspec", |kind| kind.name()).to_owned();
    "Attach type" "attach_type" false |of| attach_type(of);
    "Stack depth" "stack_depth" false |of| of.stack.to_string();
    "Peak memory (MiB)" "mem_peak" false |_| "0".to_owned();
};

/// Those of the table.
const TABLE: [&str; 8] = [
    "file_name",
    "prog_name",
    "verdict",
    "duration",
    "total_insns",
    "total_states",
    "prog_size",
    "prog_size_jited",
];

/// A file's name without its folders.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// veristat's word for a verdict.
fn word(judged: &Judged) -> &'static str {
    match judged.verdict {
        Verdict::Accepted => "success",
        _ => "failure",
    }
}

/// The expected attach type; where there is none that is number 0, which has a name.
fn attach_type(judged: &Judged) -> String {
    let given = judged.program.def.attach_type.or_else(|| AttachType::from_number(0));
    given.map_or("", |kind| kind.name()).to_owned()
}

/// The programs by file and name.
pub fn sorted(judged: &[Judged]) -> Vec<&Judged> {
    let mut all: Vec<&Judged> = judged.iter().collect();
    let key = |of: &&Judged| (base_name(&of.object).to_owned(), of.program.def.name.clone());
    all.sort_by_key(key);
    all
}

/// The table, closed by a count. `skipped` are files that could not be judged.
pub fn table(
    judged: &[Judged],
    files: usize,
    skipped: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let columns: Vec<&Column> =
        TABLE.iter().filter_map(|name| COLUMNS.iter().find(|of| of.name == *name)).collect();
    let rows: Vec<Vec<String>> = sorted(judged)
        .into_iter()
        .map(|of| columns.iter().map(|column| clean(&(column.value)(of)).into_owned()).collect())
        .collect();
    let width = |index: usize| {
        let cells = rows.iter().map(|row| row[index].chars().count());
        cells.chain([columns[index].title.len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let titles: Vec<String> =
        columns.iter().zip(&widths).map(|(of, &width)| format!("{:<width$}", of.title)).collect();
    let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    writeln!(out, "{}\n{}", titles.join("  "), rule.join("  "))?;
    for row in &rows {
        let cells = row.iter().zip(&columns).zip(&widths).map(|((cell, column), &width)| {
            match column.text {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            }
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  "))?;
    }
    writeln!(
        out,
        "{}\nDone. Processed {files} files, {} programs. Skipped {skipped} files, 0 programs.",
        rule.join("  "),
        judged.len()
    )
}

/// All columns as CSV.
pub fn csv(judged: &[Judged], out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    writeln!(out, "{}", names.join(","))?;
    for of in sorted(judged) {
        let cells: Vec<String> = COLUMNS.iter().map(|column| quoted(&(column.value)(of))).collect();
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

/// A cell: in quotes where it could be taken apart.
fn quoted(text: &str) -> String {
    let text = clean(text);
    match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into_owned(),
    }
}
