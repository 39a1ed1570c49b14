//! A printer that panics, under compiled code and in the interpreter, in the program and in a
//! callback of a helper: the run ends with a trap that says so, and program, vCPU and
//! printer go on to be used.

use skep::vm::{Engine, Vm};

use crate::tools::{insn, load, run};

/// Every engine, and how often it is tried.
pub fn main() {
    // What is thrown here is caught; nobody needs to read of it.
    std::panic::set_hook(Box::new(|_| ()));
    for engine in [Engine::Interpreter, Engine::Guarded, Engine::Auto] {
        for verified in [true, false] {
            let vm = Vm::with_cpus(1).with_engine(engine);
            let vm = if verified { vm } else { vm.unverified() };
            // bpf_trace_printk("hi", 3)
            let program = [
                insn(0x62, 10, 0, -8, 0x0000_6968),
                insn(0xbf, 1, 10, 0, 0),
                insn(0x07, 1, 0, 0, -8),
                insn(0xb7, 2, 0, 0, 3),
                insn(0x85, 0, 0, 0, 6),
                insn(0xb7, 0, 0, 0, 2),
                insn(0x95, 0, 0, 0, 0),
            ];
            let fd = load(&vm, 6, &program).expect("a program that is accepted");
            for _ in 0..3 {
                vm.environment().set_printer(|_| panic!("a printer's own bug"));
                let (result, why) = run(&vm, fd);
                assert!(result.is_err(), "{engine:?}");
                let says = "insn 4: a panic outside of the program: a printer's own bug";
                assert_eq!(why.as_deref(), Some(says), "{engine:?}");
                vm.environment().set_printer(|_| ());
                assert_eq!(run(&vm, fd).1, None, "{engine:?}");
            }
        }
    }
}
