//! What the verifier knows of one register: what it points to, and its value or
//! offset. Counterpart: `struct bpf_reg_state`.

use crate::domain::Scalar64;

/// Index of a map in the checker's table; inner maps have entries of their own.
pub(crate) type MapId = u16;
/// Index of a BTF in the checker's table: the kernel's, the program's, a module's.
pub(crate) type BtfId = u8;

/// The kernel's own BTF.
pub(crate) const KERNEL_BTF: BtfId = 0;
/// The program's BTF.
pub(crate) const PROGRAM_BTF: BtfId = 1;

bitflags::bitflags! {
    /// What qualifies a pointer (`enum bpf_type_flag`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub(crate) struct Flags: u16 {
        const MAYBE_NULL = 1 << 0;
        const RDONLY = 1 << 1;
        const RINGBUF = 1 << 2;
        const USER = 1 << 3;
        const PERCPU = 1 << 4;
        const UNTRUSTED = 1 << 5;
        const ALLOC = 1 << 6;
        const TRUSTED = 1 << 7;
        const RCU = 1 << 8;
        const NON_OWN_REF = 1 << 9;
        /// Slice of a dynptr over an skb.
        const OF_SKB = 1 << 10;
        /// Slice of a dynptr over an XDP buffer.
        const OF_XDP = 1 << 11;
        /// Slice of a dynptr over an skb's metadata.
        const OF_SKB_META = 1 << 12;
        /// Slice of a local dynptr.
        const OF_LOCAL = 1 << 13;
        /// Slice of a ring buffer's dynptr.
        const OF_RINGBUF = 1 << 14;
    }
}

impl Flags {
    /// A dynptr's kind, as its slices carry it.
    pub(crate) const DYNPTR: Flags = Flags::OF_SKB
        .union(Flags::OF_XDP)
        .union(Flags::OF_SKB_META)
        .union(Flags::OF_LOCAL)
        .union(Flags::OF_RINGBUF);
    /// Slices that a change of the packet invalidates.
    pub(crate) const PACKET_SLICE: Flags =
        Flags::OF_SKB.union(Flags::OF_XDP).union(Flags::OF_SKB_META);
    const TRUST: Flags = Flags::ALLOC.union(Flags::TRUSTED).union(Flags::NON_OWN_REF);

    /// Whether anything beyond the modifiers of a trusted pointer is set.
    pub(crate) fn unsafe_modifiers(self) -> bool {
        self.intersects(Flags::TRUST.complement())
    }

    /// The modifiers that make a pointer trusted.
    pub(crate) fn trust(self) -> Flags {
        self & Flags::TRUST
    }
}

/// What a dynptr points into (`enum bpf_dynptr_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DynptrKind {
    Invalid,
    Local,
    Ringbuf,
    Skb,
    Xdp,
    SkbMeta,
}

impl DynptrKind {
    /// Whether it holds a reference that must be given back.
    pub(crate) fn is_refcounted(self) -> bool {
        self == DynptrKind::Ringbuf
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            DynptrKind::Invalid => "<invalid>",
            DynptrKind::Local => "local",
            DynptrKind::Ringbuf => "ringbuf",
            DynptrKind::Skb => "skb",
            DynptrKind::Xdp => "xdp",
            DynptrKind::SkbMeta => "skb_meta",
        }
    }
}

/// State of an open-coded iterator on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IterState {
    Active,
    Drained,
}

/// Which kfuncs saved an IRQ flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IrqClass {
    Native,
    Lock,
}

/// A packet pointer at or past the end has one of these instead of a range.
pub(crate) const AT_PACKET_END: i32 = -1;
pub(crate) const BEYOND_PACKET_END: i32 = -2;

/// What a register holds (`enum bpf_reg_type` with the data of each).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Uninit,
    Scalar,
    Ctx,
    MapPtr {
        map: MapId,
        uid: u32,
    },
    MapValue {
        map: MapId,
        uid: u32,
    },
    MapKey {
        map: MapId,
    },
    Stack {
        frame: u8,
    },
    PacketMeta {
        range: i32,
    },
    Packet {
        range: i32,
    },
    PacketEnd,
    FlowKeys,
    Socket,
    SockCommon,
    TcpSock,
    XdpSock,
    TpBuffer,
    Btf {
        btf: BtfId,
        id: u32,
    },
    Mem {
        size: u32,
        dynptr: u32,
    },
    Arena,
    Buf,
    Func {
        subprog: u32,
    },
    Dynptr {
        kind: DynptrKind,
        first: bool,
    },
    /// On the stack only: a slot of an iterator.
    Iter {
        btf: BtfId,
        id: u32,
        state: IterState,
        depth: u32,
    },
    /// On the stack only: saved IRQ flags.
    IrqFlag {
        class: IrqClass,
    },
}

impl Kind {
    /// Whether both are the same kind of thing, whatever they point to.
    pub(crate) fn same_base(self, other: Kind) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Mark in [`Reg::id`]: the scalar is another with the same id plus `off`
/// (`BPF_ADD_CONST64`).
pub(crate) const ID_PLUS_OFFSET64: u32 = 1 << 31;
/// The same for their lower halves; the upper ones are zero (`BPF_ADD_CONST32`).
pub(crate) const ID_PLUS_OFFSET32: u32 = 1 << 30;
/// Either mark.
pub(crate) const ID_PLUS_OFFSET: u32 = ID_PLUS_OFFSET64 | ID_PLUS_OFFSET32;

/// One register, or a spilled one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reg {
    pub kind: Kind,
    pub flags: Flags,
    /// Whether a scalar's value matters for safety.
    pub precise: bool,
    /// Fixed part of a pointer's offset; a linked scalar's distance.
    pub off: i32,
    /// Who shares what is learnt of it: packet pointers with the same variable
    /// offset, pointers from the same look-up, scalars with the same value.
    pub id: u32,
    /// The reference that it holds, 0 for none.
    pub ref_id: u32,
    /// A scalar's value, or the variable part of a pointer's offset.
    pub value: Scalar64,
}

impl Reg {
    /// Nothing was written to it.
    pub(crate) const UNINIT: Reg = Reg {
        kind: Kind::Uninit,
        flags: Flags::empty(),
        precise: false,
        off: 0,
        id: 0,
        ref_id: 0,
        value: Scalar64::UNKNOWN,
    };

    /// Any number.
    pub(crate) const UNKNOWN: Reg = Reg { kind: Kind::Scalar, ..Reg::UNINIT };

    /// A pointer without offset.
    pub(crate) fn pointer(kind: Kind, flags: Flags) -> Reg {
        Reg { kind, flags, value: Scalar64::number(0), ..Reg::UNINIT }
    }

    /// A known number.
    pub(crate) fn constant(value: u64) -> Reg {
        Reg { value: Scalar64::number(value), ..Reg::UNKNOWN }
    }

    pub(crate) fn is_scalar(&self) -> bool {
        self.kind == Kind::Scalar
    }

    pub(crate) fn is_pointer(&self) -> bool {
        !self.is_scalar()
    }

    pub(crate) fn maybe_null(&self) -> bool {
        self.flags.contains(Flags::MAYBE_NULL)
    }

    /// Whether it is the number 0.
    pub(crate) fn is_null(&self) -> bool {
        self.is_scalar() && self.value.as_constant() == Some(0)
    }

    /// Whether it is of this plain kind, without qualifiers (data disregarded).
    pub(crate) fn is_plain(&self, kind: Kind) -> bool {
        self.flags.is_empty() && self.kind.same_base(kind)
    }

    pub(crate) fn is_ctx(&self) -> bool {
        self.kind == Kind::Ctx && self.flags.is_empty()
    }

    pub(crate) fn is_stack(&self) -> bool {
        matches!(self.kind, Kind::Stack { .. }) && self.flags.is_empty()
    }

    pub(crate) fn is_map_value(&self) -> bool {
        matches!(self.kind, Kind::MapValue { .. }) && self.flags.is_empty()
    }

    pub(crate) fn is_btf(&self) -> bool {
        matches!(self.kind, Kind::Btf { .. })
    }

    /// A packet or metadata pointer.
    pub(crate) fn is_packet(&self) -> bool {
        matches!(self.kind, Kind::Packet { .. } | Kind::PacketMeta { .. }) && self.flags.is_empty()
    }

    /// A packet pointer or the packet's end.
    pub(crate) fn is_packet_or_end(&self) -> bool {
        self.is_packet() || self.kind == Kind::PacketEnd
    }

    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.kind, Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock)
            && self.flags.is_empty()
    }

    /// A pointer to an object that the program allocated, owned or not.
    pub(crate) fn is_alloc_obj(&self) -> bool {
        self.is_btf() && self.flags.contains(Flags::ALLOC)
    }

    pub(crate) fn is_non_owning(&self) -> bool {
        self.is_alloc_obj() && self.flags.contains(Flags::NON_OWN_REF)
    }

    /// Whether the kernel vouches for the pointer.
    pub(crate) fn is_trusted(&self) -> bool {
        let always = matches!(
            self.kind,
            Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::MapPtr { .. }
        );
        self.ref_id != 0
            || (always && !self.flags.unsafe_modifiers())
            || (!self.flags.trust().is_empty() && !self.flags.unsafe_modifiers())
    }

    /// Whether the pointer cannot be null.
    pub(crate) fn is_not_null(&self) -> bool {
        if self.maybe_null() {
            return false;
        }
        match self.kind {
            Kind::Socket
            | Kind::TcpSock
            | Kind::MapValue { .. }
            | Kind::MapKey { .. }
            | Kind::SockCommon
            | Kind::MapPtr { .. } => true,
            Kind::Btf { .. } => self.is_trusted(),
            Kind::Mem { .. } => !self.flags.contains(Flags::UNTRUSTED),
            _ => false,
        }
    }

    /// Whether a spill of it keeps what it points to.
    pub(crate) fn is_spillable(&self) -> bool {
        matches!(
            self.kind,
            Kind::MapValue { .. }
                | Kind::Stack { .. }
                | Kind::Ctx
                | Kind::Packet { .. }
                | Kind::PacketMeta { .. }
                | Kind::PacketEnd
                | Kind::FlowKeys
                | Kind::MapPtr { .. }
                | Kind::Socket
                | Kind::SockCommon
                | Kind::TcpSock
                | Kind::XdpSock
                | Kind::Btf { .. }
                | Kind::Buf
                | Kind::Mem { .. }
                | Kind::Func { .. }
                | Kind::MapKey { .. }
                | Kind::Arena
        )
    }

    /// The map that it points to or into.
    pub(crate) fn map(&self) -> Option<MapId> {
        match self.kind {
            Kind::MapPtr { map, .. } | Kind::MapValue { map, .. } | Kind::MapKey { map } => {
                Some(map)
            }
            _ => None,
        }
    }

    /// Which look-up into a map of maps its map came from, 0 for none.
    pub(crate) fn map_uid(&self) -> u32 {
        match self.kind {
            Kind::MapPtr { uid, .. } | Kind::MapValue { uid, .. } => uid,
            _ => 0,
        }
    }

    /// Range of a packet pointer.
    pub(crate) fn range(&self) -> i32 {
        match self.kind {
            Kind::Packet { range } | Kind::PacketMeta { range } => range,
            _ => 0,
        }
    }

    pub(crate) fn set_range(&mut self, new: i32) {
        if let Kind::Packet { range } | Kind::PacketMeta { range } = &mut self.kind {
            *range = new;
        }
    }

    /// Linux's name for its type (`reg_type_str`), without a struct's name.
    pub(crate) fn type_name(&self) -> String {
        type_name(self.kind, self.flags)
    }
}

/// Linux's name for a type (`reg_type_str`).
pub(crate) fn type_name(kind: Kind, flags: Flags) -> String {
    let base = match kind {
        Kind::Uninit => "?",
        Kind::Scalar => "scalar",
        Kind::Ctx => "ctx",
        Kind::MapPtr { .. } => "map_ptr",
        Kind::MapValue { .. } => "map_value",
        Kind::Stack { .. } | Kind::Iter { .. } | Kind::IrqFlag { .. } => "fp",
        Kind::Packet { .. } => "pkt",
        Kind::PacketMeta { .. } => "pkt_meta",
        Kind::PacketEnd => "pkt_end",
        Kind::FlowKeys => "flow_keys",
        Kind::Socket => "sock",
        Kind::SockCommon => "sock_common",
        Kind::TcpSock => "tcp_sock",
        Kind::TpBuffer => "tp_buffer",
        Kind::XdpSock => "xdp_sock",
        Kind::Btf { .. } => "ptr_",
        Kind::Mem { .. } => "mem",
        Kind::Arena => "arena",
        Kind::Buf => "buf",
        Kind::Func { .. } => "func",
        Kind::MapKey { .. } => "map_key",
        Kind::Dynptr { .. } => "dynptr_ptr",
    };
    let marks = [
        (Flags::RDONLY, "rdonly_"),
        (Flags::RINGBUF, "ringbuf_"),
        (Flags::USER, "user_"),
        (Flags::PERCPU, "percpu_"),
        (Flags::RCU, "rcu_"),
        (Flags::UNTRUSTED, "untrusted_"),
        (Flags::TRUSTED, "trusted_"),
    ];
    let mut name = String::new();
    for (flag, text) in marks {
        if flags.contains(flag) {
            name.push_str(text);
        }
    }
    name.push_str(base);
    if flags.contains(Flags::MAYBE_NULL) {
        name.push_str(if matches!(kind, Kind::Btf { .. }) { "or_null_" } else { "_or_null" });
    }
    name
}
