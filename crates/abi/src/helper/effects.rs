//! What a call of a helper does besides what its signature says.

bitflags::bitflags! {
    /// What a call does.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Effects: u16 {
        /// Pointers into the packet are worth nothing afterwards
        /// (`bpf_helper_changes_pkt_data`).
        const MOVES_PACKET = 1 << 0;
        /// Yields a reference (`is_acquire_function`).
        const ACQUIRES = 1 << 1;
        /// Yields what it was given as another type, under the same reference
        /// (`is_ptr_cast_function`).
        const CASTS = 1 << 2;
        /// Linux notes which map the instruction uses (`record_func_map`).
        const RECORDS_MAP = 1 << 3;
        /// Changes its map, which a program may not where it is `BPF_F_RDONLY_PROG`.
        const WRITES_MAP = 1 << 4;
        /// Takes the context, and changes nothing that a load from it gives.
        const KEEPS_CONTEXT = 1 << 5;
        /// Keeps a pointer to the memory that it is given.
        const KEEPS_POINTER = 1 << 6;
        /// Linux has a native form of it on x86-64 (`bpf_jit_inlines_helper_call`, or its
        /// own rewriting).
        const INLINED = 1 << 7;
        /// Reads from addresses that a format or a type asks for, which nobody vouches for.
        const FORMATS = 1 << 8;
        /// Takes more arguments than its signature says, up to r5.
        const VARIADIC = 1 << 9;
    }
}

/// When a subprogram that a helper or kernel function takes is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Called {
    /// Before the helper returns.
    Now,
    /// Some time after, from nowhere in particular.
    Later,
    /// Some time after, where it may sleep.
    Asleep,
}

/// What such a subprogram is given, one for each argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given {
    /// What the caller gave in this register.
    Same(u8),
    /// The map that this register of the caller's is, or points into.
    Map(u8),
    /// A key of that map.
    Key(u8),
    /// A value of that map.
    Value(u8),
    /// The number of the call.
    Index,
    /// A record, as a dynptr.
    Record,
    /// A kernel's structure of this name.
    Kernel(&'static str),
    /// An element of the tree whose root this register of the caller's points to.
    Element(u8),
}

/// How a helper or kernel function calls the subprogram that it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Callback {
    /// The subprogram's arguments.
    pub given: &'static [Given],
    /// When.
    pub called: Called,
    /// The least and the most that it may return.
    pub returns: (i32, i32),
}

impl Callback {
    /// Whether the caller goes on before it is called.
    pub fn is_asynchronous(&self) -> bool {
        self.called != Called::Now
    }
}

/// What is known of the number that a helper returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Yield {
    /// Nothing.
    Anything,
    /// A length of at most what the size argument allows, or a negative errno.
    Length,
    /// The number of a CPU.
    Cpu,
    /// A clock, in nanoseconds.
    Time,
    /// A clock, in the kernel's ticks.
    Jiffies,
    /// A random number.
    Chance,
}
