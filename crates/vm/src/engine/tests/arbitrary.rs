//! Random programs that do not trap: loops, calls, spills, accesses byte by byte,
//! chains of comparisons. r6 holds the memory, r8 and r9 count loops.

use arbitrary::{Arbitrary, Result, Unstructured};
use skep_isa::{AluOp, AtomicOp, Callee, Cond, Imm64, Insn, Operand, Order, Reg, Size, Width};

use super::{Bed, configurations};

/// Bytes of memory that the programs work on.
pub const MEMORY: i16 = 64;
/// Bytes of each frame that are written before anything else.
const STACK: i16 = 72;
/// Where in a frame pointers are kept.
pub const POINTERS: i16 = -STACK;
/// Registers for numbers.
const NUMBERS: [Reg; 6] = [Reg::R0, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R7];
const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::DW];

/// A program that returns whatever the memory holds.
#[derive(Debug)]
pub struct Program(pub Vec<Insn>);

impl<'a> Arbitrary<'a> for Program {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Program> {
        let functions = u.int_in_range(1..=3)?;
        let mut writer =
            Writer { u, insns: Vec::new(), calls: Vec::new(), left: 0, function: 0, functions };
        let mut starts = Vec::new();
        for function in 0..functions {
            starts.push(writer.insns.len());
            writer.function = function;
            writer.left = 48;
            writer.function()?;
        }
        let Writer { mut insns, calls, .. } = writer;
        for (at, function) in calls {
            let off = starts[function] as i32 - at as i32 - 1;
            insns[at] = Insn::Call(Callee::Local(off));
        }
        Ok(Program(insns))
    }
}

struct Writer<'u, 'a> {
    u: &'u mut Unstructured<'a>,
    insns: Vec<Insn>,
    calls: Vec<(usize, usize)>,
    /// Statements that may still be written.
    left: u32,
    function: usize,
    functions: usize,
}

impl Writer<'_, '_> {
    fn put(&mut self, insn: Insn) {
        self.insns.push(insn);
    }

    fn mov(&mut self, dst: Reg, src: Operand) {
        self.put(Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src });
    }

    fn alu(&mut self, op: AluOp, dst: Reg, src: Operand) {
        self.put(Insn::Alu { op, width: Width::W64, dst, src });
    }

    fn number(&mut self) -> Result<Reg> {
        self.u.choose(&NUMBERS).copied()
    }

    fn imm(&mut self) -> Result<i32> {
        Ok(match self.u.int_in_range(0..=3)? {
            0 => *self.u.choose(&[0, 1, -1, i32::MIN, i32::MAX, 255, 65535, 31, 32, 63])?,
            1 | 2 => self.u.arbitrary::<i8>()?.into(),
            _ => self.u.arbitrary()?,
        })
    }

    fn operand(&mut self) -> Result<Operand> {
        Ok(if self.u.arbitrary()? {
            Operand::Reg(self.number()?)
        } else {
            Operand::Imm(self.imm()?)
        })
    }

    fn width(&mut self) -> Result<Width> {
        Ok(if self.u.arbitrary()? { Width::W64 } else { Width::W32 })
    }

    fn function(&mut self) -> Result<()> {
        for slot in 1..=STACK / 8 {
            let src = Operand::Imm(self.imm()?);
            self.put(Insn::Store { size: Size::DW, base: Reg::R10, off: -8 * slot, src });
        }
        self.mov(Reg::R6, Operand::Reg(Reg::R1));
        for reg in [Reg::R0, Reg::R7, Reg::R8, Reg::R9] {
            let imm = self.imm()?;
            self.mov(reg, Operand::Imm(imm));
        }
        if self.function == 0 {
            for reg in [Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
                let bits = self.u.arbitrary()?;
                self.put(Insn::LoadImm64 { dst: reg, imm: Imm64::constant(bits) });
                self.put(Insn::Hole);
            }
        }
        let count = self.u.int_in_range(1..=10)?;
        for _ in 0..count {
            self.statement(0, 0)?;
        }
        for reg in [Reg::R2, Reg::R4, Reg::R7] {
            self.alu(AluOp::Add, Reg::R0, Operand::Reg(reg));
            self.alu(AluOp::Mul, Reg::R0, Operand::Imm(31));
        }
        self.put(Insn::Exit);
        Ok(())
    }

    fn some(&mut self, loops: u8, depth: u8) -> Result<()> {
        for _ in 0..self.u.int_in_range(1..=4)? {
            self.statement(loops, depth)?;
        }
        Ok(())
    }

    /// Somewhere in memory or in the frame that an access of this size fits.
    fn place(&mut self, size: Size) -> Result<(Reg, i16)> {
        let size = size.bytes() as i16;
        Ok(if self.u.arbitrary()? {
            let off = self.u.int_in_range(0..=MEMORY - size)?;
            (Reg::R6, off)
        } else {
            // The first 64 bytes; the slot below them is for pointers.
            let slot = self.u.int_in_range(1..=8)? * -8;
            let inside = if self.u.ratio(1, 4)? { self.u.int_in_range(0..=8 - size)? } else { 0 };
            (Reg::R10, slot + inside)
        })
    }

    fn statement(&mut self, loops: u8, depth: u8) -> Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        match self.u.int_in_range(0..=19)? {
            0..=3 => {
                let (op, width) = (*self.u.choose(&AluOp::ALL)?, self.width()?);
                let (dst, src) = (self.number()?, self.operand()?);
                self.put(Insn::Alu { op, width, dst, src });
            }
            4 => {
                let (width, dst, src) = (self.width()?, self.number()?, self.number()?);
                match self.u.int_in_range(0..=2)? {
                    0 => {
                        let from = *self.u.choose(&SIZES[..2])?;
                        self.put(Insn::MovSx { width, from, dst, src });
                    }
                    1 => self.put(Insn::Neg { width, dst }),
                    _ => {
                        let order = *self.u.choose(&[Order::Le, Order::Be, Order::Swap])?;
                        let size = *self.u.choose(&SIZES[1..])?;
                        self.put(Insn::ByteSwap { order, size, dst });
                    }
                }
            }
            5 | 6 => {
                let size = *self.u.choose(&SIZES)?;
                let (base, off) = self.place(size)?;
                let signed = size != Size::DW && self.u.arbitrary()?;
                let dst = self.number()?;
                self.put(Insn::Load { size, signed, dst, base, off });
            }
            7 | 8 => {
                let size = *self.u.choose(&SIZES)?;
                let (base, off) = self.place(size)?;
                let src = self.operand()?;
                self.put(Insn::Store { size, base, off, src });
            }
            9 => self.read_bytes()?,
            10 => self.write_bytes()?,
            11 => self.anywhere()?,
            12 => self.rotate()?,
            18 | 19 => self.choose()?,
            13 => {
                let aligned = self.u.int_in_range(0..=MEMORY / 8 - 1)? * 8;
                let op = *self.u.choose(&[
                    AtomicOp::Add { fetch: false },
                    AtomicOp::Add { fetch: true },
                    AtomicOp::Or { fetch: true },
                    AtomicOp::And { fetch: false },
                    AtomicOp::Xor { fetch: true },
                    AtomicOp::Xchg,
                    AtomicOp::Cmpxchg,
                ])?;
                let (size, src) = (*self.u.choose(&SIZES[2..])?, self.number()?);
                self.put(Insn::Atomic { op, size, base: Reg::R6, off: aligned, src });
            }
            14 => self.branch(loops, depth)?,
            15 if depth < 2 => self.cases(loops, depth)?,
            16 if loops < 2 => self.repeat(loops, depth)?,
            17 if self.function + 1 < self.functions && loops < 2 => self.call()?,
            _ => {
                // The pointer to the memory goes through a slot.
                let off = -STACK;
                let src = Operand::Reg(Reg::R6);
                self.put(Insn::Store { size: Size::DW, base: Reg::R10, off, src });
                self.put(Insn::Load {
                    size: Size::DW,
                    signed: false,
                    dst: Reg::R6,
                    base: Reg::R10,
                    off,
                });
            }
        }
        Ok(())
    }

    /// A number put together from bytes, in either order.
    fn read_bytes(&mut self) -> Result<()> {
        let count = *self.u.choose(&[2i16, 3, 4, 8])?;
        let big = self.u.arbitrary()?;
        let (sum, byte) = *self.u.choose(&[(Reg::R2, Reg::R3), (Reg::R4, Reg::R0)])?;
        let base = if self.u.arbitrary()? { Reg::R6 } else { Reg::R10 };
        let first = self.u.int_in_range(0..=MEMORY - 8)?;
        let first = if base == Reg::R10 { first - MEMORY } else { first };
        let step = u8::from(self.u.ratio(1, 8)?);
        for index in 0..count {
            let dst = if index == 0 { sum } else { byte };
            let off = first + index;
            self.put(Insn::Load { size: Size::B, signed: false, dst, base, off });
            let shift = if big { count - 1 - index } else { index } * 8;
            let shift = i32::from(shift) + i32::from(step);
            if shift > 0 {
                self.alu(AluOp::Lsh, dst, Operand::Imm(shift));
            }
            if index > 0 {
                self.alu(AluOp::Or, sum, Operand::Reg(byte));
            }
        }
        Ok(())
    }

    /// A number taken apart into bytes.
    fn write_bytes(&mut self) -> Result<()> {
        let count = *self.u.choose(&[2i16, 4, 8])?;
        let big = self.u.arbitrary()?;
        let base = if self.u.arbitrary()? { Reg::R6 } else { Reg::R10 };
        let first = self.u.int_in_range(0..=MEMORY - 8)?;
        let first = if base == Reg::R10 { first - MEMORY } else { first };
        let from = *self.u.choose(&[Reg::R2, Reg::R3, Reg::R7])?;
        for index in 0..count {
            self.mov(Reg::R5, Operand::Reg(from));
            self.alu(AluOp::Rsh, Reg::R5, Operand::Imm(i32::from(index) * 8));
            let off = first + if big { count - 1 - index } else { index };
            self.put(Insn::Store { size: Size::B, base, off, src: Operand::Reg(Reg::R5) });
        }
        Ok(())
    }

    /// An access at an address that depends on a number.
    fn anywhere(&mut self) -> Result<()> {
        let size = *self.u.choose(&SIZES)?;
        let number = self.number()?;
        self.mov(Reg::R5, Operand::Reg(number));
        self.alu(AluOp::And, Reg::R5, Operand::Imm(31));
        if self.u.ratio(3, 4)? {
            self.alu(AluOp::Add, Reg::R5, Operand::Reg(Reg::R6));
        } else {
            self.alu(AluOp::Add, Reg::R5, Operand::Reg(Reg::R10));
            self.alu(AluOp::Add, Reg::R5, Operand::Imm(-48));
        }
        let off = self.u.int_in_range(0..=8)?;
        if self.u.arbitrary()? {
            let dst = *self.u.choose(&[Reg::R0, Reg::R3, Reg::R7])?;
            self.put(Insn::Load { size, signed: false, dst, base: Reg::R5, off });
        } else {
            let src = Operand::Reg(*self.u.choose(&[Reg::R0, Reg::R3, Reg::R7])?);
            self.put(Insn::Store { size, base: Reg::R5, off, src });
        }
        let imm = self.imm()?;
        self.mov(Reg::R5, Operand::Imm(imm));
        Ok(())
    }

    /// A rotation as two shifts, or something close to one.
    fn rotate(&mut self) -> Result<()> {
        let width = self.width()?;
        let bits = if width == Width::W64 { 64 } else { 32 };
        let left = self.u.int_in_range(1..=bits - 1)?;
        let right = if self.u.ratio(1, 8)? { left } else { bits - left };
        let mov = Insn::Alu {
            op: AluOp::Mov,
            width: self.width()?,
            dst: Reg::R3,
            src: Operand::Reg(Reg::R2),
        };
        self.put(mov);
        for (op, dst, src) in [
            (AluOp::Lsh, Reg::R2, Operand::Imm(left)),
            (AluOp::Rsh, Reg::R3, Operand::Imm(right)),
            (*self.u.choose(&[AluOp::Or, AluOp::Add, AluOp::Xor])?, Reg::R2, Operand::Reg(Reg::R3)),
        ] {
            self.put(Insn::Alu { op, width, dst, src });
        }
        Ok(())
    }

    /// A number that becomes another, or more, under a condition; often that of a least
    /// or greatest one.
    fn choose(&mut self) -> Result<()> {
        let (dst, src, width) = (self.number()?, self.operand()?, self.width()?);
        let test = self.insns.len();
        let mut condition = self.condition()?;
        if let (Insn::Branch { dst: left, src: right, .. }, true) =
            (&mut condition, self.u.arbitrary()?)
        {
            (*left, *right) = (dst, src);
        }
        self.put(condition);
        let op = *self.u.choose(&[AluOp::Mov, AluOp::Add])?;
        self.put(Insn::Alu { op, width, dst, src });
        if self.u.arbitrary()? {
            let end = self.insns.len();
            self.put(Insn::Ja { off: 0 });
            self.land(test);
            let (dst, src, width) = (self.number()?, self.operand()?, self.width()?);
            self.put(Insn::Alu { op: AluOp::Add, width, dst, src });
            self.land(end);
        } else {
            self.land(test);
        }
        Ok(())
    }

    fn condition(&mut self) -> Result<Insn> {
        let (cond, width) = (*self.u.choose(&Cond::ALL)?, self.width()?);
        Ok(Insn::Branch { cond, width, dst: self.number()?, src: self.operand()?, off: 0 })
    }

    /// Lets the jump at `at` lead to the next instruction to come.
    fn land(&mut self, at: usize) {
        let distance = (self.insns.len() - at - 1) as i16;
        if let Insn::Branch { off, .. } | Insn::Ja { off } = &mut self.insns[at] {
            *off = distance;
        }
    }

    fn branch(&mut self, loops: u8, depth: u8) -> Result<()> {
        let test = self.insns.len();
        let condition = self.condition()?;
        self.put(condition);
        self.some(loops, depth + 1)?;
        let end = self.insns.len();
        self.put(Insn::Ja { off: 0 });
        self.land(test);
        if self.u.arbitrary()? {
            self.some(loops, depth + 1)?;
        }
        self.land(end);
        Ok(())
    }

    /// A chain of comparisons of one register.
    fn cases(&mut self, loops: u8, depth: u8) -> Result<()> {
        let (reg, width) = (self.number()?, self.width()?);
        if self.u.arbitrary()? {
            self.put(Insn::Alu { op: AluOp::And, width, dst: reg, src: Operand::Imm(31) });
        }
        let mut tests = Vec::new();
        let count = *self.u.choose(&[5, 7, 30])?;
        for index in 0..count {
            tests.push(self.insns.len());
            let cond = if self.u.ratio(1, 6)? { Cond::Gt } else { Cond::Eq };
            let src = Operand::Imm(index);
            self.put(Insn::Branch { cond, width, dst: reg, src, off: 0 });
        }
        let mut ends = vec![self.insns.len()];
        self.put(Insn::Ja { off: 0 });
        for test in tests {
            if self.u.ratio(3, 4)? {
                self.land(test);
                self.statement(loops, depth + 1)?;
                ends.push(self.insns.len());
                self.put(Insn::Ja { off: 0 });
            } else {
                // Shares the next one's code.
                self.land(test);
            }
        }
        ends.into_iter().for_each(|end| self.land(end));
        Ok(())
    }

    /// A loop that counts up to a few rounds, in one of several shapes.
    fn repeat(&mut self, loops: u8, depth: u8) -> Result<()> {
        let counter = if loops == 0 { Reg::R9 } else { Reg::R8 };
        // Often too many rounds to write all of them out.
        let most = if self.u.ratio(1, 3)? { 48 } else { 6 };
        let (step, rounds) = (self.u.int_in_range(1..=3)?, self.u.int_in_range(1..=most)?);
        self.mov(counter, Operand::Imm(0));
        let start = self.insns.len();
        self.some(loops + 1, depth + 1)?;
        if self.u.arbitrary()? {
            // The counter is a number like others.
            let dst = self.number()?;
            self.alu(AluOp::Add, dst, Operand::Reg(counter));
        }
        self.alu(AluOp::Add, counter, Operand::Imm(step));
        let off = (start as i64 - self.insns.len() as i64 - 1) as i16;
        let (cond, limit) = *self.u.choose(&[
            (Cond::Ne, step * rounds),
            (Cond::Lt, step * rounds - 1),
            (Cond::Slt, step * rounds),
            (Cond::Le, step * rounds),
        ])?;
        let (width, src) = (self.width()?, Operand::Imm(limit));
        self.put(Insn::Branch { cond, width, dst: counter, src, off });
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let callee = self.u.int_in_range(self.function + 1..=self.functions - 1)?;
        self.mov(Reg::R1, Operand::Reg(Reg::R6));
        self.calls.push((self.insns.len(), callee));
        self.put(Insn::Exit);
        for reg in [Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            let imm = self.imm()?;
            let src = if self.u.arbitrary()? { Operand::Reg(Reg::R0) } else { Operand::Imm(imm) };
            self.mov(reg, src);
        }
        Ok(())
    }
}

/// Random programs; `SKEP_JIT_SECONDS` lets it go on for longer.
#[test]
fn compiled_programs_do_what_the_interpreter_does() {
    let seconds = std::env::var("SKEP_JIT_SECONDS").ok().and_then(|text| text.parse().ok());
    let configurations = configurations();
    let mut bed = Bed::new();
    let (mut compared, mut all) = (0u64, 0u64);
    let mut test = arbtest::arbtest(|u| {
        let program = Program::arbitrary(u)?;
        let mut bytes = [0; MEMORY as usize];
        u.fill_buffer(&mut bytes)?;
        // All at the first programs, then those with a pass off in turn.
        let turn = all as usize % configurations.len();
        let some = [configurations[0], configurations[1], configurations[turn]];
        let chosen = if all < 20 { &configurations[..] } else { &some[..] };
        match bed.compare(&program.0, &bytes, chosen) {
            Ok(returned) => compared += u64::from(returned),
            Err(report) => panic!("{report}"),
        }
        all += 1;
        Ok(())
    });
    test = test.size_min(512).size_max(8192).budget_ms(seconds.map_or(1500, |s: u64| s * 1000));
    if let Some(seed) = std::env::var("SKEP_JIT_SEED")
        .ok()
        .and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok())
    {
        test = test.seed(seed);
    }
    test.run();
    println!("{compared} of {all} random programs compared");
    assert!(compared * 10 > all * 9, "too few programs return: {compared} of {all}");
}
