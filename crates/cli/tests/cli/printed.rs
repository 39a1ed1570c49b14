//! What programs print in Linux is read, shown and compared, and nobody else's lines are.

use std::process::{Command, Stdio};

use crate::harness::{CAPTURE, Folder, linux_is_permitted, skep, workspace};

/// Whether lines of Linux's programs can be read; says that a test is skipped where not.
fn is_heard() -> bool {
    if !linux_is_permitted() {
        return false;
    }
    let doctor = skep(&["doctor", "--json"]).json();
    let machine = doctor["machine"].as_array().expect("checks");
    let tracefs = machine.iter().find(|check| check["name"] == "tracefs").expect("a check");
    if tracefs["state"] != "ok" {
        eprintln!("skipped: {}", tracefs["found"]);
    }
    tracefs["state"] == "ok"
}

#[test]
fn what_is_printed_in_linux_is_shown() {
    if !is_heard() {
        return;
    }
    let args = ["run", "examples/hello.bpf.o", "--pcap", CAPTURE, "--limit", "5", "--kernel"];
    let printed = |kernel| {
        let run = skep(&[&args[..], &[kernel, "--json"]].concat()).json();
        run["runs"][0]["printed"].clone()
    };
    let linux = printed("linux");
    assert_eq!(linux["count"], 5);
    assert_eq!(linux["lines"][0], "hello, packet of 1514 bytes");
    assert_eq!(linux, printed("embedded"));
    let text = skep(&[&args[..], &["linux"]].concat()).done();
    assert!(text.contains("bpf_printk (5 lines)\n  hello, packet of 1514 bytes\n"), "{text}");
}

#[test]
fn two_runs_at_once_each_show_their_own_lines() {
    if !is_heard() {
        return;
    }
    let run = |limit: &'static str| {
        std::thread::spawn(move || {
            let args = ["run", "examples/hello.bpf.o", "--pcap", CAPTURE, "--kernel", "linux"];
            skep(&[&args[..], &["--limit", limit, "--json"]].concat()).json()
        })
    };
    for (limit, handle) in [("300", run("300")), ("200", run("200"))] {
        let report = handle.join().expect("it ends");
        let limit: u64 = limit.parse().unwrap();
        let not_run = report["runs"][0]["not_run"].as_u64().unwrap();
        assert_eq!(report["runs"][0]["printed"]["count"], limit - not_run);
    }
}

#[test]
fn lines_are_compared() {
    if !is_heard() {
        return;
    }
    let out = skep(&[
        "run",
        "examples/hello.bpf.o",
        "--pcap",
        CAPTURE,
        "--limit",
        "50",
        "--kernel",
        "both",
    ]);
    assert!(out.done().contains("agree on every packet, record and map"));

    // The address of the stack is another in each kernel.
    let folder = Folder::new();
    let source = ".license \"GPL\"\n.section xdp\nr1 = 0xa7525 ll\n*(u64 *)(r10 - 8) = r1\n\
                  call bpf_get_smp_processor_id\nr1 = r10\nr1 += -8\nr2 = 8\ncall bpf_ktime_get_ns\n\
                  r3 = r0\nr1 = r10\nr1 += -8\nr2 = 8\ncall bpf_trace_printk\nr0 = 2\nexit\n";
    let object = folder.object("clock", source);
    let ran = skep(&[
        "run", &object, "--pcap", CAPTURE, "--limit", "3", "--kernel", "both", "--clock", "real",
    ]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.out.contains("0 packets, 0 records, 3 lines, 0 maps"), "{}", ran.out);
    assert!(ran.out.contains("packet 1: printed: embedded \""), "{}", ran.out);
}

/// Our trace instances, as tracefs has them in a folder.
fn instances(tracefs: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(tracefs.path("instances")).expect("tracefs");
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("skep-")).collect()
}

#[test]
fn the_instance_of_a_run_that_was_killed_goes_with_the_next_run() {
    if !is_heard() {
        return;
    }
    let tracefs = Folder::new();
    let folder = tracefs.path("");
    let mount = Command::new("mount").args(["-t", "tracefs", "tracefs", &folder]).status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("skipped: tracefs cannot be mounted here");
        return;
    }
    let run = ["run", "examples/hello.bpf.o", "--kernel", "linux", "--pcap"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args([&run[..], &["-"]].concat())
        .current_dir(workspace())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("skep starts");
    // The thread that runs programs is the process's first.
    let own = format!("skep-{}", child.id());
    let started = std::time::Instant::now();
    while !instances(&tracefs).contains(&own) && started.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let was_there = instances(&tracefs).contains(&own);
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
    let stays = instances(&tracefs).contains(&own);
    let next = skep(&[&run[..], &[CAPTURE, "--limit", "5"]].concat());
    let left = instances(&tracefs);
    let unmounted = Command::new("umount").arg(&folder).status();
    assert!(was_there && stays, "what this test is about has not come about");
    assert_eq!(next.status, 0, "{}", next.err);
    assert!(!left.contains(&own), "{left:?}");
    assert!(unmounted.expect("umount").success());
}
