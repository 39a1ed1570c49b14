//! Maps of a source as the types that a loader reads them from: a variable in `.maps`,
//! whose structure's members are pointers to arrays as long as the numbers they mean.
//! Keys and values of a number's size are numbers.

use skep::btf::{BtfError, Builder, Endian, Member, SecVar, VarLinkage};

use super::source::MapSource;

/// Bytes of a map's variable: a pointer for each member.
pub fn size(map: &MapSource) -> u32 {
    map.members.len() as u32 * 8
}

/// The BTF of an object with these maps, which stand one after the other in `.maps`.
///
/// # Errors
/// More types than BTF holds.
pub fn btf(maps: &[MapSource]) -> Result<Vec<u8>, BtfError> {
    const SIGNED: u8 = 1;
    let mut builder = Builder::new();
    let int = builder.int("int", 4, SIGNED);
    let unsigned = [("__u8", 1), ("__u16", 2), ("__u32", 4), ("__u64", 8)]
        .map(|(name, size)| builder.int(name, size, 0));
    let mut vars = Vec::new();
    let mut offset = 0;
    for map in maps {
        let mut members = Vec::new();
        for (index, &(name, number)) in map.members.iter().enumerate() {
            let (name, pointee) = match (name, number) {
                ("key_size", 1 | 2 | 4 | 8) => ("key", unsigned[number.ilog2() as usize]),
                ("value_size", 1 | 2 | 4 | 8) => ("value", unsigned[number.ilog2() as usize]),
                _ => (name, builder.array(int, int, number)),
            };
            let type_id = builder.ptr(pointee);
            let bit_offset = index as u32 * 64;
            members.push(Member { name, type_id, bit_offset, bitfield_size: 0 });
        }
        let structure = builder.structure("", size(map), &members);
        let type_id = builder.var(&map.name, structure, VarLinkage::Global);
        vars.push(SecVar { type_id, offset, size: size(map) });
        offset += size(map);
    }
    builder.datasec(".maps", offset, &vars);
    Ok(builder.build()?.to_bytes(Endian::Little))
}
