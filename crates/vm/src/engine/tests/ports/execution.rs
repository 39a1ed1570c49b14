//! Code for every machine does there what the vectors and the interpreter say.

use std::path::Path;

use arbitrary::Arbitrary;
use skep_isa::Insn;
use skep_isa::vector::{self, Expected};
use skep_jit::ByteOrder;
use skep_jit::{Checks, JitError};

use super::super::arbitrary::{MEMORY, POINTERS, Program};
use super::super::{Bed, configurations};
use super::machine::{Job, run};
use super::swapped::swapped;
use super::{PORTS, Port};
use crate::run::Outcome;

const BUDGET: u64 = 1 << 20;

/// A program, and what it does wherever its memory is.
struct Case {
    name: String,
    insns: Vec<Insn>,
    before: Vec<u8>,
    returned: u64,
    after: Option<Vec<u8>>,
}

/// What the interpreter says of a program, on a machine with that order of bytes. `None`
/// where it does not return or returns an address: those are different elsewhere.
fn judge(
    beds: &mut [Bed; 2],
    port: &Port,
    insns: &[Insn],
    before: &[u8],
    pointers: Option<i16>,
) -> Option<(u64, Vec<u8>)> {
    let insns = match port.bytes == ByteOrder::HOST {
        true => insns.to_vec(),
        false => swapped(insns, pointers)?,
    };
    let [one, other] = beds;
    let (one, other) = (one.interpret(&insns, before), other.interpret(&insns, before));
    match one.outcome {
        Outcome::Returned(returned) if one == other => Some((returned, one.memory)),
        _ => None,
    }
}

/// Runs each case in every configuration, or in some in turn. Gives how many ran.
fn compare(port: &Port, cases: &[Case], every: bool) -> Option<usize> {
    let machine = port.machine();
    let all = configurations();
    let (mut jobs, mut of, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        for (turn, &options) in all.iter().enumerate() {
            // Guarded with nothing, elided with everything, and one more.
            let plain = turn == 0 || options.checks == Checks::Elided && turn == all.len() / 2 + 1;
            if !every && !plain && number % all.len() != turn {
                continue;
            }
            match port.compile(&machine, &case.insns, options) {
                Ok(native) => {
                    jobs.push(Job { code: native.bytes, memory: case.before.clone() });
                    of.push((case, options));
                }
                Err(JitError::Unsupported { .. }) => break,
                Err(error) => wrong.push(format!("{} {options:?}: {error}", case.name)),
            }
        }
    }
    let results = run(port, &jobs, BUDGET)?;
    for (left, (case, options)) in results.iter().zip(&of) {
        let same = case.after.as_ref().is_none_or(|after| *after == left.memory);
        if left.exit != 0 || left.returned != case.returned || !same {
            wrong.push(format!(
                "{} {options:?}: expected {:#x}, got {left:x?}\n{}",
                case.name,
                case.returned,
                skep_isa::disassemble(&case.insns, skep_isa::Style::Llvm)
            ));
        }
    }
    let count = wrong.len();
    wrong.truncate(3);
    assert!(count == 0, "{}: {count} wrong, such as\n{}", port.name, wrong.join("\n"));
    Some(results.len())
}

fn vectors(port: &Port) -> Option<Vec<Case>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Some(folder) = vector::folder(&workspace) else {
        println!("skipped: the conformance vectors are not here (set SKEP_CONFORMANCE)");
        return None;
    };
    let mut beds = [Bed::new(), Bed::new()];
    let vectors = vector::read_folder(&folder).expect("vectors are readable");
    let mut cases = Vec::new();
    for (name, vector) in vectors {
        let Expected::Result(expected) = vector.expected else { continue };
        // The published results are of little-endian machines.
        let returned = match port.bytes {
            ByteOrder::Little => Some(expected),
            ByteOrder::Big => judge(&mut beds, port, &vector.insns, &vector.memory, None)
                .map(|(returned, _)| returned),
        };
        let Some(returned) = returned else { continue };
        let (insns, before) = (vector.insns, vector.memory);
        cases.push(Case { name, insns, before, returned, after: None });
    }
    Some(cases)
}

#[test]
fn every_published_vector_gives_its_result_on_every_machine() {
    for port in &PORTS {
        let Some(cases) = vectors(port) else { return };
        if let Some(runs) = compare(port, &cases, true) {
            println!("{}: {runs} runs of {} vectors", port.name, cases.len());
            assert!(cases.len() > 200, "{}: only {} vectors", port.name, cases.len());
        }
    }
}

#[test]
fn random_programs_do_on_every_machine_what_the_interpreter_does() {
    let count: u64 =
        std::env::var("SKEP_PORT_PROGRAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    for port in &PORTS {
        let mut beds = [Bed::new(), Bed::new()];
        let mut cases = Vec::new();
        // The same programs each time, for every machine.
        let mut numbers = fastrand::Rng::with_seed(1);
        for number in 0..count {
            let mut bytes = [0u8; 4096];
            numbers.fill(&mut bytes);
            let (before, rest) = bytes.split_at(MEMORY as usize);
            let Ok(program) = Program::arbitrary(&mut arbitrary::Unstructured::new(rest)) else {
                continue;
            };
            let insns = program.0;
            let judged = judge(&mut beds, port, &insns, before, Some(POINTERS));
            let Some((returned, after)) = judged else { continue };
            let (name, before) = (format!("program {number}"), before.to_vec());
            cases.push(Case { name, insns, before, returned, after: Some(after) });
        }
        if let Some(runs) = compare(port, &cases, false) {
            println!("{}: {runs} runs of {} programs of {count}", port.name, cases.len());
            assert!(cases.len() as u64 * 10 > count, "{}: {}", port.name, cases.len());
        }
    }
}
