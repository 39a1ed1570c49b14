//! The capabilities that decide what a program may do (`capabilities(7)`).

bitflags::bitflags! {
    /// The set that the loader of a program holds. Without any of them it is
    /// unprivileged.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Capabilities: u8 {
        /// CAP_BPF: most program types, bounded loops, precise tracking.
        const BPF = 1;
        /// CAP_PERFMON: tracing, reading kernel memory, pointer leaks.
        const PERFMON = 2;
        /// CAP_NET_ADMIN: networking program types.
        const NET_ADMIN = 4;
        /// CAP_SYS_ADMIN, which stands for each of the others.
        const SYS_ADMIN = 8;
    }
}

impl Capabilities {
    /// Whether every one of `needed` is held, or CAP_SYS_ADMIN in its place
    /// (`bpf_token_capable`).
    pub fn allow(self, needed: Capabilities) -> bool {
        self.contains(needed) || self.contains(Capabilities::SYS_ADMIN)
    }
}
