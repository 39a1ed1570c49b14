//! Bare instructions on bare memory: what conformance suites run.

use std::sync::{Arc, OnceLock};

use skep_abi::{Errno, ProgType};
use skep_isa::Slot;

use crate::engine::runner::Scene;
use crate::engine::workspaces::{Place, Workspace};
use crate::kernel::vm::Vm;
use crate::memory::packet::PacketMemory;
use crate::memory::value::{Kind, Value};
use crate::objects::program::{Program, ProgramError, link};
use crate::run::Outcome;
use crate::run::vcpus::NoVcpu;

/// Why bare instructions were not run.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// They are no program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// There is nothing to run them on.
    #[error("{0}")]
    Context(Errno),
    /// The thread got no vCPU.
    #[error(transparent)]
    Vcpu(#[from] NoVcpu),
}

/// The memory that a raw run works on.
pub struct RawMemory {
    memory: PacketMemory,
    len: usize,
}

impl RawMemory {
    /// Memory with these bytes.
    pub fn new(bytes: &[u8]) -> RawMemory {
        let mut memory = PacketMemory::new(bytes.len());
        memory.bytes_mut(0, bytes.len()).copy_from_slice(bytes);
        RawMemory { memory, len: bytes.len() }
    }

    /// The bytes as the program left them.
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes(0, self.len)
    }
}

/// Runs bare instructions with r1 = the memory and r2 = its length, or r1 = r2 = 0
/// where there is none. Nothing verifies them.
///
/// # Errors
/// They are no program, or there is no vCPU for this thread.
pub fn run_raw(vm: &Vm, slots: &[Slot], memory: &mut RawMemory) -> Result<Outcome, RawError> {
    let linked = link(slots, |_| Err(Errno::EBADF), |_| None)?;
    let program = Program {
        prog_type: ProgType::Unspec,
        expected_attach_type: 0,
        flags: 0,
        insns: linked.insns,
        maps: linked.maps,
        kfuncs: linked.kfuncs,
        exception_callback: None,
        name: [0; 16],
        tag: skep_verify::tag(slots),
        id: 0,
        btf_id: 0,
        proof: None,
        hook: None,
        code: OnceLock::new(),
    };
    let pointer = match memory.len {
        0 => Value::scalar(0),
        len => memory.memory.region(0, len, true).with_kind(Kind::Memory).pointer(0),
    };
    let length = Value::scalar(memory.len as u64);
    let memory = Some(pointer.region()).filter(|_| memory.len > 0);
    // What runs once is not worth compiling unless that is asked for.
    let how = vm.machine.how().filter(|how| how.guarded);
    let mut workspace = Workspace::new(&vm.machine, Place::Nothing).map_err(RawError::Context)?;
    workspace.clear_stack();
    let scene = Scene { memory, ..Scene::default() };
    let (outcome, _) = workspace.run(how, &Arc::new(program), [pointer, length], scene, 1)?;
    Ok(outcome)
}
