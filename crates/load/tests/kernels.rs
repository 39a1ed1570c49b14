//! Loaded objects on Linux and on the embedded kernel: what is in their maps, what
//! their programs do, and what is said of those that are refused. Where `bpf(2)` is not
//! permitted, each test says so and goes on without Linux.

use std::sync::Arc;
use std::time::Duration;

use skep_abi::Errno;
use skep_load::{Error, LoadErrorKind, Object, Options, RingBuffer, Skep, Target, load, relocate};
use skep_sys::{Kernel, Linux, TestRun};
use skep_vm::Vm;

fn open(name: &str) -> Object {
    let path = format!("{}/tests/objects/{name}.bpf.o", env!("CARGO_MANIFEST_DIR"));
    Object::open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn linux() -> Arc<dyn Kernel> {
    Arc::new(Linux::new())
}

/// The object, loaded into each kernel that permits it.
fn loaded(object: &Object) -> Vec<Skep> {
    let kernels: [Arc<dyn Kernel>; 2] = [linux(), Arc::new(Vm::new())];
    let load = |kernel: &Arc<dyn Kernel>| match object.load(kernel) {
        Ok(skep) => Some(skep),
        Err(Error::Load(error)) if error.errno() == Some(Errno::EPERM) => {
            println!("skipped on {}: {error}", kernel.name());
            None
        }
        Err(error) => panic!("{}: {error}", kernel.name()),
    };
    kernels.iter().filter_map(load).collect()
}

/// The object `maps` without what the embedded kernel does not have yet.
fn maps() -> Object {
    let mut object = open("maps");
    object.map_mut("bloom").expect("a map").autocreate = false;
    object
}

/// Runs an XDP program on a small packet and gives what it returned.
fn run(skep: &Skep, name: &str) -> u32 {
    let program = skep.program(name).expect("it is loaded");
    let mut out = [0; 256];
    let (run, result) = program.test_run(TestRun {
        data_in: Some((&[0u8; 64][..]).into()),
        data_size_in: 64,
        data_out: (&mut out[..]).into(),
        data_size_out: 256,
        repeat: 1,
        ..TestRun::default()
    });
    result.unwrap_or_else(|errno| panic!("{name}: {errno}"));
    run.retval
}

fn u64_of(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().expect("8 bytes"))
}

#[test]
fn a_program_finds_its_maps_and_variables() {
    for skep in loaded(&maps()) {
        assert_eq!(run(&skep, "count"), 1, "it calls `stop` by the program array");

        let flows: Vec<_> =
            skep.map("flows").expect("a map").entries().collect::<Result<_, _>>().expect("entries");
        assert_eq!(flows.len(), 1);
        assert_eq!(flows[0].1, 1u64.to_ne_bytes());
        let kept = skep.map("kept").expect("a map");
        assert_eq!(kept.lookup(&1u32.to_ne_bytes()), Ok(Some(2u32.to_ne_bytes().to_vec())));

        let cpus = skep.map("per_cpu").expect("a map").lookup_per_cpu(&1u32.to_ne_bytes());
        let cpus = cpus.expect("a look-up").expect("an element");
        let sum: u32 = cpus
            .iter()
            .map(|value| u32::from_ne_bytes(*value.first_chunk().expect("12 bytes")))
            .sum();
        assert_eq!(sum, 7, "`limit`, once, on the CPU that ran");

        let bss = skep.map(".bss").expect("a map");
        let value = bss.lookup(&0u32.to_ne_bytes()).expect("a look-up").expect("an element");
        assert!(value.chunks_exact(8).any(|word| u64_of(word) == 1), "`calls`");
        let inner = skep.map("first").expect("a map").lookup(&0u32.to_ne_bytes());
        assert_eq!(inner, Ok(Some(42u32.to_ne_bytes().to_vec())), "by way of the map of maps");
    }
}

#[test]
fn a_ring_buffer_is_read_in_order() {
    for skep in loaded(&maps()) {
        let mut ring = RingBuffer::new(skep.map("events").expect("a map")).expect("a ring buffer");
        assert_eq!(ring.wait(Duration::ZERO), Ok(false));
        assert_eq!(ring.next_record(), None);
        // Enough to go around the buffer of 8192 bytes some times.
        let mut total = 5;
        for round in 1..=2000u64 {
            run(&skep, "count");
            total += round;
            assert_eq!(ring.wait(Duration::from_secs(1)), Ok(true));
            let record = ring.next_record().expect("a record");
            assert_eq!(u64_of(&record), total, "round {round}");
        }
        assert_eq!(ring.next_record(), None);
        assert!(RingBuffer::new(skep.map("flows").expect("a map")).is_err());
    }
}

#[test]
fn functions_and_callbacks_are_called() {
    let mut object = open("functions");
    object.select(|program| program.section == "xdp");
    for skep in loaded(&object) {
        run(&skep, "some");
        run(&skep, "all");
    }
}

#[test]
fn an_object_from_gcc_runs_without_the_types_that_linux_refuses() {
    for skep in loaded(&open("gcc")) {
        assert_eq!(run(&skep, "count"), 3 + 30 + 7);
        assert_eq!(run(&skep, "count"), 3 + 30 + 7 + 3);
        let flows = skep.map("flows").expect("a map");
        assert_eq!(flows.lookup(&1u32.to_ne_bytes()), Ok(Some(5u64.to_ne_bytes().to_vec())));
    }
}

#[test]
fn constants_are_frozen() {
    for skep in loaded(&maps()) {
        let rodata = skep.map(".rodata").expect("a map");
        let value = vec![0; rodata.def().value_size as usize];
        assert_eq!(rodata.update(&0u32.to_ne_bytes(), &value, 0), Err(Errno::EPERM));
        let memory = rodata.memory(false).expect("it can be mapped to read");
        assert_eq!(memory.load_u32(0), Some(7));
    }
}

#[test]
fn elements_are_set_deleted_and_listed() {
    for skep in loaded(&maps()) {
        let kept = skep.map("kept").expect("a map");
        for key in 10..14u32 {
            kept.update(&key.to_ne_bytes(), &(key * 2).to_ne_bytes(), 0).expect("an update");
        }
        assert_eq!(kept.delete(&11u32.to_ne_bytes()), Ok(true));
        assert_eq!(kept.delete(&11u32.to_ne_bytes()), Ok(false));
        assert_eq!(kept.lookup(&11u32.to_ne_bytes()), Ok(None));
        assert_eq!(kept.lookup(&[1, 2]), Err(Errno::EINVAL), "a key of another size");
        let mut keys: Vec<u32> = kept
            .keys()
            .map(|key| u32::from_ne_bytes(key.expect("a key").try_into().expect("4 bytes")))
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, [10, 12, 13]);

        let per_cpu = skep.map("per_cpu").expect("a map");
        per_cpu.update(&0u32.to_ne_bytes(), &[9; 12], 0).expect("one value for all CPUs");
        let values = per_cpu.lookup_per_cpu(&0u32.to_ne_bytes()).expect("a look-up");
        assert!(values.is_some_and(|values| values.iter().all(|value| value == &[9; 12])));
    }
}

#[test]
fn an_unresolved_record_is_named_when_the_program_gets_there() {
    let mut object = open("core");
    object.select(|program| program.name == "unresolved");
    match object.load(&linux()) {
        Err(Error::Load(error)) => match error.kind() {
            _ if error.errno() == Some(Errno::EPERM) => println!("skipped: {error}"),
            LoadErrorKind::Program { poisoned: Some(poisoned), log, .. } => {
                assert!(poisoned.what.contains("no_such_field"), "{}", poisoned.what);
                assert!(log.contains("invalid func unknown#195896080"), "{log}");
                assert!(error.to_string().contains(&poisoned.what), "{error}");
                assert!(!error.is_unusable_input());
            }
            other => panic!("{other:?}"),
        },
        Err(Error::Relocate(error)) => println!("skipped: {error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn resolved_records_and_externs_please_the_verifier() {
    for (name, program) in [("core", "resolved"), ("externs", "externs")] {
        let mut object = open(name);
        object.select(|of| of.name == program);
        match object.load(&linux()) {
            Ok(skep) => assert_eq!(skep.programs().len(), 1),
            Err(Error::Load(error)) if error.errno() == Some(Errno::EPERM) => {
                println!("skipped: {error}");
            }
            Err(Error::Load(error)) => match error.kind() {
                // The argument of a kprobe is no pointer to a task: how far the verifier
                // gets is what counts here.
                LoadErrorKind::Program { log, poisoned: None, .. } => {
                    assert!(log.contains("invalid mem access 'scalar'"), "{error}\n{log}");
                }
                other => panic!("{other:?}"),
            },
            Err(error) => println!("skipped: {error}"),
        }
    }
}

#[test]
fn a_structure_of_operations_takes_the_kernel_s_layout() {
    let object = open("struct_ops");
    let skep = match object.load(&linux()) {
        Ok(skep) => skep,
        Err(Error::Load(error)) if error.errno() == Some(Errno::EPERM) => {
            return println!("skipped: {error}");
        }
        Err(Error::Relocate(error)) => return println!("skipped: {error}"),
        Err(error) => panic!("{error}"),
    };
    let names: Vec<&str> = skep.programs().iter().map(|program| program.name()).collect();
    assert_eq!(names, ["ssthresh", "cong_avoid", "undo_cwnd"]);
    assert!(skep.map("later").is_none(), "it is left out by its question mark");
    let value = skep.structure("lazy").expect("it is created");
    assert_eq!(value.len(), skep.map("lazy").expect("a map").def().value_size as usize);
    for program in skep.programs() {
        let fd = (program.fd().raw() as u64).to_ne_bytes();
        assert_eq!(value.chunks_exact(8).filter(|word| *word == fd).count(), 1);
    }
    let name = value.windows(8).position(|bytes| bytes == b"bpf_lazy");
    assert!(name.is_some_and(|at| at % 8 == 0));
}

#[test]
fn a_map_that_cannot_be_is_an_unusable_object() {
    let mut object = open("maps");
    object.map_mut("flows").expect("a map").max_entries = 0;
    match object.load(&linux()) {
        Err(Error::Load(error)) if error.errno() == Some(Errno::EPERM) => {
            println!("skipped: {error}");
        }
        Err(Error::Load(error)) => {
            assert!(error.is_unusable_input());
            assert!(error.to_string().contains("map \"flows\": creating failed"), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("max_entries")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn pinned_maps_are_found_again() {
    let pin_dir = std::path::Path::new("/sys/fs/bpf/skep-load-test");
    if let Err(error) = std::fs::create_dir_all(pin_dir) {
        println!("skipped: {}: {error}", pin_dir.display());
        return;
    }
    let kernel = linux();
    let target = Target::of(&*kernel);
    let mut object = open("maps");
    let options = Options { pin_dir: Some(pin_dir.into()), ..Options::default() };
    let linked = relocate(&object, &target).expect("it needs nothing of the machine");
    let result = load(&linked, &target, &kernel, &options).map(|first| {
        let key = 77u32.to_ne_bytes();
        first.map("kept").expect("a map").update(&key, &5u32.to_ne_bytes(), 0).expect("an update");
        drop(first);
        let again = load(&linked, &target, &kernel, &options).expect("it loads again");
        let value = again.map("kept").expect("a map").lookup(&key).expect("a look-up");
        let others = std::fs::read_dir(pin_dir).expect("a folder").count();

        object.map_mut("kept").expect("a map").max_entries += 1;
        let other = relocate(&object, &target).expect("it needs nothing of the machine");
        let differs = load(&other, &target, &kernel, &options).map(drop);
        (value, others, differs)
    });
    let _ = std::fs::remove_file(pin_dir.join("kept"));
    let _ = std::fs::remove_dir(pin_dir);
    match result {
        Ok((value, pins, differs)) => {
            assert_eq!(value, Some(5u32.to_ne_bytes().to_vec()));
            assert_eq!(pins, 1, "only the map that asks for it");
            let error = differs.expect_err("the pinned map has another size");
            assert!(error.to_string().contains("which differs"), "{error}");
        }
        Err(error) if error.errno() == Some(Errno::EPERM) => println!("skipped: {error}"),
        Err(error) => panic!("{error}"),
    }
}
