//! Which IP carries the transport bytes that a computation reads. `tcp[13]` are IPv4's in
//! libpcap, so that `ip6 and tcp[13] & 2 != 0` takes no packet there. Here the bytes are
//! IPv6's wherever what is joined to the computation by `and` already asks for IPv6 of the
//! same header: that is where libpcap's program takes nothing.

use rustc_hash::FxHashMap;

use crate::pcap::ast::{Arithmetic, Conjunction, Expr, Id, Primitive, Protocol, Step};

/// Whether a protocol stands in IPv4 and in IPv6 alike.
fn is_in_both(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp | Protocol::Udp | Protocol::Sctp | Protocol::Pim)
}

/// Points transport bytes at IPv6 where the expression asks for it.
pub fn settle(expr: &mut Expr) {
    let mut walk = Walk { asked: FxHashMap::default(), header: 0 };
    walk.expr(expr);
}

/// A walk from left to right.
struct Walk {
    /// Headers of which IPv6 is asked around the place where the walk is, each as often as
    /// it is asked.
    asked: FxHashMap<usize, u32>,
    /// How many headers were left behind by `vlan` and its like.
    header: usize,
}

impl Walk {
    fn expr(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Primitive(primitive, _) => self.primitive(primitive),
            Expr::Not(inner) => self.expr(inner),
            Expr::Chain(first, rest) => self.chain(first, rest),
        }
    }

    fn enter(&mut self, header: Option<usize>) {
        if let Some(header) = header {
            *self.asked.entry(header).or_default() += 1;
        }
    }

    fn leave(&mut self, header: Option<usize>) {
        if let Some(count) = header.and_then(|header| self.asked.get_mut(&header)) {
            *count -= 1;
        }
    }

    /// Conjunctions bind from the left: to each part belongs what is joined by `and` behind
    /// it, and, where it is joined by `and` itself, what all before it ask.
    fn chain(&mut self, first: &mut Expr, rest: &mut [(Conjunction, Expr)]) {
        let mut at = self.header;
        let mut own = Vec::with_capacity(rest.len() + 1);
        for expr in std::iter::once(&*first).chain(rest.iter().map(|(_, expr)| expr)) {
            own.push(asks(expr, at));
            at += moves(expr);
        }
        let joined = |index: usize, rest: &[(Conjunction, Expr)]| {
            own[index + 1].filter(|_| rest[index].0 == Conjunction::And)
        };
        for index in 0..rest.len() {
            self.enter(joined(index, rest));
        }
        self.expr(first);
        let mut before = own[0];
        for index in 0..rest.len() {
            self.leave(joined(index, rest));
            let is_and = rest[index].0 == Conjunction::And;
            let around = before.filter(|_| is_and);
            self.enter(around);
            self.expr(&mut rest[index].1);
            self.leave(around);
            let mine = own[index + 1];
            before = if is_and { mine.or(before) } else { before.filter(|_| before == mine) };
        }
    }

    fn primitive(&mut self, primitive: &mut Primitive) {
        if let Primitive::Relation { left, right, .. } = primitive {
            let around = self.asked.get(&self.header).is_some_and(|&count| count > 0);
            if around || asks_ip6(left) || asks_ip6(right) {
                [left, right].into_iter().for_each(point);
            }
        }
        self.header += usize::from(is_moving(primitive));
    }
}

fn point(steps: &mut Arithmetic) {
    for (step, _) in &mut steps.0 {
        if let Step::Load(protocol, size) = *step
            && is_in_both(protocol)
        {
            *step = Step::LoadBehindIp6(protocol, size);
        }
    }
}

/// Whether a computation's first number is one of IPv6's.
fn asks_ip6(steps: &Arithmetic) -> bool {
    matches!(steps.0.get(1), Some((Step::Load(Protocol::Ip6 | Protocol::Icmp6, _), _)))
}

/// The header, counted as [`Walk::header`], of which an expression certainly asks for IPv6.
fn asks(expr: &Expr, header: usize) -> Option<usize> {
    match expr {
        Expr::Primitive(primitive, _) => {
            let asked = match &**primitive {
                Primitive::Protocol(Protocol::Ip6 | Protocol::Icmp6)
                | Primitive::Multicast(Some(Protocol::Ip6))
                | Primitive::Id(_, Id::Ipv6(..) | Id::Ipv6Prefix(..)) => true,
                Primitive::Id(qualifiers, _) => qualifiers.protocol == Some(Protocol::Ip6),
                Primitive::Relation { left, right, .. } => asks_ip6(left) || asks_ip6(right),
                _ => false,
            };
            asked.then_some(header)
        }
        Expr::Not(_) => None,
        Expr::Chain(first, rest) => {
            let mut at = header + moves(first);
            let mut all = asks(first, header);
            for (conjunction, expr) in rest {
                let own = asks(expr, at);
                at += moves(expr);
                all = match conjunction {
                    Conjunction::And => own.or(all),
                    Conjunction::Or => all.filter(|_| all == own),
                };
            }
            all
        }
    }
}

/// Whether what stands to the right looks behind another header.
fn is_moving(primitive: &Primitive) -> bool {
    matches!(
        primitive,
        Primitive::Vlan(_)
            | Primitive::Mpls(_)
            | Primitive::Pppoes(_)
            | Primitive::Geneve(_)
            | Primitive::Vxlan(_)
    )
}

fn moves(expr: &Expr) -> usize {
    match expr {
        Expr::Primitive(primitive, _) => usize::from(is_moving(primitive)),
        Expr::Not(inner) => moves(inner),
        Expr::Chain(first, rest) => {
            moves(first) + rest.iter().map(|(_, expr)| moves(expr)).sum::<usize>()
        }
    }
}
