//! Where events come from: the packets of captures, contexts that somebody describes, system
//! calls of processes, and bare instructions that somebody runs.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod calls;
mod events;
mod packets;
pub(crate) mod raw;

pub use events::{Event, EventError, EventHook, EventOutcome};
pub use packets::{PacketError, PacketHook, Verdict};
