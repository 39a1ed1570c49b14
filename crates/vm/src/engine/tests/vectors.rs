//! The published ISA vectors, in every configuration.

use std::path::Path;

use skep_isa::vector::{self, Expected};
use skep_jit::{Checks, JitError, Source};

use super::{Bed, configurations, generate};
use crate::run::Outcome;

#[test]
fn every_published_vector_gives_its_result_when_compiled() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Some(folder) = vector::folder(&workspace) else {
        println!("skipped: the conformance vectors are not here (set SKEP_CONFORMANCE)");
        return;
    };
    let mut bed = Bed::new();
    let (mut wrong, mut compiled, mut left) = (Vec::new(), 0, Vec::new());
    let vectors = vector::read_folder(&folder).expect("vectors are readable");
    for (name, vector) in &vectors {
        let Expected::Result(expected) = vector.expected else { continue };
        for options in configurations() {
            let code = match generate(Source::bare(&vector.insns), options) {
                Ok(code) => code,
                Err(JitError::Unsupported { what, .. }) => {
                    left.push(format!("{name}: {what}"));
                    break;
                }
                Err(error) => {
                    wrong.push(format!("{name} {options:?}: {error}"));
                    continue;
                }
            };
            compiled += u32::from(options.checks == Checks::Guarded);
            let after = bed.compiled(&code, &vector.memory);
            if after.outcome != Outcome::Returned(expected) {
                wrong.push(format!("{name} {options:?}: {:?}", after.outcome));
            }
        }
    }
    println!("{compiled} runs of {} vectors; left to the interpreter:", vectors.len());
    println!("{}", left.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
