//! Programs on contexts: none, one, and a file of them.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::harness::{Folder, skep};

/// Adds up its first argument in a map, and gives it back.
const COUNTS: &str = ".map sum, type=array, key=4, value=8, entries=1\n\
    .section kprobe/f\n.globl p\np:\nr6 = *(u64 *)(r1 + 112)\nr1 = 0\n*(u32 *)(r10 - 4) = r1\n\
    r2 = r10\nr2 += -4\nr1 = sum ll\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\n\
    r1 = *(u64 *)(r0 + 0)\nr1 += r6\n*(u64 *)(r0 + 0) = r1\nout:\nr0 = r6\nexit\n";

fn object(folder: &Folder) -> String {
    folder.object("counts", COUNTS)
}

#[test]
fn without_a_source_it_is_a_context_of_zeros_and_the_report_says_so() {
    let folder = Folder::new();
    let object = object(&folder);
    let out = skep(&["run", &object]).done();
    assert!(out.contains("on a context of zeros"), "{out}");
    assert!(out.contains("returned 0 (0x0): 1 event"), "{out}");
}

#[test]
fn a_context_is_json_or_toml_and_each_engine_gives_the_same() {
    let folder = Folder::new();
    let object = object(&folder);
    let json = folder.file("c.json", r#"{"version":1,"type":"kprobe","context":{"di":7}}"#);
    let toml = folder.file("c.toml", "version = 1\n[context]\ndi = 7\n");
    for file in [&json, &toml] {
        for engine in [&[][..], &["--interpret"], &["--checks", "guarded"]] {
            let run = [&["run", &object, "--context", file, "--json"][..], engine].concat();
            let report = skep(&run).json();
            assert_eq!(report["returned"][0]["value"], 7, "{file} {engine:?}");
            assert_eq!(report["maps"][0]["elements"][0]["value"], 7, "{file} {engine:?}");
        }
    }
}

#[test]
fn each_record_of_a_file_is_one_run() {
    let folder = Folder::new();
    let object = object(&folder);
    let events = "{\"context\":{\"di\":1}}\n\n{\"context\":{\"di\":2}}\n{\"context\":{\"di\":2}}\n";
    let file = folder.file("events.jsonl", events);
    let report = skep(&["run", &object, "--events", &file, "--json"]).json();
    assert_eq!(report["events"], 3);
    let returned = serde_json::json!([{"value": 1, "events": 1}, {"value": 2, "events": 2}]);
    assert_eq!(report["returned"], returned);
    assert_eq!(report["maps"][0]["elements"][0]["value"], 5);
}

#[test]
fn what_is_wrong_with_an_event_is_named_by_file_line_and_field() {
    let folder = Folder::new();
    let object = object(&folder);
    let file = folder.file("events.jsonl", "{}\n{\"context\":{\"dj\":1}}\n");
    let (error, _) = skep(&["run", &object, "--events", &file]).failed(2);
    assert!(error.contains("events.jsonl: line 2, context.dj:"), "{error}");
    let file = folder.file("c.json", r#"{"type":"xdp"}"#);
    let (error, _) = skep(&["run", &object, "--context", &file]).failed(2);
    assert!(error.contains("the program is of type kprobe"), "{error}");
    let (error, _) = skep(&["run", &object, "--context", &file, "--kernel", "linux"]).failed(2);
    assert!(error.contains("contexts are for the embedded kernel"), "{error}");
}

#[test]
fn a_signal_ends_a_run_with_the_report_of_the_events_until_then() {
    let folder = Folder::new();
    let object = object(&folder);
    let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(["run", &object, "--events", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("skep starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"{\"context\":{\"di\":3}}\n{\"context\":{\"di\":4}}\n").expect("skep reads");
    crate::signals::until("signals are caught", || crate::signals::catches(&child));
    // Both lines have been read once the pipe is empty.
    std::thread::sleep(std::time::Duration::from_millis(300));
    crate::signals::signal(&child, "INT");
    let ended = child.wait_with_output().expect("it ends");
    drop(input);
    assert_eq!(ended.status.signal(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!(report["stopped"], "SIGINT");
    assert_eq!(report["events"], 2);
    assert_eq!(report["maps"][0]["elements"][0]["value"], 7);
}
