//! Any bytes as instructions: what decodes, encodes back and prints without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_isa::{Slot, Style, assemble, decode, disassemble, encode};

fuzz_target!(|bytes: &[u8]| {
    let Some(slots) = Slot::split(&bytes[..bytes.len() & !7]) else { return };
    let Ok(insns) = decode(&slots) else { return };
    assert_eq!(encode(&insns), slots);
    for style in [Style::Llvm, Style::Linux] {
        let text = disassemble(&insns, style);
        assert_eq!(assemble(&text).as_ref(), Ok(&insns), "{text}");
    }
});
