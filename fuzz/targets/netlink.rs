//! Answers of route netlink: whatever they say of their lengths, reading them ends, and stays
//! inside of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_sys::host::netlink::{Attributes, Messages, TcFilter, XdpPrograms};

fuzz_target!(|bytes: &[u8]| {
    let mut inside = 0;
    for (_, _, body) in Messages(bytes) {
        inside += body.len();
        let _ = (XdpPrograms::parse(body), TcFilter::parse(body));
    }
    assert!(inside <= bytes.len());
    let attributes: usize = Attributes(bytes).map(|(_, bytes)| bytes.len()).sum();
    assert!(attributes <= bytes.len());
});
