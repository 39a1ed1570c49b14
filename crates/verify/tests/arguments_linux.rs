//! Calls with random arguments against the running Linux: helpers and kernel functions
//! take the same registers, and yield what can be used in the same way.

mod probe;

use std::sync::Arc;

use probe::Probe;
use skep_abi::helper::id;
use skep_abi::{
    ArgKind, AttachType, Caller, Capabilities, Helper, Kfunc, MapType, ProgType, flags,
};
use skep_btf::{Btf, Kind};
use skep_isa::{AluOp, Callee, Cond, Imm64, ImmKind, Insn, Operand, Reg, Size, Width, encode};
use skep_sys::{Command, Kernel, Linux, MapCreate};
use skep_verify::{Env, Log, MapDef, MapRef, Program, verify};

/// A program type with an attach type, and where its context has a packet's start and
/// end, and a socket.
type Row = (ProgType, u32, Option<(i16, i16)>, Option<i16>);

const PROGRAMS: &[Row] = &[
    (ProgType::SchedCls, 0, Some((76, 80)), Some(168)),
    (ProgType::Xdp, 0, Some((0, 4)), None),
    (ProgType::Kprobe, 0, None, None),
    (ProgType::RawTracepoint, 0, None, None),
    (ProgType::PerfEvent, 0, None, None),
    (ProgType::CgroupSkb, 0, Some((76, 80)), Some(168)),
    (ProgType::CgroupSockAddr, 10, None, Some(64)),
    (ProgType::SockOps, 3, None, Some(184)),
    (ProgType::SkSkb, 5, Some((76, 80)), Some(168)),
    (ProgType::SkMsg, 7, None, Some(72)),
    (ProgType::Syscall, 0, None, None),
    (ProgType::LwtXmit, 0, Some((76, 80)), None),
    (ProgType::SkLookup, 36, None, Some(0)),
    (ProgType::SkReuseport, 39, None, Some(40)),
    (ProgType::CgroupSockopt, 21, None, Some(0)),
    (ProgType::SocketFilter, 0, None, None),
    (ProgType::CgroupSysctl, 18, None, None),
    (ProgType::Netfilter, 45, None, Some(8)),
];

/// Types of maps, with the sizes of key and value and the number of elements. (None of
/// those that remember which type of program first used them.)
const MAPS: &[(MapType, u32, u32, u32)] = &[
    (MapType::Array, 4, 64, 4),
    (MapType::Hash, 8, 16, 4),
    (MapType::PerfEventArray, 4, 4, 4),
    (MapType::Ringbuf, 0, 0, 4096),
    (MapType::StackTrace, 4, 64, 4),
    (MapType::Sockmap, 4, 4, 4),
    (MapType::Sockhash, 4, 4, 4),
    (MapType::Queue, 0, 8, 4),
    (MapType::BloomFilter, 0, 8, 4),
    (MapType::PercpuArray, 4, 8, 4),
    (MapType::CgroupArray, 4, 4, 4),
    (MapType::UserRingbuf, 0, 0, 4096),
    (MapType::Xskmap, 4, 4, 4),
    (MapType::ReuseportSockarray, 4, 8, 4),
];

struct Random(fastrand::Rng);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0.usize(..limit)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn mov(dst: Reg, src: Operand) -> Insn {
    Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src }
}

fn add(dst: Reg, imm: i32) -> Insn {
    Insn::Alu { op: AluOp::Add, width: Width::W64, dst, src: Operand::Imm(imm) }
}

fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::Load { size, signed: false, dst, base, off }
}

fn map(dst: Reg, fd: i32) -> [Insn; 2] {
    let imm = Imm64 { kind: ImmKind::MapFd, lo: fd as u32, hi: 0 };
    [Insn::LoadImm64 { dst, imm }, Insn::Hole]
}

/// Goes on where the condition holds, and returns 1 where it does not.
fn only_if(cond: Cond, dst: Reg, src: Operand) -> [Insn; 3] {
    let branch = Insn::Branch { cond, width: Width::W64, dst, src, off: 2 };
    [branch, mov(Reg::R0, Operand::Imm(1)), Insn::Exit]
}

/// The context in r6, a map's value in r7, a packet or number in r8, a socket or number
/// in r9, and 64 bytes of zeroed stack.
fn prologue(
    random: &mut Random,
    array: i32,
    packet: Option<(i16, i16)>,
    socket: Option<i16>,
) -> Vec<Insn> {
    let mut insns = vec![mov(Reg::R6, Operand::Reg(Reg::R1))];
    insns.extend((1..=8).map(|slot| Insn::Store {
        size: Size::DW,
        base: Reg::R10,
        off: -8 * slot,
        src: Operand::Imm(0),
    }));
    insns.extend(map(Reg::R1, array));
    insns.extend([mov(Reg::R2, Operand::Reg(Reg::R10)), add(Reg::R2, -8)]);
    insns.push(Insn::Call(Callee::Helper(id::MAP_LOOKUP_ELEM)));
    insns.extend(only_if(Cond::Ne, Reg::R0, Operand::Imm(0)));
    insns.push(mov(Reg::R7, Operand::Reg(Reg::R0)));
    match packet {
        Some((start, end)) => {
            insns.extend([
                load(Size::W, Reg::R8, Reg::R6, start),
                load(Size::W, Reg::R1, Reg::R6, end),
                mov(Reg::R2, Operand::Reg(Reg::R8)),
                add(Reg::R2, 32),
            ]);
            insns.extend(only_if(Cond::Le, Reg::R2, Operand::Reg(Reg::R1)));
        }
        None => insns.push(load(Size::W, Reg::R8, Reg::R7, 0)),
    }
    match socket {
        Some(off) => {
            insns.push(load(Size::DW, Reg::R9, Reg::R6, off));
            if random.below(4) > 0 {
                insns.extend(only_if(Cond::Ne, Reg::R9, Operand::Imm(0)));
            }
        }
        None => insns.push(load(Size::DW, Reg::R9, Reg::R7, 8)),
    }
    insns
}

/// Something for an argument, mostly of a kind that would do.
fn argument(random: &mut Random, reg: Reg, kind: Option<ArgKind>, fds: &[i32]) -> Vec<Insn> {
    use ArgKind as K;
    let fitting: &[u32] = match kind {
        _ if random.below(10) >= 7 => &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        Some(K::Context) => &[0],
        Some(K::Map) => &[9],
        Some(K::MapKey | K::MapValue | K::Mem | K::FixedMem(_) | K::Dynptr | K::Stack) => {
            &[1, 2, 3, 4, 4, 5]
        }
        Some(K::Size | K::SizeOrZero | K::AllocSize | K::Anything) => &[6, 7, 8],
        Some(_) => &[2, 3],
        None => &[0, 1, 2, 3, 4, 4, 6, 7, 9],
    };
    let stack = |off| vec![mov(reg, Operand::Reg(Reg::R10)), add(reg, off)];
    match random.of(fitting) {
        0 => vec![mov(reg, Operand::Reg(Reg::R6))],
        1 => vec![
            mov(reg, Operand::Reg(Reg::R7)),
            add(reg, random.of(&[0, 0, 4, 8, 32, 60, 64, -4])),
        ],
        2 => vec![mov(reg, Operand::Reg(Reg::R8))],
        3 => vec![mov(reg, Operand::Reg(Reg::R9))],
        4 => stack(random.of(&[-64, -32, -16, -8, -12])),
        5 => stack(random.of(&[-128, -72, -512, -520, -70])),
        6 => vec![mov(reg, Operand::Imm(0))],
        7 => vec![mov(reg, Operand::Imm(random.of(&[1, 4, 8, 16, 32, 64, 65, -1])))],
        8 => vec![load(random.of(&[Size::B, Size::W, Size::DW]), reg, Reg::R7, 0)],
        _ => map(reg, random.of(fds)).to_vec(),
    }
}

struct Comparison {
    probe: Probe,
    env: Env,
    maps: Vec<MapRef>,
    accepted: usize,
    compared: usize,
    wrong: Vec<String>,
}

impl Comparison {
    fn new(probe: Probe) -> Option<Comparison> {
        let raw = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
        let vmlinux = Some(Arc::new(Btf::parse(raw).ok()?));
        let linux = Linux::new();
        let create = |&(kind, key_size, value_size, max_entries): &(MapType, u32, u32, u32)| {
            let map_type = kind as u32;
            let create =
                MapCreate { map_type, key_size, value_size, max_entries, ..MapCreate::default() };
            let fd = linux.bpf(&mut Command::MapCreate(create)).ok()? as i32;
            let map = MapDef { kind, key_size, value_size, max_entries, ..MapDef::default() };
            Some(MapRef { fd, map: Arc::new(map) })
        };
        let maps = MAPS.iter().filter_map(create).collect();
        let env = Env { vmlinux, cpus: linux.possible_cpus(), ..Env::default() };
        Some(Comparison { probe, env, maps, accepted: 0, compared: 0, wrong: Vec::new() })
    }

    fn compare(
        &mut self,
        random: &mut Random,
        row: usize,
        callee: Callee,
        name: &str,
        kinds: &[Option<ArgKind>],
    ) {
        let (kind, number, packet, socket) = PROGRAMS[row];
        let fds: Vec<i32> = self.maps.iter().map(|map| map.fd).collect();
        let mut insns = prologue(random, fds[0], packet, socket);
        for (index, wanted) in kinds.iter().enumerate() {
            let reg = Reg::new(index as u8 + 1).unwrap();
            insns.extend(argument(random, reg, *wanted, &fds));
        }
        insns.push(Insn::Call(callee));
        if random.below(2) == 0 {
            if random.below(4) > 0 {
                insns.extend(only_if(Cond::Ne, Reg::R0, Operand::Imm(0)));
            }
            insns.push(load(Size::B, Reg::R0, Reg::R0, random.of(&[0, 8, 64])));
        }
        if random.below(4) == 0 {
            insns.push(load(Size::B, Reg::R1, Reg::R8, 0));
        }
        insns.extend([mov(Reg::R0, Operand::Imm(1)), Insn::Exit]);
        let flags = if kind == ProgType::Syscall { flags::prog::SLEEPABLE } else { 0 };
        let attach_type = AttachType::from_number(number).unwrap();
        let answer = self.probe.load(kind, attach_type, flags, &insns);
        if answer.result.is_err() && answer.log.is_empty() {
            return;
        }
        let program = Arc::new(Program {
            slots: encode(&insns),
            kind,
            attach_type: number,
            flags,
            gpl: true,
            maps: self.maps.clone(),
            ..Program::default()
        });
        let mut log = Log::new(1);
        let ours = verify(&program, &self.env, &mut log).is_ok();
        self.compared += 1;
        self.accepted += usize::from(ours);
        if ours != answer.result.is_ok() {
            let (theirs, log) = (answer.log, log.text());
            self.wrong.push(format!("{kind} {name}\n--- Linux\n{theirs}\n--- skep\n{log}"));
        }
    }

    fn report(&self) {
        println!("{} calls compared, {} accepted", self.compared, self.accepted);
        let few: String = self.wrong.iter().take(3).cloned().collect();
        assert!(self.wrong.is_empty(), "{} differ:\n{few}", self.wrong.len());
    }
}

#[test]
fn linux_lets_the_same_calls_of_helpers_pass() {
    let Some(mut both) = Probe::new().and_then(Comparison::new) else { return };
    let mut random = Random(fastrand::Rng::with_seed(1));
    for _ in 0..8000 {
        let row = random.below(PROGRAMS.len());
        let helper = &Helper::all()[random.below(Helper::all().len())];
        // Not in every Linux.
        if matches!(helper.name, "bpf_probe_write_user" | "bpf_override_return") {
            continue;
        }
        let caller = Caller {
            prog_type: PROGRAMS[row].0,
            attach_type: AttachType::from_number(PROGRAMS[row].1).unwrap(),
            capabilities: Capabilities::all(),
            target: None,
        };
        let Some(proto) = helper.proto(&caller) else { continue };
        let kinds: Vec<_> = proto.args.iter().map(|arg| Some(arg.kind)).collect();
        both.compare(&mut random, row, Callee::Helper(helper.id), helper.name, &kinds);
    }
    both.report();
}

#[test]
fn linux_lets_the_same_calls_of_kernel_functions_pass() {
    let Some(mut both) = Probe::new().and_then(Comparison::new) else { return };
    let Some(vmlinux) = both.env.vmlinux.clone() else { return };
    let mut random = Random(fastrand::Rng::with_seed(1));
    for _ in 0..12000 {
        let row = random.below(PROGRAMS.len());
        let kfunc = &Kfunc::all()[random.below(Kfunc::all().len())];
        let Some(id) = vmlinux.find(kfunc.name, Kind::Func) else { continue };
        let callee = Callee::Kfunc { btf_id: id as i32, module: 0 };
        both.compare(&mut random, row, callee, kfunc.name, &[None; 5]);
    }
    both.report();
}
