//! How much of each thing Linux takes, and the sizes of what programs and user space share.
//! Each row names the constant that Linux has for it.

/// Instructions of a program whose loader holds CAP_BPF (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub const MAX_INSNS: usize = 1_000_000;
/// Instructions of any other program, and of a classic one (`BPF_MAXINSNS`).
pub const MAX_INSNS_UNPRIVILEGED: usize = 4096;
/// Instructions that the verifier looks at (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub const MAX_PROCESSED: u32 = 1_000_000;
/// Paths that wait to be looked at (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
pub const MAX_PENDING: usize = 8192;
/// States kept at an instruction without CAP_BPF (`BPF_COMPLEXITY_LIMIT_STATES`).
pub const MAX_STATES_UNPRIVILEGED: u32 = 64;
/// Rounds in which precision is propagated around a loop (`MAX_BACKEDGE_ITERS`).
pub const MAX_BACKEDGE_ROUNDS: u32 = 64;
/// Functions that are active at once (`MAX_CALL_FRAMES`).
pub const MAX_FRAMES: usize = 8;
/// Bytes of stack of one function (`MAX_BPF_STACK`).
pub const MAX_STACK: i32 = 512;
/// Bytes of stack from which on a function has a stack of its own (`BPF_PRIV_STACK_MIN_SIZE`).
pub const PRIVATE_STACK_MIN: i32 = 64;
/// Subprograms of a program (`BPF_MAX_SUBPROGS`).
pub const MAX_SUBPROGS: usize = 256;
/// Maps that a program uses (`MAX_USED_MAPS`).
pub const MAX_USED_MAPS: usize = 64;
/// Kernel functions that a program names (`MAX_KFUNC_DESCS`).
pub const MAX_KFUNCS: usize = 256;
/// Offsets of a pointer from here on could overflow (`BPF_MAX_VAR_OFF`).
pub const MAX_VAR_OFF: i64 = 1 << 29;
/// The largest offset into a packet (`MAX_PACKET_OFF`).
pub const MAX_PACKET_OFF: u64 = 0xffff;
/// Bytes of an object with one copy for each CPU (`BPF_GLOBAL_PERCPU_MA_MAX_SIZE`).
pub const MAX_PERCPU_OBJECT: u32 = 512;
/// Special fields of a type (`BTF_FIELDS_MAX`).
pub const MAX_FIELDS: usize = 11;
/// Nesting of structures and arrays in which special fields are found (`MAX_RESOLVE_DEPTH`).
pub const MAX_TYPE_DEPTH: u32 = 32;
/// The largest errno that a pointer can carry (`MAX_ERRNO`).
pub const MAX_ERRNO: u16 = 4095;

/// Tail calls in a row (`MAX_TAIL_CALL_CNT`).
pub const MAX_TAIL_CALLS: u32 = 33;
/// Bytes of copied arguments of a format (`MAX_BPRINTF_BIN_ARGS`).
pub const MAX_PRINTED_BYTES: usize = 512;
/// Arguments of a format (`MAX_BPRINTF_VARARGS`).
pub const MAX_PRINTED: u64 = 12;
/// Bytes of a printed line with its zero (`MAX_BPRINTF_BUF`).
pub const MAX_LINE: usize = 1024;
/// Bytes that an iterator's program may print of one object (`BPF_SEQ_BUF_SIZE`).
pub const SEQUENCE_BYTES: usize = 8 * 4096;
/// Bytes of a TCP header without options, and of its options at most.
pub const TCP_HEADER: usize = 20;
/// See [`TCP_HEADER`].
pub const TCP_OPTIONS: usize = 40;
/// Words of an iterator over bits (`BITS_ITER_NR_WORDS_MAX`).
pub const MAX_ITERATED_WORDS: u32 = 511;
/// Bytes that string functions look at (`XATTR_SIZE_MAX`).
pub const MAX_STRING: u32 = 65536;
/// Frames in flight of a live run over XDP frames (`TEST_XDP_MAX_BATCH`).
pub const MAX_XDP_BATCH: u32 = 256;
/// Bytes of a path with its zero (`PATH_MAX`).
pub const MAX_PATH: usize = 4096;

/// Bytes of one allocation, where pages have 4 KiB (`KMALLOC_MAX_SIZE`).
pub const MAX_ALLOCATION: u64 = 4 << 20;
/// Bytes of one per-CPU allocation (`PCPU_MIN_UNIT_SIZE`).
pub const MAX_PERCPU_ALLOCATION: u64 = 32 << 10;
/// Frames in a CPU map's queue (`cpu_map_update_elem()`).
pub const MAX_QUEUE: u32 = 16384;
/// Addresses of a stack trace (`/proc/sys/kernel/perf_event_max_stack`, as it is set first).
pub const MAX_STACK_TRACE: usize = 127;

/// `sizeof(struct bpf_flow_keys)`
pub const FLOW_KEYS: usize = 56;
/// `sizeof(struct bpf_stack_build_id)`: an address as a build id and an offset.
pub const BUILD_ID: usize = 32;
/// `sizeof(struct bpf_dynptr)`
pub const DYNPTR: u64 = 16;
/// `sizeof(struct bpf_tcp_sock)`
pub const TCP_SOCK: usize = 112;
