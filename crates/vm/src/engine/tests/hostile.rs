//! Programs that nobody verified: wild addresses, endless loops, jumps to anywhere.
//! Guarded code must leave everything but its stack and its memory alone.

use skep_isa::arbitrary::Program;
use skep_isa::{Callee, ImmKind, Insn};
use skep_jit::{Checks, JitError, Source};

use super::{Bed, configurations, generate};
use crate::run::Outcome;

/// Bytes that the program may use, amid others that it may not.
const MEMORY: usize = 64;
const CANARY: u8 = 0xa5;

#[test]
fn hostile_programs_stay_in_their_memory() {
    let seconds = std::env::var("SKEP_JIT_SECONDS").ok().and_then(|text| text.parse().ok());
    let guarded: Vec<_> =
        configurations().into_iter().filter(|options| options.checks == Checks::Guarded).collect();
    let mut bed = Bed::new();
    let (mut ran, mut returned) = (0u64, 0u64);
    let test = |u: &mut arbitrary::Unstructured<'_>| {
        let mut program: Program = u.arbitrary()?;
        // There are no maps and no kernel functions; loading would have refused programs that
        // name some.
        for insn in &mut program.0 {
            match insn {
                Insn::LoadImm64 { imm, .. } => imm.kind = ImmKind::Const,
                Insn::Call(Callee::Kfunc { .. }) => *insn = Insn::Exit,
                _ => {}
            }
        }
        let mut bytes = [0; MEMORY];
        u.fill_buffer(&mut bytes)?;
        let expected = bed.interpret(&program.0, &bytes);
        for &options in &guarded[..2] {
            let code = match generate(Source::bare(&program.0), options) {
                Ok(code) => code,
                Err(JitError::Unsupported { .. } | JitError::TooLarge { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            let capacity = bed.memory.capacity();
            bed.memory.bytes_mut(MEMORY, capacity).fill(CANARY);
            let actual = bed.compiled(&code, &bytes);
            let around = bed.memory.bytes(MEMORY, capacity);
            assert!(around.iter().all(|&byte| byte == CANARY), "{program:?}");
            ran += 1;
            if let Outcome::Returned(_) = expected.outcome {
                assert_eq!(actual, expected, "{program:?}");
                returned += 1;
            }
        }
        Ok(())
    };
    arbtest::arbtest(test).budget_ms(seconds.map_or(1000, |s: u64| s * 1000)).run();
    println!("{ran} hostile runs, {returned} of which returned");
    assert!(ran > 0);
}
