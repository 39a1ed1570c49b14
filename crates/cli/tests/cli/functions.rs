//! Functions of a command, without root: scripts and compiled programs.

use std::process::Command;

use crate::harness::{Folder, Ran, skep};

const PROGRAM: &str = "#include <stdio.h>\n#include <string.h>\n\
    #define F __attribute__((noinline, noclone, used))\n\
    F long parse(const char *s, long n) { return strlen(s) + n; }\n\
    F long parse_one(long n) { return n * 2; }\n\
    F long outer(long n) { return parse_one(n) + 1; }\n\
    int main() { long sum = 0; for (int i = 0; i < 10; i++) { sum += parse(\"hello\", i);\n\
    sum += outer(i); } printf(\"%ld\\n\", sum); return 3; }\n";

/// A program with functions; None, with a line, where there is no compiler.
fn program(folder: &Folder) -> Option<String> {
    let source = folder.file("program.c", PROGRAM);
    let path = folder.path("program");
    let done =
        Command::new("gcc").args(["-O1", "-fno-omit-frame-pointer", "-o", &path, &source]).output();
    if done.is_ok_and(|done| done.status.success()) {
        return Some(path);
    }
    println!("skipped: gcc does not compile here");
    None
}

fn traced(script: &str, command: &str) -> Option<Ran> {
    let args = ["trace", "-q", "--kernel", "embedded", "-e", script, "-c", command];
    let ran = skep(&args);
    if ran.err.contains("Syscall User Dispatch") || ran.err.contains("FSGSBASE") {
        println!("skipped: {}", ran.err);
        return None;
    }
    Some(ran)
}

#[test]
fn a_script_sees_calls_and_returns_of_functions() {
    let folder = Folder::new();
    let Some(path) = program(&folder) else { return };
    let script = format!(
        "uprobe:{path}:parse {{ printf(\"%s %d %s\\n\", str(arg0), arg1, func); }}
        uretprobe:{path}:parse {{ @lengths[comm] = sum(retval); }}
        uprobe:{path}:parse_* {{ @[probe] = count(); }}
        uprobe:{path}:outer {{ @sum = sum(reg(\"di\")); @stack[ustack(2)] = count(); }}"
    );
    let Some(ran) = traced(&script, &path) else { return };
    for i in 0..10 {
        assert!(ran.out.contains(&format!("hello {i} parse\n")), "{}{}", ran.out, ran.err);
    }
    for line in [
        "@lengths[program]: 95\n".into(),
        format!("@[uprobe:{path}:parse_one]: 10\n"),
        "@sum: 45\n".into(),
        "outer+0\n        main+".into(),
    ] {
        assert!(ran.out.contains(&line), "{line}: {}{}", ran.out, ran.err);
    }
    assert!(ran.err.contains("the command ended with status 3"), "{}", ran.err);
}

#[test]
fn a_function_of_a_library_is_seen_where_it_is_mapped() {
    let folder = Folder::new();
    let Some(path) = program(&folder) else { return };
    let script = "uprobe:libc.so.6:puts, uprobe:libc.so.6:printf { @[comm] = count(); } \
        uretprobe:libc.so.6:exit { @left = count(); }";
    let Some(ran) = traced(script, &path) else { return };
    assert!(ran.out.contains("@[program]: 1\n"), "{}{}", ran.out, ran.err);
}

/// Counts what it is run for.
fn counting(section: &str) -> String {
    format!(
        ".license \"GPL\"\n.map calls, type=array, key=4, value=8, entries=1\n\
        .section \"{section}\"\n.globl p\np:\nr6 = *(u64 *)(r1 + 112)\n\
        r1 = 0\n*(u32 *)(r10 - 4) = r1\nr2 = r10\nr2 += -4\nr1 = calls ll\n\
        call bpf_map_lookup_elem\nif r0 == 0 goto out\nr1 = *(u64 *)(r0 + 0)\nr1 += r6\n\
        *(u64 *)(r0 + 0) = r1\nout:\nr0 = 0\nexit\n"
    )
}

#[test]
fn compiled_programs_run_on_functions() {
    let folder = Folder::new();
    let Some(path) = program(&folder) else { return };
    for (section, sum) in
        [(format!("uprobe/{path}:outer"), 45), (format!("uprobe.multi/{path}:parse_*"), 45)]
    {
        let object = folder.object("calls", &counting(&section));
        let ran = skep(&["run", &object, "-c", &path, "--json", "--show", "all"]);
        if ran.err.contains("Syscall User Dispatch") || ran.err.contains("FSGSBASE") {
            return println!("skipped: {}", ran.err);
        }
        assert_eq!(ran.status, 0, "{section}: {}", ran.err);
        let report = &ran.out[ran.out.find("{\n").unwrap()..];
        let report: serde_json::Value = serde_json::from_str(report).unwrap();
        let value = report["maps"].to_string();
        assert!(value.contains(&sum.to_string()), "{section}: {report}");
    }
}

#[test]
fn what_is_no_function_is_said() {
    let folder = Folder::new();
    let Some(path) = program(&folder) else { return };
    let object = folder.object("missing", &counting(&format!("uprobe/{path}:nosuch")));
    let (error, _) = skep(&["run", &object, "-c", &path]).failed(2);
    assert!(error.contains("has no function \"nosuch\""), "{error}");
}
