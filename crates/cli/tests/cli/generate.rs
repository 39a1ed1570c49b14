//! What applications are built with is built and run: by rustc against the library of these
//! tests, and by the C compiler against libbpf.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use skep::btf::Btf;
use skep::load::{Object, Target, relocate};
use skep::sys::Host;

use crate::harness::{Folder, linux_is_permitted, skep, workspace};

/// Our examples, and what `SKEP_OBJECTS` (a folder) has: `cargo xtask parity gen` gives Debian's.
fn objects() -> Vec<PathBuf> {
    let mut folders = vec![workspace().join("examples"), workspace().join("tests/programs")];
    folders.extend(std::env::var_os("SKEP_OBJECTS").map(PathBuf::from));
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of objects").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|end| end == "o") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "{found:?}");
    found
}

/// The newest library of a crate beside this test.
fn library(name: &str) -> PathBuf {
    let deps = std::env::current_exe().expect("this test");
    let deps = deps.parent().expect("a folder").to_owned();
    let is_it = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
    };
    let all = std::fs::read_dir(deps).expect("a folder").flatten().map(|entry| entry.path());
    let age = |path: &PathBuf| path.metadata().and_then(|of| of.modified()).ok();
    all.filter(is_it).max_by_key(age).expect("the library that skep-cli is built with")
}

fn rustc(source: &str, output: &str, kind: &[&str]) -> Output {
    let library = library("skep");
    let deps = library.parent().expect("a folder").display();
    Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
        .args(["--edition", "2024", "-D", "warnings", "-o"])
        .arg(output)
        .args(kind)
        .arg("--extern")
        .arg(format!("skep={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={deps}"))
        .arg(source)
        .output()
        .expect("rustc starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(4000).collect()
}

#[test]
fn every_object_has_a_skeleton_in_rust_that_compiles() {
    let folder = Folder::new();
    let mut main = String::from("#![allow(dead_code)]\n");
    let objects = objects();
    for (number, object) in objects.iter().enumerate() {
        let made = skep(&["gen", "skeleton", object.to_str().unwrap()]).done();
        let file = folder.file(&format!("o{number}.rs"), made);
        main.push_str(&format!("#[path = {:?}]\npub mod o{number};\n", file));
    }
    let built = rustc(
        &folder.file("all.rs", main),
        &folder.path("liball.rmeta"),
        &["--crate-type", "lib", "--emit", "metadata", "-A", "missing_docs"],
    );
    assert!(built.status.success(), "{}", text(&built.stderr));
    println!("{} skeletons", objects.len());
}

/// The program that docs/embedding.md has.
fn documented() -> String {
    let text = std::fs::read_to_string(workspace().join("docs/embedding.md")).unwrap();
    let (_, rest) = text.split_once("```rust,ignore\nmod guard;").expect("the program");
    let (program, _) = rest.split_once("```").expect("its end");
    format!("mod guard;{program}")
}

#[test]
fn the_documented_program_with_a_skeleton_runs() {
    let folder = Folder::new();
    let made = skep(&["gen", "skeleton", "examples/syn_guard.bpf.o"]).done();
    folder.file("guard.rs", made);
    let program = folder.path("main");
    let built = rustc(&folder.file("main.rs", documented()), &program, &["--crate-type", "bin"]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let ran = Command::new(program).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
}

/// Whether C programs can be built against libbpf.
fn has_libbpf() -> bool {
    let has = Path::new("/usr/include/bpf/libbpf.h").exists();
    if !has {
        println!("skipped: libbpf-dev is not installed");
    }
    has
}

fn cc(args: &[&str]) -> Output {
    Command::new("cc").args(args).output().expect("a C compiler")
}

#[test]
fn skeletons_in_c_compile_wherever_bpftools_do() {
    if !has_libbpf() {
        return;
    }
    let folder = Folder::new();
    let (mut both, mut ours, mut neither) = (0, 0, Vec::new());
    for object in objects() {
        let path = object.to_str().unwrap();
        let name = "the_object";
        let made = skep(&["gen", "skeleton", path, "name", name, "--c"]).done();
        let user = format!("int main(void) {{ {name}__destroy({name}__open_and_load()); }}\n");
        let file = folder.file("ours.c", format!("{made}{user}"));
        let compiled = cc(&["-Wall", "-Werror", "-fsyntax-only", &file]);
        let theirs = Command::new("bpftool").args(["gen", "skeleton", path, "name", name]).output();
        let theirs = theirs.ok().filter(|theirs| theirs.status.success()).is_some_and(|theirs| {
            let file = folder.file("theirs.c", [&theirs.stdout[..], user.as_bytes()].concat());
            cc(&["-fsyntax-only", &file]).status.success()
        });
        match (compiled.status.success(), theirs) {
            (true, true) => both += 1,
            (true, false) => ours += 1,
            (false, false) => neither.push(object.clone()),
            (false, true) => panic!("{path}: {}", text(&compiled.stderr)),
        }
    }
    println!("{both} compile as bpftool's do, {ours} where bpftool's do not");
    println!("{} need types of the including file: {neither:?}", neither.len());
    assert!(both + ours > neither.len());
}

const USER: &str = r#"
#include <stdio.h>
#include "guard.skel.h"
#include <bpf/bpf.h>

int main(void)
{
	struct syn_guard_bpf *skel = syn_guard_bpf__open();
	char frame[60] = {};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame));

	if (!skel || skel->rodata->syn_limit != 50)
		return 1;
	skel->rodata->syn_limit = 7;
	if (syn_guard_bpf__load(skel))
		return 2;
	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.syn_guard), &run) || run.retval != 2)
		return 3;
	if (bpf_map__fd(skel->maps.verdicts) < 0 || !skel->bss || skel->rodata->syn_limit != 7)
		return 4;
	syn_guard_bpf__detach(skel);
	syn_guard_bpf__destroy(skel);
	return 0;
}
"#;

#[test]
fn a_skeleton_in_c_loads_and_runs_by_libbpf() {
    if !has_libbpf() {
        return;
    }
    if !linux_is_permitted() {
        return;
    }
    let folder = Folder::new();
    let made = skep(&["gen", "skeleton", "examples/syn_guard.bpf.o", "--c"]).done();
    folder.file("guard.skel.h", made);
    let (source, program) = (folder.file("user.c", USER), folder.path("user"));
    let built = cc(&["-Wall", "-Werror", "-o", &program, &source, "-lbpf"]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let ran = Command::new(program).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
}

const ONE: &str = r#"
typedef unsigned int __u32;
typedef unsigned long long __u64;
#define SEC(name) __attribute__((section(name), used))
#define MAP_LOOKUP ((void *(*)(void *, const void *))1)
struct point { int x, y; struct point *next; };
struct { int (*type)[2]; int (*max_entries)[4]; __u32 *key; struct point *value; } points SEC(".maps");
extern int weight;
extern int step(int, struct point *);
const volatile int first = 3;
__u64 calls = 0;
static __attribute__((noinline)) int own(int at) { return at * first; }
__attribute__((weak, noinline)) int shared(int at) { return at + 1; }
SEC("socket") int one(void *ctx)
{
	__u32 key = 1;
	struct point *point = MAP_LOOKUP(&points, &key);
	calls++;
	return point ? step(own(2), point) + weight + shared(1) : -1;
}
char LICENSE[] SEC("license") = "GPL";
"#;

const OTHER: &str = r#"
#define SEC(name) __attribute__((section(name), used))
struct point { int x, y; struct point *next; };
int weight = 100;
int before = 5;
static int kept[3];
__attribute__((noinline)) int shared(int at) { return at + 1000; }
static __attribute__((noinline)) int own(int at) { kept[at & 1]++; return at + before; }
__attribute__((noinline)) int step(int at, struct point *point)
{
	if (!point)
		return 0;
	point->x += 1;
	return own(at) + point->x;
}
SEC("socket") int other(void *ctx) { return shared(7) + kept[0]; }
char LICENSE[] SEC("license") = "GPL";
"#;

/// Compiles C for BPF; nothing where there is no clang.
fn compile(folder: &Folder, name: &str, source: &str) -> Option<String> {
    let (from, to) = (folder.file(&format!("{name}.c"), source), folder.path(&format!("{name}.o")));
    let built = Command::new("clang-19")
        .args(["-O2", "-g", "--target=bpf", "-mcpu=v3", "-c", "-o"])
        .args([&to, &from])
        .output();
    let Ok(built) = built else {
        println!("skipped: clang-19 is not installed");
        return None;
    };
    assert!(built.status.success(), "{}", text(&built.stderr));
    Some(to)
}

/// What both programs of a linked object return, and what their maps have afterwards.
fn results(object: &str, program: &str) -> serde_json::Value {
    let ran = skep(&["run", object, "--program", program, "--json"]);
    let mut json: serde_json::Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
    for key in ["object", "elapsed_ns", "engine"] {
        json.as_object_mut().map(|of| of.remove(key));
    }
    json
}

#[test]
fn objects_are_linked_as_bpftool_links_them() {
    let folder = Folder::new();
    let Some(one) = compile(&folder, "one", ONE) else { return };
    let Some(other) = compile(&folder, "other", OTHER) else { return };
    let ours = folder.path("linked.o");
    skep(&["gen", "object", &ours, &one, &other]).done();
    let verified = skep(&["verify", &ours]);
    assert_eq!(verified.status, 0, "{}{}", verified.out, verified.err);
    // The strong definition counts: 7 + 1000.
    let said = results(&ours, "other").to_string();
    assert!(said.contains("1007"), "{said}");
    // own(2) = 6, and before = 5; x = 1; weight = 100; shared(1) = 1001.
    let said = results(&ours, "one").to_string();
    assert!(said.contains("1113"), "{said}");

    // A file that is linked alone says what it said.
    std::fs::create_dir(folder.path("again")).unwrap();
    let again = folder.path("again/linked.o");
    skep(&["gen", "object", &again, &ours]).done();
    assert_eq!(results(&again, "one"), results(&ours, "one"));

    std::fs::create_dir(folder.path("theirs")).unwrap();
    let theirs = folder.path("theirs/linked.o");
    let linked = Command::new("bpftool").args(["gen", "object", &theirs, &one, &other]).output();
    match linked {
        Ok(linked) => {
            assert!(linked.status.success(), "{}", text(&linked.stderr));
            for program in ["one", "other"] {
                assert_eq!(results(&theirs, program), results(&ours, program));
            }
        }
        Err(_) => println!("skipped: bpftool is not installed"),
    }

    // Two strong definitions are one too many, and licences have to agree.
    let (error, _) = skep(&["gen", "object", &ours, &other, &other]).failed(2);
    assert!(error.contains("is defined in a file before as well"), "{error}");
    let free = OTHER.replace("\"GPL\"", "\"MIT\"");
    if let Some(free) = compile(&folder, "free", &free) {
        let (error, _) = skep(&["gen", "object", &ours, &one, &free]).failed(2);
        assert!(error.contains("license"), "{error}");
    }
}

/// The instructions of each program, as they are loaded.
fn programs(object: &str) -> Result<Vec<(String, Vec<skep::isa::Slot>)>, String> {
    let why =
        |error: String| error.split_once(": ").map_or_else(String::new, |(_, why)| why.into());
    let object = Object::open(object).map_err(|error| why(error.to_string()))?;
    let target = Target::of(&skep::Linux::new());
    let linked = relocate(&object, &target).map_err(|error| why(error.to_string()))?;
    Ok(linked.programs.iter().map(|of| (of.def.name.clone(), of.insns.clone())).collect())
}

/// What bpftool links; nothing where it does not.
fn theirs(folder: &Folder, inputs: &[&str]) -> Option<String> {
    let output = folder.path("theirs.o");
    let ran =
        Command::new("bpftool").args(["gen", "object", &output]).args(inputs).output().ok()?;
    ran.status.success().then_some(output)
}

#[test]
fn linked_objects_have_the_instructions_that_bpftools_have() {
    if Command::new("bpftool").arg("version").output().is_err() {
        println!("skipped: bpftool is not installed");
        return;
    }
    let folder = Folder::new();
    let ours = folder.path("ours.o");
    let objects: Vec<String> =
        objects().iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    let (mut alone, mut pairs, mut clash) = (0, 0, 0);
    for object in &objects {
        let Some(theirs) = theirs(&folder, &[object]) else { continue };
        skep(&["gen", "object", &ours, object]).done();
        assert_eq!(programs(&ours), programs(&theirs), "{object}");
        alone += 1;
    }
    for pair in objects.windows(2) {
        let (one, other) = (pair[0].as_str(), pair[1].as_str());
        let linked = skep(&["gen", "object", &ours, one, other]);
        let Some(theirs) = theirs(&folder, &[one, other]) else {
            clash += 1;
            continue;
        };
        assert_eq!(linked.status, 0, "{one} {other}: {}", linked.err);
        assert_eq!(programs(&ours), programs(&theirs), "{one} {other}");
        pairs += 1;
    }
    println!("{alone} objects alone and {pairs} pairs alike; {clash} pairs that do not link");
    // Most of them are a program each of one name, or of one type: those do not link.
    assert!(alone > 20 && pairs > 2);
}

#[test]
fn a_kernels_types_in_small_relocate_the_same() {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        println!("skipped: there are no types of the kernel");
        return;
    }
    let folder = Folder::new();
    let source = r#"
struct task_struct { int pid; int tgid; } __attribute__((preserve_access_index));
struct sock_common { unsigned short skc_family; } __attribute__((preserve_access_index));
struct sock { struct sock_common __sk_common; } __attribute__((preserve_access_index));
#define SEC(name) __attribute__((section(name), used))
SEC("raw_tp/sys_enter") int places(void *ctx)
{
	return (long)&((struct task_struct *)0)->tgid + (long)&((struct sock *)0)->__sk_common.skc_family;
}
char LICENSE[] SEC("license") = "GPL";
"#;
    let Some(object) = compile(&folder, "places", source) else { return };
    let small = folder.path("min.btf");
    skep(&["gen", "min_core_btf", "/sys/kernel/btf/vmlinux", &small, &object]).done();
    let size = std::fs::metadata(&small).unwrap().len();
    assert!(size < 200_000, "{size} bytes");
    let object = Object::open(&object).unwrap();
    let with = |types: &str| {
        let btf = Btf::parse(std::fs::read(types).unwrap()).unwrap();
        let target = Target::new(Host::default()).with_kernel_btf(Arc::new(btf));
        relocate(&object, &target).unwrap().programs[0].insns.clone()
    };
    assert_eq!(with("/sys/kernel/btf/vmlinux"), with(&small));
}
