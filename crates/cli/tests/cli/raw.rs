//! Bare instructions: `run --raw`, `asm --raw`, `dis --raw`.

use crate::harness::{Folder, skep, skep_with};

#[test]
fn r1_is_the_memory_and_r2_its_length() {
    let folder = Folder::new();
    let source = folder.file("sum.s", "r0 = *(u8 *)(r1 + 1)\nr0 <<= 8\nr0 += r2\nexit\n");
    let binary = folder.path("sum.bin");
    skep(&["asm", &source, "--raw", "-o", &binary]).done();
    let run = |memory: &str| skep(&["run", "--raw", &binary, "--memory", memory]).done();
    assert_eq!(run("01 ab 03"), "0xab03\n");
    assert_eq!(run("0102"), "0x202\n");
    let json = skep(&["run", "--raw", &binary, "--memory", "0102", "--json"]).json();
    assert_eq!(json, serde_json::json!({"r0": "0x202"}));
}

#[test]
fn hex_text_is_read_from_the_standard_input() {
    let hex = skep_with(&["asm", "-", "--raw", "--hex", "-o", "-"], b"r0 = -1\nexit\n").done();
    assert_eq!(hex, "b7 00 00 00 ff ff ff ff\n95 00 00 00 00 00 00 00\n");
    let out = skep_with(&["run", "--raw", "-", "--hex"], hex.as_bytes()).done();
    assert_eq!(out, "0xffffffffffffffff\n");
    let listing = skep_with(&["dis", "--raw", "--hex", "-"], hex.as_bytes()).done();
    assert_eq!(listing, "       0: r0 = -0x1\n       1: exit\n");
    // What is printed is a source again.
    let again = skep_with(&["asm", "-", "--raw", "--hex", "-o", "-"], listing.as_bytes()).done();
    assert_eq!(again, hex);
}

#[test]
fn a_trap_has_status_1_and_names_the_instruction() {
    let folder = Folder::new();
    let source = folder.file("bad.s", "r0 = 0\nr0 = *(u64 *)(r1 + 8)\nexit\n");
    let binary = folder.path("bad.bin");
    skep(&["asm", &source, "--raw", "-o", &binary]).done();
    let (error, _) = skep(&["run", "--raw", &binary, "--memory", "0011"]).failed(1);
    let expected = "insn 1: load of 8 bytes at offset 8 is outside of the memory of 2 bytes";
    assert_eq!(error, expected);
}

#[test]
fn a_loop_without_end_uses_up_its_budget() {
    let folder = Folder::new();
    let source = folder.file("loop.s", "again: goto again\n");
    let binary = folder.path("loop.bin");
    skep(&["asm", &source, "--raw", "-o", &binary]).done();
    let (error, hint) = skep(&["run", "--raw", &binary, "--budget", "1000"]).failed(1);
    assert_eq!(error, "the budget of instructions is used up");
    assert!(hint.contains("--budget"), "{hint}");
}

#[test]
fn a_file_of_another_kind_gets_the_right_hint() {
    let folder = Folder::new();
    let source = folder.file("prog.s", "r0 = 0\nexit\n");
    let (error, hint) = skep(&["run", "--raw", &source]).failed(2);
    assert!(error.ends_with("is a text file, expected bare instructions"), "{error}");
    assert!(hint.contains(&format!("skep asm {source} --raw")), "{hint}");

    let hex = folder.file("prog.hex", "b700000000000000\n9500000000000000\n");
    let (_, hint) = skep(&["run", "--raw", &hex]).failed(2);
    assert!(hint.contains("--hex"), "{hint}");

    let (_, hint) = skep(&["run", "--raw", "examples/hello.bpf.o"]).failed(2);
    assert!(hint.contains("without --raw"), "{hint}");

    let odd = folder.file("odd.bin", [0x95, 0, 0]);
    let (error, _) = skep(&["run", "--raw", &odd]).failed(2);
    assert!(error.contains("has 3 bytes, expected a multiple of 8"), "{error}");

    let empty = folder.file("empty.bin", "");
    let (error, _) = skep(&["run", "--raw", &empty]).failed(2);
    assert!(error.ends_with("has no instructions"), "{error}");

    let unknown = folder.file("unknown.bin", [0xff; 8]);
    let (error, _) = skep(&["run", "--raw", &unknown]).failed(2);
    assert!(error.contains("insn 0: opcode 0xff"), "{error}");
}

#[test]
fn an_assembler_error_names_file_line_and_column() {
    let folder = Folder::new();
    let source = folder.file("bad.s", "r0 = 1\n\nr0 = \nexit\n");
    for raw in [&[][..], &["--raw"]] {
        let command = [&["asm", &source, "-o", "/dev/null"], raw].concat();
        let (error, _) = skep(&command).failed(2);
        assert!(error.starts_with(&format!("{source}: line 3, column ")), "{error}");
    }
}
