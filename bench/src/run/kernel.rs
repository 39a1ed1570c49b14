//! Programs that need a kernel around them, beside Linux: those of `programs/kernel`
//! with maps, helpers, subprograms and tail calls, and Debian's XDP objects on recorded
//! traffic. And what loading a program and calling an empty one cost.
//!
//! Both kernels get the same object through `sys::Kernel` and repeat it by
//! BPF_PROG_TEST_RUN on the same packet. A repetition is, on Linux, a call of the
//! program and a look whether the loop has to stop; here, the context's fields are put
//! where code expects them, the code is called, and how it ended is looked at.

mod document;
mod empty;
mod loading;
mod programs;
mod report;
mod side;

use anyhow::Result;
use skep::Object;

use super::Plan;
use super::peers::{self, LowMemory};
use empty::Empty;
use loading::Load;
use programs::Row;

/// Repetitions of a load.
const LOADS: usize = 9;
/// Turns of a program on recorded traffic, at most: one takes long (see [`programs`]).
const RECORDED_TURNS: usize = 7;

/// Everything that was measured here.
pub struct KernelReport {
    /// The programs of `programs/kernel`.
    rows: Vec<Row>,
    /// Debian's programs.
    recorded: Vec<Row>,
    /// Load times of the headline's programs and of those above.
    loads: Vec<Load>,
    empty: Empty,
    /// Programs of ours that were not measured.
    refused: usize,
}

/// Measures all that the plan wants.
pub fn measure(plan: &Plan) -> Result<KernelReport> {
    let mut report = KernelReport {
        rows: Vec::new(),
        recorded: Vec::new(),
        loads: Vec::new(),
        empty: empty::measure(plan.turns)?,
        refused: 0,
    };
    let packet = [programs::packet()];
    for (name, source) in plan.sources("programs/kernel")? {
        let measured = programs::compile(&source, &plan.target).and_then(|path| {
            let object = Object::open(path)?;
            let row = programs::measure(&object, "program", &packet, plan.turns)?;
            Ok((row, loading::measure(&name, true, object, &packet[0], LOADS)?))
        });
        match measured {
            Ok((row, load)) => {
                report.rows.push(Row { name, ..row });
                report.loads.push(load);
            }
            Err(error) => {
                println!("{name}: not measured: {error:#}");
                report.refused += 1;
            }
        }
    }
    let (sample, turns) = (programs::sample()?, plan.turns.min(RECORDED_TURNS));
    for (name, object, program) in programs::recorded()? {
        if !plan.wants(&name) {
            continue;
        }
        match programs::measure(&object, &program, &sample, turns) {
            Ok(row) => report.recorded.push(Row { name, ..row }),
            Err(error) => println!("{name}: not measured: {error:#}"),
        }
    }
    let packet = LowMemory::new()?.packet();
    for (name, source) in plan.sources("programs")? {
        peers::compile_bpf(&source, &plan.target)?;
        let object = Object::open(peers::output(&source, &plan.target, "o"))?;
        report.loads.push(loading::measure(&name, false, object, &packet, LOADS)?);
    }
    Ok(report)
}
