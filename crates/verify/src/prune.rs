//! Checkpoints at work: where they are made, whether one of them already covers the
//! current path, and the bookkeeping of loops around them. docs/pruning.md has the whole
//! of it. Counterpart: `is_state_visited`.

use skep_abi::limits::{MAX_BACKEDGE_ROUNDS, MAX_STATES_UNPRIVILEGED};
use std::rc::Rc;

use crate::checker::Checker;
use crate::cover::{Cover, Exactness};
use crate::error::{Check, fail};
use crate::explored::{LoopKey, Node};
use crate::log::say;
use crate::reg::{IterState, Kind, Reg};
use crate::state::{NodeId, State, Step, slot_of};

impl Checker<'_> {
    /// Forgets all that a function's exploration left.
    pub(crate) fn forget_states(&mut self) {
        self.cur = State::empty();
        self.path.pending.clear();
        self.explored.forget();
    }

    /// The loop that a state is in, if any: its component and the calls before it.
    fn loop_of(&self, state: &State) -> Option<LoopKey> {
        let mut calls = [0; 8];
        for depth in 0..state.frames.len() {
            let pc = state.frame_pc(depth);
            let scc = self.found.aux[pc as usize].scc;
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
        self.loop_of(&self.explored.node(id).state)
            .and_then(|key| self.explored.visits.get(&key))
            .is_some_and(|visit| !visit.backedges.is_empty())
    }

    /// The path is at its end: so may be the checkpoints that it came from.
    pub(crate) fn finish_branch(&mut self) -> Check {
        let mut next = self.cur.parent;
        while let Some(id) = next {
            let node = self.explored.node_mut(id);
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
        let node = self.explored.node(id);
        if node.retired && node.branches == 0 && !self.is_unfinished(id) {
            self.explored.free(id);
        }
    }

    fn leave_loop(&mut self, id: NodeId) -> Check {
        let Some(key) = self.loop_of(&self.explored.node(id).state) else { return Ok(()) };
        let Some(visit) = self.explored.visits.get_mut(&key) else { return Ok(()) };
        if visit.entry != Some(id) {
            return Ok(());
        }
        visit.entry = None;
        self.explored.backedge_count -= std::mem::take(&mut visit.counted);
        let backedges = std::mem::take(&mut visit.backedges);
        self.explored.note_peak();
        // The edges stay counted as unfinished while precision goes around.
        let mut round = 0;
        loop {
            if round >= MAX_BACKEDGE_ROUNDS {
                for (state, ..) in &backedges {
                    self.explored.force_precision(state.parent);
                }
                break;
            }
            round += 1;
            if !self.propagate_around(&backedges)? {
                break;
            }
        }
        Ok(())
    }

    fn enter_loop(&mut self, id: NodeId) {
        if let Some(key) = self.loop_of(&self.explored.node(id).state) {
            self.explored.visits.entry(key).or_default().entry.get_or_insert(id);
        }
    }

    /// Whether a checkpoint covers the current state; if not, perhaps makes one.
    pub(crate) fn is_visited(&mut self, pc: u32) -> Check<bool> {
        let forced = self.program.flags & skep_abi::flags::prog::TEST_STATE_FREQ != 0
            && self.rights.bpf
            || self.found.aux[pc as usize].force_checkpoint
            || self.cur.history.len() > 40;
        let mut add = forced
            || (self.path.jumps - self.explored.prev_jumps >= 2
                && self.path.processed - self.explored.prev_processed >= 8);
        let bucket = self.explored.bucket(&self.cur, pc);
        self.clean_finished(bucket, pc);
        let mut count = 0;
        let mut index = self.explored.by_pc[bucket].len();
        while index > 0 {
            index -= 1;
            let id = self.explored.by_pc[bucket][index];
            count += 1;
            if self.explored.node(id).state.pc != pc {
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
        self.explored.max_states_per_insn = self.explored.max_states_per_insn.max(count);
        if !add || (!self.rights.bpf && count > MAX_STATES_UNPRIVILEGED) {
            return Ok(false);
        }
        self.checkpoint(bucket, pc);
        Ok(false)
    }

    /// How the state that the path is in compares with others.
    fn cover(&self) -> Cover<'_> {
        Cover::of(&self.found, &self.path, &self.rights, &self.cur)
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
        let (node, new) = (self.explored.node(id), self.cover());
        if node.branches == 0 {
            let unfinished = self.is_unfinished(id);
            let exactness = if unfinished { Exactness::Within } else { Exactness::Loose };
            return Ok(new.covers(&node.state, exactness).then_some(unfinished));
        }
        let mut check_loop = true;
        let frame = node.state.frame();
        let aux = &self.found.aux[pc as usize];
        if frame.in_async_callback && frame.async_entries != self.cur.frame().async_entries {
            check_loop = false;
        } else if aux.iter_next {
            check_loop = false;
            if new.covers(&node.state, Exactness::Within) && self.iterates() {
                return Ok(Some(true));
            }
        } else {
            if matches!(self.insn(pc), Some(skep_isa::Insn::MayGoto { .. }))
                && node.state.may_goto_depth != self.cur.may_goto_depth
                && new.covers(&node.state, Exactness::Within)
            {
                return Ok(Some(true));
            }
            if aux.calls_callback {
                check_loop = false;
                if new.covers(&node.state, Exactness::Within) {
                    return Ok(Some(false));
                }
            }
        }
        if check_loop && new.repeats(&node.state) {
            return self.infinite_loop(id, pc);
        }
        if !forced
            && self.path.jumps - self.explored.prev_jumps < 20
            && self.path.processed - self.explored.prev_processed < 100
        {
            *add = false;
        }
        Ok(None)
    }

    fn infinite_loop(&mut self, old: NodeId, pc: u32) -> Check<Option<bool>> {
        self.print_line(pc, "; ");
        say!(self.log, "infinite loop detected at insn {pc}\ncur state:");
        let depth = self.cur.depth();
        self.print_current(depth, true);
        say!(self.log, "old state:");
        let text = self.state_text(&self.explored.node(old).state, depth, true);
        say!(self.log, "{text}");
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
        self.explored.node_mut(id).hits += 1;
        if self.found.aux[self.pc as usize].jump_point {
            self.record_step(Step::at(self.pc, self.prev_pc));
        }
        self.propagate_precision(id)?;
        if looping {
            let backedge = self.cur.clone();
            let key = self.loop_of(&self.explored.node(id).state);
            let Some(visit) = key.and_then(|key| self.explored.visits.get_mut(&key)) else {
                fail!(EFAULT, InternalError { what: "no loop around a backedge".into() });
            };
            let memory = self.explored.meter.share(backedge.own_size());
            visit.backedges.push((backedge, id, memory));
            visit.counted += 1;
            self.explored.backedge_count += 1;
            self.explored.note_peak();
        }
        Ok(())
    }

    fn miss(&mut self, bucket: usize, index: usize, id: NodeId, pc: u32, add: bool) {
        let forced = self.found.aux[pc as usize].force_checkpoint;
        let node = self.explored.node_mut(id);
        node.misses += u32::from(add);
        let patience = if forced && node.branches > 0 { 64 } else { 3 };
        if node.misses > node.hits * patience + patience {
            node.retired = true;
            self.explored.by_pc[bucket].remove(index);
            self.explored.free_count += 1;
            self.explored.explored_count -= 1;
            self.free_if_unused(id);
        }
    }

    fn checkpoint(&mut self, bucket: usize, pc: u32) {
        self.explored.total_states += 1;
        self.explored.explored_count += 1;
        self.explored.note_peak();
        self.explored.prev_jumps = self.path.jumps;
        self.explored.prev_processed = self.path.processed;
        if self.rights.bpf {
            forget_precision(&mut self.cur);
        }
        let state = self.cur.clone();
        let depth = state.dfs_depth;
        let memory = self.explored.meter.share(state.own_size());
        let id = self.explored.keep(Node::new(state, memory));
        self.enter_loop(id);
        self.cur.parent = Some(id);
        self.cur.first_pc = pc;
        self.cur.dfs_depth = depth + 1;
        self.cur.history.clear();
        self.explored.by_pc[bucket].push(id);
    }

    /// Clears what can no longer be read in finished checkpoints.
    fn clean_finished(&mut self, bucket: usize, pc: u32) {
        for index in 0..self.explored.by_pc[bucket].len() {
            let id = self.explored.by_pc[bucket][index];
            let node = self.explored.node(id);
            if node.branches > 0
                || node.cleaned
                || node.state.pc != pc
                || !node.state.same_callsites(&self.cur)
                || self.is_unfinished(id)
            {
                continue;
            }
            self.clean(id);
        }
    }

    fn clean(&mut self, id: NodeId) {
        let slots = self.live_slots(id);
        let node = self.explored.node_mut(id);
        node.cleaned = true;
        let state = &mut node.state;
        for (depth, slots) in slots.into_iter().enumerate() {
            let live = self.found.aux[state.frame_pc(depth) as usize].live_before;
            let frame = Rc::make_mut(&mut state.frames[depth]);
            for number in (0..10).filter(|number| live & 1 << number == 0) {
                frame.regs[number] = Reg::UNINIT;
            }
            for index in (0..frame.stack.len()).filter(|index| slots & 1 << index == 0) {
                frame.stack[index].clear();
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
