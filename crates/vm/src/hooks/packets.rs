//! The packet hook: programs on the frames of a capture, without the limits of
//! TEST_RUN. A socket filter sees the Ethernet header here, as one attached to a
//! packet socket does.

use std::sync::Arc;

use skep_abi::{ProgType, Trap};
use skep_sys::{Errno, RawFd};

use super::{Context, Skb, SkbAccess, Xdp};
use crate::Vm;
use crate::engine::{Engine, How, Runner};
use crate::interp::Outcome;
use crate::jit::Passes;
use crate::mem::value::Value;
use crate::program::Program;

/// Why a packet has no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The fd is no program, or one that does not take packets.
    #[error("program cannot run on packets: {0}")]
    Program(Errno),
    /// The program did something that it may not.
    #[error("{0}")]
    Trapped(Trap),
    /// The program used up its budget of instructions.
    #[error("the budget of instructions is used up")]
    OutOfBudget,
    /// The frame is shorter than an Ethernet header.
    #[error("frame of {0} bytes is shorter than an Ethernet header")]
    TooShort(usize),
}

/// What a program said of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it returned.
    pub retval: u32,
}

/// A program and the buffers that it runs on.
pub struct PacketHook {
    program: Arc<Program>,
    how: Option<How>,
    buffer: Buffer,
}

enum Buffer {
    Xdp(Box<Xdp>),
    Skb(Box<Skb>),
}

/// Bytes in the contexts that programs see.
const XDP_MD_SIZE: u32 = 24;
const SK_BUFF_SIZE: u32 = 192;

impl PacketHook {
    /// Hooks the program behind `fd` to packets.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` for an fd that is no program; `EOPNOTSUPP` for a program type
    /// that takes no packets.
    pub fn new(vm: &Vm, fd: RawFd) -> Result<PacketHook, PacketError> {
        let program = vm.program(fd).map_err(PacketError::Program)?;
        let buffer = match program.prog_type {
            ProgType::Xdp => Buffer::Xdp(Box::default()),
            ProgType::SocketFilter => Buffer::Skb(Box::new(Skb::new(SkbAccess::SocketFilter))),
            ProgType::SchedCls | ProgType::SchedAct => {
                Buffer::Skb(Box::new(Skb::new(SkbAccess::Tc)))
            }
            ProgType::CgroupSkb => Buffer::Skb(Box::new(Skb::new(SkbAccess::Cgroup))),
            _ => return Err(PacketError::Program(Errno::EOPNOTSUPP)),
        };
        Ok(PacketHook { program, how: vm.how(), buffer })
    }

    /// Runs the program with this engine, compiled by these passes, whatever others run it
    /// with. Programs that it goes on to by tail calls keep the code that they have.
    pub fn with_engine(mut self, engine: Engine, passes: Passes) -> PacketHook {
        self.program = Arc::new(self.program.uncompiled());
        self.how = engine.how(passes);
        self
    }

    /// Compiles the program, if that is how it runs; else its first run does. (Programs
    /// that it goes on to by tail calls are compiled when they are first reached.)
    pub fn compile(&self) {
        if let Some(how) = self.how {
            let _ = self.program.code(how);
        }
    }

    /// Runs the program on one frame.
    ///
    /// # Errors
    /// Why there is no verdict.
    pub fn run(&mut self, vm: &Vm, frame: &[u8]) -> Result<Verdict, PacketError> {
        if frame.len() < super::skb::ETH_HLEN {
            return Err(PacketError::TooShort(frame.len()));
        }
        let outcome = match &mut self.buffer {
            Buffer::Xdp(xdp) => {
                xdp.fill(frame, 0);
                run(vm, self.how, &self.program, &mut **xdp, XDP_MD_SIZE)
            }
            Buffer::Skb(skb) => {
                let link = self.program.prog_type != ProgType::CgroupSkb;
                skb.fill(frame, link);
                skb.wire_len = frame.len() as u32;
                run(vm, self.how, &self.program, &mut **skb, SK_BUFF_SIZE)
            }
        };
        match outcome {
            Outcome::Returned(bits) => Ok(Verdict { retval: bits as u32 }),
            Outcome::Trapped(trap) => Err(PacketError::Trapped(trap)),
            Outcome::OutOfBudget => Err(PacketError::OutOfBudget),
        }
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The last packet as the program left it.
    pub fn packet(&self) -> &[u8] {
        match &self.buffer {
            Buffer::Xdp(xdp) => xdp.frame.bytes(),
            Buffer::Skb(skb) => skb.frame.bytes(),
        }
    }
}

/// Runs a program on a context, as often as `again` says; gives how the last run ended.
pub(crate) fn run_while(
    vm: &Vm,
    how: Option<How>,
    program: &Arc<Program>,
    context: &mut dyn Context,
    context_size: u32,
    mut again: impl FnMut(&Outcome) -> bool,
) -> Outcome {
    let mut vcpu = vm.vcpu();
    let vcpu = &mut *vcpu;
    let arguments = [Value::context(context_size), Value::UNINIT];
    let mut runner = Runner::new(vm, how, program, vcpu, context, arguments);
    loop {
        let outcome = runner.run();
        if !again(&outcome) {
            return outcome;
        }
    }
}

/// Runs a program once on a context.
fn run(
    vm: &Vm,
    how: Option<How>,
    program: &Arc<Program>,
    context: &mut dyn Context,
    context_size: u32,
) -> Outcome {
    run_while(vm, how, program, context, context_size, |_| false)
}
