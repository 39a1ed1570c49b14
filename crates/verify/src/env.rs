//! What a verdict depends on besides the program: the kernel's types, the machine,
//! and the privilege of who loads. Counterpart: `bpf_allow_ptr_leaks` and its
//! siblings in `include/linux/bpf.h`.

use std::sync::Arc;

use skep_btf::Btf;

bitflags::bitflags! {
    /// Capabilities that loading a program asks for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Caps: u8 {
        /// CAP_BPF.
        const BPF = 1;
        /// CAP_PERFMON.
        const PERFMON = 2;
        /// CAP_NET_ADMIN.
        const NET_ADMIN = 4;
        /// CAP_SYS_ADMIN, which stands for CAP_BPF and CAP_PERFMON too.
        const SYS_ADMIN = 8;
    }
}

impl Caps {
    /// Whether CAP_BPF is held, itself or through CAP_SYS_ADMIN.
    pub fn bpf(self) -> bool {
        self.intersects(Caps::BPF | Caps::SYS_ADMIN)
    }

    /// Whether CAP_PERFMON is held, itself or through CAP_SYS_ADMIN.
    pub fn perfmon(self) -> bool {
        self.intersects(Caps::PERFMON | Caps::SYS_ADMIN)
    }

    /// Whether CAP_NET_ADMIN is held. CAP_SYS_ADMIN stands for it here as in `bpf()`.
    pub fn net_admin(self) -> bool {
        self.intersects(Caps::NET_ADMIN | Caps::SYS_ADMIN)
    }
}

/// The kernel that would load the program, as far as a verdict depends on it.
#[derive(Clone, Debug)]
pub struct Env {
    /// Privilege of who loads.
    pub caps: Caps,
    /// BTF of the kernel; without it, programs that need kernel types get an error.
    pub vmlinux: Option<Arc<Btf>>,
    /// Number of possible CPUs.
    pub cpus: u32,
    /// Whether the kernel guards against speculation (no `mitigations=off`).
    pub mitigations: bool,
}

impl Default for Env {
    fn default() -> Env {
        Env { caps: Caps::all(), vmlinux: None, cpus: 1, mitigations: true }
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
        let perfmon = env.caps.perfmon();
        let bypass = perfmon || !env.mitigations;
        Rights {
            bpf: env.caps.bpf(),
            leak_pointers: perfmon,
            read_uninit_stack: perfmon,
            bypass_spec_v1: bypass,
            bypass_spec_v4: bypass,
        }
    }
}
