//! Numbers that a program computes, each kept once: two places that compute the same have
//! the same id. Folding is done by the interpreter's own arithmetic.

use rustc_hash::FxHashMap;
use skep_isa::Size;
use skep_isa::classic::{Ancillary, Op, alu};

/// A number's id.
pub type V = u32;

/// How a number comes to be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    Const(u32),
    /// The packet's length on the wire.
    Len,
    Ancillary(Ancillary, Size),
    /// Bytes of the packet: at an offset, and another number from it on.
    Load {
        size: Size,
        base: Option<V>,
        offset: u32,
    },
    Alu(Op, V, V),
    Neg(V),
}

/// All numbers of a program.
#[derive(Debug, Default)]
pub struct Values {
    list: Vec<Value>,
    ids: FxHashMap<Value, V>,
}

/// Bytes of a load.
pub fn bytes(size: Size) -> u32 {
    match size {
        Size::B => 1,
        Size::H => 2,
        Size::W | Size::DW => 4,
    }
}

impl Values {
    pub fn get(&self, id: V) -> Value {
        self.list[id as usize]
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Every load, with its size, base and offset.
    pub fn loads(&self) -> impl Iterator<Item = (V, Size, Option<V>, u32)> {
        self.list.iter().zip(0..).filter_map(|(value, id)| match *value {
            Value::Load { size, base, offset } => Some((id, size, base, offset)),
            _ => None,
        })
    }

    /// The numbers that one is made of.
    pub fn parts(&self, id: V) -> [Option<V>; 2] {
        match self.get(id) {
            Value::Const(_) | Value::Len | Value::Ancillary(..) => [None, None],
            Value::Load { base, .. } => [base, None],
            Value::Neg(inner) => [Some(inner), None],
            Value::Alu(_, left, right) => [Some(left), Some(right)],
        }
    }

    pub fn constant(&mut self, k: u32) -> V {
        self.make(Value::Const(k))
    }

    pub fn as_const(&self, id: V) -> Option<u32> {
        match self.get(id) {
            Value::Const(k) => Some(k),
            _ => None,
        }
    }

    pub fn make(&mut self, value: Value) -> V {
        if let Some(&id) = self.ids.get(&value) {
            return id;
        }
        let id = self.list.len() as V;
        self.list.push(value);
        self.ids.insert(value, id);
        id
    }

    /// The largest that a number can be.
    pub fn max(&self, id: V) -> u32 {
        match self.get(id) {
            Value::Const(k) => k,
            Value::Load { size: Size::B, .. } => 0xff,
            Value::Load { size: Size::H, .. } => 0xffff,
            Value::Alu(Op::And, left, right) => self.max(left).min(self.max(right)),
            Value::Alu(Op::Lsh, left, right) => match self.as_const(right) {
                Some(by) if by < 32 => {
                    u32::try_from(u64::from(self.max(left)) << by).unwrap_or(u32::MAX)
                }
                _ => u32::MAX,
            },
            Value::Alu(Op::Rsh, left, right) => match self.as_const(right) {
                Some(by) if by < 32 => self.max(left) >> by,
                _ => u32::MAX,
            },
            Value::Alu(Op::Add, left, right) => self.max(left).saturating_add(self.max(right)),
            Value::Alu(Op::Div, left, _) => self.max(left),
            _ => u32::MAX,
        }
    }

    /// A load behind a number; `None` where no packet is as long.
    pub fn load(&mut self, size: Size, base: Option<V>, offset: u32) -> V {
        let Some(base) = base else { return self.make(Value::Load { size, base: None, offset }) };
        match self.get(base) {
            // Offsets that are metadata in Linux stay what they were.
            Value::Const(k) if u64::from(k) + u64::from(offset) < 0x8000_0000 => {
                self.make(Value::Load { size, base: None, offset: k + offset })
            }
            Value::Alu(Op::Add, left, right) => match self.as_const(right) {
                Some(k)
                    if u64::from(self.max(left)) + u64::from(k) + u64::from(offset)
                        < 0x8000_0000 =>
                {
                    self.load(size, Some(left), offset + k)
                }
                _ => self.make(Value::Load { size, base: Some(base), offset }),
            },
            _ => self.make(Value::Load { size, base: Some(base), offset }),
        }
    }

    pub fn neg(&mut self, id: V) -> V {
        match self.get(id) {
            Value::Const(k) => self.constant(k.wrapping_neg()),
            Value::Neg(inner) => inner,
            _ => self.make(Value::Neg(id)),
        }
    }

    /// `left op right`, folded where that is the same for every packet.
    pub fn alu(&mut self, op: Op, left: V, right: V) -> V {
        let commutes = matches!(op, Op::Add | Op::Mul | Op::Or | Op::And | Op::Xor);
        let (left, right) = match (self.as_const(left), self.as_const(right)) {
            (Some(one), Some(other)) => {
                let shift = matches!(op, Op::Lsh | Op::Rsh) && other > 31;
                match alu(op, one, other, false) {
                    // By 32 and more Linux shifts by something else.
                    Some(value) if !shift => return self.constant(value),
                    _ => return self.make(Value::Alu(op, left, right)),
                }
            }
            (Some(_), None) if commutes => (right, left),
            _ => (left, right),
        };
        let Some(k) = self.as_const(right) else {
            let (left, right) =
                if commutes && right < left { (right, left) } else { (left, right) };
            return self.make(Value::Alu(op, left, right));
        };
        match (op, k) {
            (Op::Add | Op::Sub | Op::Or | Op::Xor | Op::Lsh | Op::Rsh, 0) => return left,
            (Op::Mul | Op::Div, 1) => return left,
            // Loads within still have to be in the packet: the effect is kept apart.
            (Op::And | Op::Mul, 0) => return self.constant(0),
            (Op::Mul, k) if k.is_power_of_two() => {
                let by = self.constant(k.trailing_zeros());
                return self.alu(Op::Lsh, left, by);
            }
            (Op::Div, k) if k.is_power_of_two() => {
                let by = self.constant(k.trailing_zeros());
                return self.alu(Op::Rsh, left, by);
            }
            (Op::Mod, k) if k.is_power_of_two() => {
                let mask = self.constant(k - 1);
                return self.alu(Op::And, left, mask);
            }
            (Op::Sub, k) => {
                let k = self.constant(k.wrapping_neg());
                return self.alu(Op::Add, left, k);
            }
            (Op::And, k) => {
                // All bits that there can be.
                let reach = self.max(left).checked_next_power_of_two().map_or(u32::MAX, |p| p - 1);
                let reach = reach | self.max(left);
                if k & reach == reach {
                    return left;
                }
            }
            _ => {}
        }
        if let Value::Alu(inner, first, second) = self.get(left)
            && let Some(before) = self.as_const(second)
        {
            match (op, inner) {
                (Op::And, Op::And) => {
                    let mask = self.constant(k & before);
                    return self.alu(Op::And, first, mask);
                }
                (Op::Or, Op::Or) | (Op::Xor, Op::Xor) | (Op::Add, Op::Add) => {
                    let joined = alu(op, before, k, false).unwrap_or_default();
                    let joined = self.constant(joined);
                    return self.alu(op, first, joined);
                }
                _ => {}
            }
        }
        self.make(Value::Alu(op, left, right))
    }

    /// Whether evaluating it can end the run by itself.
    pub fn can_fail(&self, id: V) -> bool {
        match self.get(id) {
            Value::Load { .. } | Value::Ancillary(..) => true,
            Value::Alu(Op::Div | Op::Mod, _, right) => self.as_const(right).is_none_or(|k| k == 0),
            _ => false,
        }
    }

    /// Everything that is evaluated with it and can fail, itself too, what is inside first.
    pub fn effects(&self, id: V, found: &mut Vec<V>) {
        match self.get(id) {
            Value::Const(_) | Value::Len | Value::Ancillary(..) => {}
            Value::Load { base, .. } => {
                if let Some(base) = base {
                    self.effects(base, found);
                }
            }
            Value::Neg(inner) => self.effects(inner, found),
            Value::Alu(_, left, right) => {
                self.effects(left, found);
                self.effects(right, found);
            }
        }
        if self.can_fail(id) && !found.contains(&id) {
            found.push(id);
        }
    }

    /// `4 * (byte & 0xf)` of a byte at a constant offset: what one instruction loads into X.
    pub fn header_len(&self, id: V) -> Option<u32> {
        let Value::Alu(Op::Lsh, masked, by) = self.get(id) else { return None };
        let Value::Alu(Op::And, byte, mask) = self.get(masked) else { return None };
        match (self.get(byte), self.as_const(by), self.as_const(mask)) {
            (Value::Load { size: Size::B, base: None, offset }, Some(2), Some(0xf)) => Some(offset),
            _ => None,
        }
    }
}
