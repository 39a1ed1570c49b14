//! What programs get in r1: structures of `include/uapi/linux/bpf.h`, a row for each
//! field. `at` has the fields' places by name, `rows` says what loads and stores may do.
//! Counterpart: the `is_valid_access` functions of `net/core/filter.c` and others.
//!
//! Contexts without fields of their own (registers, arguments of tracepoints and of
//! kernel functions, buffers) are no rows but rules of the verifier.

pub mod at;
pub mod memory;
mod rows;

pub use rows::SKB_TAKEN;

use crate::{AttachType, ProgType};

/// Accesses of some sizes: bit `n` is set where `n` bytes are allowed, for `n` of 1, 2,
/// 4, 8.
pub type Sizes = u32;

/// What a load of a field gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loads {
    /// A number.
    Number,
    /// The packet's first byte.
    Packet,
    /// The packet's end.
    PacketEnd,
    /// The packet's metadata.
    PacketMeta,
    /// The keys of a dissected flow.
    FlowKeys,
    /// A full socket.
    Socket,
    /// A full socket, or null.
    SocketOrNull,
    /// A socket of any kind, or null.
    SockCommonOrNull,
    /// A kernel's structure of this name.
    Kernel(&'static str),
}

/// When an access is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Always.
    Always,
    /// To programs loaded with CAP_BPF.
    Bpf,
    /// To programs that are to be attached like this.
    Attached(&'static [AttachType]),
}

/// One direction of access to a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// How many bytes at once, at a place that is a multiple of it.
    pub sizes: Sizes,
    /// Whether only at the field's first byte.
    pub at_start: bool,
    /// To whom.
    pub when: When,
}

/// What is allowed besides a field's own parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wider {
    /// Nothing.
    No,
    /// 8 bytes of an array of words, at a multiple of 8 that both words are in.
    Pairs,
    /// 4 bytes at its start, with the padding behind it.
    Padded,
    /// The upper 4 bytes of its 8.
    Upper,
}

/// A field of a context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Name, as in the header.
    pub name: &'static str,
    /// Its first byte.
    pub at: u32,
    /// Bytes.
    pub size: u32,
    /// What a load gives.
    pub loads: Loads,
    /// Loads.
    pub read: Access,
    /// Stores.
    pub write: Access,
    /// What is allowed besides.
    pub wider: Wider,
}

/// A structure as some program types see it; fields that they may not touch are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// Name of the structure, without `struct`.
    pub name: &'static str,
    /// Bytes.
    pub size: u32,
    /// In order of their places.
    pub fields: &'static [Field],
}

impl Context {
    /// What programs of this type get; `None` where that has no fields.
    pub fn of(kind: ProgType) -> Option<&'static Context> {
        Some(match kind {
            ProgType::SocketFilter => &rows::SOCKET_FILTER,
            ProgType::CgroupSkb => &rows::CGROUP_SKB,
            ProgType::SkSkb => &rows::SK_SKB,
            ProgType::LwtIn | ProgType::LwtOut | ProgType::LwtXmit | ProgType::LwtSeg6local => {
                &rows::LWT
            }
            ProgType::SchedCls | ProgType::SchedAct => &rows::TC,
            ProgType::FlowDissector => &rows::FLOW_DISSECTOR,
            ProgType::Xdp => &rows::XDP,
            ProgType::CgroupSock => &rows::CGROUP_SOCK,
            ProgType::CgroupSockAddr => &rows::SOCK_ADDR,
            ProgType::CgroupSockopt => &rows::SOCKOPT,
            ProgType::CgroupDevice => &rows::DEVICE,
            ProgType::CgroupSysctl => &rows::SYSCTL,
            ProgType::SockOps => &rows::SOCK_OPS,
            ProgType::SkMsg => &rows::SK_MSG,
            ProgType::SkReuseport => &rows::SK_REUSEPORT,
            ProgType::SkLookup => &rows::SK_LOOKUP,
            ProgType::Netfilter => &rows::NETFILTER,
            _ => return None,
        })
    }

    /// `struct bpf_sock`, as a pointer to a full socket leads to it.
    pub fn socket() -> &'static Context {
        &rows::SOCKET
    }

    /// `struct bpf_sock`, as a pointer to a socket of any kind leads to it.
    pub fn sock_common() -> &'static Context {
        &rows::SOCK_COMMON
    }

    /// `struct bpf_tcp_sock`.
    pub fn tcp_sock() -> &'static Context {
        &rows::TCP_SOCK
    }

    /// `struct bpf_xdp_sock`.
    pub fn xdp_sock() -> &'static Context {
        &rows::XDP_SOCK
    }

    /// The field with this byte.
    pub fn field(&self, at: u32) -> Option<&'static Field> {
        let fields: &'static [Field] = self.fields;
        let next = fields.partition_point(|field| field.at <= at);
        let field = &fields[next.checked_sub(1)?];
        (at < field.at + field.size).then_some(field)
    }
}

impl Field {
    /// Whether so many bytes at this offset of the context may be read, or written, as far
    /// as [`Access::when`] does not say otherwise.
    pub fn admits(&self, write: bool, at: u32, size: u32) -> bool {
        let access = if write { self.write } else { self.read };
        if access.sizes == 0 || !at.is_multiple_of(size) {
            return false;
        }
        let within = at >= self.at && at + size <= self.at + self.size;
        match self.wider {
            Wider::Pairs if size == 8 => within,
            Wider::Padded if size == 4 => at == self.at,
            Wider::Upper if size == 4 => at == self.at + 4,
            _ => within && access.sizes & size != 0 && (!access.at_start || at == self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_order_and_within_their_structure() {
        let inner = [Context::socket(), Context::tcp_sock(), Context::xdp_sock()];
        let all = ProgType::ALL.iter().filter_map(|&kind| Context::of(kind)).chain(inner);
        for context in all {
            for pair in context.fields.windows(2) {
                assert!(
                    pair[0].at + pair[0].size <= pair[1].at,
                    "{} {}",
                    context.name,
                    pair[1].name
                );
            }
            let last = context.fields.last().expect("a context has fields");
            assert!(last.at + last.size <= context.size, "{}", context.name);
        }
    }
}
