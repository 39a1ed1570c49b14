//! The raw dump equals that of bpftool, line for line.

mod common;

use common::{VMLINUX, assert_same_lines, debian_objects, scratch, section, stdout_of, vmlinux};
use skep_btf::{Btf, dump};

fn raw(btf: &Btf) -> String {
    let mut out = Vec::new();
    dump::write_raw(btf, &mut out).expect("writing to memory");
    String::from_utf8(out).expect("names are UTF-8")
}

#[test]
fn vmlinux_is_dumped_as_bpftool_dumps_it() {
    let Some(btf) = vmlinux() else { return };
    let Some(theirs) = stdout_of("bpftool", &["btf", "dump", "file", VMLINUX]) else {
        return;
    };
    assert_same_lines(&raw(&btf), &theirs);
}

#[test]
fn debians_objects_are_dumped_as_bpftool_dumps_them() {
    for path in debian_objects() {
        let object = std::fs::read(&path).expect("read the object");
        let Some(bytes) = section(&object, ".BTF") else {
            continue;
        };
        let btf = Btf::parse(bytes).expect("Debian's BTF parses");
        let path = path.to_string_lossy();
        let Some(theirs) = stdout_of("bpftool", &["btf", "dump", "file", &path]) else {
            return;
        };
        assert_same_lines(&raw(&btf), &theirs);
    }
}

#[test]
fn what_gcc_describes_is_dumped_as_bpftool_dumps_it() {
    let directory = scratch("gcc");
    let object = directory.join("kinds.o").to_string_lossy().into_owned();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kinds.c");
    let arguments = ["-gbtf", "-O2", "-w", "-c", source, "-o", &object];
    if stdout_of("bpf-gcc", &arguments).is_none() {
        return;
    }
    let bytes = std::fs::read(&object).expect("read the object");
    let btf =
        Btf::parse(section(&bytes, ".BTF").expect("a .BTF section")).expect("gcc's BTF parses");
    let Some(theirs) = stdout_of("bpftool", &["btf", "dump", "file", &object]) else {
        return;
    };
    assert_same_lines(&raw(&btf), &theirs);
}
