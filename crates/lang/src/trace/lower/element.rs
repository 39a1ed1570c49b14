//! Elements of maps: looked up, set, counted, deleted.

use skep_abi::flags::update;
use skep_abi::helper::id;
use skep_isa::{AluOp, AtomicOp, Cond, Insn, Operand, Reg, Size};

use super::super::ast::UnaryOp;
use super::super::checked::{Expr, ExprKind, Map, MapId, VariableId};
use super::super::kind::{Kind, Type};
use super::super::plan::Failure;
use super::FIRST_MAP;
use super::code::{Code, Lowered};
use super::memory::size_of;
use super::scalar::is_number;

/// A script's map among the object's.
pub(super) fn object_map(map: MapId) -> usize {
    FIRST_MAP + map.0 as usize
}

impl<'a> Code<'_, 'a> {
    pub fn map_of(&self, map: MapId) -> &'a Map {
        &self.shared.script.maps[map.0 as usize]
    }

    /// Puts a key into the region.
    pub fn key(&mut self, map: MapId, key: &'a Expr) -> Lowered<u32> {
        let of = &self.map_of(map).key;
        if let ExprKind::Variable(id) = key.kind
            && key.of.size() == of.size()
        {
            return Ok(self.variable(id));
        }
        let size = of.size().max(key.of.size());
        let at = self.room(size);
        if size > key.of.size() {
            self.clear(at, size);
        }
        if is_number(&key.of) && is_number(of) {
            // A number has the key's size, whatever its own.
            self.number(key)?;
            self.store(size_of(of.size()), at, Reg::R0);
            return Ok(at);
        }
        self.put(key, at)?;
        Ok(at)
    }

    /// `r0`: the address of an element's value, or 0.
    pub fn lookup(&mut self, map: MapId, key: u32) {
        self.map(Reg::R1, object_map(map));
        self.address(Reg::R2, key);
        self.b.helper(id::MAP_LOOKUP_ELEM);
    }

    /// Sets the element of a key to bytes of the region, and reports what fails.
    pub fn update(&mut self, map: MapId, key: u32, value: u32, flags: u64) {
        let done = self.b.label();
        self.map(Reg::R1, object_map(map));
        self.address(Reg::R2, key);
        self.address(Reg::R3, value);
        self.b.set(Reg::R4, flags as i32);
        self.b.helper(id::MAP_UPDATE_ELEM);
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), done);
        self.report(Failure::Helper(id::MAP_UPDATE_ELEM));
        self.b.place(done);
    }

    /// `r0`: an element that is a number; 0 where there is none.
    pub fn element_number(&mut self, map: MapId, key: &'a Expr) -> Lowered {
        let of = self.map_of(map).value.clone();
        let level = self.top;
        let key = self.key(map, key)?;
        if let Kind::Aggregate(kind) = of.kind {
            self.aggregate_number(map, kind, key)?;
            self.top = level;
            return Ok(());
        }
        self.lookup(map, key);
        let none = self.b.label();
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), none);
        self.load_at(Reg::R0, size_of(of.size()), of.is_signed(), Reg::R0, 0);
        self.b.place(none);
        self.top = level;
        Ok(())
    }

    /// Copies an element into the region; zeros where there is none.
    pub fn element_bytes(&mut self, map: MapId, key: &'a Expr, at: u32) -> Lowered {
        let size = self.map_of(map).value.size();
        let level = self.top;
        let key = self.key(map, key)?;
        self.lookup(map, key);
        let (none, done) = (self.b.label(), self.b.label());
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), none);
        self.b.copy(Reg::R1, Reg::R0);
        self.copy_in(at, size);
        self.b.goto(done);
        self.b.place(none);
        self.clear(at, size);
        self.b.place(done);
        self.top = level;
        Ok(())
    }

    /// `@m[k] = e`
    pub fn set_element(&mut self, map: MapId, key: &'a Expr, value: &'a Expr) -> Lowered {
        let of = self.map_of(map).value.clone();
        let bytes = self.room(of.size());
        match is_number(&value.of) && is_number(&of) {
            true => {
                self.number(value)?;
                self.store(size_of(of.size()), bytes, Reg::R0);
            }
            false => {
                if of.size() > value.of.size() {
                    self.clear(bytes, of.size());
                }
                self.put(value, bytes)?;
            }
        }
        let key = self.key(map, key)?;
        self.update(map, key, bytes, update::ANY);
        Ok(())
    }

    /// `++` and `--`: added at once where all CPUs may count.
    pub fn step_element(&mut self, op: UnaryOp, map: MapId, key: &'a Expr) -> Lowered {
        let of = self.map_of(map).value.clone();
        let by = Self::step_of(op, &of);
        let level = self.top;
        let key = self.key(map, key)?;
        let value = self.room(8);
        self.lookup(map, key);
        let (none, done) = (self.b.label(), self.b.label());
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), none);
        let size = size_of(of.size());
        if size == Size::DW {
            self.b.set(Reg::R1, by);
            let op = AtomicOp::Add { fetch: true };
            self.b.push(Insn::Atomic { op, size, base: Reg::R0, off: 0, src: Reg::R1 });
            self.b.copy(Reg::R0, Reg::R1);
        } else {
            self.load_at(Reg::R1, size, of.is_signed(), Reg::R0, 0);
            self.b.copy(Reg::R2, Reg::R1);
            self.b.alu(AluOp::Add, Reg::R2, Operand::Imm(by));
            self.b.store(size, Reg::R0, 0, Operand::Reg(Reg::R2));
            self.b.copy(Reg::R0, Reg::R1);
        }
        self.b.goto(done);
        self.b.place(none);
        self.store_imm(size, value, by);
        self.update(map, key, value, update::ANY);
        self.b.set(Reg::R0, 0);
        self.b.place(done);
        if matches!(op, UnaryOp::PreIncrement | UnaryOp::PreDecrement) {
            self.b.alu(AluOp::Add, Reg::R0, Operand::Imm(by));
        }
        self.normalize(&of);
        self.top = level;
        Ok(())
    }

    /// `r0`: whether there is an element.
    pub fn has_key(&mut self, map: MapId, key: &'a Expr) -> Lowered {
        let level = self.top;
        let key = self.key(map, key)?;
        self.lookup(map, key);
        self.truth(Cond::Ne, Reg::R0, Operand::Imm(0));
        self.top = level;
        Ok(())
    }

    /// `r0`: whether an element was deleted.
    pub fn delete(&mut self, map: MapId, key: &'a Expr) -> Lowered {
        let level = self.top;
        let key = self.key(map, key)?;
        self.map(Reg::R1, object_map(map));
        self.address(Reg::R2, key);
        self.b.helper(id::MAP_DELETE_ELEM);
        self.top = level;
        self.truth(Cond::Eq, Reg::R0, Operand::Imm(0));
        Ok(())
    }

    /// `r0`: whether there is an element, which is put into a variable then.
    pub fn find(&mut self, map: MapId, key: &'a Expr, variable: VariableId) -> Lowered {
        let of = self.map_of(map).value.clone();
        let level = self.top;
        let key = self.key(map, key)?;
        self.lookup(map, key);
        let done = self.b.label();
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), done);
        let (to, into) =
            (self.variable(variable), self.program.variables[variable.0 as usize].of.size());
        self.b.copy(Reg::R1, Reg::R0);
        let size = of.size().min(into);
        self.copy_in(to, size);
        if into > size {
            self.clear(to + size, into - size);
        }
        self.b.set(Reg::R0, 1);
        self.b.place(done);
        self.top = level;
        Ok(())
    }

    /// `r0`: how many elements there are.
    pub fn map_len(&mut self, map: MapId) -> Lowered {
        let function = self.callback(|_| Ok(()))?;
        self.for_each(object_map(map), function);
        Ok(())
    }

    /// The value of an element in a callback, whose address is in r3, into the region.
    pub fn element_in_callback(&mut self, of: &Type, at: u32) {
        self.b.copy(Reg::R1, Reg::R3);
        self.copy_in(at, of.size());
    }
}
