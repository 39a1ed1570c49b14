//! Attach points as the kernel knows them.

use crate::trace::ast::Name;
use crate::trace::checked::{Point, Rate};
use crate::trace::points::{Attach, Event, Provider, hardware, software};

/// All points of a program.
pub(super) fn points(point: &Attach) -> Vec<Point> {
    if point.many.is_empty() {
        return vec![one(point)];
    }
    point
        .many
        .iter()
        .map(|found| {
            let mut copy = point.clone();
            match found.rsplit_once(':') {
                Some((target, function)) => {
                    target.clone_into(&mut copy.target);
                    function.clone_into(&mut copy.function);
                }
                None => (**found).clone_into(&mut copy.function),
            }
            one(&copy)
        })
        .collect()
}

fn full_name(events: &[Event], word: &str) -> Name {
    let found = events.iter().find(|event| event.name == word || event.alias == word);
    found.map_or(word, |event| event.name).into()
}

fn rate(point: &Attach) -> Rate {
    let count = point.frequency;
    let factor = match &*point.target {
        "hz" => return Rate::Hertz(count),
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        _ => 1_000,
    };
    Rate::Nanoseconds(count.saturating_mul(factor))
}

fn some(text: &str) -> Option<Name> {
    (!text.is_empty()).then(|| text.into())
}

fn one(point: &Attach) -> Point {
    let target: Name = (&*point.target).into();
    let function: Name = (&*point.function).into();
    let offset =
        if function.is_empty() || point.line.is_some() { point.address } else { point.offset };
    match point.provider {
        Provider::Begin => Point::Begin,
        Provider::End => Point::End,
        Provider::SelfProbe => Point::SelfSignal(function),
        Provider::Test => Point::Test(target),
        Provider::Bench => Point::Bench(target),
        Provider::Kprobe | Provider::Kretprobe => Point::Kprobe {
            module: some(&target),
            function,
            offset,
            ret: point.provider == Provider::Kretprobe,
        },
        Provider::Uprobe | Provider::Uretprobe => Point::Uprobe {
            path: target,
            function,
            offset,
            ret: point.provider == Provider::Uretprobe,
        },
        Provider::Usdt => {
            Point::Usdt { path: target, provider: (&*point.namespace).into(), name: function }
        }
        Provider::Tracepoint => Point::Tracepoint { category: target, event: function },
        Provider::Profile => Point::Profile(rate(point)),
        Provider::Interval => Point::Interval(rate(point)),
        Provider::Software => {
            Point::Software { event: full_name(software(), &target), count: point.frequency }
        }
        Provider::Hardware => {
            Point::Hardware { event: full_name(hardware(), &target), count: point.frequency }
        }
        Provider::Watchpoint => Point::Watchpoint {
            address: point.address,
            length: point.length,
            mode: (&*point.mode).into(),
        },
        Provider::Fentry | Provider::Fexit if &*target == "bpf" => Point::FentryProgram {
            program: u32::try_from(point.program).unwrap_or(0),
            function,
            exit: point.provider == Provider::Fexit,
        },
        Provider::Fentry | Provider::Fexit => {
            Point::Fentry { module: target, function, exit: point.provider == Provider::Fexit }
        }
        Provider::Iter => Point::Iter { kind: function, pin: some(&point.pin) },
        Provider::RawTracepoint => Point::RawTracepoint {
            module: some(&target).filter(|module| !module.contains('*')),
            event: function,
        },
    }
}
