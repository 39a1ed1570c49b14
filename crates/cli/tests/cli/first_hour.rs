//! Small things on which newcomers stumbled.

use std::process::Command;

use crate::harness::{CAPTURE, Folder, skep, skep_bytes, workspace};

#[test]
fn a_prefix_is_a_key_of_a_trie() {
    let folder = Folder::new();
    let source = ".map nets, type=lpm_trie, key=8, value=8, entries=4, flags=1\n.section xdp\n\
                  r1 = map[nets] ll\nr0 = 2\nexit\n";
    let object = folder.object("nets", source);
    let run = |key: &str| {
        skep(&["run", &object, "--pcap", CAPTURE, "--limit", "1", "--json", "--map", key])
    };
    let report = run("nets=10.0.0.0/8:7").json();
    let element = &report["runs"][0]["maps"][0]["elements"][0];
    assert_eq!(element["value"], 7, "{report}");
    let bits = 8u32.to_ne_bytes().map(|byte| format!("{byte:02x}")).concat();
    let key = element["key"].clone();
    let as_bytes = key == format!("hex:{bits}0a000000");
    assert!(as_bytes || key == 0xa_0000_0008u64, "{key}");
    let (error, hint) = run("nets=10.0.0.0/40:7").failed(2);
    assert!(error.ends_with("key \"10.0.0.0/40\" is no prefix"), "{error}");
    assert!(hint.contains("10.0.0.0/8"), "{hint}");
}

#[test]
fn errors_do_not_repeat_what_is_too_long_to_read() {
    let long = "x".repeat(100_000);
    let ran = skep(&["run", "examples/hello.bpf.o", "--pcap", CAPTURE, "--program", &long]);
    assert!(ran.err.len() < 4096, "{} bytes", ran.err.len());
    let (error, _) = ran.failed(2);
    assert!(error.contains(" bytes ...] x"), "{error}");
}

#[test]
fn compiling_has_a_time_of_its_own() {
    let args = ["run", "examples/hello.bpf.o", "--pcap", CAPTURE, "--limit", "5"];
    assert!(skep(&args).done().contains(" to compile the program\n"));
    let report = skep(&[&args[..], &["--json"]].concat()).json();
    assert!(report["runs"][0]["compile_ns"].as_u64().unwrap() > 0);
}

#[test]
fn packets_that_were_cut_when_they_were_recorded_are_counted() {
    let folder = Folder::new();
    let header = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1, 1, 0, 60, 1500];
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend([0; 60]);
    let capture = folder.file("cut.pcap", bytes);
    let args = ["run", "examples/hello.bpf.o", "--pcap", &capture];
    assert!(skep(&args).done().contains("  1 packet cut short by the recording"));
    assert_eq!(skep(&[&args[..], &["--json"]].concat()).json()["runs"][0]["cut"], 1);
}

#[test]
fn a_map_that_is_too_large_names_the_option() {
    let folder = Folder::new();
    let source = ".map big, type=array, key=4, value=4096, entries=1024\n.section xdp\n\
                  r1 = map[big] ll\nr0 = 2\nexit\n";
    let object = folder.object("big", source);
    let args = ["run", &object, "--pcap", CAPTURE, "--memory-limit", "1M"];
    let (_, hint) = skep(&args).failed(2);
    assert!(hint.contains("--memory-limit SIZE"), "{hint}");
}

#[test]
fn what_clang_writes_as_text_is_assembled_with_its_types() {
    let folder = Folder::new();
    let text = folder.path("guard.s");
    let machine = std::env::consts::ARCH;
    let include = format!("-I/usr/include/{machine}-linux-gnu");
    let clang = Command::new("clang-19")
        .args(["-O2", "-g", "--target=bpf", "-mcpu=v3", &include, "-S"])
        .args(["syn_guard.bpf.c", "-o", &text])
        .current_dir(workspace().join("examples"))
        .status();
    if !clang.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no clang-19, or not its headers");
        return;
    }
    // libbpf names data sections' maps by the file.
    let object = folder.path("syn_guard.bpf.o");
    skep(&["asm", &text, "-o", &object]).done();
    let run = |object: &str| {
        let mut report = skep(&["run", object, "--pcap", CAPTURE, "--json"]).json();
        report["object"] = "".into();
        report["runs"][0]["ns_per_packet"] = 0.into();
        report["runs"][0]["compile_ns"] = 0.into();
        report
    };
    assert_eq!(run(&object), run("examples/syn_guard.bpf.o"));
    skep(&["verify", &object]).done();
}

#[test]
fn common_names_and_addresses_in_data_become_symbols() {
    let folder = Folder::new();
    let source = ".section xdp\nr1 = counter ll\nr0 = *(u64 *)(r1 + 0)\nexit\n.local quiet\n\
                  .comm quiet,4,4\n.comm counter,8,8\n.data\npointer: .quad counter\n";
    let object = folder.object("common", source);
    let bytes = std::fs::read(&object).unwrap();
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
    let elf = object::File::parse(&*bytes).unwrap();
    let symbol = |name| elf.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap();
    assert_eq!((symbol("counter").address(), symbol("counter").size()), (8, 8));
    assert!(symbol("counter").is_global() && !symbol("quiet").is_global());
    let data = elf.section_by_name(".data").unwrap();
    let (at, relocation) = data.relocations().next().unwrap();
    assert_eq!(at, 0);
    let object::RelocationFlags::Elf { r_type } = relocation.flags() else { panic!() };
    // R_BPF_64_ABS64
    assert_eq!(r_type, object::elf::RelocationType(2));
}

#[test]
fn a_pack_of_types_stands_for_them() {
    let folder = Folder::new();
    let pack = folder.path("types.btfpack");
    let hello = "examples/hello.bpf.o";
    skep(&["btf", "pack", hello, "-o", &pack]).done();
    assert_eq!(skep(&["btf", "dump", &pack]).done(), skep(&["btf", "dump", hello]).done());
    let bytes = std::fs::read(&pack).unwrap();
    assert_eq!(skep_bytes(&["btf", "pack", hello, "-o", "-"]), bytes);
    let cut = folder.file("cut.btfpack", &bytes[..bytes.len() - 1]);
    let (error, _) = skep(&["btf", "dump", &cut]).failed(2);
    assert!(error.ends_with("the pack of types: it is cut off"), "{error}");

    if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        eprintln!("skipped: the kernel shows no types");
        return;
    }
    skep(&["btf", "pack", "-o", &pack]).done();
    let object = "crates/cli/tests/objects/poisoned.bpf.o";
    let verdict = |more: &[&str]| {
        let ran = skep(&[&["verify", object, "--json"], more].concat());
        let text = ran.out.replace(&pack, "/sys/kernel/btf/vmlinux");
        let mut verdict: serde_json::Value = serde_json::from_str(&text).expect("one verdict");
        verdict["time_us"] = serde_json::Value::Null;
        (ran.status, verdict)
    };
    let with = |types| verdict(&["--btf", types]);
    assert_eq!(with(&pack), with("/sys/kernel/btf/vmlinux"));
}
