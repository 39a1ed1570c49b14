//! Functions of a file that is probed: bytes that are no executable are refused, and what is
//! found lies inside of the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_load::attach::Pattern;
use skep_load::attach::symbols::functions_of;

fuzz_target!(|bytes: &[u8]| {
    let Ok(functions) = functions_of(bytes) else { return };
    for function in functions {
        assert!(function.offset < bytes.len() as u64);
        assert!(Pattern::new("*").matches(&function.name));
    }
});
