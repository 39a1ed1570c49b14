//! A whole random program from a seed.

use std::sync::Arc;

use skep_abi::{ProgType, flags};
use skep_isa::{AluOp, Callee, Insn, Operand, Reg, Slot, encode};
use skep_sys::{Command, Errno, Fd, Kernel, ProgLoad};

use super::mutate::mutate;
use super::writer::{Features, Held, MapPlace, Writer};
use crate::inputs::Random;

/// A program to judge.
#[derive(Clone, Debug)]
pub struct RandomProgram {
    /// Its type.
    pub kind: ProgType,
    /// `prog_flags` of its load.
    pub flags: u32,
    /// Its instructions.
    pub slots: Vec<Slot>,
    /// What is in it.
    pub features: Features,
}

impl RandomProgram {
    /// Loads it.
    ///
    /// # Errors
    /// It is refused.
    pub fn load(&self, kernel: &Arc<dyn Kernel>) -> Result<Fd, Errno> {
        let mut command = Command::ProgLoad(Box::new(ProgLoad {
            prog_type: self.kind as u32,
            insn_cnt: self.slots.len() as u32,
            insns: Some(Slot::join(&self.slots).into()),
            license: Some(b"GPL\0".to_vec().into()),
            prog_flags: self.flags,
            ..ProgLoad::default()
        }));
        Fd::open(kernel, &mut command)
    }
}

/// The program of this seed, one that the verifier's verdict is open on. It names maps by
/// the fds in `maps`, the first of which is an array.
pub fn program(seed: u64, maps: &[MapPlace]) -> RandomProgram {
    written(seed, maps, false)
}

/// The program of this seed that is written with care, so that most are accepted, even
/// without CAP_PERFMON.
pub fn careful_program(seed: u64, maps: &[MapPlace]) -> RandomProgram {
    written(seed, maps, true)
}

fn written(seed: u64, maps: &[MapPlace], careful: bool) -> RandomProgram {
    let dice = &mut Random::new(seed);
    let kind =
        dice.choose(&[ProgType::SchedCls, ProgType::SchedCls, ProgType::Xdp, ProgType::CgroupSkb]);
    let count = dice.choose(&[0, 1, 1, 2, 2]);
    let mut features = Features::default();
    // Functions that are called are written first, and stand behind.
    let mut callees: Vec<(usize, Vec<Held>)> = Vec::new();
    let mut bodies = Vec::new();
    for number in (1..=count).rev() {
        let arguments = arguments(dice);
        let mut writer = Writer::new(dice, maps, kind, careful, &callees);
        for (index, argument) in arguments.iter().enumerate() {
            let kept = [Reg::R6, Reg::R7, Reg::R8][index];
            writer.hold(Reg::ALL[index + 1], *argument);
            writer.mov(kept, Reg::ALL[index + 1]);
        }
        writer.left = writer.dice.range(2, 10) as u32;
        writer.block(3);
        leave(&mut writer);
        let body = writer.finish();
        features = union(features, body.2);
        bodies.push((number, body.0, body.1));
        callees.push((number, arguments));
    }
    let mut writer = Writer::new(dice, maps, kind, careful, &callees);
    writer.hold(Reg::R1, Held::Ctx);
    writer.mov(Reg::R6, Reg::R1);
    writer.left = writer.dice.range(6, 24) as u32;
    writer.source();
    writer.source();
    writer.block(9);
    leave(&mut writer);
    let main = writer.finish();
    features = union(features, main.2);
    bodies.push((0, main.0, main.1));
    bodies.sort_by_key(|(number, ..)| *number);
    // A function that nobody calls is refused.
    let called = |number: usize| {
        number == 0 || bodies.iter().any(|(_, _, calls)| calls.iter().any(|call| call.1 == number))
    };
    let kept: Vec<bool> = bodies.iter().map(|(number, ..)| called(*number)).collect();
    let mut insns: Vec<Insn> = Vec::new();
    let mut starts = vec![0usize; bodies.len()];
    let mut calls = Vec::new();
    for ((number, body, of), kept) in bodies.iter().zip(kept) {
        if !kept {
            continue;
        }
        starts[*number] = insns.len();
        calls.extend(of.iter().map(|(at, callee)| (insns.len() + at, *callee)));
        insns.extend(body);
    }
    for (at, callee) in calls {
        let distance = starts[callee] as i64 - at as i64 - 1;
        insns[at] = Insn::Call(Callee::Local(distance as i32));
    }
    if !careful && dice.percent(45) {
        for _ in 0..dice.range(1, 2) {
            mutate(dice, &mut insns);
        }
    }
    // States are kept and compared more often.
    let flags = if dice.percent(25) { flags::prog::TEST_STATE_FREQ } else { 0 };
    RandomProgram { kind, flags, slots: encode(&insns), features }
}

/// What a function takes.
fn arguments(dice: &mut Random) -> Vec<Held> {
    let first = dice.choose(&[Held::Ctx, Held::Number, Held::Value(64), Held::Stack(16)]);
    let mut arguments = vec![first];
    for _ in 0..dice.range(0, 2) {
        arguments.push(Held::Number);
    }
    arguments
}

/// The end of a function: a number in r0 that its type permits.
fn leave(writer: &mut Writer<'_>) {
    if writer.dice.percent(50) {
        let number = writer.number();
        writer.mov(Reg::R0, number);
        writer.alu(AluOp::And, Reg::R0, Operand::Imm(1));
    } else {
        writer.set(Reg::R0, 1);
    }
    writer.put(Insn::Exit);
}

fn union(a: Features, b: Features) -> Features {
    Features {
        guarded: a.guarded || b.guarded,
        loops: a.loops || b.loops,
        spill: a.spill || b.spill,
        call: a.call || b.call,
    }
}
