//! Loads from and stores to contexts and sockets: what may be read or written, and what a
//! load yields. Most is rows of [`skep_abi::context`]; what has no fields is here.
//! Counterpart: the `is_valid_access` functions of `net/core/filter.c` and others.

use skep_abi::context::memory::{
    MOST_ARGUMENTS, MOST_RECORD, MOST_SYSCALL, PERF_EVENT_DATA, REGISTERS, WORD,
};
use skep_abi::context::{Field, Loads, When};
use skep_abi::{AttachType, Context, ProgType};

use crate::checker::Checker;
use crate::error::{Check, fail};
use crate::mem::Access;
use crate::reg::{Flags, KERNEL_BTF, Kind, Reg};

/// What a valid load yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Yield {
    pub kind: Kind,
    pub flags: Flags,
    pub ref_id: u32,
}

const SCALAR: Yield = Yield { kind: Kind::Scalar, flags: Flags::empty(), ref_id: 0 };

fn pointer(kind: Kind, flags: Flags) -> Option<Yield> {
    Some(Yield { kind, flags, ref_id: 0 })
}

fn scalar(valid: bool) -> Option<Yield> {
    valid.then_some(SCALAR)
}

/// One access to a context.
#[derive(Clone, Copy)]
struct Touch {
    off: i32,
    size: i32,
    write: bool,
    signed: bool,
}

/// Bytes of a tracepoint's record that programs do not see (`struct trace_entry`'s).
const TRACE_ENTRY: i32 = 8;
impl Checker<'_> {
    /// A load from or store to the context.
    pub(crate) fn access_context(&mut self, access: Access, off: i32, size: i32) -> Check {
        let touch = Touch { off, size, write: access.write, signed: access.signed };
        let Some(what) = self.context_field(touch) else {
            self.print_line(self.pc, "; ");
            fail!(EACCES, CtxAccess { off, size });
        };
        if what.ref_id != 0 && !self.cur.holds(what.ref_id) {
            fail!(EACCES, CtxReleased { off });
        }
        let (false, Some(dst)) = (access.write, access.value) else { return Ok(()) };
        let new = if what.kind == Kind::Scalar {
            self.unknown()
        } else {
            let mut reg = Reg::pointer(what.kind, what.flags);
            reg.ref_id = what.ref_id;
            if reg.maybe_null() {
                reg.id = self.new_id();
            }
            reg
        };
        *self.cur.reg_mut(dst.number().into()) = new;
        Ok(())
    }

    fn context_field(&mut self, touch: Touch) -> Option<Yield> {
        let Touch { off, size, write, signed } = touch;
        if let Some(context) = self.context_row() {
            let at = u32::try_from(off).ok()?;
            let field = context.field(at).filter(|field| field.admits(write, at, size as u32))?;
            return self.field(field, write, signed);
        }
        let aligned = off >= 0 && off % size == 0;
        let within = |len: i32| aligned && off < len;
        match self.program.kind {
            ProgType::Kprobe => {
                scalar(!write && within(REGISTERS as i32) && off + size <= REGISTERS as i32)
            }
            ProgType::Tracepoint => {
                scalar(!write && aligned && (TRACE_ENTRY..MOST_RECORD as i32).contains(&off))
            }
            ProgType::PerfEvent if write || !within(PERF_EVENT_DATA as i32) => None,
            ProgType::PerfEvent => scalar(off >= REGISTERS as i32 || size == 8),
            ProgType::RawTracepointWritable if off == 0 => {
                pointer(Kind::TpBuffer, Flags::empty()).filter(|_| size == 8 && !write)
            }
            ProgType::RawTracepoint | ProgType::RawTracepointWritable => {
                scalar(!write && within((MOST_ARGUMENTS * WORD) as i32))
            }
            ProgType::Tracing | ProgType::Lsm | ProgType::StructOps => {
                self.typed_argument(off, size, write)
            }
            ProgType::Syscall => scalar(within(MOST_SYSCALL as i32)),
            ProgType::LircMode2 => scalar(!write && size == 4 && aligned),
            _ => None,
        }
    }

    /// What a load of the field yields, if this program may touch it.
    fn field(&self, field: &Field, write: bool, signed: bool) -> Option<Yield> {
        let allowed = match if write { field.write.when } else { field.read.when } {
            When::Always => true,
            When::Bpf => self.rights.bpf,
            When::Attached(types) => AttachType::from_number(self.program.attach_type)
                .is_some_and(|attach| types.contains(&attach)),
        };
        if !allowed || signed && field.loads != Loads::Number {
            return None;
        }
        match field.loads {
            Loads::Number => Some(SCALAR),
            Loads::Packet => pointer(Kind::Packet { range: 0 }, Flags::empty()),
            Loads::PacketEnd => pointer(Kind::PacketEnd, Flags::empty()),
            Loads::PacketMeta => pointer(Kind::PacketMeta { range: 0 }, Flags::empty()),
            Loads::FlowKeys => pointer(Kind::FlowKeys, Flags::empty()),
            Loads::Socket => pointer(Kind::Socket, Flags::empty()),
            Loads::SocketOrNull => pointer(Kind::Socket, Flags::MAYBE_NULL),
            Loads::SockCommonOrNull => pointer(Kind::SockCommon, Flags::MAYBE_NULL),
            Loads::Kernel(name) => {
                let id = self.btf(KERNEL_BTF)?.find(name, skep_btf::Kind::Struct)?;
                pointer(Kind::Btf { btf: KERNEL_BTF, id }, Flags::TRUSTED)
            }
        }
    }

    /// Whether a socket's field may be read like this.
    pub(crate) fn is_socket_field(&self, kind: Kind, off: i32, size: i32) -> bool {
        let context = match kind {
            Kind::Socket => Context::socket(),
            Kind::SockCommon => Context::sock_common(),
            Kind::TcpSock => Context::tcp_sock(),
            Kind::XdpSock => Context::xdp_sock(),
            _ => return false,
        };
        let Ok(at) = u32::try_from(off) else { return false };
        context.field(at).is_some_and(|field| field.admits(false, at, size as u32))
    }
}
