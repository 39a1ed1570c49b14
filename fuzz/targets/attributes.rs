//! Any bytes as a sequence of `bpf(2)` attributes: errnos, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_sys::{Memory, raw_bpf};
use skep_vm::Vm;

fuzz_target!(|bytes: &[u8]| {
    let vm = Vm::with_cpus(2).with_budget(1000);
    for attr in bytes.chunks(72).take(16) {
        let Some((&cmd, attr)) = attr.split_first() else { return };
        let mut attr = attr.to_vec();
        let mut memory = Memory::default();
        memory.add(0x1000, vec![1; 512]);
        // Small maps only: sizes are those of the map's fields.
        for offset in [4, 8, 12] {
            if let Some(size) = attr.get_mut(offset + 2..offset + 4) {
                size.fill(0);
            }
        }
        let _ = raw_bpf(&vm, u32::from(cmd) % 40, &mut attr, &mut memory);
    }
});
