//! What happens later: records that say what to print, run or do.

use skep_isa::{Cond, Operand, Reg, Size};

use super::super::checked::{Expr, FormatId, Function, MapId, Piece};
use super::super::kind::{Kind, Space};
use super::super::plan::{Action, HEAD, Severity, Slot};
use super::code::{Code, Lowered};
use super::place::{reader, text_reader};
use super::scalar::is_number;

/// The most arguments of `join`, and the bytes of each.
const JOINED: u32 = 16;
const JOINED_SIZE: u32 = 1024;

impl<'a> Code<'_, 'a> {
    /// Lowers a call that does something later; gives whether it was one.
    pub fn action(
        &mut self,
        function: &'a Function,
        arguments: &'a [Expr],
        e: &'a Expr,
    ) -> Lowered<bool> {
        let place = e.place;
        match function {
            Function::Printf(format) => {
                self.printed(*format, arguments, |format, values| Action::Printf {
                    format,
                    values,
                    severity: Severity::Plain,
                    place,
                })?;
            }
            Function::Errorf(format) => {
                self.printed(*format, arguments, |format, values| Action::Printf {
                    format,
                    values,
                    severity: Severity::Error,
                    place,
                })?;
            }
            Function::Warnf(format) => {
                self.printed(*format, arguments, |format, values| Action::Printf {
                    format,
                    values,
                    severity: Severity::Warning,
                    place,
                })?;
            }
            Function::System(format) => {
                self.printed(*format, arguments, |format, values| Action::System {
                    format,
                    values,
                })?;
            }
            Function::Cat(format) => {
                self.printed(*format, arguments, |format, values| Action::Cat { format, values })?;
            }
            Function::PrintValue => match arguments {
                [value] => self.print_value(value)?,
                _ => return self.error("print() takes one value"),
            },
            Function::PrintElement(map) => match arguments {
                [key, ..] if self.map_of(*map).value.is_histogram() => {
                    return self.print_histogram(*map, key).map(|()| true);
                }
                [_, value] => self.print_value(value)?,
                _ => return self.error("print() takes an element"),
            },
            Function::PrintMap { map, top, div } => {
                self.plain(Action::Map { map: *map, top: *top, div: *div });
            }
            Function::Clear(map) => self.plain(Action::Clear(*map)),
            Function::Zero(map) => self.plain(Action::Zero(*map)),
            Function::Time(format) => self.plain(Action::Time(format.clone())),
            Function::Exit => self.exit(arguments)?,
            Function::Join(separator) => match arguments {
                [array, ..] => self.join(array, separator)?,
                _ => return self.error("join() takes an array"),
            },
            Function::Debugf(format) => self.debugf(*format, arguments)?,
            Function::SkbOutput(_) => return self.error("skboutput() is not there yet"),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A line in the kernel's own trace buffer, by the kernel's own formats.
    fn debugf(&mut self, format: FormatId, arguments: &'a [Expr]) -> Lowered {
        const MOST: usize = 3;
        const ARGUMENTS: [Reg; MOST] = [Reg::R3, Reg::R4, Reg::R5];
        if arguments.len() > MOST {
            return self.error("debugf() takes at most 3 values");
        }
        let script = self.shared.script;
        let mut text = Vec::new();
        for piece in &script.formats[format.0 as usize].pieces {
            match piece {
                Piece::Text(bytes) => {
                    for byte in bytes {
                        text.extend(std::iter::repeat_n(*byte, 1 + usize::from(*byte == b'%')));
                    }
                }
                Piece::Conversion(of) => text.extend(match &of.letter[..] {
                    "s" => b"%s".to_vec(),
                    "p" => b"%llx".to_vec(),
                    letter => format!("%ll{letter}").into_bytes(),
                }),
            }
        }
        text.push(0);
        let size = text.len() as u32;
        let at = self.room(size);
        let mut values = Vec::new();
        for argument in arguments {
            if is_number(&argument.of) {
                self.number(argument)?;
            } else {
                // Text by its address, which the kernel reads with care.
                let from = self.bytes(argument)?;
                self.address(Reg::R0, from);
                self.launder();
            }
            values.push(self.spill()?);
        }
        self.literal(at, &text, size);
        for (value, register) in values.iter().zip(ARGUMENTS).rev() {
            self.unspill(register, *value);
        }
        self.address(Reg::R1, at);
        self.b.set(Reg::R2, size.cast_signed());
        self.b.helper(skep_abi::helper::id::TRACE_PRINTK);
        Ok(())
    }

    /// A record with a head alone.
    fn plain(&mut self, action: Action) {
        let action = self.shared.action(action);
        let at = self.room(HEAD);
        self.head(at, action);
        self.send(at, HEAD);
    }

    /// A record with values.
    fn printed(
        &mut self,
        format: FormatId,
        arguments: &'a [Expr],
        action: impl FnOnce(FormatId, Vec<Slot>) -> Action,
    ) -> Lowered {
        let mut size = HEAD;
        let mut values = Vec::new();
        for argument in arguments {
            values.push(Slot { of: argument.of.clone(), at: size });
            size = size.saturating_add(argument.of.size()).next_multiple_of(8);
        }
        let at = self.room(size);
        for (argument, slot) in arguments.iter().zip(&values) {
            let level = self.top;
            self.put(argument, at + slot.at)?;
            self.top = level;
        }
        let action = self.shared.action(action(format, values));
        self.head(at, action);
        self.send(at, size);
        Ok(())
    }

    fn print_value(&mut self, value: &'a Expr) -> Lowered {
        let slot = Slot { of: value.of.clone(), at: HEAD };
        let size = (HEAD + value.of.size()).next_multiple_of(8);
        let at = self.room(size);
        self.put(value, at + HEAD)?;
        let action = self.shared.action(Action::Value(slot));
        self.head(at, action);
        self.send(at, size);
        Ok(())
    }

    /// An element that is printed from its map: only its key is sent.
    fn print_histogram(&mut self, map: MapId, key: &'a Expr) -> Lowered {
        let from = self.key(map, key)?;
        let of = self.map_of(map).key.clone();
        let size = (HEAD + of.size()).next_multiple_of(8);
        let at = self.room(size);
        self.copy(from, at + HEAD, of.size());
        let slot = Slot { of, at: HEAD };
        let action = self.shared.action(Action::Element { map, key: slot });
        self.head(at, action);
        self.send(at, size);
        Ok(())
    }

    fn exit(&mut self, arguments: &'a [Expr]) -> Lowered {
        match arguments.first() {
            Some(code) => self.number(code)?,
            None => self.b.set(Reg::R0, 0),
        }
        let at = self.room(HEAD + 8);
        self.store(Size::DW, at + HEAD, Reg::R0);
        let action = self.shared.action(Action::Exit);
        self.head(at, action);
        self.send(at, HEAD + 8);
        self.exited(Reg::R1);
        self.b.store(Size::DW, Reg::R1, 0, Operand::Imm(1));
        self.leave(None)
    }

    /// Strings behind an array of pointers, until one is null.
    fn join(&mut self, array: &'a Expr, separator: &super::super::ast::Name) -> Lowered {
        if !is_number(&array.of) {
            return self.error("join() takes a pointer to pointers");
        }
        let space = match &array.of.kind {
            Kind::Pointer(to) if array.of.space == Space::None => to.space,
            _ => array.of.space,
        };
        self.number(array)?;
        let start = self.spill()?;
        let size = HEAD + JOINED * JOINED_SIZE;
        let (at, pointer) = (self.room(size), self.room(8));
        let done = self.b.label();
        for index in 0..JOINED {
            self.store_imm(Size::B, at + HEAD + index * JOINED_SIZE, 0);
        }
        for index in 0..JOINED {
            self.store_imm(Size::DW, pointer, 0);
            self.b.load(Size::DW, Reg::R3, Reg::R10, start);
            self.b.alu(skep_isa::AluOp::Add, Reg::R3, Operand::Imm(8 * index as i32));
            self.address(Reg::R1, pointer);
            self.b.set(Reg::R2, 8);
            self.b.helper(reader(space));
            self.load(Reg::R3, Size::DW, false, pointer);
            self.b.branch(Cond::Eq, Reg::R3, Operand::Imm(0), done);
            self.address(Reg::R1, at + HEAD + index * JOINED_SIZE);
            self.b.set(Reg::R2, JOINED_SIZE as i32);
            self.b.helper(text_reader(space));
        }
        self.b.place(done);
        self.unspill(Reg::R0, start);
        let (count, size_of_each) = (JOINED, JOINED_SIZE);
        let separator = separator.clone();
        let join = Action::Join { separator, count, size: size_of_each };
        let action = self.shared.action(join);
        self.head(at, action);
        self.send(at, size);
        Ok(())
    }
}
