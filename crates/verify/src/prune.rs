//! Checkpoints: states that were explored, and whether one of them already covers
//! the current path. Counterpart: `is_state_visited`, `states_equal`, and the
//! bookkeeping of loops around them.

use std::rc::Rc;

use crate::checker::Checker;
use crate::error::{Check, fail};
use crate::log::say;
use crate::memory::Share;
use crate::reg::{ID_PLUS_OFFSET, IterState, Kind, Reg};
use crate::state::{Byte, Frame, NodeId, Slot, State, Step, slot_of};

/// Without CAP_BPF, no more states are kept at an instruction.
const MAX_STATES_UNPRIVILEGED: u32 = 64;
/// Rounds in which precision is propagated around a loop.
const MAX_ROUNDS: u32 = 64;

/// A checkpoint.
#[derive(Debug)]
pub(crate) struct Node {
    pub state: State,
    /// Paths from here that are not yet at their end.
    pub branches: u32,
    hits: u32,
    misses: u32,
    /// Taken off the list of states to compare with.
    retired: bool,
    cleaned: bool,
    _memory: Share,
}

/// A loop being explored, by the calls that led to it.
#[derive(Default)]
pub(crate) struct Visit {
    entry: Option<NodeId>,
    /// States that reached an equal, unfinished one.
    backedges: Vec<(State, NodeId, Share)>,
    counted: u32,
}

/// How exactly states must agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exactness {
    /// What was not read or not precise may differ.
    Loose,
    /// Everything is the same.
    Exact,
    /// The ranges of the new state lie within the old one's.
    Within,
}

/// Which id of one state stands for which of another.
pub(crate) struct IdMap {
    pairs: Vec<(u32, u32)>,
    next: u32,
}

impl IdMap {
    pub(crate) fn new(next: u32) -> IdMap {
        IdMap { pairs: Vec::new(), next }
    }

    fn agree(&mut self, old: u32, new: u32) -> bool {
        if (old == 0) != (new == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for &(known_old, known_new) in &self.pairs {
            if known_old == old {
                return known_new == new;
            }
            if known_new == new {
                return false;
            }
        }
        self.pairs.push((old, new));
        true
    }

    /// For scalars: what was linked to nothing may be linked now, which only adds
    /// knowledge; no id now is as good as an id of one's own. Where a scalar was linked
    /// at an offset, the scalars without one must stand for each other, too: else a
    /// branch on the one would say less of the other now than it did then.
    fn scalars_agree(&mut self, old: u32, new: u32) -> bool {
        if old == 0 {
            return true;
        }
        let new = if new == 0 {
            self.next += 1;
            self.next
        } else {
            new
        };
        self.agree(old, new)
            && (old & ID_PLUS_OFFSET == 0
                || self.agree(old & !ID_PLUS_OFFSET, new & !ID_PLUS_OFFSET))
    }

    pub(crate) fn exact(&mut self, old: &Reg, new: &Reg) -> bool {
        (old.kind, old.flags, old.off, old.value) == (new.kind, new.flags, new.off, new.value)
            && self.agree(old.id, new.id)
            && self.agree(old.ref_id, new.ref_id)
    }
}

impl Checker<'_> {
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes[id as usize].as_ref().expect("a node lives as long as it is referred to")
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id as usize].as_mut().expect("a node lives as long as it is referred to")
    }

    fn bucket(&self, state: &State, pc: u32) -> usize {
        (pc ^ state.frame().callsite as u32) as usize % self.explored.len()
    }

    /// Forgets all that a function's exploration left.
    pub(crate) fn forget_states(&mut self) {
        self.cur = State::empty();
        self.pending.clear();
        self.nodes.clear();
        self.free_nodes.clear();
        self.visits.clear();
        self.explored.iter_mut().for_each(Vec::clear);
    }

    fn note_peak(&mut self) {
        let now = self.explored_count + self.free_count + self.backedge_count;
        self.peak_states = self.peak_states.max(now);
    }

    /// The loop that a state is in, if any: its component and the calls before it.
    fn loop_of(&self, state: &State) -> Option<(u32, [u32; 8])> {
        let mut calls = [0; 8];
        for depth in 0..state.frames.len() {
            let pc = state.frame_pc(depth);
            let scc = self.aux[pc as usize].scc;
            if scc != 0 {
                return Some((scc, calls));
            }
            if depth + 1 == state.frames.len() {
                return None;
            }
            calls[depth] = pc;
        }
        None
    }

    fn is_unfinished(&self, id: NodeId) -> bool {
        self.loop_of(&self.node(id).state)
            .and_then(|key| self.visits.get(&key))
            .is_some_and(|visit| !visit.backedges.is_empty())
    }

    /// The path is at its end: so may be the checkpoints that it came from.
    pub(crate) fn finish_branch(&mut self) -> Check {
        let mut next = self.cur.parent;
        while let Some(id) = next {
            let node = self.node_mut(id);
            node.branches -= 1;
            if node.branches != 0 {
                break;
            }
            next = node.state.parent;
            self.leave_loop(id)?;
            self.free_if_unused(id);
        }
        Ok(())
    }

    fn free_if_unused(&mut self, id: NodeId) {
        let node = self.node(id);
        if node.retired && node.branches == 0 && !self.is_unfinished(id) {
            self.nodes[id as usize] = None;
            self.free_nodes.push(id);
            self.free_count -= 1;
        }
    }

    fn leave_loop(&mut self, id: NodeId) -> Check {
        let Some(key) = self.loop_of(&self.node(id).state) else { return Ok(()) };
        let Some(visit) = self.visits.get_mut(&key) else { return Ok(()) };
        if visit.entry != Some(id) {
            return Ok(());
        }
        visit.entry = None;
        self.backedge_count -= std::mem::take(&mut visit.counted);
        let mut backedges = std::mem::take(&mut visit.backedges);
        self.note_peak();
        // The edges stay counted as unfinished while precision goes around.
        let mut round = 0;
        loop {
            if round >= MAX_ROUNDS {
                for (state, ..) in &backedges {
                    self.force_precision(state.parent);
                }
                break;
            }
            round += 1;
            let mut changed = false;
            for (state, equal, _) in &mut backedges {
                changed |= self.propagate_precision(*equal, state)?;
            }
            if !changed {
                break;
            }
        }
        Ok(())
    }

    fn enter_loop(&mut self, id: NodeId) {
        if let Some(key) = self.loop_of(&self.node(id).state) {
            self.visits.entry(key).or_default().entry.get_or_insert(id);
        }
    }

    /// Whether a checkpoint covers the current state; if not, perhaps makes one.
    pub(crate) fn is_visited(&mut self, pc: u32) -> Check<bool> {
        let forced = self.program.flags & skep_abi::flags::prog::TEST_STATE_FREQ != 0
            && self.rights.bpf
            || self.aux[pc as usize].force_checkpoint
            || self.cur.history.len() > 40;
        let mut add = forced
            || (self.jumps - self.prev_jumps >= 2 && self.processed - self.prev_processed >= 8);
        let bucket = self.bucket(&self.cur, pc);
        self.clean_finished(bucket, pc);
        let mut count = 0;
        let mut index = self.explored[bucket].len();
        while index > 0 {
            index -= 1;
            let id = self.explored[bucket][index];
            count += 1;
            if self.node(id).state.pc != pc {
                continue;
            }
            match self.compare(id, pc, forced, &mut add)? {
                Some(looping) => {
                    self.hit(id, looping)?;
                    return Ok(true);
                }
                None => self.miss(bucket, index, id, pc, add),
            }
        }
        self.max_states_per_insn = self.max_states_per_insn.max(count);
        if !add || (!self.rights.bpf && count > MAX_STATES_UNPRIVILEGED) {
            return Ok(false);
        }
        self.checkpoint(bucket, pc);
        Ok(false)
    }

    /// Compares with one checkpoint: `Some` if it covers the current state, and
    /// whether that closes a loop.
    fn compare(
        &mut self,
        id: NodeId,
        pc: u32,
        forced: bool,
        add: &mut bool,
    ) -> Check<Option<bool>> {
        let node = self.nodes[id as usize].take().expect("listed nodes are alive");
        let result = self.compare_node(&node, id, pc, forced, add);
        self.nodes[id as usize] = Some(node);
        result
    }

    fn compare_node(
        &mut self,
        node: &Node,
        id: NodeId,
        pc: u32,
        forced: bool,
        add: &mut bool,
    ) -> Check<Option<bool>> {
        if node.branches == 0 {
            let unfinished = self
                .loop_of(&node.state)
                .and_then(|key| self.visits.get(&key))
                .is_some_and(|visit| !visit.backedges.is_empty());
            let exactness = if unfinished { Exactness::Within } else { Exactness::Loose };
            return Ok(self.covers(&node.state, exactness).then_some(unfinished));
        }
        let _ = id;
        let mut check_loop = true;
        let frame = node.state.frame();
        let aux = &self.aux[pc as usize];
        let (iter_next, calls_callback) = (aux.iter_next, aux.calls_callback);
        if frame.in_async_callback && frame.async_entries != self.cur.frame().async_entries {
            check_loop = false;
        } else if iter_next {
            check_loop = false;
            if self.covers(&node.state, Exactness::Within) && self.iterates() {
                return Ok(Some(true));
            }
        } else {
            if matches!(self.insn(pc), Some(skep_isa::Insn::MayGoto { .. }))
                && node.state.may_goto_depth != self.cur.may_goto_depth
                && self.covers(&node.state, Exactness::Within)
            {
                return Ok(Some(true));
            }
            if calls_callback {
                check_loop = false;
                if self.covers(&node.state, Exactness::Within) {
                    return Ok(Some(false));
                }
            }
        }
        if check_loop && self.loops(&node.state) {
            return self.infinite_loop(&node.state, pc);
        }
        if !forced
            && self.jumps - self.prev_jumps < 20
            && self.processed - self.prev_processed < 100
        {
            *add = false;
        }
        Ok(None)
    }

    fn loops(&mut self, old: &State) -> bool {
        let (a, b) = (old.frame(), self.cur.frame());
        old.frames.len() == self.cur.frames.len()
            && a.regs.iter().zip(&b.regs).all(|(a, b)| {
                (a.kind, a.flags, a.off, a.id, a.ref_id, &a.value)
                    == (b.kind, b.flags, b.off, b.id, b.ref_id, &b.value)
            })
            && self.covers(old, Exactness::Exact)
            && !iterators_differ(old, &self.cur)
            && old.may_goto_depth == self.cur.may_goto_depth
            && old.callback_unroll_depth == self.cur.callback_unroll_depth
    }

    fn infinite_loop(&mut self, old: &State, pc: u32) -> Check<Option<bool>> {
        self.print_line(pc, "; ");
        say!(self.log, "infinite loop detected at insn {pc}\ncur state:");
        let depth = self.cur.depth();
        self.print_current(depth, true);
        say!(self.log, "old state:");
        self.print_state(old, depth, true);
        fail!(EINVAL, InfiniteLoop { pc });
    }

    /// Whether the iterator that r1 points to still yields elements.
    fn iterates(&self) -> bool {
        let reg = self.cur.reg(1);
        let Kind::Stack { frame } = reg.kind else { return false };
        let off = reg.off.wrapping_add(reg.value.tnum.value.0 as i32);
        let slot = self.cur.frame_at(frame.into()).stack.get(slot_of(off));
        slot.is_some_and(|slot| {
            matches!(slot.reg.kind, Kind::Iter { state: IterState::Active, .. })
        })
    }

    fn hit(&mut self, id: NodeId, looping: bool) -> Check {
        self.node_mut(id).hits += 1;
        if self.aux[self.pc as usize].jump_point {
            self.record_step(Step::at(self.pc, self.prev_pc));
        }
        let mut state = std::mem::replace(&mut self.cur, State::empty());
        let propagated = self.propagate_precision(id, &mut state);
        self.cur = state;
        propagated?;
        if looping {
            let backedge = self.cur.clone();
            let key = self.loop_of(&self.node(id).state);
            let Some(visit) = key.and_then(|key| self.visits.get_mut(&key)) else {
                fail!(EFAULT, InternalError { what: "no loop around a backedge".into() });
            };
            let memory = self.meter.share(backedge.own_size());
            visit.backedges.push((backedge, id, memory));
            visit.counted += 1;
            self.backedge_count += 1;
            self.note_peak();
        }
        Ok(())
    }

    fn miss(&mut self, bucket: usize, index: usize, id: NodeId, pc: u32, add: bool) {
        let forced = self.aux[pc as usize].force_checkpoint;
        let node = self.node_mut(id);
        node.misses += u32::from(add);
        let patience = if forced && node.branches > 0 { 64 } else { 3 };
        if node.misses > node.hits * patience + patience {
            node.retired = true;
            self.explored[bucket].remove(index);
            self.free_count += 1;
            self.explored_count -= 1;
            self.free_if_unused(id);
        }
    }

    fn checkpoint(&mut self, bucket: usize, pc: u32) {
        self.total_states += 1;
        self.explored_count += 1;
        self.note_peak();
        self.prev_jumps = self.jumps;
        self.prev_processed = self.processed;
        if self.rights.bpf {
            forget_precision(&mut self.cur);
        }
        let state = self.cur.clone();
        let depth = state.dfs_depth;
        let node = Node {
            _memory: self.meter.share(state.own_size()),
            state,
            branches: 1,
            hits: 0,
            misses: 0,
            retired: false,
            cleaned: false,
        };
        let id = match self.free_nodes.pop() {
            Some(id) => {
                self.nodes[id as usize] = Some(node);
                id
            }
            None => {
                self.nodes.push(Some(node));
                (self.nodes.len() - 1) as NodeId
            }
        };
        self.enter_loop(id);
        self.cur.parent = Some(id);
        self.cur.first_pc = pc;
        self.cur.dfs_depth = depth + 1;
        self.cur.history.clear();
        self.explored[bucket].push(id);
    }

    /// The nearest unfinished checkpoint at `pc` with the same calls.
    pub(crate) fn previous_entry(&self, state: &State, pc: u32) -> Option<NodeId> {
        let bucket = self.bucket(state, pc);
        self.explored[bucket].iter().rev().copied().find(|&id| {
            let node = self.node(id);
            node.state.pc == pc
                && node.branches > 0
                && node.state.same_callsites(state)
                && node.state.dfs_depth < state.dfs_depth
        })
    }

    /// Clears what can no longer be read in finished checkpoints.
    fn clean_finished(&mut self, bucket: usize, pc: u32) {
        for index in 0..self.explored[bucket].len() {
            let id = self.explored[bucket][index];
            let node = self.node(id);
            if node.branches > 0
                || node.cleaned
                || node.state.pc != pc
                || !node.state.same_callsites(&self.cur)
                || self.is_unfinished(id)
            {
                continue;
            }
            let mut node = self.nodes[id as usize].take().expect("listed nodes are alive");
            self.clean(&mut node.state);
            node.cleaned = true;
            self.nodes[id as usize] = Some(node);
        }
    }

    fn clean(&mut self, state: &mut State) {
        let query = self.live_query(state);
        for depth in 0..state.frames.len() {
            let live = self.aux[state.frame_pc(depth) as usize].live_before;
            let frame = Rc::make_mut(&mut state.frames[depth]);
            for number in 0..10 {
                if live & 1 << number == 0 {
                    frame.regs[number] = Reg::UNINIT;
                }
            }
            for index in 0..frame.stack.len() {
                if !self.is_slot_live(&query, depth, index) {
                    frame.stack[index].clear();
                }
            }
        }
    }

    /// Whether everything that is safe after `old` is safe now.
    pub(crate) fn covers(&self, old: &State, exactness: Exactness) -> bool {
        let new = &self.cur;
        if old.frames.len() != new.frames.len()
            || (old.speculative && !new.speculative)
            || old.sleepable != new.sleepable
        {
            return false;
        }
        let mut ids = IdMap::new(self.id_gen);
        if !references_agree(old, new, &mut ids) {
            return false;
        }
        (0..old.frames.len()).all(|depth| {
            let (a, b) = (&old.frames[depth], &new.frames[depth]);
            a.callsite == b.callsite
                && self.frame_covers(a, b, old.frame_pc(depth), &mut ids, exactness)
        })
    }

    fn frame_covers(
        &self,
        old: &Frame,
        new: &Frame,
        pc: u32,
        ids: &mut IdMap,
        exactness: Exactness,
    ) -> bool {
        let live = self.aux[pc as usize].live_before;
        old.callback_depth <= new.callback_depth
            && (0..11).all(|number| {
                live & 1 << number == 0
                    || self.reg_covers(&old.regs[number], &new.regs[number], ids, exactness)
            })
            && self.stack_covers(old, new, ids, exactness)
    }

    fn reg_covers(&self, old: &Reg, new: &Reg, ids: &mut IdMap, exactness: Exactness) -> bool {
        if exactness == Exactness::Exact {
            return ids.exact(old, new);
        }
        if old.kind == Kind::Uninit && (exactness == Exactness::Loose || new.kind == Kind::Uninit) {
            return true;
        }
        if !old.kind.same_base(new.kind) || old.flags != new.flags {
            return false;
        }
        match old.kind {
            Kind::Scalar => {
                if self.explore_alu_limits {
                    return old.off == new.off
                        && old.value == new.value
                        && ids.scalars_agree(old.id, new.id);
                }
                if !old.precise && exactness == Exactness::Loose {
                    return true;
                }
                let linked = old.id & ID_PLUS_OFFSET;
                let alike = linked == new.id & ID_PLUS_OFFSET;
                (old.id == 0 || alike && (linked == 0 || old.off == new.off))
                    && old.value.includes(new.value)
                    && ids.scalars_agree(old.id, new.id)
            }
            Kind::MapKey { .. }
            | Kind::MapValue { .. }
            | Kind::Mem { .. }
            | Kind::Buf
            | Kind::TpBuffer => {
                old.kind == new.kind
                    && old.off == new.off
                    && old.value.includes(new.value)
                    && ids.agree(old.id, new.id)
                    && ids.agree(old.ref_id, new.ref_id)
            }
            Kind::PacketMeta { .. } | Kind::Packet { .. } => {
                // What is at or past the end is so by as much; no range is below zero.
                let (a, b) = (old.range(), new.range());
                let has_room = if a < 0 || b < 0 { a == b } else { a <= b };
                has_room
                    && old.off == new.off
                    && ids.agree(old.id, new.id)
                    && old.value.includes(new.value)
            }
            Kind::Arena => true,
            _ => ids.exact(old, new),
        }
    }

    fn stack_covers(
        &self,
        old: &Frame,
        new: &Frame,
        ids: &mut IdMap,
        exactness: Exactness,
    ) -> bool {
        let uninit_ok = self.rights.read_uninit_stack;
        old.stack.iter().enumerate().all(|(index, old_slot)| {
            let new_slot = new.stack.get(index);
            if exactness != Exactness::Loose
                && new_slot.is_none_or(|new_slot| new_slot.bytes != old_slot.bytes)
            {
                return false;
            }
            let matters = |byte: Byte| byte != Byte::Invalid && !(uninit_ok && byte == Byte::Misc);
            let Some(first) = (0..8).find(|&byte| matters(old_slot.bytes[byte])) else {
                return true;
            };
            let Some(new_slot) = new_slot else { return false };
            if let (Some(a), Some(b)) = (self.scalar_in(old_slot), self.scalar_in(new_slot)) {
                return self.reg_covers(&a, &b, ids, exactness);
            }
            for byte in first..8 {
                let (a, b) = (old_slot.bytes[byte], new_slot.bytes[byte]);
                if matters(a) && a != b && !(a == Byte::Misc && b == Byte::Zero) {
                    return false;
                }
            }
            if !matters(old_slot.bytes[7])
                || (old_slot.bytes[7] == Byte::Misc && new_slot.bytes[7] == Byte::Zero)
            {
                return true;
            }
            self.slot_covers(old_slot, new_slot, ids, exactness)
        })
    }

    fn slot_covers(&self, old: &Slot, new: &Slot, ids: &mut IdMap, exactness: Exactness) -> bool {
        match old.bytes[7] {
            Byte::Spill => self.reg_covers(&old.reg, &new.reg, ids, exactness),
            Byte::Dynptr => {
                old.reg.kind == new.reg.kind && ids.agree(old.reg.ref_id, new.reg.ref_id)
            }
            Byte::Iter => {
                let (
                    Kind::Iter { btf, id, state, .. },
                    Kind::Iter { btf: new_btf, id: new_id, state: new_state, .. },
                ) = (old.reg.kind, new.reg.kind)
                else {
                    return false;
                };
                (btf, id, state) == (new_btf, new_id, new_state)
                    && ids.agree(old.reg.ref_id, new.reg.ref_id)
            }
            Byte::IrqFlag => {
                ids.agree(old.reg.ref_id, new.reg.ref_id) && old.reg.kind == new.reg.kind
            }
            Byte::Misc | Byte::Zero | Byte::Invalid => true,
        }
    }

    /// A slot as a load of all of it would see it, if that is a number.
    fn scalar_in(&self, slot: &Slot) -> Option<Reg> {
        if slot.is_scalar_spill64() {
            return Some(slot.reg);
        }
        let unknown = slot.bytes.iter().all(|&byte| {
            byte == Byte::Misc || (byte == Byte::Invalid && self.rights.read_uninit_stack)
        });
        unknown.then_some(Reg::UNKNOWN)
    }

    /// Forgets the values of numbers that changed since the last round of a loop and
    /// do not matter, so that the loop converges.
    pub(crate) fn widen(&self, old: &State, new: &mut State) {
        let mut ids = IdMap::new(self.id_gen);
        let unknown = self.unknown();
        let mut widen = |old: &Reg, new: &mut Reg| {
            if old.is_scalar()
                && new.is_scalar()
                && !old.precise
                && !new.precise
                && !ids.exact(old, new)
            {
                *new = unknown;
            }
        };
        for depth in (0..old.frames.len()).rev() {
            let (old, new) = (&old.frames[depth], Rc::make_mut(&mut new.frames[depth]));
            for (old, new) in old.regs.iter().zip(&mut new.regs) {
                widen(old, new);
            }
            for (old, new) in old.stack.iter().zip(&mut new.stack) {
                if old.is_spill() && new.is_spill() {
                    widen(&old.reg, &mut new.reg);
                }
            }
        }
    }
}

fn forget_precision(state: &mut State) {
    for frame in &mut state.frames {
        if frame.any_reg(|reg| reg.is_scalar() && reg.precise) {
            Rc::make_mut(frame).for_each_reg(|reg| reg.precise &= !reg.is_scalar());
        }
    }
}

fn iterators_differ(old: &State, new: &State) -> bool {
    old.frames.iter().zip(&new.frames).any(|(old, new)| {
        old.stack.iter().enumerate().any(|(index, slot)| {
            let Kind::Iter { state: IterState::Active, depth, .. } = slot.reg.kind else {
                return false;
            };
            slot.bytes[0] == Byte::Iter
                && !new.stack.get(index).is_some_and(|slot| {
                    matches!(slot.reg.kind, Kind::Iter { depth: other, .. } if other == depth)
                })
        })
    })
}

fn references_agree(old: &State, new: &State, ids: &mut IdMap) -> bool {
    let lock = |state: &State| state.lock.map_or((0, None), |(id, home)| (id, Some(home)));
    let ((old_lock, old_home), (new_lock, new_home)) = (lock(old), lock(new));
    old.refs.len() == new.refs.len()
        && old.active_locks == new.active_locks
        && old.preempt_locks == new.preempt_locks
        && old.rcu_lock == new.rcu_lock
        && ids.agree(old.irq_id, new.irq_id)
        && ids.agree(old_lock, new_lock)
        && old_home == new_home
        && old
            .refs
            .iter()
            .zip(&new.refs)
            .all(|(old, new)| ids.agree(old.id, new.id) && old.kind == new.kind)
}
