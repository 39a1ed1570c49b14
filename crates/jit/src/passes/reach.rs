//! How many bytes a callee reads or writes at a pointer that it is given, where that is
//! known beforehand. It keeps no pointer to them when it returns. Part of `promote`.

use crate::describe::Reach;
use crate::ir::Func;
use crate::state::FRAME_SIZE;

/// What a callee sees of the memory that argument `at` points to; `sizes` are those of
/// its map's keys and values, `next` is the argument behind, if it is a number.
pub fn reach(
    func: &Func,
    callee: u32,
    at: usize,
    sizes: Option<[u32; 2]>,
    next: Option<u64>,
) -> Option<u32> {
    let bytes = match (func.callees)(callee).reach[at] {
        Reach::Unknown => return None,
        Reach::Bytes(bytes) => bytes.into(),
        Reach::Key => sizes?[0].into(),
        Reach::Value => sizes?[1].into(),
        Reach::Next => next?,
    };
    // More than a frame is not there.
    (bytes <= u64::from(FRAME_SIZE)).then_some(bytes as u32)
}
