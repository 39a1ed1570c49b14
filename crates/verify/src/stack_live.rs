//! Which stack slots may still be read, by chain of calls and instruction. Reads and
//! sure writes are collected while paths are followed; a data-flow analysis turns
//! them into liveness when a path ends. Counterpart: `kernel/bpf/liveness.c`.

use rustc_hash::FxHashMap;
use skep_isa::{Callee, Insn};

use crate::checker::Checker;
use crate::state::{MAX_FRAMES, State};
use crate::structure::subprogs::TAIL_CALL;

/// Slots of one frame, by instruction.
#[derive(Clone, Copy, Default)]
struct Masks {
    may_read: u64,
    must_write: u64,
    /// Written here or on every way from here.
    must_write_after: u64,
    live_before: u64,
}

/// The call instructions that led to a function, and the function's start.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Chain {
    calls: [u32; MAX_FRAMES],
    depth: u8,
}

struct Instance {
    chain: Chain,
    start: u32,
    len: u32,
    updated: bool,
    write_dropped: bool,
    frames: [Option<Box<[Masks]>>; MAX_FRAMES],
    write_set: Vec<bool>,
}

/// All function instances, and the one being executed.
#[derive(Default)]
pub(crate) struct StackLiveness {
    instances: Vec<Instance>,
    by_chain: FxHashMap<Chain, usize>,
    current: Option<usize>,
    writes: [u64; MAX_FRAMES],
    write_pc: u32,
}

/// Function instances of a state's frames, to ask many slots at once.
pub(crate) struct LiveQuery {
    instances: Vec<usize>,
    pc: u32,
}

impl Instance {
    fn masks(&mut self, frame: usize, pc: u32) -> &mut Masks {
        let len = self.len as usize;
        let masks = self.frames[frame]
            .get_or_insert_with(|| vec![Masks::default(); len].into_boxed_slice());
        &mut masks[(pc - self.start) as usize]
    }

    fn read(&mut self, frame: usize, pc: u32, slots: u64) {
        let masks = self.masks(frame, pc);
        let all = masks.may_read | slots;
        let news = all != masks.may_read && all | masks.live_before != masks.live_before;
        masks.may_read = all;
        self.updated |= news;
    }

    fn commit_writes(&mut self, pc: u32, writes: &[u64; MAX_FRAMES]) {
        let index = (pc - self.start) as usize;
        let known = self.write_set[index];
        let frames = usize::from(self.chain.depth) + 1;
        for (frame, &written) in writes.iter().enumerate().take(frames) {
            let mut slots = written;
            if slots == 0 && !known {
                continue;
            }
            if slots == 0 && self.frames[frame].is_none() {
                continue;
            }
            let masks = self.masks(frame, pc);
            // Linux keeps the old set in 32 bits, and so forgets the deeper slots.
            let old = u64::from(masks.must_write as u32);
            if known {
                slots &= old;
            }
            if old != slots {
                masks.must_write = slots;
                self.updated = true;
            }
            self.write_dropped |= old & !slots != 0;
        }
        self.write_set[index] = true;
    }

    fn is_live(&self, frame: usize, pc: u32, slot: usize) -> bool {
        self.frames[frame].as_ref().is_some_and(|masks| {
            masks
                .get(pc.wrapping_sub(self.start) as usize)
                .is_some_and(|masks| masks.live_before & 1 << slot != 0)
        })
    }
}

impl Checker<'_> {
    fn chain(&self, state: &State, depth: usize) -> (Chain, u32) {
        let mut calls = [0; MAX_FRAMES];
        for (index, call) in calls.iter_mut().enumerate().take(depth) {
            *call = state.frames[index + 1].callsite as u32;
        }
        let start = self.subprogs[state.frames[depth].subprog as usize].start;
        calls[depth] = start;
        (Chain { calls, depth: depth as u8 }, start)
    }

    fn instance(&mut self, chain: Chain, start: u32) -> usize {
        let subprog = self.subprog_at(start);
        let len = self.subprog_end(subprog) - start;
        let live = &mut self.stack_live;
        *live.by_chain.entry(chain).or_insert_with(|| {
            live.instances.push(Instance {
                chain,
                start,
                len,
                updated: false,
                write_dropped: false,
                frames: Default::default(),
                write_set: vec![false; len as usize],
            });
            live.instances.len() - 1
        })
    }

    fn instance_of(&mut self, state_depth: usize) -> usize {
        let (chain, start) = self.chain(&self.cur, state_depth);
        self.instance(chain, start)
    }

    fn current_instance(&mut self) -> usize {
        if let Some(index) = self.stack_live.current {
            return index;
        }
        let index = self.instance_of(self.cur.depth());
        self.stack_live.current = Some(index);
        index
    }

    /// Another function is entered.
    pub(crate) fn reset_stack_chain(&mut self) {
        self.stack_live.current = None;
    }

    pub(crate) fn mark_stack_read(&mut self, frame: u8, slots: u64) {
        let index = self.current_instance();
        let pc = self.pc;
        self.stack_live.instances[index].read(frame.into(), pc, slots);
    }

    pub(crate) fn mark_stack_write(&mut self, frame: u8, slots: u64) {
        self.stack_live.writes[usize::from(frame)] |= slots;
    }

    pub(crate) fn begin_stack_writes(&mut self, pc: u32) {
        self.current_instance();
        self.stack_live.writes = [0; MAX_FRAMES];
        self.stack_live.write_pc = pc;
    }

    pub(crate) fn commit_stack_writes(&mut self) {
        let live = &mut self.stack_live;
        if let Some(index) = live.current {
            live.instances[index].commit_writes(live.write_pc, &live.writes);
        }
    }

    /// Brings liveness up to date for the current chain of calls.
    pub(crate) fn update_stack_liveness(&mut self) {
        self.reset_stack_chain();
        for depth in (0..self.cur.frames.len()).rev() {
            let index = self.instance_of(depth);
            if self.stack_live.instances[index].updated {
                self.update_instance(index);
                let instance = &mut self.stack_live.instances[index];
                instance.updated = false;
                instance.write_dropped = false;
            }
        }
    }

    fn update_instance(&mut self, index: usize) {
        let subprog = self.subprog_at(self.stack_live.instances[index].start);
        let first = self.subprogs[subprog].postorder;
        let last =
            self.subprogs.get(subprog + 1).map_or(self.postorder.len(), |next| next.postorder);
        let depth = usize::from(self.stack_live.instances[index].chain.depth);
        for frame in 0..=depth {
            let instance = &mut self.stack_live.instances[index];
            let dropped = instance.write_dropped;
            // Taken out while the graph is walked; put back below.
            let Some(mut masks) = instance.frames[frame].take() else { continue };
            if dropped {
                masks.iter_mut().for_each(|masks| masks.must_write_after = 0);
            }
            let start = instance.start;
            loop {
                let mut changed = false;
                for at in first..last {
                    changed |= self.update_masks(&mut masks, start, self.postorder[at]);
                }
                if !changed {
                    break;
                }
            }
            self.stack_live.instances[index].frames[frame] = Some(masks);
        }
        if depth > 0 {
            self.update_caller(index);
        }
    }

    fn update_masks(&self, masks: &mut [Masks], start: u32, pc: u32) -> bool {
        let (mut after, mut written, mut any) = (0, u64::MAX, false);
        for next in self.successors(pc) {
            let Some(next) = masks.get(next.wrapping_sub(start) as usize) else { continue };
            after |= next.live_before;
            written &= next.must_write_after;
            any = true;
        }
        if !any {
            return false;
        }
        if self.insn(pc) == Some(Insn::Call(Callee::Helper(TAIL_CALL))) {
            // The function may end here, and then writes nothing more.
            written = 0;
        }
        let own = &mut masks[(pc - start) as usize];
        written |= own.must_write;
        let before = (after & !own.must_write) | own.may_read;
        let changed = before != own.live_before || written != own.must_write_after;
        own.live_before = before;
        own.must_write_after = written;
        changed
    }

    /// What a function reads and surely writes of its callers' frames, its call does.
    fn update_caller(&mut self, index: usize) {
        let inner = &self.stack_live.instances[index];
        let (mut chain, start) = (inner.chain, inner.start);
        let depth = usize::from(chain.depth);
        let call = chain.calls[depth - 1];
        chain.calls[depth] = 0;
        chain.depth -= 1;
        let caller_start = self.subprogs[self.subprog_at(call)].start;
        chain.calls[depth - 1] = caller_start;
        let outer = self.instance(chain, caller_start);
        let mut writes = [0; MAX_FRAMES];
        for (frame, written) in writes.iter_mut().enumerate().take(depth) {
            let instances = &mut self.stack_live.instances;
            let Some(masks) = &instances[index].frames[frame] else { continue };
            let first = masks[(start - instances[index].start) as usize];
            *written = first.must_write_after;
            instances[outer].read(frame, call, first.live_before);
        }
        self.stack_live.instances[outer].commit_writes(call, &writes);
    }

    pub(crate) fn live_query(&mut self, state: &State) -> LiveQuery {
        let instances = (0..state.frames.len())
            .map(|depth| {
                let (chain, start) = self.chain(state, depth);
                self.instance(chain, start)
            })
            .collect();
        LiveQuery { instances, pc: state.pc }
    }

    /// Whether a slot of a frame may still be read.
    pub(crate) fn is_slot_live(&self, query: &LiveQuery, frame: usize, slot: usize) -> bool {
        let top = query.instances.len() - 1;
        let instances = &self.stack_live.instances;
        let inner = &instances[query.instances[top]];
        inner.is_live(frame, query.pc, slot)
            || (frame..top).any(|depth| {
                let call = inner.chain.calls[depth];
                let at = call + u32::from(!self.aux[call as usize].calls_callback);
                instances[query.instances[depth]].is_live(frame, at, slot)
            })
    }
}
