//! The language of packet filters, as pcap-filter(7) describes it: an expression becomes
//! a classic BPF program.
//!
//! ```text
//! text -> lex -> tokens -> parse -> Expr -> generate (check) -> Graph -> optimize -> Graph -> emit -> Filter
//! ```
//!
//! **What an expression means** is what libpcap's *unoptimised* program does: bytes are
//! read in the order of the expression, and one that lies behind the end of the packet
//! refuses the packet. The optimiser keeps that, packet for packet.
//!
//! ```
//! use skep_lang::pcap::{Options, compile};
//!
//! let filter = compile("ip and tcp", &Options::default())?;
//! let listing = skep_isa::classic::listing(filter.filters());
//! assert!(listing.starts_with("(000) ldh      [12]\n(001) jeq      #0x800"));
//! # Ok::<(), skep_lang::pcap::Error>(())
//! ```

mod ast;
mod check;
mod error;
mod explain;
#[path = "gen/mod.rs"]
mod generate;
mod graph;
mod lex;
mod link;
mod names;
#[path = "opt/mod.rs"]
mod optimize;
mod options;
mod parse;

pub use error::Error;
pub use explain::{Asked, Explainer, Missing, Reason};
pub use link::{Kind, LINKS, Link, Radio};
pub use names::{Names, NoNames, System};
pub use optimize::equal::{Equality, Witness};
pub use options::{Libpcap, Options};

use skep_isa::classic::{Filter as Insn, Packet, Program};

use graph::{Graph, Plain};

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Filter {
    filters: Vec<Insn>,
    program: Program,
}

impl Filter {
    fn new(graph: &Graph) -> Result<Filter, String> {
        let filters = graph::emit(graph).map_err(|error| error.to_string())?;
        let program = Program::new(&filters).map_err(|error| error.to_string())?;
        Ok(Filter { filters, program })
    }

    /// Its instructions.
    pub fn filters(&self) -> &[Insn] {
        &self.filters
    }

    /// The same, ready to run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Whether it takes a packet that was captured whole.
    pub fn matches(&self, packet: &[u8]) -> bool {
        self.program.run(&Packet::of(packet)) != 0
    }
}

/// Compiles an expression; the empty one takes every packet.
///
/// # Errors
/// What is wrong with it, and where.
pub fn compile(text: &str, options: &Options<'_>) -> Result<Filter, Error> {
    let plain = plain(text, options)?.graph;
    let graph = if options.optimize { optimize::optimize(&plain) } else { plain };
    let all = || 0..text.len();
    if options.optimize && graph.rejects_all() {
        return Err(Error::new(all(), REJECTS_ALL).hint(
            "no packet can match: `vlan`, `mpls` and their like must stand before what they \
             carry, and one address cannot be two; -O shows the program",
        ));
    }
    Filter::new(&graph).map_err(|reason| {
        Error::new(all(), reason).hint("ask for less at once, or for a network instead of hosts")
    })
}

/// What libpcap says where its optimiser finds that no packet matches.
const REJECTS_ALL: &str = "expression rejects all packets";

/// The program as it was written.
fn plain(text: &str, options: &Options<'_>) -> Result<Plain, Error> {
    if text.len() > MAX_TEXT {
        let reason = format!("the expression is longer than {MAX_TEXT} bytes");
        return Err(Error::new(0..0, reason));
    }
    if options.snaplen == 0 {
        return Err(Error::new(0..text.len(), "snaplen of 0 rejects all packets"));
    }
    let lexemes = lex::lex(text)?;
    let mut expr = parse::parse(&lexemes)?;
    if let Some(expr) = expr.as_mut().filter(|_| options.libpcap != Libpcap::V1_10) {
        check::family::settle(expr);
    }
    generate::generate(expr.as_ref(), options)
}

/// Steps of a comparison before it is given up.
const MOST_STEPS: u64 = 400_000;

/// Whether two expressions take the same packets, each compiled for its own options.
///
/// ```
/// use skep_lang::pcap::{Equality, Options, equal};
///
/// let options = Options::default();
/// let ends = ("port 80", &options);
/// let either = ("src port 80 or dst port 80", &options);
/// assert_eq!(equal(ends, either)?, Equality::Equal);
/// let Equality::Differ(witness) = equal(ends, ("tcp port 80", &options))? else { panic!() };
/// assert!(witness.first);
/// # Ok::<(), skep_lang::pcap::Error>(())
/// ```
///
/// # Errors
/// What is wrong with one of them.
pub fn equal(one: (&str, &Options<'_>), other: (&str, &Options<'_>)) -> Result<Equality, Error> {
    let graphs = [plain(one.0, one.1)?.graph, plain(other.0, other.1)?.graph];
    Ok(compare([&graphs[0], &graphs[1]], !(one.1.live || other.1.live), MOST_STEPS))
}

/// Whether the optimised program of an expression takes the packets that it should.
///
/// # Errors
/// What is wrong with the expression.
pub fn prove(text: &str, options: &Options<'_>) -> Result<Equality, Error> {
    let plain = plain(text, options)?.graph;
    Ok(compare([&plain, &optimize::optimize(&plain)], !options.live, MOST_STEPS))
}

fn compare(graphs: [&Graph; 2], is_file: bool, budget: u64) -> Equality {
    let [Ok(one), Ok(other)] = graphs.map(Filter::new) else {
        return Equality::Unknown("the programs are too large");
    };
    let takes = |index: usize, data: &[u8], len: u32| {
        let filter = if index == 0 { &one } else { &other };
        filter.program.run(&Packet { data, len, metadata: None }) != 0
    };
    optimize::equal::compare(graphs, &takes, is_file, budget)
}

/// The longest expression that is read.
pub const MAX_TEXT: usize = 1 << 20;
