//! Where values lie: in the region, in the context, or behind an address that is read with care.

use skep_abi::helper::id;
use skep_isa::{AluOp, Cond, Operand, Reg, Size};

use super::super::ast::UnaryOp;
use super::super::checked::{Builtin, Expr, ExprKind, Point};
use super::super::kind::{Kind, RecordId, Space, Type};
use super::super::records::Field;
use super::code::{Code, Lowered, WORD};
use super::memory::size_of;

/// Where a value lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Where {
    /// In the region.
    Inside(u32),
    /// In the context.
    Context(u32),
    /// At the address in r0, in whose memory.
    At(Space),
}

impl<'a> Code<'_, 'a> {
    /// Finds where a value lies; one that lies nowhere is put into the region.
    pub fn locate(&mut self, e: &'a Expr) -> Lowered<Where> {
        match &e.kind {
            ExprKind::Variable(id) => Ok(Where::Inside(self.variable(*id))),
            ExprKind::Builtin(Builtin::Arguments) => Ok(Where::Context(0)),
            ExprKind::Unary(UnaryOp::Deref, of) => {
                if let ExprKind::VariableAddress(id) = of.kind {
                    return Ok(Where::Inside(self.variable(id)));
                }
                self.number(of)?;
                Ok(Where::At(of.of.space))
            }
            ExprKind::Member(of, record, index) => self.member(of, *record, *index),
            ExprKind::Index(of, index) => self.indexed(of, index, e),
            ExprKind::Part(of, index) => {
                let at = of.of.layout().offsets.get(*index as usize).copied().unwrap_or(0);
                let place = self.locate(of)?;
                Ok(self.moved(place, at))
            }
            ExprKind::Cast(of) if e.of.is_pointer() && of.of.is_array() => self.locate(of),
            _ => Ok(Where::Inside(self.bytes(e)?)),
        }
    }

    /// The same place some bytes further on.
    fn moved(&mut self, place: Where, by: u32) -> Where {
        match place {
            Where::Inside(at) => Where::Inside(at + by),
            Where::Context(at) => Where::Context(at + by),
            Where::At(space) => {
                if by != 0 {
                    self.b.alu(AluOp::Add, Reg::R0, Operand::Imm(by as i32));
                }
                Where::At(space)
            }
        }
    }

    fn member(&mut self, of: &'a Expr, record: RecordId, index: u32) -> Lowered<Where> {
        let field = self.field(record, index)?;
        if of.of.arguments || matches!(of.kind, ExprKind::Builtin(Builtin::Arguments)) {
            return self.argument_place(&field);
        }
        let place = match of.of.is_pointer() {
            true => {
                self.number(of)?;
                Where::At(of.of.space)
            }
            false => self.locate(of)?,
        };
        Ok(self.moved(place, field.offset))
    }

    pub fn field(&self, record: RecordId, index: u32) -> Lowered<Field> {
        let fields = &self.shared.script.records.get(record).fields;
        match fields.get(index as usize) {
            Some(field) => Ok(field.clone()),
            None => self.error("no such member"),
        }
    }

    /// Where an argument of the probe lies.
    fn argument_place(&mut self, field: &Field) -> Lowered<Where> {
        if field.data_loc {
            // The context as a number, so that one can be added to it.
            self.b.copy(Reg::R0, Reg::R6);
            self.launder();
            self.b.load(Size::W, Reg::R1, Reg::R6, field.offset as i16);
            self.b.alu(AluOp::And, Reg::R1, Operand::Imm(0xffff));
            self.b.alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R1));
            return Ok(Where::At(Space::Kernel));
        }
        match self.program.points.first() {
            Some(Point::Uprobe { .. } | Point::Kprobe { .. } | Point::Usdt { .. }) => {
                match super::builtin::register_of_argument(field.offset / 8) {
                    Some(register) => Ok(Where::Context(u32::from(register))),
                    None => self.error("the argument is in no register"),
                }
            }
            _ => Ok(Where::Context(field.offset)),
        }
    }

    fn indexed(&mut self, of: &'a Expr, index: &'a Expr, e: &'a Expr) -> Lowered<Where> {
        let size = e.of.size().max(1);
        if of.of.is_pointer() {
            self.pair(of, index)?;
            self.b.alu(AluOp::Mul, Reg::R1, Operand::Imm(size as i32));
            self.b.alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R1));
            return Ok(Where::At(of.of.space));
        }
        if let ExprKind::Constant(super::super::checked::Value::Int(number)) = index.kind {
            let place = self.locate(of)?;
            let by = u32::try_from(number).unwrap_or(u32::MAX).saturating_mul(size);
            return Ok(self.moved(place, by.min(of.of.size().saturating_sub(size))));
        }
        self.computed_index(of, index, size)
    }

    /// An index that is known only when the program runs; beyond the end it is the last.
    fn computed_index(&mut self, of: &'a Expr, index: &'a Expr, size: u32) -> Lowered<Where> {
        let count = (of.of.size() / size).max(1);
        self.number(index)?;
        let fits = self.b.label();
        self.b.branch(Cond::Lt, Reg::R0, Operand::Imm(count as i32), fits);
        self.b.set(Reg::R0, count as i32 - 1);
        self.b.place(fits);
        let at = self.spill()?;
        let place = self.locate(of)?;
        match place {
            Where::Inside(from) => self.address(Reg::R0, from),
            Where::Context(from) => {
                self.b.copy(Reg::R0, Reg::R6);
                self.b.alu(AluOp::Add, Reg::R0, Operand::Imm(from as i32));
            }
            Where::At(_) => {}
        }
        if !matches!(place, Where::At(_)) {
            self.launder();
        }
        self.unspill(Reg::R1, at);
        self.b.alu(AluOp::Mul, Reg::R1, Operand::Imm(size as i32));
        self.b.alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R1));
        Ok(Where::At(match place {
            Where::At(space) => space,
            _ => Space::Kernel,
        }))
    }

    /// Reads a number from a place into r0.
    pub fn read_number(&mut self, place: Where, of: &Type) -> Lowered {
        let (size, signed) = (size_of(of.size()), of.is_signed());
        match place {
            Where::Inside(at) => self.load(Reg::R0, size, signed, at),
            Where::Context(at) => self.load_at(Reg::R0, size, signed, Reg::R6, at as i16),
            Where::At(space) => {
                self.b.copy(Reg::R3, Reg::R0);
                self.address(Reg::R1, WORD);
                self.b.set(Reg::R2, of.size() as i32);
                self.b.helper(reader(space));
                self.load(Reg::R0, size, signed, WORD);
            }
        }
        Ok(())
    }

    /// Reads bytes from a place into the region.
    pub fn read_bytes(&mut self, place: Where, of: &Type, to: u32) -> Lowered {
        let size = of.size();
        match place {
            Where::Inside(from) => {
                self.copy(from, to, size);
                return Ok(());
            }
            Where::Context(at) => {
                self.b.copy(Reg::R3, Reg::R6);
                self.b.alu(AluOp::Add, Reg::R3, Operand::Imm(at as i32));
            }
            Where::At(_) => self.b.copy(Reg::R3, Reg::R0),
        }
        let space = match place {
            Where::At(space) => space,
            _ => Space::Kernel,
        };
        if matches!(of.kind, Kind::String(_)) {
            // What stands behind a string's end is nothing, so that equal ones have equal bytes.
            self.b.copy(Reg::R0, Reg::R3);
            let at = self.spill()?;
            self.clear(to, size);
            self.unspill(Reg::R3, at);
            self.address(Reg::R1, to);
            self.b.set(Reg::R2, size as i32);
            self.b.helper(text_reader(space));
            return Ok(());
        }
        self.address(Reg::R1, to);
        self.b.set(Reg::R2, size as i32);
        self.b.helper(reader(space));
        Ok(())
    }

    /// Cuts the bits of a member out of r0.
    pub fn cut_bits(&mut self, field: &Field) {
        if let Some(bits) = field.bits {
            let (shift, width) =
                (i32::from(bits.shift.min(63)), i32::from(bits.width.clamp(1, 64)));
            self.b.alu(AluOp::Lsh, Reg::R0, Operand::Imm((64 - shift - width).max(0)));
            let op = if field.of.is_signed() { AluOp::Arsh } else { AluOp::Rsh };
            self.b.alu(op, Reg::R0, Operand::Imm(64 - width));
        }
    }
}

/// The helper that reads bytes.
pub(super) fn reader(space: Space) -> u32 {
    match space {
        Space::Kernel => id::PROBE_READ_KERNEL,
        Space::User => id::PROBE_READ_USER,
        Space::None => id::PROBE_READ,
    }
}

/// The helper that reads up to a zero.
pub(super) fn text_reader(space: Space) -> u32 {
    match space {
        Space::Kernel => id::PROBE_READ_KERNEL_STR,
        Space::User => id::PROBE_READ_USER_STR,
        Space::None => id::PROBE_READ_STR,
    }
}
