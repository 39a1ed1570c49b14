//! What a helper takes and gives (`struct bpf_func_proto` of `include/linux/bpf.h`).

use super::family::{Allowed, Family, When};

bitflags::bitflags! {
    /// What else holds of an argument or of what a helper returns.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct TypeFlags: u16 {
        /// May be null (`PTR_MAYBE_NULL`).
        const OR_NULL = 1 << 0;
        /// Is only read, so that read-only memory will do (`MEM_RDONLY`).
        const READ_ONLY = 1 << 1;
        /// Is written to (`MEM_WRITE`).
        const WRITE = 1 << 2;
        /// Need not be initialised, since it is filled (`MEM_UNINIT`).
        const UNINIT = 1 << 3;
        /// Is given back: the reference ends (`OBJ_RELEASE`).
        const RELEASE = 1 << 4;
        /// Must be aligned to its size (`MEM_ALIGNED`).
        const ALIGNED = 1 << 5;
        /// A dynptr to memory of the program (`DYNPTR_TYPE_LOCAL`).
        const DYNPTR_LOCAL = 1 << 6;
        /// A dynptr to a record of a ring buffer (`DYNPTR_TYPE_RINGBUF`).
        const DYNPTR_RINGBUF = 1 << 7;
        /// Stays valid (`PTR_TRUSTED`).
        const TRUSTED = 1 << 8;
        /// An address to read from that nobody vouches for.
        const ADDRESS = 1 << 9;
    }
}

/// One parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arg {
    /// What it takes.
    pub kind: ArgKind,
    /// What else holds of it.
    pub flags: TypeFlags,
}

/// What a parameter takes (`enum bpf_arg_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgKind {
    /// Any initialised register (`ARG_ANYTHING`).
    Anything,
    /// The program's context (`ARG_PTR_TO_CTX`).
    Context,
    /// A map (`ARG_CONST_MAP_PTR`).
    Map,
    /// A key of the map that an argument before names (`ARG_PTR_TO_MAP_KEY`).
    MapKey,
    /// A value of that map (`ARG_PTR_TO_MAP_VALUE`).
    MapValue,
    /// Memory, of as many bytes as the next argument says (`ARG_PTR_TO_MEM`).
    Mem,
    /// Memory of so many bytes (`ARG_PTR_TO_FIXED_SIZE_MEM`).
    FixedMem(u32),
    /// Number of bytes of the memory before, more than 0 (`ARG_CONST_SIZE`).
    Size,
    /// Number of bytes of the memory before (`ARG_CONST_SIZE_OR_ZERO`).
    SizeOrZero,
    /// Number of bytes asked for, a constant (`ARG_CONST_ALLOC_SIZE_OR_ZERO`).
    AllocSize,
    /// A string in a read-only map (`ARG_PTR_TO_CONST_STR`).
    ConstStr,
    /// A slot of the stack (`ARG_PTR_TO_STACK`).
    Stack,
    /// A subprogram that the helper calls (`ARG_PTR_TO_FUNC`).
    Func,
    /// A dynptr, of a kind that the flags name, if any (`ARG_PTR_TO_DYNPTR`).
    Dynptr,
    /// A record of a ring buffer (`ARG_PTR_TO_RINGBUF_MEM`).
    RingbufRecord,
    /// `struct bpf_spin_lock` in a map value or an object (`ARG_PTR_TO_SPIN_LOCK`).
    SpinLock,
    /// `struct bpf_timer` in a map value (`ARG_PTR_TO_TIMER`).
    Timer,
    /// Where a kptr is kept (`ARG_KPTR_XCHG_DEST`).
    KptrSlot,
    /// A kptr of the type that the slot before holds (`ARG_PTR_TO_BTF_ID`).
    Kptr,
    /// `struct bpf_sock` as a context yields it (`ARG_PTR_TO_SOCK_COMMON`).
    SockCommon,
    /// A full `struct bpf_sock` (`ARG_PTR_TO_SOCKET`).
    Socket,
    /// A kernel's `struct sock_common`, or a `struct bpf_sock`
    /// (`ARG_PTR_TO_BTF_ID_SOCK_COMMON`).
    KernelSock,
    /// A kernel's structure of this name (`ARG_PTR_TO_BTF_ID`).
    Btf(&'static str),
    /// A kernel's per-CPU variable (`ARG_PTR_TO_PERCPU_BTF_ID`).
    PercpuVariable,
}

/// What a helper returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ret {
    /// What it is.
    pub kind: RetKind,
    /// What else holds of it.
    pub flags: TypeFlags,
}

/// What a helper returns (`enum bpf_return_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetKind {
    /// A number (`RET_INTEGER`).
    Integer,
    /// Nothing (`RET_VOID`).
    Void,
    /// A value of the map argument (`RET_PTR_TO_MAP_VALUE`).
    MapValue,
    /// A full socket (`RET_PTR_TO_SOCKET`).
    Socket,
    /// A socket of any kind (`RET_PTR_TO_SOCK_COMMON`).
    SockCommon,
    /// `struct bpf_tcp_sock` (`RET_PTR_TO_TCP_SOCK`).
    TcpSock,
    /// A record of a ring buffer, of as many bytes as were asked for
    /// (`RET_PTR_TO_RINGBUF_MEM_OR_NULL`).
    RingbufRecord,
    /// A part of a dynptr's memory, of as many bytes as were asked for
    /// (`RET_PTR_TO_DYNPTR_MEM_OR_NULL`).
    DynptrSlice,
    /// The per-CPU variable of the first argument, as memory or as a structure
    /// (`RET_PTR_TO_MEM_OR_BTF_ID`).
    PercpuVariable,
    /// A kernel's structure of this name (`RET_PTR_TO_BTF_ID`).
    Btf(&'static str),
    /// What the kptr slot of the first argument held (`RET_PTR_TO_BTF_ID`).
    Kptr,
}

/// A helper's signature and who may call it with that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proto {
    /// What it takes in r1 and on; at most five.
    pub args: &'static [Arg],
    /// What it leaves in r0.
    pub ret: Ret,
    /// Only for programs under a licence compatible with the GPL.
    pub gpl_only: bool,
    /// Memory arguments may lie in the packet.
    pub packet_access: bool,
    /// Only for programs that may sleep, outside of locks and RCU sections.
    pub might_sleep: bool,
    /// Leaves r1 to r5 as they are, if there is a native form.
    pub fastcall: bool,
    /// The sets that it belongs to.
    pub families: &'static [Family],
    /// When these sets have it.
    pub when: When,
    /// Where it may be called, although the program's type has it.
    pub allowed: Allowed,
}

/// A signature of which nothing else is said.
pub const fn proto(args: &'static [Arg], ret: Ret) -> Proto {
    Proto {
        args,
        ret,
        gpl_only: false,
        packet_access: false,
        might_sleep: false,
        fastcall: false,
        families: &[],
        when: When::Always,
        allowed: Allowed::Everywhere,
    }
}

impl Proto {
    pub(super) const fn gpl(self) -> Proto {
        Proto { gpl_only: true, ..self }
    }

    /// Its memory may lie in the packet.
    pub const fn packet(self) -> Proto {
        Proto { packet_access: true, ..self }
    }

    pub(super) const fn sleeps(self) -> Proto {
        Proto { might_sleep: true, ..self }
    }

    pub(super) const fn fastcall(self) -> Proto {
        Proto { fastcall: true, ..self }
    }

    pub(super) const fn when(self, when: When) -> Proto {
        Proto { when, ..self }
    }

    pub(super) const fn allowed(self, allowed: Allowed) -> Proto {
        Proto { allowed, ..self }
    }

    pub(super) const fn of(self, families: &'static [Family]) -> Proto {
        Proto { families, ..self }
    }
}

impl Arg {
    const fn new(kind: ArgKind) -> Arg {
        Arg { kind, flags: TypeFlags::empty() }
    }

    const fn with(self, flags: TypeFlags) -> Arg {
        Arg { flags: self.flags.union(flags), ..self }
    }

    pub(super) const fn or_null(self) -> Arg {
        self.with(TypeFlags::OR_NULL)
    }

    pub(super) const fn read_only(self) -> Arg {
        self.with(TypeFlags::READ_ONLY)
    }

    pub(super) const fn write(self) -> Arg {
        self.with(TypeFlags::WRITE)
    }

    pub(super) const fn uninit(self) -> Arg {
        self.with(TypeFlags::UNINIT.union(TypeFlags::WRITE))
    }

    pub(super) const fn release(self) -> Arg {
        self.with(TypeFlags::RELEASE)
    }

    pub(super) const fn aligned(self) -> Arg {
        self.with(TypeFlags::ALIGNED)
    }

    pub(super) const fn local(self) -> Arg {
        self.with(TypeFlags::DYNPTR_LOCAL)
    }

    pub(super) const fn ringbuf(self) -> Arg {
        self.with(TypeFlags::DYNPTR_RINGBUF)
    }
}

impl Ret {
    const fn new(kind: RetKind) -> Ret {
        Ret { kind, flags: TypeFlags::empty() }
    }

    const fn with(self, flags: TypeFlags) -> Ret {
        Ret { flags: self.flags.union(flags), ..self }
    }

    pub(super) const fn or_null(self) -> Ret {
        self.with(TypeFlags::OR_NULL)
    }

    pub(super) const fn read_only(self) -> Ret {
        self.with(TypeFlags::READ_ONLY)
    }

    pub(super) const fn trusted(self) -> Ret {
        self.with(TypeFlags::TRUSTED)
    }
}

pub(super) const ANY: Arg = Arg::new(ArgKind::Anything);
pub(super) const ADDRESS: Arg = ANY.with(TypeFlags::ADDRESS);
pub(super) const CTX: Arg = Arg::new(ArgKind::Context);
pub(super) const MAP: Arg = Arg::new(ArgKind::Map);
pub(super) const MAP_KEY: Arg = Arg::new(ArgKind::MapKey);
pub(super) const MAP_VALUE: Arg = Arg::new(ArgKind::MapValue);
pub(super) const MEM: Arg = Arg::new(ArgKind::Mem);
pub(super) const SIZE: Arg = Arg::new(ArgKind::Size);
pub(super) const SIZE_OR_ZERO: Arg = Arg::new(ArgKind::SizeOrZero);
pub(super) const ALLOC_SIZE: Arg = Arg::new(ArgKind::AllocSize);
pub(super) const CONST_STR: Arg = Arg::new(ArgKind::ConstStr);
pub(super) const STACK: Arg = Arg::new(ArgKind::Stack);
pub(super) const FUNC: Arg = Arg::new(ArgKind::Func);
pub(super) const DYNPTR: Arg = Arg::new(ArgKind::Dynptr);
pub(super) const RECORD: Arg = Arg::new(ArgKind::RingbufRecord);
pub(super) const SPIN_LOCK: Arg = Arg::new(ArgKind::SpinLock);
pub(super) const TIMER: Arg = Arg::new(ArgKind::Timer);
pub(super) const KPTR_SLOT: Arg = Arg::new(ArgKind::KptrSlot);
pub(super) const KPTR: Arg = Arg::new(ArgKind::Kptr);
pub(super) const SOCK_COMMON: Arg = Arg::new(ArgKind::SockCommon);
pub(super) const SOCKET: Arg = Arg::new(ArgKind::Socket);
pub(super) const KERNEL_SOCK: Arg = Arg::new(ArgKind::KernelSock);
pub(super) const PERCPU: Arg = Arg::new(ArgKind::PercpuVariable);

pub(super) const fn fixed(bytes: u32) -> Arg {
    Arg::new(ArgKind::FixedMem(bytes))
}

pub(super) const fn btf(name: &'static str) -> Arg {
    Arg::new(ArgKind::Btf(name))
}

pub(super) const INTEGER: Ret = Ret::new(RetKind::Integer);
pub(super) const VOID: Ret = Ret::new(RetKind::Void);
pub(super) const TO_VALUE: Ret = Ret::new(RetKind::MapValue);
pub(super) const TO_SOCKET: Ret = Ret::new(RetKind::Socket);
pub(super) const TO_SOCK_COMMON: Ret = Ret::new(RetKind::SockCommon);
pub(super) const TO_TCP_SOCK: Ret = Ret::new(RetKind::TcpSock);
pub(super) const TO_RECORD: Ret = Ret::new(RetKind::RingbufRecord);
pub(super) const TO_SLICE: Ret = Ret::new(RetKind::DynptrSlice);
pub(super) const TO_VARIABLE: Ret = Ret::new(RetKind::PercpuVariable);
pub(super) const TO_KPTR: Ret = Ret::new(RetKind::Kptr);

pub(super) const fn to_btf(name: &'static str) -> Ret {
    Ret::new(RetKind::Btf(name))
}
