//! Runs that a printer starts: on the same vCPU, with stacks of their own, to a depth, and
//! without a hang; what they print comes in order.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{mem, thread};

use skep::Errno;
use skep::sys::Kernel;
use skep::vm::hooks::{PacketError, PacketHook};
use skep::vm::{MOST_NESTED, NoVcpu, Vm};

use crate::tools::{self, insn};

const PERCPU_ARRAY: u32 = 6;

/// A program that counts its runs on its vCPU, keeps a word on its stack, prints `text`, and
/// returns the word.
fn printing(kernel: &dyn Kernel, map: u32, text: &[u8; 4], word: i32) -> i32 {
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
        insn(0x7a, 10, 0, -16, word),
        insn(0x62, 10, 0, -8, i32::from_ne_bytes(*text)),
        insn(0xbf, 1, 10, 0, 0),
        insn(0x07, 1, 0, 0, -8),
        insn(0xb7, 2, 0, 0, 4),
        insn(0x85, 0, 0, 0, 6), // printk(text, 4)
        insn(0x79, 0, 10, -16, 0),
        insn(0x95, 0, 0, 0, 0),
    ]);
    program.expect("a program") as i32
}

/// The sum over all vCPUs, and how many of them counted.
fn counts(vm: &Vm, map: u32) -> (u64, usize) {
    let mut values = vec![0; 8 * vm.possible_cpus() as usize];
    tools::lookup(vm, map, 0, &mut values).expect("values");
    let (words, _) = values.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    (words.iter().sum(), words.iter().filter(|word| **word > 0).count())
}

type Said = Arc<Mutex<Vec<String>>>;

/// A printer whose runs go on until one is refused.
fn nests_as_deeply_as_it_may(cpus: u32) {
    let vm = Arc::new(Vm::with_cpus(cpus));
    let map = tools::map(&*vm, PERCPU_ARRAY, 8, 1, 0).expect("a map");
    let fds = [printing(&*vm, map, b"one\0", 1), printing(&*vm, map, b"two\0", 2)];
    let mut outer = PacketHook::new(&vm, fds[0]).expect("XDP");
    let mut inner = PacketHook::new(&vm, fds[1]).expect("XDP");
    let said = Said::default();
    let (heard, kernel) = (said.clone(), Arc::downgrade(&vm));
    vm.environment().set_printer(move |text| {
        let ended = match inner.run(&[0; 64]) {
            Ok(verdict) => format!("{text} {}", verdict.retval),
            Err(error) => {
                assert_eq!(error, PacketError::Vcpu(NoVcpu::Nested));
                let kernel = kernel.upgrade().expect("it runs");
                let (result, why) = tools::run(&*kernel, fds[1] as u32);
                assert_eq!(result, Err(Errno::EBUSY));
                assert_eq!(why, Some(NoVcpu::Nested.to_string()));
                format!("{text} refused")
            }
        };
        heard.lock().expect("no panic").push(ended);
    });
    assert_eq!(outer.run(&[0; 64]).map(|verdict| verdict.retval), Ok(1));
    let said = mem::take(&mut *said.lock().expect("no panic"));
    let mut expected = vec!["two 2".to_owned(); MOST_NESTED as usize];
    expected[0] = "one 2".to_owned();
    expected[MOST_NESTED as usize - 1] = "two refused".to_owned();
    assert_eq!(said, expected);
    assert_eq!(counts(&vm, map), (MOST_NESTED.into(), 1), "on one vCPU");
    // And all is as before.
    vm.environment().set_printer(|_| {});
    assert_eq!(outer.run(&[0; 64]).map(|verdict| verdict.retval), Ok(1));
}

/// A printer that sets another one.
fn a_printer_replaces_itself() {
    let vm = Arc::new(Vm::with_cpus(1));
    let map = tools::map(&*vm, PERCPU_ARRAY, 8, 1, 0).expect("a map");
    let mut hook = PacketHook::new(&vm, printing(&*vm, map, b"one\0", 1)).expect("XDP");
    let said = Said::default();
    let (heard, kernel) = (said.clone(), Arc::downgrade(&vm));
    vm.environment().set_printer(move |text| {
        heard.lock().expect("no panic").push(format!("first {text}"));
        let heard = heard.clone();
        let kernel = kernel.upgrade().expect("it runs");
        kernel.environment().set_printer(move |text| {
            heard.lock().expect("no panic").push(format!("second {text}"));
        });
    });
    for _ in 0..3 {
        assert!(hook.run(&[0; 64]).is_ok());
    }
    assert_eq!(*said.lock().expect("no panic"), ["first one", "second one", "second one"]);
}

/// Printers of two kernels that run programs of the other's, in two threads.
fn two_kernels_run_each_others_programs() {
    let kernels = [Arc::new(Vm::with_cpus(1)), Arc::new(Vm::with_cpus(1))];
    let fds = kernels.each_ref().map(|vm| {
        let map = tools::map(&**vm, PERCPU_ARRAY, 8, 1, 0).expect("a map");
        printing(&**vm, map, b"one\0", 1)
    });
    for at in [0, 1] {
        let mut other = PacketHook::new(&kernels[1 - at], fds[1 - at]).expect("XDP");
        kernels[at].environment().set_printer(move |_| {
            thread::sleep(Duration::from_millis(20));
            // It may find the other one's only vCPU taken by who waits for this one's.
            let _ = other.run(&[0; 64]);
        });
    }
    thread::scope(|scope| {
        for at in [0, 1] {
            let mut hook = PacketHook::new(&kernels[at], fds[at]).expect("XDP");
            scope.spawn(move || assert!(hook.run(&[0; 64]).is_ok()));
        }
    });
}

/// What two threads print comes out whole, one after the other.
fn threads_take_turns() {
    const EACH: usize = 2000;
    let vm = Arc::new(Vm::with_cpus(2));
    let map = tools::map(&*vm, PERCPU_ARRAY, 8, 1, 0).expect("a map");
    let (mut inside, said) = (false, Said::default());
    let heard = said.clone();
    vm.environment().set_printer(move |text| {
        assert!(!mem::replace(&mut inside, true));
        heard.lock().expect("no panic").push(text.to_owned());
        thread::yield_now();
        inside = false;
    });
    thread::scope(|scope| {
        for text in [b"one\0", b"two\0"] {
            let mut hook = PacketHook::new(&vm, printing(&*vm, map, text, 1)).expect("XDP");
            scope.spawn(move || (0..EACH).for_each(|_| drop(hook.run(&[0; 64]))));
        }
    });
    let said = said.lock().expect("no panic");
    assert_eq!(said.iter().filter(|text| *text == "one").count(), EACH);
    assert_eq!(said.len(), 2 * EACH);
}

/// All of them.
pub fn main() {
    nests_as_deeply_as_it_may(1);
    nests_as_deeply_as_it_may(4);
    a_printer_replaces_itself();
    two_kernels_run_each_others_programs();
    threads_take_turns();
}
