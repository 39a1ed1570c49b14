//! A program for others: raw, as `seccomp(2)` and `bwrap --seccomp` take it, and the rules
//! as libseccomp's pseudo filter code.

use std::fmt::Write;

use super::Filter;
use super::arch::Arch;
use super::plan::{Bound, Plan};
use super::policy::{Action, Condition, Op};

/// The bytes of the program, in the byte order of its architectures.
pub fn raw(filter: &Filter) -> Vec<u8> {
    let little = filter.plan.little;
    let mut bytes = Vec::with_capacity(8 * filter.filters().len());
    for insn in filter.filters() {
        let (code, k) = match little {
            true => (insn.code.to_le_bytes(), insn.k.to_le_bytes()),
            false => (insn.code.to_be_bytes(), insn.k.to_be_bytes()),
        };
        bytes.extend([code[0], code[1], insn.jt, insn.jf]);
        bytes.extend(k);
    }
    bytes
}

/// Pseudo filter code, as `seccomp_export_pfc(3)` writes it: rules in the order in which
/// they are asked.
pub fn pseudo_code(plan: &Plan) -> String {
    let mut out = String::from("#\n# pseudo filter code start\n#\n");
    for section in &plan.sections {
        let arches = Arch::all().filter(|arch| arch.audit() == section.audit);
        let names: Vec<&str> = arches.clone().map(Arch::name).collect();
        let _ = writeln!(out, "# filter for arch {} ({})", names.join(", "), section.audit);
        let _ = writeln!(out, "if ($arch == {})", section.audit);
        let ends = section.spans.iter().skip(1).map(|span| span.first - 1);
        for (span, last) in section.spans.iter().zip(ends.chain([u32::MAX])) {
            let first = span.first;
            let call = arches.clone().find(|arch| arch.is_own(first));
            let call = call.and_then(|arch| arch.call(first)).unwrap_or("UNKNOWN");
            if first == last {
                let _ = writeln!(out, "  # filter for syscall \"{call}\" ({first})");
                let _ = writeln!(out, "  if ($syscall == {first})");
            } else {
                let _ = writeln!(out, "  # filter for syscalls {first} to {last}");
                let _ = writeln!(out, "  if ($syscall >= {first})\n   if ($syscall <= {last})");
            }
            for rule in &span.target.rules {
                write_rule(&mut out, rule);
            }
            let _ = writeln!(out, "    action {};", pfc(span.target.otherwise.0));
        }
    }
    let _ = writeln!(out, "# invalid architecture action\naction {};", pfc(plan.bad_arch));
    out + "#\n# pseudo filter code end\n#\n"
}

fn write_rule(out: &mut String, rule: &Bound) {
    // Each way to fulfil all conditions is one nest.
    let mut ways: Vec<Vec<String>> = vec![Vec::new()];
    for condition in &rule.conditions {
        let tests = alternatives(condition);
        let joined = |way: &Vec<String>| {
            let way = way.clone();
            tests.iter().map(move |tests| [&way[..], tests].concat()).collect::<Vec<_>>()
        };
        ways = ways.iter().flat_map(joined).collect();
    }
    for way in ways {
        for (depth, test) in way.iter().enumerate() {
            let _ = writeln!(out, "{}if ({test})", " ".repeat(4 + 2 * depth));
        }
        let _ = writeln!(out, "{}action {};", " ".repeat(4 + 2 * way.len()), pfc(rule.action));
    }
}

/// The ways in which a comparison of 64 bits holds, as tests of halves.
fn alternatives(condition: &Condition) -> Vec<Vec<String>> {
    let (high, low) = ((condition.value >> 32) as u32, condition.value as u32);
    let name = |half: &str| format!("$a{}.{half}32", condition.arg);
    let test = |half: &str, op: &str, value: u32| format!("{} {op} {value}", name(half));
    let ordered = |strict: &str, last: &str| {
        vec![vec![test("hi", strict, high)], vec![test("hi", "==", high), test("lo", last, low)]]
    };
    match condition.op {
        Op::Eq => vec![vec![test("hi", "==", high), test("lo", "==", low)]],
        Op::Ne => vec![vec![test("hi", "!=", high)], vec![test("lo", "!=", low)]],
        Op::Lt => ordered("<", "<"),
        Op::Le => ordered("<", "<="),
        Op::Gt => ordered(">", ">"),
        Op::Ge => ordered(">", ">="),
        Op::MaskedEq(mask) => {
            let masked = |half: &str, mask: u32, value: u32| {
                format!("{} & {mask:#010x} == {}", name(half), value & mask)
            };
            let halves = [
                ((mask >> 32) as u32, masked("hi", (mask >> 32) as u32, high)),
                (mask as u32, masked("lo", mask as u32, low)),
            ];
            vec![halves.into_iter().filter(|half| half.0 != 0).map(|half| half.1).collect()]
        }
    }
}

fn pfc(action: Action) -> String {
    match action {
        Action::KillThread => "KILL".into(),
        Action::Notify => "NOTIFY".into(),
        Action::Errno(data) => format!("ERRNO({data})"),
        Action::Trace(data) => format!("TRACE({data})"),
        action => action.parts().0.name().to_ascii_uppercase(),
    }
}
