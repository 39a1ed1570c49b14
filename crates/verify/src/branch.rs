//! Conditional jumps: which way they can go, and what each way teaches. Counterpart:
//! `check_cond_jmp_op`.

use skep_abi::limits::MAX_PACKET_OFF;
use std::rc::Rc;

use skep_abi::Errno;
use skep_isa::{AluOp, Cond, Operand, Reg as R, Width};

use crate::checker::{Checker, Code, Types};
use crate::cover;
use crate::domain::Scalar64;
use crate::error::{Check, fail};
use crate::reg::{
    AT_PACKET_END, BEYOND_PACKET_END, Flags, ID_PLUS_OFFSET, ID_PLUS_OFFSET32, Kind, Reg,
};
use crate::state::{Linked, LinkedReg, State, Step};

impl Checker<'_> {
    pub(crate) fn check_may_goto(&mut self, off: i16) -> Check {
        let mut state = self.cur.clone();
        state.may_goto_depth += 1;
        self.widen(&mut state);
        self.push_fork(state, self.pc + 1, Errno::ENOMEM)?;
        self.pc = (i64::from(self.pc) + i64::from(off)) as u32;
        Ok(())
    }

    /// Forgets what changed since the last round of a loop and does not matter.
    pub(crate) fn widen(&self, state: &mut State) {
        let Some(parent) = self.cur.parent else { return };
        let parent = &self.explored.node(parent).state;
        if let Some(entry) = self.explored.previous_entry(parent, self.pc) {
            let old = &self.explored.node(entry).state;
            cover::widen(old, state, self.path.id_gen, self.unknown());
        }
    }

    /// Pushes a changed copy of the current state.
    pub(crate) fn push_fork(&mut self, state: State, pc: u32, errno: Errno) -> Check {
        if let Some(parent) = state.parent {
            self.explored.node_mut(parent).branches += 1;
        }
        self.push_pending(state, pc, errno, |jumps| skep_abi::Reason::TooManyJumps { jumps })?;
        Ok(())
    }

    pub(crate) fn check_branch(
        &mut self,
        cond: Cond,
        width: Width,
        dst: R,
        src: Operand,
        off: i16,
    ) -> Check {
        self.check_src(dst)?;
        let (left, left_reg) = (usize::from(dst.number()), dst);
        let mut step = Step::at(self.pc, self.prev_pc);
        let (right, constant) = match src {
            Operand::Reg(src) => {
                self.check_src(src)?;
                let right = usize::from(src.number());
                let both_packet =
                    self.cur.reg(left).is_packet_or_end() && self.cur.reg(right).is_packet_or_end();
                if !both_packet && self.is_pointer_value(right) {
                    fail!(EACCES, PointerComparison { reg: src.number() });
                }
                step.src_is_stack = self.cur.reg(right).is_stack();
                (Some(right), Reg::UNKNOWN)
            }
            Operand::Imm(imm) => (None, Reg::constant(imm as i64 as u64)),
        };
        step.dst_is_stack = self.cur.reg(left).is_stack();
        if step.src_is_stack || step.dst_is_stack {
            self.record_step(step);
        }
        let target = (i64::from(self.pc) + 1 + i64::from(off)) as u32;
        let a = *self.cur.reg(left);
        let b = right.map_or(constant, |right| *self.cur.reg(right));
        if let Some(taken) = decide(cond, width, &a, &b) {
            if a.is_scalar() {
                self.mark_precise(left_reg.number())?;
            }
            if let Some(right) = right
                && b.is_scalar()
            {
                self.mark_precise(right as u8)?;
            }
            if !self.rights.bypass_spec_v1 {
                let other = if taken { self.pc + 1 } else { target };
                let unknown = self.unknown();
                let state = self.fork(other, true, Errno::EFAULT)?;
                *state.reg_mut(left) = unknown;
                if let Some(right) = right {
                    *state.reg_mut(right) = unknown;
                }
            }
            if self.log.is_verbose() {
                self.print_insn_state();
            }
            if taken {
                self.pc = (i64::from(self.pc) + i64::from(off)) as u32;
            }
            return Ok(());
        }
        self.branch_both_ways(cond, width, left, right, b, target)
    }

    fn branch_both_ways(
        &mut self,
        cond: Cond,
        width: Width,
        left: usize,
        right: Option<usize>,
        b: Reg,
        target: u32,
    ) -> Check {
        let mut linked = Linked::default();
        if right.is_some() && b.is_scalar() && b.id != 0 {
            self.collect_linked(b.id, &mut linked);
        }
        let a_id = self.cur.reg(left);
        if a_id.is_scalar() && a_id.id != 0 {
            let id = a_id.id;
            self.collect_linked(id, &mut linked);
        }
        if linked.entries().len() > 1 {
            let step = Step { linked, ..Step::at(self.pc, self.prev_pc) };
            self.record_step(step);
        }
        let a = *self.cur.reg(left);
        let b = right.map_or(b, |right| *self.cur.reg(right));
        let mut other = self.cur.clone();
        if a.is_scalar() && b.is_scalar() {
            if right == Some(left) {
                let refined = Scalar64::refine_self(cond, width, a.value);
                other.reg_mut(left).value = refined.taken;
                self.cur.reg_mut(left).value = refined.not_taken;
            } else {
                let refined = Scalar64::refine(cond, width, a.value, b.value);
                for (state, (x, y)) in
                    [(&mut other, refined.taken), (&mut self.cur, refined.not_taken)]
                {
                    state.reg_mut(left).value = x;
                    if let Some(right) = right {
                        state.reg_mut(right).value = y;
                    }
                }
            }
            self.check_branch_invariants(&mut other, left, right)?;
            if let Some(right) = right
                && b.id != 0
            {
                sync_linked(&mut self.cur, right, &linked);
                sync_linked(&mut other, right, &linked);
            }
            if a.id != 0 {
                sync_linked(&mut self.cur, left, &linked);
                sync_linked(&mut other, left, &linked);
            }
        } else {
            if let Some(right) = right
                && b.is_scalar()
                && b.id != 0
            {
                sync_linked(&mut self.cur, right, &linked);
                sync_linked(&mut other, right, &linked);
            }
            if a.is_scalar() && a.id != 0 {
                sync_linked(&mut self.cur, left, &linked);
                sync_linked(&mut other, left, &linked);
            }
        }
        let result = self.learn_pointers(cond, width, left, right, &a, &b, &mut other);
        self.push_fork(other, target, Errno::EFAULT)?;
        result?;
        if self.log.is_verbose() {
            self.print_insn_state();
        }
        Ok(())
    }

    fn check_branch_invariants(
        &mut self,
        other: &mut State,
        left: usize,
        right: Option<usize>,
    ) -> Check {
        for reg in std::iter::once(left).chain(right) {
            if let Some(what) = other.reg(reg).value.violation() {
                let value = other.reg(reg).value;
                self.report_violation(&value, what, "true_reg1")?;
                other.reg_mut(reg).value = value.unbounded();
            }
        }
        for reg in std::iter::once(left).chain(right) {
            self.check_invariants(reg, "false_reg1")?;
        }
        Ok(())
    }

    /// Null checks and comparisons with the packet's end.
    #[allow(clippy::too_many_arguments, reason = "both operands and both ways")]
    fn learn_pointers(
        &mut self,
        cond: Cond,
        width: Width,
        left: usize,
        right: Option<usize>,
        a: &Reg,
        b: &Reg,
        other: &mut State,
    ) -> Check {
        let wide = width == Width::W64;
        if let (true, Some(right)) = (wide, right)
            && a.is_pointer()
            && b.is_pointer()
            && a.maybe_null() != b.maybe_null()
            && !a.is_btf()
            && !b.is_btf()
        {
            let nullable = if b.maybe_null() { right } else { left };
            match cond {
                Cond::Eq => self.mark_not_null(other.reg_mut(nullable)),
                Cond::Ne => {
                    let mut reg = *self.cur.reg(nullable);
                    self.mark_not_null(&mut reg);
                    *self.cur.reg_mut(nullable) = reg;
                }
                _ => {}
            }
        }
        let zero = right.is_none() && b.value.as_constant() == Some(0);
        if wide && zero && matches!(cond, Cond::Eq | Cond::Ne) && a.maybe_null() {
            self.code.settle_null(&self.types, &mut self.cur, left, cond == Cond::Ne);
            self.code.settle_null(&self.types, other, left, cond == Cond::Eq);
            return Ok(());
        }
        let matched = match right {
            Some(right) if wide => self.match_packet(cond, left, right, a, b, other),
            _ => false,
        };
        if !matched && !self.rights.leak_pointers && a.is_pointer() {
            fail!(EACCES, PointerComparison { reg: left as u8 });
        }
        Ok(())
    }

    /// A pointer that may have been null is none.
    pub(crate) fn mark_not_null(&self, reg: &mut Reg) {
        self.code.mark_not_null(reg);
    }

    /// `data + n > data_end` and its siblings.
    fn match_packet(
        &mut self,
        cond: Cond,
        left: usize,
        right: usize,
        a: &Reg,
        b: &Reg,
        other: &mut State,
    ) -> bool {
        let is_packet = |reg: &Reg| reg.is_plain(Kind::Packet { range: 0 });
        let is_meta = |reg: &Reg| reg.is_plain(Kind::PacketMeta { range: 0 });
        let is_start = |reg: &Reg| {
            is_packet(reg) && reg.id == 0 && reg.off == 0 && reg.value.as_constant() == Some(0)
        };
        let ends = |x: &Reg, y: &Reg| {
            (is_packet(x) && y.kind == Kind::PacketEnd) || (is_meta(x) && is_start(y))
        };
        // (the pointer is on the left, the jump is taken when it is beyond the end,
        // the good way excludes equality)
        let (on_left, pointer, number) = if ends(a, b) {
            (true, a, left)
        } else if ends(b, a) {
            (false, b, right)
        } else {
            return false;
        };
        let (jump_is_good, open_good, open_bad) = match (cond, on_left) {
            (Cond::Gt, true) => (false, false, true),
            (Cond::Gt, false) => (true, true, false),
            (Cond::Lt, true) => (true, true, false),
            (Cond::Lt, false) => (false, false, true),
            (Cond::Ge, true) => (false, true, false),
            (Cond::Ge, false) => (true, false, true),
            (Cond::Le, true) => (true, false, true),
            (Cond::Le, false) => (false, true, false),
            _ => return false,
        };
        let (good, bad) =
            if jump_is_good { (other, &mut self.cur) } else { (&mut self.cur, other) };
        extend_range(good, pointer, open_good);
        let reg = bad.reg_mut(number);
        if let Kind::Packet { range } = &mut reg.kind {
            *range = if open_bad { BEYOND_PACKET_END } else { AT_PACKET_END };
        }
        true
    }
}

/// All packet pointers with the same variable offset know how far they may go.
fn extend_range(state: &mut State, pointer: &Reg, open: bool) {
    if pointer.off < 0 || (pointer.off == 0 && open) {
        return;
    }
    let furthest = pointer.value.umax();
    if furthest > MAX_PACKET_OFF || furthest + pointer.off as u64 > MAX_PACKET_OFF {
        return;
    }
    let range = pointer.off + i32::from(open);
    state.change_regs(
        |reg| reg.is_packet() && reg.kind.same_base(pointer.kind) && reg.id == pointer.id,
        |reg| reg.set_range(reg.range().max(range)),
    );
}

fn decide(cond: Cond, width: Width, a: &Reg, b: &Reg) -> Option<bool> {
    if width == Width::W64 && a.is_packet_or_end() && b.is_packet_or_end() {
        return decide_packet(cond, a, b);
    }
    if a.is_pointer() || b.is_pointer() {
        let constant = |reg: &Reg| reg.value.constant_in(width).filter(|_| reg.is_scalar());
        let (pointer, number) = match (constant(b), constant(a)) {
            (Some(number), _) => (a, number),
            (None, Some(number)) => (b, number),
            _ => return None,
        };
        if !pointer.is_not_null() || number != 0 {
            return None;
        }
        return match cond {
            Cond::Eq => Some(false),
            Cond::Ne => Some(true),
            _ => None,
        };
    }
    Scalar64::outcome(cond, width, &a.value, &b.value)
}

fn decide_packet(cond: Cond, a: &Reg, b: &Reg) -> Option<bool> {
    let (packet, cond) = if b.kind == Kind::PacketEnd {
        (a, cond)
    } else if a.kind == Kind::PacketEnd {
        (b, flip(cond))
    } else {
        return None;
    };
    match (cond, packet.range()) {
        (Cond::Le | Cond::Gt, BEYOND_PACKET_END) => Some(cond == Cond::Gt),
        (Cond::Lt | Cond::Ge, BEYOND_PACKET_END | AT_PACKET_END) => Some(cond == Cond::Ge),
        _ => None,
    }
}

/// `a cond b` as `b cond a`.
fn flip(cond: Cond) -> Cond {
    match cond {
        Cond::Ge => Cond::Le,
        Cond::Gt => Cond::Lt,
        Cond::Le => Cond::Ge,
        Cond::Lt => Cond::Gt,
        Cond::Sge => Cond::Sle,
        Cond::Sgt => Cond::Slt,
        Cond::Sle => Cond::Sge,
        Cond::Slt => Cond::Sgt,
        Cond::Eq | Cond::Ne | Cond::Set => cond,
    }
}

impl Checker<'_> {
    /// All scalars with this id that may still be read; those for which there is no room
    /// lose theirs.
    fn collect_linked(&mut self, id: u32, linked: &mut Linked) {
        let id = id & !ID_PLUS_OFFSET;
        let is_linked = |reg: &Reg| reg.is_scalar() && reg.id & !ID_PLUS_OFFSET == id;
        let top = self.cur.depth();
        for depth in (0..=top).rev() {
            if !self.cur.frames[depth].any_reg(is_linked) {
                continue;
            }
            let pc = if depth == top { self.pc } else { self.cur.frame_pc(depth) };
            let live = self.found.aux[pc as usize].live_before;
            let frame = &self.cur.frames[depth];
            let regs = frame.regs[..10].iter().enumerate();
            let regs = regs.filter(|(number, _)| live & 1 << number != 0);
            let regs = regs.map(|(number, reg)| (number, (reg, true)));
            let slots = frame.stack.iter().enumerate().filter(|(_, slot)| slot.is_spill());
            let slots = slots.map(|(index, slot)| (index, (&slot.reg, false)));
            let mut dropped = Vec::new();
            for (index, (reg, is_reg)) in regs.chain(slots) {
                if !is_linked(reg) {
                    continue;
                }
                let entry = LinkedReg { frame: depth as u8, index: index as u8, is_reg };
                if !linked.push(entry) {
                    dropped.push((index, is_reg));
                }
            }
            if dropped.is_empty() {
                continue;
            }
            let frame = Rc::make_mut(&mut self.cur.frames[depth]);
            for (index, is_reg) in dropped {
                let reg = if is_reg { &mut frame.regs[index] } else { &mut frame.stack[index].reg };
                (reg.id, reg.off) = (0, 0);
            }
        }
    }
}

/// Copies what was learnt of a register to those linked with it.
fn sync_linked(state: &mut State, known: usize, linked: &Linked) {
    let depth = state.depth();
    let known_reg = *state.reg(known);
    for entry in linked.entries() {
        let at = usize::from(entry.frame);
        if entry.is_reg && at == depth && usize::from(entry.index) == known {
            continue;
        }
        let frame = state.frame_at_mut(at);
        let reg = if entry.is_reg {
            &mut frame.regs[usize::from(entry.index)]
        } else {
            &mut frame.stack[usize::from(entry.index)].reg
        };
        if !reg.is_scalar() || (reg.id ^ known_reg.id) & !ID_PLUS_OFFSET != 0 {
            continue;
        }
        let marks = (reg.id | known_reg.id) & ID_PLUS_OFFSET;
        // Numbers and lower halves do not keep the same distance.
        if marks == ID_PLUS_OFFSET {
            continue;
        }
        if marks == 0 || reg.off == known_reg.off {
            *reg = known_reg;
        } else {
            let distance = i64::from(reg.off) - i64::from(known_reg.off);
            let halves = marks & ID_PLUS_OFFSET32 != 0;
            let width = if halves { Width::W32 } else { Width::W64 };
            let distance = Scalar64::number(distance as u64);
            let value = known_reg.value.alu(AluOp::Add, width, distance);
            *reg = Reg { off: reg.off, id: reg.id, value, ..known_reg };
        }
    }
}

impl Code {
    /// A pointer that may have been null is none.
    pub(crate) fn mark_not_null(&self, reg: &mut Reg) {
        let Kind::MapValue { map, .. } = reg.kind else {
            reg.flags -= Flags::MAYBE_NULL;
            return;
        };
        let info = &self.maps[usize::from(map)];
        reg.flags = Flags::empty();
        if let Some(inner) = info.inner {
            let uid = if self.maps[usize::from(inner)].record.has_async_fields() {
                reg.id
            } else {
                reg.map_uid()
            };
            reg.kind = Kind::MapPtr { map: inner, uid };
            return;
        }
        match info.def.kind {
            skep_abi::MapType::Xskmap => reg.kind = Kind::XdpSock,
            skep_abi::MapType::Sockmap | skep_abi::MapType::Sockhash => reg.kind = Kind::Socket,
            _ => {}
        }
    }

    /// All copies of a nullable pointer are null, or none is.
    fn settle_null(&self, types: &Types, state: &mut State, reg: usize, is_null: bool) {
        let (id, ref_id) = (state.reg(reg).id, state.reg(reg).ref_id);
        if ref_id != 0 && ref_id == id && is_null {
            state.release(id);
        }
        state.change_regs(
            |reg| reg.maybe_null() && reg.id == id,
            |reg| {
                if is_null {
                    *reg = Reg { precise: reg.precise, off: reg.off, ..Reg::constant(0) };
                    return;
                }
                self.mark_not_null(reg);
                if !self.may_hold_lock(types, reg) {
                    reg.id = 0;
                }
            },
        );
    }
}
