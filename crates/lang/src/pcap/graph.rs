//! A program as a graph without loops: nodes of straight code, each of which ends by a
//! test or by an answer.

use std::ops::Range;

use skep_isa::classic::{BuildError, Builder, Cond, Filter, Insn, Label, Operand, Reg};

use super::generate::{Block, Formula};

/// A node's number.
pub type NodeId = u32;

/// How a node ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// Goes on, by a condition on A.
    Branch {
        /// Condition.
        cond: Cond,
        /// Right side.
        src: Operand,
        /// Where it holds.
        yes: NodeId,
        /// Where it does not.
        no: NodeId,
    },
    /// Goes on.
    Goto(NodeId),
    /// So many bytes of the packet are wanted; 0 for none.
    Return(u32),
}

/// Code without jumps, and what follows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    /// The code.
    pub code: Vec<Insn>,
    /// What follows.
    pub end: End,
}

/// A program. Nodes come after all that they go to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The first one.
    pub root: NodeId,
}

impl Graph {
    /// Whether it says no at once.
    pub fn rejects_all(&self) -> bool {
        self.nodes[self.root as usize].end == End::Return(0)
    }
}

/// The program of an expression as it was written, and where each node comes from.
#[derive(Clone, Debug)]
pub struct Plain {
    /// The program.
    pub graph: Graph,
    /// For each node the condition of the expression that it belongs to.
    pub spans: Vec<Range<usize>>,
}

impl Plain {
    /// A program that takes every packet.
    pub fn accept(snaplen: u32) -> Plain {
        let mut plain = Plain::new();
        plain.push(Vec::new(), End::Return(snaplen), 0..0);
        plain
    }

    fn new() -> Plain {
        Plain { graph: Graph { nodes: Vec::new(), root: 0 }, spans: Vec::new() }
    }

    fn push(&mut self, code: Vec<Insn>, end: End, span: Range<usize>) -> NodeId {
        self.graph.nodes.push(Node { code, end });
        self.spans.push(span);
        self.spans.len() as NodeId - 1
    }
}

/// The graph of a formula.
pub(super) fn lower(blocks: &[Block], formulas: &[Formula], whole: u32, snaplen: u32) -> Plain {
    let mut plain = Plain::new();
    let no = plain.push(Vec::new(), End::Return(0), 0..0);
    let yes = plain.push(Vec::new(), End::Return(snaplen), 0..0);
    plain.graph.root = formula(&mut plain, blocks, formulas, whole, yes, no);
    plain
}

/// The right sides of chains are lowered deeper, the left sides in the loop: chains are as
/// long as an expression, parentheses only as deep as the parser lets them be.
fn formula(
    graph: &mut Plain,
    blocks: &[Block],
    formulas: &[Formula],
    mut id: u32,
    mut yes: NodeId,
    mut no: NodeId,
) -> NodeId {
    loop {
        match formulas[id as usize] {
            Formula::Test(index) => return block(graph, &blocks[index as usize], yes, no),
            Formula::Not(inner) => {
                std::mem::swap(&mut yes, &mut no);
                id = inner;
            }
            Formula::And(one, other) => {
                yes = formula(graph, blocks, formulas, other, yes, no);
                id = one;
            }
            Formula::Or(one, other) => {
                no = formula(graph, blocks, formulas, other, yes, no);
                id = one;
            }
        }
    }
}

/// Cuts a block at its jumps.
fn block(graph: &mut Plain, block: &Block, yes: NodeId, no: NodeId) -> NodeId {
    let code = &block.code;
    // Where jumps go to: there a node starts.
    let mut starts = vec![false; code.len() + 1];
    for (at, insn) in code.iter().enumerate() {
        match *insn {
            Insn::Branch { jt, jf, .. } => {
                starts[at + 1 + usize::from(jt)] = true;
                starts[at + 1 + usize::from(jf)] = true;
            }
            Insn::Ja(off) => starts[at + 1 + off as usize] = true,
            _ => {}
        }
    }
    let mut nodes: Vec<NodeId> = vec![0; code.len() + 1];
    let mut end = End::Branch { cond: block.cond, src: block.src, yes, no };
    let mut straight: Vec<Insn> = Vec::new();
    let flush = |graph: &mut Plain, straight: &mut Vec<Insn>, end: End| {
        let code: Vec<Insn> = straight.drain(..).rev().collect();
        graph.push(code, end, block.span.clone())
    };
    // From the end: `straight` is what stands between here and `end`.
    if starts[code.len()] {
        nodes[code.len()] = flush(graph, &mut straight, end);
        end = End::Goto(nodes[code.len()]);
    }
    for at in (0..code.len()).rev() {
        match code[at] {
            Insn::Branch { cond, src, jt, jf } => {
                straight.clear();
                let to = |skip: u8| nodes[at + 1 + usize::from(skip)];
                end = End::Branch { cond, src, yes: to(jt), no: to(jf) };
            }
            Insn::Ja(off) => {
                straight.clear();
                end = End::Goto(nodes[at + 1 + off as usize]);
            }
            insn => straight.push(insn),
        }
        if starts[at] || at == 0 {
            nodes[at] = flush(graph, &mut straight, end);
            end = End::Goto(nodes[at]);
        }
    }
    match code.is_empty() {
        true if starts[0] => nodes[0],
        true => graph.push(Vec::new(), end, block.span.clone()),
        false => nodes[0],
    }
}

/// The program as instructions, node after node.
///
/// # Errors
/// It is longer than a kernel takes.
pub fn emit(graph: &Graph) -> Result<Vec<Filter>, BuildError> {
    let mut builder = Builder::new();
    let labels: Vec<Label> = graph.nodes.iter().map(|_| builder.label()).collect();
    // A kernel wants every cell written before it is read, on each path.
    let unwritten = unwritten(graph);
    if unwritten != 0 {
        builder.push(Insn::LoadImm(Reg::A, 0));
        (0..16).filter(|cell| unwritten & 1 << cell != 0).for_each(|cell| {
            builder.push(Insn::Store(Reg::A, cell));
        });
    }
    let label = |to: NodeId| labels[to as usize];
    for id in order(graph) {
        let node = &graph.nodes[id as usize];
        builder.place(label(id));
        node.code.iter().for_each(|insn| builder.push(*insn));
        match node.end {
            End::Return(bytes) => builder.push(Insn::RetK(bytes)),
            End::Goto(to) => builder.goto(label(to)),
            End::Branch { cond, src, yes, no } => builder.branch(cond, src, label(yes), label(no)),
        }
    }
    builder.finish()
}

/// Where a node goes.
fn next(node: &Node) -> impl Iterator<Item = NodeId> {
    let (one, other) = match node.end {
        End::Return(_) => (None, None),
        End::Goto(to) => (Some(to), None),
        End::Branch { yes, no, .. } => (Some(yes), Some(no)),
    };
    one.into_iter().chain(other)
}

/// The nodes that are reached, each behind all that go to it. What a node goes on with
/// without a test stands right behind it where it can, so that no jump is needed.
fn order(graph: &Graph) -> Vec<NodeId> {
    let count = graph.nodes.len();
    let mut reached = vec![false; count];
    reached[graph.root as usize] = true;
    for id in (0..count).rev().filter(|&id| id <= graph.root as usize) {
        if reached[id] {
            next(&graph.nodes[id]).for_each(|to| reached[to as usize] = true);
        }
    }
    // Pairs that stand together are one piece: what goes to either must come before.
    let mut behind: Vec<Option<NodeId>> = vec![None; count];
    let mut head: Vec<NodeId> = (0..count as NodeId).collect();
    let mut is_behind = vec![false; count];
    for id in (0..count).rev().filter(|&id| reached[id]) {
        if let End::Goto(to) = graph.nodes[id].end
            && !is_behind[to as usize]
        {
            is_behind[to as usize] = true;
            behind[id] = Some(to);
            head[to as usize] = head[id];
        }
    }
    let mut waits = vec![0u32; count];
    for id in (0..count).filter(|&id| reached[id]) {
        for to in next(&graph.nodes[id]) {
            if behind[id] != Some(to) {
                waits[head[to as usize] as usize] += 1;
            }
        }
    }
    let mut ready = std::collections::BinaryHeap::from([graph.root]);
    let mut order = Vec::with_capacity(count);
    while let Some(first) = ready.pop() {
        let mut piece = Some(first);
        while let Some(id) = piece {
            order.push(id);
            piece = behind[id as usize];
            for to in next(&graph.nodes[id as usize]).filter(|&to| piece != Some(to)) {
                let head = head[to as usize];
                waits[head as usize] -= 1;
                if waits[head as usize] == 0 {
                    ready.push(head);
                }
            }
        }
    }
    order
}

/// The cells that some path reads before it writes them.
fn unwritten(graph: &Graph) -> u16 {
    let mut found = 0;
    // For each node the cells that every path to it has written.
    let mut written = vec![u16::MAX; graph.nodes.len()];
    let mut reached = vec![false; graph.nodes.len()];
    written[graph.root as usize] = 0;
    reached[graph.root as usize] = true;
    for index in (0..graph.nodes.len()).rev() {
        if !reached[index] {
            continue;
        }
        let mut cells = written[index];
        for insn in &graph.nodes[index].code {
            match *insn {
                Insn::LoadMem(_, cell) => found |= !cells & 1 << cell,
                Insn::Store(_, cell) => cells |= 1 << cell,
                _ => {}
            }
        }
        let mut arrive = |to: NodeId| {
            written[to as usize] &= cells;
            reached[to as usize] = true;
        };
        match graph.nodes[index].end {
            End::Return(_) => {}
            End::Goto(to) => arrive(to),
            End::Branch { yes, no, .. } => {
                arrive(yes);
                arrive(no);
            }
        }
    }
    found
}
