//! Any bytes as an ELF object: an error, or programs that relocate and load into the
//! embedded kernel, or an error there.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use skep_load::{Object, Options, Target, load, relocate};
use skep_sys::{Host, Kernel};
use skep_vm::Vm;

static TARGET: LazyLock<Target> = LazyLock::new(|| Target::new(Host::default()));

fuzz_target!(|bytes: &[u8]| {
    let Ok(object) = Object::parse("fuzz.o", bytes) else { return };
    let Ok(linked) = relocate(&object, &TARGET) else { return };
    // Maps may ask for gigabytes, which is their right.
    if linked
        .maps
        .iter()
        .any(|map| u64::from(map.max_entries) * u64::from(map.value_size) > 1 << 20)
    {
        return;
    }
    let vm: Arc<dyn Kernel> = Arc::new(Vm::with_cpus(1));
    let _ = load(&linked, &TARGET, &vm, &Options::default());
});
