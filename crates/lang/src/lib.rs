//! Languages: text in, a program out.
//!
//! [`pcap`] is the language of packet filters (pcap-filter(7)), in which one asks tcpdump
//! for `tcp port 80`. [`seccomp`] are policies for system calls, in the forms of containers,
//! systemd and others. [`trace`] is the language of bpftrace: what happens in a running
//! system.
#![forbid(unsafe_code)]

pub mod pcap;
pub mod seccomp;
pub mod trace;
