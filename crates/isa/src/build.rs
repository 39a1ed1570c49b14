//! A builder of eBPF programs: instructions with labels instead of distances, calls by
//! helper or kfunc, loads of maps by a number that the caller chose.
//!
//! Always holds: a program that [`Builder::finish`] gives has every label placed, every
//! jump at its target, and a [`Insn::Hole`] behind each 64-bit load. Distances that do
//! not fit in 16 bits become `gotol`, behind an inverted condition.

use crate::{AluOp, Callee, Cond, Imm64, ImmKind, Insn, Operand, Pc, Reg, Size, Width};

/// A place in a program that is being built; good for the builder that made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Label(u32);

/// Why a program cannot be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BuildError {
    /// A label that is jumped to but was never placed.
    #[error("label {0} is used and never placed")]
    Unplaced(u32),
    /// Two places for one label.
    #[error("label {0} is placed twice")]
    PlacedTwice(u32),
    /// More instructions than a distance of 32 bits can cross.
    #[error("the program is too long")]
    TooLong,
}

/// A jump, or an instruction that is none.
#[derive(Clone, Copy, Debug)]
enum Item {
    Plain(Insn),
    Goto(Label),
    MayGoto(Label),
    Branch { cond: Cond, width: Width, dst: Reg, src: Operand, to: Label },
    Call(Label),
}

/// Where the labels of a finished program are.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<Option<Pc>>);

impl Places {
    /// The slot that a label stands before; `None` for one that was not placed.
    pub fn of(&self, label: Label) -> Option<Pc> {
        self.0.get(label.0 as usize).copied().flatten()
    }
}

/// A program in the making.
///
/// ```
/// use skep_isa::build::Builder;
/// use skep_isa::{Cond, Operand, Reg, Style, disassemble};
///
/// let mut b = Builder::new();
/// let out = b.label();
/// b.set(Reg::R0, 2);
/// b.branch(Cond::Eq, Reg::R1, Operand::Imm(0), out);
/// b.set(Reg::R0, 3);
/// b.place(out);
/// b.exit();
/// let insns = b.finish()?;
/// assert_eq!(disassemble(&insns[1..2], Style::Linux), "(15) if r1 == 0x0 goto pc+1\n");
/// # Ok::<(), skep_isa::build::BuildError>(())
/// ```
#[derive(Default, Debug)]
pub struct Builder {
    items: Vec<Item>,
    /// Where each label stands among the items.
    places: Vec<Option<usize>>,
    twice: Option<u32>,
}

impl Builder {
    /// An empty program.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// A new label, not placed yet.
    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() as u32 - 1)
    }

    /// Places a label before what is added next.
    pub fn place(&mut self, label: Label) {
        match self.places.get_mut(label.0 as usize) {
            Some(place @ None) => *place = Some(self.items.len()),
            _ => self.twice = Some(label.0),
        }
    }

    /// A label placed here.
    pub fn here(&mut self) -> Label {
        let label = self.label();
        self.place(label);
        label
    }

    /// Adds an instruction as it is; the hole of a 64-bit load is added with it.
    pub fn push(&mut self, insn: Insn) {
        self.items.push(Item::Plain(insn));
        if matches!(insn, Insn::LoadImm64 { .. }) {
            self.items.push(Item::Plain(Insn::Hole));
        }
    }

    /// `dst = imm`, on 64 bits.
    pub fn set(&mut self, dst: Reg, imm: i32) {
        self.alu(AluOp::Mov, dst, Operand::Imm(imm));
    }

    /// `dst = src`, on 64 bits.
    pub fn copy(&mut self, dst: Reg, src: Reg) {
        self.alu(AluOp::Mov, dst, Operand::Reg(src));
    }

    /// `dst = dst op src`, on 64 bits.
    pub fn alu(&mut self, op: AluOp, dst: Reg, src: Operand) {
        self.push(Insn::Alu { op, width: Width::W64, dst, src });
    }

    /// `dst = *(size *)(base + off)`.
    pub fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16) {
        self.push(Insn::Load { size, signed: false, dst, base, off });
    }

    /// `*(size *)(base + off) = src`.
    pub fn store(&mut self, size: Size, base: Reg, off: i16, src: Operand) {
        self.push(Insn::Store { size, base, off, src });
    }

    /// The map that this number means to whoever loads the program: a descriptor, or an
    /// index where a relocation says so.
    pub fn map(&mut self, dst: Reg, map: u32) {
        self.push(Insn::LoadImm64 { dst, imm: Imm64 { kind: ImmKind::MapFd, lo: map, hi: 0 } });
    }

    /// The address at `offset` in the only value of a map.
    pub fn map_value(&mut self, dst: Reg, map: u32, offset: u32) {
        let imm = Imm64 { kind: ImmKind::MapValue, lo: map, hi: offset };
        self.push(Insn::LoadImm64 { dst, imm });
    }

    /// Calls a helper.
    pub fn helper(&mut self, id: u32) {
        self.push(Insn::Call(Callee::Helper(id)));
    }

    /// Calls a kernel function; `module` is 0 for vmlinux, else an index into `fd_array`.
    pub fn kfunc(&mut self, btf_id: i32, module: i16) {
        self.push(Insn::Call(Callee::Kfunc { btf_id, module }));
    }

    /// Calls the subprogram that starts at a label.
    pub fn call(&mut self, to: Label) {
        self.items.push(Item::Call(to));
    }

    /// `goto to`.
    pub fn goto(&mut self, to: Label) {
        self.items.push(Item::Goto(to));
    }

    /// `if dst cond src goto to`, on 64 bits.
    pub fn branch(&mut self, cond: Cond, dst: Reg, src: Operand, to: Label) {
        self.items.push(Item::Branch { cond, width: Width::W64, dst, src, to });
    }

    /// The same on the lower 32 bits.
    pub fn branch32(&mut self, cond: Cond, dst: Reg, src: Operand, to: Label) {
        self.items.push(Item::Branch { cond, width: Width::W32, dst, src, to });
    }

    /// Leaves a loop that has run for long enough (Linux 6.9).
    pub fn may_goto(&mut self, to: Label) {
        self.items.push(Item::MayGoto(to));
    }

    /// The address of a subprogram, which a relocation puts in.
    pub fn function(&mut self, dst: Reg) {
        let imm = Imm64 { kind: ImmKind::Func, lo: 0, hi: 0 };
        self.push(Insn::LoadImm64 { dst, imm });
    }

    /// Returns.
    pub fn exit(&mut self) {
        self.push(Insn::Exit);
    }

    /// Leaves out what no path from the start reaches, which Linux refuses. Labels before what
    /// is left out have no place any more.
    pub fn prune(&mut self) {
        let mut reached = vec![false; self.items.len()];
        let mut pending = vec![0];
        while let Some(index) = pending.pop() {
            let Some(item) = self.items.get(index) else { continue };
            if std::mem::replace(&mut reached[index], true) {
                continue;
            }
            let (to, goes_on) = match *item {
                Item::Plain(insn) => (None, insn.falls_through()),
                Item::Call(to) | Item::MayGoto(to) | Item::Branch { to, .. } => (Some(to), true),
                Item::Goto(to) => (Some(to), false),
            };
            pending.extend(goes_on.then_some(index + 1));
            let to = to.and_then(|to| self.places.get(to.0 as usize).copied().flatten());
            pending.extend(to);
        }
        let mut kept = 0;
        let mut moved = Vec::with_capacity(reached.len());
        for reached in &reached {
            moved.push(reached.then_some(kept));
            kept += usize::from(*reached);
        }
        for place in &mut self.places {
            *place = place.and_then(|item| moved.get(item).copied().flatten());
        }
        let mut reached = reached.into_iter();
        self.items.retain(|_| reached.next().unwrap_or(false));
    }

    /// The instructions, with every jump at its target.
    ///
    /// # Errors
    /// A label that is not placed, or twice; a program that is too long.
    pub fn finish(self) -> Result<Vec<Insn>, BuildError> {
        self.finish_placed().map(|(insns, _)| insns)
    }

    /// The instructions, and where the labels are among them.
    ///
    /// # Errors
    /// As of [`Builder::finish`].
    pub fn finish_placed(self) -> Result<(Vec<Insn>, Places), BuildError> {
        if let Some(label) = self.twice {
            return Err(BuildError::PlacedTwice(label));
        }
        // Jumps grow until all fit: a far branch takes two more slots.
        let mut far = vec![false; self.items.len()];
        loop {
            let starts = self.starts(&far)?;
            let mut grown = false;
            for (index, item) in self.items.iter().enumerate() {
                let (Item::Goto(to) | Item::MayGoto(to) | Item::Branch { to, .. }) = *item else {
                    continue;
                };
                let distance = self.distance(&starts, index, 1, to)?;
                if !far[index] && i16::try_from(distance).is_err() {
                    far[index] = true;
                    grown = true;
                }
            }
            if !grown {
                let place =
                    |item: &Option<usize>| item.and_then(|item| Pc::try_from(starts[item]).ok());
                let places = Places(self.places.iter().map(place).collect());
                return Ok((self.emit(&starts, &far)?, places));
            }
        }
    }

    /// The slot at which each item starts, and the end.
    fn starts(&self, far: &[bool]) -> Result<Vec<i64>, BuildError> {
        let mut at = 0i64;
        let mut starts = Vec::with_capacity(self.items.len() + 1);
        for (item, far) in self.items.iter().zip(far) {
            starts.push(at);
            at += match item {
                Item::Branch { .. } | Item::MayGoto(_) if *far => 3,
                _ => 1,
            };
        }
        starts.push(at);
        Pc::try_from(at).map_err(|_| BuildError::TooLong)?;
        Ok(starts)
    }

    /// From behind the `slots` slots of an item to a label.
    fn distance(
        &self,
        starts: &[i64],
        index: usize,
        slots: i64,
        to: Label,
    ) -> Result<i32, BuildError> {
        let place = self.places.get(to.0 as usize).copied().flatten();
        let place = place.ok_or(BuildError::Unplaced(to.0))?;
        let distance = starts[place] - starts[index] - slots;
        i32::try_from(distance).map_err(|_| BuildError::TooLong)
    }

    fn emit(&self, starts: &[i64], far: &[bool]) -> Result<Vec<Insn>, BuildError> {
        let mut insns = Vec::with_capacity(starts.len());
        for (index, item) in self.items.iter().enumerate() {
            match *item {
                Item::Plain(insn) => insns.push(insn),
                Item::Call(to) => {
                    let distance = self.distance(starts, index, 1, to)?;
                    insns.push(Insn::Call(Callee::Local(distance)));
                }
                Item::Goto(to) => {
                    let off = self.distance(starts, index, 1, to)?;
                    insns.push(match i16::try_from(off) {
                        Ok(off) if !far[index] => Insn::Ja { off },
                        _ => Insn::Gotol { off },
                    });
                }
                Item::Branch { cond, width, dst, src, to } if !far[index] => {
                    let off = self.distance(starts, index, 1, to)? as i16;
                    insns.push(Insn::Branch { cond, width, dst, src, off });
                }
                Item::MayGoto(to) if !far[index] => {
                    let off = self.distance(starts, index, 1, to)? as i16;
                    insns.push(Insn::MayGoto { off });
                }
                Item::MayGoto(to) => {
                    insns.push(Insn::MayGoto { off: 1 });
                    insns.push(Insn::Ja { off: 1 });
                    insns.push(Insn::Gotol { off: self.distance(starts, index, 3, to)? });
                }
                Item::Branch { cond, width, dst, src, to } => {
                    // Over the jump that leaves, else to it.
                    insns.push(Insn::Branch { cond, width, dst, src, off: 1 });
                    insns.push(Insn::Ja { off: 1 });
                    insns.push(Insn::Gotol { off: self.distance(starts, index, 3, to)? });
                }
            }
        }
        Ok(insns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Slot, decode, encode};

    #[test]
    fn jumps_reach_their_labels_near_and_far() {
        for between in [0, 10, 32_766, 32_767, 32_768, 40_000] {
            let mut b = Builder::new();
            let (back, out) = (b.here(), b.label());
            b.branch(Cond::Eq, Reg::R1, Operand::Imm(7), out);
            for _ in 0..between {
                b.set(Reg::R0, 1);
            }
            b.goto(back);
            b.place(out);
            b.exit();
            let insns = b.finish().unwrap();
            // Follows the branch by hand: whatever its form, it ends at the exit.
            let mut pc = 0usize;
            loop {
                pc = match insns[pc] {
                    Insn::Exit => break,
                    Insn::Branch { off, .. } => pc + 1 + off as usize,
                    Insn::Ja { off } => (pc as i64 + 1 + i64::from(off)) as usize,
                    Insn::Gotol { off } => (pc as i64 + 1 + i64::from(off)) as usize,
                    other => panic!("{other:?} at {pc}"),
                };
            }
            assert_eq!(pc, insns.len() - 1);
            let jump = insns[pc - 1].jump().unwrap();
            assert_eq!(pc as i64 + i64::from(jump), 0, "{between}");
        }
    }

    #[test]
    fn holes_stand_behind_wide_loads_and_calls_are_distances() {
        let mut b = Builder::new();
        let sub = b.label();
        b.map(Reg::R1, 3);
        b.map_value(Reg::R2, 4, 8);
        b.helper(skep_abi::helper::id::MAP_LOOKUP_ELEM);
        b.kfunc(77, 0);
        b.call(sub);
        b.exit();
        b.place(sub);
        b.set(Reg::R0, 0);
        b.exit();
        let insns = b.finish().unwrap();
        let slots = encode(&insns);
        assert_eq!(Slot::join(&slots).len(), 8 * insns.len());
        assert_eq!(decode(&slots).unwrap(), insns);
        assert_eq!(insns[6], Insn::Call(Callee::Local(1)));
    }

    #[test]
    fn what_is_never_reached_is_left_out() {
        let mut b = Builder::new();
        let (out, dead) = (b.label(), b.label());
        b.goto(out);
        b.place(dead);
        b.map(Reg::R1, 3);
        b.goto(dead);
        b.place(out);
        b.set(Reg::R0, 0);
        b.exit();
        b.prune();
        let (insns, places) = b.finish_placed().unwrap();
        assert_eq!(insns.len(), 3);
        assert_eq!(insns[0], Insn::Ja { off: 0 });
        assert_eq!((places.of(dead), places.of(out)), (None, Some(1)));
    }

    #[test]
    fn a_label_is_placed_once() {
        let mut b = Builder::new();
        let label = b.label();
        b.goto(label);
        assert_eq!(b.finish(), Err(BuildError::Unplaced(0)));
        let mut b = Builder::new();
        let label = b.here();
        b.place(label);
        b.exit();
        assert_eq!(b.finish(), Err(BuildError::PlacedTwice(0)));
    }
}
