//! A pointer into a packet that has moved 65,536 times since (the memory that it led to is
//! given back meanwhile): it does not come to hold again, and no run ends in a fault.

use skep::vm::{Engine, Vm};

use crate::tools::{insn, load, run};

/// Makes a packet longer than its memory, calls so often what may move it, then reads
/// through a pointer of before.
pub fn main() {
    for engine in [Engine::Interpreter, Engine::Guarded] {
        for rounds in [1, 0xfffc, 0xfffd, 0xfffe, 0xffff, 0x1_0000, 0x1_fffd, 0x1_fffe] {
            let vm = Vm::with_cpus(1).unverified().with_engine(engine);
            let program = [
                insn(0xbf, 6, 1, 0, 0),
                insn(0x61, 7, 1, 76, 0),
                insn(0xb7, 8, 0, 0, rounds),
                // bpf_skb_change_tail, then bpf_skb_pull_data again and again.
                insn(0xb7, 2, 0, 0, 16_000),
                insn(0xb7, 3, 0, 0, 0),
                insn(0x85, 0, 0, 0, 38),
                insn(0xbf, 1, 6, 0, 0),
                insn(0xb7, 2, 0, 0, 0),
                insn(0x85, 0, 0, 0, 39),
                insn(0x17, 8, 0, 0, 1),
                insn(0x55, 8, 0, -5, 0),
                insn(0x71, 0, 7, 0, 0),
                insn(0x95, 0, 0, 0, 0),
            ];
            let fd = load(&vm, 3, &program).expect("it is not verified");
            let (result, why) = run(&vm, fd);
            let why = why.unwrap_or_default();
            assert!(result.is_err(), "{engine:?}, {rounds} rounds");
            let what = if engine == Engine::Interpreter { "no longer holds" } else { "no pointer" };
            assert!(why.contains(what), "{engine:?}, {rounds} rounds: {why}");
        }
    }
}
