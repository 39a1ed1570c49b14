//! The built binary, as a user runs it.

mod capabilities;
mod ci;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod command;
mod embedded;
mod errors;
mod events;
mod filter;
mod first_hour;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod functions;
#[cfg(target_os = "linux")]
mod generate;
mod harness;
#[cfg(target_os = "linux")]
mod interfaces;
#[cfg(target_os = "linux")]
mod live;
mod loaders;
mod printed;
mod raw;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod recorded;
mod reports;
mod run;
mod scale;
mod schemas;
#[cfg(target_os = "linux")]
mod seccomp;
mod signals;
mod tools;
#[cfg(target_os = "linux")]
mod tools_live;
mod verify;
