//! A hook runs in the kernel that its program is of, as long as the hook lives.

use std::sync::Arc;
use std::thread;

use skep::sys::Kernel;
use skep::vm::Vm;
use skep::vm::hooks::{PacketError, PacketHook};

use crate::tools::{self, insn};

const PERCPU_ARRAY: u32 = 6;

fn counting(kernel: &dyn Kernel) -> (u32, u32) {
    let map = tools::map(kernel, PERCPU_ARRAY, 8, 1, 0).expect("a map");
    let program = tools::load(kernel, 6, &[
        insn(0x62, 10, 0, -4, 0),
        insn(0xbf, 2, 10, 0, 0),
        insn(0x07, 2, 0, 0, -4),
        insn(0x18, 1, 1, 0, map as i32),
        insn(0, 0, 0, 0, 0),
        insn(0x85, 0, 0, 0, 1), // r0 = lookup(map, &0)
        insn(0x15, 0, 0, 3, 0),
        insn(0x79, 1, 0, 0, 0),
        insn(0x07, 1, 0, 0, 1),
        insn(0x7b, 0, 1, 0, 0), // (*r0)++
        insn(0xb7, 0, 0, 0, 2),
        insn(0x95, 0, 0, 0, 0),
    ]);
    (map, program.expect("a program"))
}

/// Kernels of one vCPU and of many, and hooks that outlive their names.
pub fn main() {
    let (one, many) = (Arc::new(Vm::with_cpus(1)), Arc::new(Vm::with_cpus(64)));
    let (map, program) = counting(&*one);
    let (_, other) = counting(&*many);
    let mut hook = PacketHook::new(&one, program as i32).expect("XDP");
    let mut beside = PacketHook::new(&many, other as i32).expect("XDP");
    // More threads than vCPUs: whoever finds none waits, and slots are never shared.
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut hook = PacketHook::new(&one, program as i32).expect("XDP");
            scope.spawn(move || {
                for _ in 0..10_000 {
                    assert!(hook.run(&[0; 64]).is_ok());
                }
            });
        }
        for _ in 0..1000 {
            assert!(beside.run(&[0; 64]).is_ok());
            assert!(hook.run(&[0; 64]).is_ok());
        }
    });
    let mut value = [0; 8];
    tools::lookup(&*one, map, 0, &mut value).expect("a value");
    assert_eq!(u64::from_ne_bytes(value), 41_000);
    // The kernel goes when the hook does.
    let weak = Arc::downgrade(&one);
    drop(one);
    assert!(hook.run(&[0; 64]).is_ok());
    let moved = thread::spawn(move || hook.run(&[0; 64]).map(|_| hook));
    drop(moved.join().expect("no panic"));
    assert!(weak.upgrade().is_none());
    // Frames of any length have an answer.
    assert_eq!(beside.run(&[]), Err(PacketError::TooShort(0)));
    assert_eq!(beside.run(&[0; 13]), Err(PacketError::TooShort(13)));
    assert!(beside.run(&vec![0; 1 << 20]).is_ok());
    let long = vec![0; (1 << 28) + 1];
    assert_eq!(beside.run(&long), Err(PacketError::TooLong(long.len())));
    assert_eq!(PacketHook::new(&many, -1).err(), Some(PacketError::Program(skep::Errno::EBADF)));
}
