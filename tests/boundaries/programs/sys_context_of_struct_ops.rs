//! TEST_RUN of a `struct_ops` program: the first argument in its context is an address,
//! which Linux would read from and write to.

use skep::Errno;
use skep::btf::{Btf, Kind};
use skep::sys::{Command, Fd, ProgLoad, TestRun};

use crate::tools;

/// A program that changes its state, with an address of ours for it.
pub fn main() {
    let Some(kernel) = tools::linux() else { return };
    let types = kernel.host().vmlinux_btf().and_then(|bytes| Btf::parse(bytes.to_vec()).ok());
    let id = types.and_then(|types| types.find("bpf_dummy_ops", Kind::Struct));
    let Some(id) = id else {
        println!("skipped: no struct bpf_dummy_ops in this kernel");
        return;
    };
    let insns = [
        tools::insn(0x79, 1, 1, 0, 0), // r1 = the state
        tools::insn(0xb7, 0, 0, 0, 0),
        tools::insn(0x15, 1, 0, 1, 0),
        tools::insn(0x62, 1, 0, 0, 0x5a5a5a5a), // state->val = ...
        tools::insn(0x95, 0, 0, 0, 0),
    ];
    let loading = |insns: &[[u8; 8]]| {
        Command::ProgLoad(Box::new(ProgLoad {
            prog_type: 27,
            insn_cnt: insns.len() as u32,
            insns: Some(insns.concat().into()),
            license: Some(b"GPL\0"[..].into()),
            attach_btf_id: id,
            ..ProgLoad::default()
        }))
    };
    let program = match Fd::open(&kernel, &mut loading(&insns)) {
        Ok(program) => program,
        Err(errno) => {
            println!("skipped: a program for bpf_dummy_ops: {errno}");
            return;
        }
    };
    let victim = Box::new([0u8; 16]);
    let run = |address: u64| {
        kernel.bpf(&mut Command::TestRun(Box::new(TestRun {
            prog_fd: program.raw() as u32,
            ctx_size_in: 8,
            ctx_in: Some(address.to_ne_bytes().to_vec().into()),
            ..TestRun::default()
        })))
    };
    assert_eq!(run(victim.as_ptr().addr() as u64), Err(Errno::EFAULT));
    assert_eq!(*std::hint::black_box(&victim), Box::new([0u8; 16]));
    assert_eq!(run(0), Ok(0));
}
