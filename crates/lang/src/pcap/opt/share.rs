//! Tests of bytes at constant places that are also asked for behind X go through the same
//! code, with a constant in X: IPv6's ports stand 40 bytes behind its header, IPv4's behind
//! X, so that with 40 in X the tests of both are one.
//!
//! The constant is loaded before the tests that lead there, where none of them and nothing
//! else that they lead to needs X; then it costs one instruction and no jump.

use rustc_hash::FxHashMap;
use skep_isa::classic::{Insn, Operand, Reg};

use crate::pcap::graph::{End, Graph, Node, NodeId};

/// Programs of more nodes are left as they are: every pair is looked at.
const LARGEST: usize = 400;

/// Lets tests of constant places go to the same tests behind X.
pub fn share(graph: Graph) -> Graph {
    let Some(mut graph) = renumber(graph.nodes.clone(), graph.root) else { return graph };
    if graph.nodes.len() > LARGEST {
        return graph;
    }
    while let Some(shorter) = step(&graph) {
        graph = shorter;
    }
    graph
}

/// Instructions of what is reached.
pub fn size(graph: &Graph) -> usize {
    let arrivals = arrivals(graph);
    let reached = graph.nodes.iter().zip(&arrivals).filter(|(_, arrivals)| !arrivals.is_empty());
    reached.map(|(node, _)| node.code.len() + usize::from(!matches!(node.end, End::Goto(_)))).sum()
}

/// One that is shorter.
fn step(graph: &Graph) -> Option<Graph> {
    let before = size(graph);
    let starts = |node: &Node| matches!(node.code.first(), Some(Insn::LoadHeaderLen { .. }));
    let indirect: Vec<NodeId> =
        ids(graph).filter(|&id| starts(&graph.nodes[id as usize])).collect();
    for constant in ids(graph).rev() {
        let Some(&Insn::LoadAbs { .. }) = graph.nodes[constant as usize].code.first() else {
            continue;
        };
        for &behind in &indirect {
            let mut matching = Matching { graph, distance: None, pairs: FxHashMap::default() };
            if !matching.nodes(constant, behind, true) {
                continue;
            }
            let Some(distance) = matching.distance else { continue };
            if let Some(shorter) = redirect(graph, constant, behind, distance)
                && size(&shorter) < before
            {
                return Some(shorter);
            }
        }
    }
    None
}

fn ids(graph: &Graph) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
    0..graph.nodes.len() as NodeId
}

/// Whether nodes do the same, one from constant places, the other behind X.
struct Matching<'a> {
    graph: &'a Graph,
    /// From an offset behind X to the constant.
    distance: Option<u32>,
    pairs: FxHashMap<(NodeId, NodeId), bool>,
}

impl Matching<'_> {
    /// `entry`: the second loads X first.
    fn nodes(&mut self, one: NodeId, other: NodeId, entry: bool) -> bool {
        if one == other && !entry {
            // Beyond, nothing may rest on what X holds.
            return true;
        }
        if let Some(&known) = self.pairs.get(&(one, other)) {
            return known;
        }
        let (first, second) = (&self.graph.nodes[one as usize], &self.graph.nodes[other as usize]);
        let code = if entry { &second.code[1..] } else { &second.code[..] };
        let same = first.code.len() == code.len()
            && first.code.iter().zip(code).all(|(one, other)| self.insns(*one, *other));
        let same = same
            && match (first.end, second.end) {
                (
                    End::Branch { cond, src: src @ Operand::K(_), yes, no },
                    End::Branch { cond: other, src: other_src, yes: other_yes, no: other_no },
                ) => {
                    cond == other
                        && src == other_src
                        && self.nodes(yes, other_yes, false)
                        && self.nodes(no, other_no, false)
                }
                _ => false,
            };
        self.pairs.insert((one, other), same);
        same
    }

    fn insns(&mut self, one: Insn, other: Insn) -> bool {
        match (one, other) {
            (
                Insn::LoadAbs { size, offset },
                Insn::LoadInd { size: other_size, offset: other_offset },
            ) => {
                let distance = (offset as u32).checked_sub(other_offset as u32);
                let Some(distance) = distance.filter(|_| offset >= 0 && size == other_size) else {
                    return false;
                };
                *self.distance.get_or_insert(distance) == distance
            }
            (Insn::Alu(op, src @ Operand::K(_)), Insn::Alu(other, other_src)) => {
                op == other && src == other_src
            }
            _ => false,
        }
    }
}

/// For each node those that go to it; the root goes to itself.
fn arrivals(graph: &Graph) -> Vec<Vec<NodeId>> {
    let mut arrivals: Vec<Vec<NodeId>> = vec![Vec::new(); graph.nodes.len()];
    arrivals[graph.root as usize].push(graph.root);
    for id in ids(graph).rev() {
        if arrivals[id as usize].is_empty() {
            continue;
        }
        for to in targets(&graph.nodes[id as usize]) {
            arrivals[to as usize].push(id);
        }
    }
    arrivals
}

fn targets(node: &Node) -> Vec<NodeId> {
    match node.end {
        End::Return(_) => Vec::new(),
        End::Goto(to) => vec![to],
        End::Branch { yes, no, .. } => vec![yes, no],
    }
}

/// Whether code reads X, or gives it a value before it does.
fn reads_x(code: &[Insn]) -> Option<bool> {
    for insn in code {
        match *insn {
            Insn::LoadInd { .. }
            | Insn::Alu(_, Operand::X)
            | Insn::Txa
            | Insn::Store(Reg::X, _) => return Some(true),
            Insn::LoadHeaderLen { .. }
            | Insn::Tax
            | Insn::LoadImm(Reg::X, _)
            | Insn::LoadMem(Reg::X, _)
            | Insn::LoadLen(Reg::X) => return Some(false),
            _ => {}
        }
    }
    None
}

/// For each node whether it or what follows reads X as it finds it.
fn needs_x(graph: &Graph) -> Vec<bool> {
    let mut needs: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let end = matches!(node.end, End::Branch { src: Operand::X, .. });
        let behind = || end || targets(node).iter().any(|&to| needs[to as usize]);
        let need = reads_x(&node.code).unwrap_or_else(behind);
        needs.push(need);
    }
    needs
}

/// The graph in which `constant` goes behind the first instruction of `behind`.
fn redirect(graph: &Graph, constant: NodeId, behind: NodeId, x: u32) -> Option<Graph> {
    let arrivals = arrivals(graph);
    let needs = needs_x(graph);
    let leading = &arrivals[constant as usize];
    // The first of those that lead there: all others are only reached from among them.
    let first = leading.iter().copied().max()?;
    let fits = |id: NodeId| {
        let node = &graph.nodes[id as usize];
        let inside = id == first || arrivals[id as usize].iter().all(|from| leading.contains(from));
        inside
            && id != constant
            && (reads_x(&node.code).is_none() || id == first)
            && matches!(node.end, End::Branch { src: Operand::K(_), .. })
            && targets(node)
                .iter()
                .all(|&to| to == constant || leading.contains(&to) || !needs[to as usize])
    };
    if !leading.iter().all(|&id| fits(id)) {
        return None;
    }
    // A new node behind the one that loads X; children have smaller ids.
    let shift = |id: NodeId| if id >= behind { id + 1 } else { id };
    let inner = behind;
    let mut nodes = Vec::with_capacity(graph.nodes.len() + 1);
    for (id, node) in graph.nodes.iter().enumerate() {
        let id = id as NodeId;
        let to = |to: NodeId| shift(to);
        let end = match node.end {
            End::Return(bytes) => End::Return(bytes),
            End::Goto(next) => End::Goto(to(next)),
            End::Branch { cond, src, yes, no } => {
                End::Branch { cond, src, yes: to(yes), no: to(no) }
            }
        };
        if id == behind {
            nodes.push(Node { code: node.code[1..].to_vec(), end });
            nodes.push(Node { code: node.code[..1].to_vec(), end: End::Goto(inner) });
        } else {
            nodes.push(Node { code: node.code.clone(), end });
        }
    }
    let constant = shift(constant);
    for &id in leading {
        if let End::Branch { yes, no, .. } = &mut nodes[shift(id) as usize].end {
            for target in [yes, no] {
                if *target == constant {
                    *target = inner;
                }
            }
        }
    }
    nodes[shift(first) as usize].code.push(Insn::LoadImm(Reg::X, x));
    renumber(nodes, shift(graph.root))
}

/// Nodes that do the same are one, whatever number it is that they find in A; children get
/// smaller ids again, and what is not reached is left out.
fn renumber(nodes: Vec<Node>, root: NodeId) -> Option<Graph> {
    let mut moved: Vec<Option<NodeId>> = vec![None; nodes.len()];
    let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
    let mut made: FxHashMap<Node, NodeId> = FxHashMap::default();
    let mut stack = vec![(root, false)];
    while let Some((id, done)) = stack.pop() {
        if moved[id as usize].is_some() {
            continue;
        }
        let node = &nodes[id as usize];
        if !done {
            stack.push((id, true));
            // Visited last, the node where a test holds comes right behind it.
            for to in targets(node) {
                stack.push((to, false));
            }
            continue;
        }
        let to = |id: NodeId| moved[id as usize];
        let end = match node.end {
            End::Return(bytes) => End::Return(bytes),
            End::Goto(next) => End::Goto(to(next)?),
            End::Branch { cond, src, yes, no } => {
                End::Branch { cond, src, yes: to(yes)?, no: to(no)? }
            }
        };
        let node = Node { code: node.code.clone(), end };
        let id_of = made.entry(node).or_insert_with_key(|node| {
            out.push(node.clone());
            out.len() as NodeId - 1
        });
        moved[id as usize] = Some(*id_of);
    }
    let root = moved[root as usize]?;
    Some(Graph { nodes: out, root })
}
