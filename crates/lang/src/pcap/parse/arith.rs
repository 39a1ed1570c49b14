//! Computations. `|` binds least, then `&`, shifts, `+ -`, `* /`; `%` and `^` take all that
//! follows as their right side, and bind more than what stands before them: libpcap's
//! grammar gives them no rank.

use skep_isa::classic::Op;

use super::cursor::Cursor;
use crate::pcap::Error;
use crate::pcap::ast::{Arithmetic, Protocol, Step};
use crate::pcap::lex::{Keyword, Token};

/// Signs with their rank.
const OPS: [(&str, Op, u8); 10] = [
    ("|", Op::Or, 1),
    ("&", Op::And, 2),
    ("<<", Op::Lsh, 3),
    (">>", Op::Rsh, 3),
    ("+", Op::Add, 4),
    ("-", Op::Sub, 4),
    ("*", Op::Mul, 5),
    ("/", Op::Div, 5),
    ("%", Op::Mod, UNRANKED),
    ("^", Op::Xor, UNRANKED),
];

const UNRANKED: u8 = 9;

/// What two steps of a number say of an empty side.
fn op(token: &Token) -> Option<(Op, u8)> {
    let Token::Sign(sign) = token else { return None };
    OPS.iter().find(|row| row.0 == *sign).map(|row| (row.1, row.2))
}

/// Whether a token goes on with a computation.
pub(super) fn continues(token: &Token) -> bool {
    op(token).is_some()
}

impl Cursor<'_> {
    /// A whole computation.
    pub fn arithmetic(&mut self) -> Result<Arithmetic, Error> {
        let mut steps = Arithmetic::default();
        self.operand(&mut steps)?;
        self.operations(&mut steps, 0)?;
        Ok(steps)
    }

    /// What follows a first operand, of at least a rank.
    pub fn operations(&mut self, steps: &mut Arithmetic, least: u8) -> Result<(), Error> {
        while let Some((op, rank)) = op(self.peek()) {
            if rank < least {
                break;
            }
            let span = self.next().span.clone();
            self.enter()?;
            self.operand(steps)?;
            self.operations(steps, if rank == UNRANKED { 0 } else { rank + 1 })?;
            self.leave();
            steps.0.push((Step::Op(op), span));
        }
        Ok(())
    }

    fn operand(&mut self, steps: &mut Arithmetic) -> Result<(), Error> {
        let span = self.span();
        match self.peek().clone() {
            Token::Number(value) => {
                self.next();
                steps.0.push((Step::Number(value), span));
                Ok(())
            }
            Token::Keyword(Keyword::Len) => {
                self.next();
                steps.0.push((Step::Len, span));
                Ok(())
            }
            Token::Keyword(Keyword::Protocol(protocol)) => {
                self.next();
                self.load(protocol, steps, span.start)
            }
            Token::Sign("-") => {
                self.next();
                self.negation(steps, span)
            }
            Token::Sign("(") => {
                self.next();
                self.enter()?;
                self.operand(steps)?;
                self.operations(steps, 0)?;
                self.leave();
                match self.take_sign(")") {
                    true => Ok(()),
                    false => Err(self.wanted("an operator or `)`")),
                }
            }
            _ => Err(self.wanted("a number, `len`, or bytes of a header as in `ip[8]`")),
        }
    }

    /// What stands behind a `-`.
    pub fn negation(
        &mut self,
        steps: &mut Arithmetic,
        span: std::ops::Range<usize>,
    ) -> Result<(), Error> {
        self.enter()?;
        self.operand(steps)?;
        self.operations(steps, UNRANKED)?;
        self.leave();
        steps.0.push((Step::Negate, span));
        Ok(())
    }

    /// The brackets behind a protocol.
    pub fn load(
        &mut self,
        protocol: Protocol,
        steps: &mut Arithmetic,
        start: usize,
    ) -> Result<(), Error> {
        if !self.take_sign("[") {
            return Err(self.wanted("`[`"));
        }
        self.enter()?;
        self.operand(steps)?;
        self.operations(steps, 0)?;
        self.leave();
        let mut size = 1;
        if self.take_sign(":") {
            let Token::Number(bytes) = *self.peek() else {
                return Err(self.wanted("the number of bytes: 1, 2 or 4"));
            };
            self.next();
            size = bytes;
        }
        if !self.take_sign("]") {
            return Err(self.wanted("`]`"));
        }
        steps.0.push((Step::Load(protocol, size), self.since(start)));
        Ok(())
    }
}
