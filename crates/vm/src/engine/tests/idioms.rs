//! What compilers write where eBPF has no instruction, and shapes of loops that passes
//! look for: that the pass sees it, and that it gives what the interpreter gives, on
//! random memory, in every configuration.

use skep_jit::{Checks, Options, Passes, Source, optimise};

use super::{Bed, configurations, generate};
use crate::run::Outcome;

/// Random memories that a program runs on.
const RUNS: u64 = 60;

struct Idiom {
    name: &'static str,
    text: &'static str,
    /// What the optimised form holds, and what it does not.
    holds: &'static str,
    lacks: &'static str,
}

const IDIOMS: &[Idiom] = &[
    Idiom {
        name: "population count of 64 bits",
        text: "
            r2 = *(u64 *)(r1 + 0)
            r3 = 0x5555555555555555 ll
            r4 = r2
            r4 >>= 1
            r4 &= r3
            r2 -= r4
            r3 = 0x3333333333333333 ll
            r4 = r2
            r4 &= r3
            r2 >>= 2
            r2 &= r3
            r4 += r2
            r2 = r4
            r2 >>= 4
            r4 += r2
            r3 = 0x0f0f0f0f0f0f0f0f ll
            r4 &= r3
            r3 = 0x0101010101010101 ll
            r4 *= r3
            r4 >>= 56
            r0 = r4
            exit",
        holds: "ones",
        lacks: "Mul",
    },
    Idiom {
        name: "population count of 32 bits",
        text: "
            w2 = *(u32 *)(r1 + 4)
            w4 = w2
            w4 >>= 1
            w4 &= 0x55555555
            w2 -= w4
            w4 = w2
            w4 &= 0x33333333
            w2 >>= 2
            w2 &= 0x33333333
            w4 += w2
            w2 = w4
            w2 >>= 4
            w4 += w2
            w4 &= 0x0f0f0f0f
            w4 *= 0x01010101
            w4 >>= 24
            r0 = r4
            exit",
        holds: "ones",
        lacks: "Mul",
    },
    Idiom {
        name: "almost a population count",
        text: "
            w2 = *(u32 *)(r1 + 4)
            w4 = w2
            w4 >>= 1
            w4 &= 0x55555555
            w2 -= w4
            w4 = w2
            w4 &= 0x33333333
            w2 >>= 2
            w2 &= 0x33333333
            w4 += w2
            w2 = w4
            w2 >>= 3
            w4 += w2
            w4 &= 0x0f0f0f0f
            w4 *= 0x01010101
            w4 >>= 24
            r0 = r4
            exit",
        holds: "Mul",
        lacks: "ones",
    },
    Idiom {
        name: "a rotation of a product",
        text: "
            w2 = *(u32 *)(r1 + 0)
            w3 = w2
            w2 *= 0x16a88000
            w3 *= 0xcc9e2d51
            w3 >>= 17
            w3 |= w2
            r0 = r3
            exit",
        holds: "Rotl",
        lacks: "Or",
    },
    Idiom {
        name: "divisions by constants",
        text: "
            r2 = *(u64 *)(r1 + 0)
            w3 = *(u32 *)(r1 + 8)
            r4 = r3
            w4 /= 100000
            w5 = w3
            w5 %= 7
            r0 = r4
            r0 *= r5
            r4 = r3
            r4 *= r4
            r4 %= 2147483647
            r0 ^= r4
            r4 = r2
            r4 /= 3
            r0 += r4
            r4 = r2
            r4 %= 1000000007
            r0 += r4
            r4 = r3
            r4 /= 1000
            r5 = r4
            r5 /= 10
            r4 %= 10
            r0 += r4
            r0 ^= r5
            exit",
        holds: "MulHigh",
        lacks: "Div.W32",
    },
    Idiom {
        name: "least and greatest",
        text: "
            w2 = -1
            w3 = 0
            r4 = 0
         1: r5 = r1
            r5 += r4
            w5 = *(u32 *)(r5 + 0)
            if w5 > w3 goto +1
            goto +1
            w3 = w5
            if w5 < w2 goto +1
            goto +1
            w2 = w5
            r4 += 4
            if r4 != 64 goto 1b
            r0 = r3
            r0 <<= 32
            r0 |= r2
            exit",
        holds: "Min",
        lacks: "? ",
    },
    Idiom {
        name: "sums of either sign, and a counter that is kept twice",
        text: "
            r2 = 0
            r3 = 0
            r4 = 0
            r6 = 0
            r7 = 0
         1: r5 = r1
            r5 += r4
            r5 = *(s32 *)(r5 + 0)
            if r5 s> -1 goto +2
            r2 += r5
            goto +1
            r3 += r5
            w6 += 1
            w7 += 1
            r4 += 4
            if r4 != 64 goto 1b
            r0 = r3
            r0 *= 31
            r0 += r2
            r0 *= 31
            r0 += r6
            r0 *= 31
            r0 += r7
            exit",
        holds: "Sgt",
        lacks: "if Sgt",
    },
    Idiom {
        name: "two values that change places each round",
        text: "
            r2 = *(u64 *)(r1 + 0)
            r3 = *(u64 *)(r1 + 8)
            r4 = 0
         1: r5 = r2
            r2 = r3
            r3 = r5
            r3 ^= r4
            r4 += 1
            if r4 != 20 goto 1b
            r0 = r2
            r0 *= 7
            r0 += r3
            r0 += r4
            exit",
        holds: "return",
        lacks: "if ",
    },
    Idiom {
        name: "a loop that goes on from three places",
        text: "
            r0 = 0
            r4 = 0
         1: r5 = r1
            r5 += r4
            w5 = *(u8 *)(r5 + 0)
            if w5 < 100 goto 2f
            if w5 < 200 goto 3f
            r0 *= 5
            goto 4f
         2: r0 += r5
            r0 ^= r4
            r0 *= 3
            goto 4f
         3: r0 ^= r5
            r0 <<= 1
         4: r4 += 1
            if r4 != 64 goto 1b
            r0 += r4
            exit",
        holds: "else",
        lacks: "jump b1(",
    },
    Idiom {
        name: "an array on the stack, copied by words and sorted by halves",
        text: "
            r2 = *(u64 *)(r1 + 0)
            *(u64 *)(r10 - 16) = r2
            r2 = *(u64 *)(r1 + 8)
            *(u64 *)(r10 - 8) = r2
            r6 = 0
         1: r4 = 0
         2: r5 = r10
            r5 += -16
            r5 += r4
            w2 = *(u32 *)(r5 + 0)
            w3 = *(u32 *)(r5 + 4)
            w7 = w2
            if w2 < w3 goto +1
            w7 = w3
            *(u32 *)(r5 + 0) = r7
            w7 = w2
            if w2 > w3 goto +1
            w7 = w3
            *(u32 *)(r5 + 4) = r7
            r4 += 4
            if r4 != 12 goto 2b
            r6 += 1
            if r6 != 3 goto 1b
            r0 = *(u64 *)(r10 - 16)
            r2 = *(u64 *)(r10 - 8)
            r0 *= 31
            r0 += r2
            w2 = *(u32 *)(r10 - 12)
            r0 ^= r2
            exit",
        holds: "Min",
        lacks: "frame 0",
    },
    Idiom {
        name: "the decimal digits of numbers, whose inner loop is written out",
        text: "
            r0 = 0
            r2 = 0
         1: r3 = r1
            r3 += r2
            w4 = *(u32 *)(r3 + 0)
            w5 = 0
         2: w5 += 1
            w3 = w4
            w3 %= 10
            w3 *= w5
            w0 += w3
            w4 /= 10
            if w5 != 10 goto 2b
            r2 += 4
            if r2 != 64 goto 1b
            exit",
        holds: "lanes product",
        lacks: "Mul.W64",
    },
    Idiom {
        name: "shifts of different values, and long constants in a loop",
        text: "
            r2 = *(u64 *)(r1 + 0)
            r3 = *(u64 *)(r1 + 8)
            r4 = 0
            r6 = 0x9e3779b97f4a7c15 ll
            r7 = 0xc2b2ae3d27d4eb4f ll
         1: r5 = r2
            r5 <<= 13
            r0 = r3
            r0 >>= 51
            r5 |= r0
            r2 = r3
            r3 = r5
            r3 *= r6
            r2 ^= r7
            r2 += r6
            r4 += 1
            if r4 < 30 goto 1b
            r0 = r2
            r0 ^= r3
            exit",
        holds: "Xor.W64 0x61c8864680b583ea, -1",
        lacks: "0x9e3779b97f4a7c15",
    },
    Idiom {
        name: "a branch on a flag that two ways set",
        text: "
            r2 = *(u8 *)(r1 + 0)
            r6 = 0
            if r2 > 99 goto 1f
            *(u8 *)(r1 + 8) = 1
            r6 = 1
            goto 2f
         1: *(u8 *)(r1 + 9) = 2
         2: r3 = *(u64 *)(r1 + 16)
            if r6 == 0 goto 3f
            r3 += 7
            *(u64 *)(r1 + 24) = r3
         3: r0 = r3
            exit",
        holds: "if Gt.W32 v8, 99",
        lacks: ", 0 then",
    },
    Idiom {
        name: "a branch that one of three ways has decided",
        text: "
            r2 = *(u8 *)(r1 + 0)
            r3 = *(u8 *)(r1 + 1)
            r4 = *(u8 *)(r1 + 2)
            if r2 < 50 goto 1f
            if r2 < 100 goto 2f
            *(u8 *)(r1 + 8) = 1
            goto 3f
         1: *(u8 *)(r1 + 9) = 2
            r4 = r3
            goto 3f
         2: *(u8 *)(r1 + 10) = 3
         3: r5 = r4
            r5 += r3
            if r2 >= 60 goto 4f
            r5 *= 3
            *(u8 *)(r1 + 11) = r5
         4: r0 = r5
            r0 += r4
            exit",
        holds: "if Ge.W32 v8, 60",
        lacks: "b6",
    },
];

#[test]
fn idioms_are_seen_and_give_what_the_interpreter_gives() {
    let mut bed = Bed::new();
    let mut numbers = fastrand::Rng::with_seed(1);
    for idiom in IDIOMS {
        let insns = skep_isa::assemble(idiom.text)
            .unwrap_or_else(|error| panic!("{}: {error}", idiom.name));
        let all = Options { checks: Checks::Elided, passes: Passes::ALL };
        let source = || Source::bare(&insns);
        let form = optimise(source(), all).expect("it is compiled").to_string();
        assert!(form.contains(idiom.holds), "{}: no {}:\n{form}", idiom.name, idiom.holds);
        assert!(!form.contains(idiom.lacks), "{}: {}:\n{form}", idiom.name, idiom.lacks);
        let codes: Vec<_> = configurations()
            .into_iter()
            .map(|options| (options, generate(source(), options).expect("it is compiled")))
            .collect();
        for _ in 0..RUNS {
            let mut bytes = [0; 64];
            numbers.fill(&mut bytes);
            let expected = bed.interpret(&insns, &bytes);
            assert!(matches!(expected.outcome, Outcome::Returned(_)), "{}", idiom.name);
            for (options, code) in &codes {
                let actual = bed.compiled(code, &bytes);
                assert_eq!(actual, expected, "{} {options:?} of {bytes:x?}", idiom.name);
            }
        }
    }
}
