//! Any bytes as a pack of types: an error, or BTF that is packed again to the same types; and
//! of types that were looked at, BTF that says the same of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_btf::{Btf, Endian, pack, subset};

fuzz_target!(|bytes: &[u8]| {
    // Bytes as a pack, behind the magic that a fuzzer would have to find first.
    if let Ok(raw) = pack::unpack(&[pack::MAGIC, bytes].concat()) {
        let _ = Btf::parse(raw);
    }
    // And as types, which come back to the byte.
    let Ok(btf) = Btf::parse(bytes.to_vec()) else { return };
    let packed = pack::pack(&btf).expect("it stands alone");
    assert_eq!(pack::unpack(&packed).expect("our own"), btf.to_bytes(Endian::Little));
    // Every third type is looked at, in an order that stays.
    let watched = btf.watched();
    let seen: Vec<u32> = (1..watched.len()).filter(|id| id % 3 == 1).collect();
    seen.iter().for_each(|&id| drop(watched.type_by_id(id)));
    let small = Btf::parse(subset::of(&watched).expect("types")).expect("our own");
    let mut of_small = small.types().filter(|(_, ty)| !ty.name().is_empty());
    for id in seen {
        let ty = watched.type_by_id(id).expect("it is there");
        if !ty.name().is_empty() {
            let is_it = |(_, other): &(u32, skep_btf::Type<'_>)| {
                other.kind() == ty.kind() && other.name() == ty.name()
            };
            assert!(of_small.any(|other| is_it(&other)), "{ty:?} is missing");
        }
    }
});
