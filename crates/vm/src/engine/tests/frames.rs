//! What of a frame stays in memory where helpers get addresses of it: the bytes that
//! they see, and no others if these are known. That results are the same is compared
//! by `cargo xtask parity engines`, whose programs call helpers on maps.

use skep_jit::{Checks, Options, Passes, Source, optimise};

use crate::compiled::callees;

/// Two words on the stack around a call of `bpf_get_current_comm`, which writes as many
/// bytes as r2 says to where r1 points.
fn form(call: &str) -> String {
    let text = format!(
        "
        r6 = r1
        *(u64 *)(r10 - 8) = r6
        *(u64 *)(r10 - 40) = r6
        r1 = r10
        {call}
        call 16
        r0 = *(u64 *)(r10 - 8)
        r1 = *(u64 *)(r10 - 40)
        r0 ^= r1
        exit"
    );
    let insns = skep_isa::assemble(&text).unwrap_or_else(|error| panic!("{error}"));
    // SAFETY: it is not made to run.
    let source = unsafe { Source::hosted(&insns, &[], callees::of, &callees::HOST) };
    let options = Options { checks: Checks::Elided, passes: Passes::ALL };
    optimise(source, options).expect("it is compiled").to_string()
}

#[test]
fn words_beside_what_a_helper_sees_become_values() {
    let form = form("r1 += -32\nr2 = 16");
    assert!(!form.contains("load"), "{form}");
    assert!(!form.contains("store"), "{form}");
}

#[test]
fn words_that_a_helper_sees_stay_in_memory() {
    for (call, kept) in [("r1 += -9\nr2 = 2", -8), ("r1 += -47\nr2 = 8", -40)] {
        let form = form(call);
        assert!(form.matches("load").count() == 1, "{call}: {form}");
        assert!(form.contains("store.DW"), "{call}: {kept}: {form}");
    }
}

#[test]
fn a_frame_stays_in_memory_if_nobody_knows_what_a_helper_sees() {
    for call in ["r1 += -32\nr2 = r6", "r1 += r6\nr2 = 16", "r1 += -8\nr2 = 16"] {
        let form = form(call);
        assert_eq!(form.matches("load").count(), 2, "{call}: {form}");
    }
}
