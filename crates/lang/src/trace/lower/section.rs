//! Which kind of program a probe needs, as a section's name says it.

use super::super::checked::{Point, Program};

/// The section of a program; intervals may be run from outside, by timers.
pub(super) fn of(program: &Program, timers: bool) -> Result<String, String> {
    let Some(point) = program.points.first() else {
        return Ok("raw_tp".into());
    };
    let many = program.points.len() > 1;
    Ok(match point {
        Point::Begin | Point::End | Point::Test(_) | Point::Bench(_) | Point::SelfSignal(_) => {
            "raw_tp".into()
        }
        Point::Interval(_) if timers => "raw_tp".into(),
        Point::Hardware { .. }
        | Point::Software { .. }
        | Point::Interval(_)
        | Point::Profile(_)
        | Point::Watchpoint { .. } => "perf_event".into(),
        Point::Iter { kind, .. } => format!("iter/{kind}"),
        Point::Fentry { function, exit: false, .. } => format!("fentry/{function}"),
        Point::Fentry { function, exit: true, .. } => format!("fexit/{function}"),
        Point::FentryProgram { .. } => {
            return Err("probes of programs are not there yet".into());
        }
        Point::Kprobe { .. } if program.session => "kprobe.session".into(),
        Point::Uprobe { .. } if program.session => "uprobe.session".into(),
        Point::Kprobe { ret: false, .. } if many => "kprobe.multi".into(),
        Point::Kprobe { ret: true, .. } if many => "kretprobe.multi".into(),
        Point::Kprobe { ret: false, .. } => "kprobe".into(),
        Point::Kprobe { ret: true, .. } => "kretprobe".into(),
        Point::RawTracepoint { event, .. } => format!("raw_tp/{event}"),
        Point::Tracepoint { category, event } => format!("tracepoint/{category}/{event}"),
        Point::Uprobe { ret: false, .. } if many => "uprobe.multi".into(),
        Point::Uprobe { ret: true, .. } if many => "uretprobe.multi".into(),
        Point::Uprobe { ret: false, .. } => "uprobe".into(),
        Point::Uprobe { ret: true, .. } => "uretprobe".into(),
        Point::Usdt { .. } => "uprobe".into(),
    })
}
