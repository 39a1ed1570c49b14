//! The published ISA vectors on the interpreter. The folder is `SKEP_CONFORMANCE`, or
//! `../shared/conformance` beside the workspace; without it the test says so.

use std::path::Path;

use skep_isa::vector::{self, Expected};
use skep_isa::{Slot, encode};
use skep_vm::Outcome;
use skep_vm::{RawMemory, Vm, run_raw};

#[test]
fn every_published_vector_gives_its_result() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Some(folder) = vector::folder(&workspace) else {
        println!("skipped: the conformance vectors are not here (set SKEP_CONFORMANCE)");
        return;
    };
    let vm = Vm::with_cpus(1).with_budget(1 << 20);
    let mut wrong = Vec::new();
    let vectors = vector::read_folder(&folder).expect("vectors are readable");
    for (name, vector) in &vectors {
        let slots: Vec<Slot> = encode(&vector.insns);
        let mut memory = RawMemory::new(&vector.memory);
        let outcome = run_raw(&vm, &slots, &mut memory);
        let right = match (&vector.expected, &outcome) {
            (Expected::Result(expected), Ok(Outcome::Returned(r0))) => expected == r0,
            (Expected::Error(_), Ok(Outcome::Trapped(_)) | Err(_)) => true,
            _ => false,
        };
        if !right {
            wrong.push(format!("{name}: expected {:?}, got {outcome:?}", vector.expected));
        }
    }
    println!("{} of {} vectors", vectors.len() - wrong.len(), vectors.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
