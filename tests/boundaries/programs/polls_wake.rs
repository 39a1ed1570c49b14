//! `poll` of a ring buffer sleeps until there is something to read, from several threads, and
//! never longer than it was told to.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use skep::Errno;
use skep::sys::{Command, Fd, Kernel, MapCreate};
use skep::vm::Vm;
use skep::vm::hooks::PacketHook;

use crate::tools::{self, insn};

const RINGBUF: u32 = 27;
const NO_WAKEUP: i32 = 1;
const LONG: Duration = Duration::from_secs(3600);

fn ring(vm: &Arc<Vm>) -> Fd {
    let kernel: Arc<dyn Kernel> = vm.clone();
    let attr = MapCreate { map_type: RINGBUF, max_entries: 4096, ..MapCreate::default() };
    Fd::open(&kernel, &mut Command::MapCreate(attr)).expect("a ring")
}

fn submitting(vm: &Arc<Vm>, ring: &Fd, flags: i32) -> PacketHook {
    let program = tools::load(&**vm, 6, &[
        insn(0x7a, 10, 0, -8, 7),
        insn(0x18, 1, 1, 0, ring.raw()),
        insn(0, 0, 0, 0, 0),
        insn(0xbf, 2, 10, 0, 0),
        insn(0x07, 2, 0, 0, -8),
        insn(0xb7, 3, 0, 0, 8),
        insn(0xb7, 4, 0, 0, flags),
        insn(0x85, 0, 0, 0, 130), // ringbuf_output(ring, &7, 8, flags)
        insn(0xb7, 0, 0, 0, 2),
        insn(0x95, 0, 0, 0, 0),
    ]);
    PacketHook::new(vm, program.expect("a program") as i32).expect("XDP")
}

/// Waits that end, and waits that find nothing.
pub fn main() {
    let vm = Arc::new(Vm::with_cpus(2));
    for _ in 0..200 {
        let fd = ring(&vm);
        let mut hook = submitting(&vm, &fd, 0);
        let (ready, waits) = channel();
        thread::scope(|scope| {
            for _ in 0..3 {
                let (fd, ready) = (&fd, ready.clone());
                scope.spawn(move || {
                    ready.send(()).expect("somebody hears");
                    assert_eq!(fd.poll(LONG), Ok(true));
                });
            }
            (0..3).for_each(|_| waits.recv().expect("three threads"));
            assert!(hook.run(&[0; 64]).is_ok());
        });
    }
    let fd = ring(&vm);
    let started = Instant::now();
    assert_eq!(fd.poll(Duration::from_millis(30)), Ok(false));
    assert!(started.elapsed() >= Duration::from_millis(30));
    assert_eq!(fd.poll(Duration::ZERO), Ok(false));
    // Who is not told still finds it in the end.
    let mut quiet = submitting(&vm, &fd, NO_WAKEUP);
    assert!(quiet.run(&[0; 64]).is_ok());
    assert_eq!(fd.poll(Duration::MAX), Ok(true));
    // What is no ring.
    let kernel: Arc<dyn Kernel> = vm;
    let array = Fd::open(&kernel, &mut tools::creating(2, 8, 1, 0)).expect("an array");
    assert_eq!(array.poll(LONG), Err(Errno::EINVAL));
}
