//! The report as a document in Markdown, with a picture beside it: everything in
//! `docs/performance.md` that is a figure comes from here.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::measure::{Row, quotient};
use super::report::{Figure, HEADLINE_NS, Report, slowest_peer};
use super::scale::Scale;
use super::{GUARDED, INTERPRETER, LINUX, NAMES, NATIVE, RBPF_INTERPRETER, SKEP};

/// What stands before the figures.
const HEAD: &str = "\
# How fast

Written by `cargo xtask bench run --write docs/performance.md`, which measures all of it
(root, clang-19 and a quiet machine are needed); change `bench/src/run`, not this file.

The suite is 43 small XDP programs in C (`bench/programs`): hashes, ciphers, parsers, sorts,
counters. None uses maps or helpers, so that every engine runs the same bytes (`clang-19 -O2
-mcpu=v3`); *native* is the same C compiled for this machine by `clang-19 -O2`. Results are
compared before anything is timed. Engines take turns of a millisecond on one CPU; a figure
is the median of the turns, in CPU time of the thread; Linux's is what
`BPF_PROG_TEST_RUN` says of as many repetitions. Linux's JIT is 1.00; smaller is faster.

- **skep** is compiled code of verified programs, without checks; **guarded** is the same
  compiler for programs that nobody verified: each access is checked, loops spend a budget.
- **rbpf** is measured with its interpreter, its JIT and its Cranelift back end.
  solana-sbpf cannot run these programs: its input lies at 0x400000000, which the 32-bit
  addresses of an XDP context do not reach.
";

/// What stands behind the figures of the passes.
const PASSES: &str = "
The figure is the geometric mean over the headline programs of the time without the pass
by the time with all; a pass that does nothing for most programs is near 1.00 and does much
for a few. What each does stands at the top of its file in `crates/jit/src/passes`.
`tail-duplication` and `unroll` pay with code size, the others do not.
";

/// What stands before compile times by size.
const SIZES: &str = "
## Large programs

Time to compile a program of loads, arithmetic, branches and loops, by its size. Programs
of more than 10,000 instructions get the cheap passes only, those of more than 100,000
are interpreted; functions of more than 16,000 values get their registers in one pass
instead of by backtracking. So the time of a program is in the column of all passes up to
10,000 instructions, and from there on in that of the cheap ones.

";

/// What stands at the end.
const TAIL: &str = "
## What is left

Code without checks is behind native code where clang makes vectors of what skep does not:
loops whose rounds are not known when they are compiled (`compare`, `xor_copy`), operations
that stand side by side instead of in a loop (`life`). `token_bucket` chooses by selections
what a predictor learns by heart in a benchmark that always sees the same packet. `tcp_flow`,
`hex` and `sort_network` take a few nanoseconds, of which entering is a large part. It is
ahead of native code where bytes are put together, bits are counted, or sums are long.

In a kernel, `tunnel` fills the fields of the context again after each
`bpf_xdp_adjust_head`, and `map_in_map` calls the host for each of its two look-ups. Small
programs take longer to compile than Linux takes to load them; large ones, which take Linux
long to verify, do not.
";

/// Writes the document and, beside it, its picture.
pub fn write(report: &Report<'_>, scale: &[Scale], path: &Path) -> Result<()> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let (programs, sizes) = (format!("{stem}.svg"), format!("{stem}-sizes.svg"));
    std::fs::write(path.with_file_name(&programs), draw(&report.headline))?;
    std::fs::write(path.with_file_name(&sizes), plot(scale))?;
    std::fs::write(path, text(report, scale, &programs, &sizes)?)?;
    Ok(())
}

fn text(report: &Report<'_>, scale: &[Scale], picture: &str, sizes: &str) -> Result<String> {
    let mut out = String::from(HEAD);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    writeln!(
        out,
        "\nThis run: {}, Linux {}. The machine's load was {} when it began; figures taken above 1 are\nprovisional.\n",
        cpu.trim_start_matches(['\t', ' ', ':']),
        kernel.trim(),
        report.load
    )?;
    writeln!(out, "![Run time beside Linux's JIT]({picture})\n")?;
    writeln!(
        out,
        "## In short\n\nGeometric means over the {} programs that take Linux at least {HEADLINE_NS} ns:\n",
        report.headline.len()
    )?;
    writeln!(out, "| engine | by Linux's JIT | by native | programs |\n|---|--:|--:|--:|")?;
    for (at, name) in NAMES.iter().enumerate() {
        let (linux, native) = (report.mean(at, LINUX), report.mean(at, NATIVE));
        writeln!(out, "| {name} | {linux:.2} | {native:.2} | {} |", report.ran(at))?;
    }
    writeln!(out, "\n| figure | value | goal |\n|---|--:|--:|")?;
    for figure in report.figures() {
        let Figure { name, value, goal, .. } = figure;
        let mark = if figure.holds() { "" } else { " (short)" };
        writeln!(out, "| {name} | {value:.2}{mark} | {goal} |")?;
    }
    if let Some(times) = slowest_peer(report.rows) {
        writeln!(
            out,
            "\nrbpf's Cranelift back end takes {times:.1} times as long to compile, in the median."
        )?;
    }
    writeln!(
        out,
        "\n## Program by program\n\nTimes by Linux's JIT; compile time of code without checks; bytes of that code.\n"
    )?;
    writeln!(
        out,
        "| program | Linux, ns | skep | guarded | native | skep by native | interpreter by rbpf's | insns | compile, us | code |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for row in report.rows {
        let over = |engine, other| {
            quotient(&row.times, engine, other).map_or("-".into(), |over| format!("{over:.2}"))
        };
        writeln!(
            out,
            "| {} | {:.0} | {} | {} | {} | {} | {} | {} | {:.0} | {} |",
            row.name,
            row.times[LINUX].unwrap_or(f64::NAN),
            over(SKEP, LINUX),
            over(GUARDED, LINUX),
            over(NATIVE, LINUX),
            over(SKEP, NATIVE),
            over(INTERPRETER, RBPF_INTERPRETER),
            row.insns,
            row.compile_us,
            row.code
        )?;
    }
    if let Some(kernel) = report.kernel {
        kernel.document(&mut out)?;
    }
    writeln!(out, "\n## What each pass brings\n")?;
    writeln!(out, "| pass | time without it | most for | there |\n|---|--:|---|--:|")?;
    for (name, mean, program, most) in report.passes() {
        writeln!(out, "| {name} | {mean:.3} | {program} | {most:.2} |")?;
    }
    out.push_str(PASSES);
    out.push_str(SIZES);
    writeln!(
        out,
        "| insns | all passes, ms | us by insn | cheap passes, ms | us by insn |\n|--:|--:|--:|--:|--:|"
    )?;
    for &Scale { insns, all_ms, cheap_ms } in scale {
        let each = 1e3 / insns as f64;
        writeln!(
            out,
            "| {insns} | {all_ms:.1} | {:.2} | {cheap_ms:.1} | {:.2} |",
            all_ms * each,
            cheap_ms * each
        )?;
    }
    writeln!(out, "\n![Compile time by size]({sizes})")?;
    out.push_str(TAIL);
    Ok(out)
}

/// A bar for each program, as long as its time by Linux's, and a mark for native code.
fn draw(rows: &[&Row]) -> String {
    const ROW: usize = 15;
    const LEFT: usize = 120;
    const UNIT: f64 = 400.0;
    let height = ROW * rows.len() + 45;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"640\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"14\">time by Linux's JIT: bars are skep, marks native code</text>\n"
    );
    let mut add = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    for (index, row) in rows.iter().enumerate() {
        let y = 24 + ROW * index;
        let (skep, native) = (row.over(SKEP, LINUX), row.over(NATIVE, LINUX));
        let (length, mark) = (skep * UNIT, LEFT as f64 + native * UNIT);
        add(format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 6,
            y + 10,
            row.name
        ));
        add(format!(
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"#4878a8\"/>",
            ROW - 4
        ));
        add(format!(
            "<path d=\"M{mark:.1} {y}v{}\" stroke=\"#d08020\" stroke-width=\"3\"/>",
            ROW - 4
        ));
    }
    let (one, end) = (LEFT as f64 + UNIT, height - 18);
    add(format!("<path d=\"M{one} 20V{end}\" stroke=\"black\" stroke-dasharray=\"3 3\"/>"));
    add(format!("<text x=\"{one}\" y=\"{}\" text-anchor=\"middle\">1.0</text>", height - 5));
    add("</svg>".into());
    out
}

/// Compile time by size, both on a logarithmic scale; dashes grow with the size.
fn plot(scale: &[Scale]) -> String {
    let x = |insns: usize| 60.0 + 160.0 * (insns as f64 / 1e3).log10();
    let y = |ms: f64| 260.0 - 60.0 * ms.max(0.1).log10().clamp(-1.0, 4.0);
    let path = |of: &dyn Fn(&Scale) -> f64| {
        let points = scale.iter().enumerate().map(|(index, point)| {
            let letter = if index == 0 { 'M' } else { 'L' };
            format!("{letter}{:.1} {:.1}", x(point.insns), y(of(point)))
        });
        points.collect::<String>()
    };
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"460\" height=\"360\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"none\">\n\
         <rect width=\"460\" height=\"360\" fill=\"white\"/>\n",
    );
    let mut add = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    for ms in [0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0] {
        let at = y(ms);
        add(format!("<path d=\"M60 {at}H420\" stroke=\"#ddd\"/>"));
        add(format!(
            "<text x=\"54\" y=\"{}\" text-anchor=\"end\" fill=\"black\">{ms} ms</text>",
            at + 4.0
        ));
    }
    for insns in [1_000, 10_000, 100_000] {
        let at = x(insns);
        add(format!(
            "<text x=\"{at}\" y=\"340\" text-anchor=\"middle\" fill=\"black\">{insns} insns</text>"
        ));
    }
    if let Some(first) = scale.first() {
        let end = y(first.all_ms * 100e3 / first.insns as f64);
        add(format!(
            "<path d=\"M{:.1} {:.1}L{:.1} {end:.1}\" stroke=\"black\" stroke-dasharray=\"3 3\"/>",
            x(first.insns),
            y(first.all_ms),
            x(100_000)
        ));
    }
    add(format!(
        "<path d=\"{}\" stroke=\"#4878a8\" stroke-width=\"2\"/>",
        path(&|point| point.all_ms)
    ));
    add(format!(
        "<path d=\"{}\" stroke=\"#d08020\" stroke-width=\"2\"/>",
        path(&|point| point.cheap_ms)
    ));
    add("<text x=\"70\" y=\"18\" fill=\"#4878a8\">all passes</text>".into());
    add("<text x=\"150\" y=\"18\" fill=\"#d08020\">cheap passes</text>".into());
    add("<text x=\"250\" y=\"18\" fill=\"black\">dashed: as the size</text>".into());
    add("</svg>".into());
    out
}
