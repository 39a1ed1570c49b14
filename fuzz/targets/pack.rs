//! Any bytes as a pack of types: an error, or BTF that is packed again to the same types.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_btf::{Btf, Endian, pack};

fuzz_target!(|bytes: &[u8]| {
    // Bytes as a pack, behind the magic that a fuzzer would have to find first.
    if let Ok(raw) = pack::unpack(&[pack::MAGIC, bytes].concat()) {
        let _ = Btf::parse(raw);
    }
    // And as types, which come back to the byte.
    let Ok(btf) = Btf::parse(bytes.to_vec()) else { return };
    let packed = pack::pack(&btf).expect("it stands alone");
    assert_eq!(pack::unpack(&packed).expect("our own"), btf.to_bytes(Endian::Little));
});
