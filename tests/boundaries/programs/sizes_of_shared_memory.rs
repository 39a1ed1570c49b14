//! Memory that a map shares with user space, opened once more through `/proc` by a peer who
//! wants it smaller: its size is sealed, and no page is taken from under a program.

use std::fs::{OpenOptions, read_dir, read_link};

use skep::vm::Vm;

use crate::tools::{insn, load, map, run, update};

/// An array that may be mapped, and a program that adds to it.
pub fn main() {
    const MMAPABLE: u32 = 1 << 10;
    let vm = Vm::with_cpus(1);
    let array = map(&vm, 2, 4096, 4, MMAPABLE).expect("an array");
    let program = [
        insn(0x62, 10, 0, -4, 1),
        insn(0xbf, 2, 10, 0, 0),
        insn(0x07, 2, 0, 0, -4),
        insn(0x18, 1, 1, 0, array as i32),
        insn(0, 0, 0, 0, 0),
        insn(0x85, 0, 0, 0, 1),
        insn(0x55, 0, 0, 2, 0),
        insn(0xb7, 0, 0, 0, 0),
        insn(0x95, 0, 0, 0, 0),
        insn(0xb7, 1, 0, 0, 1),
        insn(0xdb, 0, 1, 0, 0),
        insn(0xb7, 0, 0, 0, 2),
        insn(0x95, 0, 0, 0, 0),
    ];
    let fd = load(&vm, 6, &program).expect("an accepted program");
    assert_eq!(run(&vm, fd), (Ok(0), None));
    let mut found = 0;
    for entry in read_dir("/proc/self/fd").expect("the process's fds").flatten() {
        let memory = read_link(entry.path()).unwrap_or_default();
        if !memory.to_string_lossy().contains("memfd:skep-map") {
            continue;
        }
        found += 1;
        let file = OpenOptions::new().write(true).open(entry.path()).expect("our own fd");
        for len in [0, 4096, 1 << 20] {
            let resized = file.set_len(len);
            assert!(resized.is_err(), "{len} bytes");
        }
    }
    assert!(found > 0, "the array's memory has no fd");
    assert_eq!(run(&vm, fd), (Ok(0), None));
    assert_eq!(update(&vm, array, 3, &mut [1; 4096]), Ok(0));
}
