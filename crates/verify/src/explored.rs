//! Checkpoints: states that were explored, as a tree. Each knows its parent, and how many
//! paths that began under it are still open.

use rustc_hash::FxHashMap;

use crate::memory::{Meter, Share};
use crate::stack_live::StackLiveness;
use crate::state::{NodeId, State};

/// A checkpoint.
#[derive(Debug)]
pub(crate) struct Node {
    pub state: State,
    /// Paths from here that are not yet at their end.
    pub branches: u32,
    pub hits: u32,
    pub misses: u32,
    /// Taken off the list of states to compare with.
    pub retired: bool,
    pub cleaned: bool,
    _memory: Share,
}

impl Node {
    /// A checkpoint that one path goes on from.
    pub(crate) fn new(state: State, memory: Share) -> Node {
        Node {
            state,
            branches: 1,
            hits: 0,
            misses: 0,
            retired: false,
            cleaned: false,
            _memory: memory,
        }
    }
}

/// A loop being explored, by the calls that led to it.
#[derive(Default)]
pub(crate) struct Visit {
    pub entry: Option<NodeId>,
    /// States that reached an equal, unfinished one.
    pub backedges: Vec<(State, NodeId, Share)>,
    pub counted: u32,
}

/// A loop: its component of the flow graph, and the calls that led to it.
pub(crate) type LoopKey = (u32, [u32; 8]);

/// What was explored.
pub(crate) struct Explored {
    nodes: Vec<Option<Node>>,
    free_nodes: Vec<NodeId>,
    /// Checkpoints to compare with, by a hash of where they are.
    pub by_pc: Vec<Vec<NodeId>>,
    pub visits: FxHashMap<LoopKey, Visit>,
    pub stack_live: StackLiveness,
    /// Memory of all states.
    pub meter: Meter,
    /// Instructions and jumps when the last checkpoint was made.
    pub prev_processed: u32,
    pub prev_jumps: u32,
    /// Checkpoints that were ever made; the most at once; those of one instruction.
    pub total_states: u32,
    pub peak_states: u32,
    pub max_states_per_insn: u32,
    /// Those that are compared with, those that wait to be freed, and edges back.
    pub explored_count: u32,
    pub free_count: u32,
    pub backedge_count: u32,
}

impl Explored {
    /// Nothing yet, of a program of so many slots.
    pub(crate) fn new(len: usize) -> Explored {
        Explored {
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            by_pc: vec![Vec::new(); len],
            visits: FxHashMap::default(),
            stack_live: StackLiveness::default(),
            meter: Meter::default(),
            prev_processed: 0,
            prev_jumps: 0,
            total_states: 0,
            peak_states: 0,
            max_states_per_insn: 0,
            explored_count: 0,
            free_count: 0,
            backedge_count: 0,
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes[id as usize].as_ref().expect("a node lives as long as it is referred to")
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id as usize].as_mut().expect("a node lives as long as it is referred to")
    }

    /// Keeps a checkpoint.
    pub(crate) fn keep(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.free_nodes.pop() {
            self.nodes[id as usize] = Some(node);
            return id;
        }
        self.nodes.push(Some(node));
        (self.nodes.len() - 1) as NodeId
    }

    /// Frees a checkpoint.
    pub(crate) fn free(&mut self, id: NodeId) {
        self.nodes[id as usize] = None;
        self.free_nodes.push(id);
        self.free_count -= 1;
    }

    pub(crate) fn bucket(&self, state: &State, pc: u32) -> usize {
        (pc ^ state.frame().callsite as u32) as usize % self.by_pc.len()
    }

    /// Forgets all checkpoints.
    pub(crate) fn forget(&mut self) {
        self.nodes.clear();
        self.free_nodes.clear();
        self.visits.clear();
        self.by_pc.iter_mut().for_each(Vec::clear);
    }

    pub(crate) fn note_peak(&mut self) {
        let now = self.explored_count + self.free_count + self.backedge_count;
        self.peak_states = self.peak_states.max(now);
    }

    /// The nearest unfinished checkpoint at `pc` with the same calls.
    pub(crate) fn previous_entry(&self, state: &State, pc: u32) -> Option<NodeId> {
        let bucket = self.bucket(state, pc);
        self.by_pc[bucket].iter().rev().copied().find(|&id| {
            let node = self.node(id);
            node.state.pc == pc
                && node.branches > 0
                && node.state.same_callsites(state)
                && node.state.dfs_depth < state.dfs_depth
        })
    }
}
