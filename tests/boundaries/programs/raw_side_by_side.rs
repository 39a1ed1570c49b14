//! `raw_bpf`: buffers without a gap between them, and two outputs in one buffer.

use skep::Errno;
use skep::sys::{Kernel, Memory, raw_bpf};
use skep::vm::Vm;

use crate::tools;

/// A key whose address is the end of another buffer, and keys and values in one buffer.
pub fn main() {
    let vm = Vm::with_cpus(1);
    let map = tools::map(&vm, 2, 8, 4, 0).unwrap();
    let elem = |cmd: u32, key: u64, value: u64, memory: &mut Memory| {
        let mut attr = [0u8; 32];
        attr[0..4].copy_from_slice(&map.to_ne_bytes());
        attr[8..16].copy_from_slice(&key.to_ne_bytes());
        attr[16..24].copy_from_slice(&value.to_ne_bytes());
        raw_bpf(&vm, cmd, &mut attr, memory)
    };
    let beside = || {
        let mut memory = Memory::default();
        memory.add(0x1000, vec![0xff; 16]);
        memory.add(0x1010, 2u32.to_ne_bytes().to_vec());
        memory.add(0x1014, 7u64.to_ne_bytes().to_vec());
        memory
    };
    assert_eq!(elem(2, 0x1010, 0x1014, &mut beside()), Ok(0), "MAP_UPDATE_ELEM");
    let mut memory = beside();
    assert_eq!(elem(1, 0x1010, 0x1000, &mut memory), Ok(0), "MAP_LOOKUP_ELEM");
    let first = memory.buffers().next().unwrap().1.to_vec();
    assert_eq!(first[..8], 7u64.to_ne_bytes());
    // Right behind the last: nothing is there, and only a read of something is a fault.
    assert_eq!(elem(1, 0x101c, 0x1000, &mut beside()), Err(Errno::EFAULT));
    let queue = vm
        .bpf(&mut skep::sys::Command::MapCreate(skep::sys::MapCreate {
            map_type: 22,
            value_size: 8,
            max_entries: 2,
            ..skep::sys::MapCreate::default()
        }))
        .unwrap();
    let mut attr = [0u8; 32];
    attr[0..4].copy_from_slice(&queue.to_ne_bytes());
    attr[16..24].copy_from_slice(&0x1014u64.to_ne_bytes());
    assert_eq!(raw_bpf(&vm, 2, &mut attr, &mut beside()), Ok(0), "no key to read");

    // Values before keys in one buffer: each is written, neither undoes the other.
    let mut memory = Memory::default();
    memory.add(0x1000, vec![0xff; 4 * 8 + 4 * 4]);
    memory.add(0x2000, vec![0; 4]);
    let mut attr = [0u8; 56];
    attr[8..16].copy_from_slice(&0x2000u64.to_ne_bytes());
    attr[16..24].copy_from_slice(&0x1020u64.to_ne_bytes());
    attr[24..32].copy_from_slice(&0x1000u64.to_ne_bytes());
    attr[32..36].copy_from_slice(&4u32.to_ne_bytes());
    attr[36..40].copy_from_slice(&map.to_ne_bytes());
    let _ = raw_bpf(&vm, 24, &mut attr, &mut memory);
    let bytes = memory.buffers().next().unwrap().1.to_vec();
    assert_eq!(bytes[16..24], 7u64.to_ne_bytes(), "the value of key 2");
    assert_eq!(bytes[32..], [0u32, 1, 2, 3].map(u32::to_ne_bytes).concat());
}
