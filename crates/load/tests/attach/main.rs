//! Programs at their hooks on the running Linux: each counts its hits, which are compared with
//! what was done, and nothing is left where a link was dropped. Where the machine does not let
//! us attach, a test says so and is skipped.
#![cfg(target_os = "linux")]

mod bed;
mod cgroup;
mod network;
mod others;
mod tracing;
