//! Where events come from: the packets of captures, contexts that somebody describes, and bare instructions that somebody runs.

mod events;
mod packets;
pub(crate) mod raw;

pub use events::{Event, EventError, EventHook, EventOutcome};
pub use packets::{PacketError, PacketHook, Verdict};
