//! Functions that programs call for a value.

use skep_abi::helper::id;
use skep_isa::{AluOp, Cond, Operand, Reg, Size};

use super::super::checked::{Expr, ExprKind, Function, Namespace};
use super::super::kind::{BUFFER_HEAD, Kind, Space, Type};
use super::super::output::decode::clock_number;
use super::code::{Code, Lowered};
use super::place::{Where, reader, text_reader};
use super::scalar::is_number;

/// `AF_INET` and `AF_INET6`.
const INET: i32 = 2;
const INET6: i32 = 10;

impl<'a> Code<'_, 'a> {
    /// A call for a number, in r0.
    pub fn call(&mut self, function: &'a Function, arguments: &'a [Expr], e: &'a Expr) -> Lowered {
        if self.action(function, arguments, e)? {
            return Ok(());
        }
        match (function, arguments) {
            (Function::Ksym | Function::AsPointer, [of]) => {
                self.number(of)?;
                self.normalize(&e.of);
            }
            (Function::Kaddr(name), _) => match self.shared.machine.symbol(name) {
                Some(address) => self.constant(Reg::R0, address),
                None => return self.error(format!("Failed to resolve kernel symbol: {name}")),
            },
            (Function::PercpuKaddr(name), cpu) => self.percpu_address(name, cpu.first())?,
            (Function::CgroupId(path), _) => match cgroup_id(path) {
                Some(number) => self.constant(Reg::R0, number),
                None => return self.error(format!("cannot access: \"{path}\"")),
            },
            (Function::Bswap, [of]) => {
                self.number(of)?;
                self.swap(&of.of);
                self.normalize(&e.of);
            }
            (Function::Strncmp(most), [one, other]) => self.strncmp(one, other, *most)?,
            (Function::Memcmp, [one, other, size]) => self.memcmp(one, other, size)?,
            (Function::Strlen, [of, ..]) => self.strlen(of, arguments.get(1))?,
            (Function::Strstr, [text, part]) => self.strstr(text, part)?,
            (Function::StackLen, [stack]) => {
                let at = self.bytes(stack)?;
                let kernel = matches!(&stack.of.kind, Kind::Stack(stack) if stack.kernel);
                self.load(Reg::R0, Size::DW, false, if kernel { at } else { at + 8 });
            }
            (Function::Signal { thread }, [number]) => {
                self.number(number)?;
                self.b.copy(Reg::R1, Reg::R0);
                let helper = if *thread { id::SEND_SIGNAL_THREAD } else { id::SEND_SIGNAL };
                self.b.helper(helper);
            }
            (Function::Override, [value]) => {
                self.number(value)?;
                self.b.copy(Reg::R2, Reg::R0);
                self.b.copy(Reg::R1, Reg::R6);
                self.b.helper(id::OVERRIDE_RETURN);
            }
            (Function::WriteUser, [to, from, size]) => self.write_user(to, from, size)?,
            (Function::Delete(map), [key]) => self.delete(*map, key)?,
            (Function::HasKey(map), [key]) => self.has_key(*map, key)?,
            (Function::Find(map, variable), [key]) => self.find(*map, key, *variable)?,
            (Function::MapLen(map), _) => self.map_len(*map)?,
            (Function::IsReturn, _) => return self.error("sessions are not there yet"),
            _ => return self.error(format!("{} is not there yet", name_of(function))),
        }
        Ok(())
    }

    /// From the address in r0 to a symbol of the process: with its number, and the program's.
    pub fn user_symbol(&mut self, at: u32) {
        self.store(Size::DW, at, Reg::R0);
        self.process(Namespace::Init, true);
        self.store(Size::W, at + 8, Reg::R0);
        self.store_imm(Size::W, at + 12, self.index as i32);
    }

    /// `r0`: the address of a variable that each CPU has, on a CPU; 0 for one that is not there.
    fn percpu_address(&mut self, name: &str, cpu: Option<&'a Expr>) -> Lowered {
        let machine = self.shared.machine;
        let (Some(start), Some(offsets)) =
            (machine.symbol(name), machine.symbol("__per_cpu_offset"))
        else {
            return self.error(format!("Failed to resolve kernel symbol: {name}"));
        };
        let cpus = machine.cpus.cast_signed();
        match cpu {
            Some(cpu) => self.number(cpu)?,
            None => self.b.helper(id::GET_SMP_PROCESSOR_ID),
        }
        let (none, done) = (self.b.label(), self.b.label());
        self.b.branch(Cond::Ge, Reg::R0, Operand::Imm(cpus), none);
        self.b.alu(AluOp::Lsh, Reg::R0, Operand::Imm(3));
        self.constant(Reg::R1, offsets);
        self.b.alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R1));
        self.read_number(Where::At(Space::Kernel), &Type::uint64())?;
        self.constant(Reg::R1, start);
        self.b.alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R1));
        self.b.goto(done);
        self.b.place(none);
        self.b.set(Reg::R0, 0);
        self.b.place(done);
        Ok(())
    }

    /// A call for more bytes, into the region.
    pub fn call_bytes(
        &mut self,
        function: &'a Function,
        arguments: &'a [Expr],
        e: &'a Expr,
        at: u32,
    ) -> Lowered {
        match (function, arguments) {
            (Function::Str, [of, ..]) => self.str(of, arguments.get(1), e, at),
            (Function::Buf, [of, ..]) => self.buf(of, arguments.get(1), e, at),
            (Function::Strftime(format), [nanos]) => {
                self.number(nanos)?;
                self.store(Size::DW, at, Reg::R0);
                let times = &mut self.shared.times;
                times.push(format.clone());
                let number = times.len() as i32 - 1;
                self.store_imm(Size::W, at + 8, number);
                self.store_imm(Size::W, at + 12, clock_number(nanos.of.clock) as i32);
                Ok(())
            }
            (Function::CgroupPath(filter), [number]) => {
                self.number(number)?;
                self.store(Size::DW, at, Reg::R0);
                self.shared.cgroups.push(filter.clone());
                let number = self.shared.cgroups.len() as i32 - 1;
                self.store_imm(Size::DW, at + 8, number);
                Ok(())
            }
            (Function::Usym, [address]) => {
                self.number(address)?;
                self.user_symbol(at);
                Ok(())
            }
            (Function::Ntop, [of]) => {
                let family = if of.of.size() == 16 { INET6 } else { INET };
                self.store_imm(Size::DW, at, family);
                self.address_bytes(of, at + 8, 16)
            }
            (Function::Ntop, [family, of]) => {
                self.number(family)?;
                self.store(Size::DW, at, Reg::R0);
                self.address_bytes(of, at + 8, 16)
            }
            (Function::MacAddr, [of]) => self.address_bytes(of, at, 6),
            (Function::StrConcat, [one, other]) => self.str_concat(one, other, e, at),
            (Function::AsPointer, [of]) => self.put(of, at),
            (Function::NameOf(names), [number]) => self.name_of(*names, number, e, at),
            _ => self.error(format!("{} is not there yet", name_of(function))),
        }
    }

    /// The bytes of an address: of a number, of an array, or behind a pointer.
    fn address_bytes(&mut self, of: &'a Expr, at: u32, size: u32) -> Lowered {
        let part = match of.of.size() {
            4 if size == 16 => 4,
            _ => size,
        };
        self.clear(at, size);
        if of.of.is_int() {
            self.number(of)?;
            self.store(super::memory::size_of(of.of.size()), at, Reg::R0);
            return Ok(());
        }
        if of.of.is_pointer() {
            self.number(of)?;
            self.b.copy(Reg::R3, Reg::R0);
            self.address(Reg::R1, at);
            self.b.set(Reg::R2, part as i32);
            self.b.helper(reader(of.of.space));
            return Ok(());
        }
        let level = self.top;
        let from = self.bytes(of)?;
        self.copy(from, at, part.min(of.of.size()));
        self.top = level;
        Ok(())
    }

    /// A number of bytes in r0, at most `most`, on the stack.
    fn length(&mut self, length: Option<&'a Expr>, most: u32) -> Lowered<i16> {
        match length {
            Some(length) => {
                let fits = self.b.label();
                self.number(length)?;
                self.b.branch(Cond::Le, Reg::R0, Operand::Imm(most as i32), fits);
                self.b.set(Reg::R0, most as i32);
                self.b.place(fits);
            }
            None => self.b.set(Reg::R0, most as i32),
        }
        self.spill()
    }

    /// `str()`: up to the first zero. Text that fills its room has no zero at its end, by
    /// which printing knows that it was cut.
    fn str(&mut self, of: &'a Expr, length: Option<&'a Expr>, e: &'a Expr, at: u32) -> Lowered {
        let most = e.of.size();
        if !is_number(&of.of) {
            // Text that is here already: its bytes up to the length.
            let level = self.top;
            let size = match (&length.map(|length| &length.kind), of.of.size()) {
                (Some(ExprKind::Constant(super::super::checked::Value::Int(length))), size) => {
                    size.min(u32::try_from(*length).unwrap_or(u32::MAX).saturating_sub(1))
                }
                (_, size) => size,
            };
            let place = self.locate(of)?;
            if let Where::Inside(from) = place {
                let size = size.min(most);
                self.copy(from, at, size);
                if most > size {
                    self.clear(at + size, most - size);
                }
                self.top = level;
                return Ok(());
            }
            self.address_of(place);
            return self.read_text(length, of.of.space, at, most);
        }
        self.number(of)?;
        self.read_text(length, of.of.space, at, most)
    }

    /// `r0`: the address of a place outside of the region.
    fn address_of(&mut self, place: Where) {
        match place {
            Where::Inside(at) => self.address(Reg::R0, at),
            Where::Context(at) => {
                self.b.copy(Reg::R0, Reg::R6);
                self.b.alu(AluOp::Add, Reg::R0, Operand::Imm(at as i32));
            }
            Where::At(_) => return,
        }
        self.launder();
    }

    /// Reads text from the address in r0.
    fn read_text(&mut self, length: Option<&'a Expr>, space: Space, at: u32, most: u32) -> Lowered {
        let address = self.spill()?;
        let length_at = self.length(length, most)?;
        self.clear(at, most);
        self.b.load(Size::DW, Reg::R2, Reg::R10, length_at);
        self.b.load(Size::DW, Reg::R3, Reg::R10, address);
        self.address(Reg::R1, at);
        self.b.helper(text_reader(space));
        if length.is_none() {
            // As much as there is room for: the byte in the place of the zero may be text.
            let done = self.b.label();
            self.b.branch(Cond::Ne, Reg::R0, Operand::Imm(most as i32), done);
            self.b.load(Size::DW, Reg::R3, Reg::R10, address);
            self.b.alu(AluOp::Add, Reg::R3, Operand::Imm(most as i32 - 1));
            self.address(Reg::R1, at + most - 1);
            self.b.set(Reg::R2, 1);
            self.b.helper(reader(space));
            self.b.place(done);
        }
        self.unspill(Reg::R1, length_at);
        self.unspill(Reg::R1, address);
        Ok(())
    }

    /// `buf()`: so many bytes, their number in front.
    fn buf(&mut self, of: &'a Expr, length: Option<&'a Expr>, e: &'a Expr, at: u32) -> Lowered {
        let Kind::Buffer(most) = e.of.kind else {
            return self.error("it gives no buffer");
        };
        let to = at + BUFFER_HEAD;
        let most_here = match is_number(&of.of) {
            true => most,
            false => most.min(of.of.size()),
        };
        let length_at = self.length(length, most_here)?;
        self.clear(at, e.of.size());
        self.b.load(Size::DW, Reg::R0, Reg::R10, length_at);
        self.store(Size::W, at, Reg::R0);
        let space = if is_number(&of.of) {
            self.number(of)?;
            of.of.space
        } else {
            let place = self.locate(of)?;
            self.address_of(place);
            match place {
                Where::At(space) => space,
                Where::Inside(from) => {
                    // Known memory is copied whole, then cut.
                    self.copy(from, to, most_here);
                    self.cut_buffer(to, length_at, most_here);
                    return Ok(());
                }
                Where::Context(_) => Space::Kernel,
            }
        };
        let none = self.b.label();
        self.b.copy(Reg::R3, Reg::R0);
        self.unspill(Reg::R2, length_at);
        self.b.branch(Cond::Eq, Reg::R2, Operand::Imm(0), none);
        self.b.branch(Cond::Gt, Reg::R2, Operand::Imm(most as i32), none);
        self.address(Reg::R1, to);
        self.b.helper(reader(space));
        self.b.place(none);
        Ok(())
    }

    /// Sets what lies behind a buffer's length to zero.
    fn cut_buffer(&mut self, to: u32, length_at: i16, most: u32) {
        let done = self.b.label();
        self.unspill(Reg::R8, length_at);
        let turn = self.b.here();
        self.b.may_goto(done);
        self.b.branch(Cond::Ge, Reg::R8, Operand::Imm(most as i32), done);
        self.address(Reg::R1, to);
        self.b.alu(AluOp::Add, Reg::R1, Operand::Reg(Reg::R8));
        self.b.store(Size::B, Reg::R1, 0, Operand::Imm(0));
        self.b.alu(AluOp::Add, Reg::R8, Operand::Imm(1));
        self.b.goto(turn);
        self.b.place(done);
    }

    fn write_user(&mut self, to: &'a Expr, from: &'a Expr, size: &'a Expr) -> Lowered {
        let level = self.top;
        let source = if is_number(&from.of) {
            self.number(from)?;
            let at = self.room(8);
            self.store(Size::DW, at, Reg::R0);
            at
        } else {
            self.bytes(from)?
        };
        let most = from.of.size().max(1);
        let length_at = self.length(Some(size), most)?;
        self.number(to)?;
        self.b.copy(Reg::R1, Reg::R0);
        self.address(Reg::R2, source);
        self.unspill(Reg::R3, length_at);
        let none = self.b.label();
        self.b.set(Reg::R0, -1);
        self.b.branch(Cond::Eq, Reg::R3, Operand::Imm(0), none);
        self.b.branch(Cond::Gt, Reg::R3, Operand::Imm(most as i32), none);
        self.b.helper(id::PROBE_WRITE_USER);
        self.b.place(none);
        self.truth(Cond::Eq, Reg::R0, Operand::Imm(0));
        self.top = level;
        Ok(())
    }
}

/// A control group's number: the inode of its folder.
fn cgroup_id(path: &str) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|folder| folder.ino())
}

/// What a function is called, for messages.
fn name_of(function: &Function) -> String {
    let text = format!("{function:?}");
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    format!("{}()", text[..end].to_lowercase())
}
