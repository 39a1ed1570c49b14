//! A packet longer than its slice says: neither kernel reads what lies behind.

use skep::sys::{Command, Errno, Kernel, TestRun};
use skep::vm::Vm;

use crate::tools;

/// TEST_RUN with 64 bytes of which the slice has 8.
pub fn main() {
    let vm = Vm::with_cpus(1);
    let prog_fd = tools::load(&vm, 6, &[tools::insn(0xb7, 0, 0, 0, 2), tools::insn(0x95, 0, 0, 0, 0)]);
    let prog_fd = prog_fd.unwrap();
    let packet = [0u8; 8];
    let run = TestRun {
        prog_fd,
        data_size_in: 64,
        data_in: Some(packet[..].into()),
        ..TestRun::default()
    };
    assert_eq!(vm.bpf(&mut Command::TestRun(Box::new(run))), Err(Errno::EFAULT));
}
