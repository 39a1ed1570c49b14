//! The instruction set as an enum. Each variant holds what the instruction means
//! and nothing that it could not hold: what cannot be written in this type cannot
//! be encoded, and `decode` refuses it.
//!
//! RFC 9669, and `kernel/bpf/core.c` and `verifier.c` for what Linux added.

use std::fmt;

/// Index of an instruction slot, counted as Linux counts: a 64-bit immediate load
/// takes two.
pub type Pc = u32;

/// A register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

impl Reg {
    /// Every register, in order.
    pub const ALL: [Reg; 11] = [
        Reg::R0,
        Reg::R1,
        Reg::R2,
        Reg::R3,
        Reg::R4,
        Reg::R5,
        Reg::R6,
        Reg::R7,
        Reg::R8,
        Reg::R9,
        Reg::R10,
    ];

    /// The register with this number, 0 to 10.
    pub fn new(number: u8) -> Option<Reg> {
        Reg::ALL.get(usize::from(number)).copied()
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.number())
    }
}

/// Whether an operation works on 64 bits, or on the lower 32 and clears the upper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Width {
    W32,
    W64,
}

/// Size of a memory access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Size {
    /// 1 byte.
    B,
    /// 2 bytes.
    H,
    /// 4 bytes.
    W,
    /// 8 bytes.
    DW,
}

impl Size {
    /// Number of bytes.
    pub fn bytes(self) -> u32 {
        1 << self as u32
    }

    /// Number of bits.
    pub fn bits(self) -> u32 {
        8 * self.bytes()
    }
}

/// The right-hand side of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// A register.
    Reg(Reg),
    /// An immediate, sign-extended to 64 bits by 64-bit operations.
    Imm(i32),
}

/// Binary arithmetic: `dst = dst op src`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AluOp {
    /// `+=`
    Add,
    /// `-=`
    Sub,
    /// `*=`
    Mul,
    /// `/=`, unsigned; division by zero gives 0.
    Div,
    /// `s/=`, signed; division by zero gives 0, overflow wraps.
    SDiv,
    /// `|=`
    Or,
    /// `&=`
    And,
    /// `<<=`, the amount modulo the width.
    Lsh,
    /// `>>=`, unsigned, the amount modulo the width.
    Rsh,
    /// `%=`, unsigned; modulo zero leaves dst.
    Mod,
    /// `s%=`, signed; modulo zero leaves dst.
    SMod,
    /// `^=`
    Xor,
    /// `=`
    Mov,
    /// `s>>=`, signed, the amount modulo the width.
    Arsh,
}

/// Byte-order conversion.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Order {
    /// To little endian: truncates on a little-endian machine.
    Le,
    /// To big endian.
    Be,
    /// Swaps on any machine (`-mcpu=v4`).
    Swap,
}

/// Condition of a branch: `if dst cond src goto`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are RFC 9669's")]
pub enum Cond {
    Eq,
    Gt,
    Ge,
    /// `dst & src` is not zero.
    Set,
    Ne,
    Sgt,
    Sge,
    Lt,
    Le,
    Slt,
    Sle,
}

/// Atomic read-modify-write.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are RFC 9669's")]
pub enum AtomicOp {
    /// With `fetch`, src receives the old value.
    Add {
        fetch: bool,
    },
    Or {
        fetch: bool,
    },
    And {
        fetch: bool,
    },
    Xor {
        fetch: bool,
    },
    /// src receives the old value.
    Xchg,
    /// Compares with r0, which receives the old value.
    Cmpxchg,
}

/// What a 64-bit immediate stands for (the `src` field of `ld_imm64`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ImmKind {
    /// A number.
    Const = 0,
    /// A map, by fd.
    MapFd = 1,
    /// An address in a map's only value: fd and offset.
    MapValue = 2,
    /// A kernel variable: BTF id, and fd of the module's BTF.
    BtfId = 3,
    /// A subprogram, as a distance in slots.
    Func = 4,
    /// A map, by index into the load command's `fd_array`.
    MapIdx = 5,
    /// An address in a map's only value: index into `fd_array` and offset.
    MapIdxValue = 6,
}

impl ImmKind {
    /// Every kind, each at the number that the `src` field holds for it.
    pub const ALL: [ImmKind; 7] = [
        ImmKind::Const,
        ImmKind::MapFd,
        ImmKind::MapValue,
        ImmKind::BtfId,
        ImmKind::Func,
        ImmKind::MapIdx,
        ImmKind::MapIdxValue,
    ];
}

/// A 64-bit immediate: two 32-bit halves and what they mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Imm64 {
    /// What it stands for.
    pub kind: ImmKind,
    /// `imm` of the first slot.
    pub lo: u32,
    /// `imm` of the second slot.
    pub hi: u32,
}

impl Imm64 {
    /// A plain number.
    pub fn constant(value: u64) -> Imm64 {
        Imm64 { kind: ImmKind::Const, lo: value as u32, hi: (value >> 32) as u32 }
    }

    /// Both halves as one number.
    pub fn value(self) -> u64 {
        u64::from(self.hi) << 32 | u64::from(self.lo)
    }
}

/// What a call calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Callee {
    /// A helper, by number.
    Helper(u32),
    /// A subprogram, as a distance in slots from the next instruction.
    Local(i32),
    /// A kernel function: BTF id, and index into `fd_array` of its module's BTF.
    Kfunc {
        /// BTF id.
        btf_id: i32,
        /// 0 for vmlinux, else index into `fd_array`.
        module: i16,
    },
    /// A helper whose number stands in a register (`callx`; Linux refuses it).
    Register(Reg),
}

/// One instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Insn {
    /// `dst = dst op src`.
    Alu {
        /// Operation.
        op: AluOp,
        /// 32 or 64 bits.
        width: Width,
        /// Left operand and result.
        dst: Reg,
        /// Right operand.
        src: Operand,
    },
    /// `dst = (s8)src`: sign-extending move from `from` to `width`.
    MovSx {
        /// Width of the result; a 32-bit result clears the upper half.
        width: Width,
        /// Size of the source: B or H, or W for 64 bits.
        from: Size,
        /// Result.
        dst: Reg,
        /// Source.
        src: Reg,
    },
    /// `dst = -dst`.
    Neg {
        /// 32 or 64 bits.
        width: Width,
        /// Operand and result.
        dst: Reg,
    },
    /// `dst = be16 dst` and its siblings.
    ByteSwap {
        /// Direction.
        order: Order,
        /// H, W or DW.
        size: Size,
        /// Operand and result.
        dst: Reg,
    },
    /// Converts a pointer between the address spaces of an arena.
    AddrSpaceCast {
        /// Result.
        dst: Reg,
        /// Source.
        src: Reg,
        /// Address space of the result.
        to: u16,
        /// Address space of the source.
        from: u16,
    },
    /// `dst = imm64 ll`; the next slot is a [`Insn::Hole`].
    LoadImm64 {
        /// Result.
        dst: Reg,
        /// Value.
        imm: Imm64,
    },
    /// The second slot of a [`Insn::LoadImm64`]; never executed.
    Hole,
    /// `r0 = *(size *)skb[offset]`: legacy packet access, network byte order.
    LoadAbs {
        /// B, H or W.
        size: Size,
        /// Offset into the packet.
        offset: i32,
    },
    /// `r0 = *(size *)skb[src + offset]`.
    LoadInd {
        /// B, H or W.
        size: Size,
        /// Register added to the offset.
        src: Reg,
        /// Offset into the packet.
        offset: i32,
    },
    /// `dst = *(size *)(base + off)`.
    Load {
        /// Bytes loaded.
        size: Size,
        /// Sign-extended to 64 bits (B, H, W).
        signed: bool,
        /// Result.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Added to the address.
        off: i16,
    },
    /// `*(size *)(base + off) = src`.
    Store {
        /// Bytes stored.
        size: Size,
        /// Address.
        base: Reg,
        /// Added to the address.
        off: i16,
        /// Value.
        src: Operand,
    },
    /// Atomic read-modify-write of `*(size *)(base + off)`.
    Atomic {
        /// Operation.
        op: AtomicOp,
        /// W or DW.
        size: Size,
        /// Address.
        base: Reg,
        /// Added to the address.
        off: i16,
        /// Right operand; receives the old value of a fetching operation.
        src: Reg,
    },
    /// `dst = load_acquire((size *)(base + off))`.
    LoadAcquire {
        /// Bytes loaded.
        size: Size,
        /// Result.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Added to the address.
        off: i16,
    },
    /// `store_release((size *)(base + off), src)`.
    StoreRelease {
        /// Bytes stored.
        size: Size,
        /// Address.
        base: Reg,
        /// Added to the address.
        off: i16,
        /// Value.
        src: Reg,
    },
    /// `goto off`.
    Ja {
        /// Slots from the next instruction.
        off: i16,
    },
    /// `gotol off` (`-mcpu=v4`).
    Gotol {
        /// Slots from the next instruction.
        off: i32,
    },
    /// `if dst cond src goto off`.
    Branch {
        /// Condition.
        cond: Cond,
        /// Bits compared.
        width: Width,
        /// Left operand.
        dst: Reg,
        /// Right operand.
        src: Operand,
        /// Slots from the next instruction.
        off: i16,
    },
    /// Leaves a loop that has run for long enough.
    MayGoto {
        /// Slots from the next instruction.
        off: i16,
    },
    /// A call.
    Call(Callee),
    /// Return from the subprogram or the program.
    Exit,
}

impl Insn {
    /// Slots that it takes: 2 for a 64-bit immediate load, else 1.
    pub fn slots(&self) -> u32 {
        if matches!(self, Insn::LoadImm64 { .. }) { 2 } else { 1 }
    }

    /// Distance of its jump from the next instruction, for those that jump within
    /// the program; calls are no jumps.
    pub fn jump(&self) -> Option<i32> {
        match *self {
            Insn::Ja { off } | Insn::Branch { off, .. } | Insn::MayGoto { off } => {
                Some(i32::from(off))
            }
            Insn::Gotol { off } => Some(off),
            _ => None,
        }
    }

    /// Whether control can go on to the next instruction.
    pub fn falls_through(&self) -> bool {
        !matches!(self, Insn::Ja { .. } | Insn::Gotol { .. } | Insn::Exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_takes_sixteen_bytes() {
        assert_eq!(size_of::<Insn>(), 16);
    }
}
