//! How many bytes a helper reads or writes at a pointer that it is given, where that is
//! known beforehand. It keeps no pointer to them when it returns. Part of `promote`.

use skep_abi::{ArgKind, Effects, Helper};

/// Bytes of a frame: more is not there.
const MOST: u64 = crate::memory::stack::FRAME_SIZE as u64;

/// What a helper sees of the memory that argument `at` points to; `sizes` are those of
/// its map's keys and values, `next` is the argument behind, if it is a number.
pub fn reach(id: u32, at: usize, sizes: Option<[u32; 2]>, next: Option<u64>) -> Option<u32> {
    let protos =
        Helper::from_id(id).filter(|row| !row.effects.contains(Effects::KEEPS_POINTER))?.protos;
    let mut found = protos.iter().map(|proto| {
        let bytes = match proto.args.get(at)?.kind {
            ArgKind::MapKey => sizes?[0].into(),
            ArgKind::MapValue => sizes?[1].into(),
            ArgKind::FixedMem(bytes) => bytes.into(),
            ArgKind::Mem => match proto.args.get(at + 1)?.kind {
                ArgKind::Size | ArgKind::SizeOrZero => next?,
                _ => return None,
            },
            _ => return None,
        };
        (bytes <= MOST).then_some(bytes as u32)
    });
    let first = found.next()??;
    found.all(|other| other == Some(first)).then_some(first)
}
