//! Conditions joined by `&&`, `||`, `!` as rules, each a list of comparisons that all hold.

use crate::seccomp::policy::{Condition, Op};

/// Most rules that one condition may become.
const MAX_TERMS: usize = 4096;

/// A condition of an expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Logic {
    Is(Condition),
    Not(Box<Logic>),
    All(Vec<Logic>),
    Any(Vec<Logic>),
}

impl Logic {
    /// Always, or never.
    pub fn constant(holds: bool) -> Logic {
        if holds { Logic::All(Vec::new()) } else { Logic::Any(Vec::new()) }
    }

    /// The alternatives, in each of which all comparisons hold; `None` for too many.
    pub fn alternatives(&self) -> Option<Vec<Vec<Condition>>> {
        self.terms(true)
    }

    fn terms(&self, holds: bool) -> Option<Vec<Vec<Condition>>> {
        match (self, holds) {
            (Logic::Not(inner), _) => inner.terms(!holds),
            (Logic::Is(condition), true) => Some(vec![vec![*condition]]),
            (Logic::Is(condition), false) => Some(negated(condition)),
            (Logic::All(parts), true) | (Logic::Any(parts), false) => {
                let mut product = vec![Vec::new()];
                for part in parts {
                    let terms = part.terms(holds)?;
                    if product.len().saturating_mul(terms.len()) > MAX_TERMS {
                        return None;
                    }
                    let joined = |left: &Vec<Condition>| {
                        let left = left.clone();
                        terms.iter().map(move |right| [&left[..], right].concat())
                    };
                    product = product.iter().flat_map(joined).collect();
                }
                Some(product)
            }
            (Logic::All(parts), false) | (Logic::Any(parts), true) => {
                let mut sum = Vec::new();
                for part in parts {
                    sum.extend(part.terms(holds)?);
                    if sum.len() > MAX_TERMS {
                        return None;
                    }
                }
                Some(sum)
            }
        }
    }
}

/// What holds where a comparison does not.
fn negated(condition: &Condition) -> Vec<Vec<Condition>> {
    let with = |op| vec![vec![Condition { op, ..*condition }]];
    match condition.op {
        Op::Ne => with(Op::Eq),
        Op::Eq => with(Op::Ne),
        Op::Lt => with(Op::Ge),
        Op::Ge => with(Op::Lt),
        Op::Le => with(Op::Gt),
        Op::Gt => with(Op::Le),
        // One of the bits is another.
        Op::MaskedEq(mask) => {
            let bits = (0..64).map(|bit| 1u64 << bit).filter(|bit| mask & bit != 0);
            let other = |bit| Condition {
                op: Op::MaskedEq(bit),
                value: !condition.value & bit,
                ..*condition
            };
            bits.map(|bit| vec![other(bit)]).collect()
        }
    }
}
