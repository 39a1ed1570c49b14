//! What was measured, as lines, and beside its goals.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use skep_vm::jit::Passes;

use super::kernel::KernelReport;
use super::measure::{Row, median, quotient};
use super::{CRANELIFT, GUARDED, INTERPRETER, LINUX, NAMES, NATIVE, RBPF_INTERPRETER, SKEP};

/// Programs of which Linux takes less than this are not in the headline.
pub const HEADLINE_NS: f64 = 100.0;

/// A figure and its goal.
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
    pub goal: f64,
    /// Whether it is to be at least that, instead of at most.
    at_least: bool,
}

impl Figure {
    /// A figure that is to be at most `goal`.
    pub fn most(name: &'static str, value: f64, goal: f64) -> Figure {
        Figure { name, value, goal, at_least: false }
    }

    /// A figure that is to be at least `goal`.
    pub fn least(name: &'static str, value: f64, goal: f64) -> Figure {
        Figure { name, value, goal, at_least: true }
    }

    /// Whether the goal is met; of what was not measured, it is.
    pub fn holds(&self) -> bool {
        let short = if self.at_least { self.value < self.goal } else { self.value > self.goal };
        !short
    }
}

/// All of it.
pub struct Report<'r> {
    pub rows: &'r [Row],
    /// Those in the headline.
    pub headline: Vec<&'r Row>,
    /// The programs that need a kernel.
    pub kernel: Option<&'r KernelReport>,
    /// The machine's load when it began.
    pub load: String,
}

/// The geometric mean.
pub fn geometric(values: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = values.map(f64::ln).collect();
    if logs.is_empty() { f64::NAN } else { (logs.iter().sum::<f64>() / logs.len() as f64).exp() }
}

impl<'r> Report<'r> {
    pub fn new(rows: &'r [Row], kernel: Option<&'r KernelReport>, load: &str) -> Report<'r> {
        let long = |row: &&Row| row.times[LINUX].is_some_and(|time| time >= HEADLINE_NS);
        let load = load.split(' ').next().unwrap_or("?").to_owned();
        Report { rows, headline: rows.iter().filter(long).collect(), kernel, load }
    }

    /// Geometric mean of an engine's times by another's, over the headline.
    pub fn mean(&self, engine: usize, other: usize) -> f64 {
        geometric(self.headline.iter().filter_map(|row| quotient(&row.times, engine, other)))
    }

    /// The same by the least of the turns.
    pub fn mean_of_least(&self, engine: usize, other: usize) -> f64 {
        geometric(self.headline.iter().filter_map(|row| quotient(&row.least, engine, other)))
    }

    /// How many programs of the headline an engine ran.
    pub fn ran(&self, engine: usize) -> usize {
        self.headline.iter().filter(|row| row.times[engine].is_some()).count()
    }

    /// Each pass and the time without it by that with all, over the headline; the
    /// program that it helps most, and how much.
    pub fn passes(&self) -> Vec<(&'static str, f64, &str, f64)> {
        let of = |row: &Row, at: usize| row.without.get(at).copied().flatten();
        let mut all = Vec::new();
        for (at, name) in Passes::names().iter().enumerate() {
            let most = self.rows.iter().filter_map(|row| Some((row, of(row, at)?)));
            if let Some((row, most)) = most.max_by(|a, b| a.1.total_cmp(&b.1)) {
                let mean = geometric(self.headline.iter().filter_map(|row| of(row, at)));
                all.push((*name, mean, row.name.as_str(), most));
            }
        }
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }

    /// Figures that have a goal, as far as they were measured.
    pub fn figures(&self) -> Vec<Figure> {
        let slower = |limit: f64| {
            self.headline.iter().filter(|row| row.over(SKEP, LINUX) > limit).count() as f64
        };
        let compile: Vec<f64> = self.rows.iter().map(|row| row.compile_us).collect();
        let peer: Vec<f64> = self.rows.iter().filter_map(|row| row.peer_compile_us).collect();
        let middle = |all: &[f64]| median(all).unwrap_or(f64::NAN);
        let bytewise = self.rows.iter().filter(|row| row.bytewise).count() as f64;
        let (most, least) = (Figure::most, Figure::least);
        let headline = [
            most("skep over native", self.mean(SKEP, NATIVE), 1.05),
            most("skep over linux", self.mean(SKEP, LINUX), 0.70),
            most("programs slower than 1.1 of linux", slower(1.1), 3.0),
            most("programs slower than 1.5 of linux", slower(1.5), 0.0),
            most("compile time in us, median", middle(&compile), 1000.0),
            most("compile time over rbpf's cranelift", middle(&compile) / middle(&peer), 0.33),
            least("interpreter over skep", self.mean(INTERPRETER, SKEP), 20.0),
            most("interpreter over rbpf's", self.mean(INTERPRETER, RBPF_INTERPRETER), 1.5),
            least("native over linux, at least", self.mean(NATIVE, LINUX), 0.50),
            most("native over linux, at most", self.mean(NATIVE, LINUX), 0.70),
            most("programs that read bytes, of all", bytewise / self.rows.len() as f64, 0.34),
            least("programs in the headline", self.headline.len() as f64, 30.0),
        ];
        let measured = headline.into_iter().filter(|_| !self.rows.is_empty());
        let all = measured.chain(self.kernel.iter().flat_map(|kernel| kernel.figures()));
        all.filter(|figure| !figure.value.is_nan()).collect()
    }

    /// Whether all goals are met.
    pub fn holds(&self) -> bool {
        self.figures().iter().all(Figure::holds)
    }

    pub fn print(&self) {
        if !self.rows.is_empty() {
            self.print_headline();
        }
        if let Some(kernel) = self.kernel {
            kernel.print();
        }
        println!("measured by the thread's CPU time, Linux by its own figure; load {}", self.load);
        for Figure { name, value, goal, .. } in self.figures() {
            println!("bench run: {name} = {value:.3} (goal {goal})");
        }
    }

    fn print_headline(&self) {
        for row in self.rows {
            println!("{}", line(row));
        }
        println!(
            "over {} programs that take Linux at least {HEADLINE_NS} ns:",
            self.headline.len()
        );
        for (at, name) in NAMES.iter().enumerate().filter(|&(at, _)| self.ran(at) > 0) {
            println!(
                "  {name:18} {:.3} of Linux's JIT, {:.3} by the least of the turns ({} programs)",
                self.mean(at, LINUX),
                self.mean_of_least(at, LINUX),
                self.ran(at)
            );
        }
        println!(
            "  skep {:.3} of native by the least of the turns, guarded {:.3} of elided",
            self.mean_of_least(SKEP, NATIVE),
            self.mean(GUARDED, SKEP)
        );
        for (name, mean, program, most) in self.passes() {
            println!("  without {name:13} {mean:.3} of the time with all ({program} {most:.2})");
        }
    }

    /// Writes everything as JSON.
    pub fn save(&self, path: &Path) -> Result<()> {
        let table: Vec<Value> = self.rows.iter().map(record).collect();
        let means: serde_json::Map<String, Value> = NAMES
            .iter()
            .enumerate()
            .map(|(at, name)| ((*name).into(), json!(self.mean(at, LINUX))))
            .collect();
        let json = json!({
            "programs": table, "over_linux": means, "load": self.load,
            "kernel": self.kernel.map(KernelReport::json),
        });
        Ok(std::fs::write(path, serde_json::to_string_pretty(&json)?)?)
    }
}

fn record(row: &Row) -> Value {
    let times: serde_json::Map<String, Value> =
        NAMES.iter().zip(&row.times).map(|(name, time)| ((*name).into(), json!(time))).collect();
    json!({
        "name": row.name,
        "instructions": row.insns,
        "ns": times,
        "compile_us": row.compile_us,
        "rbpf_cranelift_compile_us": row.peer_compile_us,
        "code_bytes": row.code,
    })
}

fn line(row: &Row) -> String {
    let others: Vec<String> = (1..NAMES.len())
        .filter_map(|at| Some((NAMES[at], quotient(&row.times, at, LINUX)?)))
        .map(|(name, over)| format!("{name} {over:.2}"))
        .collect();
    format!(
        "{:16} {:6.0} ns  skep/native {:.2} (least {:.2})  {}  {} insns {:.0} us",
        row.name,
        row.times[LINUX].unwrap_or(f64::NAN),
        row.over(SKEP, NATIVE),
        quotient(&row.least, SKEP, NATIVE).unwrap_or(f64::NAN),
        others.join("  "),
        row.insns,
        row.compile_us
    )
}

/// rbpf's Cranelift back end's time to compile by ours, in the median.
pub fn slowest_peer(rows: &[Row]) -> Option<f64> {
    let all: Vec<f64> = rows
        .iter()
        .filter(|row| row.times[CRANELIFT].is_some())
        .filter_map(|row| Some(row.peer_compile_us? / row.compile_us))
        .collect();
    median(&all)
}
