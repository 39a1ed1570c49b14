//! Random programs that Linux accepts return the same on every engine. They compute
//! on numbers and on the stack, with branches, bounded loops, calls and atomics.
//! `SKEP_RANDOM` sets how many, `SKEP_SEED` where the random numbers start.

use std::sync::Arc;

use skep_abi::{Errno, ProgType};
use skep_isa::{
    AluOp, AtomicOp, Callee, Cond, Insn, Operand, Order, Reg, Size, Slot, Style, Width,
    disassemble, encode,
};
use skep_sys::{Command, Fd, Kernel, Linux, ProgLoad, TestRun};
use skep_vm::{Engine, Vm};

/// Numbers that depend on a seed alone.
struct Random(fastrand::Rng);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 11) % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn imm(&mut self) -> i32 {
        let any = self.next() as i32;
        let small = (any & 0x7f) - 64;
        self.pick(&[0, 1, -1, 7, 31, 32, 63, i32::MIN, i32::MAX, 0xffff, small, any])
    }
}

/// Registers that hold numbers; r9 counts loops.
const NUMBERS: [Reg; 8] = [Reg::R0, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R6, Reg::R7, Reg::R8];
/// Initialised slots of the stack.
const SLOTS: i16 = 4;

fn width(random: &mut Random) -> Width {
    random.pick(&[Width::W32, Width::W64])
}

fn offset(random: &mut Random, size: Size) -> i16 {
    let places = SLOTS * 8 / size.bytes() as i16;
    -(random.below(places as usize) as i16 + 1) * size.bytes() as i16
}

fn operand(random: &mut Random) -> Operand {
    match random.below(2) {
        0 => Operand::Reg(random.pick(&NUMBERS)),
        _ => Operand::Imm(random.imm()),
    }
}

fn alu(random: &mut Random) -> Insn {
    let (op, width) = (random.pick(&AluOp::ALL), width(random));
    let dst = random.pick(&NUMBERS);
    let bits = if width == Width::W64 { 63 } else { 31 };
    let src = match (op, operand(random)) {
        // Linux refuses constant shifts past the width and constant divisions by zero.
        (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Operand::Imm(imm)) => Operand::Imm(imm & bits),
        (AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod, Operand::Imm(0)) => Operand::Imm(3),
        (_, src) => src,
    };
    Insn::Alu { op, width, dst, src }
}

/// One instruction that any state of the numbers allows.
fn step(random: &mut Random) -> Insn {
    let reg = random.pick(&NUMBERS);
    match random.below(12) {
        0 => {
            let size = random.pick(&Size::ALL);
            let signed = size != Size::DW && random.below(2) == 0;
            Insn::Load { size, signed, dst: reg, base: Reg::R10, off: offset(random, size) }
        }
        1 => {
            let size = random.pick(&Size::ALL);
            Insn::Store { size, base: Reg::R10, off: offset(random, size), src: operand(random) }
        }
        2 => {
            let (size, op) = (random.pick(&[Size::W, Size::DW]), random.pick(&AtomicOp::ALL));
            Insn::Atomic { op, size, base: Reg::R10, off: offset(random, size), src: reg }
        }
        3 => Insn::Neg { width: width(random), dst: reg },
        4 => {
            let from = random.pick(&[Size::B, Size::H]);
            Insn::MovSx { width: width(random), from, dst: reg, src: random.pick(&NUMBERS) }
        }
        5 => {
            let order = random.pick(&[Order::Le, Order::Be, Order::Swap]);
            Insn::ByteSwap { order, size: random.pick(&[Size::H, Size::W, Size::DW]), dst: reg }
        }
        _ => alu(random),
    }
}

/// Numbers in every register, and in the slots of the stack.
fn prologue(random: &mut Random, insns: &mut Vec<Insn>) {
    for reg in NUMBERS {
        let src = Operand::Imm(random.imm());
        insns.push(Insn::Alu { op: AluOp::Mov, width: width(random), dst: reg, src });
    }
    for slot in 1..=SLOTS {
        let src = Operand::Reg(random.pick(&NUMBERS));
        insns.push(Insn::Store { size: Size::DW, base: Reg::R10, off: -8 * slot, src });
    }
}

/// Steps, some of them skipped by a branch.
fn block(random: &mut Random, insns: &mut Vec<Insn>) {
    for _ in 0..1 + random.below(8) {
        if random.below(3) == 0 {
            let skipped = 1 + random.below(4);
            let (cond, width) = (random.pick(&Cond::ALL), width(random));
            let (dst, src) = (random.pick(&NUMBERS), operand(random));
            insns.push(Insn::Branch { cond, width, dst, src, off: skipped as i16 });
            insns.extend((0..skipped).map(|_| step(random)));
        } else {
            insns.push(step(random));
        }
    }
}

fn counted_loop(random: &mut Random, insns: &mut Vec<Insn>) {
    let times = 1 + random.below(12) as i32;
    let (op, width) = (AluOp::Mov, Width::W64);
    insns.push(Insn::Alu { op, width, dst: Reg::R9, src: Operand::Imm(times) });
    let start = insns.len();
    block(random, insns);
    insns.push(Insn::Alu { op: AluOp::Sub, width, dst: Reg::R9, src: Operand::Imm(1) });
    let off = start as i64 - insns.len() as i64 - 1;
    let (cond, src) = (Cond::Ne, Operand::Imm(0));
    insns.push(Insn::Branch { cond, width, dst: Reg::R9, src, off: off as i16 });
}

fn program(random: &mut Random) -> Vec<Insn> {
    let mut insns = Vec::new();
    prologue(random, &mut insns);
    let mut calls = Vec::new();
    for _ in 0..1 + random.below(4) {
        match random.below(3) {
            0 => counted_loop(random, &mut insns),
            1 => {
                calls.push(insns.len());
                insns.push(Insn::Call(Callee::Local(0)));
                for reg in [Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
                    let src = Operand::Imm(random.imm());
                    insns.push(Insn::Alu { op: AluOp::Mov, width: Width::W64, dst: reg, src });
                }
            }
            _ => block(random, &mut insns),
        }
    }
    insns.push(Insn::Exit);
    if !calls.is_empty() {
        let function = insns.len();
        for call in calls {
            insns[call] = Insn::Call(Callee::Local((function - call - 1) as i32));
        }
        let arguments = random.pick(&[Reg::R2, Reg::R3, Reg::R4, Reg::R5]);
        let (op, width, src) = (AluOp::Mov, Width::W64, Operand::Reg(arguments));
        insns.push(Insn::Alu { op, width, dst: Reg::R0, src });
        let mut locals = Vec::new();
        prologue(random, &mut locals);
        // The first register of the prologue is r0, which holds the argument.
        insns.extend(locals.into_iter().skip(1));
        block(random, &mut insns);
        insns.push(Insn::Exit);
    }
    insns
}

/// What a kernel gives for a program; `Err` where it does not take it.
fn run(kernel: &Arc<dyn Kernel>, slots: &[Slot]) -> Result<u32, Errno> {
    let bytes = Slot::join(slots);
    let load = ProgLoad {
        prog_type: ProgType::SocketFilter as u32,
        insn_cnt: slots.len() as u32,
        insns: Some((&bytes[..]).into()),
        license: Some((&b"GPL\0"[..]).into()),
        ..ProgLoad::default()
    };
    let program = Fd::open(kernel, &mut Command::ProgLoad(Box::new(load)))?;
    let packet = [0; 64];
    let run = TestRun {
        prog_fd: program.raw() as u32,
        data_size_in: packet.len() as u32,
        data_in: Some((&packet[..]).into()),
        ..TestRun::default()
    };
    let mut command = Command::TestRun(Box::new(run));
    kernel.bpf(&mut command)?;
    match command {
        Command::TestRun(run) => Ok(run.retval),
        _ => Err(Errno::EINVAL),
    }
}

#[test]
fn programs_that_linux_accepts_return_the_same_on_every_engine() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let mut random = Random(fastrand::Rng::with_seed(number("SKEP_SEED", 0x5eed)));
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let engines = [Engine::Interpreter, Engine::Guarded, Engine::Auto];
    let kernels = engines.map(|engine| -> (Engine, Arc<dyn Kernel>) {
        (engine, Arc::new(Vm::new().with_engine(engine)))
    });
    let (mut accepted, count) = (0, number("SKEP_RANDOM", 3000));
    for _ in 0..count {
        let insns = program(&mut random);
        let slots = encode(&insns);
        match run(&linux, &slots) {
            Err(Errno::EPERM) => {
                println!("skipped: bpf(2) is not permitted");
                return;
            }
            Err(_) => {}
            Ok(expected) => {
                accepted += 1;
                for (engine, kernel) in &kernels {
                    let found = run(kernel, &slots);
                    let text = disassemble(&insns, Style::Linux);
                    assert_eq!(found, Ok(expected), "{engine:?}, Linux: {expected:#x}\n{text}");
                }
            }
        }
    }
    println!("Linux accepted {accepted} of {count} programs");
    assert!(accepted * 2 > count, "Linux accepts only {accepted} of {count} programs");
}
