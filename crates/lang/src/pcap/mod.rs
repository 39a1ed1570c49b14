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
#[path = "gen/mod.rs"]
mod generate;
mod graph;
mod lex;
mod link;
mod names;
#[path = "opt/mod.rs"]
mod optimize;
mod parse;

pub use error::Error;
pub use link::{Kind, LINKS, Link, Radio};
pub use names::{Names, NoNames, System};

use skep_isa::classic::{Filter as Insn, Packet, Program};

/// Whose language is meant, where libpcap's versions differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names are the versions")]
pub enum Libpcap {
    V1_10,
    #[default]
    V1_11,
}

/// What an expression is compiled for.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What the packets' first bytes are.
    pub link: Link,
    /// Bytes that are wanted of a packet that matches.
    pub snaplen: u32,
    /// The mask of the local network, for `ip broadcast`.
    pub netmask: Option<u32>,
    /// Whether the program runs in Linux, where metadata can be read.
    pub live: bool,
    /// Whether packets come from a file, of any system.
    pub file: bool,
    /// Whether to optimise.
    pub optimize: bool,
    /// Whose language.
    pub libpcap: Libpcap,
    /// Where names come from.
    pub names: &'a dyn Names,
}

impl Default for Options<'_> {
    /// Ethernet, 262,144 bytes, the machine's names, optimised.
    fn default() -> Options<'static> {
        Options {
            link: Link::ETHERNET,
            snaplen: 262_144,
            netmask: None,
            live: false,
            file: false,
            optimize: true,
            libpcap: Libpcap::default(),
            names: &System,
        }
    }
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Filter {
    filters: Vec<Insn>,
    program: Program,
}

impl Filter {
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
    let all = 0..text.len();
    if text.len() > MAX_TEXT {
        let reason = format!("the expression is longer than {MAX_TEXT} bytes");
        return Err(Error::new(0..0, reason));
    }
    if options.snaplen == 0 {
        return Err(Error::new(all, "snaplen of 0 rejects all packets"));
    }
    let lexemes = lex::lex(text)?;
    let expr = parse::parse(&lexemes)?;
    let plain = generate::generate(expr.as_ref(), options)?;
    let graph = if options.optimize { optimize::optimize(&plain) } else { plain };
    let too_long = |reason: String| Error::new(all.clone(), reason);
    let filters = graph::emit(&graph).map_err(|error| {
        too_long(error.to_string()).hint("ask for less at once, or for a network instead of hosts")
    })?;
    let program = Program::new(&filters).map_err(|error| too_long(error.to_string()))?;
    Ok(Filter { filters, program })
}

/// The longest expression that is read.
pub const MAX_TEXT: usize = 1 << 20;
