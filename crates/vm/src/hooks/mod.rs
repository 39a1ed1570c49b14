//! Where events come from: the packets of captures, contexts that somebody
//! describes, hooks of applications, and bare instructions that somebody runs.

mod events;
mod packets;
mod point;
pub(crate) mod raw;

pub use events::{Event, EventError, EventHook, EventOutcome};
pub use packets::{PacketError, PacketHook, Verdict};
pub use point::{
    HookPoint, MOST_DATA, Occasion, PointError, PointFailure, PointProgram, RunCounts,
};
