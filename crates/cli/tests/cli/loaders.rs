//! What loaders do to programs before a verifier sees them: nothing vanishes, and what is
//! refused is named with what to do.

use crate::harness::{Folder, Ran, skep};
use serde_json::Value;

const OBJECTS: &str = "crates/load/tests/objects";

fn object(name: &str) -> String {
    format!("{OBJECTS}/{name}.bpf.o")
}

fn lines(args: &[&str]) -> (i32, Vec<Value>) {
    let Ran { status, out, .. } = skep(&[&["verify", "--json"], args].concat());
    (status, out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

#[test]
fn a_static_program_does_not_vanish() {
    let static_prog = object("static_prog");
    let (error, hint) = skep(&["verify", &static_prog]).failed(2);
    let expected = "libbpf refuses it: sec 'xdp': program 'hidden' is static and not supported";
    assert!(error.ends_with(expected), "{error}");
    assert_eq!(hint, "cilium/ebpf and aya take it: --loader cilium");
    for loader in ["cilium", "aya"] {
        let (status, lines) = lines(&[&static_prog, "--loader", loader]);
        let mut verdicts: Vec<(&str, &str)> = lines
            .iter()
            .map(|line| (line["program"].as_str().unwrap(), line["verdict"].as_str().unwrap()))
            .collect();
        verdicts.sort_unstable();
        assert_eq!((status, verdicts), (1, vec![("hidden", "reject"), ("shown", "accept")]));
    }
}

#[test]
fn an_unknown_section_is_named_with_the_nearest_and_who_takes_it() {
    let sections = object("sections");
    let Ran { status, out, .. } = skep(&["verify", &sections]);
    assert_eq!(status, 2, "{out}");
    for expected in [
        "error     old_habit: no verdict",
        "libbpf knows no section \"xdp_stats1\"",
        "the nearest name is \"xdp\"",
        "cilium/ebpf takes it for sched_cls (--loader cilium)",
        "--type TYPE judges programs of any section",
    ] {
        assert!(out.contains(expected), "{expected} in\n{out}");
    }
    let (status, lines) = lines(&[&sections, "--program", "old_habit", "--type", "xdp"]);
    assert_eq!((status, &lines[0]["type"]), (0, &Value::from("xdp")), "{lines:?}");
    let out = skep(&["verify", &sections, "--loader", "cilium"]).done();
    assert!(out.contains("accepted  prefixed: "), "{out}");
    let (error, _) = skep(&["run", &sections, "--pcap", crate::harness::CAPTURE]).failed(2);
    assert!(error.ends_with("has no program that takes packets"), "{error}");
    assert_eq!(skep(&["verify", &sections, "--type", "xpd"]).status, 2);
}

#[test]
fn a_map_without_an_inner_definition_is_no_fault_of_the_program() {
    let outer = object("outer");
    let (error, hint) = skep(&["verify", &outer]).failed(2);
    assert!(
        error.ends_with(
            "map \"outer\" cannot be created: nothing says what the maps in it look like"
        )
    );
    assert!(hint.starts_with("--inner outer=MAP"), "{hint}");
    skep(&["verify", &outer, "--inner", "outer=model"]).done();
    let (error, _) = skep(&["verify", &outer, "--inner", "outer=nobody"]).failed(2);
    assert!(error.contains("the object has no map \"nobody\""), "{error}");
}

#[test]
fn a_map_that_linux_refuses_is_named_before_its_programs_are_judged() {
    let folder = Folder::new();
    let source = ".map empty, type=hash, key=4, value=0, entries=1\n.section xdp\n\
                  r1 = map[empty] ll\nr0 = 2\nexit\n";
    let object = folder.object("empty", source);
    let (error, _) = skep(&["verify", &object]).failed(2);
    assert!(error.contains("map \"empty\" cannot be created: Linux refuses hash"), "{error}");
}

#[test]
fn a_function_to_attach_to_that_the_kernel_lacks_is_named() {
    if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        eprintln!("skipped: this machine's kernel shows no types");
        return;
    }
    let folder = Folder::new();
    let source = ".section fentry/no_such_function_here\n.globl gone\ngone:\nr0 = 0\nexit\n";
    let object = folder.object("gone", source);
    let (status, lines) = lines(&[&object]);
    assert_eq!((status, &lines[0]["errno"]), (1, &Value::from("ESRCH")));
    let message = "failed to find kernel BTF type ID of 'no_such_function_here'";
    assert_eq!(lines[0]["message"], message);
}

#[test]
fn an_object_whose_programs_wait_to_be_asked_for_says_so() {
    let folder = Folder::new();
    let source = ".section \"?xdp\"\n.globl later\nlater:\nr0 = 2\nexit\n";
    let object = folder.object("later", source);
    let (error, hint) = skep(&["verify", &object]).failed(2);
    assert!(error.contains("has only programs that are not loaded unless asked for"), "{error}");
    assert_eq!(hint, "--program NAME judges one of: later");
    skep(&["verify", &object, "--program", "later"]).done();
    let empty = folder.object("empty", ".data\n.long 1\n");
    let (error, hint) = skep(&["verify", &empty]).failed(2);
    assert!(error.ends_with("has no programs"), "{error}");
    assert!(!hint.is_empty());
}

#[test]
fn old_maps_are_shown_and_run_with_the_loader_that_reads_them() {
    let legacy = object("legacy");
    let out = skep(&["inspect", &legacy]).done();
    assert!(out.contains("counters"), "{out}");
    assert!(out.contains("note: read as cilium/ebpf does"), "{out}");
    let run = ["run", &legacy, "--pcap", crate::harness::CAPTURE];
    let (_, hint) = skep(&run).failed(2);
    assert!(hint.contains("--loader cilium"), "{hint}");
    skep(&[&run[..], &["--loader", "cilium"]].concat()).done();
}

#[test]
fn without_cap_perfmon_the_older_helper_is_judged_as_libbpf_loads_it() {
    let folder = Folder::new();
    let source = ".license \"GPL\"\n.section tc\n.globl p\np:\nr1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\n\
                  call bpf_probe_read_kernel\nr0 = 0\nexit\n";
    let object = folder.object("reads", source);
    skep(&["verify", &object]).done();
    // libbpf's probe for the newer helper fails as the program itself would.
    for (loader, helper) in
        [("libbpf", "bpf_probe_read#4"), ("cilium", "bpf_probe_read_kernel#113")]
    {
        let args = [object.as_str(), "--caps", "bpf,net_admin", "--loader", loader];
        let (status, lines) = lines(&args);
        let message = format!("program of this type cannot use helper {helper}");
        assert_eq!((status, &lines[0]["message"]), (1, &Value::from(message)));
    }
}

#[test]
fn variables_and_the_licence_are_set_before_the_verdict() {
    let per_ip = "examples/per_ip.bpf.o";
    let setting = "crates/cli/tests/objects/setting.bpf.o";
    skep(&["verify", setting, "--map", ".rodata=unchecked:0"]).done();
    let (status, refused) = lines(&[setting, "--map", ".rodata=unchecked:1"]);
    assert_eq!((status, &refused[0]["errno"]), (1, &Value::from("EACCES")), "{refused:?}");
    let (error, _) = skep(&["verify", per_ip, "--map", ".rodata=no_such:1"]).failed(2);
    assert!(error.contains("no variable \"no_such\""), "{error}");
    let (error, _) = skep(&["verify", per_ip, "--map", "blocked=10.0.0.1:1"]).failed(2);
    assert!(error.contains("only variables of data sections"), "{error}");

    let folder = Folder::new();
    let source = ".license \"GPL\"\n.section tp/x\n.globl p\np:\nr1 = 0\n*(u64 *)(r10 - 8) = r1\n\
                  r1 = r10\nr1 += -8\nr2 = 8\ncall bpf_trace_printk\nr0 = 0\nexit\n";
    let object = folder.object("prints", source);
    skep(&["verify", &object]).done();
    let (status, lines) = lines(&[&object, "--license", "Proprietary"]);
    assert_eq!(status, 1);
    let message = lines[0]["message"].as_str().unwrap();
    assert_eq!(message, "cannot call GPL-restricted function from non-GPL compatible program");
}
