//! What the tests compare with: the machine's own BTF, Debian's objects, and the
//! tools that others wrote. What is missing is said, never passed over in silence.
#![allow(dead_code, reason = "each test crate uses its part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use object::{Object, ObjectSection, ObjectSymbol};
use skep_btf::Btf;

pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const DEBIAN_OBJECTS: &str = "/usr/lib/x86_64-linux-gnu/bpf";

/// The running kernel's BTF, or a printed skip.
pub fn vmlinux() -> Option<Arc<Btf>> {
    static PARSED: OnceLock<Option<Arc<Btf>>> = OnceLock::new();
    let parsed = PARSED.get_or_init(|| {
        let bytes = std::fs::read(VMLINUX).ok()?;
        Some(Arc::new(Btf::parse(bytes).expect("the kernel's own BTF parses")))
    });
    if parsed.is_none() {
        println!("skipped: no {VMLINUX}");
    }
    parsed.clone()
}

/// Debian's BPF objects, or a printed skip.
pub fn debian_objects() -> Vec<PathBuf> {
    let mut objects: Vec<PathBuf> = std::fs::read_dir(DEBIAN_OBJECTS)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .collect();
    objects.sort();
    if objects.is_empty() {
        println!("skipped: no objects in {DEBIAN_OBJECTS} (package libxdp1)");
    }
    objects
}

/// A section of an ELF object.
pub fn section(object: &[u8], name: &str) -> Option<Vec<u8>> {
    let file = object::File::parse(object).expect("an ELF object");
    Some(file.section_by_name(name)?.data().expect("section data").to_vec())
}

/// Where each symbol of an ELF object is in its section.
pub fn symbols(object: &[u8]) -> HashMap<String, u64> {
    let file = object::File::parse(object).expect("an ELF object");
    file.symbols()
        .filter_map(|symbol| Some((symbol.name().ok()?.to_string(), symbol.address())))
        .collect()
}

/// The output of a tool, or a printed skip if it is not installed.
pub fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("skipped: cannot run {program}: {error}");
            None
        }
    }
}

/// The output of a tool that must succeed.
pub fn stdout_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = run(program, arguments)?;
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A directory of the test's own, emptied.
pub fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a scratch directory");
    path
}

/// Compiles C for BPF with BTF, gives the object's bytes, or a printed skip.
pub fn compile(name: &str, source: &str) -> Option<Vec<u8>> {
    let input = scratch(name).join("in.c");
    std::fs::write(&input, source).expect("write the source");
    compile_file(&input, &[])
}

/// Likewise from a file, with further arguments.
pub fn compile_file(input: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    // Tests run side by side, and some compile the same file.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let output = scratch(&format!("object_{}_{count}", std::process::id())).join("out.o");
    let paths = (input.to_string_lossy(), output.to_string_lossy());
    let mut all = vec!["--target=bpf", "-mcpu=v3", "-O2", "-g", "-w"];
    all.extend(arguments);
    all.extend(["-c", &*paths.0, "-o", &*paths.1]);
    stdout_of("clang-19", &all)?;
    let object = std::fs::read(&output).expect("read the object");
    let _ = std::fs::remove_dir_all(output.parent().expect("a directory"));
    Some(object)
}

/// The first line where two texts differ.
pub fn assert_same_lines(ours: &str, theirs: &str) {
    for (number, (our, their)) in ours.lines().zip(theirs.lines()).enumerate() {
        assert_eq!(our, their, "line {}", number + 1);
    }
    assert_eq!(ours.lines().count(), theirs.lines().count(), "number of lines");
}
