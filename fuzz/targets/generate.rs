//! Any bytes as an ELF object: what is made of it for applications to be built with, and what it
//! is linked to, alone and with itself, are text and an object, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_load::{Object, linker, skeleton};

fuzz_target!(|bytes: &[u8]| {
    for inputs in [&[("one.o", bytes)][..], &[("one.o", bytes), ("other.o", bytes)]] {
        if let Ok(linked) = linker::link(inputs) {
            // What it refers to need not be there.
            let _ = Object::parse("linked.o", &linked);
        }
    }
    let Ok(object) = Object::parse("fuzz.o", bytes) else { return };
    let _ = skeleton::rust(&object, bytes, "fuzz");
    let _ = skeleton::c(&object, bytes, "fuzz");
});
