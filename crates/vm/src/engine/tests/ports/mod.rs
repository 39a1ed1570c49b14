//! The machines that we do not run on: code is made for each of them, run by QEMU's user
//! mode, and disassembled by LLVM. Without those, the tests say so.

mod disassembly;
mod execution;
mod machine;
mod swapped;

use skep_isa::Insn;
use skep_jit::ByteOrder;
use skep_jit::{JitError, Machine, MachineCode, Options, Passes, Source, assemble};

/// A machine that code is made for.
pub struct Port {
    /// As LLVM and QEMU call it.
    pub name: &'static str,
    /// The order of its bytes.
    pub bytes: ByteOrder,
}

/// All of them.
pub const PORTS: [Port; 4] = [
    Port { name: "x86_64", bytes: ByteOrder::Little },
    Port { name: "aarch64", bytes: ByteOrder::Little },
    Port { name: "riscv64", bytes: ByteOrder::Little },
    Port { name: "s390x", bytes: ByteOrder::Big },
];

impl Port {
    /// What the back end calls it.
    fn triple(&self) -> String {
        let name = if self.name == "riscv64" { "riscv64gc" } else { self.name };
        format!("{name}-unknown-linux-gnu")
    }

    fn machine(&self) -> Machine {
        Machine::named(&self.triple()).expect("the back end is part of the tests")
    }

    fn compile(
        &self,
        machine: &Machine,
        insns: &[Insn],
        options: Options,
    ) -> Result<MachineCode, JitError> {
        let source = Source::bare(insns).on(self.bytes);
        // Vectors are made where the machine that we run on has them.
        let vectors = Passes::named("vectorise").expect("there is one");
        let options = Options { passes: options.passes.without(vectors), ..options };
        assemble(source, options, machine, true)
    }
}
