//! The kernel functions (kfuncs) that programs may call in Linux 6.18: `rows` holds
//! the table. Names and prototypes are in the kernel's BTF; what is not there, which
//! programs may call one and what the verifier has to watch, is here. Counterpart:
//! the `BTF_ID_FLAGS` sets of the kernel and `register_btf_kfunc_id_set`.

pub mod id;
mod rows;

use crate::{AttachType, Callback, ProgType, Version};
use rows::KFUNCS;

bitflags::bitflags! {
    /// What the verifier has to watch (`KF_*` of `include/linux/btf.h`).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct KfuncFlags: u16 {
        /// Yields a reference.
        const ACQUIRE = 1 << 0;
        /// Takes a reference back.
        const RELEASE = 1 << 1;
        /// May yield null.
        const RET_NULL = 1 << 2;
        /// Takes only pointers that the kernel vouches for.
        const TRUSTED_ARGS = 1 << 3;
        /// May sleep.
        const SLEEPABLE = 1 << 4;
        /// May bring the machine down; needs CAP_SYS_BOOT.
        const DESTRUCTIVE = 1 << 5;
        /// Takes pointers that RCU protects, too.
        const RCU = 1 << 6;
        /// Begins an iteration.
        const ITER_NEW = 1 << 7;
        /// Yields the next element.
        const ITER_NEXT = 1 << 8;
        /// Ends an iteration.
        const ITER_DESTROY = 1 << 9;
        /// Only in an RCU section, which protects what it yields.
        const RCU_PROTECTED = 1 << 10;
        /// Leaves r1 to r5 as they are.
        const FASTCALL = 1 << 11;
    }
}

/// A group of program types that get the same kernel functions (`enum btf_kfunc_hook`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KfuncHook {
    /// Every program.
    Common,
    /// XDP.
    Xdp,
    /// Traffic control's classifiers.
    Tc,
    /// Traffic control's actions.
    SchedAct,
    /// `struct_ops`.
    StructOps,
    /// Typed tracing, LSM, tracepoints, perf events.
    Tracing,
    /// Programs run by system call.
    Syscall,
    /// Programs attached to cgroups.
    Cgroup,
    /// Stream parsers and verdicts.
    SkSkb,
    /// Socket filters.
    SocketFilter,
    /// Light-weight tunnels.
    Lwt,
    /// Netfilter.
    Netfilter,
    /// Kernel probes.
    Kprobe,
}

impl KfuncHook {
    /// The group of a program type, besides [`KfuncHook::Common`].
    pub fn of(prog_type: ProgType) -> Option<KfuncHook> {
        Some(match prog_type {
            ProgType::Xdp => KfuncHook::Xdp,
            ProgType::SchedCls => KfuncHook::Tc,
            ProgType::SchedAct => KfuncHook::SchedAct,
            ProgType::StructOps => KfuncHook::StructOps,
            ProgType::Tracing | ProgType::Tracepoint | ProgType::PerfEvent | ProgType::Lsm => {
                KfuncHook::Tracing
            }
            ProgType::Syscall => KfuncHook::Syscall,
            ProgType::CgroupSkb
            | ProgType::CgroupSock
            | ProgType::CgroupDevice
            | ProgType::CgroupSockAddr
            | ProgType::CgroupSockopt
            | ProgType::CgroupSysctl
            | ProgType::SockOps => KfuncHook::Cgroup,
            ProgType::SkSkb => KfuncHook::SkSkb,
            ProgType::SocketFilter => KfuncHook::SocketFilter,
            ProgType::LwtIn | ProgType::LwtOut | ProgType::LwtXmit | ProgType::LwtSeg6local => {
                KfuncHook::Lwt
            }
            ProgType::Netfilter => KfuncHook::Netfilter,
            ProgType::Kprobe => KfuncHook::Kprobe,
            _ => return None,
        })
    }
}

/// Who of a hook's programs gets a function (`btf_kfunc_filter_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KfuncFilter {
    /// All of them.
    None,
    /// Only LSM programs.
    Lsm,
    /// Only iterators.
    Iterators,
    /// Only sessions of kernel probes.
    Sessions,
}

/// One kernel function.
#[derive(Debug, PartialEq, Eq)]
pub struct Kfunc {
    /// Name: `bpf_task_acquire`.
    pub name: &'static str,
    /// What the verifier has to watch.
    pub flags: KfuncFlags,
    /// Which programs may call it.
    pub hooks: &'static [KfuncHook],
    /// Which of these may not.
    pub filter: KfuncFilter,
    /// The first version of Linux that has it under this name.
    pub since: Version,
    /// How it calls a subprogram, if it does.
    pub callback: Option<Callback>,
    /// Why the embedded kernel leaves it to Linux.
    pub linux_only: Option<&'static str>,
}

impl Kfunc {
    /// The function with this name.
    pub fn from_name(name: &str) -> Option<&'static Kfunc> {
        KFUNCS.iter().find(|row| row.name == name)
    }

    /// Its place in the table: what linked code calls it by ([`id`]).
    pub fn number(&self) -> u32 {
        let at = KFUNCS.iter().position(|row| std::ptr::eq(row, self) || row.name == self.name);
        at.unwrap_or(KFUNCS.len()) as u32
    }

    /// The row with this number.
    pub fn from_number(number: u32) -> Option<&'static Kfunc> {
        KFUNCS.get(number as usize)
    }

    /// Every row.
    pub const fn all() -> &'static [Kfunc] {
        KFUNCS
    }

    /// Whether programs of this type, attached like this, may call it.
    pub fn is_offered(&self, prog_type: ProgType, attach_type: Option<AttachType>) -> bool {
        let hook = KfuncHook::of(prog_type);
        let offered = self.hooks.contains(&KfuncHook::Common)
            || hook.is_some_and(|hook| self.hooks.contains(&hook));
        let passes = match self.filter {
            KfuncFilter::None => true,
            KfuncFilter::Lsm => prog_type == ProgType::Lsm,
            KfuncFilter::Iterators => attach_type == Some(AttachType::TraceIter),
            KfuncFilter::Sessions => matches!(
                attach_type,
                Some(AttachType::TraceKprobeSession | AttachType::TraceUprobeSession)
            ),
        };
        offered && passes
    }

    /// Whether it has this flag.
    pub fn has(&self, flag: KfuncFlags) -> bool {
        self.flags.contains(flag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_has_one_row() {
        for (index, row) in Kfunc::all().iter().enumerate() {
            let same = Kfunc::all().iter().position(|other| other.name == row.name);
            assert_eq!(same, Some(index), "{}", row.name);
        }
    }

    #[test]
    fn an_iterator_has_all_three_of_its_functions() {
        for row in Kfunc::all().iter().filter(|row| row.has(KfuncFlags::ITER_NEW)) {
            let stem = row.name.strip_suffix("_new").expect("a constructor's name");
            for (suffix, flag) in
                [("next", KfuncFlags::ITER_NEXT), ("destroy", KfuncFlags::ITER_DESTROY)]
            {
                let other = Kfunc::from_name(&format!("{stem}_{suffix}")).expect("its sibling");
                assert!(other.has(flag), "{}", other.name);
            }
        }
    }
}
