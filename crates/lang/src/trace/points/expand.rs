//! Patterns in attach points: one point for each thing they name, or one program for all of
//! them where the kernel can attach so; and one probe for each point.

use super::{Attach, Provider, matching};
use crate::trace::ast::{Block, Call, Expr, ExprKind, If, Name, Statement, StatementKind};
use crate::trace::config::MissingProbes;
use crate::trace::unit::{Probe, Unit};
use crate::trace::walk::{self, Visitor};
use crate::trace::world::{Feature, World, is_pattern};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// The point stays.
    Stay,
    /// One point for each match.
    Each,
    /// One point for all matches.
    Many,
}

/// Expands all probes.
pub fn expand(unit: &mut Unit<'_>) {
    let hows: Vec<Vec<How>> = unit.probes.iter_mut().map(|probe| hows(probe, unit.world)).collect();
    let hows = sessions(unit, hows);
    let mut count = 0;
    let probes = std::mem::take(&mut unit.probes);
    for (mut probe, hows) in probes.into_iter().zip(hows) {
        let points = std::mem::take(&mut probe.points);
        let mut out = Vec::new();
        for (point, how) in points.into_iter().zip(hows) {
            if !expand_point(unit, point, how, &mut out, &mut count) {
                break;
            }
        }
        split(unit, probe, out);
    }
}

/// One probe for each point.
fn split(unit: &mut Unit<'_>, probe: Probe, points: Vec<Attach>) {
    if points.len() < 2 {
        unit.probes.push(Probe { points, ..probe });
        return;
    }
    for point in points {
        let body = walk::copy_block(&probe.body, &mut unit.ids, |place| place);
        unit.probes.push(Probe { raw: Vec::new(), points: vec![point], body, place: probe.place });
    }
}

struct UsesName(bool);

impl Visitor for UsesName {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Builtin(word) | ExprKind::Ident(word) = &expr.kind {
            self.0 |= &**word == "__builtin_probe";
        }
        walk::expr_parts(self, expr);
    }
}

fn hows(probe: &mut Probe, world: &dyn World) -> Vec<How> {
    let mut uses = UsesName(false);
    uses.block(&mut probe.body);
    probe.points.iter().map(|point| if uses.0 { How::Each } else { how(point, world) }).collect()
}

fn how(point: &Attach, world: &dyn World) -> How {
    let by_name = is_pattern(&point.function);
    let by_target = is_pattern(&point.target);
    let many = |feature| {
        if world.has(feature) { How::Many } else { How::Each }
    };
    let each = |yes| if yes { How::Each } else { How::Stay };
    match point.provider {
        Provider::Kprobe | Provider::Kretprobe => {
            if by_name && !by_target && point.target.is_empty() {
                many(Feature::KprobeMulti)
            } else {
                each(by_name || by_target)
            }
        }
        Provider::Uprobe | Provider::Uretprobe => {
            if by_name || by_target || point.language == "cpp" {
                many(Feature::UprobeMulti)
            } else {
                How::Stay
            }
        }
        Provider::Fentry | Provider::Fexit if point.target == "bpf" => {
            each(point.program == 0 || by_name)
        }
        Provider::Fentry | Provider::Fexit | Provider::Tracepoint | Provider::RawTracepoint => {
            each(by_name || by_target)
        }
        Provider::Usdt => {
            each(by_target || by_name || point.namespace.is_empty() || is_pattern(&point.namespace))
        }
        Provider::Iter => each(by_name),
        _ => How::Stay,
    }
}

/// Whether entry and return of the point can be one session.
fn in_session(point: &Attach, how: How, world: &dyn World) -> bool {
    matches!(point.provider, Provider::Kprobe | Provider::Kretprobe)
        && (how == How::Many
            || (how == How::Stay
                && world.has(Feature::KprobeMulti)
                && point.target.is_empty()
                && point.offset == 0
                && point.address == 0
                && !is_pattern(&point.function)))
}

/// Joins a `kprobe` and the only `kretprobe` of the same functions into one probe.
fn sessions(unit: &mut Unit<'_>, hows: Vec<Vec<How>>) -> Vec<Vec<How>> {
    if !unit.world.has(Feature::KprobeSession) {
        return hows;
    }
    let eligible = |unit: &Unit<'_>, at: usize, provider: Provider| {
        let [point] = &unit.probes[at].points[..] else {
            return false;
        };
        point.provider == provider && in_session(point, hows[at][0], unit.world)
    };
    let mut gone = vec![false; unit.probes.len()];
    for at in 0..unit.probes.len() {
        if !eligible(unit, at, Provider::Kprobe) {
            continue;
        }
        let entry = unit.probes[at].points[0].clone();
        let mut returns = (0..unit.probes.len()).filter(|other| {
            !gone[*other] && eligible(unit, *other, Provider::Kretprobe) && {
                let point = &unit.probes[*other].points[0];
                point.target == entry.target && point.function == entry.function
            }
        });
        let (Some(found), None) = (returns.next(), returns.next()) else {
            continue;
        };
        gone[found] = true;
        let at_return = unit.probes[found].body.clone();
        join(unit, at, at_return);
    }
    let mut keep = gone.iter().map(|gone| !gone);
    unit.probes.retain(|_| keep.next().unwrap_or(true));
    hows.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(how, _)| how).collect()
}

/// `{ if __session_is_return() { at return } else { at entry } }`
fn join(unit: &mut Unit<'_>, at: usize, at_return: Block) {
    let ids = &mut unit.ids;
    let probe = &mut unit.probes[at];
    probe.points[0].session = true;
    let place = probe.body.place;
    let mut expr = |kind| Expr { id: ids.fresh(), kind, place };
    let none = expr(ExprKind::None);
    let id = probe.body.id;
    let entry = std::mem::replace(
        &mut probe.body,
        Block { id, statements: Vec::new(), value: Box::new(none), place },
    );
    let condition = expr(ExprKind::Call(Call {
        function: "__session_is_return".into(),
        arguments: Vec::new(),
        injected: 0,
    }));
    let then = expr(ExprKind::Block(at_return));
    let otherwise = expr(ExprKind::Block(entry));
    let test = expr(ExprKind::If(Box::new(If { condition, then, otherwise })));
    probe.body.statements.push(Statement { kind: StatementKind::Expr(test), place });
}

/// Adds what a point becomes; false where there are too many.
fn expand_point(
    unit: &mut Unit<'_>,
    mut point: Attach,
    how: How,
    out: &mut Vec<Attach>,
    count: &mut u64,
) -> bool {
    match how {
        How::Each => {
            let found = matching(&point, unit.world, unit.options);
            *count += found.len() as u64;
            let most = unit.config.max_bpf_progs;
            if *count > most {
                let text = format!(
                    "Your program is trying to generate more than {count} BPF programs, which \
                     exceeds the current limit of {most}"
                );
                unit.diagnostics.error(point.place, text).hint(
                    "You can increase the limit through the BPFTRACE_MAX_BPF_PROGS environment \
                     variable.",
                );
                return false;
            }
            out.extend(found.iter().map(|found| of_match(&point, found)));
        }
        How::Many => {
            let found = matching(&point, unit.world, unit.options);
            if is_pattern(&point.target) {
                by_target(&point, &found, out);
            } else if !found.is_empty() {
                point.many = found.iter().map(|one| Name::from(&**one)).collect();
                out.push(point);
            }
        }
        How::Stay => stay(unit, point, out),
    }
    true
}

/// One point for each file, with the functions of all.
fn by_target(point: &Attach, found: &[String], out: &mut Vec<Attach>) {
    let mut made: Vec<Attach> = Vec::new();
    for one in found {
        let copy = of_match(point, one);
        let function: Name = format!("{}:{}", copy.target, copy.function).into();
        match made.iter_mut().find(|other| other.target == copy.target) {
            Some(other) => other.many.push(function),
            None => {
                made.push(Attach { function: point.function.clone(), many: vec![function], ..copy })
            }
        }
    }
    out.extend(made);
}

fn stay(unit: &mut Unit<'_>, point: Attach, out: &mut Vec<Attach>) {
    let kprobe = matches!(point.provider, Provider::Kprobe | Provider::Kretprobe);
    if kprobe {
        let module = &point.target;
        let loaded = unit.world.modules();
        let loaded = loaded.iter().any(|one| **one == **module);
        if !module.is_empty() && module != "vmlinux" && !loaded {
            let text = format!(
                "specified module {module} in probe {}:{module}:{} is not loaded.",
                point.provider.name(),
                point.function
            );
            unit.diagnostics.error(point.place, text);
        }
        if point.address != 0 {
            out.push(point);
            return;
        }
    }
    let found = matching(&point, unit.world, unit.options);
    let unchecked = point.provider == Provider::Watchpoint
        || (kprobe && unit.options.allow_unsafe)
        || !found.is_empty();
    if unchecked {
        out.push(point);
        return;
    }
    let target = match &*point.target {
        "" => String::new(),
        target => format!("{target}:"),
    };
    let text = format!("No matches for {} {target}{}", point.provider.type_name(), point.function);
    match unit.config.missing_probes {
        MissingProbes::Warn => {
            unit.diagnostics.warning(point.place, format!("{text}. Skipping."));
        }
        MissingProbes::Error => {
            unit.diagnostics.error(point.place, format!("{text}."));
        }
        MissingProbes::Ignore => {}
    }
}

/// The point for one match.
fn of_match(point: &Attach, found: &str) -> Attach {
    let mut copy = point.clone();
    copy.given = None;
    match point.provider {
        Provider::Kprobe | Provider::Kretprobe => match found.split_once(':') {
            Some((module, function)) => {
                module.clone_into(&mut copy.target);
                function.clone_into(&mut copy.function);
            }
            None => found.clone_into(&mut copy.function),
        },
        Provider::Fentry | Provider::Fexit if found.starts_with("bpf:") => {
            let mut parts = found.splitn(3, ':').skip(1);
            copy.program = parts.next().and_then(|id| id.parse().ok()).unwrap_or(0);
            parts.next().unwrap_or("").clone_into(&mut copy.function);
        }
        Provider::Usdt => {
            let mut parts = found.rsplitn(3, ':');
            parts.next().unwrap_or("").clone_into(&mut copy.function);
            parts.next().unwrap_or("").clone_into(&mut copy.namespace);
            parts.next().unwrap_or("").clone_into(&mut copy.target);
        }
        Provider::Fentry
        | Provider::Fexit
        | Provider::Tracepoint
        | Provider::RawTracepoint
        | Provider::Uprobe
        | Provider::Uretprobe => {
            if let Some((target, function)) = found.split_once(':') {
                target.clone_into(&mut copy.target);
                function.clone_into(&mut copy.function);
            }
        }
        _ => {}
    }
    copy
}
