//! Whether two programs take the same packets. Both decision graphs are walked at once on
//! one packet of which nothing is known; a test or a read whose outcome is open splits the
//! walk. Where the programs end differently, a packet is made that goes that way, and both
//! are run on it: only what they really decide differently counts.

mod knowledge;
mod witness;

use std::hash::{DefaultHasher, Hash, Hasher};

use rustc_hash::FxHashSet;

use super::dag::{Dag, Id, Node};
use super::symbolic;
use super::value::{V, Values};
use crate::pcap::graph::Graph;
use knowledge::{Knowledge, Read};

/// A packet that two filters decide differently.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witness {
    /// Its bytes.
    pub data: Vec<u8>,
    /// Its length on the wire.
    pub len: u32,
    /// Whether the first filter takes it.
    pub first: bool,
}

/// What is known of two filters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Equality {
    /// They take the same packets.
    Equal,
    /// They do not: here is one.
    Differ(Witness),
    /// It was not found out, and why.
    Unknown(&'static str),
}

/// Where one program is: at a node, or done.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    At(Id),
    Done(bool),
}

/// Both, and what is known of the packet.
struct State {
    sides: [Side; 2],
    known: Knowledge,
}

/// The most bits of a table of what matters where.
const LARGEST: usize = 1 << 30;

/// Ends that differ of which no packet is found, before it is given up.
const MOST_OPEN: u32 = 64;

struct Walk<'a> {
    dags: [&'a Dag; 2],
    values: &'a Values,
    /// For each node of each program the numbers that it and what follows ask for.
    matter: [Vec<Vec<u64>>; 2],
    seen: FxHashSet<(u64, u64)>,
    is_file: bool,
}

/// Compares two programs in at most so many steps; `takes` runs one of them on bytes with a
/// length on the wire. `is_file`: packets have no metadata.
pub fn compare(
    graphs: [&Graph; 2],
    takes: &dyn Fn(usize, &[u8], u32) -> bool,
    is_file: bool,
    mut budget: u64,
) -> Equality {
    let mut values = Values::default();
    let [one, other] = graphs.map(|graph| symbolic::run(graph, &mut values));
    let (Some(one), Some(other)) = (one, other) else {
        return Equality::Unknown("the programs are too large");
    };
    if (one.nodes.len() + other.nodes.len()) * values.len() > LARGEST {
        return Equality::Unknown("the programs are too large");
    }
    let dags = [&one, &other];
    let matter = dags.map(|dag| matter(dag, &values));
    let mut walk = Walk { dags, values: &values, matter, seen: FxHashSet::default(), is_file };
    let sides = dags.map(|dag| Side::At(dag.root));
    let mut open = 0;
    let mut stack = vec![State { sides, known: Knowledge::new() }];
    while let Some(state) = stack.pop() {
        let Some(left) = budget.checked_sub(1) else {
            return Equality::Unknown("there are too many ways through the programs");
        };
        budget = left;
        if let [Side::Done(first), Side::Done(second)] = state.sides {
            if first == second {
                continue;
            }
            match witness::find(&values, &state.known, takes) {
                Some(witness) => return Equality::Differ(witness),
                None => open += 1,
            }
            if open > MOST_OPEN {
                break;
            }
        } else if walk.seen.insert(walk.hash(&state)) {
            walk.step(state, &mut stack);
        }
    }
    match open {
        0 => Equality::Equal,
        _ => Equality::Unknown("no packet was found for a way on which they seem to differ"),
    }
}

/// The numbers that matter from each node on, as bits.
fn matter(dag: &Dag, values: &Values) -> Vec<Vec<u64>> {
    let words = values.len().div_ceil(64);
    let mut all: Vec<Vec<u64>> = Vec::with_capacity(dag.nodes.len());
    for id in 0..dag.nodes.len() as Id {
        let mut here = vec![0; words];
        for next in dag.next(id).into_iter().flatten() {
            here.iter_mut().zip(&all[next as usize]).for_each(|(here, next)| *here |= next);
        }
        let mut todo: Vec<V> = match dag.get(id) {
            Node::Return(_) => Vec::new(),
            Node::Touch(value, _) => vec![value],
            Node::Test { left, right, .. } => vec![left, right],
        };
        while let Some(value) = todo.pop() {
            here[value as usize / 64] |= 1 << (value % 64);
            todo.extend(values.parts(value).into_iter().flatten());
        }
        all.push(here);
    }
    all
}

impl Walk<'_> {
    fn hash(&self, state: &State) -> (u64, u64) {
        let matters = |value: V| {
            (0..2).any(|index| match state.sides[index] {
                Side::At(id) => {
                    let words = &self.matter[index][id as usize];
                    words[value as usize / 64] & 1 << (value % 64) != 0
                }
                Side::Done(_) => false,
            })
        };
        let of = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            seed.hash(&mut hasher);
            state.sides.hash(&mut hasher);
            state.known.hash(self.values, &matters, &mut hasher);
            hasher.finish()
        };
        (of(0), of(1))
    }

    /// Which program goes on: one whose next test is decided, else the first.
    fn choose(&self, state: &State) -> usize {
        let decided = |index: usize| match state.sides[index] {
            Side::Done(_) => false,
            Side::At(id) => match self.dags[index].get(id) {
                Node::Test { cond, left, right, .. } => {
                    state.known.decide(self.values, (cond, left, right)).is_some()
                }
                Node::Return(_) | Node::Touch(..) => true,
            },
        };
        match state.sides {
            [Side::Done(_), _] => 1,
            [_, Side::Done(_)] => 0,
            _ if !decided(0) && decided(1) => 1,
            _ => 0,
        }
    }

    /// One node of one program.
    fn step(&self, mut state: State, stack: &mut Vec<State>) {
        let index = self.choose(&state);
        let Side::At(id) = state.sides[index] else { return };
        let values = self.values;
        let mut effects = Vec::new();
        let node = self.dags[index].get(id);
        match node {
            Node::Return(bytes) => {
                state.sides[index] = Side::Done(bytes != 0);
                stack.push(state);
                return;
            }
            Node::Touch(value, _) => values.effects(value, &mut effects),
            Node::Test { left, right, .. } => {
                values.effects(left, &mut effects);
                values.effects(right, &mut effects);
            }
        }
        for effect in effects {
            let read = state.known.read(values, effect, self.is_file);
            if read != Read::Succeeds {
                let mut failed = State { known: state.known.clone(), ..state };
                failed.sides[index] = Side::Done(false);
                if failed.known.fail(values, effect) {
                    stack.push(failed);
                }
            }
            if read == Read::Fails || !state.known.succeed(values, effect) {
                return;
            }
        }
        let mut go = |known: Knowledge, next: Id| {
            let mut sides = state.sides;
            sides[index] = Side::At(next);
            stack.push(State { sides, known });
        };
        match node {
            Node::Return(_) => {}
            Node::Touch(_, next) => go(state.known, next),
            Node::Test { cond, left, right, yes, no } => {
                let test = (cond, left, right);
                let decided = state.known.decide(values, test);
                for (next, held) in [(no, false), (yes, true)] {
                    let mut known = state.known.clone();
                    if decided.is_none_or(|decided| decided == held)
                        && known.learn(values, test, held)
                    {
                        go(known, next);
                    }
                }
            }
        }
    }
}
