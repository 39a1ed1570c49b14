//! Classic programs on three engines: the interpreter, the translation compiled by the
//! embedded kernel, and Linux, which runs them on a pair of sockets (`SO_ATTACH_FILTER`). Of
//! Linux is seen how much of a packet arrives: the number that the program returned, up to
//! the packet's length.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use skep_abi::ProgType;
use skep_isa::classic::{
    Ancillary, Cond, Filter, Insn, Metadata, Op, Operand, Packet, Program, Reg, check, listing,
    translate,
};
use skep_isa::{Size, Slot, encode};
use skep_sys::{Command, Kernel, Output, ProgLoad};
use skep_vm::Vm;
use skep_vm::hooks::PacketHook;

use crate::inputs::Random;

const OPS: [Op; 10] =
    [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Or, Op::And, Op::Lsh, Op::Rsh, Op::Mod, Op::Xor];
const CONDS: [Cond; 4] = [Cond::Eq, Cond::Gt, Cond::Ge, Cond::Set];
const SIZES: [Size; 3] = [Size::B, Size::H, Size::W];

/// Numbers at which operations change what they do.
const EDGES: [u32; 10] = [0, 1, 2, 31, 32, 33, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];

/// Packets have so many bytes at least: the embedded kernel takes no shorter ones.
const LEAST: usize = 14;

/// Programs of one kernel, before it is made anew.
const PER_KERNEL: u64 = 500;

/// Runs of each program.
const INPUTS: usize = 6;

/// Compares so many random programs beside those of the edges. Gives whether all agree.
pub fn execute(count: u64, seed: u64) -> Result<bool> {
    let edges = edges();
    let mut random = Random::new(seed);
    let mut vm = Arc::new(Vm::with_cpus(1));
    let (mut ran, mut runs, mut wrong) = (0u64, 0u64, 0u64);
    let linux = attach(&[Insn::RetK(1).encode()]).is_ok();
    if !linux {
        println!("skipped: parity filter-classic: Linux attaches no filter here");
    }
    let all = edges.len() as u64 + count;
    for number in 0..all {
        let filters = match edges.get(number as usize) {
            Some(filters) => filters.clone(),
            None => program(&mut random),
        };
        if number % PER_KERNEL == 0 {
            vm = Arc::new(Vm::with_cpus(1));
        }
        let socket = if linux { Some(attach(&filters)?) } else { None };
        let mut hook = compiled(&vm, &filters).with_context(|| listing(&filters))?;
        let plain = Program::new(&filters)?;
        ran += 1;
        for _ in 0..INPUTS {
            let len = LEAST + random.index(50);
            let data = random.bytes(len);
            let metadata = Metadata::default();
            let packet = Packet { data: &data, len: len as u32, metadata: Some(&metadata) };
            let expected = plain.run(&packet);
            let found = hook.run(&data)?.retval;
            let arrived = match &socket {
                Some(socket) => arrives(socket, &data)?,
                None => expected.min(len as u32),
            };
            runs += 1;
            if found != expected || arrived != expected.min(len as u32) {
                wrong += 1;
                println!(
                    "{}on {data:02x?}: interpreter {expected:#x}, compiled {found:#x}, {arrived} \
                     bytes in Linux",
                    listing(&filters)
                );
                break;
            }
        }
    }
    println!("{runs} runs; {} programs of edges, {count} random ones", edges.len());
    println!("parity filter-classic: agree {} of {ran}", ran - wrong);
    Ok(wrong == 0 && edges.len() >= 200)
}

/// The program by the ordinary way: translated, verified, compiled.
fn compiled(vm: &Arc<Vm>, filters: &[Filter]) -> Result<PacketHook> {
    let slots: Vec<Slot> = encode(&translate(filters)?);
    let bytes = Slot::join(&slots);
    let mut log = vec![0; 1 << 14];
    let log_size = log.len() as u32;
    let load = ProgLoad {
        prog_type: ProgType::SocketFilter as u32,
        insn_cnt: slots.len() as u32,
        insns: Some(bytes[..].into()),
        license: Some(b"MIT\0"[..].into()),
        log_level: 1,
        log_size,
        log_buf: Output::Slice(&mut log),
        ..ProgLoad::default()
    };
    match vm.bpf(&mut Command::ProgLoad(Box::new(load))) {
        Ok(fd) => Ok(PacketHook::new(vm, fd as i32)?),
        Err(errno) => bail!("refused: {errno}\n{}", String::from_utf8_lossy(&log)),
    }
}

/// Two sockets; what arrives at the second goes through the filter.
struct Pair(UnixDatagram, UnixDatagram);

fn attach(filters: &[Filter]) -> Result<Pair> {
    let (from, to) = UnixDatagram::pair()?;
    to.set_nonblocking(true)?;
    let program: Vec<[u8; 8]> = filters.iter().map(|filter| filter.to_bytes()).collect();
    skep_sys::host::packet::attach_filter(to.as_fd(), &program)
        .with_context(|| format!("Linux refuses\n{}", listing(filters)))?;
    Ok(Pair(from, to))
}

/// How many bytes arrive.
fn arrives(Pair(from, to): &Pair, data: &[u8]) -> Result<u32> {
    from.send(data)?;
    let mut buffer = [0; 256];
    match to.recv(&mut buffer) {
        Ok(len) => Ok(len as u32),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Each opcode with the numbers at which it does something else; those that Linux takes.
fn edges() -> Vec<Vec<Filter>> {
    let mut all: Vec<Vec<Insn>> = Vec::new();
    let a = |k| Insn::LoadImm(Reg::A, k);
    let x = |k| Insn::LoadImm(Reg::X, k);
    // What is returned is also seen where its lower part is zero.
    let show = [Insn::Store(Reg::A, 0), Insn::Alu(Op::Rsh, Operand::K(8)), Insn::Tax];
    let shown = |mut code: Vec<Insn>| {
        code.extend(show);
        code.extend([Insn::LoadMem(Reg::A, 0), Insn::Alu(Op::And, Operand::K(0xff))]);
        code.extend([Insn::Alu(Op::Add, Operand::X), Insn::RetA]);
        code
    };
    for op in OPS {
        for (left, right) in EDGES.into_iter().zip(EDGES.into_iter().rev()) {
            all.push(shown(vec![a(left), Insn::Alu(op, Operand::K(right))]));
            all.push(shown(vec![a(left), x(right), Insn::Alu(op, Operand::X)]));
        }
    }
    for cond in CONDS {
        for (left, right) in EDGES.into_iter().zip(EDGES.into_iter().skip(1)) {
            for src in [Operand::K(right), Operand::X] {
                let (jt, jf) = (1, 0);
                let branch = Insn::Branch { cond, src, jt, jf };
                all.push(vec![a(left), x(right), branch, Insn::RetK(3), Insn::RetK(5)]);
                all.push(vec![a(right), x(right), branch, Insn::RetK(3), Insn::RetK(5)]);
            }
        }
    }
    for size in SIZES {
        for offset in [0, 1, 9, 10, 11, 12, 13, 14, 40, 63, 64, 0x7fff_ffff] {
            all.push(vec![Insn::LoadAbs { size, offset }, Insn::RetA]);
            all.push(vec![x(offset as u32), Insn::LoadInd { size, offset: 0 }, Insn::RetA]);
            all.push(vec![x(3), Insn::LoadInd { size, offset: offset.max(3) - 3 }, Insn::RetA]);
        }
    }
    for offset in [0, 13, 14, 63, 64] {
        all.push(vec![Insn::LoadHeaderLen { offset }, Insn::Txa, Insn::RetA]);
    }
    for cell in 0..16 {
        all.push(vec![
            a(7),
            Insn::Store(Reg::A, cell),
            Insn::LoadMem(Reg::X, cell),
            Insn::Txa,
            Insn::RetA,
        ]);
        all.push(vec![x(9), Insn::Store(Reg::X, cell), Insn::LoadMem(Reg::A, cell), Insn::RetA]);
    }
    for reg in [Reg::A, Reg::X] {
        all.push(vec![Insn::LoadLen(reg), Insn::RetA]);
        all.push(vec![Insn::LoadLen(reg), Insn::Txa, Insn::RetA]);
    }
    for k in EDGES {
        all.push(shown(vec![a(k), Insn::Neg]));
        all.push(vec![Insn::RetK(k)]);
        all.push(vec![a(k), Insn::Tax, a(0), Insn::Txa, Insn::RetA]);
    }
    let xor = Insn::LoadAncillary { size: Size::W, what: Ancillary::XorX };
    all.push(vec![a(6), x(3), xor, Insn::RetA]);
    all.push(vec![Insn::Ja(1), Insn::RetK(3), Insn::RetK(5)]);
    all.push(vec![Insn::Ja(0), Insn::RetK(3)]);
    all.push(vec![Insn::RetA]);
    let encoded = all.into_iter().map(|code| code.into_iter().map(Insn::encode).collect());
    encoded.filter(|filters: &Vec<Filter>| check(filters).is_ok()).collect()
}

/// A random program that Linux takes.
fn program(random: &mut Random) -> Vec<Filter> {
    loop {
        let len = 3 + random.index(30);
        let code = (0..len).map(|at| insn(random, len - at - 1).encode()).collect::<Vec<_>>();
        if check(&code).is_ok() {
            return code;
        }
    }
}

fn insn(random: &mut Random, behind: usize) -> Insn {
    let reg = *random.pick(&[Reg::A, Reg::X]);
    let size = *random.pick(&SIZES);
    let cell = random.index(4) as u32;
    let number = match random.index(3) {
        0 => *random.pick(&EDGES),
        1 => random.index(70) as u32,
        _ => random.next() as u32,
    };
    let src = if random.chance(2) { Operand::X } else { Operand::K(number) };
    if behind == 0 {
        return if random.chance(2) { Insn::RetA } else { Insn::RetK(number) };
    }
    match random.index(16) {
        0 | 1 => Insn::LoadAbs { size, offset: random.index(66) as i32 },
        2 => Insn::LoadInd { size, offset: random.index(66) as i32 },
        3 => Insn::LoadHeaderLen { offset: random.index(66) as i32 },
        4 => Insn::LoadImm(reg, number),
        5 => Insn::LoadLen(reg),
        6 => Insn::Store(reg, cell),
        7 => Insn::LoadMem(reg, cell),
        8 => Insn::Neg,
        9 => Insn::Tax,
        10 => Insn::Txa,
        11 => Insn::LoadAncillary { size: Size::W, what: Ancillary::XorX },
        12 => Insn::Ja(random.index(behind) as u32),
        13 | 14 => {
            let (jt, jf) = (random.index(behind) as u8, random.index(behind) as u8);
            Insn::Branch { cond: *random.pick(&CONDS), src, jt, jf }
        }
        _ => Insn::Alu(*random.pick(&OPS), src),
    }
}
