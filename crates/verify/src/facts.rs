//! What an accepted program is known to do, for engines to rely on: published is only
//! what pruning always compares, so that it holds on the paths that were cut, too.
//!
//! Values of scalars are no such thing: a path with another value may have been cut
//! because nothing depended on it.

use std::sync::Arc;

use skep_isa::{Insn, Pc};

use crate::program::MapDef;
use crate::reg::{Flags, Kind, MapId, Reg};

/// Ways out of a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    /// To the next instruction.
    pub falls: bool,
    /// To its target.
    pub jumps: bool,
}

/// The memory that an instruction goes through, on all paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Region {
    /// No path goes through memory here.
    #[default]
    None,
    /// The stack of the frame that runs, or of one of its callers.
    Stack,
    /// The program's context.
    Context,
    /// The packet, or the metadata before it.
    Packet,
    /// A value of this map: an index into [`Facts::maps`].
    MapValue(u16),
    /// A record of a ring buffer.
    Record,
    /// Memory of the kernel, of user space, of an arena: anything else.
    Other,
    /// Not the same on all paths.
    Mixed,
}

impl Region {
    fn of(pointer: &Reg) -> Region {
        match pointer.kind {
            Kind::Stack { .. } => Region::Stack,
            Kind::Ctx => Region::Context,
            Kind::Packet { .. } | Kind::PacketMeta { .. } => Region::Packet,
            Kind::MapValue { map, .. } => Region::MapValue(map),
            Kind::Mem { .. } if pointer.flags.contains(Flags::RINGBUF) => Region::Record,
            _ => Region::Other,
        }
    }

    /// What is known where both may be.
    fn or(self, other: Region) -> Region {
        match (self, other) {
            (Region::None, one) | (one, Region::None) => one,
            _ if self == other => self,
            _ => Region::Mixed,
        }
    }
}

/// What is known of one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InsnFacts {
    /// Some path reaches it.
    pub reached: bool,
    /// Which ways a branch was left by.
    pub edges: Edges,
    /// Where a load or store goes.
    pub region: Region,
    /// The map that a helper called here gets, where it is always the same: an index
    /// into [`Facts::maps`].
    pub map: CallMap,
}

/// The map argument of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallMap {
    /// There is none.
    #[default]
    None,
    /// Always this one.
    One(u16),
    /// Not the same on all paths.
    Mixed,
}

/// What is known of a program.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Of each slot.
    pub insns: Vec<InsnFacts>,
    /// The maps that facts speak of. One that stands for the elements of a map of maps
    /// is a pattern, and none of the program's.
    pub maps: Vec<Arc<MapDef>>,
}

impl Facts {
    pub(crate) fn new(len: usize) -> Facts {
        Facts { insns: vec![InsnFacts::default(); len], maps: Vec::new() }
    }

    /// What is known of the instruction at a slot.
    pub fn at(&self, pc: Pc) -> InsnFacts {
        self.insns.get(pc as usize).copied().unwrap_or_default()
    }

    pub(crate) fn reach(&mut self, pc: u32) {
        self.insns[pc as usize].reached = true;
    }

    /// A path came from `from`, a branch, to `pc`.
    pub(crate) fn edge(&mut self, from: u32, insn: Insn, pc: u32) {
        let off = match insn {
            Insn::Branch { off, .. } | Insn::MayGoto { off } => i64::from(off),
            _ => return,
        };
        let edges = &mut self.insns[from as usize].edges;
        let next = i64::from(from) + 1;
        edges.falls |= i64::from(pc) == next;
        edges.jumps |= i64::from(pc) == next + off;
    }

    pub(crate) fn access(&mut self, pc: u32, pointer: &Reg) {
        let region = &mut self.insns[pc as usize].region;
        *region = region.or(Region::of(pointer));
    }

    pub(crate) fn call(&mut self, pc: u32, map: MapId) {
        let known = &mut self.insns[pc as usize].map;
        *known = match *known {
            CallMap::None => CallMap::One(map),
            CallMap::One(other) if other == map => CallMap::One(map),
            _ => CallMap::Mixed,
        };
    }
}
