//! Where events come from: the packets of captures, and bare instructions that somebody runs.

mod packets;
pub(crate) mod raw;

pub use packets::{PacketError, PacketHook, Verdict};
