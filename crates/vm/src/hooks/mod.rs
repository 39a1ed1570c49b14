//! Where events come from: the packets of captures, and bare instructions that somebody runs.

mod packets;
mod raw;

pub use packets::{PacketError, PacketHook, Verdict};
pub use raw::{RawError, RawMemory, run_raw};
