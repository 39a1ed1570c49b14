//! The fields of contexts against the running Linux: each offset and size of each
//! program type, read and written, and what a read yields.

mod probe;

use std::sync::Arc;

use probe::Probe;
use skep_abi::{AttachType, ProgType, flags};
use skep_isa::{AluOp, Callee, Cond, Insn, Operand, Reg, Size, Width, encode};
use skep_verify::{Env, Log, Program, message, verify};

/// Every program type whose context has fields of its own, with the attach types by
/// which they differ, and the bytes to look at.
const PROGRAMS: &[(ProgType, &[u32], i16)] = &[
    (ProgType::SocketFilter, &[0], 200),
    (ProgType::Kprobe, &[0], 176),
    (ProgType::SchedCls, &[0], 200),
    (ProgType::Tracepoint, &[0], 24),
    (ProgType::Xdp, &[0, 35, 41], 32),
    (ProgType::PerfEvent, &[0], 192),
    (ProgType::CgroupSkb, &[0], 200),
    (ProgType::CgroupSock, &[2, 12, 13, 34], 88),
    (ProgType::LwtIn, &[0], 200),
    (ProgType::LwtXmit, &[0], 200),
    (ProgType::SockOps, &[3], 232),
    (ProgType::SkSkb, &[0], 200),
    (ProgType::CgroupDevice, &[6], 16),
    (ProgType::SkMsg, &[0], 88),
    (ProgType::RawTracepoint, &[0], 104),
    (ProgType::CgroupSockAddr, &[8, 9, 10, 11, 14, 15, 19, 20, 29, 31, 49, 50], 80),
    (ProgType::LwtSeg6local, &[0], 200),
    (ProgType::SkReuseport, &[39], 64),
    (ProgType::FlowDissector, &[0], 200),
    (ProgType::CgroupSysctl, &[18], 16),
    (ProgType::RawTracepointWritable, &[0], 104),
    (ProgType::CgroupSockopt, &[21, 22], 48),
    (ProgType::SkLookup, &[36], 80),
    (ProgType::Syscall, &[0], 24),
    (ProgType::Netfilter, &[45], 24),
];

const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::DW];

/// Accesses the context, and then what that yields, so that a message names its type.
fn programs(off: i16, size: Size) -> Vec<Vec<Insn>> {
    let done = Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R0, src: Operand::Imm(1) };
    let load = |signed| Insn::Load { size, signed, dst: Reg::R0, base: Reg::R1, off };
    let through = Insn::Load { size: Size::B, signed: false, dst: Reg::R0, base: Reg::R0, off: 0 };
    let store = Insn::Store { size, base: Reg::R1, off, src: Operand::Imm(0) };
    let mut all = vec![vec![load(false), through, done, Insn::Exit], vec![store, done, Insn::Exit]];
    if size == Size::W {
        all.push(vec![load(true), through, done, Insn::Exit]);
    }
    all
}

/// Where programs find a socket: what comes before the access to it through r1.
fn sockets() -> Vec<(ProgType, u32, i16, Vec<Insn>)> {
    let sock = |off| Insn::Load { size: Size::DW, signed: false, dst: Reg::R1, base: Reg::R1, off };
    let unless_null = |reg, off| Insn::Branch {
        cond: Cond::Ne,
        width: Width::W64,
        dst: reg,
        src: Operand::Imm(0),
        off,
    };
    let give_up = [
        Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R0, src: Operand::Imm(1) },
        Insn::Exit,
    ];
    let common = [&[sock(168), unless_null(Reg::R1, 2)][..], &give_up].concat();
    let move_back =
        Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: Reg::R1, src: Operand::Reg(Reg::R0) };
    let cast = |helper| {
        let call = Insn::Call(Callee::Helper(helper));
        [&common[..], &[call, unless_null(Reg::R0, 2)], &give_up, &[move_back]].concat()
    };
    const SK_FULLSOCK: u32 = 95;
    const TCP_SOCK: u32 = 96;
    vec![
        (ProgType::SchedCls, 0, 88, common.clone()),
        (ProgType::SchedCls, 0, 88, cast(SK_FULLSOCK)),
        (ProgType::SchedCls, 0, 120, cast(TCP_SOCK)),
        (ProgType::CgroupSockAddr, 8, 88, vec![sock(64)]),
    ]
}

struct Comparison {
    probe: Probe,
    env: Env,
    compared: usize,
    wrong: Vec<String>,
}

impl Comparison {
    /// Puts a program to both; false where Linux has nothing like it.
    fn compare(&mut self, kind: ProgType, attach_type: u32, insns: &[Insn], what: Insn) -> bool {
        let flags = if kind == ProgType::Syscall { flags::prog::SLEEPABLE } else { 0 };
        let known = AttachType::from_number(attach_type).unwrap();
        let answer = self.probe.load(kind, known, flags, insns);
        if answer.result.is_err() && answer.log.is_empty() {
            println!("skipped: {kind} {attach_type}: {:?}", answer.result);
            return false;
        }
        let slots = encode(insns);
        let program =
            Arc::new(Program { slots, kind, attach_type, flags, gpl: true, ..Program::default() });
        let mut log = Log::new(1);
        let ours = verify(&program, &self.env, &mut log).is_ok();
        let (theirs, text) = (answer.result.is_ok(), message(log.text()));
        self.compared += 1;
        if ours != theirs || (!ours && text != message(&answer.log)) {
            let said = message(&answer.log);
            self.wrong.push(format!("{kind} {attach_type} {what:?}: {said} | {text}"));
        }
        true
    }
}

#[test]
fn linux_gives_the_same_fields_of_the_same_types() {
    let Some(probe) = Probe::new() else { return };
    let vmlinux = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    let vmlinux = vmlinux.and_then(|raw| skep_btf::Btf::parse(raw).ok()).map(Arc::new);
    let env = Env { vmlinux, ..Env::default() };
    let mut both = Comparison { probe, env, compared: 0, wrong: Vec::new() };
    for (kind, attach_types, len) in PROGRAMS {
        'attach: for attach_type in *attach_types {
            // Linux takes a negative offset for a large one there, and lets it pass.
            let first = if *kind == ProgType::Tracepoint { 0 } else { -1 };
            for off in first..*len {
                for insns in SIZES.iter().flat_map(|size| programs(off, *size)) {
                    if !both.compare(*kind, *attach_type, &insns, insns[0]) {
                        continue 'attach;
                    }
                }
            }
        }
    }
    for (kind, attach_type, len, before) in sockets() {
        for off in -1..len {
            for access in SIZES.iter().flat_map(|size| programs(off, *size)) {
                let insns = [&before[..], &access].concat();
                both.compare(kind, attach_type, &insns, access[0]);
            }
        }
    }
    println!("{} accesses compared", both.compared);
    assert!(both.wrong.is_empty(), "{}: {:#?}", both.wrong.len(), both.wrong);
}
