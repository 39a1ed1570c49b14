//! Where the headers of a packet are, as far as the expression got: what a keyword like
//! `vlan` moves for all that stands to its right.

use skep_isa::classic::{Insn, MEM_WORDS, Reg};

use crate::pcap::link::{Kind, Link, Radio};

/// A place in the packet: a constant, and where it is variable a cell that is added.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offset {
    /// Added always.
    pub constant: u32,
    /// Whether there is more.
    pub variable: bool,
    /// The cell that holds it, once one is needed.
    pub cell: Option<u32>,
}

/// What an offset counts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Base {
    Packet,
    LinkHeader,
    /// Behind the link header, where an LLC header may stand.
    Llc,
    /// Where the link header says what follows it.
    LinkType,
    /// The network header.
    Network,
    /// The network header behind an LLC header without SNAP.
    NetworkNoSnap,
    /// The last entry of the label stack so far.
    PreviousLabel,
    /// Behind an IPv4 header.
    Transport4,
    /// Behind an IPv6 header.
    Transport6,
}

/// Where an offset that a link type does not have is counted from.
pub const NOT_SET: u32 = u32::MAX;

/// The length of an IPv6 header.
pub const IP6_HEADER: u32 = 40;

/// The length of an entry of a label stack.
pub const LABEL: u32 = 4;

/// All of it.
#[derive(Clone, Debug)]
pub struct State {
    /// The link type of the file.
    pub outermost: Link,
    /// The link type of the header that `ether` means now.
    pub link: Link,
    /// Where that header is.
    pub header: Offset,
    /// What is behind it.
    pub payload: Offset,
    /// Where it says what follows.
    pub link_type: Offset,
    /// From the payload to the network header.
    pub network: u32,
    /// The same without SNAP.
    pub network_no_snap: u32,
    /// Labels so far.
    pub labels: u32,
    /// Tags so far.
    pub tags: u32,
    /// Whether the header stands in GENEVE or VXLAN.
    pub encapsulated: bool,
    /// Whether cells must be cleared at the start, since a tag may add to them.
    pub tags_in_cells: bool,
    cells: [bool; MEM_WORDS as usize],
    next_cell: usize,
}

impl State {
    /// At the start of a packet.
    pub fn new(link: Link) -> State {
        let constant = |constant| Offset { constant, ..Offset::default() };
        let variable = Offset { variable: true, ..Offset::default() };
        let (link_type, payload, network, network_no_snap) = match link.kind {
            Kind::Ethernet => (constant(12), constant(14), 0, 3),
            Kind::Raw | Kind::Ipv4 | Kind::Ipv6 => (constant(NOT_SET), constant(0), 0, 0),
            Kind::Cooked => (constant(14), constant(16), 0, 0),
            Kind::Cooked2 => (constant(0), constant(20), 0, 0),
            Kind::Null | Kind::Loop => (constant(0), constant(4), 0, 0),
            Kind::Ppp => (constant(2), constant(4), 0, 0),
            Kind::Wireless(_) => (constant(24), variable, 8, 3),
            Kind::Other => (constant(NOT_SET), constant(NOT_SET), NOT_SET, NOT_SET),
        };
        let has_radio = matches!(link.kind, Kind::Wireless(radio) if radio != Radio::None);
        State {
            outermost: link,
            link,
            header: if has_radio { variable } else { Offset::default() },
            payload,
            link_type,
            network,
            network_no_snap,
            labels: 0,
            tags: 0,
            encapsulated: false,
            tags_in_cells: false,
            cells: [false; MEM_WORDS as usize],
            next_cell: 0,
        }
    }

    /// A cell that nothing uses; `None` when there are no more.
    pub fn take_cell(&mut self) -> Option<u32> {
        for _ in 0..MEM_WORDS {
            if !std::mem::replace(&mut self.cells[self.next_cell], true) {
                return Some(self.next_cell as u32);
            }
            self.next_cell = (self.next_cell + 1) % MEM_WORDS as usize;
        }
        None
    }

    /// Gives a cell back.
    pub fn free_cell(&mut self, cell: u32) {
        if let Some(used) = self.cells.get_mut(cell as usize) {
            *used = false;
        }
    }

    /// Makes another header the one that `ether` means.
    pub fn push_header(&mut self, link: Link, header: Offset) {
        self.link = link;
        self.header = header;
        self.encapsulated = false;
    }
}

/// `X = ` the variable part of an offset.
pub fn load_variable(cell: u32) -> Insn {
    Insn::LoadMem(Reg::X, cell)
}
