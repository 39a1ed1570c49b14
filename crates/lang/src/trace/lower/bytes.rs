//! Values of more than eight bytes, and numbers as bytes: into the region, where they lie until
//! their statement ends.

use skep_isa::{AluOp, Cond, Operand, Reg, Size};

use super::super::ast::UnaryOp;
use super::super::checked::{Builtin, Expr, ExprKind, Value};
use super::super::kind::{Kind, Type};
use super::code::{Code, Lowered};
use super::memory::size_of;
use super::place::Where;
use super::scalar::is_number;

impl<'a> Code<'_, 'a> {
    /// Where the bytes of a value lie in the region; it is put there if it lies elsewhere.
    pub fn bytes(&mut self, e: &'a Expr) -> Lowered<u32> {
        match &e.kind {
            ExprKind::Variable(id) => return Ok(self.variable(*id)),
            ExprKind::Part(of, index) => {
                let at = of.of.layout().offsets.get(*index as usize).copied().unwrap_or(0);
                if let Where::Inside(start) = self.locate(of)? {
                    return Ok(start + at);
                }
            }
            _ => {}
        }
        let at = self.room(e.of.size());
        self.put(e, at)?;
        Ok(at)
    }

    /// Puts a value into the region: as many bytes as its type has.
    pub fn put(&mut self, e: &'a Expr, at: u32) -> Lowered {
        if is_number(&e.of) {
            self.number(e)?;
            self.store(size_of(e.of.size()), at, Reg::R0);
            return Ok(());
        }
        match &e.kind {
            ExprKind::None => Ok(()),
            ExprKind::Constant(Value::Str(text)) => {
                self.literal(at, text, e.of.size());
                Ok(())
            }
            ExprKind::Parameter(id) => {
                let parameter = self.shared.script.parameters.get(id.0 as usize);
                match parameter.map(|parameter| &parameter.value) {
                    Some(Value::Str(text)) => {
                        let text = text.clone();
                        self.literal(at, &text, e.of.size());
                        Ok(())
                    }
                    _ => self.error("the parameter is no text"),
                }
            }
            ExprKind::Constant(_) => self.error("the constant is a number"),
            ExprKind::Variable(id) => {
                let from = self.variable(*id);
                self.copy(from, at, e.of.size());
                Ok(())
            }
            ExprKind::Builtin(builtin) => self.builtin_bytes(*builtin, e, at),
            ExprKind::Call(function, arguments) => self.call_bytes(function, arguments, e, at),
            ExprKind::Element(map, key) => self.element_bytes(*map, key, at),
            ExprKind::Tuple(parts) => self.put_parts(parts, &e.of, at),
            ExprKind::Cast(of) => self.cast_bytes(of, &e.of, at),
            ExprKind::Member(..)
            | ExprKind::Index(..)
            | ExprKind::Part(..)
            | ExprKind::Unary(UnaryOp::Deref, _) => {
                let place = self.locate(e)?;
                self.read_bytes(place, &e.of, at)
            }
            ExprKind::If(condition, then, otherwise) => {
                let (no, done) = (self.b.label(), self.b.label());
                self.condition(condition, no)?;
                self.put(then, at)?;
                self.b.goto(done);
                self.b.place(no);
                self.put(otherwise, at)?;
                self.b.place(done);
                Ok(())
            }
            ExprKind::Block(block, value) => {
                self.block(block)?;
                self.put(value, at)
            }
            _ => self.error("such a value cannot be kept"),
        }
    }

    /// The values of a tuple, each at its place, with zeros between them.
    fn put_parts(&mut self, parts: &'a [Expr], of: &Type, at: u32) -> Lowered {
        let (layout, types) = (of.layout(), of.parts());
        let used: u32 = types.iter().map(|part| part.size()).sum();
        if used != layout.size {
            self.clear(at, layout.size);
        }
        for (part, offset) in parts.iter().zip(&layout.offsets) {
            self.put(part, at + offset)?;
        }
        Ok(())
    }

    /// `r0`: whether two values have the same bytes.
    pub fn equal_bytes(&mut self, left: &'a Expr, right: &'a Expr, wanted: bool) -> Lowered {
        let level = self.top;
        let one = self.bytes(left)?;
        let other = self.bytes(right)?;
        // A string may be compared with one that has more room, which is zeros.
        let size = left.of.size().min(right.of.size());
        let size = match left.of.kind {
            Kind::Buffer(_) => size,
            _ => left.of.size().min(right.of.size()).max(1),
        };
        let (differs, done) = (self.b.label(), self.b.label());
        self.compare_bytes(one, other, size, differs)?;
        let longer = if left.of.size() > size { Some((one, left.of.size())) } else { None };
        let longer = longer.or((right.of.size() > size).then_some((other, right.of.size())));
        if let Some((at, whole)) = longer
            && left.of.is_string()
            && whole > size
        {
            // Equal so far, and the longer one has to end here.
            self.load(Reg::R0, Size::B, false, at + size);
            self.b.branch(Cond::Ne, Reg::R0, Operand::Imm(0), differs);
        }
        self.b.set(Reg::R0, i32::from(wanted));
        self.b.goto(done);
        self.b.place(differs);
        self.b.set(Reg::R0, i32::from(!wanted));
        self.b.place(done);
        self.top = level;
        Ok(())
    }

    /// Goes to `differs` unless bytes of the region are the same.
    pub fn compare_bytes(
        &mut self,
        one: u32,
        other: u32,
        size: u32,
        differs: skep_isa::build::Label,
    ) -> Lowered {
        /// As many words are compared one by one.
        const WORDS: u32 = 16;
        let words = size / 8;
        if words <= WORDS {
            for index in 0..words {
                self.load(Reg::R0, Size::DW, false, one + 8 * index);
                self.load(Reg::R1, Size::DW, false, other + 8 * index);
                self.b.branch(Cond::Ne, Reg::R0, Operand::Reg(Reg::R1), differs);
            }
        } else {
            let (turn, out) = (self.b.label(), self.b.label());
            self.load(Reg::R8, Size::DW, false, super::code::UNKNOWN_ZERO);
            self.b.place(turn);
            self.b.may_goto(out);
            self.b.branch(Cond::Ge, Reg::R8, Operand::Imm(8 * words as i32), out);
            for (reg, at) in [(Reg::R1, one), (Reg::R2, other)] {
                self.address(reg, at);
                self.b.alu(AluOp::Add, reg, Operand::Reg(Reg::R8));
                self.b.load(Size::DW, reg, reg, 0);
            }
            self.b.branch(Cond::Ne, Reg::R1, Operand::Reg(Reg::R2), differs);
            self.b.alu(AluOp::Add, Reg::R8, Operand::Imm(8));
            self.b.goto(turn);
            self.b.place(out);
        }
        let mut at = 8 * words;
        while at < size {
            let part = match size - at {
                4.. => Size::W,
                2.. => Size::H,
                _ => Size::B,
            };
            self.load(Reg::R0, part, false, one + at);
            self.load(Reg::R1, part, false, other + at);
            self.b.branch(Cond::Ne, Reg::R0, Operand::Reg(Reg::R1), differs);
            at += part.bytes();
        }
        Ok(())
    }

    /// Whether putting a value into a variable could change what the value is made of.
    pub fn is_fresh(e: &Expr) -> bool {
        matches!(
            e.kind,
            ExprKind::Constant(_) | ExprKind::Parameter(_) | ExprKind::Builtin(Builtin::Comm)
        )
    }
}
