//! Instructions one after the other, and a way out for each thing that must be given
//! back: where something is not to be had, the program leaves and gives back all that
//! it holds by then.

use skep_btf::{Btf, Kind};
use skep_isa::{AluOp, Callee, Cond, Imm64, ImmKind, Insn, Operand, Reg, Size, Width};

/// A program in the making.
pub struct Script<'a> {
    vmlinux: &'a Btf,
    insns: Vec<Insn>,
    /// Lowest byte of the stack in use, as an offset from r10.
    stack: i16,
    /// What must be given back: the slot that holds it, and the call that takes it.
    held: Vec<(i16, Release)>,
    /// Branches that leave, and how much is held there.
    exits: Vec<(usize, usize)>,
}

/// What gives something back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// A helper, which takes flags too.
    Helper(u32),
    /// A kernel function, which may take a second argument that is ignored.
    Kfunc(&'static str),
}

impl<'a> Script<'a> {
    /// An empty program, for a kernel with these types.
    pub fn new(vmlinux: &'a Btf) -> Script<'a> {
        let (insns, held, exits) = (Vec::new(), Vec::new(), Vec::new());
        Script { vmlinux, insns, stack: 0, held, exits }
    }

    /// Instructions so far.
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// Adds an instruction.
    pub fn put(&mut self, insn: Insn) {
        self.insns.push(insn);
    }

    /// `dst = src`.
    pub fn mov(&mut self, dst: Reg, src: Operand) {
        self.put(Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src });
    }

    /// `dst += imm`.
    pub fn add(&mut self, dst: Reg, imm: i32) {
        self.put(Insn::Alu { op: AluOp::Add, width: Width::W64, dst, src: Operand::Imm(imm) });
    }

    /// `dst = *(size *)(base + off)`.
    pub fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16) {
        self.put(Insn::Load { size, signed: false, dst, base, off });
    }

    /// `*(size *)(base + off) = src`.
    pub fn store(&mut self, size: Size, base: Reg, off: i16, src: Operand) {
        self.put(Insn::Store { size, base, off, src });
    }

    /// A wide immediate.
    pub fn wide(&mut self, dst: Reg, kind: ImmKind, lo: u32) {
        self.put(Insn::LoadImm64 { dst, imm: Imm64 { kind, lo, hi: 0 } });
        self.put(Insn::Hole);
    }

    /// Calls a helper.
    pub fn helper(&mut self, id: u32) {
        self.put(Insn::Call(Callee::Helper(id)));
    }

    /// Calls a function of the kernel, if it has one.
    pub fn kfunc(&mut self, name: &str) {
        let id = self.vmlinux.find(name, Kind::Func).unwrap_or(0);
        self.put(Insn::Call(Callee::Kfunc { btf_id: id as i32, module: 0 }));
    }

    /// Reserves bytes of stack; gives the offset of the first.
    pub fn room(&mut self, bytes: i16) -> i16 {
        self.stack -= bytes;
        self.stack
    }

    /// `reg = r10 + off`.
    pub fn stack_address(&mut self, reg: Reg, off: i16) {
        self.mov(reg, Operand::Reg(Reg::R10));
        self.add(reg, off.into());
    }

    /// Keeps r0 on the stack; gives where.
    pub fn keep(&mut self) -> i16 {
        let off = self.room(8);
        self.store(Size::DW, Reg::R10, off, Operand::Reg(Reg::R0));
        off
    }

    /// Keeps r0, which must be given back.
    pub fn hold(&mut self, release: Release) -> i16 {
        let off = self.keep();
        self.held.push((off, release));
        off
    }

    /// Leaves unless the condition holds.
    pub fn only_if(&mut self, cond: Cond, dst: Reg, src: Operand) {
        let not = match cond {
            Cond::Ne => Cond::Eq,
            Cond::Le => Cond::Gt,
            other => other,
        };
        self.exits.push((self.insns.len(), self.held.len()));
        self.put(Insn::Branch { cond: not, width: Width::W64, dst, src, off: 0 });
    }

    fn give_back(&mut self, (off, release): (i16, Release)) {
        self.load(Size::DW, Reg::R1, Reg::R10, off);
        self.mov(Reg::R2, Operand::Imm(0));
        match release {
            Release::Helper(id) => self.helper(id),
            Release::Kfunc(name) => self.kfunc(name),
        }
    }

    fn leave(&mut self, code: i32) {
        self.mov(Reg::R0, Operand::Imm(code));
        self.put(Insn::Exit);
    }

    /// The end: gives back what is held but for what lies at `consumed`, on every way.
    pub fn finish(mut self, code: i32, consumed: Option<i16>) -> Vec<Insn> {
        for index in (0..self.held.len()).rev() {
            if Some(self.held[index].0) != consumed {
                self.give_back(self.held[index]);
            }
        }
        self.leave(code);
        let exits = std::mem::take(&mut self.exits);
        let Some(most) = exits.iter().map(|(_, held)| *held).max() else { return self.insns };
        for held in (0..=most).rev() {
            for (at, _) in exits.iter().filter(|(_, of)| *of == held) {
                let distance = self.insns.len() - at - 1;
                if let Insn::Branch { off, .. } = &mut self.insns[*at] {
                    *off = distance as i16;
                }
            }
            match held.checked_sub(1) {
                Some(last) => self.give_back(self.held[last]),
                None => self.leave(code),
            }
        }
        self.insns
    }
}
