//! A program while it is written: its instructions, and what each register and stack
//! slot holds as far as the writer must know to stay near what the verifier accepts.
//!
//! r6 keeps the context where the function has one. Numbers live in r7 to r9 between
//! statements; r0 to r5 are free in each of them.

use skep_abi::ProgType;
use skep_isa::{AluOp, Callee, Cond, Imm64, ImmKind, Insn, Operand, Reg, Size, Width};

use crate::elements::Map;
use crate::inputs::Random;

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing that may be read.
    Nothing,
    /// A number.
    Number,
    /// The program's context.
    Ctx,
    /// The start of a map value of this many bytes.
    Value(i16),
    /// An address in the caller's stack, with this many written bytes from it on.
    Stack(i16),
}

/// What the accepted programs are counted by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    /// An access at a variable offset that only a branch makes safe.
    pub guarded: bool,
    /// A loop.
    pub loops: bool,
    /// A spilled register that is read again.
    pub spill: bool,
    /// A call of a function of the program.
    pub call: bool,
}

/// A map that programs may use.
#[derive(Clone, Copy, Debug)]
pub struct MapPlace {
    /// Its fd.
    pub fd: i32,
    /// Bytes of a key.
    pub key: i16,
    /// Bytes of a value.
    pub value: i16,
    /// Whether its value has an address of its own (an array).
    pub direct: bool,
}

impl MapPlace {
    /// The map as system calls on one CPU see it.
    pub fn elements(&self) -> Map {
        let value = (self.value as usize).next_multiple_of(8);
        Map { fd: self.fd, key: self.key as usize, value }
    }
}

/// A place in the code that jumps go to.
#[derive(Clone, Copy, Debug)]
pub struct Label(usize);

/// A function, being written.
pub struct Writer<'a> {
    /// Where choices come from.
    pub dice: &'a mut Random,
    /// The maps.
    pub maps: &'a [MapPlace],
    /// The program's type.
    pub kind: ProgType,
    /// Whether the program is to be accepted, even without CAP_PERFMON.
    pub careful: bool,
    /// What has been written.
    pub insns: Vec<Insn>,
    /// What each register holds.
    pub regs: [Held; 11],
    /// Slots of the stack that hold something: index 0 is fp-8.
    pub slots: [Held; 12],
    /// What has come up.
    pub features: Features,
    /// Calls of other functions: where, and which.
    pub calls: Vec<(usize, usize)>,
    /// Functions that this one may call: their numbers and arguments.
    pub callees: &'a [(usize, Vec<Held>)],
    /// Statements that may still be written.
    pub left: u32,
    /// Loops around the statement.
    pub loops: u32,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, usize)>,
}

impl<'a> Writer<'a> {
    /// A function that holds nothing yet but its frame.
    pub fn new(
        dice: &'a mut Random,
        maps: &'a [MapPlace],
        kind: ProgType,
        careful: bool,
        callees: &'a [(usize, Vec<Held>)],
    ) -> Writer<'a> {
        Writer {
            dice,
            maps,
            kind,
            careful,
            callees,
            insns: Vec::new(),
            regs: [Held::Nothing; 11],
            slots: [Held::Nothing; 12],
            features: Features::default(),
            calls: Vec::new(),
            left: 40,
            loops: 0,
            labels: Vec::new(),
            jumps: Vec::new(),
        }
    }

    /// Writes an instruction.
    pub fn put(&mut self, insn: Insn) {
        self.insns.push(insn);
        if insn.slots() == 2 {
            self.insns.push(Insn::Hole);
        }
    }

    /// What a register holds from here on.
    pub fn hold(&mut self, reg: Reg, held: Held) {
        self.regs[usize::from(reg.number())] = held;
    }

    /// What a register holds.
    pub fn held(&self, reg: Reg) -> Held {
        self.regs[usize::from(reg.number())]
    }

    /// `dst op= src`, 64 bits wide.
    pub fn alu(&mut self, op: AluOp, dst: Reg, src: Operand) {
        self.put(Insn::Alu { op, width: Width::W64, dst, src });
    }

    /// `dst = src`.
    pub fn mov(&mut self, dst: Reg, src: Reg) {
        self.alu(AluOp::Mov, dst, Operand::Reg(src));
        self.hold(dst, self.held(src));
    }

    /// `dst = imm`.
    pub fn set(&mut self, dst: Reg, imm: i32) {
        self.alu(AluOp::Mov, dst, Operand::Imm(imm));
        self.hold(dst, Held::Number);
    }

    /// Loads.
    pub fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16) {
        self.put(Insn::Load { size, signed: false, dst, base, off });
        self.hold(dst, Held::Number);
    }

    /// Stores.
    pub fn store(&mut self, size: Size, base: Reg, off: i16, src: Operand) {
        self.put(Insn::Store { size, base, off, src });
    }

    /// A label that is placed later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label here.
    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.insns.len());
    }

    /// A label that is here.
    pub fn here(&mut self) -> Label {
        let label = self.label();
        self.place(label);
        label
    }

    /// Jumps if.
    pub fn branch(&mut self, cond: Cond, width: Width, dst: Reg, src: Operand, to: Label) {
        self.jumps.push((self.insns.len(), to.0));
        self.put(Insn::Branch { cond, width, dst, src, off: 0 });
    }

    /// Jumps.
    pub fn jump(&mut self, to: Label) {
        self.jumps.push((self.insns.len(), to.0));
        self.put(Insn::Ja { off: 0 });
    }

    /// Calls a helper: r0 is a number, r1 to r5 are gone.
    pub fn helper(&mut self, id: u32) {
        self.put(Insn::Call(Callee::Helper(id)));
        self.clobber();
    }

    /// What every call does to the registers.
    pub fn clobber(&mut self) {
        self.regs[..6].fill(Held::Nothing);
        self.hold(Reg::R0, Held::Number);
    }

    /// Loads a map's address.
    pub fn map(&mut self, dst: Reg, map: MapPlace) {
        let imm = Imm64 { kind: ImmKind::MapFd, lo: map.fd as u32, hi: 0 };
        self.put(Insn::LoadImm64 { dst, imm });
        self.hold(dst, Held::Nothing);
    }

    /// A register of those kept between statements that holds a number; makes one
    /// where there is none.
    pub fn number(&mut self) -> Reg {
        let all = [Reg::R7, Reg::R8, Reg::R9];
        let some: Vec<Reg> =
            all.into_iter().filter(|reg| self.held(*reg) == Held::Number).collect();
        if some.is_empty() {
            let imm = self.imm();
            self.set(Reg::R8, imm);
            return Reg::R8;
        }
        self.dice.choose(&some)
    }

    /// An immediate: often small, often at an edge.
    pub fn imm(&mut self) -> i32 {
        match self.dice.range(0, 9) {
            0..=4 => self.dice.range(0, 64) as i32,
            5 | 6 => self.dice.range(-64, 255) as i32,
            7 | 8 => self.dice.choose(&[
                i32::MIN,
                i32::MAX,
                -1,
                0xff,
                0xffff,
                0x7fff,
                0x1000,
                31,
                32,
                63,
                -4096,
                0x10000,
            ]),
            _ => self.dice.next() as i32,
        }
    }

    /// 32 or 64 bits.
    pub fn width(&mut self) -> Width {
        self.dice.choose(&[Width::W64, Width::W64, Width::W32])
    }

    /// Any size.
    pub fn size(&mut self) -> Size {
        self.dice.choose(&[Size::B, Size::H, Size::W, Size::DW])
    }

    /// Fills in the distances of all jumps. Gives the instructions, and the calls of
    /// other functions.
    pub fn finish(mut self) -> (Vec<Insn>, Vec<(usize, usize)>, Features) {
        for (at, label) in std::mem::take(&mut self.jumps) {
            let to = self.labels[label].unwrap_or(self.insns.len());
            let distance = (to as i64 - at as i64 - 1) as i16;
            if let Insn::Ja { off } | Insn::Branch { off, .. } = &mut self.insns[at] {
                *off = distance;
            }
        }
        (self.insns, self.calls, self.features)
    }
}
