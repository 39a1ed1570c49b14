//! What the kernel or the context gives without being asked for by arguments.

use skep_abi::helper::id;
use skep_isa::{AluOp, Cond, Operand, Reg, Size};

use super::super::checked::{Builtin, Expr, Namespace, Point};
use super::super::kind::{Clock, Stack, StackMode};
use super::code::{Code, Lowered};

/// `BPF_F_USER_STACK`, `BPF_F_USER_BUILD_ID` of `bpf_get_stack`.
const USER_STACK: i32 = 1 << 8;
const USER_BUILD_ID: i32 = 1 << 11;

/// Offsets in x86-64's `struct pt_regs`.
mod x86 {
    pub const ARGUMENTS: [u16; 6] = [112, 104, 96, 88, 72, 64];
    pub const RESULT: u16 = 80;
    pub const INSTRUCTION: u16 = 128;
    pub const CODE_SEGMENT: u16 = 136;
}

/// Where a function's argument of this number lies in the registers.
pub(super) fn register_of_argument(number: u32) -> Option<u16> {
    x86::ARGUMENTS.get(number as usize).copied()
}

impl<'a> Code<'_, 'a> {
    fn context(&mut self, at: u16) {
        self.b.load(Size::DW, Reg::R0, Reg::R6, at as i16);
    }

    fn point(&self) -> Option<&'a Point> {
        self.program.points.first()
    }

    /// Whether the context is an array of words.
    fn has_words(&self) -> bool {
        matches!(self.point(), Some(Point::RawTracepoint { .. } | Point::Fentry { .. }))
    }

    /// A builtin that is a number, in r0.
    pub fn builtin(&mut self, builtin: Builtin, e: &'a Expr) -> Lowered {
        match builtin {
            Builtin::Pid(of) => self.process(of, true),
            Builtin::Tid(of) => self.process(of, false),
            Builtin::Nsecs(clock) => self.clock(clock),
            Builtin::Elapsed => {
                self.b.helper(id::KTIME_GET_BOOT_NS);
                let start = self.shared.machine.start;
                self.constant(Reg::R1, start);
                self.b.alu(AluOp::Sub, Reg::R0, Operand::Reg(Reg::R1));
            }
            Builtin::Cpu => self.b.helper(id::GET_SMP_PROCESSOR_ID),
            Builtin::Ncpus => {
                let cpus = self.shared.machine.cpus;
                self.constant(Reg::R0, u64::from(cpus));
            }
            Builtin::Cpid => {
                let child = self.shared.machine.child;
                self.constant(Reg::R0, u64::from(child));
            }
            Builtin::UidGid => self.b.helper(id::GET_CURRENT_UID_GID),
            Builtin::Cgroup => self.b.helper(id::GET_CURRENT_CGROUP_ID),
            Builtin::Random => self.b.helper(id::GET_PRANDOM_U32),
            Builtin::Jiffies => self.b.helper(id::JIFFIES64),
            Builtin::Numa => self.b.helper(id::GET_NUMA_NODE_ID),
            Builtin::CurrentTask => self.b.helper(id::GET_CURRENT_TASK),
            Builtin::FunctionAddress => match self.point() {
                // Where it returns, only the helper knows the function.
                Some(Point::Uprobe { ret: false, .. } | Point::Usdt { .. }) => {
                    self.context(x86::INSTRUCTION);
                }
                _ => {
                    self.b.copy(Reg::R1, Reg::R6);
                    self.b.helper(id::GET_FUNC_IP);
                }
            },
            Builtin::Retval => match self.point() {
                Some(Point::Fentry { .. }) => {
                    let level = self.top;
                    let at = self.room(8);
                    self.b.copy(Reg::R1, Reg::R6);
                    self.address(Reg::R2, at);
                    self.b.helper(id::GET_FUNC_RET);
                    self.load(Reg::R0, Size::DW, false, at);
                    self.top = level;
                }
                _ => self.context(x86::RESULT),
            },
            Builtin::Argument(number) if self.has_words() => self.context(8 * u16::from(number)),
            Builtin::Argument(number) => match register_of_argument(u32::from(number)) {
                Some(at) => self.context(at),
                None => return self.error("the argument is in no register"),
            },
            Builtin::Register(at) => self.context(at),
            Builtin::Context => {
                self.b.copy(Reg::R0, Reg::R6);
                self.launder();
            }
            Builtin::Usermode => self.usermode(),
            Builtin::Comm | Builtin::Stack(_) | Builtin::DwarfStack(_) | Builtin::Arguments => {
                return self.error("it is no number");
            }
        }
        self.normalize(&e.of);
        Ok(())
    }

    fn usermode(&mut self) {
        match self.point() {
            Some(
                Point::Interval(_)
                | Point::Profile(_)
                | Point::Software { .. }
                | Point::Hardware { .. }
                | Point::Kprobe { .. }
                | Point::Uprobe { .. }
                | Point::Usdt { .. }
                | Point::Watchpoint { .. },
            ) => {
                self.context(x86::CODE_SEGMENT);
                self.b.alu(AluOp::And, Reg::R0, Operand::Imm(3));
                self.truth(Cond::Eq, Reg::R0, Operand::Imm(3));
            }
            // What skep runs itself was asked for by a process.
            Some(Point::Begin | Point::End | Point::SelfSignal(_) | Point::Test(_)) => {
                self.b.set(Reg::R0, 1);
            }
            _ => self.b.set(Reg::R0, 0),
        }
    }

    /// `r0`: the process's or the thread's number.
    pub fn process(&mut self, of: Namespace, group: bool) {
        match (of, self.shared.machine.namespace) {
            (Namespace::Current, Some((device, inode))) => {
                let level = self.top;
                let at = self.room(8);
                self.constant(Reg::R1, device);
                self.constant(Reg::R2, inode);
                self.address(Reg::R3, at);
                self.b.set(Reg::R4, 8);
                self.b.helper(id::GET_NS_CURRENT_PID_TGID);
                // `struct bpf_pidns_info`: the thread, then the process.
                self.load(Reg::R0, Size::W, false, at + if group { 4 } else { 0 });
                self.top = level;
            }
            _ => {
                self.b.helper(id::GET_CURRENT_PID_TGID);
                if group {
                    self.b.alu(AluOp::Rsh, Reg::R0, Operand::Imm(32));
                } else {
                    self.b.alu(AluOp::Lsh, Reg::R0, Operand::Imm(32));
                    self.b.alu(AluOp::Rsh, Reg::R0, Operand::Imm(32));
                }
            }
        }
    }

    fn clock(&mut self, clock: Clock) {
        match clock {
            Clock::Monotonic => self.b.helper(id::KTIME_GET_NS),
            Clock::Boot => self.b.helper(id::KTIME_GET_BOOT_NS),
            Clock::Tai => self.b.helper(id::KTIME_GET_TAI_NS),
            Clock::SoftwareTai => {
                self.b.helper(id::KTIME_GET_BOOT_NS);
                let offset = self.shared.machine.tai;
                self.constant(Reg::R1, offset.cast_unsigned());
                self.b.alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R1));
            }
        }
    }

    /// A builtin of more bytes, into the region.
    pub fn builtin_bytes(&mut self, builtin: Builtin, e: &'a Expr, at: u32) -> Lowered {
        match builtin {
            Builtin::Comm => {
                let size = e.of.size();
                self.clear(at, size);
                self.address(Reg::R1, at);
                self.b.set(Reg::R2, size as i32);
                self.b.helper(id::GET_CURRENT_COMM);
                Ok(())
            }
            Builtin::Stack(stack) => {
                self.stack(stack, at);
                Ok(())
            }
            Builtin::DwarfStack(_) => self.error("dw_ustack is not there yet"),
            // Of a process, a symbol comes with its number.
            Builtin::FunctionAddress => {
                self.builtin(builtin, e)?;
                self.user_symbol(at);
                Ok(())
            }
            Builtin::Arguments => {
                let place = super::place::Where::Context(0);
                self.read_bytes(place, &e.of, at)
            }
            _ => self.error("it is a number"),
        }
    }

    /// A stack: of a process its number, how many frames there are, and the frames.
    fn stack(&mut self, stack: Stack, at: u32) {
        let mut at = at;
        let mut flags = 0;
        if !stack.kernel {
            self.process(Namespace::Init, true);
            self.store(Size::W, at, Reg::R0);
            self.store_imm(Size::W, at + 4, self.index as i32);
            at += 8;
            flags = USER_STACK;
        }
        let frame = match stack.mode {
            StackMode::BuildId => {
                flags |= USER_BUILD_ID;
                32
            }
            _ => 8,
        };
        let size = u32::from(stack.limit) * frame;
        self.store_imm(Size::DW, at, 0);
        self.b.copy(Reg::R1, Reg::R6);
        self.address(Reg::R2, at + 8);
        self.b.set(Reg::R3, size as i32);
        self.b.set(Reg::R4, flags);
        self.b.helper(id::GET_STACK);
        let none = self.b.label();
        self.b.branch(Cond::Sle, Reg::R0, Operand::Imm(0), none);
        self.b.alu(AluOp::Rsh, Reg::R0, Operand::Imm(if frame == 8 { 3 } else { 5 }));
        self.store(Size::DW, at, Reg::R0);
        self.b.place(none);
    }
}
