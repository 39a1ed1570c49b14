//! The optimiser. A program is run on symbols ([`symbolic`]), which gives a graph of tests
//! ([`dag`]) of numbers ([`value`]). What is known on the way to a test ([`facts`]) decides
//! it or leaves it ([`thread`]); tests of the same bytes come together ([`chains`]); then
//! code is written again ([`lower`]), in which IPv6 goes through IPv4's tests of ports
//! ([`share`]).
//!
//! **What must stay**: a packet is taken if the path that it takes ends well and every
//! byte that is read on that path is there. So a read may go only where the packet is
//! refused in any case, or where another read on the path, before or behind it, reaches
//! as far. A test may go where its outcome is known.

mod chains;
mod dag;
pub mod equal;
mod facts;
mod lower;
mod share;
mod symbolic;
mod test;
mod thread;
mod value;

use super::graph::Graph;
use value::Values;

/// Rounds of threading and sorting; each only makes a program shorter or stops.
const ROUNDS: usize = 12;

/// The same answers by fewer instructions.
pub fn optimize(graph: &Graph) -> Graph {
    let mut values = Values::default();
    let Some(mut dag) = symbolic::run(graph, &mut values) else { return graph.clone() };
    for _ in 0..ROUNDS {
        let sorted = chains::sort(&dag, &values);
        let threaded = thread::thread(&sorted, &values);
        let same = threaded.nodes == dag.nodes && threaded.root == dag.root;
        dag = threaded;
        if same {
            break;
        }
    }
    match lower::lower(&dag, &values) {
        Some(lowered) => {
            let shared = share::share(lowered);
            // Where a cell holds a place, each way to it is a program of its own.
            if share::size(&shared) <= share::size(graph) { shared } else { graph.clone() }
        }
        None => graph.clone(),
    }
}
