//! The stack's slots while paths are followed: reads and writes are noted, and at the end
//! of a path the equations of [`crate::stack_live`] are solved for the functions that it is
//! in.

use skep_abi::limits::MAX_FRAMES;
use std::rc::Rc;

use skep_abi::helper::id::TAIL_CALL;
use skep_isa::{Callee, Insn};

use crate::checker::Checker;
use crate::stack_live::{Calls, Instance, InstanceId, Step};
use crate::state::{NodeId, State};

impl Checker<'_> {
    /// The functions that a state is in, from the outermost on.
    fn chain_of(&self, calls: &mut Calls, state: &State) -> Vec<InstanceId> {
        let mut chain: Vec<InstanceId> = Vec::with_capacity(state.frames.len());
        for frame in &state.frames {
            let index = frame.subprog as usize;
            let start = self.found.subprogs[index].start;
            let len = self.subprog_end(index) - start;
            let caller = chain.last().map(|&caller| (caller, frame.callsite as u32));
            chain.push(calls.enter(caller, start, len));
        }
        chain
    }

    /// Runs with the chains of calls taken out.
    fn with_calls<T>(&mut self, run: impl FnOnce(&mut Checker<'_>, &mut Calls) -> T) -> T {
        let mut calls = std::mem::take(&mut self.explored.stack_live.calls);
        let result = run(self, &mut calls);
        self.explored.stack_live.calls = calls;
        result
    }

    fn current_function(&mut self) -> InstanceId {
        if let Some(id) = self.explored.stack_live.current {
            return id;
        }
        let chain = self.with_calls(|checker, calls| checker.chain_of(calls, &checker.cur));
        let id = chain[chain.len() - 1];
        self.explored.stack_live.current = Some(id);
        id
    }

    /// Another function is entered.
    pub(crate) fn reset_stack_chain(&mut self) {
        self.explored.stack_live.current = None;
    }

    /// The instruction reads these slots.
    pub(crate) fn mark_stack_read(&mut self, frame: u8, slots: u64) {
        let (id, pc) = (self.current_function(), self.pc);
        self.explored.stack_live.calls.at(id).read(frame.into(), pc, slots);
    }

    /// The instruction writes these slots whole.
    pub(crate) fn mark_stack_write(&mut self, frame: u8, slots: u64) {
        self.explored.stack_live.written[usize::from(frame)] |= slots;
    }

    /// An instruction begins.
    pub(crate) fn begin_stack_writes(&mut self, pc: u32) {
        self.current_function();
        self.explored.stack_live.written = [0; MAX_FRAMES];
        self.explored.stack_live.writing = pc;
    }

    /// The instruction is at its end.
    pub(crate) fn commit_stack_writes(&mut self) {
        let live = &mut self.explored.stack_live;
        if let Some(id) = live.current {
            live.calls.at(id).write(live.writing, &live.written);
        }
    }

    /// Solves the equations for the current chain of calls, from the innermost function
    /// out: each tells its caller what its call does.
    pub(crate) fn update_stack_liveness(&mut self) {
        self.reset_stack_chain();
        self.with_calls(|checker, calls| {
            let chain = checker.chain_of(calls, &checker.cur);
            for &id in chain.iter().rev() {
                if calls.at(id).is_stale() {
                    checker.solve(calls.at(id));
                    calls.tell_caller(id);
                }
            }
        });
    }

    fn solve(&mut self, function: &mut Instance) {
        let start = function.start();
        let steps = match self.explored.stack_live.steps.get(&start) {
            Some(steps) => steps.clone(),
            None => {
                let steps = self.steps(start);
                self.explored.stack_live.steps.insert(start, steps.clone());
                steps
            }
        };
        function.solve(&steps);
    }

    /// The instructions of a function in post-order, with what follows each.
    fn steps(&self, start: u32) -> Rc<[Step]> {
        let subprog = self.subprog_at(start);
        let first = self.found.subprogs[subprog].postorder;
        let last = self
            .found
            .subprogs
            .get(subprog + 1)
            .map_or(self.code.postorder.len(), |next| next.postorder);
        let len = self.subprog_end(subprog) - start;
        let step = |&pc: &u32| {
            let inside = |next: u32| Some(next.wrapping_sub(start)).filter(|&at| at < len);
            let mut next = self.successors(pc).filter_map(inside);
            Step {
                at: pc - start,
                next: [next.next(), next.next()],
                may_end: self.insn(pc) == Some(Insn::Call(Callee::Helper(TAIL_CALL))),
            }
        };
        self.code.postorder[first..last].iter().map(step).collect()
    }

    /// Slots of a checkpoint's frames that may still be read: by the innermost function
    /// from where the state is, or by a caller once its call has returned. A call that
    /// calls back may do so again.
    pub(crate) fn live_slots(&mut self, id: NodeId) -> Vec<u64> {
        let chain = self
            .with_calls(|checker, calls| checker.chain_of(calls, &checker.explored.node(id).state));
        let (pc, calls) = (self.explored.node(id).state.pc, &self.explored.stack_live.calls);
        let live = |frame: usize| {
            let outer = chain.windows(2).skip(frame).map(|pair| {
                let call = calls.get(pair[1]).call();
                let at = call + u32::from(!self.found.aux[call as usize].calls_callback);
                calls.get(pair[0]).live(frame, at)
            });
            let innermost = chain.last().map(|&id| calls.get(id).live(frame, pc));
            innermost.into_iter().chain(outer).fold(0, |all, slots| all | slots)
        };
        (0..chain.len()).map(live).collect()
    }
}
