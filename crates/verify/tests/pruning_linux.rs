//! Pruning against the running Linux: random programs whose paths meet again, with
//! numbers that are copies of each other, with and without a distance, on some paths.
//! The last access is safe on some of them. Verdict, message and the number of
//! instructions explored must be Linux's: that number tells which states were covered.

mod probe;

use std::sync::Arc;

use probe::{NO_ATTACH_TYPE, Probe};
use skep_abi::{ProgType, flags};
use skep_isa::{Insn, assemble, encode};
use skep_verify::{Env, Log, Program, message, verify};

const PROGRAMS: u64 = 3_000;

struct Random(fastrand::Rng);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.u64(..limit)
    }

    fn number(&mut self) -> u64 {
        6 + self.below(4)
    }
}

/// A statement that changes what the verifier knows of r6 to r9.
fn statement(random: &mut Random, text: &mut String) {
    let (a, b) = (random.number(), random.number());
    let line = match random.below(12) {
        0..=3 => format!("r{a} = r{b}"),
        4 => format!("w{a} = w{b}"),
        5 => format!("r{a} += {}", random.below(4)),
        6 => format!("w{a} += {}", random.below(3)),
        7 => format!("r{a} -= {}", random.below(3)),
        8 => format!("r{a} &= {}", [7, 15, 255][random.below(3) as usize]),
        9 => format!("*(u64 *)(r10 - 40) = r{a}"),
        10 => format!("r{a} = *(u64 *)(r10 - 40)"),
        _ => format!("r{a} = {}", random.below(5)),
    };
    text.push_str(&line);
    text.push('\n');
}

fn program(random: &mut Random) -> String {
    let mut text = String::from("r5 = r1\n");
    // len, protocol, mark, hash: four numbers of which nothing is known.
    for (register, offset) in [(6, 0), (7, 16), (8, 8), (9, 40)] {
        text += &format!("r{register} = *(u32 *)(r5 + {offset})\n");
        if random.below(4) > 0 {
            text += &format!("r{register} &= 255\n");
        }
    }
    for slot in [8, 16, 24, 32, 40] {
        text += &format!("*(u64 *)(r10 - {slot}) = 0\n");
    }
    for join in 0..1 + random.below(3) {
        let (asked, limit) = (random.number(), random.below(9));
        text += &format!("if r{asked} > {limit} goto other{join}\n");
        for _ in 0..random.below(4) {
            statement(random, &mut text);
        }
        text += &format!("goto join{join}\nother{join}:\n");
        for _ in 0..random.below(4) {
            statement(random, &mut text);
        }
        text += &format!("join{join}:\n");
        for _ in 0..random.below(3) {
            statement(random, &mut text);
        }
    }
    let (asked, index) = (random.number(), random.number());
    let width = ["r", "w"][random.below(4) as usize / 3];
    text += &format!("if {width}{asked} > {} goto out\n", 1 + random.below(9));
    text += &format!("r2 = r10\nr2 += -16\nr2 += r{index}\n*(u8 *)(r2 + 0) = 1\n");
    text + "out:\nr0 = 0\nexit\n"
}

/// The number in `processed N insns`.
fn processed(log: &str) -> Option<u64> {
    log.rsplit_once("processed ")?.1.split(' ').next()?.parse().ok()
}

fn ours(insns: &[Insn], prog_flags: u32, level: u32) -> (bool, Log) {
    let program = Arc::new(Program {
        slots: encode(insns),
        kind: ProgType::SocketFilter,
        flags: prog_flags,
        gpl: true,
        ..Program::default()
    });
    let mut log = Log::new(level);
    let accepted = verify(&program, &Env::default(), &mut log).is_ok();
    (accepted, log)
}

#[test]
fn paths_that_meet_are_pruned_where_linux_prunes_them() {
    let Some(probe) = Probe::new() else { return };
    let random = &mut Random(fastrand::Rng::with_seed(1));
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for _ in 0..PROGRAMS {
        let text = program(random);
        let insns = assemble(&text).expect("assembles");
        let often = if random.below(2) == 0 { flags::prog::TEST_STATE_FREQ } else { 0 };
        let linux = probe.load(ProgType::SocketFilter, NO_ATTACH_TYPE, often, &insns);
        let (ok, log) = ours(&insns, often, Log::LEVEL2);
        accepted += u64::from(ok);
        let agree = ok == linux.result.is_ok()
            && message(log.text()) == message(&linux.log)
            && processed(log.text()) == processed(&linux.log);
        if !agree {
            wrong.push(format!(
                "flags {often:#x}\n{text}Linux: {:?} {} {:?}\nours: {ok} {} {:?}\n",
                linux.result,
                message(&linux.log),
                processed(&linux.log),
                message(log.text()),
                processed(log.text()),
            ));
        }
    }
    println!("{accepted} of {PROGRAMS} accepted");
    assert!(accepted > PROGRAMS / 20 && accepted < PROGRAMS, "both verdicts come up");
    assert!(wrong.is_empty(), "{} differ, the first of them:\n{}", wrong.len(), wrong[0]);
}
