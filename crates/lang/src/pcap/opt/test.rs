//! Tests in one form: a number on the left, a constant on the right where there is one,
//! bits by `jset`.

use skep_isa::classic::{Cond, Op, holds};

use super::dag::{Dag, Id, Node};
use super::value::{V, Value, Values};

/// A test's condition and sides.
pub type Test = (Cond, V, V);

/// Makes a node of a test, or takes the branch that is always taken.
pub fn make(dag: &mut Dag, values: &mut Values, test: Test, yes: Id, no: Id) -> Id {
    let (mut cond, mut left, mut right) = test;
    let (mut yes, mut no) = (yes, no);
    if let (Some(one), Some(other)) = (values.as_const(left), values.as_const(right)) {
        return if holds(cond, one, other) { yes } else { no };
    }
    if values.as_const(left).is_some() {
        std::mem::swap(&mut left, &mut right);
        // `k > v` is `not v >= k`.
        match cond {
            Cond::Gt => (cond, yes, no) = (Cond::Ge, no, yes),
            Cond::Ge => (cond, yes, no) = (Cond::Gt, no, yes),
            Cond::Eq | Cond::Set => {}
        }
    }
    if left == right && cond != Cond::Set {
        return if cond == Cond::Gt { no } else { yes };
    }
    if let Some(k) = values.as_const(right) {
        let max = values.max(left);
        match (cond, k) {
            (Cond::Ge, 0) => return yes,
            (Cond::Set, 0) => return no,
            (Cond::Eq | Cond::Ge, k) if k > max => return no,
            (Cond::Gt, k) if k >= max => return no,
            // `v > 0` is `v != 0`, `v >= max` is `v = max`.
            (Cond::Gt, 0) => (cond, yes, no) = (Cond::Eq, no, yes),
            (Cond::Ge, 1) => {
                (cond, yes, no) = (Cond::Eq, no, yes);
                right = values.constant(0);
            }
            (Cond::Ge, k) if k == max => cond = Cond::Eq,
            _ => {}
        }
    }
    // `v & m = 0` and `v & one bit = that bit`.
    if let (Cond::Eq, Some(k), Value::Alu(Op::And, inner, mask)) =
        (cond, values.as_const(right), values.get(left))
        && let Some(bits) = values.as_const(mask)
    {
        if k & !bits != 0 {
            return no;
        }
        if k == 0 || k == bits && bits.is_power_of_two() {
            if k == 0 {
                std::mem::swap(&mut yes, &mut no);
            }
            (cond, left, right) = (Cond::Set, inner, mask);
        }
    }
    dag.make(Node::Test { cond, left, right, yes, no })
}
