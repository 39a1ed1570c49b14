//! IPv6's ports stand at a constant place, IPv4's behind X. With 40 in X, IPv6 goes through
//! the same tests as IPv4.

use crate::pcap::graph::Graph;

/// Lets tests of constant places go to the same tests behind X.
pub fn share(graph: Graph) -> Graph {
    graph
}
