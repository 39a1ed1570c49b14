//! Numbers of calls as a search tree: the one in which known calls take the fewest
//! comparisons in the mean (Knuth's dynamic program; ranges have weights, points none).

use super::graph::{Graph, NodeId};
use crate::seccomp::facts::{NR, Test};

/// Ranges that are put in the best order together; more than those are halved first.
const TOGETHER: usize = 600;

/// Numbers from `first` to the next span, which are decided alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub first: u32,
    /// How often it is looked for.
    pub weight: u32,
    pub node: NodeId,
}

/// The root of the tree.
pub(super) fn node(spans: &[Span], graph: &mut Graph) -> NodeId {
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut().filter(|last| last.node == span.node) {
            Some(last) => last.weight += span.weight,
            None => merged.push(*span),
        }
    }
    split(&merged, graph)
}

fn split(spans: &[Span], graph: &mut Graph) -> NodeId {
    if spans.len() > TOGETHER {
        let (left, right) = spans.split_at(spans.len() / 2);
        let (no, yes) = (split(left, graph), split(right, graph));
        return graph.test(NR, Test::Range(right[0].first, u32::MAX), yes, no);
    }
    match spans {
        [] => graph.leaf(0),
        [span] => span.node,
        spans => build(spans, &roots(spans), 0, spans.len() - 1, graph),
    }
}

/// For each range of spans the first one of its right half.
fn roots(spans: &[Span]) -> Vec<Vec<usize>> {
    let count = spans.len();
    let mut sums = vec![0u64];
    for span in spans {
        sums.push(sums.last().copied().unwrap_or_default() + u64::from(span.weight));
    }
    let mut cost = vec![vec![0u64; count]; count];
    let mut root = vec![vec![0usize; count]; count];
    for len in 2..=count {
        for from in 0..=count - len {
            let to = from + len - 1;
            let total = sums[to + 1] - sums[from];
            // The best place lies between those of the two shorter ranges.
            let low = if len == 2 { to } else { root[from][to - 1].max(from + 1) };
            let high = if len == 2 { to } else { root[from + 1][to] };
            let below = |at: usize| cost[from][at - 1] + cost[at][to];
            // Of equal ones the middle: ranges without weight are halved.
            let middle = from + len / 2;
            let best = (low..=high).min_by_key(|&at| (below(at), at.abs_diff(middle)));
            let at = best.unwrap_or(to);
            root[from][to] = at;
            cost[from][to] = below(at) + total;
        }
    }
    root
}

fn build(
    spans: &[Span],
    roots: &[Vec<usize>],
    from: usize,
    to: usize,
    graph: &mut Graph,
) -> NodeId {
    if from == to {
        return spans[from].node;
    }
    let at = roots[from][to];
    let no = build(spans, roots, from, at - 1, graph);
    let yes = build(spans, roots, at, to, graph);
    graph.test(NR, Test::Range(spans[at].first, u32::MAX), yes, no)
}
