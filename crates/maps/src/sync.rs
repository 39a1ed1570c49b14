//! What the algorithms without locks are written over: `std`, or under `--cfg loom` loom,
//! which runs them in every order that memory may show (`tests/maps`).

#[cfg(not(loom))]
pub use std::{
    hint::spin_loop,
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    sync::{Arc, Mutex},
    thread::yield_now,
};

#[cfg(loom)]
pub use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    sync::{Arc, Mutex},
    thread::yield_now,
};
