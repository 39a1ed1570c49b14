//! Compiled programs beside their peers: Linux's JIT, rbpf's three engines, and the
//! same C compiled natively.
//!
//! Every program of `programs` is an XDP program; all engines but the native one get
//! the same bytes. Context and packet lie below 4 GiB, so that the context's 32-bit
//! fields are addresses everywhere. Results are compared before anything is timed;
//! engines take turns, and a figure is the median of its turns.

mod document;
mod embedded;
mod kernel;
mod measure;
mod peers;
mod rbpf;
mod report;
mod scale;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use skep_vm::jit::Passes;

use crate::linux;
use kernel::KernelReport;
use measure::Row;
pub use measure::median;

/// Engines, in the order of [`Row::times`].
const NAMES: [&str; 8] = [
    "linux",
    "skep",
    "guarded",
    "native",
    "rbpf-jit",
    "rbpf-cranelift",
    "interpreter",
    "rbpf-interpreter",
];
const LINUX: usize = 0;
const SKEP: usize = 1;
const GUARDED: usize = 2;
const NATIVE: usize = 3;
const CRANELIFT: usize = 5;
const INTERPRETER: usize = 6;
const RBPF_INTERPRETER: usize = 7;

/// Turns of every engine.
const TURNS: usize = 15;

/// What is measured.
struct Plan {
    passes: Passes,
    /// Parts of names; none means all programs.
    only: Vec<String>,
    /// Only Linux, ours and native.
    quick: bool,
    turns: usize,
    /// Whether machine code and its SSA form are written to `target/bench`.
    dump: bool,
    /// Whether each pass is switched off in turn.
    each_pass: bool,
    /// Whether the programs without and those with a kernel are measured.
    headline: bool,
    kernel: bool,
    /// Where the report goes as a document, with a picture beside.
    write: Option<PathBuf>,
    target: PathBuf,
}

impl Plan {
    /// The wanted C programs of a folder by name.
    fn sources(&self, folder: &str) -> Result<Vec<(String, PathBuf)>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut sources = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.extension().is_some_and(|extension| extension == "c") && self.wants(&name) {
                sources.push((name, path));
            }
        }
        sources.sort();
        Ok(sources)
    }

    /// Whether a program of this name is measured.
    fn wants(&self, name: &str) -> bool {
        self.only.iter().any(|part| name.contains(part))
    }
}

/// Measures and reports.
///
/// `--without PASS,..` switches passes off, `--only PART,..` takes the programs whose
/// names hold one of these, `--quick` measures Linux, ours and native code only,
/// `--suite headline|kernel` takes only the programs without or with maps and helpers,
/// `--turns N` takes N turns of each, `--dump` writes machine code and SSA form,
/// `--passes` measures with each pass switched off, and `--write FILE` writes all as a
/// document.
pub fn run(arguments: &[String]) -> ExitCode {
    match plan(arguments).and_then(|plan| measure(&plan)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("skep-bench run: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn plan(arguments: &[String]) -> Result<Plan> {
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag);
        at.and_then(|at| arguments.get(at + 1)).cloned()
    };
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let mut passes = Passes::ALL;
    for off in after("--without").iter().flat_map(|off| off.split(',')) {
        passes = passes.without(pass(off)?);
    }
    let only = after("--only").unwrap_or_default();
    let write = after("--write").map(PathBuf::from);
    let (headline, kernel) = match after("--suite").as_deref() {
        None => (true, true),
        Some("headline") => (true, false),
        Some("kernel") => (false, true),
        Some(other) => anyhow::bail!("no suite is called {other}"),
    };
    Ok(Plan {
        passes,
        only: only.split(',').map(str::to_owned).collect(),
        quick: has("--quick"),
        turns: after("--turns").map_or(Ok(TURNS), |turns| turns.parse())?,
        dump: has("--dump"),
        each_pass: has("--passes") || write.is_some(),
        headline,
        kernel,
        write,
        target: Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench"),
    })
}

fn pass(name: &str) -> Result<Passes> {
    Passes::named(name).with_context(|| format!("no pass is called {name}"))
}

fn measure(plan: &Plan) -> Result<bool> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    linux::pin_to_cpu(1).or_else(|_| linux::pin_to_cpu(0))?;
    std::fs::create_dir_all(&plan.target)?;
    let (mut rows, mut refused): (Vec<Row>, u32) = (Vec::new(), 0);
    let sources = if plan.headline { plan.sources("programs")? } else { Vec::new() };
    for (name, source) in &sources {
        // A program that Linux refuses is no measure, and not shown to be safe to run.
        match measure::program(source, name.clone(), plan) {
            Ok(row) => rows.push(row),
            Err(error) => {
                let text = format!("{error:#}");
                refused += 1;
                println!("{name}: not measured: {}", text.lines().next_back().unwrap_or_default());
            }
        }
    }
    let kernel = plan.kernel.then(|| kernel::measure(plan)).transpose()?;
    let nothing = rows.is_empty() && kernel.as_ref().is_none_or(KernelReport::is_empty);
    anyhow::ensure!(!nothing, "nothing was measured");
    rows.sort_by(|a, b| a.over(SKEP, NATIVE).total_cmp(&b.over(SKEP, NATIVE)));
    let report = report::Report::new(&rows, kernel.as_ref(), &load);
    report.print();
    report.save(&plan.target.join("run.json"))?;
    if let Some(path) = &plan.write {
        document::write(&report, &scale::measure()?, path)?;
    }
    Ok(report.holds() && refused == 0)
}
