//! Unusable input ends with status 2, one line of what is wrong, and a hint; never with
//! a panic.

use crate::harness::{CAPTURE, Folder, skep, skep_with};

const OBJECT: &str = "examples/hello.bpf.o";

#[test]
fn a_missing_object_is_named() {
    let (error, _) = skep(&["run", "no/such.bpf.o", "--pcap", CAPTURE]).failed(2);
    assert_eq!(error, "no/such.bpf.o: cannot be read: no such file");
}

#[test]
fn a_text_file_is_no_object_and_a_c_file_gets_the_compilers_command() {
    let folder = Folder::new();
    let text = folder.file("notes.txt", "some text\n");
    let (error, hint) = skep(&["run", &text, "--pcap", CAPTURE]).failed(2);
    assert_eq!(error, format!("{text}: is a text file, expected an ELF object"));
    assert!(hint.contains("clang"), "{hint}");

    let source = folder.file("prog.c", "int x;\n");
    let object = folder.path("prog.bpf.o");
    for command in
        [&["run", &source, "--pcap", CAPTURE][..], &["dis", &source], &["inspect", &source]]
    {
        let (_, hint) = skep(command).failed(2);
        let expected = format!("clang -O2 -g --target=bpf -c {source} -o {object}");
        assert!(hint.ends_with(&expected), "{hint}");
    }
}

#[test]
fn an_empty_capture_is_unusable() {
    let folder = Folder::new();
    let empty = folder.file("empty.pcap", "");
    let (error, hint) = skep(&["run", OBJECT, "--pcap", &empty]).failed(2);
    assert_eq!(error, format!("{empty}: is empty, expected a pcap or pcapng capture"));
    assert!(hint.contains("tcpdump"), "{hint}");
}

#[test]
fn a_capture_cut_in_a_packet_says_where_and_how_to_use_the_rest() {
    let folder = Folder::new();
    let whole = std::fs::read(crate::harness::workspace().join(CAPTURE)).unwrap();
    let cut = folder.file("cut.pcapng", &whole[..5000]);
    let (error, hint) = skep(&["run", OBJECT, "--pcap", &cut]).failed(2);
    assert!(error.contains("offset 0x") && error.contains("is cut off"), "{error}");
    let limit = hint.rsplit(' ').next().unwrap();
    let out = skep(&["run", OBJECT, "--pcap", &cut, "--limit", limit, "--json"]).json();
    assert_eq!(out["runs"][0]["packets"].to_string(), limit);
}

#[test]
fn a_folder_is_neither_object_nor_capture() {
    let (error, _) = skep(&["run", "examples", "--pcap", CAPTURE]).failed(2);
    assert!(error.starts_with("examples: cannot be read"), "{error}");
    let (error, _) = skep(&["run", OBJECT, "--pcap", "examples"]).failed(2);
    assert_eq!(error, "examples: cannot be read: it is a directory");
}

#[test]
fn an_object_is_no_capture_and_a_capture_no_object() {
    let (error, hint) = skep(&["run", OBJECT, "--pcap", OBJECT]).failed(2);
    assert_eq!(error, format!("{OBJECT}: is an ELF file, expected a pcap or pcapng capture"));
    assert!(!hint.is_empty());
    let (error, _) = skep(&["run", CAPTURE, "--pcap", CAPTURE]).failed(2);
    assert_eq!(error, format!("{CAPTURE}: is not an ELF file"));
}

#[test]
fn frames_of_other_links_are_refused() {
    let folder = Folder::new();
    let header = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 113, 1, 0, 4, 4, 0];
    let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    let capture = folder.file("any.pcap", bytes);
    let (error, hint) = skep(&["run", OBJECT, "--pcap", &capture]).failed(2);
    assert!(error.ends_with("link type 113 (LINUX_SLL), expected 1 (Ethernet)"), "{error}");
    assert!(hint.contains("Ethernet interface"), "{hint}");
}

#[test]
fn a_map_that_cannot_be_is_named() {
    let folder = Folder::new();
    let source = ".map broken, type=hash, key=0, value=4, entries=1\n.section xdp\n\
                  r1 = map[broken] ll\nr0 = 2\nexit\n";
    let object = folder.object("broken", source);
    let (error, hint) = skep(&["run", &object, "--pcap", CAPTURE]).failed(2);
    assert!(error.contains("map \"broken\""), "{error}");
    assert!(!hint.is_empty());
}

#[test]
fn a_map_larger_than_the_memory_limit_is_refused() {
    let folder = Folder::new();
    let source = ".map large, type=array, key=4, value=8, entries=1000000\n.section xdp\n\
                  r1 = map[large] ll\nr0 = 2\nexit\n";
    let object = folder.object("large", source);
    let run = |limit: &str| {
        skep(&["run", &object, "--pcap", CAPTURE, "--limit", "1", "--memory-limit", limit])
    };
    run("16M").done();
    let (error, hint) = run("1M").failed(2);
    assert!(error.contains("map \"large\"") && error.contains("ENOMEM"), "{error}");
    assert!(!hint.is_empty());
    assert_eq!(run("many").status, 2);
}

#[test]
fn a_symbol_that_no_one_defines_is_named() {
    let folder = Folder::new();
    let source = ".section xdp\nr1 = nowhere ll\nr0 = 2\nexit\n";
    let object = folder.object("undefined", source);
    let (error, hint) = skep(&["run", &object, "--pcap", CAPTURE]).failed(2);
    assert!(error.contains("\"nowhere\""), "{error}");
    assert!(!hint.is_empty());
}

#[test]
fn no_output_is_written_over_an_input() {
    let folder = Folder::new();
    let whole = std::fs::read(crate::harness::workspace().join(CAPTURE)).unwrap();
    let capture = folder.file("in.pcapng", &whole);
    let other = folder.path("link.pcapng");
    std::fs::hard_link(&capture, &other).unwrap();
    for out in [&capture, &other] {
        let (error, _) = skep(&["run", OBJECT, "--pcap", &capture, "--out", out]).failed(2);
        assert!(error.ends_with("is both input and output"), "{error}");
        assert_eq!(std::fs::read(&capture).unwrap(), whole);
    }
    let source = folder.file("prog.s", "r0 = 0\nexit\n");
    let (error, _) = skep(&["asm", &source, "-o", &source]).failed(2);
    assert!(error.ends_with("is both input and output"), "{error}");
}

#[test]
fn an_output_is_not_made_for_an_input_that_cannot_be_read() {
    let folder = Folder::new();
    let out = folder.path("out.pcapng");
    skep(&["run", OBJECT, "--pcap", "no.pcap", "--out", &out]).failed(2);
    assert!(!std::fs::exists(&out).unwrap());
}

#[test]
fn wrong_elements_for_maps_are_named() {
    let run = |map: &str| {
        skep(&["run", "examples/per_ip.bpf.o", "--pcap", CAPTURE, "--map", map]).failed(2)
    };
    let (error, hint) = run("nothing=1:2");
    assert!(error.contains("no map \"nothing\""), "{error}");
    assert!(hint.contains("blocked"), "{hint}");
    let (error, hint) = run("blocked");
    assert!(error.contains("expected NAME=KEY:VALUE"), "{error}");
    assert!(hint.contains("--map"), "{hint}");
    let (error, _) = run("blocked=x:1");
    assert!(error.contains("key: "), "{error}");
    let (error, hint) = run(".rodata=no_such:1");
    assert!(error.contains("no variable \"no_such\""), "{error}");
    assert!(hint.contains("max_bytes"), "{hint}");
}

#[test]
fn a_program_that_is_not_there_or_takes_no_packets_is_named() {
    let (error, hint) = skep(&["run", OBJECT, "--pcap", CAPTURE, "--program", "x"]).failed(2);
    assert!(error.contains("no program \"x\""), "{error}");
    assert_eq!(hint, "it has hello (xdp)");

    let folder = Folder::new();
    let object = folder.object("probe", ".section kprobe/x\nprobe:\nr0 = 0\nexit\n");
    let (error, hint) = skep(&["run", &object, "--pcap", CAPTURE]).failed(2);
    assert!(error.ends_with("has no program that takes packets"), "{error}");
    assert!(hint.contains("probe (kprobe)"), "{hint}");

    let two = ".section xdp\n.globl one\none:\nr0 = 1\nexit\n.globl two\ntwo:\nr0 = 2\nexit\n";
    let object = folder.object("two", two);
    let (_, hint) = skep(&["run", &object, "--pcap", CAPTURE]).failed(2);
    assert_eq!(hint, "choose with --program: one (xdp), two (xdp)");
}

#[test]
fn what_clap_refuses_has_status_2_too() {
    for command in [&["run"][..], &["fly"], &["run", "--hex"], &["run", OBJECT, "--record"]] {
        assert_eq!(skep(command).status, 2, "{command:?}");
    }
}

#[test]
fn names_from_files_do_not_reach_the_terminal_as_they_are() {
    let folder = Folder::new();
    let object = folder.object("evil", ".section \"xdp\\033[31m\"\nr0 = 2\nexit\n");
    for command in [&["inspect", &object][..], &["dis", &object]] {
        let out = skep(command).done();
        assert!(!out.contains('\x1b'), "{out}");
        assert!(out.contains("[31m"), "{out}");
    }
    let (error, _) = skep(&["run", "no\x1b[31m.o", "--pcap", CAPTURE]).failed(2);
    assert!(!error.contains('\x1b'), "{error}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(["dis", "examples/syn_guard.bpf.o"])
        .current_dir(crate::harness::workspace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(ended.stderr, b"");
}

#[test]
fn damaged_inputs_of_every_kind_end_with_an_error() {
    let folder = Folder::new();
    for name in ["hello.bpf.o", "mixed.pcapng"] {
        let whole = std::fs::read(crate::harness::workspace().join("examples").join(name)).unwrap();
        // Ends that are never in the middle of nowhere: headers, tables, and a few more.
        for len in [1, 3, 4, 8, 16, 63, 64, 100, whole.len() / 2] {
            let cut = folder.file(name, &whole[..len]);
            for command in [&["inspect", &cut][..], &["dis", &cut], &["btf", "dump", &cut]] {
                let ran = skep(command);
                assert!(ran.status == 2 || name == "hello.bpf.o", "{command:?} {len}");
                assert!(!ran.err.contains("panicked"), "{}", ran.err);
            }
        }
    }
    let (error, _) = skep_with(&["btf", "dump", "-"], b"\x9f\xeb\x01\x00").failed(2);
    assert!(error.starts_with("standard input: "), "{error}");
}
