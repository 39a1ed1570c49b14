//! Numbers: whatever has up to eight bytes is computed in r0, extended to 64 bits by its type.

use skep_isa::{AluOp, Cond, Insn, Operand, Order, Reg, Size, Width};

use super::super::ast::{BinaryOp, UnaryOp};
use super::super::checked::{Expr, ExprKind, Value, VariableId};
use super::super::kind::{Kind, Type};
use super::super::plan::Failure;
use super::code::{Code, Lowered};
use super::memory::size_of;

/// Whether values of a type are numbers in a register.
pub(super) fn is_number(of: &Type) -> bool {
    matches!(
        of.kind,
        Kind::Bool
            | Kind::Int { .. }
            | Kind::Pointer(_)
            | Kind::Ksym
            | Kind::Username
            | Kind::Aggregate(_)
    )
}

/// How many bytes a pointer's steps have.
pub(super) fn step(of: &Type) -> Option<u32> {
    match &of.kind {
        Kind::Pointer(to) => Some(to.size().max(1)),
        _ => None,
    }
}

impl<'a> Code<'_, 'a> {
    /// Computes a number in r0. All registers but r6 and r9 may change.
    pub fn number(&mut self, e: &'a Expr) -> Lowered {
        match &e.kind {
            ExprKind::None => {
                self.b.set(Reg::R0, 0);
                Ok(())
            }
            ExprKind::Constant(value) => self.known(value, &e.of),
            ExprKind::Parameter(id) => {
                let value = self.shared.script.parameters.get(id.0 as usize);
                match value {
                    Some(parameter) => self.known(&parameter.value, &e.of),
                    None => self.error("no such parameter"),
                }
            }
            ExprKind::Builtin(builtin) => self.builtin(*builtin, e),
            ExprKind::Call(function, arguments) => self.call(function, arguments, e),
            ExprKind::Variable(id) => {
                let at = self.variable(*id);
                let of = self.program.variables[id.0 as usize].of.clone();
                self.load_typed(at, &of);
                Ok(())
            }
            ExprKind::VariableAddress(id) => {
                // The address as a number: what points into the region is not computed with.
                let at = self.variable(*id);
                self.address(Reg::R0, at);
                self.launder();
                Ok(())
            }
            ExprKind::MapAddress(_) => self.error("a map has no address here"),
            ExprKind::Element(map, key) => self.element_number(*map, key),
            ExprKind::StepVariable(op, id) => self.step_variable(*op, *id),
            ExprKind::StepElement(op, map, key) => self.step_element(*op, *map, key),
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right, e),
            ExprKind::Unary(op, of) => self.unary(*op, of, e),
            ExprKind::Member(_, record, index) => {
                let field = self.field(*record, *index)?;
                let place = self.locate(e)?;
                if field.data_loc {
                    // What lies elsewhere in the record is its address.
                    return Ok(());
                }
                match field.bits {
                    Some(bits) => {
                        self.read_number(place, &Type::int(bits.read, false))?;
                        self.cut_bits(&field);
                        Ok(())
                    }
                    None => self.read_number(place, &e.of),
                }
            }
            ExprKind::Index(..) | ExprKind::Part(..) => {
                let place = self.locate(e)?;
                self.read_number(place, &e.of)
            }
            ExprKind::Cast(of) => self.cast_number(of, &e.of),
            ExprKind::Tuple(_) => self.error("a tuple is no number"),
            ExprKind::If(condition, then, otherwise) => {
                let (no, done) = (self.b.label(), self.b.label());
                self.condition(condition, no)?;
                self.number(then)?;
                self.b.goto(done);
                self.b.place(no);
                self.number(otherwise)?;
                self.b.place(done);
                Ok(())
            }
            ExprKind::Block(block, value) => {
                self.block(block)?;
                match value.of.kind {
                    Kind::None | Kind::Void => self.effect(value),
                    _ => self.number(value),
                }
            }
        }
    }

    /// Takes from r0 that it is a pointer.
    pub fn launder(&mut self) {
        self.store(Size::DW, super::code::WORD, Reg::R0);
        self.load(Reg::R0, Size::DW, false, super::code::WORD);
    }

    fn known(&mut self, value: &Value, of: &Type) -> Lowered {
        let number = match value {
            Value::Bool(bit) => u64::from(*bit),
            Value::Int(number) => *number,
            Value::Negative(number) => number.cast_unsigned(),
            Value::Str(_) => return self.error("text is no number"),
        };
        self.constant(Reg::R0, extended(number, of));
        Ok(())
    }

    /// A constant that a register can be compared and combined with.
    fn small(e: &Expr) -> Option<i32> {
        let ExprKind::Constant(value) = &e.kind else { return None };
        let number = match value {
            Value::Bool(bit) => u64::from(*bit),
            Value::Int(number) => *number,
            Value::Negative(number) => number.cast_unsigned(),
            Value::Str(_) => return None,
        };
        i32::try_from(extended(number, &e.of).cast_signed()).ok()
    }

    /// Goes to `no` unless a condition holds.
    pub fn condition(&mut self, e: &'a Expr, no: skep_isa::build::Label) -> Lowered {
        if !is_number(&e.of) {
            return self.error("the condition is no number");
        }
        self.number(e)?;
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), no);
        Ok(())
    }

    /// Loads a number of the region by its type.
    pub fn load_typed(&mut self, at: u32, of: &Type) {
        self.load(Reg::R0, size_of(of.size()), of.is_signed(), at);
    }

    /// Cuts r0 to a type's bytes and extends it by its sign.
    pub fn normalize(&mut self, of: &Type) {
        self.normalize_in(Reg::R0, of);
    }

    pub fn normalize_in(&mut self, reg: Reg, of: &Type) {
        let bits = match of.size() {
            1 => 8,
            2 => 16,
            4 => 32,
            _ => return,
        };
        let back = if of.is_signed() { AluOp::Arsh } else { AluOp::Rsh };
        match (bits, of.is_signed()) {
            (32, false) => {
                let (op, width, src) = (AluOp::Mov, Width::W32, Operand::Reg(reg));
                self.b.push(Insn::Alu { op, width, dst: reg, src });
            }
            _ => {
                self.b.alu(AluOp::Lsh, reg, Operand::Imm(64 - bits));
                self.b.alu(back, reg, Operand::Imm(64 - bits));
            }
        }
    }

    /// Computes two numbers: the first in r0, the second in r1.
    pub fn pair(&mut self, left: &'a Expr, right: &'a Expr) -> Lowered {
        self.number(left)?;
        if let Some(small) = Self::small(right) {
            self.b.set(Reg::R1, small);
            return Ok(());
        }
        let at = self.spill()?;
        self.number(right)?;
        self.b.copy(Reg::R1, Reg::R0);
        self.unspill(Reg::R0, at);
        Ok(())
    }

    fn binary(&mut self, op: BinaryOp, left: &'a Expr, right: &'a Expr, e: &'a Expr) -> Lowered {
        if op.is_logical() {
            return self.logical(op == BinaryOp::And, left, right);
        }
        if op.compares() {
            return self.compare(op, left, right);
        }
        self.pair(left, right)?;
        let (scale_left, scale_right) = (step(&right.of), step(&left.of));
        if let (None, Some(size)) = (scale_left, scale_right) {
            self.b.alu(AluOp::Mul, Reg::R1, Operand::Imm(size as i32));
        } else if let (Some(size), None) = (scale_left, scale_right) {
            self.b.alu(AluOp::Mul, Reg::R0, Operand::Imm(size as i32));
        }
        self.arithmetic(op, &left.of)?;
        self.normalize(&e.of);
        Ok(())
    }

    /// `r0 = r0 op r1`
    fn arithmetic(&mut self, op: BinaryOp, of: &Type) -> Lowered {
        let signed = of.is_signed();
        let alu = match op {
            BinaryOp::Add => AluOp::Add,
            BinaryOp::Sub => AluOp::Sub,
            BinaryOp::Mul => AluOp::Mul,
            BinaryOp::Div if signed => AluOp::SDiv,
            BinaryOp::Div => AluOp::Div,
            BinaryOp::Mod if signed => AluOp::SMod,
            BinaryOp::Mod => AluOp::Mod,
            BinaryOp::BitAnd => AluOp::And,
            BinaryOp::BitOr => AluOp::Or,
            BinaryOp::BitXor => AluOp::Xor,
            BinaryOp::Left => AluOp::Lsh,
            BinaryOp::Right if signed => AluOp::Arsh,
            BinaryOp::Right => AluOp::Rsh,
            _ => return self.error("no such operation"),
        };
        if !matches!(op, BinaryOp::Div | BinaryOp::Mod) {
            self.b.alu(alu, Reg::R0, Operand::Reg(Reg::R1));
            return Ok(());
        }
        // What is divided by zero is 1, and said.
        let (right, done) = (self.b.label(), self.b.label());
        self.b.branch(Cond::Ne, Reg::R1, Operand::Imm(0), right);
        self.b.set(Reg::R0, 0);
        self.report(Failure::Division);
        self.b.set(Reg::R0, 1);
        self.b.goto(done);
        self.b.place(right);
        self.b.alu(alu, Reg::R0, Operand::Reg(Reg::R1));
        self.b.place(done);
        Ok(())
    }

    fn logical(&mut self, and: bool, left: &'a Expr, right: &'a Expr) -> Lowered {
        let (short, done) = (self.b.label(), self.b.label());
        let stops = if and { Cond::Eq } else { Cond::Ne };
        self.number(left)?;
        self.b.branch(stops, Reg::R0, Operand::Imm(0), short);
        self.number(right)?;
        self.b.branch(stops, Reg::R0, Operand::Imm(0), short);
        self.b.set(Reg::R0, i32::from(and));
        self.b.goto(done);
        self.b.place(short);
        self.b.set(Reg::R0, i32::from(!and));
        self.b.place(done);
        Ok(())
    }

    fn compare(&mut self, op: BinaryOp, left: &'a Expr, right: &'a Expr) -> Lowered {
        if !is_number(&left.of) || !is_number(&right.of) {
            let is_equal = matches!(op, BinaryOp::Eq);
            if !matches!(op, BinaryOp::Eq | BinaryOp::Ne) {
                return self.error("such values have no order");
            }
            return self.equal_bytes(left, right, is_equal);
        }
        let signed = left.of.is_signed() || right.of.is_signed() && !left.of.is_pointer();
        let cond = match (op, signed) {
            (BinaryOp::Eq, _) => Cond::Eq,
            (BinaryOp::Ne, _) => Cond::Ne,
            (BinaryOp::Lt, true) => Cond::Slt,
            (BinaryOp::Lt, false) => Cond::Lt,
            (BinaryOp::Le, true) => Cond::Sle,
            (BinaryOp::Le, false) => Cond::Le,
            (BinaryOp::Gt, true) => Cond::Sgt,
            (BinaryOp::Gt, false) => Cond::Gt,
            (_, true) => Cond::Sge,
            (_, false) => Cond::Ge,
        };
        self.pair(left, right)?;
        self.truth(cond, Reg::R0, Operand::Reg(Reg::R1));
        Ok(())
    }

    /// `r0 = dst cond src`
    pub fn truth(&mut self, cond: Cond, dst: Reg, src: Operand) {
        let (yes, done) = (self.b.label(), self.b.label());
        self.b.branch(cond, dst, src, yes);
        self.b.set(Reg::R0, 0);
        self.b.goto(done);
        self.b.place(yes);
        self.b.set(Reg::R0, 1);
        self.b.place(done);
    }

    fn unary(&mut self, op: UnaryOp, of: &'a Expr, e: &'a Expr) -> Lowered {
        match op {
            UnaryOp::Deref => {
                let place = self.locate(e)?;
                self.read_number(place, &e.of)
            }
            UnaryOp::Not => {
                self.number(of)?;
                self.truth(Cond::Eq, Reg::R0, Operand::Imm(0));
                Ok(())
            }
            UnaryOp::Minus => {
                self.number(of)?;
                self.b.push(Insn::Neg { width: Width::W64, dst: Reg::R0 });
                self.normalize(&e.of);
                Ok(())
            }
            UnaryOp::BitNot => {
                self.number(of)?;
                self.b.alu(AluOp::Xor, Reg::R0, Operand::Imm(-1));
                self.normalize(&e.of);
                Ok(())
            }
            _ => self.error("it cannot be counted"),
        }
    }

    /// What `++` and `--` add.
    pub fn step_of(op: UnaryOp, of: &Type) -> i32 {
        let size = step(of).unwrap_or(1) as i32;
        if op.is_decrement() { -size } else { size }
    }

    fn step_variable(&mut self, op: UnaryOp, id: VariableId) -> Lowered {
        let (at, of) = (self.variable(id), self.program.variables[id.0 as usize].of.clone());
        self.load_typed(at, &of);
        self.b.copy(Reg::R1, Reg::R0);
        self.b.alu(AluOp::Add, Reg::R1, Operand::Imm(Self::step_of(op, &of)));
        self.normalize_in(Reg::R1, &of);
        self.store(size_of(of.size()), at, Reg::R1);
        if matches!(op, UnaryOp::PreIncrement | UnaryOp::PreDecrement) {
            self.b.copy(Reg::R0, Reg::R1);
        }
        Ok(())
    }

    /// `r0` with its bytes the other way round.
    pub fn swap(&mut self, of: &Type) {
        let size = match of.size() {
            1 => return,
            2 => Size::H,
            4 => Size::W,
            _ => Size::DW,
        };
        self.b.push(Insn::ByteSwap { order: Order::Be, size, dst: Reg::R0 });
    }
}

/// A number cut to a type's bytes and extended by its sign.
pub(super) fn extended(number: u64, of: &Type) -> u64 {
    let shift = match of.size() {
        1 => 56,
        2 => 48,
        4 => 32,
        _ => return number,
    };
    match of.is_signed() {
        true => ((number << shift).cast_signed() >> shift).cast_unsigned(),
        false => number << shift >> shift,
    }
}
