//! Verdicts for processes with some capabilities, beside libbpf's and Linux's for such a
//! process: its probes fail as its programs may, and it loads something else then.

use std::collections::BTreeMap;
use std::process::Command;

use crate::harness::{Folder, linux_is_permitted, skep, workspace};
use serde_json::Value;

/// Errno and reason, by program; `-` for none.
type Verdicts = BTreeMap<String, (String, String)>;

/// libbpf in a process with these capabilities and no others.
fn judge(loader: &str, caps: &str, object: &str) -> Verdicts {
    let only = caps.split(',').map(|cap| format!("+{cap}")).collect::<Vec<_>>().join(",");
    let ran = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(
            ["inh-caps", "ambient-caps", "bounding-set"].map(|set| format!("--{set}=-all,{only}")),
        )
        .args([loader, object])
        .output()
        .expect("setpriv");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = String::from_utf8(ran.stdout).expect("text");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        (cells[0].to_owned(), (cells[1].to_owned(), cells[2].to_owned()))
    };
    text.lines().map(row).collect()
}

fn ours(caps: &str, object: &str) -> Verdicts {
    let ran = skep(&["verify", object, "--caps", caps, "--json"]);
    let row = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = |member: &str| line[member].as_str().map(str::to_owned);
        let errno = text("errno").unwrap_or_else(|| "-".into());
        (text("program").expect("a program"), (errno, text("message").unwrap_or_default()))
    };
    ran.out.lines().map(row).collect()
}

#[test]
fn verdicts_for_some_capabilities_are_those_on_what_libbpf_loads_then() {
    if !linux_is_permitted() {
        return;
    }
    let folder = Folder::new();
    let loader = folder.path("loader");
    let source = workspace().join("crates/cli/tests/loader.c");
    let built = Command::new("gcc").arg(source).args(["-o", &loader, "-lbpf"]).output();
    if !built.is_ok_and(|built| built.status.success()) {
        eprintln!(
            "skipped: libbpf in processes with some capabilities: gcc or libbpf-dev is missing"
        );
        return;
    }
    // Who has not all capabilities may not reach the workspace.
    let copy = |name: &str| {
        let from = workspace().join("examples").join(name);
        folder.file(name, std::fs::read(from).expect("an example"))
    };
    let reads = ".license \"GPL\"\n.section tc\n.globl reads\nreads:\nr1 = r10\nr1 += -8\nr2 = 8\n\
                 r3 = 0\ncall bpf_probe_read_kernel\nr0 = 0\nexit\n.section socket\n.globl plain\n\
                 plain:\nr0 = 0\nexit\n.section cgroup/skb\n.globl group\ngroup:\nr0 = 1\nexit\n";
    let objects = [copy("hello.bpf.o"), copy("mistakes.bpf.o"), folder.object("reads", reads)];
    let mut refused = 0;
    // Without CAP_BPF it is up to a setting of the machine whether anything is loaded.
    for caps in ["bpf", "bpf,net_admin", "bpf,perfmon", "bpf,perfmon,net_admin"] {
        for object in &objects {
            let (theirs, mut ours) = (judge(&loader, caps, object), ours(caps, object));
            for (name, (errno, reason)) in &theirs {
                let (our_errno, our_reason) = ours.remove(name).expect("a verdict");
                let at = format!("{caps}: {object}: {name}");
                assert_eq!(&our_errno, errno, "{at}: {our_reason:?}, libbpf: {reason:?}");
                // Without a log there is no reason.
                assert!(reason.is_empty() || our_reason == *reason, "{at}: {our_reason}, {reason}");
                refused += usize::from(errno != "-");
            }
            assert!(ours.is_empty(), "{ours:?}");
        }
    }
    assert!(refused > 10, "{refused}");
}
