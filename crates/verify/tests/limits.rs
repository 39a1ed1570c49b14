//! Programs that would have the verifier keep more than it has room for.

use std::sync::Arc;

use skep_abi::{Errno, ProgType, Reason, flags};
use skep_isa::{assemble, encode};
use skep_verify::{Env, Log, Program, verify};

#[test]
fn states_take_no_more_memory_than_there_is_for_them() {
    // A full stack of numbers in every state, and one more state in every round.
    let mut text = String::from("r6 = *(u32 *)(r1 + 0)\n");
    for slot in 1..=64 {
        text += &format!("*(u64 *)(r10 - {}) = r6\n", 8 * slot);
    }
    text += "r7 = 0\nloop:\nr7 += 1\n*(u64 *)(r10 - 8) = r7\nif r7 < 500000 goto loop\n";
    for slot in 1..=64 {
        text += &format!("r6 = *(u64 *)(r10 - {})\n", 8 * slot);
    }
    text += "r0 = 0\nexit\n";
    let program = Arc::new(Program {
        slots: encode(&assemble(&text).expect("assembles")),
        kind: ProgType::SocketFilter,
        flags: flags::prog::TEST_STATE_FREQ,
        gpl: true,
        ..Program::default()
    });
    let error = verify(&program, &Env::default(), &mut Log::silent()).expect_err("too much");
    assert_eq!(error.errno, Errno::ENOMEM);
    assert_eq!(error.reason, Reason::TooMuchMemory { mib: 1024 });
}
