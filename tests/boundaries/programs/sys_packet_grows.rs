//! TEST_RUN with a size of 0 for its output: Linux copies the whole packet, however much
//! the program made it grow.

use skep::Errno;
use skep::sys::{Command, Fd, TestRun};

use crate::tools;

/// `bpf_skb_change_tail` to 12,000 bytes, and a page of room.
pub fn main() {
    let Some(kernel) = tools::linux() else { return };
    let insns = [
        tools::insn(0xb7, 2, 0, 0, 12_000),
        tools::insn(0xb7, 3, 0, 0, 0),
        tools::insn(0x85, 0, 0, 0, 38),
        tools::insn(0x95, 0, 0, 0, 0),
    ];
    let program = Fd::open(&kernel, &mut tools::loading(3, &insns)).unwrap();
    let packet = [0x5au8; 64];
    let mut area = vec![0xeeu8; 64 + 4096 + 100_000];
    let run = |out: &mut [u8]| {
        let mut command = Command::TestRun(Box::new(TestRun {
            prog_fd: program.raw() as u32,
            data_size_in: 64,
            data_in: Some(packet[..].into()),
            data_out: out.into(),
            ..TestRun::default()
        }));
        let result = kernel.bpf(&mut command);
        let Command::TestRun(run) = command else { unreachable!() };
        println!("{result:?}: retval {}, {} bytes", run.retval as i32, run.data_size_out);
        result
    };
    let (out, behind) = area.split_at_mut(64 + 4096);
    assert_eq!(run(out), Err(Errno::EFAULT));
    assert!(behind.iter().all(|&byte| byte == 0xee), "bytes behind data_out changed");
    // With room for all of it, it is given.
    assert_eq!(run(&mut area), Ok(0));
    assert_eq!((area[0], area[11_999], area[12_000]), (0x5a, 0, 0xee));
}
