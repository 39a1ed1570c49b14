//! OBJ_GET_INFO: a structure of the wrong length for the object, with an address of the
//! caller's choice that no buffer was given for.

use skep::Errno;
use skep::sys::{Command, Fd, ObjInfo};

use crate::tools;

/// A program's instructions into memory that is nobody's to write; then half an address.
pub fn main() {
    let Some(kernel) = tools::linux() else { return };
    let insns = [tools::insn(0xb7, 0, 0, 0, 0x41414141), tools::insn(0x95, 0, 0, 0, 0)];
    let program = Fd::open(&kernel, &mut tools::loading(1, &insns)).unwrap();
    let ask = |info: &mut [u8]| {
        kernel.bpf(&mut Command::ObjInfo(ObjInfo {
            bpf_fd: program.raw() as u32,
            info_len: info.len() as u32,
            info: info.into(),
            ..ObjInfo::default()
        }))
    };
    let victim = Box::new([0u8; 16]);
    let address = victim.as_ptr().addr() as u64;
    // As long as a map's, as a BTF's, and as nothing.
    for len in [104, 40, 64, 120, 232] {
        let mut info = vec![0u8; len];
        info[20..24].copy_from_slice(&16u32.to_ne_bytes()); // xlated_prog_len
        info[32..40].copy_from_slice(&address.to_ne_bytes());
        assert_eq!(ask(&mut info), Err(Errno::EFAULT), "{len} bytes");
    }
    // 4 of an address's 8 bytes; Linux takes the others for zero.
    let mut info = [0u8; 36];
    info[20..24].copy_from_slice(&16u32.to_ne_bytes());
    info[32..36].copy_from_slice(&0x10000u32.to_ne_bytes());
    assert_eq!(ask(&mut info), Err(Errno::EFAULT));
    assert_eq!(*std::hint::black_box(&victim), Box::new([0u8; 16]));
    // Without addresses, every length that Linux takes is answered.
    assert_eq!(ask(&mut [0u8; 104]), Ok(0));
}
