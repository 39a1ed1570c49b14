//! The packet hook: programs on the frames of a capture, without the limits of
//! TEST_RUN. A socket filter sees the Ethernet header here, as one attached to a
//! packet socket does.

use std::sync::Arc;

use skep_abi::context::at;
use skep_abi::{ProgType, Trap};
use skep_jit::Passes;
use skep_sys::{Errno, RawFd};

use crate::contexts::Context;
use crate::contexts::skb::{self, Skb, SkbAccess};
use crate::contexts::xdp::Xdp;
use crate::engine::Engine;
use crate::engine::runner::Runner;
use crate::kernel::vm::Vm;
use crate::kfuncs::{self, MissingKfunc};
use crate::memory::value::Value;
use crate::objects::program::{How, Program};
use crate::run::Outcome;
use crate::run::vcpus::NoVcpu;

/// Why a packet has no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The fd is no program, or one that does not take packets.
    #[error("program cannot run on packets: {0}")]
    Program(Errno),
    /// The program calls something that is not here.
    #[error(transparent)]
    Missing(#[from] MissingKfunc),
    /// The program did something that it may not.
    #[error("{0}")]
    Trapped(Trap),
    /// The program used up its budget of instructions.
    #[error("the budget of instructions is used up")]
    OutOfBudget,
    /// The frame is shorter than an Ethernet header.
    #[error("frame of {0} bytes is shorter than an Ethernet header")]
    TooShort(usize),
    /// The frame is longer than any that is taken.
    #[error("frame of {0} bytes is too long")]
    TooLong(usize),
    /// The program was not run.
    #[error(transparent)]
    Vcpu(#[from] NoVcpu),
}

/// What a program said of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it returned.
    pub retval: u32,
}

/// A program of a kernel, made ready to run on packets.
///
/// It keeps the kernel. Several may run at the same time, each on a vCPU of its own; inside
/// of a run of the same thread, from a printer say, on that run's vCPU.
pub struct PacketHook {
    vm: Arc<Vm>,
    runner: Box<Runner>,
}

/// The longest frame that is taken: far more than a capture holds.
const MOST_BYTES: usize = 1 << 28;

impl PacketHook {
    /// Hooks the program behind `fd` of this kernel to packets.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` for an fd that is no program; `EOPNOTSUPP` for a program type
    /// that takes no packets; a kernel function that it may call and that is not here.
    pub fn new(vm: &Arc<Vm>, fd: RawFd) -> Result<PacketHook, PacketError> {
        let program = vm.program(fd).map_err(PacketError::Program)?;
        if let Some(missing) = kfuncs::missing(&program) {
            return Err(missing.into());
        }
        let runner = PacketHook::runner(vm, program, vm.machine.how())?;
        Ok(PacketHook { vm: vm.clone(), runner: Box::new(runner) })
    }

    fn runner(vm: &Vm, program: Arc<Program>, how: Option<How>) -> Result<Runner, PacketError> {
        let (context, size): (Box<dyn Context>, u32) = match program.prog_type {
            ProgType::Xdp => (Box::new(Xdp::new()), at::xdp::SIZE_OF),
            kind if SkbAccess::of(kind).is_some() => (Box::new(Skb::new()), at::skb::SIZE_OF),
            _ => return Err(PacketError::Program(Errno::EOPNOTSUPP)),
        };
        let arguments = [Value::context(size), Value::UNINIT];
        Ok(Runner::new(&vm.machine, how, program, Box::default(), context, arguments))
    }

    /// Runs the program with this engine, compiled by these passes, whatever others run it
    /// with. Programs that it goes on to by tail calls keep the code that they have.
    pub fn with_engine(mut self, engine: Engine, passes: Passes) -> PacketHook {
        let program = Arc::new(self.runner.program().uncompiled());
        if let Ok(runner) = PacketHook::runner(&self.vm, program, engine.how(passes)) {
            *self.runner = runner;
        }
        self
    }

    /// Stops the clock of this hook's runs at `ns`, or has them see the kernel's again.
    pub fn set_time(&mut self, ns: Option<u64>) {
        self.runner.set_time(ns);
    }

    /// Compiles the program, if that is how it runs; else its first run does. (Programs
    /// that it goes on to by tail calls are compiled when they are first reached.)
    pub fn compile(&self) {
        self.runner.compile();
    }

    /// Runs the program on one frame.
    ///
    /// # Errors
    /// Why there is no verdict.
    pub fn run(&mut self, frame: &[u8]) -> Result<Verdict, PacketError> {
        match frame.len() {
            skb::ETH_HLEN..=MOST_BYTES => {}
            short if short < skb::ETH_HLEN => return Err(PacketError::TooShort(short)),
            long => return Err(PacketError::TooLong(long)),
        }
        let kind = self.runner.program().prog_type;
        let context = self.runner.context_mut();
        if let Some(skb) = context.skb() {
            let link = kind != ProgType::CgroupSkb;
            skb.fill(frame, SkbAccess::of(kind).unwrap_or(SkbAccess::SocketFilter), link);
            skb.fields.wire_len = frame.len() as u32;
        } else if let Some(xdp) = context.xdp() {
            xdp.fill(frame, 0);
        }
        match self.runner.lease(&self.vm.machine.vcpus)?.run() {
            Outcome::Returned(bits) => Ok(Verdict { retval: bits as u32 }),
            Outcome::Trapped(trap) => Err(PacketError::Trapped(trap)),
            Outcome::OutOfBudget => Err(PacketError::OutOfBudget),
        }
    }

    /// The program.
    pub fn program(&self) -> &Program {
        self.runner.program()
    }

    /// The last packet as the program left it.
    pub fn packet(&self) -> &[u8] {
        self.runner.context().frame().map_or(&[], |frame| frame.bytes())
    }
}
