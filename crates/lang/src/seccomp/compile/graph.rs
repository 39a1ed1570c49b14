//! The graph of decisions: what is the same is there once, and a test that leads to the
//! same place both ways is not there.

use rustc_hash::FxHashMap;

use crate::seccomp::facts::Test;

/// A place in a graph.
pub(super) type NodeId = u32;

/// A decision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Node {
    /// Returns a value.
    Leaf(u32),
    /// Goes on by the outcome of a test.
    Test { word: u8, test: Test, yes: NodeId, no: NodeId },
}

/// Decisions; what a node leads to was made before it.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    known: FxHashMap<Node, NodeId>,
}

impl Graph {
    pub fn leaf(&mut self, value: u32) -> NodeId {
        self.add(Node::Leaf(value))
    }

    pub fn test(&mut self, word: u8, test: Test, yes: NodeId, no: NodeId) -> NodeId {
        if yes == no { yes } else { self.add(Node::Test { word, test, yes, no }) }
    }

    pub fn node(&self, id: NodeId) -> Node {
        self.nodes[id as usize]
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    fn add(&mut self, node: Node) -> NodeId {
        let nodes = &mut self.nodes;
        *self.known.entry(node).or_insert_with(|| {
            nodes.push(node);
            nodes.len() as NodeId - 1
        })
    }
}
