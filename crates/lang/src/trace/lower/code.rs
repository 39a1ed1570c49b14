//! One function in the making: instructions, what they refer to, where they come from, and the
//! places of the values that they compute.

use skep_abi::helper::id;
use skep_btf::{FuncInfo, LineInfo};
use skep_isa::build::{Builder, Label};
use skep_isa::{AluOp, Cond, Imm64, Insn, Operand, Reg, Size};
use skep_load::{Function, Reference, Symbol};

use super::super::checked::{Block, Namespace, Program, VariableId};
use super::super::place::Place;
use super::super::plan::{Action, Failure, HEAD};
use super::{EXITED_MAP, LOST_MAP, LowerError, REGIONS, RING_MAP, Shared};

/// Where the stack holds the region's address, the context behind it; callbacks get a pointer
/// to both.
const SAVED: i16 = -16;
/// Where the stack holds a small key.
pub(super) const KEY: i16 = -24;
/// Where numbers are spilled to, downwards.
const SPILLS: i16 = -32;
/// How many fit.
const MOST_SPILLS: u32 = 52;

pub(super) type Lowered<T = ()> = Result<T, LowerError>;

/// What an instruction refers to.
#[derive(Clone, Copy)]
enum Mark {
    Map(usize),
    Value(usize),
    Function(usize),
}

/// Where `break` and `continue` go.
#[derive(Clone, Copy)]
pub(super) struct Loop {
    pub out: Label,
    pub next: Label,
}

/// One function.
pub(super) struct Code<'s, 'a> {
    pub shared: &'s mut Shared<'a>,
    pub program: &'a Program,
    /// The program's number.
    pub index: usize,
    pub b: Builder,
    marks: Vec<(Label, Mark)>,
    lines: Vec<(Label, Place)>,
    spilled: u32,
    /// Bytes of the region that are taken, and that ever were.
    pub top: u32,
    pub most: u32,
    /// Where each variable lies.
    variables: Vec<u32>,
    pub loops: Vec<Loop>,
    /// Where the function ends, with its result in r0.
    pub end: Label,
    /// Whether it is called for each element of a map.
    pub callback: bool,
    /// Where what is lowered stands.
    pub place: Place,
}

/// Where the region holds whether a callback ended the program, and with what.
pub(super) const ENDED: u32 = 0;
pub(super) const RESULT: u32 = 8;
/// Where the region holds a zero that no verifier knows.
pub(super) const UNKNOWN_ZERO: u32 = 16;
/// Where a number lies while its bytes are needed.
pub(super) const WORD: u32 = 24;
const FIRST_FREE: u32 = 32;

impl<'s, 'a> Code<'s, 'a> {
    /// Makes the function of a program; gives its number.
    pub fn program(
        shared: &'s mut Shared<'a>,
        program: &'a Program,
        index: usize,
        name: &str,
        section: &str,
    ) -> Lowered<usize> {
        let mut variables = Vec::new();
        let mut top = FIRST_FREE;
        for variable in &program.variables {
            variables.push(top);
            top = top.saturating_add(variable.of.size().max(8)).next_multiple_of(8);
        }
        let mut code = Code::new(shared, program, index, variables, top, false);
        code.prologue();
        code.filter();
        code.block(&program.body)?;
        code.b.set(Reg::R0, 0);
        let function = code.finish(name, section)?;
        Ok(function)
    }

    fn new(
        shared: &'s mut Shared<'a>,
        program: &'a Program,
        index: usize,
        variables: Vec<u32>,
        top: u32,
        callback: bool,
    ) -> Code<'s, 'a> {
        let mut b = Builder::new();
        let end = b.label();
        let mut code = Code {
            shared,
            program,
            index,
            b,
            marks: Vec::new(),
            lines: Vec::new(),
            spilled: 0,
            top,
            most: top,
            variables,
            loops: Vec::new(),
            end,
            callback,
            place: program.place,
        };
        code.line(program.place);
        code
    }

    /// Ends the program where the script has ended; what skep runs itself goes on.
    fn ended(&mut self) {
        use super::super::checked::Point;
        let own = matches!(
            self.program.points.first(),
            None | Some(Point::Begin | Point::End | Point::Test(_) | Point::Bench(_))
        );
        if own {
            return;
        }
        let on = self.b.label();
        self.exited(Reg::R1);
        self.b.load(Size::DW, Reg::R0, Reg::R1, 0);
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), on);
        self.b.set(Reg::R0, 0);
        self.b.exit();
        self.b.place(on);
    }

    /// `dst`: the address of whether the script has ended.
    pub fn exited(&mut self, dst: Reg) {
        let here = self.b.here();
        self.marks.push((here, Mark::Value(EXITED_MAP)));
        self.b.map_value(dst, 0, 0);
    }

    /// Finds the region of this program on this CPU.
    fn prologue(&mut self) {
        let count = self.shared.script.programs.len() as i32;
        let found = self.b.label();
        self.b.copy(Reg::R6, Reg::R1);
        self.ended();
        self.b.store(Size::DW, Reg::R10, SAVED + 8, Operand::Reg(Reg::R6));
        self.b.helper(id::GET_SMP_PROCESSOR_ID);
        self.b.alu(AluOp::Mul, Reg::R0, Operand::Imm(count));
        self.b.alu(AluOp::Add, Reg::R0, Operand::Imm(self.index as i32));
        self.b.store(Size::W, Reg::R10, KEY, Operand::Reg(Reg::R0));
        self.map(Reg::R1, REGIONS);
        self.stack_address(Reg::R2, KEY);
        self.b.helper(id::MAP_LOOKUP_ELEM);
        self.b.branch(Cond::Ne, Reg::R0, Operand::Imm(0), found);
        self.b.exit();
        self.b.place(found);
        self.b.copy(Reg::R9, Reg::R0);
        self.b.store(Size::DW, Reg::R10, SAVED, Operand::Reg(Reg::R9));
        self.b.store(Size::DW, Reg::R9, ENDED as i16, Operand::Imm(0));
        self.b.store(Size::DW, Reg::R9, UNKNOWN_ZERO as i16, Operand::Imm(0));
    }

    /// Ends programs of events in processes that nobody asked for.
    fn filter(&mut self) {
        let machine = self.shared.machine;
        if !super::only::sees_all(self.program.points.first()) {
            return;
        }
        let (seen, end) = (self.b.label(), self.end);
        if let Some(process) = machine.filter {
            self.process(Namespace::Current, true);
            self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(process.cast_signed()), seen);
        } else if machine.only.is_some() {
            self.process(Namespace::Init, true);
            self.b.store(Size::W, Reg::R10, KEY, Operand::Reg(Reg::R0));
            let map = super::only_map(self.shared.script);
            self.map(Reg::R1, map);
            self.stack_address(Reg::R2, KEY);
            self.b.helper(id::MAP_LOOKUP_ELEM);
            self.b.branch(Cond::Ne, Reg::R0, Operand::Imm(0), seen);
        } else {
            return;
        }
        self.b.set(Reg::R0, 0);
        self.b.goto(end);
        self.b.place(seen);
    }

    /// Ends the function, with its result in r0.
    fn finish(mut self, name: &str, section: &str) -> Lowered<usize> {
        let end = self.end;
        self.b.place(end);
        self.b.exit();
        self.shared.region = self.shared.region.max(self.most);
        let at = self.place;
        let failed =
            |error: skep_isa::build::BuildError| LowerError { text: error.to_string(), place: at };
        self.b.prune();
        let (insns, places) = self.b.finish_placed().map_err(failed)?;
        let mut function = Function::new(name, section, &insns);
        function.references = self
            .marks
            .iter()
            .filter_map(|(label, mark)| {
                let to = match *mark {
                    Mark::Map(map) => Symbol::Map(map),
                    Mark::Value(map) => Symbol::MapValue { map, offset: 0 },
                    Mark::Function(function) => Symbol::FunctionAddress(function),
                };
                Some(Reference { at: places.of(*label)?, to })
            })
            .collect();
        let type_id = self.shared.function_type(name, self.callback);
        function.func_info = vec![FuncInfo { insn_off: 0, type_id }];
        for (label, place) in &self.lines {
            let Some(at) = places.of(*label) else { continue };
            if let Some(line) = self.shared.line(at, *place) {
                // A statement without instructions has the line of the next one.
                function.line_info.retain(|of| of.insn_off != at);
                function.line_info.push(line);
            }
        }
        self.shared.functions.push(function);
        Ok(self.shared.functions.len() - 1)
    }

    /// Makes a function that a helper calls with a map, a key, a value and the saved registers
    /// (r1 to r4); gives its number.
    pub fn callback(&mut self, body: impl FnOnce(&mut Code<'_, 'a>) -> Lowered) -> Lowered<usize> {
        let name = format!("each_{}", self.shared.functions.len());
        let (program, index, top) = (self.program, self.index, self.top);
        let variables = self.variables.clone();
        let mut code = Code::new(self.shared, program, index, variables, top, true);
        code.place = self.place;
        code.b.load(Size::DW, Reg::R9, Reg::R4, 0);
        code.b.load(Size::DW, Reg::R6, Reg::R4, 8);
        code.b.store(Size::DW, Reg::R10, SAVED, Operand::Reg(Reg::R9));
        code.b.store(Size::DW, Reg::R10, SAVED + 8, Operand::Reg(Reg::R6));
        body(&mut code)?;
        code.b.set(Reg::R0, 0);
        let most = code.most;
        let function = code.finish(&name, ".text")?;
        self.most = self.most.max(most);
        Ok(function)
    }

    /// Calls a function for each element of a map. What follows runs unless it ended the
    /// program.
    pub fn for_each(&mut self, map: usize, function: usize) {
        self.map(Reg::R1, map);
        let here = self.b.here();
        self.marks.push((here, Mark::Function(function)));
        self.b.function(Reg::R2);
        self.stack_address(Reg::R3, SAVED);
        self.b.set(Reg::R4, 0);
        self.b.helper(id::FOR_EACH_MAP_ELEM);
    }

    /// What is wrong here.
    pub fn error<T>(&self, text: impl Into<String>) -> Lowered<T> {
        Err(LowerError { text: text.into(), place: self.place })
    }

    /// What follows comes from there.
    pub fn line(&mut self, place: Place) {
        self.place = place;
        let here = self.b.here();
        self.lines.push((here, place));
    }

    /// `dst = map`
    pub fn map(&mut self, dst: Reg, map: usize) {
        let here = self.b.here();
        self.marks.push((here, Mark::Map(map)));
        self.b.map(dst, 0);
    }

    /// `dst = r10 + at`
    pub fn stack_address(&mut self, dst: Reg, at: i16) {
        self.b.copy(dst, Reg::R10);
        self.b.alu(AluOp::Add, dst, Operand::Imm(i32::from(at)));
    }

    /// `dst = number`
    pub fn constant(&mut self, dst: Reg, number: u64) {
        match i32::try_from(number.cast_signed()) {
            Ok(small) => self.b.set(dst, small),
            Err(_) => self.b.push(Insn::LoadImm64 { dst, imm: Imm64::constant(number) }),
        }
    }

    /// Room on the stack for r0, which is stored there.
    pub fn spill(&mut self) -> Lowered<i16> {
        let at = self.spill_room()?;
        self.b.store(Size::DW, Reg::R10, at, Operand::Reg(Reg::R0));
        Ok(at)
    }

    fn spill_room(&mut self) -> Lowered<i16> {
        if self.spilled == MOST_SPILLS {
            return self.error("the expression is nested too deeply");
        }
        let at = SPILLS - 8 * self.spilled as i16;
        self.spilled += 1;
        Ok(at)
    }

    /// Takes back what was spilled last.
    pub fn unspill(&mut self, dst: Reg, at: i16) {
        self.b.load(Size::DW, dst, Reg::R10, at);
        self.spilled -= 1;
    }

    /// Room in the region, until its level is reset.
    pub fn room(&mut self, size: u32) -> u32 {
        let at = self.top;
        self.top = at.saturating_add(size.max(8)).next_multiple_of(8);
        self.most = self.most.max(self.top);
        at
    }

    /// Where a variable lies.
    pub fn variable(&self, variable: VariableId) -> u32 {
        self.variables[variable.0 as usize]
    }

    /// Lowers statements.
    pub fn block(&mut self, block: &'a Block) -> Lowered {
        block.statements.iter().try_for_each(|statement| self.statement(statement))
    }

    /// Sends the record that begins at `at`.
    pub fn send(&mut self, at: u32, size: u32) {
        let sent = self.b.label();
        self.map(Reg::R1, RING_MAP);
        self.address(Reg::R2, at);
        self.b.set(Reg::R3, size as i32);
        self.b.set(Reg::R4, 0);
        self.b.helper(id::RINGBUF_OUTPUT);
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), sent);
        self.b.store(Size::W, Reg::R10, KEY, Operand::Imm(self.index as i32));
        self.map(Reg::R1, LOST_MAP);
        self.stack_address(Reg::R2, KEY);
        self.b.helper(id::MAP_LOOKUP_ELEM);
        self.b.branch(Cond::Eq, Reg::R0, Operand::Imm(0), sent);
        self.b.load(Size::DW, Reg::R1, Reg::R0, 0);
        self.b.alu(AluOp::Add, Reg::R1, Operand::Imm(1));
        self.b.store(Size::DW, Reg::R0, 0, Operand::Reg(Reg::R1));
        self.b.place(sent);
    }

    /// Writes a record's head.
    pub fn head(&mut self, at: u32, action: u32) {
        self.store_imm(Size::W, at, action as i32);
        self.store_imm(Size::W, at + 4, self.index as i32);
    }

    /// Reports that something failed with the result in r0, which is lost.
    pub fn report(&mut self, what: Failure) {
        let place = self.place;
        let action = self.shared.action(Action::Failed { what, place });
        let level = self.top;
        let at = self.room(HEAD + 8);
        self.store(Size::DW, at + HEAD, Reg::R0);
        self.head(at, action);
        self.send(at, HEAD + 8);
        self.top = level;
    }
}

impl Shared<'_> {
    /// The record that says which line an instruction comes from.
    fn line(&mut self, at: u32, place: Place) -> Option<LineInfo> {
        let place = self.script.sources.outermost(place);
        let source = self.script.sources.source(place.source)?;
        let position = self.script.sources.position(place.source, place.start);
        Some(LineInfo {
            insn_off: at,
            file_name_off: self.types.string(&source.name),
            line_off: self.types.string(source.line(position.line)),
            line: position.line,
            column: position.column,
        })
    }
}
