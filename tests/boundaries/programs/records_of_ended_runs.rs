//! A run that ends between reserving a record and submitting it: the record is thrown away,
//! and the ring goes on.

use std::path::Path;
use std::sync::Arc;

use skep::load::{Options, Target, load, relocate};
use skep::sys::{Command, Fd, MapCreate};
use skep::vm::{Engine, Vm};
use skep::{Kernel, Object, RingBuffer};

use crate::tools::{insn, run};

/// By a budget that ends a walk over a map, and by a trap.
pub fn main() {
    for engine in [Engine::Interpreter, Engine::Guarded, Engine::Auto] {
        ended_by_its_budget(engine);
        ended_by_a_trap(engine);
    }
}

fn ended_by_its_budget(engine: Engine) {
    let vm = Arc::new(Vm::with_cpus(1).with_engine(engine).with_budget(12));
    let kernel: Arc<dyn Kernel> = vm.clone();
    let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs/xdp_held.bpf.o");
    let object = Object::open(object).expect("a committed object");
    let target = Target::of(&*kernel);
    let linked = relocate(&object, &target).expect("nothing is missing");
    let skep = load(&linked, &target, &kernel, &Options::default()).expect("the object loads");
    let fd = |name: &str| skep.program(name).expect("a program of this name").fd().raw() as u32;
    let mut ring = RingBuffer::new(skep.map("ring").expect("a map of this name")).expect("a ring");
    // More records than the ring has room for.
    for round in 0..400 {
        let (result, why) = run(&*vm, fd("held"));
        assert!(result.is_err(), "{engine:?}, round {round}");
        assert!(why.is_some_and(|why| why.contains("budget")), "{engine:?}");
        assert_eq!(ring.next_record(), None, "{engine:?}, round {round}");
    }
    for _ in 0..3 {
        assert_eq!(run(&*vm, fd("brief")), (Ok(0), None), "{engine:?}");
        assert_eq!(ring.next_record(), Some(7u64.to_ne_bytes().to_vec()), "{engine:?}");
        assert!(run(&*vm, fd("held")).0.is_err(), "{engine:?}");
        assert_eq!(ring.next_record(), None, "{engine:?}");
    }
}

fn ended_by_a_trap(engine: Engine) {
    let vm: Arc<dyn Kernel> = Arc::new(Vm::with_cpus(1).unverified().with_engine(engine));
    let ring = map_of(&vm);
    let program = [
        insn(0x18, 1, 1, 0, ring.raw()),
        insn(0, 0, 0, 0, 0),
        insn(0xb7, 2, 0, 0, 8),
        insn(0xb7, 3, 0, 0, 0),
        insn(0x85, 0, 0, 0, 131),
        // No record: 1. Else a load from address 0.
        insn(0x55, 0, 0, 2, 0),
        insn(0xb7, 0, 0, 0, 1),
        insn(0x95, 0, 0, 0, 0),
        insn(0xb7, 1, 0, 0, 0),
        insn(0x79, 0, 1, 0, 0),
        insn(0x95, 0, 0, 0, 0),
    ];
    let fd = crate::tools::load(&*vm, 6, &program).expect("it is not verified");
    for round in 0..300 {
        let (result, why) = run(&*vm, fd);
        // Discarded records take room until a reader passes them, so that at last the
        // ring is full, and not stuck.
        if result.is_ok() {
            assert!(round > 200, "{engine:?}, round {round}");
            break;
        }
        assert!(why.is_some_and(|why| why.contains("no pointer")), "{engine:?}");
    }
    let mapped = ring.map(4096, 8192, false).expect("a ring is mapped");
    let first = mapped.load_u32(4096).expect("inside");
    assert_eq!(first >> 30, 1, "{engine:?}: thrown away, and not busy: {first:#x}");
}

fn map_of(vm: &Arc<dyn Kernel>) -> Fd {
    let create = MapCreate { map_type: 27, max_entries: 4096, ..MapCreate::default() };
    Fd::open(vm, &mut Command::MapCreate(create)).expect("a ring")
}
