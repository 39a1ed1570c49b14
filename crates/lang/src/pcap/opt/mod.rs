//! The optimiser.

use super::graph::Graph;

/// The same answers by fewer instructions.
pub fn optimize(graph: &Graph) -> Graph {
    graph.clone()
}
