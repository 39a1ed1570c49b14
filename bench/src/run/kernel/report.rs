//! What was measured of programs in a kernel, as figures, lines and JSON.

use serde_json::{Value, json};

use super::loading::Load;
use super::programs::Row;
use super::{Empty, KernelReport};
use crate::run::measure::median;
use crate::run::report::{Figure, geometric};

/// Programs of which Linux takes less than this are not in a mean.
pub const MEAN_NS: f64 = 20.0;

/// The geometric mean of our times by Linux's, of programs long enough for it.
pub fn mean(rows: &[Row]) -> f64 {
    geometric(rows.iter().filter(|row| row.linux >= MEAN_NS).map(Row::over))
}

/// The median of what each load gives.
pub fn middle(loads: &[&Load], of: impl Fn(&Load) -> f64) -> f64 {
    median(&loads.iter().map(|load| of(load)).collect::<Vec<_>>()).unwrap_or(f64::NAN)
}

impl KernelReport {
    /// Whether no program was measured.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.recorded.is_empty() && self.loads.is_empty()
    }

    /// The mean without what a call of an empty program takes on either side, and how many
    /// programs are left in it.
    pub fn net(&self, rows: &[Row]) -> (f64, usize) {
        let net =
            rows.iter().map(|row| (row.linux - self.empty.linux, row.skep - self.empty.test_run));
        let long: Vec<f64> = net
            .filter(|(linux, _)| *linux >= MEAN_NS)
            .map(|(linux, skep)| skep.max(0.1) / linux)
            .collect();
        (geometric(long.iter().copied()), long.len())
    }

    /// The loads of one suite, or of both.
    pub fn loads_of(&self, in_kernel: Option<bool>) -> Vec<&Load> {
        let is_wanted = |load: &&Load| in_kernel.is_none_or(|of| load.in_kernel == of);
        self.loads.iter().filter(is_wanted).collect()
    }

    /// Figures that have a goal.
    pub fn figures(&self) -> Vec<Figure> {
        let Empty { test_run, code, .. } = self.empty;
        vec![
            Figure::most("programs in a kernel over linux", mean(&self.rows), 0.85),
            Figure::most("debian's programs over linux", mean(&self.recorded), 0.85),
            Figure::most("a call into an empty program, ns", code, 5.0),
            Figure::most("the same by test_run, ns", test_run, 5.0),
            Figure::most("load over linux, median", middle(&self.loads_of(None), Load::over), 1.0),
            Figure::most("programs in a kernel not measured", self.refused as f64, 0.0),
        ]
    }

    /// A line for each program.
    pub fn print(&self) {
        for row in self.rows.iter().chain(&self.recorded) {
            let Row { name, linux, skep, how, insns } = row;
            let over = row.over();
            println!(
                "{name:32} {linux:5.0} ns  skep {skep:6.1} ns  {over:.2}  {insns} insns  {how}"
            );
        }
        for load in &self.loads {
            let Load { name, linux, verify, compile, .. } = load;
            println!(
                "load {name:27} {linux:5.0} us  skep {:5.0} us ({verify:.0} verified, {compile:.0} \
                 compiled)  {:.2}",
                verify + compile,
                load.over()
            );
        }
        let (net, count) = self.net(&self.rows);
        println!("without an empty program's time: {net:.2} of Linux ({count} programs)");
        for (name, in_kernel) in [("headline", false), ("in a kernel", true)] {
            let over = middle(&self.loads_of(Some(in_kernel)), Load::over);
            println!("load {name}: {over:.2} of Linux in the median");
        }
        let Empty { linux, test_run, code } = self.empty;
        println!(
            "empty program: Linux {linux:.0} ns, test_run {test_run:.1} ns, code {code:.1} ns"
        );
    }

    /// All of it.
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "name": row.name, "linux_ns": row.linux, "skep_ns": row.skep,
                "checks": row.how, "instructions": row.insns,
            })
        };
        let load = |load: &Load| {
            json!({
                "name": load.name, "in_kernel": load.in_kernel, "linux_us": load.linux,
                "verify_us": load.verify, "compile_us": load.compile,
            })
        };
        json!({
            "programs": self.rows.iter().map(row).collect::<Vec<_>>(),
            "debian": self.recorded.iter().map(row).collect::<Vec<_>>(),
            "load": self.loads.iter().map(load).collect::<Vec<_>>(),
            "empty_ns": {
                "linux": self.empty.linux, "test_run": self.empty.test_run,
                "code": self.empty.code,
            },
        })
    }
}
