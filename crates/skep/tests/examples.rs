//! The crate's examples do what they say, and the job that the library is measured by
//! stays short.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use skep::{Kernel, Object};

/// Runs an example that cargo has built beside this test.
fn run(name: &str, args: &[&str]) -> String {
    let test = std::env::current_exe().expect("this test has a name");
    let folder = test.parent().and_then(Path::parent).expect("target/debug/deps/TEST");
    let example = folder.join("examples").join(name);
    let ran = Command::new(&example).args(args).output().expect("cargo built the example");
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{name}: {err}");
    String::from_utf8(ran.stdout).expect("text")
}

#[test]
fn the_whole_job_takes_at_most_twenty_lines() {
    let source = include_str!("../examples/guard.rs");
    let main = source.split_once("fn main()").expect("a main").1;
    // Without the line of `fn main` itself and the brace that closes it.
    let lines = main.lines().skip(1).filter(|line| !line.trim().is_empty()).count() - 1;
    assert!(lines <= 20, "{lines} lines");
    let out = run("guard", &[]);
    assert_eq!(out.lines().filter(|line| line.starts_with("flood: ")).count(), 6, "{out}");
    assert!(out.contains("\"source\":\"::ffff:203.0.113.77\""), "{out}");
    assert_eq!(out.lines().filter(|line| line.starts_with("verdict ")).count(), 3, "{out}");
}

#[test]
fn one_program_runs_in_either_kernel() {
    let out = run("anywhere", &["embedded"]);
    assert_eq!(out.matches("returned 2").count(), 3, "{out}");
    assert!(out.ends_with("embedded: 42 packets\n"), "{out}");
    let linux: Arc<dyn Kernel> = Arc::new(skep::Linux::new());
    let object = Object::open(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello.bpf.o"));
    match object.expect("an object").load(&linux) {
        Ok(_) => assert!(run("anywhere", &["linux"]).ends_with("linux: 42 packets\n")),
        Err(error) => eprintln!("skipped: Linux does not let us load programs: {error}"),
    }
}

#[test]
fn who_waits_is_woken() {
    let out = run("wait", &[]);
    let records: u64 = out.strip_suffix(" alerts\n").and_then(|n| n.parse().ok()).expect(&out);
    assert!(records > 0, "{out}");
}

#[test]
fn verdicts_need_no_kernel() {
    let out = run("verdicts", &[]);
    assert!(out.starts_with("hello: Counts"), "{out}");
    let mistakes = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/mistakes.bpf.o");
    let out = run("verdicts", &[mistakes]);
    assert!(out.contains("null_check: ") && out.contains("invalid mem access"), "{out}");
}

#[test]
fn requests_are_decided_by_one_program_or_the_next_and_none_is_lost() {
    let out = run("requests", &[]);
    let count = |status: &str| -> u64 {
        let line = out.lines().find_map(|line| line.strip_prefix(status)?.strip_prefix(": "));
        line.map_or(0, |count| count.parse().expect(&out))
    };
    // The second program goes on with the buckets of the first: nobody gets another burst.
    assert_eq!(count("200"), 8, "{out}");
    assert_eq!(count("403") + count("429"), 152, "{out}");
    assert_eq!(count("403"), count("noted"), "{out}");
    let header = include_str!("../../../examples/hooks/request.h");
    assert_eq!(run("requests", &["header"]), header);
}
