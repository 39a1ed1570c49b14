//! The graph as instructions. What is in A is followed along each way, so that a word is
//! loaded once where tests of it follow each other; returns stand near who goes to them,
//! since a jump there would cost an instruction as well.

use rustc_hash::FxHashMap;
use skep_isa::Size;
use skep_isa::classic::{BuildError, Builder, Cond, Filter, Insn, Label, Op, Operand};

use super::graph::{Graph, Node, NodeId};
use crate::seccomp::facts::Test;

/// Instructions after which returns are written for what came before; a jump reaches 255.
const NEAR: usize = 180;

/// A node, and the word that A has when it is reached.
type Place = (NodeId, Option<u8>);

/// What comes next.
#[derive(Clone, Copy)]
enum Step {
    Load { word: u8, next: Place },
    Branch { cond: Cond, k: u32, mask: Option<u32>, yes: Place, no: Place },
    Return,
}

/// Writes the graph from a root.
pub(super) fn emit(graph: &Graph, root: NodeId) -> Result<Vec<Filter>, BuildError> {
    let mut writer = Writer {
        graph,
        builder: Builder::new(),
        labels: FxHashMap::default(),
        len: 0,
        waiting: Vec::new(),
    };
    let root = (root, None);
    if let Node::Leaf(value) = graph.node(root.0) {
        writer.push(Insn::RetK(value));
    }
    for place in order(graph, root) {
        writer.step(place);
    }
    writer.returns();
    writer.builder.finish()
}

fn step(graph: &Graph, (id, held): Place) -> Step {
    match graph.node(id) {
        Node::Leaf(_) => Step::Return,
        Node::Test { word, .. } if held != Some(word) => {
            Step::Load { word, next: (id, Some(word)) }
        }
        Node::Test { test, yes, no, .. } => {
            // Where a leaf is reached, what A has does not matter.
            let leads = |id: NodeId, held| match graph.node(id) {
                Node::Leaf(_) => (id, None),
                Node::Test { .. } => (id, held),
            };
            let (cond, k, mask, turned) = comparison(test);
            let held = if mask.is_some() { None } else { held };
            let (yes, no) = (leads(yes, held), leads(no, held));
            let (yes, no) = if turned { (no, yes) } else { (yes, no) };
            Step::Branch { cond, k, mask, yes, no }
        }
    }
}

/// The comparison for a test: with what, under which mask, and whether its outcome is
/// turned round.
fn comparison(test: Test) -> (Cond, u32, Option<u32>, bool) {
    match test {
        Test::Range(low, high) if low == high => (Cond::Eq, low, None, false),
        Test::Range(0, high) => (Cond::Gt, high, None, true),
        // Tests of nodes are points or have an open end.
        Test::Range(low, _) => (Cond::Ge, low, None, false),
        Test::Bits { mask: u32::MAX, value } => (Cond::Eq, value, None, false),
        Test::Bits { mask, value: 0 } => (Cond::Set, mask, None, true),
        Test::Bits { mask, value } if mask == value && mask.is_power_of_two() => {
            (Cond::Set, mask, None, false)
        }
        Test::Bits { mask, value } => (Cond::Eq, value, Some(mask), false),
    }
}

/// All places, each before those that it leads to.
fn order(graph: &Graph, root: Place) -> Vec<Place> {
    let mut done: FxHashMap<Place, bool> = FxHashMap::default();
    let mut order = Vec::new();
    let mut stack = vec![root];
    while let Some(&place) = stack.last() {
        if let Some(written) = done.get_mut(&place) {
            if !*written {
                *written = true;
                order.push(place);
            }
            stack.pop();
            continue;
        }
        done.insert(place, false);
        match step(graph, place) {
            Step::Load { next, .. } => stack.push(next),
            // What is followed last comes first.
            Step::Branch { yes, no, .. } => stack.extend([no, yes]),
            Step::Return => {}
        }
    }
    order.reverse();
    order
}

struct Writer<'a> {
    graph: &'a Graph,
    builder: Builder,
    labels: FxHashMap<Place, Label>,
    /// Instructions so far, without jumps that the builder adds.
    len: usize,
    /// Returns that are yet to be written, with the first use of each.
    waiting: Vec<(u32, Label, usize)>,
}

impl Writer<'_> {
    fn step(&mut self, place: Place) {
        let step = step(self.graph, place);
        // Returns are written where they are used.
        if matches!(step, Step::Return) {
            return;
        }
        let label = self.label(place);
        self.builder.place(label);
        match step {
            Step::Return => {}
            Step::Load { word, next } => {
                let offset = 4 * i32::from(word);
                self.push(Insn::LoadAbs { size: Size::W, offset });
                let next = self.label(next);
                self.builder.goto(next);
            }
            Step::Branch { cond, k, mask, yes, no } => {
                if let Some(mask) = mask {
                    self.push(Insn::Alu(Op::And, Operand::K(mask)));
                }
                let (yes, no) = (self.label(yes), self.label(no));
                self.builder.branch(cond, Operand::K(k), yes, no);
                self.len += 1;
                if self.waiting.first().is_some_and(|first| self.len - first.2 > NEAR) {
                    self.returns();
                }
            }
        }
    }

    fn push(&mut self, insn: Insn) {
        self.len += 1;
        self.builder.push(insn);
    }

    fn label(&mut self, place: Place) -> Label {
        let builder = &mut self.builder;
        let Node::Leaf(value) = self.graph.node(place.0) else {
            return *self.labels.entry(place).or_insert_with(|| builder.label());
        };
        if let Some(waiting) = self.waiting.iter().find(|waiting| waiting.0 == value) {
            return waiting.1;
        }
        let label = builder.label();
        self.waiting.push((value, label, self.len));
        label
    }

    fn returns(&mut self) {
        for (value, label, _) in std::mem::take(&mut self.waiting) {
            self.builder.place(label);
            self.push(Insn::RetK(value));
        }
    }
}
