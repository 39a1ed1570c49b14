//! The words of the two assembly languages: signs for pseudo-C (`r1 s>>= r2`), names
//! for mnemonics (`arsh %r1, %r2`). The printers read these tables forwards, the
//! assembler backwards, so neither can know a word that the other does not.

use std::fmt;

use crate::{AluOp, AtomicOp, Cond, Order, Size, Width};

impl AluOp {
    /// Every operation, in the order of their opcodes.
    pub const ALL: [AluOp; 14] = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::SDiv,
        AluOp::Or,
        AluOp::And,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Mod,
        AluOp::SMod,
        AluOp::Xor,
        AluOp::Mov,
        AluOp::Arsh,
    ];

    /// Its sign in pseudo-C: `+=`.
    pub fn sign(self) -> &'static str {
        self.words().0
    }

    /// Its mnemonic for 64 bits: `add`.
    pub fn name(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            AluOp::Add => ("+=", "add"),
            AluOp::Sub => ("-=", "sub"),
            AluOp::Mul => ("*=", "mul"),
            AluOp::Div => ("/=", "div"),
            AluOp::SDiv => ("s/=", "sdiv"),
            AluOp::Or => ("|=", "or"),
            AluOp::And => ("&=", "and"),
            AluOp::Lsh => ("<<=", "lsh"),
            AluOp::Rsh => (">>=", "rsh"),
            AluOp::Mod => ("%=", "mod"),
            AluOp::SMod => ("s%=", "smod"),
            AluOp::Xor => ("^=", "xor"),
            AluOp::Mov => ("=", "mov"),
            AluOp::Arsh => ("s>>=", "arsh"),
        }
    }
}

impl Cond {
    /// Every condition, in the order of their opcodes.
    pub const ALL: [Cond; 11] = [
        Cond::Eq,
        Cond::Gt,
        Cond::Ge,
        Cond::Set,
        Cond::Ne,
        Cond::Sgt,
        Cond::Sge,
        Cond::Lt,
        Cond::Le,
        Cond::Slt,
        Cond::Sle,
    ];

    /// Its sign in pseudo-C: `s>=`.
    pub fn sign(self) -> &'static str {
        self.words().0
    }

    /// Its mnemonic for 64 bits: `jsge`.
    pub fn name(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Cond::Eq => ("==", "jeq"),
            Cond::Gt => (">", "jgt"),
            Cond::Ge => (">=", "jge"),
            Cond::Set => ("&", "jset"),
            Cond::Ne => ("!=", "jne"),
            Cond::Sgt => ("s>", "jsgt"),
            Cond::Sge => ("s>=", "jsge"),
            Cond::Lt => ("<", "jlt"),
            Cond::Le => ("<=", "jle"),
            Cond::Slt => ("s<", "jslt"),
            Cond::Sle => ("s<=", "jsle"),
        }
    }
}

impl AtomicOp {
    /// Every operation, with and without fetch.
    pub const ALL: [AtomicOp; 10] = [
        AtomicOp::Add { fetch: false },
        AtomicOp::Or { fetch: false },
        AtomicOp::And { fetch: false },
        AtomicOp::Xor { fetch: false },
        AtomicOp::Add { fetch: true },
        AtomicOp::Or { fetch: true },
        AtomicOp::And { fetch: true },
        AtomicOp::Xor { fetch: true },
        AtomicOp::Xchg,
        AtomicOp::Cmpxchg,
    ];

    /// Its name without fetch and width: `add`, `cmpxchg`.
    pub fn name(self) -> &'static str {
        match self {
            AtomicOp::Add { .. } => "add",
            AtomicOp::Or { .. } => "or",
            AtomicOp::And { .. } => "and",
            AtomicOp::Xor { .. } => "xor",
            AtomicOp::Xchg => "xchg",
            AtomicOp::Cmpxchg => "cmpxchg",
        }
    }

    /// Its sign in pseudo-C, which only operations without fetch have: `+=`.
    pub fn sign(self) -> Option<&'static str> {
        match self {
            AtomicOp::Add { fetch: false } => Some("+="),
            AtomicOp::Or { fetch: false } => Some("|="),
            AtomicOp::And { fetch: false } => Some("&="),
            AtomicOp::Xor { fetch: false } => Some("^="),
            _ => None,
        }
    }

    /// Whether a register receives the old value.
    pub fn fetches(self) -> bool {
        self.sign().is_none()
    }
}

impl Size {
    /// Every size, smallest first.
    pub const ALL: [Size; 4] = [Size::B, Size::H, Size::W, Size::DW];

    /// Its type in pseudo-C: `u32`.
    pub fn unsigned(self) -> &'static str {
        match self {
            Size::B => "u8",
            Size::H => "u16",
            Size::W => "u32",
            Size::DW => "u64",
        }
    }

    /// Its signed type in pseudo-C: `s32`.
    pub fn signed(self) -> &'static str {
        match self {
            Size::B => "s8",
            Size::H => "s16",
            Size::W => "s32",
            Size::DW => "s64",
        }
    }

    /// Its suffix in mnemonics: the `dw` of `ldxdw`.
    pub fn suffix(self) -> &'static str {
        match self {
            Size::B => "b",
            Size::H => "h",
            Size::W => "w",
            Size::DW => "dw",
        }
    }
}

impl Order {
    /// Every conversion.
    pub const ALL: [Order; 3] = [Order::Le, Order::Be, Order::Swap];

    /// Its name in pseudo-C without the number of bits: `be`.
    pub fn name(self) -> &'static str {
        match self {
            Order::Le => "le",
            Order::Be => "be",
            Order::Swap => "bswap",
        }
    }
}

impl Width {
    /// The letter of its registers in pseudo-C: `w1` is the lower half of `r1`.
    pub fn letter(self) -> char {
        match self {
            Width::W32 => 'w',
            Width::W64 => 'r',
        }
    }

    /// What mnemonics for this width end in.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Width::W32 => "32",
            Width::W64 => "",
        }
    }
}

/// A number as LLVM prints it: `0x10`, `-0x1`.
pub(crate) struct Hex(pub(crate) i64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}

/// A number as LLVM prints distances: `+0x10`, `-0x1`.
pub(crate) struct SignedHex(pub(crate) i64);

impl fmt::Display for SignedHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}
