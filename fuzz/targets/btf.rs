//! Any bytes as BTF: an error, or types that print as C within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_btf::Btf;

fuzz_target!(|bytes: &[u8]| {
    let Ok(btf) = Btf::parse(bytes.to_vec()) else { return };
    for id in 0..btf.len() {
        let _ = btf.size_of(id);
    }
    let mut header = Vec::new();
    let _ = skep_btf::c::write_header(&btf, &mut header);
});
