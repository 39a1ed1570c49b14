//! The event hook: a program of any type on contexts that somebody describes, each with what
//! else there was: a task, memory, stacks, a time, a CPU.

use std::sync::Arc;

use skep_abi::Trap;
use skep_sys::{Errno, RawFd};

use crate::engine::event::{self, Refused};
use crate::kernel::vm::Vm;
use crate::kfuncs::{self, MissingKfunc};
use crate::objects::program::Program;
use crate::run::Outcome;
use crate::run::vcpus::NoVcpu;
use crate::run::world::{Call, World};

/// Why an event has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// There is no such program.
    #[error("there is no program: {0}")]
    Program(Errno),
    /// The program calls what is not here.
    #[error(transparent)]
    Missing(#[from] MissingKfunc),
    /// There is no such context for a program of this type, or it does not fit.
    #[error("the context cannot be used: {0}")]
    Context(Errno),
    /// There is no such vCPU.
    #[error("there is no CPU {0}")]
    Cpu(u32),
    /// The program did something that it may not.
    #[error("{0}")]
    Trapped(Trap),
    /// The program used up its budget of instructions.
    #[error("the budget of instructions is used up")]
    OutOfBudget,
    /// The program was not run.
    #[error(transparent)]
    Vcpu(#[from] NoVcpu),
}

/// What a program runs on.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// The context as the program sees it, from its start; what is missing is 0.
    pub context: Vec<u8>,
    /// The packet, message or option.
    pub data: Vec<u8>,
    /// The fields of the socket that it belongs to (`struct bpf_sock`).
    pub socket: Option<Vec<u8>>,
    /// The time; the kernel's where there is none.
    pub time: Option<u64>,
    /// The vCPU; any where there is none.
    pub cpu: Option<u32>,
    /// The world; the kernel's where there is none.
    pub world: Option<World>,
    /// Address of the function that was called.
    pub function: u64,
    /// What the program's link was made with.
    pub cookie: u64,
}

/// What came of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventOutcome {
    /// What the program returned.
    pub retval: u32,
    /// The context as the program left it.
    pub context: Vec<u8>,
    /// The packet, message or option as the program left it.
    pub data: Vec<u8>,
    /// What it had a cgroup's call return (`bpf_set_retval`).
    pub set_retval: i32,
}

/// A program of a kernel, made ready to run on events. It keeps the kernel.
pub struct EventHook {
    vm: Arc<Vm>,
    program: Arc<Program>,
    call: Call,
}

impl EventHook {
    /// Hooks the program behind `fd` of this kernel to events.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` for an fd that is no program; a function that it calls and that is not
    /// here.
    pub fn new(vm: &Arc<Vm>, fd: RawFd) -> Result<EventHook, EventError> {
        let program = vm.program(fd).map_err(EventError::Program)?;
        if let Some(missing) = kfuncs::missing(&program) {
            return Err(missing.into());
        }
        let call = event::call_of(&program, vm.kernel_types().as_deref());
        Ok(EventHook { vm: vm.clone(), program, call })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Bytes of the context, from its start, that the program reaches.
    pub fn reaches(&self) -> u32 {
        event::reaches(&self.program)
    }

    /// Runs the program on one event.
    ///
    /// # Errors
    /// Why there is no outcome.
    pub fn run(&self, of: &Event) -> Result<EventOutcome, EventError> {
        if let Some(cpu) = of.cpu.filter(|&cpu| cpu >= self.vm.machine.env.cpus()) {
            return Err(EventError::Cpu(cpu));
        }
        let given = event::Event {
            context: &of.context,
            data: &of.data,
            socket: of.socket.as_deref(),
            time: of.time,
            cpu: of.cpu,
            world: of.world.clone().map(Arc::new),
            call: Call { function: of.function, cookie: of.cookie, ..self.call },
            times: 1,
        };
        let after = event::run(&self.vm.machine, &self.program, &given);
        let after = after.map_err(|why| match why {
            Refused::Context(errno) => EventError::Context(errno),
            Refused::Vcpu(why) => EventError::Vcpu(why),
        })?;
        match after.outcome {
            Outcome::Returned(bits) => Ok(EventOutcome {
                retval: bits as u32,
                context: after.context,
                data: after.data,
                set_retval: after.retval,
            }),
            Outcome::Trapped(trap) => Err(EventError::Trapped(trap)),
            Outcome::OutOfBudget => Err(EventError::OutOfBudget),
        }
    }
}
