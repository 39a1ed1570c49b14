//! A program that was accepted for a constant of a frozen map runs with that constant: else
//! its store would go anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;

use skep::sys::{Command, Kernel, MapFreeze};
use skep::vm::Vm;

use crate::tools::{self, insn};

/// An offset on the stack, and one that leads away.
const GOOD: u64 = -8i64 as u64;
const BAD: u64 = 1 << 40;
const RDONLY_PROG: u32 = 1 << 7;
const ROUNDS: u32 = 500;
/// More than there are CPUs, so that some are stopped in the middle of a write.
const WRITERS: usize = 4;

/// Four writers, and one who freezes, loads, and runs.
pub fn main() {
    let kernel: Arc<dyn Kernel> = Arc::new(Vm::with_cpus(2));
    let (fd, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let steps = [const { AtomicU64::new(0) }; WRITERS];
    let mut ran = 0;
    // Waits until every writer has ended what he had begun, and begun anew.
    let wait = || {
        let before = steps.each_ref().map(|steps| steps.load(SeqCst));
        for (steps, before) in steps.iter().zip(before) {
            while steps.load(SeqCst) < before + 2 {
                thread::yield_now();
            }
        }
    };
    thread::scope(|scope| {
        for (writer, steps) in (0u64..).zip(&steps) {
            let (kernel, fd, stop) = (&*kernel, &fd, &stop);
            scope.spawn(move || {
                for number in writer.. {
                    let map_fd = fd.load(SeqCst);
                    if stop.load(SeqCst) {
                        break;
                    }
                    let value = if number % 3 == 0 { BAD } else { GOOD };
                    let mut value = value.to_ne_bytes();
                    if tools::update(kernel, map_fd, 0, &mut value).is_err() {
                        thread::yield_now();
                    }
                    steps.fetch_add(1, SeqCst);
                }
            });
        }
        for _ in 0..ROUNDS {
            let map = tools::map(&*kernel, 2, 8, 1, RDONLY_PROG).expect("an array");
            tools::update(&*kernel, map, 0, &mut GOOD.to_ne_bytes()).expect("an element");
            fd.store(map, SeqCst);
            wait();
            let attr = || MapFreeze { map_fd: map, ..MapFreeze::default() };
            if (0..10_000).any(|_| kernel.bpf(&mut Command::MapFreeze(attr())).is_ok()) {
                let program = [
                    insn(0x18, 1, 2, 0, map as i32), // r1 = &value
                    insn(0, 0, 0, 0, 0),
                    insn(0x79, 2, 1, 0, 0),  // r2 = *(u64 *)(r1 + 0)
                    insn(0xbf, 3, 10, 0, 0), // r3 = r10
                    insn(0x0f, 3, 2, 0, 0),  // r3 += r2
                    insn(0x7a, 3, 0, 0, 7),  // *(u64 *)(r3 + 0) = 7
                    insn(0xb7, 0, 0, 0, 2),
                    insn(0x95, 0, 0, 0, 0),
                ];
                if let Ok(program) = tools::load(&*kernel, 6, &program) {
                    wait();
                    assert_eq!(tools::run(&*kernel, program), (Ok(0), None));
                    ran += 1;
                }
            }
        }
        stop.store(true, SeqCst);
    });
    assert!(ran > ROUNDS / 10, "{ran} programs were accepted");
}
