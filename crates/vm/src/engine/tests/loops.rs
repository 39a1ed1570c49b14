//! Random loops over memory: what the passes over loops make of them, vectors above all,
//! beside the interpreter. Elements of all sizes are loaded, computed with, compared,
//! summed and stored, at places that sometimes meet.

use arbitrary::{Result, Unstructured};

use skep_jit::{Checks, Options, Passes, Source, optimise};

use super::{Bed, configurations, generate};

/// Bytes of memory; loops begin at `START` and go through at most `SPAN`.
const MEMORY: usize = 1536;
const START: u64 = 128;
const SPAN: u64 = 512;

const LOADS: [(&str, u64); 7] =
    [("u8", 1), ("s8", 1), ("u16", 2), ("s16", 2), ("u32", 4), ("s32", 4), ("u64", 8)];
/// Numbers that a round computes with, and sums that it leaves.
const NUMBERS: [u8; 3] = [2, 3, 4];
const SUMS: [u8; 3] = [6, 7, 8];

/// A loop as text: r5 is the element's address, r9 counts.
fn program(u: &mut Unstructured<'_>) -> Result<String> {
    let (_, stride) = *u.choose(&LOADS)?;
    let rounds = *u.choose(&[16, 32, 64, 8, 48, 40, 7])?;
    let rounds = rounds.min(SPAN / stride);
    let mut lines = vec![format!("r1 += {START}")];
    for reg in NUMBERS.into_iter().chain(SUMS) {
        let start = *u.choose(&[0, 0, 1, -1, 255, i32::MIN, i32::MAX])?;
        lines.push(format!("r{reg} = {start}"));
    }
    lines.push("r9 = 0".into());
    lines.push("1: r5 = r1".into());
    lines.push("r5 += r9".into());
    for reg in NUMBERS {
        let fitting: Vec<_> = LOADS.into_iter().filter(|load| load.1 == stride).collect();
        let ty = u.choose(&fitting)?.0;
        let off = *u.choose(&[0, stride as i64, 512, 16, 512 + stride as i64])?;
        lines.push(format!("r{reg} = *({ty} *)(r5 + {off})"));
    }
    for _ in 0..u.int_in_range(0..=6)? {
        operation(u, &mut lines)?;
    }
    let mut sums = SUMS.to_vec();
    for _ in 0..u.int_in_range(1..=3)? {
        let (sum, of) = (sums.remove(u.choose_index(sums.len())?), *u.choose(&NUMBERS)?);
        let class = if u.ratio(1, 3)? { 'w' } else { 'r' };
        match u.int_in_range(0..=7)? {
            0..=2 => lines.push(format!("{class}{sum} += {class}{of}")),
            3 => {
                let op = *u.choose(&["-=", "^=", "&=", "|="])?;
                lines.push(format!("{class}{sum} {op} {class}{of}"));
            }
            4 => {
                let cond = *u.choose(&["<", ">"])?;
                lines.push(format!("if r{of} {cond} r{sum} goto +1"));
                lines.push("goto +1".into());
                lines.push(format!("r{sum} = r{of}"));
            }
            5 => {
                let other = *u.choose(&NUMBERS)?;
                lines.push(format!("if r{of} > r{other} goto +1"));
                lines.push(format!("{class}{sum} += 1"));
            }
            6 => {
                let (one, two) = (sums.first().copied().unwrap_or(sum), sum);
                sums.retain(|&sum| sum != one);
                lines.push(format!("if {class}{of} s< {} goto +2", immediate(u)?));
                lines.push(format!("{class}{one} += {class}{of}"));
                lines.push("goto +1".into());
                lines.push(format!("{class}{two} += {class}{of}"));
            }
            _ => lines.push(format!("{class}{sum} = {class}{of}")),
        }
        if sums.is_empty() {
            break;
        }
    }
    for _ in 0..u.int_in_range(0..=2)? {
        if u.ratio(1, 3)? {
            let ty = *u.choose(&["u8", "u16", "u32", "u64"])?;
            let stores: Vec<_> = LOADS.into_iter().filter(|load| load.1 == stride).collect();
            let ty =
                if u.ratio(9, 10)? { u.choose(&stores)?.0.replace('s', "u") } else { ty.into() };
            let off = *u.choose(&[0, 512, -(stride as i64), 16, -8, 3])?;
            lines.push(format!("*({ty} *)(r5 + {off}) = r{}", u.choose(&NUMBERS)?));
        }
    }
    let counter = if u.ratio(1, 4)? { 'w' } else { 'r' };
    lines.push(format!("{counter}9 += {stride}"));
    lines.push(format!("if r9 != {} goto 1b", stride * rounds));
    lines.push("r0 = 0".into());
    let behind: &[u8] = if u.ratio(1, 8)? { &[6, 7, 8, 9, 2] } else { &[6, 7, 8] };
    for reg in behind {
        lines.push("r0 *= 31".into());
        lines.push(format!("r0 += r{reg}"));
    }
    lines.push("exit".into());
    Ok(lines.join("\n"))
}

fn immediate(u: &mut Unstructured<'_>) -> Result<i32> {
    u.choose(&[0, 1, -1, 10, 127, 128, -128, 255, 65535, i32::MIN, i32::MAX]).copied()
}

fn operation(u: &mut Unstructured<'_>, lines: &mut Vec<String>) -> Result<()> {
    let (dst, src) = (*u.choose(&NUMBERS)?, *u.choose(&NUMBERS)?);
    let class = if u.ratio(1, 3)? { 'w' } else { 'r' };
    let width = if class == 'w' { 32 } else { 64 };
    match u.int_in_range(0..=9)? {
        0 | 1 => {
            let op = *u.choose(&["+=", "-=", "*=", "&=", "|=", "^="])?;
            lines.push(format!("{class}{dst} {op} {class}{src}"));
        }
        2 | 3 => {
            let op = *u.choose(&["+=", "-=", "*=", "&=", "|=", "^=", "/=", "%="])?;
            let by = immediate(u)?;
            let by = if by == 0 { 3 } else { by };
            lines.push(format!("{class}{dst} {op} {by}"));
        }
        4 => {
            let op = *u.choose(&["<<=", ">>=", "s>>="])?;
            lines.push(format!("{class}{dst} {op} {}", u.int_in_range(0..=width - 1)?));
        }
        5 => lines.push(format!("{class}{dst} = {class}{src}")),
        6 => {
            let bits = *u.choose(&[8, 16, 32])?;
            lines.push(format!("r{dst} = (s{bits})r{src}"));
        }
        7 => {
            let bits = *u.choose(&[16, 32, 64])?;
            lines.push(format!("r{dst} = bswap{bits} r{dst}"));
        }
        8 => {
            // A rotation.
            let by = u.int_in_range(1..=width - 1)?;
            lines.push(format!("{class}0 = {class}{dst}"));
            lines.push(format!("{class}0 >>= {}", width - by));
            lines.push(format!("{class}{dst} <<= {by}"));
            lines.push(format!("{class}{dst} |= {class}0"));
        }
        _ => {
            let cond =
                *u.choose(&["<", "<=", ">", ">=", "==", "!=", "s<", "s<=", "s>", "s>=", "&"])?;
            let with = if u.arbitrary()? {
                format!("{class}{}", u.choose(&NUMBERS)?)
            } else {
                immediate(u)?.to_string()
            };
            lines.push(format!("if {class}{src} {cond} {with} goto +1"));
            lines.push(match u.int_in_range(0..=2)? {
                0 => format!("r{dst} = r{src}"),
                1 => format!("r{dst} = {}", immediate(u)?),
                _ => format!("{class}{dst} += 1"),
            });
        }
    }
    Ok(())
}

/// Bytes with many signs and equal ones among them.
fn memory(seed: u64) -> Vec<u8> {
    let mut numbers = fastrand::Rng::with_seed(seed);
    let mut next = || numbers.u64(..);
    let byte = |random: u64| match random & 7 {
        0 => 0,
        1 => 0xff,
        2 => 0x80,
        3 => 0x7f,
        _ => (random >> 8) as u8,
    };
    (0..MEMORY).map(|_| byte(next())).collect()
}

#[test]
fn random_loops_do_what_the_interpreter_does() {
    let seconds = std::env::var("SKEP_JIT_SECONDS").ok().and_then(|text| text.parse().ok());
    let configurations = configurations();
    let mut bed = Bed::new();
    let (mut all, mut vectors) = (0u64, 0u64);
    let test = |u: &mut Unstructured<'_>| {
        let text = program(u)?;
        let seed: u64 = u.arbitrary()?;
        let insns = skep_isa::assemble(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let best = Options { checks: Checks::Elided, passes: Passes::ALL };
        let form = optimise(Source::bare(&insns), best).expect("it is compiled").to_string();
        vectors += u64::from(form.contains("lanes"));
        let turn = configurations[all as usize % configurations.len()];
        let codes = [best, turn]
            .map(|options| (options, generate(Source::bare(&insns), options).expect("compiled")));
        for round in 0..3 {
            let bytes = memory(seed.wrapping_mul(2).wrapping_add(round) | 1);
            let expected = bed.interpret(&insns, &bytes);
            for (options, code) in &codes {
                let actual = bed.compiled(code, &bytes);
                assert!(
                    actual == expected,
                    "{options:?}: expected {:x?}, got {:x?}; same memory: {}\n{text}\n{form}",
                    expected.outcome,
                    actual.outcome,
                    expected.memory == actual.memory
                );
            }
        }
        all += 1;
        Ok(())
    };
    let budget = seconds.map_or(3000, |s: u64| s * 1000);
    arbtest::arbtest(test).size_min(512).size_max(4096).budget_ms(budget).run();
    println!("{vectors} of {all} random loops became vectors");
    let there = cfg!(target_arch = "x86_64");
    assert!(!there || vectors * 10 > all, "too few loops become vectors: {vectors} of {all}");
}
