//! Compiled code beside the interpreter: what the interpreter returns, compiled code
//! returns too, and leaves the same memory.
//!
//! Both get the same stack and the same memory at the same addresses, so that even a
//! program that returns an address returns the same one.
#![allow(unsafe_code, reason = "runs compiled code")]

mod arbitrary;
mod frames;
mod hostile;
mod idioms;
mod loops;
mod ports;
mod vectors;

use std::sync::{Arc, OnceLock};

use skep_abi::{ProgType, Trap, TrapKind};
use skep_isa::Insn;
use skep_jit::{Checks, Code, Exit, JitError, Options, Passes, Source, optimise};
use skep_verify::KfuncRefs;

use super::machine::Machine;
use super::runner::ENTRIES;
use crate::contexts::NoContext;
use crate::interp;
use crate::memory::packet::PacketMemory;
use crate::memory::stack::Stack;
use crate::memory::value::{Kind, Value};
use crate::objects::program::Program;
use crate::run::{Outcome, Run};

const BUDGET: u64 = 1 << 20;

/// A stack and memory that programs run on in turn.
struct Bed {
    machine: Machine,
    memory: PacketMemory,
    /// Away while it is used.
    stack: Option<Box<Stack>>,
}

/// What a run left behind.
#[derive(Clone, PartialEq, Debug)]
struct After {
    outcome: Outcome,
    memory: Vec<u8>,
}

impl Bed {
    fn new() -> Bed {
        Bed { machine: Machine::new(1), memory: PacketMemory::new(4096), stack: None }
    }

    fn interpret(&mut self, insns: &[Insn], bytes: &[u8]) -> After {
        let program = Program {
            prog_type: ProgType::Unspec,
            expected_attach_type: 0,
            flags: 0,
            insns: insns.into(),
            maps: Box::default(),
            kfuncs: KfuncRefs::default(),
            exception_callback: None,
            hook: None,
            name: [0; 16],
            tag: [0; 8],
            id: 0,
            btf_id: 0,
            proof: None,
            code: OnceLock::new(),
        };
        self.memory.bytes_mut(0, bytes.len()).copy_from_slice(bytes);
        let pointer = match bytes.len() {
            0 => Value::scalar(0),
            len => self.memory.region(0, len, true).with_kind(Kind::Memory).pointer(0),
        };
        let mut stack = self.stack.take().unwrap_or_default();
        stack.clear();
        let (env, program) = (self.machine.env.clone(), Arc::new(program));
        let mut run = Run::new(env, program, stack, Box::new(NoContext), BUDGET, ENTRIES);
        let outcome = interp::run(&mut run, &[pointer, Value::scalar(bytes.len() as u64)]);
        self.stack = Some(run.into_parts().0);
        After { outcome, memory: self.memory.bytes(0, bytes.len()).to_vec() }
    }

    fn compiled(&mut self, code: &Code, bytes: &[u8]) -> After {
        self.memory.bytes_mut(0, bytes.len()).copy_from_slice(bytes);
        let region = match bytes.len() {
            0 => None,
            len => Some(self.memory.region(0, len, true)),
        };
        let stack = self.stack.get_or_insert_default();
        stack.clear();
        let mut state = stack.state();
        state.begin(BUDGET);
        if let Some(region) = region {
            // SAFETY: the bed's memory, which nobody else uses meanwhile.
            unsafe { state.favour(region.start(), region.size()) };
        }
        let r1 = region.map_or(0, |region| region.start());
        let outcome = match code.run(&mut state, r1, bytes.len() as u64) {
            Ok(r0) => Outcome::Returned(r0),
            Err((Exit::Budget, _)) => Outcome::OutOfBudget,
            Err((_, pc)) => {
                let kind = TrapKind::BadInstruction;
                Outcome::Trapped(Trap { pc, kind, frames: vec![] })
            }
        };
        After { outcome, memory: self.memory.bytes(0, bytes.len()).to_vec() }
    }

    /// Compares all configurations on one program, if the interpreter returns from it.
    /// Gives whether it was compared.
    fn compare(&mut self, insns: &[Insn], bytes: &[u8], all: &[Options]) -> Result<bool, String> {
        let expected = self.interpret(insns, bytes);
        let returned = matches!(expected.outcome, Outcome::Returned(_));
        for &options in all {
            if options.checks == Checks::Elided && !returned {
                continue;
            }
            let code = match generate(Source::bare(insns), options) {
                Ok(code) => code,
                Err(JitError::Unsupported { .. } | JitError::TooLarge { .. }) => return Ok(false),
                Err(error) => return Err(format!("{options:?}: {error}")),
            };
            let actual = self.compiled(&code, bytes);
            if returned && actual != expected {
                let form = optimise(Source::bare(insns), options).map(|module| module.to_string());
                return Err(format!(
                    "{options:?}: expected {expected:x?}\ngot {actual:x?}\n{}\n{}",
                    form.unwrap_or_default(),
                    skep_isa::disassemble(insns, skep_isa::Style::Llvm)
                ));
            }
        }
        Ok(returned)
    }
}

/// Compiles, with the checks that are asked for.
fn generate(source: Source<'_>, options: Options) -> Result<Code, JitError> {
    // SAFETY: code without checks is run only where the interpreter returned.
    unsafe { skep_jit::generate(source, options) }
}

/// Guarded and elided, without passes, with all, and with all but each.
fn configurations() -> Vec<Options> {
    let mut all = Vec::new();
    for checks in [Checks::Guarded, Checks::Elided] {
        all.push(Options { checks, passes: Passes::NONE });
        all.push(Options { checks, passes: Passes::ALL });
        for name in Passes::names() {
            let off = Passes::named(name).unwrap_or(Passes::NONE);
            all.push(Options { checks, passes: Passes::ALL.without(off) });
        }
    }
    all
}
