//! Any bytes as a capture: packets, then the end or an error, in bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_load::capture::Reader;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    while let Ok(Some(_)) = reader.next_packet() {}
});
