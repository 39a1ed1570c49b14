//! Calls that some architectures have behind another one: `socketcall(2)` and `ipc(2)`
//! take the number of what is meant, and a pointer to its arguments.

use super::arch::Arch;
use super::policy::{Condition, Op};

/// A call behind which others are.
struct Multiplexed {
    by: &'static str,
    /// The bits of its first argument that choose.
    mask: u64,
    calls: &'static [(&'static str, u64)],
}

const TABLE: [Multiplexed; 2] = [
    Multiplexed {
        by: "socketcall",
        mask: 0xffff_ffff,
        calls: &[
            ("socket", 1),
            ("bind", 2),
            ("connect", 3),
            ("listen", 4),
            ("accept", 5),
            ("getsockname", 6),
            ("getpeername", 7),
            ("socketpair", 8),
            ("send", 9),
            ("recv", 10),
            ("sendto", 11),
            ("recvfrom", 12),
            ("shutdown", 13),
            ("setsockopt", 14),
            ("getsockopt", 15),
            ("sendmsg", 16),
            ("recvmsg", 17),
            ("accept4", 18),
            ("recvmmsg", 19),
            ("sendmmsg", 20),
        ],
    },
    // The upper half is a version.
    Multiplexed {
        by: "ipc",
        mask: 0xffff,
        calls: &[
            ("semop", 1),
            ("semget", 2),
            ("semctl", 3),
            ("semtimedop", 4),
            ("msgsnd", 11),
            ("msgrcv", 12),
            ("msgget", 13),
            ("msgctl", 14),
            ("shmat", 21),
            ("shmdt", 22),
            ("shmget", 23),
            ("shmctl", 24),
        ],
    },
];

/// The number of the call behind which a call is on an architecture, and the condition that
/// chooses it.
pub fn find(arch: Arch, call: &str) -> Option<(u32, Condition)> {
    TABLE.iter().find_map(|row| {
        let value = row.calls.iter().find(|of| of.0 == call)?.1;
        Some((arch.number(row.by)?, Condition { arg: 0, op: Op::MaskedEq(row.mask), value }))
    })
}

/// The name of the call behind which a call is, and its number there.
pub fn behind(arch: Arch, call: &str) -> Option<(&'static str, u64)> {
    TABLE.iter().find_map(|row| {
        arch.number(row.by)?;
        Some((row.by, row.calls.iter().find(|of| of.0 == call)?.1))
    })
}
