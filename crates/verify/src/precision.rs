//! Which numbers matter: when a value is relied on, the path is walked backwards to
//! mark everything that it was computed from, across checkpoints.
//!
//! The walk carries `W`, the registers and slots that are wanted after an instruction, and
//! turns it into what is wanted before:
//!
//! - `dst = src`, a load of `dst` from a slot, a store of `src` to a slot: the source takes
//!   the place of the target, if the target is in `W`;
//! - `dst = imm`, a load from elsewhere, a helper's r0: the target leaves `W`;
//! - `dst op= src`: `src` is wanted, too, if `dst` is; `if dst op src` wants both, if one is;
//! - an exit goes on inside the function that ended, a call in the caller of the function
//!   that starts: r0 there, arguments here.
//!
//! Numbers that were known to be equal are wanted together. At a checkpoint, `W` is marked
//! in its state, without what was marked before; the walk ends when `W` is empty. Where it
//! cannot see through an instruction, all numbers before it are precise. docs/pruning.md
//! says what that is for. Counterpart: `__mark_chain_precision`, `backtrack_insn`.

use skep_abi::limits::MAX_FRAMES;
use std::rc::Rc;

use skep_abi::helper::id::TAIL_CALL;
use skep_isa::{AluOp, AtomicOp, Callee, Insn, Operand, Reg as R};

use crate::checker::{Checker, Code, Findings};
use crate::error::{Check, bug};
use crate::explored::Explored;
use crate::log::{Log, say};
use crate::memory::Share;
use crate::state::{NodeId, State, Step};

/// r1 to r5.
const ARGS: u16 = 0x3e;

/// Registers and slots whose precision is wanted, by frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracker {
    frame: usize,
    regs: [u16; MAX_FRAMES],
    slots: [u64; MAX_FRAMES],
}

/// Why the walk cannot go on: everything must be taken as precise.
struct Lost;

impl Tracker {
    pub(crate) fn want_slot(&mut self, frame: u8, slot: usize) {
        self.slots[usize::from(frame)] |= 1 << slot;
    }

    fn is_empty(&self) -> bool {
        (0..=self.frame).all(|frame| self.regs[frame] == 0 && self.slots[frame] == 0)
    }

    fn regs(&mut self) -> &mut u16 {
        &mut self.regs[self.frame]
    }

    fn has(&self, reg: R) -> bool {
        self.regs[self.frame] & bit(reg) != 0
    }

    fn want(&mut self, reg: R) {
        if reg != R::R10 {
            *self.regs() |= bit(reg);
        }
    }

    fn drop(&mut self, reg: R) {
        *self.regs() &= !bit(reg);
    }

    /// If one of the linked is wanted, all are.
    fn sync_linked(&mut self, step: Option<&Step>) {
        let Some(step) = step else { return };
        let entries = step.linked.entries();
        let wanted = entries.iter().any(|entry| {
            let frame = usize::from(entry.frame);
            if entry.is_reg {
                self.regs[frame] & 1 << entry.index != 0
            } else {
                self.slots[frame] & 1 << entry.index != 0
            }
        });
        if wanted {
            for entry in entries {
                let frame = usize::from(entry.frame);
                if entry.is_reg {
                    self.regs[frame] |= 1 << entry.index;
                } else {
                    self.slots[frame] |= 1 << entry.index;
                }
            }
        }
    }
}

fn bit(reg: R) -> u16 {
    1 << reg.number()
}

/// A state on the way back: the one that started it, or a checkpoint.
enum At<'a> {
    Start(&'a State),
    Node(NodeId),
}

impl Checker<'_> {
    /// A register's value is relied on.
    pub(crate) fn mark_precise(&mut self, reg: u8) -> Check {
        let mut tracker = Tracker::default();
        tracker.regs[self.cur.depth()] |= 1 << reg;
        self.rely_on(tracker)
    }

    /// A stack slot's value is relied on.
    pub(crate) fn mark_slot_precise(&mut self, frame: u8, slot: usize) -> Check {
        let mut tracker = Tracker::default();
        tracker.want_slot(frame, slot);
        self.rely_on(tracker)
    }

    fn rely_on(&mut self, tracker: Tracker) -> Check {
        if !self.rights.bpf {
            // Everything is precise from its start.
            return Ok(());
        }
        let (mut walk, state) = self.walk();
        walk.back(state, tracker).map(|_| ())
    }

    /// What a walk backwards needs, and the state that the path is in.
    fn walk(&mut self) -> (Walk<'_>, &State) {
        let (code, found) = (&self.code, &self.found);
        (Walk { code, found, explored: &mut self.explored, log: self.log }, &self.cur)
    }

    /// What is precise in a checkpoint is relied on in the current state, which it covers.
    pub(crate) fn propagate_precision(&mut self, node: NodeId) -> Check {
        if !self.rights.bpf {
            return Ok(());
        }
        let (mut walk, state) = self.walk();
        walk.propagate(node, state).map(|_| ())
    }

    /// The same for states that came back to a loop; true if that was news to any
    /// checkpoint before them.
    pub(crate) fn propagate_around(&mut self, backedges: &[(State, NodeId, Share)]) -> Check<bool> {
        let mut changed = false;
        if self.rights.bpf {
            let (mut walk, _) = self.walk();
            for (state, equal, _) in backedges {
                changed |= walk.propagate(*equal, state)?;
            }
        }
        Ok(changed)
    }
}

/// The parts of the verifier that a walk backwards reads and marks.
struct Walk<'a> {
    code: &'a Code,
    found: &'a Findings,
    explored: &'a mut Explored,
    log: &'a mut Log,
}

impl Walk<'_> {
    /// What is precise in a checkpoint is relied on in a state that it covers; true
    /// if that was news to any checkpoint before it.
    fn propagate(&mut self, node: NodeId, state: &State) -> Check<bool> {
        let mut tracker = Tracker::default();
        for (depth, frame) in self.explored.node(node).state.frames.iter().enumerate() {
            for number in 0..10 {
                let reg = &frame.regs[number];
                tracker.regs[depth] |= u16::from(reg.is_scalar() && reg.precise) << number;
            }
            for (index, slot) in frame.stack.iter().enumerate() {
                if slot.is_scalar_spill() && slot.reg.precise {
                    tracker.slots[depth] |= 1 << index;
                }
            }
        }
        self.back(state, tracker)
    }

    fn back(&mut self, start: &State, mut tracker: Tracker) -> Check<bool> {
        tracker.frame = start.depth();
        if tracker.is_empty() {
            return Ok(false);
        }
        let (mut changed, mut first) = (false, true);
        let mut at = At::Start(start);
        let (mut last, mut next) = (start.pc as i32, -1);
        loop {
            let state = match at {
                At::Start(state) => state,
                At::Node(id) => &self.explored.node(id).state,
            };
            if self.log.is_full() {
                let first_pc = state.first_pc;
                let text = format!(
                    "mark_precise: frame{}: last_idx {last} first_idx {first_pc} subseq_idx {next} \n",
                    tracker.frame
                );
                say!(self.log, "{text}");
            }
            if last < 0 {
                return self.reach_entry(&at, tracker, changed);
            }
            let state = match at {
                At::Start(state) => state,
                At::Node(id) => &self.explored.node(id).state,
            };
            let (mut left, mut pc) = (state.history.len(), last as u32);
            let mut lost = false;
            loop {
                if first {
                    first = false;
                } else {
                    let step = left
                        .checked_sub(1)
                        .map(|index| &state.history[index])
                        .filter(|step| step.pc == pc);
                    match self.backtrack_insn(pc, next, step, &mut tracker)? {
                        Ok(()) => {}
                        Err(Lost) => {
                            lost = true;
                            break;
                        }
                    }
                }
                if tracker.is_empty() {
                    return Ok(changed);
                }
                next = pc as i32;
                match previous(state, pc, &mut left) {
                    Some(before) if before >= 0 => pc = before as u32,
                    Some(before) => bug!("backtracking idx {before}"),
                    None => break,
                }
            }
            let first_pc = state.first_pc;
            let parent = state.parent;
            if lost {
                self.explored.force_precision(start.parent);
                return Ok(changed);
            }
            let Some(parent) = parent else { break };
            changed |= self.mark_node(parent, &mut tracker)?;
            if tracker.is_empty() {
                return Ok(changed);
            }
            next = first_pc as i32;
            last = self.explored.node(parent).state.last_pc;
            at = At::Node(parent);
        }
        // Something was missed, such as an access to the stack through another frame.
        self.explored.force_precision(start.parent);
        Ok(changed)
    }

    /// The walk is at the entry of a function verified on its own.
    fn reach_entry(&mut self, at: &At<'_>, tracker: Tracker, mut changed: bool) -> Check<bool> {
        let state = match at {
            At::Start(state) => state,
            At::Node(id) => &self.explored.node(*id).state,
        };
        let frame = state.frame();
        let (regs, slots) = (tracker.regs[tracker.frame], tracker.slots[tracker.frame]);
        if state.frames.len() != 1
            || frame.subprog == 0
            || frame.callsite != -1
            || slots != 0
            || regs & !ARGS != 0
        {
            bug!(
                "backtracking func entry subprog {} reg_mask {regs:x} stack_mask {slots:x}",
                frame.subprog
            );
        }
        if let At::Node(id) = *at {
            let frame = self.explored.node_mut(id).state.frame_at_mut(0);
            for number in (1..6).filter(|number| regs & 1 << number != 0) {
                if frame.regs[number].is_scalar() {
                    frame.regs[number].precise = true;
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    /// Marks what is wanted in a checkpoint; what was marked before needs no walk.
    fn mark_node(&mut self, id: NodeId, tracker: &mut Tracker) -> Check<bool> {
        let mut changed = false;
        for depth in (0..=tracker.frame).rev() {
            let (regs, slots) = (tracker.regs[depth], tracker.slots[depth]);
            if regs == 0 && slots == 0 {
                continue;
            }
            let state = &mut self.explored.node_mut(id).state;
            let Some(frame) = state.frames.get_mut(depth) else { bug!("no frame {depth}") };
            for number in (0..11).filter(|number| regs & 1 << number != 0) {
                let reg = &frame.regs[number];
                if !reg.is_scalar() || reg.precise {
                    tracker.regs[depth] &= !(1 << number);
                } else {
                    Rc::make_mut(frame).regs[number].precise = true;
                    changed = true;
                }
            }
            for index in (0..64).filter(|index| slots & 1 << index != 0) {
                let Some(slot) = frame.stack.get(index) else {
                    bug!("stack slot {index}, total slots {}", frame.stack.len());
                };
                if !slot.is_scalar_spill() || slot.reg.precise {
                    tracker.slots[depth] &= !(1 << index);
                } else {
                    Rc::make_mut(frame).stack[index].reg.precise = true;
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    /// Turns what is wanted after an instruction into what is wanted before it.
    /// `next` is the instruction that came after it, -1 for none.
    fn backtrack_insn(
        &self,
        pc: u32,
        next: i32,
        step: Option<&Step>,
        tracker: &mut Tracker,
    ) -> Check<Result<(), Lost>> {
        tracker.sync_linked(step);
        let Some(insn) = self.code.insn(pc) else { return Ok(Ok(())) };
        match insn {
            Insn::Alu { op, dst, src, .. } => {
                if !tracker.has(dst) {
                    return Ok(Ok(()));
                }
                if op == AluOp::Mov {
                    tracker.drop(dst);
                }
                if let Operand::Reg(src) = src {
                    tracker.want(src);
                }
            }
            Insn::MovSx { dst, src, .. } | Insn::AddrSpaceCast { dst, src, .. } => {
                if !tracker.has(dst) {
                    return Ok(Ok(()));
                }
                tracker.drop(dst);
                tracker.want(src);
            }
            Insn::Neg { .. } | Insn::ByteSwap { .. } => {}
            Insn::Load { dst, .. } | Insn::LoadAcquire { dst, .. } => {
                if !tracker.has(dst) {
                    return Ok(Ok(()));
                }
                tracker.drop(dst);
                let Some((frame, slot)) = step.and_then(|step| step.access) else {
                    return Ok(Ok(()));
                };
                tracker.slots[usize::from(frame)] |= 1 << slot;
            }
            Insn::Store { base, src, .. } => {
                let src = match src {
                    Operand::Reg(src) => Some(src),
                    Operand::Imm(_) => None,
                };
                return Ok(backtrack_store(tracker, step, base, src));
            }
            Insn::StoreRelease { base, src, .. } => {
                return Ok(backtrack_store(tracker, step, base, Some(src)));
            }
            Insn::Atomic { op, base, src, .. } => {
                let _: AtomicOp = op;
                return Ok(backtrack_store(tracker, step, base, Some(src)));
            }
            Insn::Call(callee) => return self.backtrack_call(pc, next, callee, tracker),
            Insn::Exit => {
                if next >= 0 && self.found.aux[next as usize].calls_callback {
                    *tracker.regs() &= !ARGS;
                }
                if *tracker.regs() & ARGS != 0 {
                    bug!("backtracking exit unexpected regs {:x}", *tracker.regs());
                }
                let called = next >= 1
                    && matches!(
                        self.code.insn(next as u32 - 1),
                        Some(Insn::Call(Callee::Local(_)))
                    );
                let wants_result = called && tracker.has(R::R0);
                tracker.drop(R::R0);
                if tracker.frame + 1 >= MAX_FRAMES {
                    bug!("subprog enter from frame {}", tracker.frame);
                }
                tracker.frame += 1;
                if wants_result {
                    tracker.want(R::R0);
                }
                return Ok(Ok(()));
            }
            Insn::Branch { dst, src: Operand::Reg(src), .. } => {
                if !tracker.has(dst) && !tracker.has(src) {
                    return Ok(Ok(()));
                }
                if !step.is_some_and(|step| step.src_is_stack) {
                    *tracker.regs() |= bit(src);
                }
                if !step.is_some_and(|step| step.dst_is_stack) {
                    *tracker.regs() |= bit(dst);
                }
            }
            Insn::Branch { .. } | Insn::Ja { .. } | Insn::Gotol { .. } | Insn::MayGoto { .. } => {}
            Insn::LoadImm64 { dst, .. } => tracker.drop(dst),
            Insn::LoadAbs { .. } | Insn::LoadInd { .. } => {
                if tracker.has(R::R0) {
                    tracker.drop(R::R0);
                    return Ok(Err(Lost));
                }
                return Ok(Ok(()));
            }
            Insn::Hole => return Ok(Ok(())),
        }
        tracker.sync_linked(step);
        Ok(Ok(()))
    }

    fn backtrack_call(
        &self,
        pc: u32,
        next: i32,
        callee: Callee,
        tracker: &mut Tracker,
    ) -> Check<Result<(), Lost>> {
        if let Callee::Local(_) = callee {
            let target = self.code.callee_pc(pc);
            let target = target.and_then(|pc| self.found.subprog_starting(pc as u32));
            let Some(subprog) = target else { bug!("call of no subprogram") };
            if self.found.subprogs[subprog].is_global {
                if *tracker.regs() & ARGS != 0 {
                    bug!("global subprog unexpected regs {:x}", *tracker.regs());
                }
                tracker.drop(R::R0);
                return Ok(Ok(()));
            }
            if *tracker.regs() & !ARGS != 0 || tracker.slots[tracker.frame] != 0 {
                bug!("static subprog unexpected regs {:x}", *tracker.regs());
            }
            let args = std::mem::take(tracker.regs());
            if tracker.frame == 0 {
                bug!("subprog exit from frame 0");
            }
            tracker.frame -= 1;
            *tracker.regs() |= args;
            return Ok(Ok(()));
        }
        if self.found.aux[pc as usize].calls_callback && i64::from(pc) != i64::from(next) - 1 {
            if *tracker.regs() & !ARGS != 0 || tracker.slots[tracker.frame] != 0 {
                bug!("callback unexpected regs {:x}", *tracker.regs());
            }
            *tracker.regs() = 0;
            if tracker.frame == 0 {
                bug!("subprog exit from frame 0");
            }
            tracker.frame -= 1;
            return Ok(Ok(()));
        }
        if matches!(callee, Callee::Kfunc { btf_id: 0, .. }) {
            return Ok(Err(Lost));
        }
        tracker.drop(R::R0);
        if *tracker.regs() & ARGS != 0 {
            bug!("backtracking call unexpected regs {:x}", *tracker.regs());
        }
        // What came next was the caller: the function ended here.
        if callee == Callee::Helper(TAIL_CALL) && i64::from(pc) != i64::from(next) - 1 {
            if tracker.frame + 1 >= MAX_FRAMES {
                bug!("subprog enter from frame {}", tracker.frame);
            }
            tracker.frame += 1;
        }
        Ok(Ok(()))
    }
}

impl Explored {
    /// Takes every number of all checkpoints from here up as precise.
    pub(crate) fn force_precision(&mut self, mut next: Option<NodeId>) {
        while let Some(id) = next {
            let state = &mut self.node_mut(id).state;
            for frame in &mut state.frames {
                if frame.any_reg(|reg| reg.is_scalar() && !reg.precise) {
                    Rc::make_mut(frame).for_each_reg(|reg| reg.precise |= reg.is_scalar());
                }
            }
            next = state.parent;
        }
    }
}

fn backtrack_store(
    tracker: &mut Tracker,
    step: Option<&Step>,
    base: R,
    src: Option<R>,
) -> Result<(), Lost> {
    if tracker.has(base) {
        // A number used as an address: pointers were subtracted.
        return Err(Lost);
    }
    if let Some((frame, slot)) = step.and_then(|step| step.access) {
        let slots = &mut tracker.slots[usize::from(frame)];
        if *slots & 1 << slot == 0 {
            return Ok(());
        }
        *slots &= !(1 << slot);
        if let Some(src) = src {
            *tracker.regs() |= bit(src);
        }
        tracker.sync_linked(step);
    }
    Ok(())
}

/// The instruction before this one on the path, `None` before the state's first.
fn previous(state: &State, pc: u32, left: &mut usize) -> Option<i32> {
    let first = state.history.first();
    if pc == state.first_pc
        && (*left == 0 || (*left == 1 && first.is_some_and(|step| step.pc == pc)))
    {
        return None;
    }
    if let Some(step) = left.checked_sub(1).map(|index| &state.history[index])
        && step.pc == pc
    {
        *left -= 1;
        return Some(step.prev);
    }
    Some(pc as i32 - 1)
}
