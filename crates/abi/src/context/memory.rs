//! Contexts without fields of their own: registers, arguments, records. They are memory as it
//! seems, of which programs may read some bytes from the start on. Counterparts:
//! `kprobe_prog_is_valid_access` and its like in `kernel/trace/bpf_trace.c`.

use crate::ProgType;

/// Bytes of a register, or of an argument of a function or tracepoint.
pub const WORD: u32 = 8;
/// Most arguments of a raw tracepoint, or of a function (`MAX_BPF_FUNC_ARGS`).
pub const MOST_ARGUMENTS: u32 = 12;
/// `struct pt_regs` of x86-64.
pub const REGISTERS: u32 = 168;
/// Largest record of a tracepoint that programs see (`PERF_MAX_TRACE_SIZE`).
pub const MOST_RECORD: u32 = 8192;
/// Largest context of a syscall program (`U16_MAX`).
pub const MOST_SYSCALL: u32 = 0xffff;
/// `struct bpf_perf_event_data`: registers, the period of the samples, an address.
pub const PERF_EVENT_DATA: u32 = REGISTERS + 2 * WORD;

/// The most bytes that the context of such a program has; `None` where it has fields
/// ([`crate::Context::of`]) or there is none.
pub fn most_bytes(kind: ProgType) -> Option<u32> {
    Some(match kind {
        ProgType::Kprobe => REGISTERS,
        ProgType::PerfEvent => PERF_EVENT_DATA,
        ProgType::Tracepoint => MOST_RECORD,
        ProgType::RawTracepoint
        | ProgType::RawTracepointWritable
        | ProgType::Tracing
        | ProgType::Lsm => MOST_ARGUMENTS * WORD,
        ProgType::Syscall => MOST_SYSCALL,
        ProgType::LircMode2 => WORD / 2,
        _ => return None,
    })
}

/// Whether the context of such a program is memory as it seems, for the program and for what
/// it calls.
pub fn is_memory(kind: ProgType) -> bool {
    most_bytes(kind).is_some() || kind.row().context_is_memory
}
