//! Loops of one block that run a number of times which is known beforehand: what the
//! passes over loops start from.

use skep_isa::{Cond, Width, condition};

use crate::ir::flow::Preds;
use crate::ir::{Bin, Blk, Edge, Func, Op, Term};

/// Most rounds that are counted.
const MOST_ROUNDS: u64 = 1 << 14;

/// A block that branches to itself, and what is known of its rounds.
pub struct Loop {
    /// The block.
    pub blk: Blk,
    /// The parameter that counts, and the number it starts with.
    pub counter: usize,
    pub start: u64,
    /// How often the block is run whenever it is entered.
    pub rounds: u64,
    /// The edge that goes round, and the one that leaves.
    pub round: Edge,
    pub exit: Edge,
}

/// The loop that a block is, if its rounds are known.
pub fn counted(func: &Func, preds: &Preds, blk: Blk) -> Option<Loop> {
    let block = &func.blocks[blk.at()];
    let Term::Branch { cond, width, left, right, yes, no } = &block.term else { return None };
    let (round, exit, goes_on) = match (yes.to == blk, no.to == blk) {
        (true, false) => (yes, no, true),
        (false, true) => (no, yes, false),
        _ => return None,
    };
    // Loops around this one may enter at the same place.
    let entries: Vec<&Edge> = preds
        .of(blk)
        .iter()
        .filter(|&&pred| pred != blk)
        .flat_map(|pred| func.blocks[pred.at()].term.edges().filter(|edge| edge.to == blk))
        .collect();
    let test = Test { cond: *cond, width: *width, limit: func.number(*right)?, goes_on };
    let (counter, start, rounds) =
        block.params.iter().enumerate().find_map(|(index, &param)| {
            let next = round.args[index];
            let mut starts = entries.iter().map(|entry| func.number(entry.args[index]));
            let start = starts.next()??;
            if !starts.all(|other| other == Some(start)) {
                return None;
            }
            let Op::Bin(Bin::Add, step_width, of, by) = func.op(next) else { return None };
            let by = func.number(by)?;
            let tests_next = *left == next;
            if of != param || !(tests_next || *left == param) {
                return None;
            }
            let rounds = test.rounds(start, by, step_width, tests_next)?;
            Some((index, start, rounds))
        })?;
    Some(Loop { blk, counter, start, rounds, round: round.clone(), exit: exit.clone() })
}

struct Test {
    cond: Cond,
    width: Width,
    limit: u64,
    goes_on: bool,
}

impl Test {
    /// Counts until the test leaves the loop.
    fn rounds(&self, mut counter: u64, by: u64, width: Width, tests_next: bool) -> Option<u64> {
        (1..=MOST_ROUNDS).find(|_| {
            let next = Bin::Add.eval(width, counter, by);
            let tested = if tests_next { next } else { counter };
            counter = next;
            condition(self.cond, self.width, tested, self.limit) != self.goes_on
        })
    }
}
