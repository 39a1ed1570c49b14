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
    /// A function that is probed was called, or has returned.
    Function(Box<Called>),
    /// The process is gone.
    Gone,
}

/// A call of a function, or its return.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Called {
    /// Which, as [`Options::function`](super::Options::function) numbered it.
    pub number: u32,
    /// It has returned.
    pub returned: bool,
    /// Where the function is.
    pub function: u64,
    /// The instruction: the function's first, or where it returns to.
    pub ip: u64,
    /// The stack pointer.
    pub sp: u64,
    /// Where it will return to, or does.
    pub caller: u64,
    /// r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, as `struct
    /// pt_regs` has them; but for rbp 0 where they were not asked for.
    pub registers: [u64; 15],
    /// The flags, likewise.
    pub flags: u64,
    /// Memory behind arguments and the result, and the stack at `sp`, as
    /// [`Watch`](super::Watch) asked.
    pub memory: Vec<Captured>,
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
    /// Behind which argument; of functions 6 is the result and 7 the stack.
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
    /// Functions that were probed, in each process that mapped their files.
    pub planted: u64,
    /// Those that could not be: the file has changed, there was no memory near by, or a
    /// breakpoint was taken away when the program installed a filter.
    pub unplanted: u64,
    /// Returns that were not seen: too many calls were open at once.
    pub unreturned: u64,
}
