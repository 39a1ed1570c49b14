//! A builder of classic programs: both targets of a branch are labels. A branch reaches
//! 255 instructions; beyond, it goes by way of a `ja` behind it.

use super::{Cond, Filter, Insn, MAX_INSNS, Operand};

/// A place in a program that is being built; good for the builder that made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Label(u32);

/// Why a program cannot be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BuildError {
    /// A label that is used but was never placed, or is placed before its use: classic
    /// programs only jump forward.
    #[error("label {0} is not placed behind its use")]
    NotAhead(u32),
    /// More instructions than a kernel takes.
    #[error("the program has {0} instructions, more than {MAX_INSNS}")]
    TooLong(usize),
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Plain(Insn),
    Goto(Label),
    Branch { cond: Cond, src: Operand, yes: Label, no: Label },
    Place(Label),
}

/// A program in the making.
///
/// ```
/// use skep_isa::classic::{Builder, Cond, Insn, Operand, listing};
///
/// let mut b = Builder::new();
/// let (yes, no) = (b.label(), b.label());
/// b.push(Insn::LoadLen(skep_isa::classic::Reg::A));
/// b.branch(Cond::Ge, Operand::K(100), yes, no);
/// b.place(yes);
/// b.push(Insn::RetK(200));
/// b.place(no);
/// b.push(Insn::RetK(0));
/// let filters = b.finish()?;
/// assert!(listing(&filters).contains("jge      #0x64            jt 2\tjf 3"));
/// # Ok::<(), skep_isa::classic::BuildError>(())
/// ```
#[derive(Default, Debug)]
pub struct Builder {
    items: Vec<Item>,
    labels: u32,
}

impl Builder {
    /// An empty program.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// A new label, not placed yet.
    pub fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    /// Places a label before what is added next.
    pub fn place(&mut self, label: Label) {
        self.items.push(Item::Place(label));
    }

    /// Adds an instruction as it is; jumps have their distances in it.
    pub fn push(&mut self, insn: Insn) {
        self.items.push(Item::Plain(insn));
    }

    /// Goes to `yes` if `A cond src`, else to `no`.
    pub fn branch(&mut self, cond: Cond, src: Operand, yes: Label, no: Label) {
        self.items.push(Item::Branch { cond, src, yes, no });
    }

    /// Goes to a label; nothing where that comes next.
    pub fn goto(&mut self, to: Label) {
        self.items.push(Item::Goto(to));
    }

    /// The instructions. All jumps go forward, so that they are written from the end,
    /// where every distance is known when it is needed.
    ///
    /// # Errors
    /// A label that does not stand behind its use; a program that is too long.
    pub fn finish(self) -> Result<Vec<Filter>, BuildError> {
        let mut backwards: Vec<Insn> = Vec::with_capacity(self.items.len());
        // For each label, how many instructions stand behind it.
        let mut places: Vec<Option<usize>> = vec![None; self.labels as usize];
        for item in self.items.into_iter().rev() {
            let behind = backwards.len();
            let distance = |label: Label| {
                let place = places.get(label.0 as usize).copied().flatten();
                place.map(|place| behind - place).ok_or(BuildError::NotAhead(label.0))
            };
            match item {
                Item::Plain(insn) => backwards.push(insn),
                Item::Place(label) => {
                    if let Some(place) = places.get_mut(label.0 as usize) {
                        *place = Some(behind);
                    }
                }
                Item::Goto(to) => match distance(to)? {
                    0 => {}
                    far => backwards.push(Insn::Ja(far as u32)),
                },
                Item::Branch { cond, src, yes, no } => {
                    let (yes, no) = (distance(yes)?, distance(no)?);
                    let mut reach = |distance: usize, more: usize| {
                        let by = backwards.len() - behind;
                        u8::try_from(distance + by + more).unwrap_or_else(|_| {
                            backwards.push(Insn::Ja((distance + by) as u32));
                            0
                        })
                    };
                    // Where one of them needs a `ja`, it moves the other by one.
                    let jf = reach(no, usize::from(yes + 1 > 255));
                    let moved = u8::from(jf == 0 && no != 0);
                    let jt = reach(yes, 0);
                    let by = (backwards.len() - behind) as u8;
                    // `jf` counts what was put between.
                    let jf = if moved == 1 { by - 1 } else { (no + usize::from(by)) as u8 };
                    backwards.push(Insn::Branch { cond, src, jt, jf });
                }
            }
        }
        if backwards.len() > MAX_INSNS {
            return Err(BuildError::TooLong(backwards.len()));
        }
        Ok(backwards.into_iter().rev().map(Insn::encode).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, Program, Reg};
    use super::*;

    /// A branch over so many instructions to each side, run both ways.
    #[test]
    fn branches_reach_their_labels_near_and_far() {
        for near in [0, 1, 253, 254, 255, 256, 300] {
            for far in [0, 1, 253, 254, 255, 256, 300] {
                for swapped in [false, true] {
                    let mut b = Builder::new();
                    let (one, two) = (b.label(), b.label());
                    b.push(Insn::LoadLen(Reg::A));
                    let (yes, no) = if swapped { (two, one) } else { (one, two) };
                    b.branch(Cond::Gt, Operand::K(3), yes, no);
                    (0..near).for_each(|_| b.push(Insn::RetK(9)));
                    b.place(one);
                    b.push(Insn::RetK(1));
                    (0..far).for_each(|_| b.push(Insn::RetK(9)));
                    b.place(two);
                    b.push(Insn::RetK(2));
                    let program = Program::new(&b.finish().unwrap()).unwrap();
                    let run = |data: &[u8]| program.run(&Packet::of(data));
                    let expected = if swapped { (2, 1) } else { (1, 2) };
                    assert_eq!((run(&[0; 9]), run(&[0; 2])), expected, "{near} {far} {swapped}");
                }
            }
        }
    }

    #[test]
    fn jumps_only_go_forward() {
        let mut b = Builder::new();
        let label = b.label();
        b.place(label);
        b.push(Insn::RetK(1));
        b.goto(label);
        assert_eq!(b.finish(), Err(BuildError::NotAhead(0)));
    }
}
