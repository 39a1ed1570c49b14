//! Chains: tests in a row that all leave to the same place. Those of the same number come
//! together, so that it is loaded once. A test moves past others only where all that they
//! read is known to be there, or where leaving the chain refuses the packet: then whoever
//! gets through has read all of it, in any order.

use super::dag::{Dag, Id, Node};
use super::facts::Facts;
use super::thread::facts;
use super::value::{V, Values};

/// A link: the node, and whether its chain goes on where the test holds.
#[derive(Clone, Copy)]
struct Link {
    node: Id,
    on_yes: bool,
}

/// The longest chain that is sorted.
const LONGEST: usize = 2_000;

/// Sorts every chain.
pub fn sort(dag: &Dag, values: &Values) -> Dag {
    let arrivals = dag.arrivals();
    let before = before(dag, &arrivals);
    let facts = facts(dag, values, |_, _| {});
    // The order of the links of each chain, by its first node.
    let mut orders: Vec<Option<Vec<Link>>> = vec![None; dag.nodes.len()];
    let mut inside = vec![false; dag.nodes.len()];
    for id in (0..=dag.root).rev() {
        let Some(here) = facts[id as usize].as_ref().filter(|_| !inside[id as usize]) else {
            continue;
        };
        let before = before[id as usize];
        let shortest = if before.is_some() { 2 } else { 3 };
        let found = chain(dag, &arrivals, id).filter(|(chain, _)| chain.len() >= shortest);
        let Some((chain, out)) = found else { continue };
        chain.iter().for_each(|link| inside[link.node as usize] = true);
        orders[id as usize] = Some(order(dag, values, here, chain, (before, dag.is_reject(out))));
    }
    rebuild(dag, &orders)
}

/// For each node the number that the only test before it asks for.
fn before(dag: &Dag, arrivals: &[u32]) -> Vec<Option<V>> {
    let mut before = vec![None; dag.nodes.len()];
    for id in (0..=dag.root).filter(|&id| arrivals[id as usize] > 0) {
        if let Node::Test { left, yes, no, .. } = dag.get(id) {
            for next in [yes, no].into_iter().filter(|&next| arrivals[next as usize] == 1) {
                before[next as usize] = Some(left);
            }
        }
    }
    before
}

/// The longest chain from a node, and where it leaves to.
fn chain(dag: &Dag, arrivals: &[u32], id: Id) -> Option<(Vec<Link>, Id)> {
    let Node::Test { yes, no, .. } = dag.get(id) else { return None };
    let along = |on_yes: bool| {
        let out = if on_yes { no } else { yes };
        let mut links = vec![Link { node: id, on_yes }];
        let mut next = if on_yes { yes } else { no };
        while links.len() < LONGEST && arrivals[next as usize] == 1 {
            let Node::Test { yes, no, .. } = dag.get(next) else { break };
            let on_yes = match (yes == out, no == out) {
                (true, false) => false,
                (false, true) => true,
                _ => break,
            };
            links.push(Link { node: next, on_yes });
            next = if on_yes { yes } else { no };
        }
        (links, out)
    };
    let (one, other) = (along(true), along(false));
    let longer = if one.0.len() >= other.0.len() { one } else { other };
    Some(longer)
}

/// The numbers of a link.
fn numbers(dag: &Dag, link: Link) -> (V, V) {
    match dag.get(link.node) {
        Node::Test { left, right, .. } => (left, right),
        _ => (0, 0),
    }
}

fn order(
    dag: &Dag,
    values: &Values,
    here: &Facts,
    mut rest: Vec<Link>,
    (before, any_order): (Option<V>, bool),
) -> Vec<Link> {
    let mut here = here.clone();
    let mut sorted: Vec<Link> = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let last = sorted.last().map(|&link| numbers(dag, link).0).or(before);
        let mut choice = 0;
        for (index, &link) in rest.iter().enumerate() {
            // One that moves reads earlier than it did, also what it compares with.
            let may_move = index == 0 || any_order || is_there(dag, values, &here, link);
            if Some(numbers(dag, link).0) == last && may_move {
                choice = index;
                break;
            }
            // Whether the next ones may be put before this one.
            if !any_order && !is_there(dag, values, &here, link) {
                break;
            }
        }
        let link = rest.remove(choice);
        let (left, right) = numbers(dag, link);
        here.reach_all(values, left);
        here.reach_all(values, right);
        sorted.push(link);
    }
    sorted
}

/// Whether all that a link reads is known to be there.
fn is_there(dag: &Dag, values: &Values, here: &Facts, link: Link) -> bool {
    let (left, right) = numbers(dag, link);
    let mut effects = Vec::new();
    values.effects(left, &mut effects);
    values.effects(right, &mut effects);
    effects.into_iter().all(|effect| here.is_safe(values, effect))
}

fn rebuild(dag: &Dag, orders: &[Option<Vec<Link>>]) -> Dag {
    let mut out = Dag::default();
    let mut moved: Vec<Id> = vec![0; dag.nodes.len()];
    for id in 0..=dag.root {
        let to = |id: Id| moved[id as usize];
        let made = match (&orders[id as usize], dag.get(id)) {
            (Some(links), _) => {
                // The end of the chain is that of the link with the smallest id.
                let last = links.iter().min_by_key(|link| link.node).copied();
                let last = last.unwrap_or(Link { node: id, on_yes: true });
                let (mut made, leave) = match dag.get(last.node) {
                    Node::Test { yes, no, .. } if last.on_yes => (to(yes), to(no)),
                    Node::Test { yes, no, .. } => (to(no), to(yes)),
                    _ => (to(id), to(id)),
                };
                for link in links.iter().rev() {
                    if let Node::Test { cond, left, right, .. } = dag.get(link.node) {
                        let (yes, no) = if link.on_yes { (made, leave) } else { (leave, made) };
                        made = out.make(Node::Test { cond, left, right, yes, no });
                    }
                }
                made
            }
            (None, Node::Return(bytes)) => out.make(Node::Return(bytes)),
            (None, Node::Touch(value, next)) => out.make(Node::Touch(value, to(next))),
            (None, Node::Test { cond, left, right, yes, no }) => {
                out.make(Node::Test { cond, left, right, yes: to(yes), no: to(no) })
            }
        };
        moved[id as usize] = made;
    }
    out.root = moved[dag.root as usize];
    super::thread::compact(&out)
}
