//! Which attach types a program type takes, before anything is verified. Counterpart:
//! `bpf_prog_load_fixup_attach_type`, `bpf_prog_load_check_attach`.

use std::sync::Arc;

use skep_abi::{AttachType as A, ProgType};

use crate::program::Program;

/// The program with the attach type that it gets where it names none; `None` where it
/// names one that its type does not take, or is of no type.
pub(crate) fn settled(program: &Arc<Program>) -> Option<Arc<Program>> {
    let default = match program.kind {
        ProgType::CgroupSock => A::CgroupInetSockCreate as u32,
        ProgType::SkReuseport => A::SkReuseportSelect as u32,
        _ => 0,
    };
    let mut settled = Arc::clone(program);
    if program.attach_type == 0 && default != 0 {
        Arc::make_mut(&mut settled).attach_type = default;
    }
    let named = settled.attach_type;
    takes(program.kind)
        .is_none_or(|taken| taken.iter().any(|attach| *attach as u32 == named))
        .then_some(settled)
        .filter(|_| program.kind != ProgType::Unspec)
        .filter(|_| named == 0 || !matches!(program.kind, ProgType::Syscall | ProgType::Ext))
        .filter(|_| program.attach_btf_id == 0 || takes_btf_id(program.kind))
}

/// Whether programs of this type attach to what a BTF id names.
fn takes_btf_id(kind: ProgType) -> bool {
    matches!(kind, ProgType::Tracing | ProgType::Lsm | ProgType::StructOps | ProgType::Ext)
}

/// The attach types of a program type; `None` where it does not look at them here.
fn takes(kind: ProgType) -> Option<&'static [A]> {
    Some(match kind {
        ProgType::CgroupSock => &[
            A::CgroupInetSockCreate,
            A::CgroupInetSockRelease,
            A::CgroupInet4PostBind,
            A::CgroupInet6PostBind,
        ],
        ProgType::CgroupSockAddr => &[
            A::CgroupInet4Bind,
            A::CgroupInet6Bind,
            A::CgroupInet4Connect,
            A::CgroupInet6Connect,
            A::CgroupUnixConnect,
            A::CgroupInet4Getpeername,
            A::CgroupInet6Getpeername,
            A::CgroupUnixGetpeername,
            A::CgroupInet4Getsockname,
            A::CgroupInet6Getsockname,
            A::CgroupUnixGetsockname,
            A::CgroupUdp4Sendmsg,
            A::CgroupUdp6Sendmsg,
            A::CgroupUnixSendmsg,
            A::CgroupUdp4Recvmsg,
            A::CgroupUdp6Recvmsg,
            A::CgroupUnixRecvmsg,
        ],
        ProgType::CgroupSkb => &[A::CgroupInetIngress, A::CgroupInetEgress],
        ProgType::CgroupSockopt => &[A::CgroupGetsockopt, A::CgroupSetsockopt],
        ProgType::SkLookup => &[A::SkLookup],
        ProgType::SkReuseport => &[A::SkReuseportSelect, A::SkReuseportSelectOrMigrate],
        ProgType::Netfilter => &[A::Netfilter],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(kind: ProgType, attach_type: u32) -> Arc<Program> {
        Arc::new(Program { kind, attach_type, ..Program::default() })
    }

    #[test]
    fn a_socket_program_without_an_attach_type_is_for_creation() {
        let settled = settled(&program(ProgType::CgroupSock, 0)).map(|of| of.attach_type);
        assert_eq!(settled, Some(A::CgroupInetSockCreate as u32));
    }

    #[test]
    fn attach_types_of_others_are_refused() {
        assert!(settled(&program(ProgType::CgroupSkb, A::Xdp as u32)).is_none());
        assert!(settled(&program(ProgType::Kprobe, A::Xdp as u32)).is_some());
        assert!(settled(&program(ProgType::Syscall, 1)).is_none());
    }
}
