//! The table of helpers against the running Linux: which program may call which.

mod probe;

use std::sync::Once;

use probe::Probe;
use skep_abi::{AttachType, Caller, Capabilities, Helper, ProgType, flags};
use skep_isa::{Callee, Insn};

/// Every program type that can be loaded without a target, with its attach types.
const PROGRAMS: &[(ProgType, &[u32])] = &[
    (ProgType::SocketFilter, &[0]),
    (ProgType::Kprobe, &[0, 42, 48, 56, 57]),
    (ProgType::SchedCls, &[0]),
    (ProgType::SchedAct, &[0]),
    (ProgType::Tracepoint, &[0]),
    (ProgType::Xdp, &[0]),
    (ProgType::PerfEvent, &[0]),
    (ProgType::CgroupSkb, &[0, 1]),
    (ProgType::CgroupSock, &[2, 12, 13, 34]),
    (ProgType::LwtIn, &[0]),
    (ProgType::LwtOut, &[0]),
    (ProgType::LwtXmit, &[0]),
    (ProgType::SockOps, &[0]),
    (ProgType::SkSkb, &[0, 4, 5, 38]),
    (ProgType::CgroupDevice, &[0]),
    (ProgType::SkMsg, &[0]),
    (ProgType::RawTracepoint, &[0]),
    (ProgType::CgroupSockAddr, &[8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51, 52]),
    (ProgType::LwtSeg6local, &[0]),
    (ProgType::SkReuseport, &[39, 40]),
    (ProgType::FlowDissector, &[0]),
    (ProgType::CgroupSysctl, &[0]),
    (ProgType::RawTracepointWritable, &[0]),
    (ProgType::CgroupSockopt, &[21, 22]),
    (ProgType::SkLookup, &[36]),
    (ProgType::Syscall, &[0]),
    (ProgType::Netfilter, &[45]),
];

/// Linux leaves these two out where it is built without error injection, or locked
/// down; that is said once.
fn refused_by_configuration(log: &str, helper: &Helper) -> bool {
    static ONCE: [Once; 2] = [Once::new(), Once::new()];
    let index = match helper.name {
        "bpf_override_return" => 0,
        "bpf_probe_write_user" => 1,
        _ => return false,
    };
    let refused = log.contains("program of this type cannot use helper");
    if refused {
        ONCE[index].call_once(|| println!("skipped: {}: not in every Linux", helper.name));
    }
    refused
}

#[test]
fn linux_lets_the_same_programs_call_the_same_helpers() {
    let Some(probe) = Probe::new() else { return };
    let (mut compared, mut wrong) = (0, Vec::new());
    for (prog_type, attach_types) in PROGRAMS {
        for attach_type in *attach_types {
            let attach_type = AttachType::from_number(*attach_type).unwrap();
            let caller = Caller {
                prog_type: *prog_type,
                attach_type,
                capabilities: Capabilities::all(),
                target: None,
            };
            let sleepable = *prog_type == ProgType::Syscall;
            let prog_flags = if sleepable { flags::prog::SLEEPABLE } else { 0 };
            for helper in Helper::all() {
                let program = [Insn::Call(Callee::Helper(helper.id)), Insn::Exit];
                let answer = probe.load(*prog_type, attach_type, prog_flags, &program);
                if refused_by_configuration(&answer.log, helper) {
                    continue;
                }
                let refused = answer.log.contains("program of this type cannot use helper");
                if !refused && !answer.log.contains("processed ") {
                    println!("skipped: {prog_type} {attach_type}: {:?}", answer.result);
                    break;
                }
                compared += 1;
                if refused == helper.proto(&caller).is_some() {
                    wrong.push(format!("{prog_type} {attach_type} {}", helper.name));
                }
            }
        }
    }
    println!("{compared} pairs compared");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
