//! PROG_LOAD reads `fd_array` by the numbers in the instructions: none leads behind it.

use skep::Errno;
use skep::sys::{Command, Fd, ProgLoad};

use crate::tools;

/// A map named by entry 1 of an array of one; a page of entries lies behind it.
pub fn main() {
    let Some(kernel) = tools::linux() else { return };
    let map = Fd::open(&kernel, &mut tools::creating(2, 8, 1, 0)).unwrap();
    let entries = map.raw().to_ne_bytes().repeat(2);
    let load = |index: i32, fds: &[u8]| -> Result<(), Errno> {
        let insns = [
            tools::insn(0x18, 1, 5, 0, index),
            tools::insn(0, 0, 0, 0, 0),
            tools::insn(0xb7, 0, 0, 0, 0),
            tools::insn(0x95, 0, 0, 0, 0),
        ];
        Fd::open(&kernel, &mut loading(&insns, fds)).map(drop)
    };
    assert_eq!(load(0, &entries[..4]), Ok(()));
    assert_eq!(load(1, &entries), Ok(()));
    for index in [1, 1000, -1, i32::MIN, i32::MAX] {
        assert_eq!(load(index, &entries[..4]), Err(Errno::EFAULT), "entry {index}");
    }
}

fn loading<'a>(insns: &[[u8; 8]], fds: &'a [u8]) -> Command<'a> {
    Command::ProgLoad(Box::new(ProgLoad {
        prog_type: 1,
        insn_cnt: insns.len() as u32,
        insns: Some(insns.concat().into()),
        license: Some(b"GPL\0"[..].into()),
        fd_array: Some(fds.into()),
        ..ProgLoad::default()
    }))
}
