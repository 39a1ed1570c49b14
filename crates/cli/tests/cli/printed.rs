//! What programs print in Linux is read, shown and compared, and nobody else's lines are.

use crate::harness::{CAPTURE, Folder, linux_is_permitted, skep};

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
