//! The decision graph: tests of numbers, each kept once. What a node goes to has a smaller
//! id, so that going down the ids is going along every path.

use rustc_hash::FxHashMap;
use skep_isa::classic::Cond;

use super::value::V;

/// A node's id.
pub type Id = u32;

/// A node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Node {
    /// The answer.
    Return(u32),
    /// A number that must be there, whatever it is.
    Touch(V, Id),
    /// A test.
    Test { cond: Cond, left: V, right: V, yes: Id, no: Id },
}

/// The graph.
#[derive(Debug, Default)]
pub struct Dag {
    pub nodes: Vec<Node>,
    ids: FxHashMap<Node, Id>,
    pub root: Id,
}

impl Dag {
    pub fn make(&mut self, node: Node) -> Id {
        let node = match node {
            // Refused either way.
            Node::Touch(_, next) if self.is_reject(next) => return next,
            Node::Test { yes, no, .. } if yes == no && self.is_reject(yes) => return yes,
            other => other,
        };
        if let Some(&id) = self.ids.get(&node) {
            return id;
        }
        let id = self.nodes.len() as Id;
        self.nodes.push(node);
        self.ids.insert(node, id);
        id
    }

    pub fn get(&self, id: Id) -> Node {
        self.nodes[id as usize]
    }

    pub fn is_reject(&self, id: Id) -> bool {
        self.get(id) == Node::Return(0)
    }

    /// Where a node can go.
    pub fn next(&self, id: Id) -> [Option<Id>; 2] {
        match self.get(id) {
            Node::Return(_) => [None, None],
            Node::Touch(_, next) => [Some(next), None],
            Node::Test { yes, no, .. } => [Some(yes), Some(no)],
        }
    }

    /// How many edges come to each node from those that are reached; 1 for the root.
    pub fn arrivals(&self) -> Vec<u32> {
        let mut arrivals = vec![0; self.nodes.len()];
        arrivals[self.root as usize] = 1;
        for id in (0..=self.root).rev() {
            if arrivals[id as usize] > 0 {
                for next in self.next(id).into_iter().flatten() {
                    arrivals[next as usize] += 1;
                }
            }
        }
        arrivals
    }
}
