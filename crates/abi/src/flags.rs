//! Flag bits of `bpf()` attributes (`include/uapi/linux/bpf.h`).

/// `map_flags` of MAP_CREATE.
pub mod map {
    /// Hash elements are allocated one by one instead of up front.
    pub const NO_PREALLOC: u32 = 1 << 0;
    /// One LRU list per CPU.
    pub const NO_COMMON_LRU: u32 = 1 << 1;
    /// `numa_node` holds.
    pub const NUMA_NODE: u32 = 1 << 2;
    /// User space may only read.
    pub const RDONLY: u32 = 1 << 3;
    /// User space may only write.
    pub const WRONLY: u32 = 1 << 4;
    /// Stack traces as build ids.
    pub const STACK_BUILD_ID: u32 = 1 << 5;
    /// Hash seed 0.
    pub const ZERO_SEED: u32 = 1 << 6;
    /// Programs may only read.
    pub const RDONLY_PROG: u32 = 1 << 7;
    /// Programs may only write.
    pub const WRONLY_PROG: u32 = 1 << 8;
    /// Clone with the socket.
    pub const CLONE: u32 = 1 << 9;
    /// The array may be mapped by user space.
    pub const MMAPABLE: u32 = 1 << 10;
    /// Perf events survive the closing of their map fd.
    pub const PRESERVE_ELEMS: u32 = 1 << 11;
    /// Inner maps may differ in `max_entries`.
    pub const INNER_MAP: u32 = 1 << 12;
    /// The map has a link instead of a program.
    pub const LINK: u32 = 1 << 13;
    /// Pass the fd of a path.
    pub const PATH_FD: u32 = 1 << 14;
    /// `value_type_btf_obj_fd` holds.
    pub const VTYPE_BTF_OBJ_FD: u32 = 1 << 15;
    /// `map_token_fd` holds.
    pub const TOKEN_FD: u32 = 1 << 16;
    /// Arena faults are signals.
    pub const SEGV_ON_FAULT: u32 = 1 << 17;
    /// Arena without user mapping.
    pub const NO_USER_CONV: u32 = 1 << 18;
}

/// Flags of a map update.
pub mod update {
    /// Create or replace.
    pub const ANY: u64 = 0;
    /// Create only.
    pub const NOEXIST: u64 = 1;
    /// Replace only.
    pub const EXIST: u64 = 2;
    /// Take the value's spin lock.
    pub const LOCK: u64 = 4;
}

/// `prog_flags` of PROG_LOAD.
pub mod prog {
    /// Strict alignment.
    pub const STRICT_ALIGNMENT: u32 = 1 << 0;
    /// Any alignment.
    pub const ANY_ALIGNMENT: u32 = 1 << 1;
    /// Randomise the upper halves of 32-bit results (test only).
    pub const TEST_RND_HI32: u32 = 1 << 2;
    /// Check every state (test only).
    pub const TEST_STATE_FREQ: u32 = 1 << 3;
    /// The program may sleep.
    pub const SLEEPABLE: u32 = 1 << 4;
    /// XDP with multi-buffer packets.
    pub const XDP_HAS_FRAGS: u32 = 1 << 5;
    /// XDP bound to a device, not offloaded.
    pub const XDP_DEV_BOUND_ONLY: u32 = 1 << 6;
    /// Make register invariants' violations errors (test only).
    pub const TEST_REG_INVARIANTS: u32 = 1 << 7;
    /// `prog_token_fd` holds.
    pub const TOKEN_FD: u32 = 1 << 16;
}

/// `flags` of PROG_TEST_RUN.
pub mod test_run {
    /// On the CPU that `cpu` names.
    pub const ON_CPU: u32 = 1 << 0;
    /// XDP frames go where the program sends them.
    pub const LIVE_FRAMES: u32 = 1 << 1;
    /// A socket buffer comes with its checksum.
    pub const CHECKSUM_COMPLETE: u32 = 1 << 2;
    /// No flag of Linux, which refuses it: a run of the embedded kernel, of any type of program,
    /// on a context as the program sees it (docs/run.md).
    pub const OWN: u32 = 1 << 31;
}

/// `attach_flags` of PROG_ATTACH, and `flags` of LINK_CREATE and LINK_UPDATE.
pub mod attach {
    /// Cgroups below may have a program of their own instead (PROG_ATTACH).
    pub const ALLOW_OVERRIDE: u32 = 1 << 0;
    /// Cgroups below may have programs of their own as well (PROG_ATTACH; links always).
    pub const ALLOW_MULTI: u32 = 1 << 1;
    /// Takes the place of another program.
    pub const REPLACE: u32 = 1 << 2;
    /// In front of the program that `relative_fd` names, or of all.
    pub const BEFORE: u32 = 1 << 3;
    /// Behind it, or behind all.
    pub const AFTER: u32 = 1 << 4;
    /// `relative_fd` is an id.
    pub const ID: u32 = 1 << 5;
    /// In front of the programs of the cgroups above.
    pub const PREORDER: u32 = 1 << 6;
    /// `relative_fd` is a link.
    pub const LINK: u32 = 1 << 13;
}

/// `flags` of an XDP link (`include/uapi/linux/if_link.h`).
pub mod xdp {
    /// Only where there is none yet (netlink).
    pub const UPDATE_IF_NOEXIST: u32 = 1 << 0;
    /// In the network stack, whatever the driver can.
    pub const SKB_MODE: u32 = 1 << 1;
    /// In the driver.
    pub const DRV_MODE: u32 = 1 << 2;
    /// In the device.
    pub const HW_MODE: u32 = 1 << 3;
    /// Only in the place of a program that is named (netlink).
    pub const REPLACE: u32 = 1 << 4;
}

/// `flags` of links on many functions.
pub mod multi {
    /// At the functions' returns.
    pub const RETURN: u32 = 1 << 0;
}

/// `flags` of netfilter links.
pub mod netfilter {
    /// Fragments are put together first.
    pub const IP_DEFRAG: u32 = 1 << 0;
}

/// `query_flags` of PROG_QUERY.
pub mod query {
    /// What runs, the programs of the cgroups above included.
    pub const EFFECTIVE: u32 = 1 << 0;
}
