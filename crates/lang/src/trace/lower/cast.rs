//! Values as values of other types.

use skep_isa::{Cond, Operand, Reg, Size};

use super::super::checked::{Expr, ExprKind};
use super::super::kind::{Kind, Type};
use super::code::{Code, Lowered, WORD};
use super::memory::size_of;
use super::scalar::is_number;

impl<'a> Code<'_, 'a> {
    /// A value as a number.
    pub fn cast_number(&mut self, of: &'a Expr, to: &Type) -> Lowered {
        if is_number(&of.of) {
            self.number(of)?;
            if let (Kind::Int { size, .. }, true) = (&of.of.kind, to.is_pointer()) {
                // A small number has no sign as an address.
                self.normalize(&Type::int(*size, false));
                return Ok(());
            }
            if matches!(to.kind, Kind::Bool) && !matches!(of.of.kind, Kind::Bool) {
                self.truth(Cond::Ne, Reg::R0, Operand::Imm(0));
            } else if !matches!(of.of.kind, Kind::Aggregate(_)) || to.size() < 8 {
                self.normalize(to);
            }
            return Ok(());
        }
        if to.is_pointer() && of.of.is_array() {
            // An array's address.
            match self.locate(of)? {
                super::place::Where::Inside(at) => {
                    self.address(Reg::R0, at);
                    self.launder();
                }
                super::place::Where::Context(at) => {
                    self.b.copy(Reg::R0, Reg::R6);
                    self.b.alu(skep_isa::AluOp::Add, Reg::R0, Operand::Imm(at as i32));
                    self.launder();
                }
                super::place::Where::At(_) => {}
            }
            return Ok(());
        }
        // An array's bytes as a number.
        let level = self.top;
        let at = self.room(8);
        let from = self.bytes(of)?;
        self.store_imm(Size::DW, at, 0);
        self.copy(from, at, of.of.size().min(8));
        self.load_typed(at, to);
        self.top = level;
        Ok(())
    }

    /// A value as bytes of another type.
    pub fn cast_bytes(&mut self, of: &'a Expr, to: &Type, at: u32) -> Lowered {
        if let (Kind::Tuple(_), ExprKind::Tuple(parts)) = (&to.kind, &of.kind)
            && parts.iter().zip(to.parts()).all(|(part, to)| part.of == *to)
        {
            return self.put(of, at);
        }
        if is_number(&of.of) {
            // A number's bytes as an array.
            self.number(of)?;
            self.store(Size::DW, WORD, Reg::R0);
            let size = to.size();
            self.copy(WORD, at, size.min(8));
            if size > 8 {
                self.clear(at + 8, size - 8);
            }
            return Ok(());
        }
        let level = self.top;
        let from = self.bytes(of)?;
        self.convert(&of.of, from, to, at)?;
        self.top = level;
        Ok(())
    }

    /// Bytes of one type into those of another.
    fn convert(&mut self, of: &Type, from: u32, to: &Type, at: u32) -> Lowered {
        match (&of.kind, &to.kind) {
            (Kind::Tuple(_), Kind::Tuple(_)) => {
                self.clear_padding(to, at);
                let (of_places, to_places) = (of.layout().offsets, to.layout().offsets);
                let parts = of.parts().into_iter().zip(of_places);
                for ((part, start), (into, end)) in parts.zip(to.parts().into_iter().zip(to_places))
                {
                    self.convert(part, from + start, into, at + end)?;
                }
                Ok(())
            }
            (Kind::Named(fields), Kind::Named(wanted)) => {
                self.clear_padding(to, at);
                let (of_places, to_places) = (of.layout().offsets, to.layout().offsets);
                for ((name, into), end) in wanted.iter().zip(to_places) {
                    let found = fields.iter().zip(&of_places).find(|((of, _), _)| of == name);
                    match found {
                        Some(((_, part), start)) => {
                            self.convert(part, from + start, into, at + end)?;
                        }
                        None => return self.error(format!("the record has no field {name}")),
                    }
                }
                Ok(())
            }
            _ if is_number(of) && is_number(to) => {
                self.load_typed(from, of);
                if matches!(to.kind, Kind::Bool) && !matches!(of.kind, Kind::Bool) {
                    self.truth(Cond::Ne, Reg::R0, Operand::Imm(0));
                }
                self.store(size_of(to.size()), at, Reg::R0);
                Ok(())
            }
            _ => {
                let (size, most) = (of.size(), to.size());
                self.copy(from, at, size.min(most));
                if most > size {
                    self.clear(at + size, most - size);
                }
                Ok(())
            }
        }
    }

    fn clear_padding(&mut self, of: &Type, at: u32) {
        let used: u32 = of.parts().iter().map(|part| part.size()).sum();
        if used != of.size() {
            self.clear(at, of.size());
        }
    }
}
