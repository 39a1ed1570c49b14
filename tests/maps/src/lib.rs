//! Models of what the maps' algorithms are written over: under `--cfg loom`, `skep-maps` is
//! only what stands over its `sync`, which is loom's then.

#[cfg(all(test, loom))]
mod models;
