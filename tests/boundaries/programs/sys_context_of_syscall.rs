//! TEST_RUN of a syscall program writes to where it read the context from: what was only
//! lent for reading stays as it was.

use skep::sys::{Command, Fd, ProgLoad, TestRun};

use crate::tools;

/// A program that changes its context, which is lent, and then given.
pub fn main() {
    let Some(kernel) = tools::linux() else { return };
    let insns = [
        tools::insn(0x62, 1, 0, 0, 7), // ctx[0] = 7
        tools::insn(0xb7, 0, 0, 0, 0),
        tools::insn(0x95, 0, 0, 0, 0),
    ];
    let mut load = Command::ProgLoad(Box::new(ProgLoad {
        prog_type: 31,
        prog_flags: 1 << 4, // sleepable
        insn_cnt: 3,
        insns: Some(insns.concat().into()),
        license: Some(b"GPL\0"[..].into()),
        ..ProgLoad::default()
    }));
    let program = Fd::open(&kernel, &mut load).unwrap();
    let lent = Box::new([0u8; 8]);
    let run = |ctx_in| {
        let mut command = Command::TestRun(Box::new(TestRun {
            prog_fd: program.raw() as u32,
            ctx_size_in: 8,
            ctx_in: Some(ctx_in),
            ..TestRun::default()
        }));
        kernel.bpf(&mut command).unwrap();
        let Command::TestRun(run) = command else { unreachable!() };
        run.ctx_in.unwrap().into_owned()
    };
    run(lent[..].into());
    assert_eq!(*std::hint::black_box(&lent), Box::new([0u8; 8]));
    assert_eq!(run(vec![0u8; 8].into()), [7, 0, 0, 0, 0, 0, 0, 0]);
}
