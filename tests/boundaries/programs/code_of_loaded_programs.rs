//! Compiled code of a loaded program, run by hand: it needs its own context and maps, and
//! is not run without them.

use skep::vm::Vm;
use skep::vm::interp::Outcome;
use skep::vm::jit::State;
use skep::vm::mem::stack::Stack;

use crate::tools::{insn, load, run};

/// A verified program that reads its packet, with no packet and a made up context.
pub fn main() {
    let vm = Vm::with_cpus(1);
    let program = [
        insn(0x61, 2, 1, 0, 0),
        insn(0x61, 3, 1, 4, 0),
        insn(0xbf, 4, 2, 0, 0),
        insn(0x07, 4, 0, 0, 8),
        insn(0xb7, 0, 0, 0, 0),
        insn(0x2d, 4, 3, 1, 0),
        insn(0x79, 0, 2, 0, 0),
        insn(0x95, 0, 0, 0, 0),
    ];
    let fd = load(&vm, 6, &program).expect("an accepted program");
    assert!(run(&vm, fd).0.is_ok());
    let loaded = vm.program(fd as i32).expect("the fd is a program's");
    let code = loaded.compiled().expect("it was compiled to run").clone();
    let mut stack = Stack::new();
    for argument in [0, 1, 0xdead_beef_dead_beef] {
        let mut state = State::new(&mut stack, None, u64::MAX);
        let outcome = code.run(&mut state, argument, argument);
        assert!(matches!(outcome, Outcome::Trapped(_)), "{outcome:?}");
    }
}
