//! MAP_FREEZE against every way to write a map: what is frozen never changes again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;

use skep::sys::{Command, Kernel, MapBatch, MapCreate, MapDelete, MapElem, MapFreeze};
use skep::vm::Vm;

use crate::tools;

const ARRAY: u32 = 2;
const HASH: u32 = 1;
const QUEUE: u32 = 22;
const ROUNDS: u64 = 500;
/// More than there are CPUs, so that some are stopped in the middle of a write.
const WRITERS: usize = 4;

/// One way to write.
fn write(kernel: &dyn Kernel, kind: u32, map_fd: u32, way: u64, number: u64) -> bool {
    let (key, mut value) = (0u32.to_ne_bytes(), number.to_ne_bytes());
    let key = if kind == QUEUE { None } else { Some(key[..].into()) };
    let written = match (kind, way % 4) {
        (HASH, 0) => kernel.bpf(&mut Command::MapDelete(MapDelete { map_fd, key, ..Default::default() })),
        (HASH | ARRAY, 1) => kernel.bpf(&mut Command::MapUpdateBatch(MapBatch {
            map_fd,
            count: 1,
            keys: (&mut [0u8; 4][..]).into(),
            values: (&mut value[..]).into(),
            ..MapBatch::default()
        })),
        (HASH | QUEUE, 2) => kernel.bpf(&mut Command::MapLookupAndDelete(MapElem {
            map_fd,
            key,
            value: (&mut value[..]).into(),
            ..MapElem::default()
        })),
        _ => kernel.bpf(&mut Command::MapUpdate(MapElem {
            map_fd,
            key,
            value: (&mut value[..]).into(),
            ..MapElem::default()
        })),
    };
    written.is_ok()
}

fn contents(kernel: &dyn Kernel, kind: u32, map_fd: u32) -> Option<u64> {
    let (key, mut value) = (0u32.to_ne_bytes(), [0u8; 8]);
    let found = kernel.bpf(&mut Command::MapLookup(MapElem {
        map_fd,
        key: if kind == QUEUE { None } else { Some(key[..].into()) },
        value: (&mut value[..]).into(),
        ..MapElem::default()
    }));
    found.ok().map(|_| u64::from_ne_bytes(value))
}

fn make(kernel: &dyn Kernel, kind: u32) -> u32 {
    let key_size = if kind == QUEUE { 0 } else { 4 };
    let attr = MapCreate {
        map_type: kind,
        key_size,
        value_size: 8,
        max_entries: 1,
        ..Default::default()
    };
    kernel.bpf(&mut Command::MapCreate(attr)).expect("a map")
}

/// Four writers and one who freezes: nobody writes after him.
pub fn main() {
    let kernel: Arc<dyn Kernel> = Arc::new(Vm::with_cpus(2));
    for kind in [ARRAY, HASH, QUEUE] {
        let (fd, done) = (AtomicU32::new(0), AtomicBool::new(false));
        let steps = [const { AtomicU64::new(0) }; WRITERS];
        let (mut frozen, mut changed) = (0, Vec::new());
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
            for (way, steps) in (0u64..).zip(&steps) {
                let (kernel, fd, done) = (&*kernel, &fd, &done);
                scope.spawn(move || {
                    for number in way << 40.. {
                        if done.load(SeqCst) {
                            break;
                        }
                        if !write(kernel, kind, fd.load(SeqCst), way + number, number) {
                            thread::yield_now();
                        }
                        steps.fetch_add(1, SeqCst);
                    }
                });
            }
            for _ in 0..ROUNDS {
                let map_fd = make(&*kernel, kind);
                fd.store(map_fd, SeqCst);
                wait();
                let freeze = || {
                    let attr = MapFreeze { map_fd, ..MapFreeze::default() };
                    kernel.bpf(&mut Command::MapFreeze(attr)).is_ok()
                };
                // Somebody may be writing every time that it is tried.
                if (0..10_000).any(|_| freeze()) {
                    frozen += 1;
                    let first = contents(&*kernel, kind, map_fd);
                    wait();
                    let last = contents(&*kernel, kind, map_fd);
                    if first != last {
                        changed.push((first, last));
                    }
                }
            }
            done.store(true, SeqCst);
        });
        assert!(frozen > ROUNDS / 4, "{frozen} maps of type {kind} were frozen");
        assert_eq!(changed, [], "of type {kind}, of {frozen}");
    }
    // The right to write is not enough, and freezing once is.
    let map_fd = make(&*kernel, ARRAY);
    let freeze =
        |map_fd| kernel.bpf(&mut Command::MapFreeze(MapFreeze { map_fd, ..MapFreeze::default() }));
    assert_eq!(freeze(map_fd), Ok(0));
    assert_eq!(freeze(map_fd), Err(skep::Errno::EPERM));
    assert_eq!(tools::update(&*kernel, map_fd, 0, &mut [0; 8]), Err(skep::Errno::EPERM));
}
