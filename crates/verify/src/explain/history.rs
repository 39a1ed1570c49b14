//! How a value came to be, told backwards along the path: through copies, arithmetic,
//! spills and calls, to where it was first read.

use skep_isa::{AluOp, Callee, ImmKind, Insn, Operand, Reg as R, Size, Width};

use super::trail::{Step, Trail};
use super::{Event, words};
use crate::checker::Checker;
use crate::reg::Reg;

/// Most events that are told.
const MOST: usize = 6;

/// The value that is being followed back.
#[derive(Clone, Copy)]
struct Followed {
    place: Place,
    depth: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Reg(u8),
    /// An offset from the frame pointer.
    Stack(i64),
}

/// What an instruction has to do with the value.
enum Link {
    /// It changed it; the value before is of interest, too.
    Changed(String),
    /// It came from there.
    From(Place, Option<String>),
    /// It came into being here.
    Origin(String),
}

impl Checker<'_> {
    /// What happened to a register on the way to the last step, oldest first.
    pub(super) fn history(&self, subject: u8, trail: &Trail) -> Vec<Event> {
        let Some(last) = trail.last() else { return Vec::new() };
        let mut followed = Followed { place: Place::Reg(subject), depth: last.depth };
        let mut events: Vec<Event> = Vec::new();
        for (step, next) in trail.pairs().rev() {
            let Some(insn) = self.insn(step.pc) else { break };
            let Some((link, depth)) = self.link(insn, step, next, followed) else { continue };
            let (place, what, ends) = match link {
                Link::Changed(what) => (followed.place, Some(what), false),
                Link::From(place, what) => (place, what, false),
                Link::Origin(what) => (followed.place, Some(what), true),
            };
            if let Some(what) = what {
                events.push(Event { place: self.place(step.pc), what });
            }
            followed = Followed { place, depth };
            if ends || events.len() == MOST {
                break;
            }
        }
        events.reverse();
        events
    }

    fn link(&self, insn: Insn, step: &Step, next: &Step, at: Followed) -> Option<(Link, usize)> {
        // Into a function, and back out of it.
        if next.depth > step.depth && at.depth == next.depth {
            let Place::Reg(reg @ 1..=5) = at.place else { return None };
            return Some((Link::From(Place::Reg(reg), None), step.depth));
        }
        if next.depth < step.depth && at.depth == next.depth && at.place == Place::Reg(0) {
            return Some((Link::From(Place::Reg(0), None), step.depth));
        }
        if step.depth != at.depth {
            return None;
        }
        let link = match at.place {
            Place::Reg(reg) => self.link_reg(insn, step, next, reg)?,
            Place::Stack(off) => link_stack(insn, step, off)?,
        };
        Some((link, at.depth))
    }

    fn link_reg(&self, insn: Insn, step: &Step, next: &Step, reg: u8) -> Option<Link> {
        let (before, after) = (&step.regs[usize::from(reg)], &next.regs[usize::from(reg)]);
        let is = |other: R| other.number() == reg;
        let becomes =
            |how: &str| Link::Changed(format!("{how}: r{reg} is {}", self.in_words(after)));
        let origin = |how: &str| Link::Origin(format!("{how}: r{reg} is {}", self.in_words(after)));
        Some(match insn {
            Insn::Alu { op: AluOp::Mov, width, dst, src } if is(dst) => match src {
                Operand::Imm(imm) => Link::Origin(format!("r{reg} = {imm}")),
                Operand::Reg(src) if width == Width::W64 => {
                    Link::From(Place::Reg(src.number()), None)
                }
                Operand::Reg(src) => {
                    let how = format!("the lower half of r{}: r{reg} is ", src.number());
                    let what = how + &self.in_words(after);
                    Link::From(Place::Reg(src.number()), Some(what))
                }
            },
            Insn::MovSx { dst, src, .. } if is(dst) => {
                let what = format!("sign-extended: r{reg} is {}", self.in_words(after));
                Link::From(Place::Reg(src.number()), Some(what))
            }
            // Of a pointer plus a number, the number is what goes wrong.
            Insn::Alu { op: AluOp::Add, dst, src: Operand::Reg(src), .. }
                if is(dst) && after.is_pointer() =>
            {
                let added = if before.is_pointer() { src } else { dst };
                let number = self.in_words(&step.regs[usize::from(added.number())]);
                let what = format!(
                    "r{} is added, {number}: r{reg} is {}",
                    added.number(),
                    self.in_words(after)
                );
                Link::From(Place::Reg(added.number()), Some(what))
            }
            Insn::Alu { dst, .. } | Insn::Neg { dst, .. } | Insn::ByteSwap { dst, .. }
                if is(dst) =>
            {
                becomes("computed")
            }
            Insn::Load { dst, base, off, size, .. } if is(dst) => {
                let from = &step.regs[usize::from(base.number())];
                match spilled_at(from, off).filter(|_| size == Size::DW || after.is_scalar()) {
                    Some(off) => Link::From(Place::Stack(off), None),
                    None => {
                        let from = self.in_words(from);
                        origin(&format!("read through r{}, {from}", base.number()))
                    }
                }
            }
            Insn::LoadAcquire { dst, .. } if is(dst) => origin("read from memory"),
            Insn::LoadImm64 { dst, imm } if is(dst) => match imm.kind {
                ImmKind::Const => Link::Origin(format!("r{reg} = {}", imm.value() as i64)),
                _ => origin("an address"),
            },
            Insn::AddrSpaceCast { dst, .. } if is(dst) => origin("cast to another address space"),
            Insn::LoadAbs { .. } | Insn::LoadInd { .. } if reg == 0 => {
                origin("read from the packet")
            }
            Insn::Atomic { .. } if before != after => origin("an atomic operation"),
            Insn::Call(Callee::Local(_)) => return None,
            Insn::Call(callee) if reg == 0 => {
                let name = match callee {
                    Callee::Helper(id) => self
                        .helper(id)
                        .map_or(format!("helper {id}"), |helper| helper.name.to_owned()),
                    Callee::Kfunc { btf_id, .. } => {
                        self.type_name(crate::reg::KERNEL_BTF, btf_id as u32)
                    }
                    Callee::Local(_) | Callee::Register(_) => "a call".into(),
                };
                origin(&format!("returned by {name}"))
            }
            Insn::Call(_) if (1..=5).contains(&reg) => {
                Link::Origin(format!("a call leaves nothing in r{reg}"))
            }
            Insn::Branch { .. } if before != after && !same_words(before, after) => {
                becomes(if next.pc == step.pc + 1 { "this did not jump" } else { "this jumped" })
            }
            _ => return None,
        })
    }
}

/// Whether a comparison taught nothing worth telling.
fn same_words(before: &Reg, after: &Reg) -> bool {
    before.kind == after.kind
        && before.flags == after.flags
        && words::number(&before.value) == words::number(&after.value)
}

/// The stack offset that a load of a fixed place goes to.
fn spilled_at(base: &Reg, off: i16) -> Option<i64> {
    let variable = base.value.as_constant()? as i64;
    let is_stack = matches!(base.kind, crate::reg::Kind::Stack { .. });
    is_stack.then_some(i64::from(base.off) + variable + i64::from(off))
}

fn link_stack(insn: Insn, step: &Step, place: i64) -> Option<Link> {
    let Insn::Store { base, off, src, .. } = insn else { return None };
    if spilled_at(&step.regs[usize::from(base.number())], off)? != place {
        return None;
    }
    Some(match src {
        Operand::Reg(src) => {
            Link::From(Place::Reg(src.number()), Some(format!("kept on the stack at fp{place:+}")))
        }
        Operand::Imm(imm) => Link::Origin(format!("{imm} put on the stack at fp{place:+}")),
    })
}
