//! OBJ_GET_INFO: the structure promises more room behind an address than there is.

use skep::Errno;
use skep::sys::{Command, Fd, NestedBuffer, ObjInfo, PROG_INFO_SIZE};

use crate::tools;

/// 520 bytes of instructions into a buffer of 8.
pub fn main() {
    let Some(kernel) = tools::linux() else { return };
    let mut insns = vec![tools::insn(0xb7, 0, 0, 0, 0x41414141); 64];
    insns.push(tools::insn(0x95, 0, 0, 0, 0));
    let program = Fd::open(&kernel, &mut tools::loading(1, &insns)).unwrap();
    let mut area = vec![0u8; 600];
    let (small, behind) = area.split_at_mut(8);
    let mut info = [0u8; PROG_INFO_SIZE];
    info[20..24].copy_from_slice(&520u32.to_ne_bytes()); // xlated_prog_len
    info[32..40].copy_from_slice(&0x1000u64.to_ne_bytes());
    let result = kernel.bpf(&mut Command::ObjInfo(ObjInfo {
        bpf_fd: program.raw() as u32,
        info_len: PROG_INFO_SIZE as u32,
        info: (&mut info[..]).into(),
        nested: vec![NestedBuffer { address: 0x1000, memory: small.into() }],
        ..ObjInfo::default()
    }));
    assert_eq!(result, Err(Errno::EFAULT));
    assert_eq!(info[32..40], 0x1000u64.to_ne_bytes(), "the caller's address stands again");
    assert!(behind.iter().all(|&byte| byte == 0), "bytes behind the buffer changed");
}
