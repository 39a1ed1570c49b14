//! What is in an object, as its C source beside it in `objects/` says.

use skep_abi::{AttachType, MapType, ProgType, flags};
use skep_load::{
    ExternKind, KconfigType, Loader, MapOrigin, Object, ObjectErrorKind, RelocateErrorKind, Target,
    relocate,
};
use skep_sys::Host;

fn open(name: &str) -> Object {
    let path = format!("{}/tests/objects/{name}.bpf.o", env!("CARGO_MANIFEST_DIR"));
    Object::open(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn programs_are_listed_with_what_their_section_says() {
    let object = open("functions");
    let names: Vec<&str> = object.programs.iter().map(|program| &*program.name).collect();
    assert_eq!(names, ["all", "some", "one", "sleepy"]);
    let sleepy = object.program("sleepy").expect("it is listed");
    assert_eq!(sleepy.prog_type, Some(ProgType::Tracing));
    assert_eq!(sleepy.attach_type, Some(AttachType::TraceFentry));
    assert_eq!(sleepy.target.as_deref(), Some("bpf_fentry_test1"));
    assert_eq!(sleepy.flags, flags::prog::SLEEPABLE);
    assert_eq!((object.license.as_str(), object.kernel_version), ("GPL", None));
}

#[test]
fn a_question_mark_lists_a_program_and_leaves_it_out() {
    let mut object = open("maps");
    let later = object.program("later").expect("it is listed");
    assert_eq!((later.autoload, later.section.as_str()), (false, "tc"));
    let target = Target::default();
    let linked = relocate(&object, &target).expect("it needs nothing of the machine");
    assert!(linked.programs.iter().all(|program| program.def.name != "later"));

    object.select(|program| program.name == "later");
    let linked = relocate(&object, &target).expect("it needs nothing of the machine");
    assert_eq!(linked.programs.len(), 1);
    assert_eq!(linked.programs[0].def.name, "later");
}

#[test]
fn maps_have_the_numbers_and_types_of_their_definition() {
    let object = open("maps");
    let flows = object.map("flows").expect("it is defined");
    assert_eq!(flows.kind(), Some(MapType::Hash));
    assert_eq!((flows.key_size, flows.value_size, flows.max_entries), (8, 8, 64));
    assert_eq!(flows.flags, flags::map::NO_PREALLOC);
    let btf = object.btf.as_ref().expect("the object has types");
    let key = btf.type_by_id(flows.key_type_id).expect("its id is in range");
    assert_eq!(key.name(), "key");

    assert_eq!(object.map("events").map(|map| map.max_entries), Some(8192), "whole pages");
    assert_eq!(object.map("bloom").map(|map| map.extra), Some(3));
    assert!(object.map("kept").is_some_and(|map| map.pinned));

    let outer = object.map("outer").expect("it is defined");
    let inner = outer.inner.as_ref().expect("it holds maps");
    assert_eq!((inner.kind(), inner.max_entries), (Some(MapType::Array), 2));
    let held: Vec<(u32, &str)> =
        outer.slots.iter().map(|&(slot, map)| (slot, &*object.maps[map].name)).collect();
    assert_eq!(held, [(1, "second"), (3, "first")]);
    let jumps = object.map("jumps").expect("it is defined");
    let held: Vec<(u32, &str)> =
        jumps.slots.iter().map(|&(slot, of)| (slot, &*object.programs[of].name)).collect();
    assert_eq!(held, [(2, "stop")]);
}

#[test]
fn sections_of_variables_are_maps_with_their_contents() {
    let object = open("maps");
    let rodata = object.map(".rodata").expect("there are constants");
    assert_eq!(rodata.origin, MapOrigin::Rodata(".rodata".into()));
    assert_eq!(rodata.name, "maps.rodata");
    assert_eq!(rodata.flags, flags::map::RDONLY_PROG | flags::map::MMAPABLE);
    assert_eq!(rodata.contents[..4], 7u32.to_le_bytes());
    assert_eq!(&rodata.contents[4..9], b"hello");

    let table = object.map(".rodata.table").expect("a section with a name of its own");
    assert_eq!((table.name.as_str(), table.value_size), (".rodata.table", 12));
    let bss = object.map(".bss").expect("there are zeros");
    assert!(bss.contents.is_empty());
    let unseen = object.map(".data.unseen").expect("a hidden variable");
    assert_eq!(unseen.flags & flags::map::MMAPABLE, 0, "user space has nothing to see there");
}

#[test]
fn legacy_maps_are_still_understood() {
    let path = format!("{}/tests/objects/legacy.bpf.o", env!("CARGO_MANIFEST_DIR"));
    let object = Object::open_as(path, Loader::Cilium).expect("cilium/ebpf reads such maps");
    let names = object.map("names").expect("it is defined");
    assert_eq!(names.origin, MapOrigin::Legacy);
    assert_eq!(names.kind(), Some(MapType::Hash));
    assert_eq!((names.key_size, names.value_size, names.max_entries), (4, 16, 32));
    assert_eq!(object.kernel_version, Some(0x5_0f00));
    let linked = relocate(&object, &Target::default()).expect("it needs nothing of the machine");
    let maps: Vec<&str> = linked.programs[0]
        .map_references
        .iter()
        .map(|reference| &*linked.maps[reference.map].name)
        .collect();
    assert_eq!(maps, ["counters", "names"]);
}

#[test]
fn configuration_comes_first_and_the_most_aligned_first() {
    let object = open("externs");
    let kconfig: Vec<(&str, u32)> = object
        .externs
        .iter()
        .filter_map(|of| match of.kind {
            ExternKind::Kconfig { offset, .. } => Some((&*of.name, offset)),
            _ => None,
        })
        .collect();
    assert_eq!(kconfig.first(), Some(&("CONFIG_HZ", 0)));
    assert!(kconfig.is_sorted_by_key(|(_, offset)| *offset));
    let tristate = object.externs.iter().find(|of| of.name == "CONFIG_NET");
    assert!(matches!(
        tristate.map(|of| of.kind),
        Some(ExternKind::Kconfig { value: KconfigType::Tristate, size: 4, .. })
    ));
}

#[test]
fn given_configuration_is_what_the_program_sees() {
    let mut object = open("externs");
    object.externs.retain(|of| matches!(of.kind, ExternKind::Kconfig { .. }));
    object.programs.clear();
    let lines = "CONFIG_HZ=250\nCONFIG_BPF_SYSCALL=y\nCONFIG_NET=m\nCONFIG_BPF=n\n\
                 CONFIG_DEFAULT_HOSTNAME=\"(none), and more\"\n";
    let target = Target::new(Host::default()).with_kconfig(lines);
    let linked = relocate(&object, &target).expect("all that is strong is given");
    let map = linked.maps.iter().find(|map| map.origin == MapOrigin::Kconfig).expect("a map");
    let value = |name: &str| {
        let of = object.externs.iter().find(|of| of.name == name).expect("it is declared");
        let ExternKind::Kconfig { offset, size, .. } = of.kind else { panic!("{name}") };
        map.contents[offset as usize..(offset + size) as usize].to_vec()
    };
    assert_eq!(value("CONFIG_HZ"), 250u64.to_le_bytes());
    assert_eq!(value("CONFIG_NET"), 2u32.to_le_bytes());
    assert_eq!(value("CONFIG_BPF"), *b"n");
    assert_eq!(value("CONFIG_DEFAULT_HOSTNAME"), *b"(none),\0");
    assert_eq!(value("CONFIG_NO_SUCH_THING"), [0, 0]);
}

#[test]
fn functions_follow_their_first_caller_once() {
    let object = open("functions");
    let linked = relocate(&object, &Target::default()).expect("it needs nothing of the machine");
    let functions = |name: &str| -> Vec<String> {
        let program = linked.programs.iter().find(|program| program.def.name == name);
        let program = program.expect("it is loaded");
        program.functions.iter().map(|function| function.name.clone()).collect()
    };
    assert_eq!(functions("all"), ["all", "step", "middle", "leaf", "spare", "hidden"]);
    assert_eq!(functions("some"), ["some", "leaf", "spare", "hidden", "middle"]);
    assert_eq!(functions("one"), ["one", "middle", "leaf"]);
    for program in &linked.programs {
        let starts: Vec<u32> = program.functions.iter().map(|function| function.start).collect();
        let records: Vec<u32> = program.func_info.iter().map(|record| record.insn_off).collect();
        assert_eq!(starts, records, "each function has its record");
        assert!(program.line_info.iter().is_sorted_by_key(|record| record.insn_off));
    }
}

#[test]
fn an_undefined_symbol_is_named() {
    let mut object = open("externs");
    for of in &mut object.externs {
        of.weak &= of.name != "bpf_no_such_function";
    }
    let error = relocate(&object, &Target::default()).expect_err("nobody has it");
    match error.kind() {
        RelocateErrorKind::Undefined { name } => assert_eq!(name, "bpf_no_such_function"),
        RelocateErrorKind::NoKernelBtf { .. } | RelocateErrorKind::Extern { .. } => {
            println!("skipped: this machine does not describe its kernel");
            return;
        }
        other => panic!("{other}"),
    }
    assert_eq!(error.to_string().lines().count(), 1);
    assert!(error.hint().is_some_and(|hint| hint.contains("__weak")));
}

fn refused(name: &str, bytes: &[u8]) -> (ObjectErrorKind, String, Option<String>) {
    let error = Object::parse(name, bytes).expect_err("it is no object");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    (error.kind().clone(), error.to_string(), error.hint())
}

#[test]
fn what_is_no_object_is_refused_with_what_to_do() {
    let (kind, text, hint) = refused("ddos.c", b"#include <linux/bpf.h>\nint x;\n");
    assert!(matches!(kind, ObjectErrorKind::Text));
    assert_eq!(text, "ddos.c: is a text file, expected an ELF object");
    assert_eq!(
        hint.as_deref(),
        Some("compile it first: clang -O2 -g --target=bpf -c ddos.c -o ddos.bpf.o")
    );
    assert!(matches!(refused("empty.o", b"").0, ObjectErrorKind::Empty));
    assert!(matches!(refused("png.o", b"\x89PNG\r\n\x1a\n\0\0").0, ObjectErrorKind::NotElf));

    let path = format!("{}/tests/objects/maps.bpf.o", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).expect("the object is there");
    let changed = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        bytes
    };
    assert!(matches!(refused("host.o", &changed(18, 62)).0, ObjectErrorKind::Machine(62)));
    assert!(matches!(refused("big.o", &changed(5, 2)).0, ObjectErrorKind::BigEndian));
    assert!(matches!(refused("small.o", &changed(4, 1)).0, ObjectErrorKind::Class32));
    assert!(matches!(refused("exe.o", &changed(16, 2)).0, ObjectErrorKind::NotRelocatable(2)));
    let (kind, text, hint) = refused("cut.o", &bytes[..bytes.len() / 2]);
    assert!(matches!(kind, ObjectErrorKind::Truncated { .. }), "{text}");
    assert!(text.contains("offset 0x"), "{text}");
    assert!(hint.is_some());
}

#[test]
fn a_bad_object_is_refused_in_a_line_that_says_where_and_what() {
    let messages = [
        (
            "map_member",
            "section \".maps\", offset 0x0: map \"flows\": unknown member \"max_entires\"",
        ),
        ("map_type", "section \".maps\", offset 0x0: map \"flows\": it has no type"),
        (
            "map_size",
            "section \".maps\", offset 0x0: map \"flows\": values of 16 bytes and of 4 bytes",
        ),
        ("undefined", "undefined symbol \"limit\""),
        ("undefined_no_btf", "undefined symbol \"limit\""),
    ];
    for (name, message) in messages {
        let path = format!("{}/tests/objects/bad/{name}.bpf.o", env!("CARGO_MANIFEST_DIR"));
        let error = Object::open(&path).expect_err(name);
        assert_eq!(error.to_string(), format!("{path}: {message}"));
        assert!(error.hint().is_some(), "{name}");
    }
    let path = format!("{}/tests/objects/bad/no_ksym.bpf.o", env!("CARGO_MANIFEST_DIR"));
    let object = Object::open(&path).expect("what is undefined turns out later");
    let error = relocate(&object, &Target::default()).expect_err("no kernel has it");
    match error.kind() {
        RelocateErrorKind::Undefined { name } => assert_eq!(name, "bpf_no_such_function"),
        RelocateErrorKind::NoKernelBtf { .. } => println!("skipped: {error}"),
        other => panic!("{other}"),
    }
    assert!(error.hint().is_some());
}

#[test]
fn a_file_that_is_not_there_is_an_error_of_one_line() {
    let error = Object::open("/no/such/file.o").expect_err("it is not there");
    assert_eq!(error.to_string(), "/no/such/file.o: cannot be read: no such file");
    let error = Object::open("/").expect_err("it is a directory");
    assert_eq!(error.to_string(), "/: cannot be read: it is no regular file");
}
