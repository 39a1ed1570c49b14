//! The scalar domain against the running Linux: random straight-line programs, whose
//! verifier log must show, after each instruction, what the domain computes.
//!
//! The domain by itself must agree, and so must the log of the whole verifier.
//! Registers r6 to r9 hold numbers. A branch goes on where its condition fails, and
//! where it holds leads to an exit of its own, so that both sides are in the log.

mod probe;

use std::collections::HashMap;
use std::sync::Arc;

use probe::{NO_ATTACH_TYPE, Probe};
use skep_abi::ProgType;
use skep_abi::helper::id;
use skep_isa::{AluOp, Callee, Cond, Insn, Operand, Reg, Size, Width, assemble, encode};
use skep_verify::domain::{LogSigned, Scalar, Scalar64};
use skep_verify::{Env, Log, Program, verify};

const REGISTERS: [Reg; 4] = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];

/// A fixed sequence of numbers that look random.
struct Random(fastrand::Rng);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// An immediate near an edge more often than not.
    fn immediate(&mut self) -> i32 {
        let number = match self.below(8) {
            0 => self.next() as i32,
            1 => (self.next() as i32) >> self.below(32),
            2 => 1i32.wrapping_shl(self.below(32) as u32),
            3 => 1i32.wrapping_shl(self.below(32) as u32).wrapping_sub(1),
            4 => i32::MIN.wrapping_add(self.below(4) as i32),
            5 => i32::MAX.wrapping_sub(self.below(4) as i32),
            _ => self.below(16) as i32 - 8,
        };
        if self.below(4) == 0 { number.wrapping_neg() } else { number }
    }

    fn operand(&mut self) -> Operand {
        if self.below(2) == 0 {
            Operand::Imm(self.immediate())
        } else {
            Operand::Reg(self.choose(&REGISTERS))
        }
    }
}

/// A program and what the domain says of each place in it.
struct Case {
    program: Vec<Insn>,
    /// Registers after the instruction at this slot, on the path that goes on.
    after: Vec<(usize, [Scalar64; 4])>,
    /// Registers at the exit that starts at this slot.
    exits: Vec<(usize, [Scalar64; 4])>,
}

fn index(register: Reg) -> usize {
    usize::from(register.number()) - 6
}

fn width(random: &mut Random) -> Width {
    random.choose(&[Width::W32, Width::W64])
}

impl Case {
    /// With `everything`, copies of registers too, which link them, and instructions from
    /// which Linux follows two numbers: then only `program` is to be used.
    fn random(random: &mut Random, length: usize, everything: bool) -> Case {
        let mut program = Vec::new();
        for register in REGISTERS {
            // The time is a number of which nothing is known.
            program.push(Insn::Call(Callee::Helper(id::KTIME_GET_NS)));
            program.push(mov(register, Reg::R0));
        }
        // Ends the link between r9 and r0.
        program.push(Insn::Alu {
            op: AluOp::Mov,
            width: Width::W64,
            dst: Reg::R0,
            src: Operand::Imm(0),
        });
        let mut state = [Scalar::unknown(); 4];
        let (mut after, mut branches) = (Vec::new(), Vec::new());
        for _ in 0..length {
            if random.below(16) == 0 {
                reload(random, &mut program, &mut state);
                after.push((program.len() - 1, state));
                continue;
            }
            let insn = match random.below(8) {
                0 if everything => copy(random),
                _ => instruction(random),
            };
            if !everything && forks(&state, insn) {
                continue;
            }
            let pc = program.len();
            program.push(insn);
            match insn {
                Insn::Branch { cond, width, dst, src, .. } => {
                    let left = state[index(dst)];
                    let right = operand(&state, src);
                    match Scalar::outcome(cond, width, &left, &right) {
                        Some(true) => {
                            branches.push((pc, state));
                            break;
                        }
                        Some(false) => branches.push((pc, state)),
                        None => {
                            let (taken, not_taken) = both_sides(&state, cond, width, dst, src);
                            branches.push((pc, taken));
                            state = not_taken;
                        }
                    }
                }
                _ => step(&mut state, insn),
            }
            after.push((pc, state));
        }
        program.push(Insn::Exit);
        let mut exits = Vec::new();
        for (pc, taken) in branches {
            let target = program.len();
            if let Insn::Branch { off, .. } = &mut program[pc] {
                *off = (target - pc - 1) as i16;
            }
            program.push(Insn::Exit);
            exits.push((target, taken));
        }
        Case { program, after, exits }
    }
}

fn mov(dst: Reg, src: Reg) -> Insn {
    Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src: Operand::Reg(src) }
}

/// A move between registers, sign-extending or not.
fn copy(random: &mut Random) -> Insn {
    let (dst, src) = (random.choose(&REGISTERS), random.choose(&REGISTERS));
    match random.below(4) {
        0 => Insn::MovSx { width: Width::W64, from: Size::W, dst, src },
        1 => Insn::Alu { op: AluOp::Mov, width: Width::W32, dst, src: Operand::Reg(src) },
        _ => mov(dst, src),
    }
}

/// Any instruction on numbers but moves between registers: they would link the two.
fn instruction(random: &mut Random) -> Insn {
    let dst = random.choose(&REGISTERS);
    match random.below(16) {
        0 => Insn::Neg { width: width(random), dst },
        1 => {
            let width = width(random);
            let sizes: &[Size] = match width {
                Width::W32 => &[Size::B, Size::H],
                Width::W64 => &[Size::B, Size::H, Size::W],
            };
            Insn::MovSx { width, from: random.choose(sizes), dst, src: dst }
        }
        2 => Insn::Alu { op: AluOp::Mov, width: Width::W32, dst, src: Operand::Reg(dst) },
        3..=6 => Insn::Branch {
            cond: random.choose(&Cond::ALL),
            width: width(random),
            dst,
            src: random.operand(),
            off: 0,
        },
        _ => {
            let (op, width) = (random.choose(&AluOp::ALL), width(random));
            let bits = if width == Width::W64 { 64 } else { 32 };
            let src = match (op, random.operand()) {
                (AluOp::Mov, _) => Operand::Imm(random.immediate()),
                (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Operand::Imm(_)) => {
                    Operand::Imm(random.below(bits) as i32)
                }
                (_, Operand::Imm(0)) => Operand::Imm(1),
                (_, src) => src,
            };
            Insn::Alu { op, width, dst, src }
        }
    }
}

/// A register stored on the stack, and part of it loaded into another; then what
/// links the two is cut.
fn reload(random: &mut Random, program: &mut Vec<Insn>, state: &mut [Scalar64; 4]) {
    let (src, dst) = (random.choose(&REGISTERS), random.choose(&REGISTERS));
    let (size, signed) = (random.choose(&[Size::B, Size::H, Size::W]), random.below(2) == 0);
    let (base, off) = (Reg::R10, -8);
    program.push(Insn::Store { size: Size::DW, base, off, src: Operand::Reg(src) });
    program.push(Insn::Load { size, signed, dst, base, off });
    let cut = Insn::Alu { op: AluOp::Xor, width: Width::W64, dst, src: Operand::Imm(0) };
    program.push(cut);
    let stored = state[index(src)];
    state[index(dst)] = if signed { stored.movsx(Width::W64, size) } else { stored.truncate(size) };
    step(state, cut);
}

fn operand(state: &[Scalar64; 4], operand: Operand) -> Scalar64 {
    match operand {
        Operand::Reg(register) => state[index(register)],
        Operand::Imm(imm) => Scalar64::number(i64::from(imm) as u64),
    }
}

fn step(state: &mut [Scalar64; 4], insn: Insn) {
    let (dst, result) = match insn {
        Insn::Alu { op, width, dst, src } => {
            (dst, state[index(dst)].alu(op, width, operand(state, src)))
        }
        Insn::Neg { width, dst } => (dst, state[index(dst)].neg(width)),
        Insn::MovSx { width, from, dst, src } => (dst, state[index(src)].movsx(width, from)),
        _ => unreachable!("branches are followed by the caller"),
    };
    state[index(dst)] = result.settle();
}

/// Whether Linux follows two numbers from here, one after the other.
fn forks(state: &[Scalar64; 4], insn: Insn) -> bool {
    let Insn::Alu { op: AluOp::And | AluOp::Or, dst, src, .. } = insn else { return false };
    operand(state, src).is_constant() && state[index(dst)].sign_cases().0
}

fn both_sides(
    state: &[Scalar64; 4],
    cond: Cond,
    width: Width,
    dst: Reg,
    src: Operand,
) -> ([Scalar64; 4], [Scalar64; 4]) {
    let (mut taken, mut not_taken) = (*state, *state);
    let left = state[index(dst)];
    match src {
        Operand::Reg(src) if src == dst => {
            let refined = Scalar::refine_self(cond, width, left);
            taken[index(dst)] = refined.taken.settle();
            not_taken[index(dst)] = refined.not_taken.settle();
        }
        _ => {
            let refined = Scalar::refine(cond, width, left, operand(state, src));
            taken[index(dst)] = refined.taken.0.settle();
            not_taken[index(dst)] = refined.not_taken.0.settle();
            if let Operand::Reg(src) = src {
                taken[index(src)] = refined.taken.1.settle();
                not_taken[index(src)] = refined.not_taken.1.settle();
            }
        }
    }
    (taken, not_taken)
}

/// As the log prints a register.
fn printed(scalar: &Scalar64) -> String {
    match scalar.as_constant() {
        Some(value) => LogSigned(value as i64).to_string(),
        None => format!("scalar({scalar})"),
    }
}

/// The registers r6 to r9 in a state of the log, without their identities.
fn registers(state: &str) -> HashMap<usize, String> {
    let mut found = HashMap::new();
    for (number, register) in (6..).zip(["R6=", "R7=", "R8=", "R9="]) {
        let Some(start) = state.find(register) else { continue };
        let text = &state[start + register.len()..];
        let text = text.strip_prefix('P').unwrap_or(text);
        // The next register, or a slot of the stack.
        let end = [" R", " fp"].iter().filter_map(|next| text.find(next)).min();
        let mut text = text[..end.unwrap_or(text.len())].trim_end().to_owned();
        if let Some(id) = text.strip_prefix("scalar(id=") {
            let rest = id.find([',', ')']).unwrap();
            text = format!("scalar({}", id[rest..].trim_start_matches(','));
        }
        found.insert(number - 6, text);
    }
    found
}

#[test]
fn linux_sees_the_same_ranges_after_each_instruction() {
    let Some(probe) = Probe::new() else { return };
    let mut random = Random(fastrand::Rng::with_seed(1));
    let (mut compared, mut wrong) = (0, 0);
    for round in 0..rounds() {
        let case = Case::random(&mut random, 24, false);
        let answer = probe.load(ProgType::SocketFilter, NO_ATTACH_TYPE, 0, &case.program);
        assert!(answer.log.contains("processed "), "round {round}: {}", answer.log);
        let mut complain = |pc: usize, at: usize, ours: &Scalar64, theirs: &str| {
            compared += 1;
            if printed(ours) != *theirs {
                wrong += 1;
                println!(
                    "round {round}, slot {pc}: {:?}\n  r{} ours  {}\n     linux {theirs}",
                    case.program[pc.min(case.program.len() - 1)],
                    at + 6,
                    printed(ours)
                );
            }
        };
        for line in answer.log.lines() {
            if let Some(rest) = line.strip_prefix("from ") {
                let Some((_, rest)) = rest.split_once(" to ") else { continue };
                let Some((pc, state)) = rest.split_once(':') else { continue };
                let pc: usize = pc.trim().parse().unwrap();
                let Some((_, ours)) = case.exits.iter().find(|(exit, _)| *exit == pc) else {
                    continue;
                };
                for (at, theirs) in registers(state) {
                    complain(pc, at, &ours[at], &theirs);
                }
            } else if let Some((insn, state)) = line.split_once(" ; ")
                && let Some((pc, _)) = insn.split_once(':')
                && let Ok(pc) = pc.parse::<usize>()
                && let Some((_, ours)) = case.after.iter().find(|(slot, _)| *slot == pc)
            {
                for (at, theirs) in registers(state) {
                    complain(pc, at, &ours[at], &theirs);
                }
            }
        }
        if wrong > 20 {
            break;
        }
    }
    println!("{compared} registers compared");
    assert_eq!(wrong, 0, "of {compared} registers");
    assert!(compared > 1000, "the log was not understood");
}

#[test]
fn linux_follows_both_signs_on_their_own() {
    let Some(probe) = Probe::new() else { return };
    let sign = "call 5\nr6 = r0\nr6 s>>= 63\nr6 |= 5\nr0 = 0\nexit";
    let program = assemble(sign).unwrap();
    let answer = probe.load(ProgType::SocketFilter, NO_ATTACH_TYPE, 0, &program);
    let five = Scalar64::number(5);
    let sign = Scalar64::unknown().alu(AluOp::Arsh, Width::W64, Scalar64::number(63));
    let (forks, cases) = sign.sign_cases();
    assert!(forks);
    for case in cases {
        let result = case.alu(AluOp::Or, Width::W64, five);
        let line = format!("; R6={}", printed(&result));
        assert!(answer.log.contains(&line), "{line} in {}", answer.log);
    }
}

/// How many programs: `SKEP_ROUNDS`, or enough for a few seconds.
fn rounds() -> u32 {
    std::env::var("SKEP_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

/// The log that the whole verifier writes for a program, at level 2.
fn verifier_log(program: &[Insn]) -> String {
    let program = Arc::new(Program {
        slots: encode(program),
        kind: ProgType::SocketFilter,
        gpl: true,
        ..Program::default()
    });
    let env = Env::default();
    let mut log = Log::new(2);
    let _ = verify(&program, &env, &mut log);
    log.text().to_owned()
}

#[test]
fn the_verifier_follows_the_same_states_as_linux() {
    let Some(probe) = Probe::new() else { return };
    // An instruction with the state after it, or where a path begins and with what.
    let tells_of_states = |line: &&str| {
        line.starts_with("from ") || line.starts_with(|first: char| first.is_ascii_digit())
    };
    let mut random = Random(fastrand::Rng::with_seed(2));
    let mut compared = 0;
    for round in 0..rounds() {
        let case = Case::random(&mut random, 24, true);
        let answer = probe.load(ProgType::SocketFilter, NO_ATTACH_TYPE, 0, &case.program);
        let ours = verifier_log(&case.program);
        let ours: Vec<&str> = ours.lines().filter(tells_of_states).collect();
        let theirs: Vec<&str> = answer.log.lines().filter(tells_of_states).collect();
        for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            if ours != theirs {
                println!("{}\n=====\n{}", answer.log, verifier_log(&case.program));
            }
            assert_eq!(ours, theirs, "round {round}, state {at}");
        }
        assert_eq!(ours.len(), theirs.len(), "round {round}: {}", answer.log);
        compared += ours.len();
    }
    println!("{compared} states compared");
    assert!(compared > 1000, "the logs are short");
}
