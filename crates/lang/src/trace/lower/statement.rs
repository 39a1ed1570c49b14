//! Statements. Loops are bounded by `may_goto`; a walk over a map is a callback, whose `break`
//! and `return` are results and a mark in the region.

use skep_isa::build::Label;
use skep_isa::{AluOp, Cond, Operand, Reg, Size};

use super::super::checked::{
    Block, Expr, ExprKind, Function, MapId, Point, Statement, StatementKind, VariableId,
};
use super::super::kind::{Kind, Type};
use super::code::{Code, ENDED, Loop, Lowered, RESULT, UNKNOWN_ZERO};
use super::element::object_map;
use super::memory::size_of;
use super::scalar::is_number;

impl<'a> Code<'_, 'a> {
    /// Lowers a statement. What it kept in the region is free again behind it.
    pub fn statement(&mut self, statement: &'a Statement) -> Lowered {
        let level = self.top;
        self.line(statement.place);
        match &statement.kind {
            StatementKind::Expr(e) => self.effect(e)?,
            StatementKind::Declare(id) => {
                let size = self.program.variables[id.0 as usize].of.size();
                let at = self.variable(*id);
                self.clear(at, size);
            }
            StatementKind::SetVariable(id, e) => self.set_variable(*id, e)?,
            StatementKind::SetElement(map, key, e) => self.set_element(*map, key, e)?,
            StatementKind::Aggregate { map, key, value } => {
                self.aggregate(*map, key, value.as_ref())?;
            }
            StatementKind::If(condition, then, otherwise) => {
                self.branches(condition, then, otherwise)?;
            }
            StatementKind::Unroll(count, block) => self.repeat(*count, block)?,
            StatementKind::While(condition, block) => self.while_loop(condition, block)?,
            StatementKind::ForMap(variable, map, block) => {
                self.for_map(*variable, *map, block)?;
            }
            StatementKind::ForRange(variable, from, to, block) => {
                self.for_range(*variable, from, to, block)?;
            }
            StatementKind::Break => match self.loops.last() {
                Some(of) => self.b.goto(of.out),
                None => return self.error("there is no loop here"),
            },
            StatementKind::Continue => match self.loops.last() {
                Some(of) => self.b.goto(of.next),
                None => return self.error("there is no loop here"),
            },
            StatementKind::Return(value) => self.leave(value.as_ref())?,
        }
        self.top = level;
        Ok(())
    }

    /// An expression for its effect.
    pub fn effect(&mut self, e: &'a Expr) -> Lowered {
        match &e.kind {
            ExprKind::Call(function, arguments) if self.act(function, arguments, e)? => Ok(()),
            ExprKind::If(condition, then, otherwise)
                if matches!(e.of.kind, Kind::None | Kind::Void) =>
            {
                let (no, done) = (self.b.label(), self.b.label());
                self.condition(condition, no)?;
                self.effect(then)?;
                self.b.goto(done);
                self.b.place(no);
                self.effect(otherwise)?;
                self.b.place(done);
                Ok(())
            }
            ExprKind::Block(block, value) => {
                self.block(block)?;
                self.effect(value)
            }
            ExprKind::None | ExprKind::Constant(_) => Ok(()),
            _ if is_number(&e.of) => self.number(e),
            _ if matches!(e.of.kind, Kind::None | Kind::Void) => self.number(e),
            _ => self.bytes(e).map(drop),
        }
    }

    fn set_variable(&mut self, id: VariableId, e: &'a Expr) -> Lowered {
        let of: Type = self.program.variables[id.0 as usize].of.clone();
        let at = self.variable(id);
        if is_number(&of) {
            self.number(e)?;
            self.store(size_of(of.size()), at, Reg::R0);
            return Ok(());
        }
        if Self::is_fresh(e) && e.of.size() == of.size() {
            return self.put(e, at);
        }
        // What the value is made of may be the variable itself.
        let from = self.bytes(e)?;
        let size = e.of.size().min(of.size());
        self.copy(from, at, size);
        if of.size() > size {
            self.clear(at + size, of.size() - size);
        }
        Ok(())
    }

    fn branches(&mut self, condition: &'a Expr, then: &'a Block, otherwise: &'a Block) -> Lowered {
        let (no, done) = (self.b.label(), self.b.label());
        self.condition(condition, no)?;
        self.block(then)?;
        if otherwise.statements.is_empty() {
            self.b.place(no);
            self.b.place(done);
            return Ok(());
        }
        self.b.goto(done);
        self.b.place(no);
        self.block(otherwise)?;
        self.b.place(done);
        Ok(())
    }

    /// Runs a loop's turn, in which `break` and `continue` are known.
    fn turn(&mut self, out: Label, next: Label, block: &'a Block) -> Lowered {
        self.loops.push(Loop { out, next });
        self.block(block)?;
        self.loops.pop();
        Ok(())
    }

    fn while_loop(&mut self, condition: &'a Expr, block: &'a Block) -> Lowered {
        let (turn, out) = (self.b.here(), self.b.label());
        self.b.may_goto(out);
        self.condition(condition, out)?;
        self.turn(out, turn, block)?;
        self.b.goto(turn);
        self.b.place(out);
        Ok(())
    }

    /// A block so many times, counted in the region.
    fn repeat(&mut self, count: u64, block: &'a Block) -> Lowered {
        let done = self.room(8);
        self.load(Reg::R0, Size::DW, false, UNKNOWN_ZERO);
        self.store(Size::DW, done, Reg::R0);
        let (turn, next, out) = (self.b.here(), self.b.label(), self.b.label());
        self.b.may_goto(out);
        self.load(Reg::R0, Size::DW, false, done);
        self.b.branch(Cond::Ge, Reg::R0, Operand::Imm(count as i32), out);
        self.turn(out, next, block)?;
        self.b.place(next);
        self.load(Reg::R0, Size::DW, false, done);
        self.b.alu(AluOp::Add, Reg::R0, Operand::Imm(1));
        self.store(Size::DW, done, Reg::R0);
        self.b.goto(turn);
        self.b.place(out);
        Ok(())
    }

    fn for_range(
        &mut self,
        variable: VariableId,
        from: &'a Expr,
        to: &'a Expr,
        block: &'a Block,
    ) -> Lowered {
        let of = self.program.variables[variable.0 as usize].of.clone();
        let at = self.variable(variable);
        let (current, end) = (self.room(8), self.room(8));
        self.number(from)?;
        self.store(Size::DW, current, Reg::R0);
        self.number(to)?;
        self.store(Size::DW, end, Reg::R0);
        let (turn, next, out) = (self.b.here(), self.b.label(), self.b.label());
        self.b.may_goto(out);
        self.load(Reg::R0, Size::DW, false, current);
        self.load(Reg::R1, Size::DW, false, end);
        self.b.branch(Cond::Sge, Reg::R0, Operand::Reg(Reg::R1), out);
        self.store(size_of(of.size()), at, Reg::R0);
        self.turn(out, next, block)?;
        self.b.place(next);
        self.load(Reg::R0, Size::DW, false, current);
        self.b.alu(AluOp::Add, Reg::R0, Operand::Imm(1));
        self.store(Size::DW, current, Reg::R0);
        self.b.goto(turn);
        self.b.place(out);
        Ok(())
    }

    fn for_map(&mut self, variable: VariableId, map: MapId, block: &'a Block) -> Lowered {
        let of = self.map_of(map);
        let pair = self.program.variables[variable.0 as usize].of.clone();
        let start = self.variable(variable);
        let places = pair.layout().offsets;
        let [key_at, value_at] = places[..] else {
            return self.error("the variable is no pair of key and value");
        };
        let (key_at, value_at) = (start + key_at, start + value_at);
        let (key_size, value) = (of.key.size(), of.value.clone());
        let function = self.callback(|code| {
            code.b.copy(Reg::R7, Reg::R3);
            code.b.copy(Reg::R8, Reg::R2);
            code.clear(start, pair.size());
            code.b.copy(Reg::R1, Reg::R8);
            code.copy_in(key_at, key_size);
            match value.kind {
                Kind::Aggregate(kind) => {
                    code.aggregate_number(map, kind, key_at)?;
                    code.store(Size::DW, value_at, Reg::R0);
                }
                _ => {
                    code.b.copy(Reg::R3, Reg::R7);
                    code.element_in_callback(&value, value_at);
                }
            }
            let (out, next) = (code.b.label(), code.b.label());
            code.turn(out, next, block)?;
            code.b.place(next);
            code.b.set(Reg::R0, 0);
            let end = code.end;
            code.b.goto(end);
            code.b.place(out);
            code.b.set(Reg::R0, 1);
            code.b.goto(end);
            Ok(())
        })?;
        self.for_each(object_map(map), function);
        // The callback may have ended the program.
        let on = self.b.label();
        self.load(Reg::R1, Size::DW, false, ENDED);
        self.b.branch(Cond::Eq, Reg::R1, Operand::Imm(0), on);
        match self.callback {
            true => self.b.set(Reg::R0, 1),
            false => self.load(Reg::R0, Size::DW, false, RESULT),
        }
        let end = self.end;
        self.b.goto(end);
        self.b.place(on);
        Ok(())
    }

    /// Leaves the program. Only tests have results: those of other programs mean things to
    /// the kernel.
    pub fn leave(&mut self, value: Option<&'a Expr>) -> Lowered {
        let is_test = matches!(self.program.points.first(), Some(Point::Test(_) | Point::Bench(_)));
        match value {
            Some(value) if is_number(&value.of) => {
                self.number(value)?;
                if !is_test {
                    self.b.set(Reg::R0, 0);
                }
            }
            _ => self.b.set(Reg::R0, 0),
        }
        if self.callback {
            self.store(Size::DW, RESULT, Reg::R0);
            self.store_imm(Size::DW, ENDED, 1);
            self.b.set(Reg::R0, 1);
        }
        let end = self.end;
        self.b.goto(end);
        Ok(())
    }

    /// Whether a call sends something or ends the program, which it then did.
    fn act(&mut self, function: &'a Function, arguments: &'a [Expr], e: &'a Expr) -> Lowered<bool> {
        self.action(function, arguments, e)
    }
}
