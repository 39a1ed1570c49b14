//! How compile time grows with programs: the same piece of code, loads, arithmetic,
//! branches, a slot on the stack and a loop, again and again.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context, Result};
use skep_isa::assemble;
use skep_vm::jit::{Passes, compile_unchecked};

/// Instructions of the programs.
const SIZES: [usize; 7] = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];
/// Times that each is compiled.
const TIMES: usize = 3;

/// Milliseconds that a program of a size takes to compile, the least of a few.
pub struct Scale {
    pub insns: usize,
    pub all_ms: f64,
    pub cheap_ms: f64,
}

/// Compiles programs of all sizes.
pub fn measure() -> Result<Vec<Scale>> {
    SIZES.into_iter().map(one).collect()
}

fn one(size: usize) -> Result<Scale> {
    let mut text = String::from("r6 = r1\nr0 = 0\n");
    let mut count = 2;
    for piece in 0.. {
        if count + 15 > size {
            break;
        }
        let (at, factor) = (piece % 200 * 4, 2 * piece + 3);
        write!(
            text,
            "r2 = *(u32 *)(r6 + {at})\nw2 *= {factor}\nr0 ^= r2\nif r0 > {factor} goto +2\n\
             *(u64 *)(r10 - 8) = r0\nr0 += 7\nif r2 == {at} goto +1\nr0 <<= 1\n\
             r3 = 0\n1: r4 = *(u8 *)(r6 + {at})\nr0 += r4\nr0 *= 31\nr3 += 1\n\
             if r3 != 50 goto 1b\n"
        )?;
        count += 14;
    }
    text.push_str("exit\n");
    let insns = assemble(&text).context("a program of any size")?;
    let time = |passes: Passes| {
        let least = (0..TIMES).map(|_| {
            let start = Instant::now();
            // SAFETY: the code is not run.
            let made = unsafe { compile_unchecked(&insns, passes) };
            std::hint::black_box(made.is_ok());
            start.elapsed().as_secs_f64() * 1e3
        });
        least.fold(f64::INFINITY, f64::min)
    };
    Ok(Scale { insns: insns.len(), all_ms: time(Passes::ALL), cheap_ms: time(Passes::CHEAP) })
}
