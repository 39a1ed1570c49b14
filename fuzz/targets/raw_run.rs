//! Any bytes as a program on the tagged interpreter: an outcome, never host damage.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use skep_isa::Slot;
use skep_vm::{RawMemory, Vm, run_raw};

static VM: LazyLock<Vm> = LazyLock::new(|| Vm::with_cpus(1).with_budget(10_000));

fuzz_target!(|bytes: &[u8]| {
    let Some(slots) = Slot::split(&bytes[..bytes.len() & !7]) else { return };
    let mut memory = RawMemory::new(&[0x5a; 64]);
    let _ = run_raw(&VM, &slots, &mut memory);
});
