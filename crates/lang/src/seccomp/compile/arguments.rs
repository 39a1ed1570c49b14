//! The rules of a call as decisions on its arguments.
//!
//! What is open, with what is known of the words it is about, is a state. Each state becomes
//! one node, however many ways lead to it. Where many rules look at one word, it is halved;
//! else the first open condition of the first rule is asked.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::CompileError;
use super::graph::{Graph, NodeId};
use crate::seccomp::facts::{Facts, Test, Values};
use crate::seccomp::open::Open;
use crate::seccomp::plan::{Plan, Target};

/// Conditions looked at for one call before it is given up.
const WORK: usize = 4_000_000;
/// Nodes of a program that has a chance to be short enough.
const MAX_NODES: usize = 20_000;
/// Points of a word that are asked one after the other rather than halved.
const FEW: usize = 3;
/// Tests on one way.
const MAX_DEPTH: usize = 1000;

/// The node of a target.
pub(super) fn node(
    plan: &Plan,
    target: &Target,
    graph: &mut Graph,
) -> Result<NodeId, CompileError> {
    let mut call = CallCompiler { plan, graph, known: FxHashMap::default(), work: 0 };
    call.node(&Open::of(target), &Facts::none(), 0)
}

/// What is open, and what is known of its words.
type State<'a> = (Open<'a>, Vec<(u8, Rc<Values>)>);

struct CallCompiler<'a, 'g> {
    plan: &'a Plan,
    graph: &'g mut Graph,
    known: FxHashMap<State<'a>, NodeId>,
    work: usize,
}

impl<'a> CallCompiler<'a, '_> {
    fn node(
        &mut self,
        open: &Open<'a>,
        facts: &Facts,
        depth: usize,
    ) -> Result<NodeId, CompileError> {
        let (open, asked) = open.reduce(self.plan, facts, &mut self.work);
        let otherwise = open.otherwise.value();
        let Some(&first) = asked.first() else { return Ok(self.graph.leaf(otherwise)) };
        if self.work > WORK || self.graph.len() > MAX_NODES || depth > MAX_DEPTH {
            return Err(CompileError::TooComplex);
        }
        let state = (open.clone(), facts.of_all(open.words(self.plan)));
        if let Some(&node) = self.known.get(&state) {
            return Ok(node);
        }
        let (word, test) = choose(first, &asked, facts);
        let mut side = |holds| match facts.with(word, test, holds) {
            Some(facts) => self.node(&open, &facts, depth + 1).map(Some),
            None => Ok(None),
        };
        let node = match (side(true)?, side(false)?) {
            (Some(yes), Some(no)) => self.graph.test(word, test, yes, no),
            // The search for a value gave up, so that a known outcome was asked for.
            (Some(node), None) | (None, Some(node)) => node,
            (None, None) => self.graph.leaf(otherwise),
        };
        self.known.insert(state, node);
        Ok(node)
    }
}

/// The next test: one that a program asks by one comparison.
fn choose(first: (u8, Test), asked: &[(u8, Test)], facts: &Facts) -> (u8, Test) {
    let (word, test) = first;
    let Test::Range(low, high) = test else { return first };
    let from = |at| Test::Range(at, u32::MAX);
    let is_open = |&at: &u32| facts.of(word).decide(from(at)).is_none();
    // Where the answer changes.
    let mut cuts: Vec<u32> = Vec::new();
    let mut points = 0;
    for &(_, test) in asked.iter().filter(|test| test.0 == word) {
        if let Test::Range(low, high) = test {
            points += usize::from(low == high);
            cuts.extend([Some(low), high.checked_add(1)].into_iter().flatten());
        }
    }
    cuts.sort_unstable();
    cuts.dedup();
    if cuts.len() > 2 * FEW && points > FEW {
        cuts.retain(is_open);
        if let Some(&middle) = cuts.get(cuts.len() / 2) {
            return (word, from(middle));
        }
    }
    match (low, high) {
        _ if low == high => first,
        (0, high) => (word, from(high.saturating_add(1))),
        (low, high) if !is_open(&low) => (word, from(high.saturating_add(1))),
        (low, _) => (word, from(low)),
    }
}
