//! What is seen of a tree.

/// Something that a task of the tree did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When: `CLOCK_MONOTONIC`, in ns.
    pub time: u64,
    /// The process.
    pub pid: u32,
    /// The thread; 0 where the agent could not ask (the program has a filter of its own).
    pub tid: u32,
    /// What it did.
    pub what: What,
}

/// See [`Event`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A system call begins.
    Enter(Box<Enter>),
    /// One has ended; of `execve`, in the new program.
    Exit {
        /// Its number.
        number: u32,
        /// Its result; an errno is negative.
        result: i64,
    },
    /// The task began.
    Born {
        /// The process that made it.
        parent: u32,
        /// The thread that did.
        by: u32,
        /// It shares the memory: it is a thread, or a child of vfork.
        shares: bool,
    },
    /// The process has executed a program, which has not begun yet.
    Exec {
        /// The task's name: `comm`, ended by zeros.
        name: [u8; 16],
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// The parent process.
        parent: u32,
    },
    /// The process is gone.
    Gone,
}

/// A system call that begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Enter {
    /// Its number.
    pub number: u32,
    /// All six arguments; those that it does not take are what the registers held.
    pub args: [u64; 6],
    /// The instruction behind the call.
    pub ip: u64,
    /// The stack pointer; 0 where it is not known.
    pub sp: u64,
    /// rbp; 0 where it is not known.
    pub bp: u64,
    /// Memory behind arguments, as [`Options::capture`](super::Options::capture) asked.
    pub memory: Vec<Captured>,
}

/// Memory that was captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Captured {
    /// Behind which argument.
    pub argument: u8,
    /// Where.
    pub address: u64,
    /// What: less than was asked for where the rest cannot be read.
    pub bytes: Box<[u8]>,
}

/// What was counted beside the events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Events that are missing: rings were full, or a process ended while it wrote.
    pub lost: u64,
    /// Calls that were caught rather than jumped from.
    pub caught: u64,
    /// Sites that were patched.
    pub patched: u64,
    /// Sites that could not be, and cost 2 us each time.
    pub unpatched: u64,
    /// Threads and processes whose calls are seen.
    pub armed: u64,
    /// Programs that began with the agent.
    pub executed: u64,
    /// Programs and processes that run untraced: with rights of their own, 32-bit ones, in pid
    /// namespaces of their own, behind filters of their own, or that could not be reached.
    pub untraced: u64,
    /// Threads or processes that left, since they use what the agent needs.
    pub left: u64,
    /// Calls that are none of Linux's 64-bit ones, and were not recorded.
    pub odd: u64,
}
