//! What a verdict depends on besides the program: the kernel's types, the machine,
//! and the privilege of who loads. Counterpart: `bpf_allow_ptr_leaks` and its
//! siblings in `include/linux/bpf.h`.

use std::sync::Arc;

use skep_abi::Capabilities;
use skep_btf::Btf;

/// The kernel that would load the program, as far as a verdict depends on it.
#[derive(Clone, Debug)]
pub struct Env {
    /// Privilege of who loads.
    pub caps: Capabilities,
    /// BTF of the kernel; without it, programs that need kernel types get an error.
    pub vmlinux: Option<Arc<Btf>>,
    /// Number of possible CPUs.
    pub cpus: u32,
    /// Whether the kernel guards against speculation (no `mitigations=off`).
    pub mitigations: bool,
}

impl Default for Env {
    fn default() -> Env {
        Env { caps: Capabilities::all(), vmlinux: None, cpus: 1, mitigations: true }
    }
}

/// What a privilege set permits, each right on its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights {
    /// Loops, calls, precision tracking and much else (CAP_BPF).
    pub bpf: bool,
    /// Pointers may become numbers (CAP_PERFMON).
    pub leak_pointers: bool,
    /// Stack may be read before it is written (CAP_PERFMON).
    pub read_uninit_stack: bool,
    /// No guard against speculative out-of-bounds accesses.
    pub bypass_spec_v1: bool,
    /// No guard against speculative store bypass.
    pub bypass_spec_v4: bool,
}

impl Rights {
    pub(crate) fn of(env: &Env) -> Rights {
        let perfmon = env.caps.allow(Capabilities::PERFMON);
        let bypass = perfmon || !env.mitigations;
        Rights {
            bpf: env.caps.allow(Capabilities::BPF),
            leak_pointers: perfmon,
            read_uninit_stack: perfmon,
            bypass_spec_v1: bypass,
            bypass_spec_v4: bypass,
        }
    }
}
