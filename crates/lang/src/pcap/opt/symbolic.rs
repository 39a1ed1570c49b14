//! From code to numbers: every node of the program is run on symbols, once for each
//! different content of the registers and cells that it reads.

use rustc_hash::FxHashMap;
use skep_isa::classic::{Cond, Insn, Op, Operand, Reg};

use super::dag::{Dag, Id, Node};
use super::value::{V, Value, Values};
use crate::pcap::graph::{End, Graph, NodeId};

/// Cells, A and X.
const REGISTERS: usize = 18;
const A: usize = 16;
const X: usize = 17;

/// What the registers hold that a node reads; others are 0 to be equal.
type State = [V; REGISTERS];

/// Runs of nodes, for each node of the program, before it is left as it is.
const MOST_RUNS: usize = 16;

/// What a run of a node gives.
struct Run {
    /// What can fail in it.
    effects: Vec<V>,
    end: Ended,
}

enum Ended {
    Return(u32),
    Goto(NodeId, State),
    Branch { cond: Cond, left: V, right: V, yes: (NodeId, State), no: (NodeId, State) },
}

fn register(reg: Reg) -> usize {
    if reg == Reg::A { A } else { X }
}

/// Registers that an instruction reads, and the one that it writes.
fn access(insn: Insn) -> (u32, Option<usize>) {
    let bit = |index: usize| 1u32 << index;
    let src = |src| if src == Operand::X { bit(X) } else { 0 };
    match insn {
        Insn::LoadAbs { .. } | Insn::LoadAncillary { .. } => (0, Some(A)),
        Insn::LoadInd { .. } => (bit(X), Some(A)),
        Insn::LoadLen(reg) | Insn::LoadImm(reg, _) => (0, Some(register(reg))),
        Insn::LoadMem(reg, cell) => (bit(cell as usize & 15), Some(register(reg))),
        Insn::LoadHeaderLen { .. } => (0, Some(X)),
        Insn::Store(reg, cell) => (bit(register(reg)), Some(cell as usize & 15)),
        Insn::Alu(_, right) => (bit(A) | src(right), Some(A)),
        Insn::Neg => (bit(A), Some(A)),
        Insn::Tax => (bit(A), Some(X)),
        Insn::Txa => (bit(X), Some(A)),
        Insn::RetA | Insn::RetK(_) | Insn::Ja(_) | Insn::Branch { .. } => (0, None),
    }
}

/// For each node the registers that it or what follows reads before they are written.
fn live(graph: &Graph) -> Vec<u32> {
    let mut live: Vec<u32> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let mut now = match node.end {
            End::Return(_) => 0,
            End::Goto(to) => live[to as usize],
            End::Branch { src, yes, no, .. } => {
                let x = if src == Operand::X { 1 << X } else { 0 };
                live[yes as usize] | live[no as usize] | 1 << A | x
            }
        };
        for insn in node.code.iter().rev() {
            let (reads, writes) = access(*insn);
            if let Some(index) = writes {
                now &= !(1 << index);
            }
            now |= reads;
        }
        live.push(now);
    }
    live
}

/// The decision graph; `None` where the program would become too large.
pub fn run(graph: &Graph, values: &mut Values) -> Option<Dag> {
    let live = live(graph);
    let zero = values.constant(0);
    let keep = |state: &State, node: NodeId| {
        let mask = live[node as usize];
        std::array::from_fn(|index| if mask & 1 << index != 0 { state[index] } else { zero })
    };
    let mut runs: Vec<FxHashMap<State, Run>> =
        graph.nodes.iter().map(|_| FxHashMap::default()).collect();
    let mut waiting: Vec<Vec<State>> = vec![Vec::new(); graph.nodes.len()];
    waiting[graph.root as usize].push([zero; REGISTERS]);
    let mut budget = 64 + MOST_RUNS * graph.nodes.len();
    for node in (0..graph.nodes.len()).rev() {
        for state in std::mem::take(&mut waiting[node]) {
            if runs[node].contains_key(&state) {
                continue;
            }
            budget = budget.checked_sub(1)?;
            let run = step(graph, node as NodeId, &state, values, &keep);
            match &run.end {
                Ended::Return(_) => {}
                Ended::Goto(to, state) => waiting[*to as usize].push(*state),
                Ended::Branch { yes, no, .. } => {
                    waiting[yes.0 as usize].push(yes.1);
                    waiting[no.0 as usize].push(no.1);
                }
            }
            runs[node].insert(state, run);
        }
    }
    Some(build(graph, &runs, values, zero))
}

fn step(
    graph: &Graph,
    node: NodeId,
    state: &State,
    values: &mut Values,
    keep: &impl Fn(&State, NodeId) -> State,
) -> Run {
    let mut now = *state;
    let mut effects = Vec::new();
    for insn in &graph.nodes[node as usize].code {
        let operand = |src, now: &State, values: &mut Values| match src {
            Operand::K(k) => values.constant(k),
            Operand::X => now[X],
        };
        let (to, value) = match *insn {
            Insn::LoadAbs { size, offset } => (A, values.load(size, None, offset as u32)),
            Insn::LoadInd { size, offset } => (A, values.load(size, Some(now[X]), offset as u32)),
            Insn::LoadAncillary { size, what } => (A, values.make(Value::Ancillary(what, size))),
            Insn::LoadLen(reg) => (register(reg), values.make(Value::Len)),
            Insn::LoadImm(reg, k) => (register(reg), values.constant(k)),
            Insn::LoadMem(reg, cell) => (register(reg), now[cell as usize & 15]),
            Insn::LoadHeaderLen { offset } => {
                let byte = values.load(skep_isa::Size::B, None, offset as u32);
                let (mask, by) = (values.constant(0xf), values.constant(2));
                let low = values.alu(Op::And, byte, mask);
                effects.push(byte);
                (X, values.alu(Op::Lsh, low, by))
            }
            Insn::Store(reg, cell) => (cell as usize & 15, now[register(reg)]),
            Insn::Alu(op, src) => {
                let right = operand(src, &now, values);
                if matches!(op, Op::Div | Op::Mod) && values.as_const(right).is_none_or(|k| k == 0)
                {
                    let failing = values.make(Value::Alu(op, now[A], right));
                    effects.push(failing);
                }
                (A, values.alu(op, now[A], right))
            }
            Insn::Neg => (A, values.neg(now[A])),
            Insn::Tax => (X, now[A]),
            Insn::Txa => (A, now[X]),
            Insn::RetA | Insn::RetK(_) | Insn::Ja(_) | Insn::Branch { .. } => continue,
        };
        if values.can_fail(value) && !effects.contains(&value) {
            effects.push(value);
        }
        now[to] = value;
    }
    let end = match graph.nodes[node as usize].end {
        End::Return(bytes) => Ended::Return(bytes),
        End::Goto(to) => Ended::Goto(to, keep(&now, to)),
        End::Branch { cond, src, yes, no } => {
            let right = match src {
                Operand::K(k) => values.constant(k),
                Operand::X => now[X],
            };
            let (yes, no) = ((yes, keep(&now, yes)), (no, keep(&now, no)));
            Ended::Branch { cond, left: now[A], right, yes, no }
        }
    };
    Run { effects, end }
}

/// Joins the runs, from the answers up.
fn build(graph: &Graph, runs: &[FxHashMap<State, Run>], values: &mut Values, zero: V) -> Dag {
    let mut dag = Dag::default();
    let mut made: Vec<FxHashMap<State, Id>> = Vec::with_capacity(runs.len());
    for states in runs {
        let mut here = FxHashMap::default();
        for (state, run) in states {
            let of = |(node, state): (NodeId, State)| made[node as usize][&state];
            let mut id: Id;
            let mut covered = Vec::new();
            match run.end {
                Ended::Return(bytes) => id = dag.make(Node::Return(bytes)),
                Ended::Goto(to, state) => id = of((to, state)),
                Ended::Branch { cond, left, right, yes, no } => {
                    values.effects(left, &mut covered);
                    values.effects(right, &mut covered);
                    let (yes, no) = (of(yes), of(no));
                    id = super::test::make(&mut dag, values, (cond, left, right), yes, no);
                    if !matches!(dag.get(id), Node::Test { .. }) || id == yes || id == no {
                        covered.clear();
                    }
                }
            }
            for &effect in run.effects.iter().rev() {
                if always_fails(values, effect) {
                    id = dag.make(Node::Return(0));
                } else if !covered.contains(&effect) {
                    id = dag.make(Node::Touch(effect, id));
                }
            }
            here.insert(*state, id);
        }
        made.push(here);
    }
    dag.root = made[graph.root as usize][&[zero; REGISTERS]];
    dag
}

/// Division by zero.
fn always_fails(values: &Values, effect: V) -> bool {
    match values.get(effect) {
        Value::Alu(Op::Div | Op::Mod, _, right) => values.as_const(right) == Some(0),
        _ => false,
    }
}
