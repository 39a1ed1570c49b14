//! Fields of contexts and sockets: what may be read or written, and what a load
//! yields. Offsets are those of `include/uapi/linux/bpf.h`. Counterpart: the
//! `is_valid_access` functions of `net/core/filter.c` and others.

use std::ops::Range;

use skep_abi::{AttachType, ProgType};

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
const PACKET: Kind = Kind::Packet { range: 0 };

fn pointer(kind: Kind) -> Option<Yield> {
    Some(Yield { kind, flags: Flags::empty(), ref_id: 0 })
}

fn nullable(kind: Kind) -> Option<Yield> {
    Some(Yield { kind, flags: Flags::MAYBE_NULL, ref_id: 0 })
}

fn scalar(valid: bool) -> Option<Yield> {
    valid.then_some(SCALAR)
}

/// A load of a part of a field.
fn narrow(size: i32, whole: i32) -> Option<Yield> {
    scalar(size <= whole)
}

fn any_of(ranges: &[Range<i32>], off: i32) -> bool {
    ranges.iter().any(|range| range.contains(&off))
}

/// One access to a context.
#[derive(Clone, Copy)]
struct Field {
    off: i32,
    size: i32,
    write: bool,
    signed: bool,
}

/// `struct __sk_buff`, by the fields that rules name.
mod skb {
    use std::ops::Range;
    pub(super) const MARK: Range<i32> = 8..12;
    pub(super) const QUEUE_MAPPING: Range<i32> = 12..16;
    pub(super) const PRIORITY: Range<i32> = 32..36;
    pub(super) const TC_INDEX: Range<i32> = 44..48;
    pub(super) const CB: Range<i32> = 48..68;
    pub(super) const TC_CLASSID: Range<i32> = 72..76;
    pub(super) const DATA: Range<i32> = 76..80;
    pub(super) const DATA_END: Range<i32> = 80..84;
    pub(super) const SOCKET: Range<i32> = 88..140;
    pub(super) const ADDRESSES: Range<i32> = 92..132;
    pub(super) const DATA_META: Range<i32> = 140..144;
    pub(super) const FLOW_KEYS: Range<i32> = 144..152;
    pub(super) const TSTAMP: Range<i32> = 152..160;
    pub(super) const WIRE_LEN: Range<i32> = 160..164;
    pub(super) const SK: Range<i32> = 168..176;
    pub(super) const TSTAMP_TYPE: i32 = 180;
    pub(super) const HWTSTAMP: Range<i32> = 184..192;
    pub(super) const SIZE: i32 = 192;
}

impl Checker<'_> {
    /// A load from or store to the context.
    pub(crate) fn access_context(&mut self, access: Access, off: i32, size: i32) -> Check {
        let field = Field { off, size, write: access.write, signed: access.signed };
        let Some(what) = self.context_field(field) else {
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

    fn context_field(&mut self, field: Field) -> Option<Yield> {
        let Field { off, size, write, .. } = field;
        let aligned = off >= 0 && off % size == 0;
        let within = |len: i32| aligned && off < len;
        match self.program.kind {
            ProgType::SocketFilter
            | ProgType::CgroupSkb
            | ProgType::SchedCls
            | ProgType::SchedAct
            | ProgType::LwtIn
            | ProgType::LwtOut
            | ProgType::LwtXmit
            | ProgType::LwtSeg6local
            | ProgType::SkSkb => self.skb_field(field),
            ProgType::FlowDissector => flow_dissector_field(field),
            ProgType::Xdp => self.xdp_field(field),
            ProgType::CgroupSock => self.cgroup_sock_field(field),
            ProgType::CgroupSockAddr => self.sock_addr_field(field),
            ProgType::SockOps => sock_ops_field(field),
            ProgType::SkMsg => sk_msg_field(field),
            ProgType::SkReuseport => sk_reuseport_field(field),
            ProgType::SkLookup => sk_lookup_field(field),
            ProgType::CgroupSockopt => self.sockopt_field(field),
            ProgType::CgroupDevice if write || !aligned || off + size > 12 => None,
            ProgType::CgroupDevice if off < 4 => narrow(size, 4),
            ProgType::CgroupDevice => scalar(size == 4),
            ProgType::CgroupSysctl if !aligned || off + size > 8 => None,
            ProgType::CgroupSysctl if off < 4 => narrow(size, 4).filter(|_| !write),
            ProgType::CgroupSysctl => scalar(size == 4 || (!write && size < 4)),
            ProgType::Kprobe => scalar(!write && within(168) && off + size <= 168),
            ProgType::Tracepoint => scalar(!write && aligned && (8..8192).contains(&off)),
            ProgType::PerfEvent if write || !within(184) => None,
            ProgType::PerfEvent => scalar(off >= 168 || size == 8),
            ProgType::RawTracepointWritable if off == 0 => {
                pointer(Kind::TpBuffer).filter(|_| size == 8 && !write)
            }
            ProgType::RawTracepoint | ProgType::RawTracepointWritable => {
                scalar(!write && within(96))
            }
            ProgType::Tracing | ProgType::Lsm | ProgType::StructOps => {
                self.typed_argument(off, size, write)
            }
            ProgType::Syscall => scalar(aligned && off < 0xffff),
            ProgType::LircMode2 => scalar(!write && size == 4 && aligned),
            ProgType::Netfilter if write || size != 8 => None,
            ProgType::Netfilter => {
                let name = match off {
                    0 => "nf_hook_state",
                    8 => "sk_buff",
                    _ => return None,
                };
                let id = self.btf(KERNEL_BTF)?.find(name, skep_btf::Kind::Struct)?;
                let kind = Kind::Btf { btf: KERNEL_BTF, id };
                Some(Yield { kind, flags: Flags::TRUSTED, ref_id: 0 })
            }
            ProgType::Unspec | ProgType::Ext => None,
        }
    }

    fn skb_field(&self, field: Field) -> Option<Yield> {
        let Field { off, size, write, .. } = field;
        let kind = self.program.kind;
        let socket_filter = kind == ProgType::SocketFilter;
        let lwt = matches!(
            kind,
            ProgType::LwtIn | ProgType::LwtOut | ProgType::LwtXmit | ProgType::LwtSeg6local
        );
        use skb::*;
        let hidden: &[Range<i32>] = match kind {
            ProgType::SocketFilter => {
                &[TC_CLASSID, DATA, DATA_META, DATA_END, SOCKET, TSTAMP, WIRE_LEN, HWTSTAMP]
            }
            ProgType::CgroupSkb => &[TC_CLASSID, DATA_META, WIRE_LEN],
            ProgType::SkSkb => &[TC_CLASSID, DATA_META, TSTAMP, WIRE_LEN, HWTSTAMP, MARK],
            _ if lwt => &[TC_CLASSID, SOCKET, DATA_META, TSTAMP, WIRE_LEN, HWTSTAMP],
            _ => &[SOCKET],
        };
        let writable: &[Range<i32>] = match kind {
            ProgType::SocketFilter => &[CB],
            ProgType::CgroupSkb => &[MARK, PRIORITY, CB, TSTAMP],
            ProgType::SkSkb => &[TC_INDEX, PRIORITY],
            _ if lwt => &[MARK, PRIORITY, CB],
            _ => &[MARK, TC_INDEX, PRIORITY, TC_CLASSID, CB, TSTAMP, QUEUE_MAPPING],
        };
        if any_of(hidden, off) || (write && !any_of(writable, off)) {
            return None;
        }
        let tc = !socket_filter && !lwt && !matches!(kind, ProgType::CgroupSkb | ProgType::SkSkb);
        if tc && off == TSTAMP_TYPE {
            return scalar(size == 1 && !write);
        }
        if kind == ProgType::CgroupSkb
            && !self.rights.bpf
            && (any_of(&[DATA, DATA_END], off) || (write && TSTAMP.contains(&off)))
        {
            return None;
        }
        if !(0..SIZE).contains(&off) || off % size != 0 {
            return None;
        }
        if CB.contains(&off) {
            return scalar(off + size <= CB.end);
        }
        if any_of(&[DATA, DATA_END, DATA_META], off) {
            if field.signed || size != 4 {
                return None;
            }
            return pointer(if DATA.contains(&off) {
                PACKET
            } else if DATA_END.contains(&off) {
                Kind::PacketEnd
            } else {
                Kind::PacketMeta { range: 0 }
            });
        }
        if ADDRESSES.contains(&off) {
            return scalar(size == 4);
        }
        if FLOW_KEYS.contains(&off) || (TSTAMP_TYPE..HWTSTAMP.start).contains(&off) {
            return None;
        }
        if HWTSTAMP.contains(&off) {
            return scalar(!write && size == 8);
        }
        if TSTAMP.contains(&off) {
            return scalar(size == 8);
        }
        if SK.contains(&off) {
            return nullable(Kind::SockCommon).filter(|_| !write && size == 8);
        }
        scalar(if write { size == 4 } else { size <= 4 })
    }

    fn xdp_field(&self, field: Field) -> Option<Yield> {
        let Field { off, size, write, signed } = field;
        let devmap = self.program.attach_type == AttachType::XdpDevmap as u32;
        if write || (off == 20 && !devmap) || !(0..24).contains(&off) || size != 4 || off % 4 != 0 {
            return None;
        }
        match off {
            0 | 4 | 8 if signed => None,
            0 => pointer(PACKET),
            4 => pointer(Kind::PacketEnd),
            8 => pointer(Kind::PacketMeta { range: 0 }),
            _ => Some(SCALAR),
        }
    }

    fn cgroup_sock_field(&self, field: Field) -> Option<Yield> {
        sock_field(field.off, field.size)?;
        let attach = AttachType::from_number(self.program.attach_type);
        use AttachType as A;
        let read = !field.write;
        scalar(match field.off {
            0 | 16 | 20 => {
                matches!(attach, Some(A::CgroupInetSockCreate | A::CgroupInetSockRelease))
            }
            24..28 => attach == Some(A::CgroupInet4PostBind) && read,
            28..44 => attach == Some(A::CgroupInet6PostBind) && read,
            44 => matches!(attach, Some(A::CgroupInet4PostBind | A::CgroupInet6PostBind)) && read,
            _ => read,
        })
    }

    fn sock_addr_field(&self, field: Field) -> Option<Yield> {
        let Field { off, size, write, .. } = field;
        if !(0..72).contains(&off) || off % size != 0 {
            return None;
        }
        let attach = AttachType::from_number(self.program.attach_type)?;
        use AttachType as A;
        let v4 = matches!(
            attach,
            A::CgroupInet4Bind
                | A::CgroupInet4Connect
                | A::CgroupInet4Getpeername
                | A::CgroupInet4Getsockname
                | A::CgroupUdp4Sendmsg
                | A::CgroupUdp4Recvmsg
        );
        let v6 = matches!(
            attach,
            A::CgroupInet6Bind
                | A::CgroupInet6Connect
                | A::CgroupInet6Getpeername
                | A::CgroupInet6Getsockname
                | A::CgroupUdp6Sendmsg
                | A::CgroupUdp6Recvmsg
        );
        let fits = match off {
            4..8 => v4,
            8..24 => v6,
            40..44 => attach == A::CgroupUdp4Sendmsg,
            44..60 => attach == A::CgroupUdp6Sendmsg,
            _ => true,
        };
        if !fits {
            return None;
        }
        let wide = |range: Range<i32>| {
            size == 8 && range.contains(&off) && off + 8 <= range.end && off % 8 == 0
        };
        match off {
            4..28 | 40..60 => {
                scalar(wide(8..24) || wide(44..60) || if write { size == 4 } else { size <= 4 })
            }
            64..72 => pointer(Kind::Socket).filter(|_| !write && size == 8),
            0..4 | 28..40 => scalar(!write && size == 4),
            _ => None,
        }
    }

    fn sockopt_field(&self, field: Field) -> Option<Yield> {
        let Field { off, size, write, .. } = field;
        if !(0..40).contains(&off) || off % size != 0 {
            return None;
        }
        let getsockopt = self.program.attach_type == AttachType::CgroupGetsockopt as u32;
        let setsockopt = self.program.attach_type == AttachType::CgroupSetsockopt as u32;
        if write {
            return scalar(
                size == 4
                    && match off {
                        36 => getsockopt,
                        24 | 28 => setsockopt,
                        32 => true,
                        _ => false,
                    },
            );
        }
        match off {
            0..8 => pointer(Kind::Socket).filter(|_| size == 8),
            8..16 => pointer(PACKET).filter(|_| size == 8),
            16..24 => pointer(Kind::PacketEnd).filter(|_| size == 8),
            36..40 => scalar(size == 4 && getsockopt),
            _ => scalar(size == 4),
        }
    }

    /// Whether a socket's field may be read like this.
    pub(crate) fn is_socket_field(&self, kind: Kind, off: i32, size: i32) -> bool {
        let aligned = off >= 0 && off % size == 0;
        match kind {
            Kind::SockCommon if (8..24).contains(&off) => false,
            Kind::Socket | Kind::SockCommon => sock_field(off, size).is_some(),
            Kind::TcpSock => {
                aligned && off < 112 && size == if matches!(off, 80 | 88) { 8 } else { 4 }
            }
            Kind::XdpSock => aligned && off < 4 && size == 4,
            _ => false,
        }
    }
}

/// `struct bpf_sock`
fn sock_field(off: i32, size: i32) -> Option<Yield> {
    if !(0..80).contains(&off) || off % size != 0 {
        return None;
    }
    match off {
        4 | 8 | 12 | 44 | 72 | 76 | 24..44 | 52..72 => narrow(size, 4),
        48..50 => narrow(size, if size == 4 { 4 } else { 2 }),
        50..52 => None,
        _ => scalar(size == 4),
    }
}

fn flow_dissector_field(field: Field) -> Option<Yield> {
    let Field { off, size, write, signed } = field;
    if !(0..skb::SIZE).contains(&off) || off % size != 0 || write {
        return None;
    }
    if skb::DATA.contains(&off) {
        pointer(PACKET).filter(|_| !signed && size == 4)
    } else if skb::DATA_END.contains(&off) {
        pointer(Kind::PacketEnd).filter(|_| !signed && size == 4)
    } else if skb::FLOW_KEYS.contains(&off) {
        pointer(Kind::FlowKeys).filter(|_| size == 8)
    } else {
        None
    }
}

fn sock_ops_field(field: Field) -> Option<Yield> {
    let Field { off, size, write, .. } = field;
    if !(0..224).contains(&off) || off % size != 0 {
        return None;
    }
    if write {
        return scalar(size == 4 && matches!(off, 4 | 164));
    }
    match off {
        168..184 | 216..224 => scalar(size == 8),
        184..192 => nullable(Kind::Socket).filter(|_| size == 8),
        192..200 => pointer(PACKET).filter(|_| size == 8),
        200..208 => pointer(Kind::PacketEnd).filter(|_| size == 8),
        212 => narrow(size, 4),
        _ => scalar(size == 4),
    }
}

fn sk_msg_field(field: Field) -> Option<Yield> {
    let Field { off, size, write, .. } = field;
    if write || off < 0 || off % size != 0 {
        return None;
    }
    match off {
        0..8 => pointer(PACKET).filter(|_| size == 8),
        8..16 => pointer(Kind::PacketEnd).filter(|_| size == 8),
        72..80 => pointer(Kind::Socket).filter(|_| size == 8),
        16..72 => scalar(size == 4),
        _ => None,
    }
}

fn sk_reuseport_field(field: Field) -> Option<Yield> {
    let Field { off, size, write, .. } = field;
    if !(0..56).contains(&off) || off % size != 0 || write {
        return None;
    }
    match off {
        0 => pointer(PACKET).filter(|_| size == 8),
        8 => pointer(Kind::PacketEnd).filter(|_| size == 8),
        32 => scalar(size == 4),
        40 => pointer(Kind::Socket).filter(|_| size == 8),
        48 => nullable(Kind::SockCommon).filter(|_| size == 8),
        20..24 if size < 2 => None,
        16..32 => narrow(size, 4),
        _ => None,
    }
}

fn sk_lookup_field(field: Field) -> Option<Yield> {
    let Field { off, size, write, .. } = field;
    if !(0..72).contains(&off) || off % size != 0 || write {
        return None;
    }
    match off {
        0..8 => nullable(Kind::Socket).filter(|_| size == 8),
        36..38 => scalar(size == 4 || size <= 2),
        38..40 => narrow(size, 2),
        8..68 => narrow(size, 4),
        _ => None,
    }
}
