//! The path that is being followed, with the registers before each instruction.

use std::collections::VecDeque;

use crate::reg::Reg;
use crate::state::State;

/// Most steps that are remembered: the latest.
const MOST: usize = 8192;

/// Before one instruction.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub pc: u32,
    /// Number of callers.
    pub depth: usize,
    pub regs: [Reg; 11],
}

/// The path so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    steps: VecDeque<Step>,
    /// Steps that were forgotten.
    dropped: usize,
}

impl Trail {
    /// How long the path is, steps that were forgotten included.
    pub(crate) fn len(&self) -> usize {
        self.dropped + self.steps.len()
    }

    pub(crate) fn push(&mut self, pc: u32, state: &State) {
        if self.steps.len() == MOST {
            self.steps.pop_front();
            self.dropped += 1;
        }
        let step = Step { pc, depth: state.depth(), regs: state.frame().regs };
        self.steps.push_back(step);
    }

    /// Goes back to where the path was `len` steps long.
    pub(crate) fn rewind(&mut self, len: usize) {
        self.steps.truncate(len.saturating_sub(self.dropped));
        self.dropped = self.dropped.min(len);
    }

    pub(crate) fn last(&self) -> Option<&Step> {
        self.steps.back()
    }

    /// Each step with the one after it.
    pub(crate) fn pairs(&self) -> impl DoubleEndedIterator<Item = (&Step, &Step)> {
        let first = 0..self.steps.len().saturating_sub(1);
        first.map(|at| (&self.steps[at], &self.steps[at + 1]))
    }
}
