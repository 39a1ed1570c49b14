//! Text in the region: compared, measured, searched, joined, byte by byte in loops that
//! `may_goto` bounds.

use skep_isa::build::Label;
use skep_isa::{AluOp, Cond, Operand, Reg, Size};

use super::super::checked::{Expr, ExprKind, Value};
use super::code::{Code, Lowered, UNKNOWN_ZERO};
use super::place::{Where, text_reader};
use super::scalar::is_number;

/// Text in the region: where, and how many bytes at most.
#[derive(Clone, Copy)]
struct Text {
    at: u32,
    size: u32,
}

impl<'a> Code<'_, 'a> {
    /// Text in the region; that behind a pointer is read.
    fn text(&mut self, e: &'a Expr) -> Lowered<Text> {
        if let ExprKind::Cast(of) = &e.kind
            && let ExprKind::VariableAddress(id) = of.kind
        {
            let size = self.program.variables[id.0 as usize].of.size();
            return Ok(Text { at: self.variable(id), size });
        }
        if let ExprKind::VariableAddress(id) = e.kind {
            let size = self.program.variables[id.0 as usize].of.size();
            return Ok(Text { at: self.variable(id), size });
        }
        if !is_number(&e.of) {
            return match self.locate(e)? {
                Where::Inside(at) => Ok(Text { at, size: e.of.size() }),
                place => {
                    let at = self.room(e.of.size());
                    self.read_bytes(place, &e.of, at)?;
                    Ok(Text { at, size: e.of.size() })
                }
            };
        }
        let size = u32::try_from(self.shared.script.config.max_strlen).unwrap_or(1024);
        self.number(e)?;
        let pointer = self.spill()?;
        let at = self.room(size);
        self.clear(at, size);
        self.unspill(Reg::R3, pointer);
        self.address(Reg::R1, at);
        self.b.set(Reg::R2, size as i32);
        self.b.helper(text_reader(e.of.space));
        Ok(Text { at, size })
    }

    /// `r8`: a zero that no verifier knows, so that a loop's second turn is like its first.
    fn begin_at_zero(&mut self, counter: Reg) {
        self.load(counter, Size::DW, false, UNKNOWN_ZERO);
    }

    /// `dst`: the byte of number `index` of a text; goes to `beyond` where there is none.
    fn byte(&mut self, dst: Reg, text: Text, index: Reg, beyond: Label) {
        self.b.branch(Cond::Ge, index, Operand::Imm(text.size as i32), beyond);
        self.address(dst, text.at);
        self.b.alu(AluOp::Add, dst, Operand::Reg(index));
        self.b.load(Size::B, dst, dst, 0);
    }

    /// `r0`: 0 where the first bytes of two texts are the same, else 1.
    pub fn strncmp(&mut self, one: &'a Expr, other: &'a Expr, most: u64) -> Lowered {
        let level = self.top;
        let one = self.text(one)?;
        let other = self.text(other)?;
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let (equal, differs, done) = (self.b.label(), self.b.label(), self.b.label());
        let (ended_one, ended_other) = (self.b.label(), self.b.label());
        self.begin_at_zero(Reg::R8);
        let turn = self.b.here();
        self.b.may_goto(equal);
        self.b.branch(Cond::Ge, Reg::R8, Operand::Imm(most), equal);
        self.byte(Reg::R1, one, Reg::R8, ended_one);
        self.byte(Reg::R2, other, Reg::R8, ended_other);
        self.b.branch(Cond::Ne, Reg::R1, Operand::Reg(Reg::R2), differs);
        self.b.branch(Cond::Eq, Reg::R1, Operand::Imm(0), equal);
        self.b.alu(AluOp::Add, Reg::R8, Operand::Imm(1));
        self.b.goto(turn);
        // Where one has no more bytes, the other has to end as well.
        self.b.place(ended_one);
        self.byte(Reg::R1, other, Reg::R8, equal);
        self.b.place(ended_other);
        self.b.branch(Cond::Ne, Reg::R1, Operand::Imm(0), differs);
        self.b.place(equal);
        self.b.set(Reg::R0, 0);
        self.b.goto(done);
        self.b.place(differs);
        self.b.set(Reg::R0, 1);
        self.b.place(done);
        self.top = level;
        Ok(())
    }

    /// `r0`: how two values differ in their first bytes, as of `memcmp(3)`.
    pub fn memcmp(&mut self, one: &'a Expr, other: &'a Expr, size: &'a Expr) -> Lowered {
        let level = self.top;
        let ExprKind::Constant(Value::Int(most)) = size.kind else {
            return self.error("memcmp() takes a number that is known");
        };
        let one = self.text(one)?;
        let other = self.text(other)?;
        let most = u32::try_from(most).unwrap_or(u32::MAX).min(one.size).min(other.size);
        let (equal, done) = (self.b.label(), self.b.label());
        self.begin_at_zero(Reg::R8);
        let turn = self.b.here();
        self.b.may_goto(equal);
        self.b.branch(Cond::Ge, Reg::R8, Operand::Imm(most as i32), equal);
        self.byte(Reg::R0, one, Reg::R8, equal);
        self.byte(Reg::R1, other, Reg::R8, equal);
        self.b.alu(AluOp::Sub, Reg::R0, Operand::Reg(Reg::R1));
        self.b.branch(Cond::Ne, Reg::R0, Operand::Imm(0), done);
        self.b.alu(AluOp::Add, Reg::R8, Operand::Imm(1));
        self.b.goto(turn);
        self.b.place(equal);
        self.b.set(Reg::R0, 0);
        self.b.place(done);
        self.top = level;
        Ok(())
    }

    /// `r0`: how many bytes a text has before its first zero.
    pub fn strlen(&mut self, of: &'a Expr, most: Option<&'a Expr>) -> Lowered {
        let level = self.top;
        let mut text = self.text(of)?;
        if let Some(ExprKind::Constant(Value::Int(most))) = most.map(|most| &most.kind) {
            text.size = text.size.min(u32::try_from(*most).unwrap_or(u32::MAX));
        }
        let out = self.b.label();
        self.begin_at_zero(Reg::R8);
        let turn = self.b.here();
        self.b.may_goto(out);
        self.byte(Reg::R1, text, Reg::R8, out);
        self.b.branch(Cond::Eq, Reg::R1, Operand::Imm(0), out);
        self.b.alu(AluOp::Add, Reg::R8, Operand::Imm(1));
        self.b.goto(turn);
        self.b.place(out);
        self.b.copy(Reg::R0, Reg::R8);
        self.top = level;
        Ok(())
    }

    /// `r0`: where a text begins in another, or -1.
    pub fn strstr(&mut self, text: &'a Expr, part: &'a Expr) -> Lowered {
        let level = self.top;
        let text = self.text(text)?;
        let part = self.text(part)?;
        let (found, missing, done) = (self.b.label(), self.b.label(), self.b.label());
        let next = self.b.label();
        // r8: where the part is tried, r7: how much of it fits.
        self.begin_at_zero(Reg::R8);
        let outer = self.b.here();
        self.b.may_goto(missing);
        self.b.branch(Cond::Gt, Reg::R8, Operand::Imm(text.size as i32), missing);
        self.begin_at_zero(Reg::R7);
        let inner = self.b.here();
        self.b.may_goto(missing);
        self.byte(Reg::R1, part, Reg::R7, found);
        self.b.branch(Cond::Eq, Reg::R1, Operand::Imm(0), found);
        self.b.copy(Reg::R3, Reg::R8);
        self.b.alu(AluOp::Add, Reg::R3, Operand::Reg(Reg::R7));
        self.byte(Reg::R2, text, Reg::R3, missing);
        self.b.branch(Cond::Eq, Reg::R2, Operand::Imm(0), missing);
        self.b.branch(Cond::Ne, Reg::R1, Operand::Reg(Reg::R2), next);
        self.b.alu(AluOp::Add, Reg::R7, Operand::Imm(1));
        self.b.goto(inner);
        self.b.place(next);
        self.b.alu(AluOp::Add, Reg::R8, Operand::Imm(1));
        self.b.goto(outer);
        self.b.place(found);
        self.b.copy(Reg::R0, Reg::R8);
        self.b.goto(done);
        self.b.place(missing);
        self.b.set(Reg::R0, -1);
        self.b.place(done);
        self.top = level;
        Ok(())
    }

    /// Two texts in a row, as much as there is room for with a zero behind it.
    pub fn str_concat(&mut self, one: &'a Expr, other: &'a Expr, e: &'a Expr, at: u32) -> Lowered {
        let level = self.top;
        let parts = [self.text(one)?, self.text(other)?];
        let size = e.of.size();
        self.clear(at, size);
        // r7: where the next byte goes.
        self.begin_at_zero(Reg::R7);
        for part in parts {
            let out = self.b.label();
            self.begin_at_zero(Reg::R8);
            let turn = self.b.here();
            self.b.may_goto(out);
            self.byte(Reg::R1, part, Reg::R8, out);
            self.b.branch(Cond::Eq, Reg::R1, Operand::Imm(0), out);
            self.b.branch(Cond::Ge, Reg::R7, Operand::Imm(size as i32 - 1), out);
            self.address(Reg::R2, at);
            self.b.alu(AluOp::Add, Reg::R2, Operand::Reg(Reg::R7));
            self.b.store(Size::B, Reg::R2, 0, Operand::Reg(Reg::R1));
            self.b.alu(AluOp::Add, Reg::R7, Operand::Imm(1));
            self.b.alu(AluOp::Add, Reg::R8, Operand::Imm(1));
            self.b.goto(turn);
            self.b.place(out);
        }
        self.top = level;
        Ok(())
    }
}
