//! Operations on vectors: each is one or a few of Cranelift's. They have no checks, so
//! that only code that needs none has them.

use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types::*};
use skep_isa::Size;

use super::func::{Lowering, condition};
use super::memory::plain;
use crate::ir::vector::{BYTES, Vector, half, lanes};
use crate::ir::{Bin, Val};

/// The type of vectors with lanes of a size.
pub fn lanes_type(size: Size) -> Type {
    match size {
        Size::B => I8X16,
        Size::H => I16X8,
        Size::W => I32X4,
        Size::DW => I64X2,
    }
}

impl Lowering<'_, '_> {
    /// Lowers an operation; none is given by a store.
    pub fn vector(&mut self, op: Vector) -> Option<Value> {
        let value = match op {
            // Defined with its block.
            Vector::Param(_) => return None,
            Vector::Splat(size, of) => {
                let number = self.value(of);
                let lane = match size {
                    Size::DW => number,
                    _ => self.builder.ins().ireduce(super::func::sized_type(size), number),
                };
                self.builder.ins().splat(lanes_type(size), lane)
            }
            Vector::Load { size, base, off } => {
                let base = self.value(base);
                self.builder.ins().load(lanes_type(size), plain(), base, off)
            }
            Vector::Store { base, off, value, .. } => {
                let (base, value) = (self.value(base), self.value(value));
                self.builder.ins().store(plain(), value, base, off);
                return None;
            }
            Vector::Bin(op, _, left, right) => {
                let (left, right) = (self.value(left), self.value(right));
                let ins = self.builder.ins();
                match op {
                    Bin::Sub => ins.isub(left, right),
                    Bin::Mul => ins.imul(left, right),
                    Bin::And => ins.band(left, right),
                    Bin::Or => ins.bor(left, right),
                    Bin::Xor => ins.bxor(left, right),
                    Bin::Min => ins.umin(left, right),
                    Bin::Max => ins.umax(left, right),
                    _ => ins.iadd(left, right),
                }
            }
            Vector::Shift(op, _, of, amount) => {
                let of = self.value(of);
                let amount = self.builder.ins().iconst(I32, i64::from(amount));
                let ins = self.builder.ins();
                match op {
                    Bin::Shl => ins.ishl(of, amount),
                    Bin::Shr => ins.ushr(of, amount),
                    _ => ins.sshr(of, amount),
                }
            }
            Vector::Cmp(cond, _, left, right) => {
                let (left, right) = (self.value(left), self.value(right));
                self.builder.ins().icmp(condition(cond), left, right)
            }
            Vector::Select(_, mask, yes, no) => {
                let (mask, yes, no) = (self.value(mask), self.value(yes), self.value(no));
                self.builder.ins().bitselect(mask, yes, no)
            }
            Vector::Widen { signed, high, of, .. } => {
                let of = self.value(of);
                let ins = self.builder.ins();
                match (signed, high) {
                    (false, false) => ins.uwiden_low(of),
                    (false, true) => ins.uwiden_high(of),
                    (true, false) => ins.swiden_low(of),
                    (true, true) => ins.swiden_high(of),
                }
            }
            Vector::Narrow { from, upper, parts } => {
                let part = half(from).bytes();
                let bytes = std::array::from_fn(|at| {
                    let (lane, byte) = (at as u32 / part, at as u32 % part);
                    (lane * 2 * part + byte + if upper { part } else { 0 }) as u8
                });
                self.bytes(parts, bytes, half(from))
            }
            Vector::Product { high, of } => {
                let [left, right] = of.map(|val| {
                    let val = self.value(val);
                    match high {
                        false => self.builder.ins().uwiden_low(val),
                        true => self.builder.ins().uwiden_high(val),
                    }
                });
                self.builder.ins().imul(left, right)
            }
            Vector::Swap(size, of) => {
                let last = size.bytes() as u8 - 1;
                self.bytes([of, of], std::array::from_fn(|at| at as u8 ^ last), size)
            }
            Vector::Lane(size, lane, of) => {
                debug_assert!(u32::from(lane) < lanes(size));
                let of = self.value(of);
                let number = self.builder.ins().extractlane(of, lane);
                match size {
                    Size::DW => number,
                    _ => self.builder.ins().uextend(I64, number),
                }
            }
        };
        Some(value)
    }

    /// Bytes of two vectors, those of the second counted on from the first's.
    fn bytes(&mut self, of: [Val; 2], which: [u8; BYTES as usize], to: Size) -> Value {
        let flags = MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little);
        let [low, high] = of.map(|val| {
            let value = self.value(val);
            match self.builder.func.dfg.value_type(value) {
                I8X16 => value,
                _ => self.builder.ins().bitcast(I8X16, flags, value),
            }
        });
        let which = self.builder.func.dfg.immediates.push(which[..].into());
        let value = self.builder.ins().shuffle(low, high, which);
        match lanes_type(to) {
            I8X16 => value,
            ty => self.builder.ins().bitcast(ty, flags, value),
        }
    }
}
