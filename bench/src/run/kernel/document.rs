//! The parts of `docs/performance.md` about programs in a kernel.

use std::fmt::{Result, Write as _};

use super::loading::Load;
use super::programs::Row;
use super::report::{MEAN_NS, mean, middle};
use super::{Empty, KernelReport};

/// What stands before the programs.
const HEAD: &str = "
## Programs with maps, helpers, subprograms and tail calls

Small programs as people write them (`bench/programs/kernel`). Linux and the embedded kernel
load the same object through `sys::Kernel`, run it on the same TCP segment, and have to
agree on verdict, packet, records and maps, after 1, 3 and 303 runs, before anything is
timed. Then both repeat it by `BPF_PROG_TEST_RUN`. What a repetition includes:

- on Linux, a call of the program (a direct one of XDP programs), a look at pending signals
  and one at whether somebody else wants the CPU; the figure is the kernel's own, which cuts
  it to whole nanoseconds. Calls and returns in the kernel, of its JIT's code as well, are
  guarded against speculation as said below; user space does without;
- here, the context's fields written to where code expects them, a call of the code, and a
  look at how it ended; the figure is the thread's CPU time for all of the command.

Neither fills the packet anew. Ring buffers are emptied between turns.

";

/// What makes calls and returns slow in a kernel: its name, and the file that tells.
const MITIGATIONS: [(&str, &str); 2] =
    [("Spectre v2", "spectre_v2"), ("SRSO", "spec_rstack_overflow")];

/// What stands before Debian's programs.
const DEBIAN: &str = "
The XDP programs of Debian's `libxdp1` and `xdp-tools`, on 8 packets of
`examples/mixed.pcapng`, with their maps as the objects fill them:
";

/// What stands before load times.
const LOADS: &str = "
### Load time

CPU time from instructions to a program that can run: on Linux `BPF_PROG_LOAD`; here the
same command, which verifies, and what the first run takes longer than the second, because it
compiles. Types of the running kernel are known to both. An object's programs count together.
";

impl KernelReport {
    /// The whole section.
    pub fn document(&self, out: &mut String) -> Result {
        out.push_str(HEAD);
        for (name, file) in MITIGATIONS {
            let path = format!("/sys/devices/system/cpu/vulnerabilities/{file}");
            let state = std::fs::read_to_string(path).unwrap_or_else(|_| "unknown".into());
            writeln!(out, "{name} on this machine: {}.", state.trim())?;
        }
        table(out, &self.rows)?;
        let (net, count) = self.net(&self.rows);
        writeln!(
            out,
            "An empty program takes {:.0} of Linux's nanoseconds and {:.1} of ours. Without these, \
             it is {net:.2},\nover the {count} programs that are left with at least {MEAN_NS} ns.",
            self.empty.linux, self.empty.test_run
        )?;
        if !self.recorded.is_empty() {
            out.push_str(DEBIAN);
            table(out, &self.recorded)?;
        }
        let Empty { linux, test_run, code } = self.empty;
        writeln!(
            out,
            "\n### A call into an empty program\n\n\
             `r0 = 0; exit` takes {code:.1} ns by `jit::Code::run` and {test_run:.1} ns by the \
             embedded kernel's\nrepeated `TEST_RUN`; Linux says {linux:.0} ns."
        )?;
        out.push_str(LOADS);
        let groups = [Some(false), Some(true), None].map(|which| self.loads_of(which));
        let row = |name: &str, of: &dyn Fn(&Load) -> f64, digits: usize| {
            let figures = groups.each_ref().map(|loads| format!("{:.digits$}", middle(loads, of)));
            format!("| {name} | {} |", figures.join(" | "))
        };
        let rows = [
            row("Linux, us", &|load| load.linux, 0),
            row("skep, us", &|load| load.verify + load.compile, 0),
            row("of that, verified", &|load| load.verify, 0),
            row("of that, compiled", &|load| load.compile, 0),
            row("skep by Linux, program by program", &Load::over, 2),
        ];
        let [headline, kernel, all] = groups.each_ref().map(Vec::len);
        writeln!(
            out,
            "\n| median of | {headline} without a kernel | {kernel} in a kernel | all {all} |\n\
             |---|--:|--:|--:|\n{}",
            rows.join("\n")
        )?;
        let mut worst: Vec<&Load> = self.loads.iter().collect();
        worst.sort_by(|a, b| b.over().total_cmp(&a.over()));
        let worst: Vec<String> = worst
            .iter()
            .take(3)
            .map(|load| format!("`{}` {:.2}", load.name, load.over()))
            .collect();
        writeln!(out, "\nSlowest beside Linux: {}.", worst.join(", "))
    }
}

fn table(out: &mut String, rows: &[Row]) -> Result {
    writeln!(
        out,
        "\n| program | Linux, ns | skep, ns | skep by Linux | insns |\n|---|--:|--:|--:|--:|"
    )?;
    for row in rows {
        let Row { name, linux, skep, how, insns } = row;
        let mark = if *how == "elided" { String::new() } else { format!(" ({how})") };
        let over = row.over();
        writeln!(out, "| {name}{mark} | {linux:.0} | {skep:.1} | {over:.2} | {insns} |")?;
    }
    writeln!(
        out,
        "\nGeometric mean over the {} that take Linux at least {MEAN_NS} ns: **{:.2}**.",
        rows.iter().filter(|row| row.linux >= MEAN_NS).count(),
        mean(rows)
    )
}
