//! What usually helps against a refusal.

use skep_abi::Reason;

/// Advice for a kind of refusal.
pub(super) fn of(reason: &Reason) -> Option<&'static str> {
    use Reason as R;
    Some(match reason {
        R::Access { kind, .. } if kind.ends_with("_or_null") => {
            "compare the pointer with NULL before using it: `if (!p) return 0;`"
        }
        R::Access { kind, .. } if kind == "scalar" => {
            "this is a number, not a pointer: read through it with bpf_probe_read_kernel() or \
             bpf_core_read(); if it was a pointer, look for arithmetic or a call that lost it"
        }
        R::ArithmeticOnNullable { .. } => {
            "compare the pointer with NULL before adding to it: `if (!p) return 0;`"
        }
        R::OutsidePacket { .. } => {
            "compare with data_end first, on this very pointer: `if ((void *)(p + 1) > data_end) \
             return XDP_PASS;`"
        }
        R::MinNegative { .. } | R::SizeNegative { .. } => {
            "the value may be negative: make it unsigned, or mask it (`i &= SIZE - 1`), or check \
             `i >= 0`"
        }
        R::MaxOutside { .. } | R::Unbounded { .. } | R::SizeUnbounded { .. } => {
            "bound the index right before the access: `if (i >= SIZE) return 0;` or `i &= SIZE - \
             1` (a power of two); if the compiler moved the check to another register, keep the \
             index in a `volatile` or a barrier_var()"
        }
        R::MinOutside { .. } => "the access starts before the memory; check the lower bound, too",
        R::NotReadable { .. } => {
            "the register holds nothing on this path: give the variable a value at its \
             declaration, and mind that calls clear r1 to r5"
        }
        R::StackRead { .. } | R::StackHelperRead { .. } | R::StackHelperReadVariable { .. } => {
            "this part of the stack was not written on this path; initialise the whole variable, \
             padding included: `struct key k = {};` or __builtin_memset()"
        }
        R::InfiniteLoop { .. } => {
            "bound the loop by a constant and let the counter change on every path, or use \
             bpf_loop(), bpf_for() or a `may_goto` loop"
        }
        R::BackEdge { .. } => {
            "loops need CAP_BPF; unroll this one (`#pragma unroll`) or load with CAP_BPF"
        }
        R::TooLarge { .. } | R::TooManyJumps { .. } | R::TooMuchMemory { .. } => {
            "there are too many paths: fewer branches in the loop, a smaller bound, bpf_loop(), or \
             static functions made global (`__noinline`, without `static`), which are verified once"
        }
        R::StackCombined { .. } | R::StackOfSubprog { .. } => {
            "512 bytes of stack for a chain of calls: move large variables into a per-CPU array map"
        }
        R::UnreachableInsn { .. } => "no path leads here: remove it, or let some branch reach it",
        R::Unreleased { .. } | R::LeaksReference { .. } => {
            "what was acquired must be given back on every path: bpf_ringbuf_submit() or \
             bpf_ringbuf_discard(), bpf_sk_release(), the kfunc's counterpart"
        }
        R::CtxAccess { .. } => {
            "the context has no such field for this program type, or not in this size; see the \
             type's struct in linux/bpf.h, and read whole fields"
        }
        R::ReturnRange { .. } | R::ReturnUnknown { .. } => {
            "this program type may return only those values; check every return statement"
        }
        R::InvalidHelper { .. } => "this helper does not exist in Linux 6.18",
        R::HelperNotForType { .. } => {
            "use another helper, or another program type; `bpftool feature probe` lists which \
             helper is for which"
        }
        R::HelperGpl | R::KfuncGpl => {
            "declare a licence: char LICENSE[] SEC(\"license\") = \"GPL\";"
        }
        R::PossiblyNull { .. } => "compare the pointer with NULL before the call",
        R::LeaksToMap { .. }
        | R::LeaksToMem { .. }
        | R::LeaksToCtx { .. }
        | R::LeaksToPacket { .. }
        | R::LeaksToHelper { .. }
        | R::LeaksAsReturn { .. } => {
            "an address would become visible to user space, which takes CAP_PERFMON"
        }
        R::CannotWrite { .. } => "this memory is read-only for programs of this type",
        R::CallsNeedCapBpf => "functions need CAP_BPF; inline them (`static __always_inline`)",
        R::FramesTooDeep { .. } | R::CallStackTooDeep { .. } => {
            "at most 8 functions may call each other; inline some of them"
        }
        R::SizeZero { .. } => {
            "the size may be 0; check `if (size == 0) return 0;` first, or add 1 to a masked value"
        }
        R::ArgType { expected, .. } if expected.contains("map_ptr") => {
            "the helper takes the map itself: `&map`"
        }
        R::Misaligned { .. } | R::MisalignedPacket { .. } => {
            "align the access, or read bytewise (`__attribute__((packed))`)"
        }
        _ => return None,
    })
}
