//! Where events come from: the packets of captures, contexts that somebody describes, system
//! calls of processes, hooks of applications, and bare instructions that somebody runs.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod calls;
mod events;
mod packets;
mod point;
pub(crate) mod raw;

pub use events::{Event, EventError, EventHook, EventOutcome};
pub use packets::{Arrival, PacketError, PacketHook, Redirected, Verdict};
pub use point::{
    HookPoint, MOST_DATA, Occasion, PointError, PointFailure, PointProgram, RunCounts,
};
