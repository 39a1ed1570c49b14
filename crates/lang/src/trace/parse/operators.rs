//! Operators and how tightly they bind.

use super::cursor::Parser;
use crate::trace::ast::BinaryOp;

/// Signs of operators between values, longer ones before their beginnings, and how
/// tightly each binds.
const BINARY: [(&[u8], BinaryOp, u8); 18] = [
    (b"||", BinaryOp::Or, 1),
    (b"&&", BinaryOp::And, 2),
    (b"==", BinaryOp::Eq, 6),
    (b"!=", BinaryOp::Ne, 6),
    (b"<=", BinaryOp::Le, 7),
    (b">=", BinaryOp::Ge, 7),
    (b"<<", BinaryOp::Left, 8),
    (b">>", BinaryOp::Right, 8),
    (b"|", BinaryOp::BitOr, 3),
    (b"^", BinaryOp::BitXor, 4),
    (b"&", BinaryOp::BitAnd, 5),
    (b"<", BinaryOp::Lt, 7),
    (b">", BinaryOp::Gt, 7),
    (b"+", BinaryOp::Add, 9),
    (b"-", BinaryOp::Sub, 9),
    (b"*", BinaryOp::Mul, 10),
    (b"/", BinaryOp::Div, 10),
    (b"%", BinaryOp::Mod, 10),
];

/// Operators that can stand before `=`.
const COMPOUND: [(&[u8], BinaryOp); 10] = [
    (b"<<=", BinaryOp::Left),
    (b">>=", BinaryOp::Right),
    (b"+=", BinaryOp::Add),
    (b"-=", BinaryOp::Sub),
    (b"*=", BinaryOp::Mul),
    (b"/=", BinaryOp::Div),
    (b"%=", BinaryOp::Mod),
    (b"&=", BinaryOp::BitAnd),
    (b"|=", BinaryOp::BitOr),
    (b"^=", BinaryOp::BitXor),
];

impl Parser<'_> {
    fn rest(&self) -> &[u8] {
        &self.text[self.at.min(self.text.len())..]
    }

    /// The operator here: which, its length, how tightly it binds.
    pub(super) fn binary_operator(&self) -> Option<(BinaryOp, usize, u8)> {
        let rest = self.rest();
        if COMPOUND.iter().any(|(sign, _)| rest.starts_with(sign)) {
            return None;
        }
        if rest.starts_with(b"++") || rest.starts_with(b"--") {
            return None;
        }
        let (sign, op, binds) = BINARY.iter().find(|(sign, ..)| rest.starts_with(sign))?;
        // A `/` before a block closes a predicate.
        if *op == BinaryOp::Div && self.byte(self.after_layout(self.at + 1)) == b'{' {
            return None;
        }
        Some((*op, sign.len(), *binds))
    }

    /// Takes `+=` and its like.
    pub(super) fn compound_operator(&mut self) -> Option<BinaryOp> {
        self.layout();
        let rest = self.rest();
        let (sign, op) = COMPOUND.iter().find(|(sign, _)| rest.starts_with(sign))?;
        self.advance(sign.len());
        Some(*op)
    }

    /// Whether `++` or `--` is here; true for `--`.
    pub(super) fn step_operator(&self) -> Option<bool> {
        match (self.peek(), self.ahead(1)) {
            (b'+', b'+') => Some(false),
            (b'-', b'-') => Some(true),
            _ => None,
        }
    }

    /// Whether a lone `=` is here.
    pub(super) fn assigns(&self) -> bool {
        self.peek() == b'=' && self.ahead(1) != b'='
    }
}
