//! eBPF maps: their storage, which programs and system calls share.
//!
//! A [`Map`] has two sides. Programs get addresses into it ([`Map::lookup`]), which
//! stay valid while the map lives, and call the helpers' counterparts; they run on a
//! vCPU, which no other program runs on at the same time. System calls copy in and
//! out; they may run on any thread. Errors are Linux 6.18's, in its order of checks;
//! access modes, freezing and fds are the system call layer's, which finds the state
//! that it needs here.
//!
//! Layouts and concurrency are those that compiled programs rely on: see `kinds`. Objects in maps (programs, inner maps) are
//! found under a [`grace::Guard`], which a program's run holds.

// Under loom, which knows nothing of mapped memory, only what is written over `sync`.
#[cfg(not(loom))]
mod fields;
pub mod grace;
#[cfg(not(loom))]
mod kinds;
#[cfg(loom)]
#[allow(dead_code, reason = "under loom the models alone use it")]
pub mod kinds {
    //! The bucket of hash maps alone.
    pub mod hash {
        //! The bucket alone.
        pub mod bucket;
    }
}
#[cfg(not(loom))]
mod map;
#[cfg(not(loom))]
pub mod mem;
#[cfg(not(loom))]
mod notify;
#[cfg_attr(loom, allow(dead_code, reason = "under loom the models alone use it"))]
mod spin;
mod sync;
#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests;

#[cfg(not(loom))]
pub use self::{
    fields::{Fields, acquire, release},
    kinds::arena::Arena,
    kinds::array::Layout,
    kinds::batch::BatchKind,
    kinds::kind::Element,
    kinds::model::Model,
    kinds::objects::{MapObject, Resolve, object_in},
    kinds::perf::PerfEvent,
    kinds::ringbuf::{RingBuf, Sample, wakeup},
    kinds::stacks::{Stacks, flag as stack_flag},
    kinds::targets::{ResolveTarget, Target},
    map::{BatchResult, Cursor, MOST_CPUS, Map, MapAttr},
    map::{UserMapping, WriteGuard},
    notify::Notifier,
    spin::wait_for,
};
