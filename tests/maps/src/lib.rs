//! The maps as they are in `vm`, from the very same files, without what stands above them:
//! a compiler with a sanitizer's flags builds these few in half a minute, and Cranelift in
//! many. (A feature of `vm` without its JIT would cut through the engine, the interpreter
//! and the program, which all name compiled code; this goes once maps are a crate.)
//!
//! Under `--cfg loom` only what is written over `maps/sync.rs`, and models of it.
#![allow(dead_code, unused_imports, reason = "who uses it is not here")]

#[cfg(not(loom))]
#[path = "../../../crates/vm/src/maps/mod.rs"]
pub mod maps;
#[cfg(not(loom))]
#[path = "../../../crates/vm/src/mem/mod.rs"]
pub mod mem;

/// Bucket and epochs alone.
#[cfg(loom)]
#[path = "."]
pub mod maps {
    #[path = "../../../crates/vm/src/maps/grace.rs"]
    pub mod grace;
    #[path = "../../../crates/vm/src/maps/spin.rs"]
    pub mod spin;
    #[path = "../../../crates/vm/src/maps/sync.rs"]
    pub mod sync;

    /// Only the bucket.
    #[path = "."]
    pub mod hash {
        #[path = "../../../crates/vm/src/maps/hash/bucket.rs"]
        pub mod bucket;
    }
}

#[cfg(all(test, loom))]
mod models;
