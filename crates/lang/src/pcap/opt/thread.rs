//! Threading: an edge goes past every test whose outcome is known on it, and past every
//! read that cannot fail or that something behind it makes up for.

use super::dag::{Dag, Id, Node};
use super::facts::{Facts, Must};
use super::value::{V, Values};

/// Nodes that one edge passes at most.
const FARTHEST: usize = 2_000;

/// For each node what holds on all edges to it; `None` where none comes. `leave` is given the
/// edges of each node, those of what comes first first.
pub fn facts(
    dag: &Dag,
    values: &Values,
    mut leave: impl FnMut(Id, Vec<(Id, Facts)>),
) -> Vec<Option<Facts>> {
    let mut facts: Vec<Option<Facts>> = vec![None; dag.nodes.len()];
    facts[dag.root as usize] = Some(Facts::default());
    for id in (0..=dag.root).rev() {
        // Edges go down.
        let (below, here) = facts.split_at_mut(id as usize);
        let Some(here) = &here[0] else { continue };
        let edges = after(dag, values, id, here);
        for (next, there) in &edges {
            match &mut below[*next as usize] {
                Some(known) => known.meet(there),
                none => *none = Some(there.clone()),
            }
        }
        leave(id, edges);
    }
    facts
}

/// The edges of a node, with what holds on each.
fn after(dag: &Dag, values: &Values, id: Id, here: &Facts) -> Vec<(Id, Facts)> {
    match dag.get(id) {
        Node::Return(_) => Vec::new(),
        Node::Touch(value, next) => {
            let mut there = here.clone();
            there.reach_all(values, value);
            vec![(next, there)]
        }
        Node::Test { cond, left, right, yes, no } => [(yes, true), (no, false)]
            .into_iter()
            .map(|(next, holds)| {
                let mut there = here.clone();
                there.learn(values, (cond, left, right), holds);
                (next, there)
            })
            .collect(),
    }
}

/// What is read on every way from each node.
pub fn musts(dag: &Dag, values: &Values) -> Vec<Must> {
    let mut musts: Vec<Must> = Vec::with_capacity(dag.nodes.len());
    for id in 0..dag.nodes.len() as Id {
        must(dag, values, id, &mut musts);
    }
    musts
}

fn must(dag: &Dag, values: &Values, id: Id, musts: &mut Vec<Must>) {
    let must = match dag.get(id) {
        Node::Return(bytes) => Must::at_return(bytes != 0),
        Node::Touch(value, next) => {
            let mut must = musts[next as usize].clone();
            must.reach_all(values, value);
            must
        }
        Node::Test { left, right, yes, no, .. } => {
            let mut must = Must::either(&musts[yes as usize], &musts[no as usize]);
            must.reach_all(values, left);
            must.reach_all(values, right);
            must
        }
    };
    musts.push(must);
}

/// Reads of some numbers that may fail here, and that nothing behind makes up for.
fn needed(values: &Values, numbers: &[V], here: &Facts, behind: &Must) -> Vec<V> {
    let mut effects = Vec::new();
    numbers.iter().for_each(|&number| values.effects(number, &mut effects));
    effects.retain(|&effect| !here.is_safe(values, effect) && !behind.covers(values, effect));
    effects
}

/// Where an edge can go at once.
fn follow(dag: &Dag, values: &Values, musts: &[Must], mut to: Id, here: &Facts) -> Id {
    for _ in 0..FARTHEST {
        let (next, numbers) = match dag.get(to) {
            Node::Return(_) => break,
            Node::Touch(value, next) => (next, [value, value]),
            Node::Test { cond, left, right, yes, no } => {
                match here.decide(values, (cond, left, right)) {
                    Some(true) => (yes, [left, right]),
                    Some(false) => (no, [left, right]),
                    None => break,
                }
            }
        };
        if !needed(values, &numbers, here, &musts[next as usize]).is_empty() {
            break;
        }
        to = next;
    }
    to
}

/// Threads every edge once.
pub fn thread(dag: &Dag, values: &Values) -> Dag {
    let old_musts = musts(dag, values);
    // Where the edges of each node can go at once.
    let mut ends: Vec<Vec<Id>> = vec![Vec::new(); dag.nodes.len()];
    let facts = facts(dag, values, |id, edges| {
        let end = |(next, there): &(Id, Facts)| follow(dag, values, &old_musts, *next, there);
        ends[id as usize] = edges.iter().map(end).collect();
    });
    let mut out = Dag::default();
    let mut new_musts: Vec<Must> = Vec::new();
    let mut moved: Vec<Id> = vec![0; dag.nodes.len()];
    for id in 0..=dag.root {
        let Some(here) = &facts[id as usize] else { continue };
        let targets: Vec<Id> = ends[id as usize].iter().map(|&end| moved[end as usize]).collect();
        let mut make = |node: Node, musts: &mut Vec<Must>| {
            let made = out.make(node);
            if made as usize == musts.len() {
                must(&out, values, made, musts);
            }
            made
        };
        let mut touch = |numbers: &[V], next: Id, musts: &mut Vec<Must>| {
            let mut made = next;
            for effect in needed(values, numbers, here, &musts[next as usize]).into_iter().rev() {
                // What the ones behind reach to need not be asked for again.
                if needed(values, &[effect], here, &musts[made as usize]).contains(&effect) {
                    made = make(Node::Touch(effect, made), musts);
                }
            }
            made
        };
        moved[id as usize] = match dag.get(id) {
            Node::Return(bytes) => make(Node::Return(bytes), &mut new_musts),
            Node::Touch(value, _) => touch(&[value], targets[0], &mut new_musts),
            Node::Test { cond, left, right, .. } => {
                let known = here.decide(values, (cond, left, right));
                match (known, targets[0] == targets[1]) {
                    (Some(true), _) | (_, true) => {
                        touch(&[left, right], targets[0], &mut new_musts)
                    }
                    (Some(false), _) => touch(&[left, right], targets[1], &mut new_musts),
                    (None, false) => {
                        let (yes, no) = (targets[0], targets[1]);
                        make(Node::Test { cond, left, right, yes, no }, &mut new_musts)
                    }
                }
            }
        };
    }
    out.root = moved[dag.root as usize];
    compact(&out)
}

/// Only what is reached, so that equal graphs are equal lists.
pub fn compact(dag: &Dag) -> Dag {
    let arrivals = dag.arrivals();
    let mut out = Dag::default();
    let mut moved: Vec<Id> = vec![0; dag.nodes.len()];
    for id in 0..=dag.root {
        if arrivals[id as usize] == 0 {
            continue;
        }
        let to = |id: Id| moved[id as usize];
        moved[id as usize] = out.make(match dag.get(id) {
            Node::Return(bytes) => Node::Return(bytes),
            Node::Touch(value, next) => Node::Touch(value, to(next)),
            Node::Test { cond, left, right, yes, no } => {
                Node::Test { cond, left, right, yes: to(yes), no: to(no) }
            }
        });
    }
    out.root = moved[dag.root as usize];
    out
}
