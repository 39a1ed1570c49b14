//! Any text as a classic BPF program: what parses and checks, translates or says why
//! it cannot.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_isa::classic;

fuzz_target!(|text: &str| {
    let Ok(filters) = classic::parse(text) else { return };
    let _ = classic::translate(&filters);
});
