//! What a script saw of a command, recorded and replayed.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::command::traced;
use crate::harness::{Folder, skep};

/// Calls, forks, execs and ends, paths, and numbers that the kernel chooses.
const COMMAND: &str = "/bin/sh -c 'cat /dev/null /does/not/exist; ls / > /dev/null; exit 0'";

/// Scripts whose output depends on every part of an event: context, memory, task, time, order.
const SCRIPTS: [&str; 10] = [
    "tracepoint:syscalls:sys_enter_openat { printf(\"%s %d %s\\n\", comm, pid, str(args.filename)); }",
    "tracepoint:raw_syscalls:sys_enter { @[comm, args.id] = count(); }",
    "tracepoint:syscalls:sys_exit_openat { @[comm] = hist(args.ret); @all = stats(args.ret); }",
    "tracepoint:syscalls:sys_enter_openat { @start[tid] = nsecs; }
     tracepoint:syscalls:sys_exit_openat /@start[tid]/ {
       printf(\"%d %lld\\n\", args.ret, nsecs - @start[tid]); delete(@start[tid]);
     }",
    "tracepoint:sched:sched_process_exec { printf(\"%d %s %lld\\n\", pid, comm, nsecs); }",
    "tracepoint:sched:sched_process_fork { printf(\"%d > %d\\n\", args.parent_pid, args.child_pid); }",
    "tracepoint:sched:sched_process_exit { @[comm, pid] = count(); }",
    "tracepoint:syscalls:sys_enter_read { @bytes = sum(args.count); @l = lhist(args.count, 0, 10000, 1000); }",
    "rawtracepoint:sys_enter { @[arg1] = count(); } begin { printf(\"begin\\n\"); } end { printf(\"end\\n\"); }",
    "tracepoint:raw_syscalls:sys_exit /args.ret < 0/ { @[uid, gid, strerror(-args.ret)] = count(); }
     tracepoint:raw_syscalls:sys_exit { @n = count(); if (@n == 50) { print(@n); } }",
];

#[test]
fn ten_scripts_say_of_a_recording_what_they_said_live() {
    let folder = Folder::new();
    for (number, script) in SCRIPTS.iter().enumerate() {
        let file = folder.path(&format!("{number}.skrec"));
        let live = ["trace", "-q", "--record", &file, "-c", COMMAND, "-e", script];
        let Some(live) = traced(&live) else { return };
        assert!(live.out.trim().len() > 1, "{script}: {} {}", live.out, live.err);
        let live = live.done();
        for _ in 0..2 {
            assert_eq!(skep(&["trace", "-q", "--replay", &file, "-e", script]).done(), live);
        }
    }
}

#[test]
fn a_recording_is_its_owners_alone_and_runs_objects_too() {
    let folder = Folder::new();
    let file = folder.file("old.skrec", "something else");
    let script = "tracepoint:syscalls:sys_enter_openat { @ = count(); }";
    let args = ["trace", "-q", "--record", &file, "-c", "true", "-e", script];
    let Some(ran) = traced(&args) else { return };
    ran.done();
    let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).expect("text");
    let first: serde_json::Value =
        serde_json::from_str(text.lines().next().expect("an event")).expect("JSON");
    assert_eq!(first["attach"], "tracepoint:syscalls:sys_enter_openat");
    assert_eq!((&first["version"], &first["type"]), (&1.into(), &"tracepoint".into()));
    let source = ".section tracepoint/syscalls/sys_enter_openat\n.globl p\np:\n\
                  r0 = *(u64 *)(r1 + 8)\nexit\n";
    let object = folder.object("number", source);
    let report = skep(&["run", &object, "--events", &file, "--json"]).json();
    assert_eq!(report["events"], text.lines().count(), "{report}");
}

#[test]
fn links_and_what_is_no_recording_are_refused() {
    let folder = Folder::new();
    let script = "tracepoint:syscalls:sys_enter_openat { @ = count(); }";
    let kept = folder.file("kept", "kept");
    let link = folder.path("link");
    symlink(&kept, &link).expect("a link");
    let ran = skep(&["trace", "--record", &link, "-c", "true", "-e", script]);
    assert!(ran.failed(2).0.contains("it is a link"));
    assert_eq!(std::fs::read_to_string(&kept).expect("text"), "kept");
    let wrong = folder.file("wrong", "{\"version\":1,\"type\":\"tracepoint\"}\n{\n");
    let ran = skep(&["trace", "--replay", &wrong, "-e", script]);
    assert!(ran.status != 0 && ran.err.contains("line 2"), "{}", ran.err);
}

#[test]
fn a_full_disk_keeps_whole_events_and_says_so() {
    let folder = Folder::new();
    let (small, file) = (folder.path("small"), folder.path("kept"));
    std::fs::create_dir(&small).expect("a folder");
    let script = "tracepoint:raw_syscalls:sys_enter { @ = count(); }";
    let command = "ls -lR /etc /proc/sys/vm";
    let line = format!(
        "mount -t tmpfs -o size=64k nodev {small} || exit 77; {} trace -q --record {small}/f \
         -c '{command}' -e '{script}'; status=$?; cp {small}/f {file}; exit $status",
        env!("CARGO_BIN_EXE_skep")
    );
    let own = ["-m", "--propagation", "private", "sh", "-c", &line];
    let ran = std::process::Command::new("unshare").args(own).output().expect("unshare");
    let err = String::from_utf8_lossy(&ran.stderr);
    let cannot = ["Syscall User Dispatch", "FSGSBASE", "unshare failed"];
    if ran.status.code() == Some(77) || cannot.iter().any(|why| err.contains(why)) {
        println!("skipped: {err}");
        return;
    }
    assert_eq!(ran.status.code(), Some(1), "{err}");
    assert!(err.contains("No space left on device; "), "{err}");
    let text = std::fs::read_to_string(&file).expect("text");
    assert!(text.ends_with('\n') && text.lines().count() > 10);
    let counted = format!("; {} events are there", text.lines().count());
    assert!(err.contains(&counted), "{counted}: {err}");
    let again = skep(&["trace", "-q", "--replay", &file, "-e", script]).done();
    assert!(again.contains(&format!("@: {}", text.lines().count())), "{again}");
}
