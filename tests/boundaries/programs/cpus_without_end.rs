//! A kernel with more vCPUs than there can be gets as many as there can be, and makes none
//! before it is used.

use std::sync::Arc;

use skep::sys::Kernel;
use skep::vm::hooks::PacketHook;
use skep::vm::{MOST_CPUS, Vm};

use crate::tools::{self, insn};

const PERCPU_ARRAY: u32 = 6;

/// From none to as many as a number holds.
pub fn main() {
    for (cpus, made) in [(0, 1), (1, 1), (65, 65), (MOST_CPUS, MOST_CPUS), (u32::MAX, MOST_CPUS)] {
        let vm = Arc::new(Vm::with_cpus(cpus));
        assert_eq!(vm.possible_cpus(), made);
        let map = tools::map(&*vm, PERCPU_ARRAY, 8, 1, 0).expect("a map");
        let program = tools::load(&*vm, 6, &[
            insn(0x62, 10, 0, -4, 0),
            insn(0xbf, 2, 10, 0, 0),
            insn(0x07, 2, 0, 0, -4),
            insn(0x18, 1, 1, 0, map as i32),
            insn(0, 0, 0, 0, 0),
            insn(0x85, 0, 0, 0, 1), // r0 = lookup(map, &0)
            insn(0x15, 0, 0, 1, 0),
            insn(0x7a, 0, 0, 0, 7),
            insn(0xb7, 0, 0, 0, 2),
            insn(0x95, 0, 0, 0, 0),
        ]);
        let mut hook = PacketHook::new(&vm, program.expect("a program") as i32).expect("XDP");
        assert_eq!(hook.run(&[0; 64]).map(|verdict| verdict.retval), Ok(2));
        let mut values = vec![0xff; 8 * made as usize];
        tools::lookup(&*vm, map, 0, &mut values).expect("the values of all vCPUs");
        assert_eq!(values[..8], 7u64.to_ne_bytes());
        assert!(values[8..].iter().all(|&byte| byte == 0));
    }
}
