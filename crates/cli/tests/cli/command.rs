//! Programs on what a command does, beside what strace says of it.

use std::collections::BTreeMap;
use std::process::Command;

use crate::harness::{Folder, Ran, skep, workspace};

/// Counts calls by number.
const COUNTS: &str = ".map counts, type=hash, key=4, value=8, entries=512\n\
    .section tracepoint/raw_syscalls/sys_enter\n.globl p\np:\nr6 = *(u64 *)(r1 + 8)\n\
    *(u32 *)(r10 - 4) = r6\nr2 = r10\nr2 += -4\nr1 = counts ll\ncall bpf_map_lookup_elem\n\
    if r0 == 0 goto new\nr1 = *(u64 *)(r0 + 0)\nr1 += 1\n*(u64 *)(r0 + 0) = r1\ngoto out\n\
    new:\nr1 = 1\n*(u64 *)(r10 - 16) = r1\nr1 = counts ll\nr2 = r10\nr2 += -4\nr3 = r10\n\
    r3 += -16\nr4 = 0\ncall bpf_map_update_elem\nout:\nr0 = 0\nexit\n";

/// Gives what `openat` was given, and the first 8 bytes of the path.
const OPENS: &str = ".license \"GPL\"\n.map rb, type=ringbuf, entries=65536\n\
    .section tracepoint/syscalls/sys_enter_openat\n.globl p\np:\nr6 = *(u64 *)(r1 + 24)\n\
    r1 = r10\nr1 += -16\nr2 = 16\nr3 = r6\ncall bpf_probe_read_user_str\n\
    if r0 s> 0 goto send\nr0 = 0\nexit\nsend:\nr1 = rb ll\nr2 = r10\nr2 += -16\nr3 = 8\n\
    r4 = 0\ncall bpf_ringbuf_output\nr0 = 0\nexit\n";

/// A run, unless this machine cannot.
pub fn traced(args: &[&str]) -> Option<Ran> {
    let ran = skep(args);
    if ran.err.contains("Syscall User Dispatch") || ran.err.contains("FSGSBASE") {
        println!("skipped: {}", ran.err);
        return None;
    }
    Some(ran)
}

/// How often strace sees each call, by number.
fn strace(script: &str, folder: &Folder) -> Option<BTreeMap<u64, u64>> {
    let file = folder.file("strace", "");
    let done = Command::new("strace")
        .args(["-f", "-n", "-qq", "-e", "signal=none", "-o", &file, "sh", "-c", script])
        .current_dir(workspace())
        .output();
    if done.is_err() {
        println!("skipped: no strace");
        return None;
    }
    let mut calls = BTreeMap::new();
    let text = std::fs::read_to_string(&file).unwrap();
    for line in text.lines().filter(|line| !line.contains("resumed>")) {
        let number = line.split_once('[').unwrap().1.split_once(']').unwrap().0.trim();
        *calls.entry(number.parse().unwrap()).or_insert(0) += 1;
    }
    Some(calls)
}

const SCRIPT: &str = "/bin/cat /etc/hostname >/dev/null; /bin/true a b; exec /bin/ls / >/dev/null";

/// How often a shell is interrupted by SIGCHLD is a matter of time: rt_sigreturn, wait4.
const OF_THE_MOMENT: [u64; 2] = [15, 61];

#[test]
fn each_call_of_a_command_is_an_event() {
    let folder = Folder::new();
    let object = folder.object("counts", COUNTS);
    let command = format!("sh -c '{SCRIPT}'");
    let Some(mut theirs) = strace(SCRIPT, &folder) else { return };
    let run = ["run", &object, "-c", &command, "--json", "--show", "all"];
    let Some(ran) = traced(&run) else { return };
    let report = ran.json();
    let elements = report["maps"][0]["elements"].as_array().unwrap();
    let mut ours: BTreeMap<u64, u64> = elements
        .iter()
        .map(|element| (element["key"].as_u64().unwrap(), element["value"].as_u64().unwrap()))
        .collect();
    for call in OF_THE_MOMENT {
        ours.remove(&call);
        theirs.remove(&call);
    }
    assert_eq!(ours, theirs);
    assert_eq!(report["notes"], serde_json::json!([]));
}

/// A script, which the embedded kernel runs on the same command.
#[test]
fn a_script_sees_each_call_of_a_command() {
    let folder = Folder::new();
    let Some(mut theirs) = strace(SCRIPT, &folder) else { return };
    let script = "tracepoint:raw_syscalls:sys_enter { @[args.id] = count(); } \
        tracepoint:syscalls:sys_enter_openat { printf(\"opens %s\\n\", str(args.filename)); }";
    let command = format!("sh -c '{SCRIPT}'");
    let args = ["trace", "-q", "--kernel", "embedded", "-e", script, "-c", &command];
    let Some(ran) = traced(&args) else { return };
    assert_eq!((ran.status, &ran.err[..]), (0, ""), "{}", ran.out);
    let count = |line: &str| {
        let (number, count) = line.strip_prefix("@[")?.split_once("]: ")?;
        Some((number.parse().ok()?, count.parse().ok()?))
    };
    let mut ours: BTreeMap<u64, u64> = ran.out.lines().filter_map(count).collect();
    for call in OF_THE_MOMENT {
        ours.remove(&call);
        theirs.remove(&call);
    }
    assert_eq!(ours, theirs);
    // openat
    let opens = ran.out.lines().filter(|line| line.starts_with("opens /")).count() as u64;
    assert_eq!(opens, theirs[&257]);
    assert!(ran.out.contains("opens /etc/hostname\n"), "{}", ran.out);
}

#[test]
fn memory_behind_pointers_is_what_it_was_when_the_call_began() {
    let folder = Folder::new();
    let object = folder.object("opens", OPENS);
    let run = ["run", &object, "-c", "cat /etc/hostname /nonexistent", "--json", "--show", "all"];
    let Some(ran) = traced(&run) else { return };
    assert_eq!(ran.status, 0, "{}", ran.err);
    let report = &ran.out[ran.out.find("{\n").unwrap()..];
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    let records = report["ring_buffers"][0]["records"].to_string();
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    for path in ["/etc/hos", "/nonexis"] {
        assert!(records.contains(&hex(path)) || records.contains(path), "{path}: {records}");
    }
    let note = report["notes"].to_string();
    assert!(note.contains("the command ended with status 1"), "{note}");
}

/// The object in a program of Debian's libbpf-tools.
fn tool(name: &str, folder: &Folder) -> Option<String> {
    let Ok(bytes) = std::fs::read(format!("/usr/sbin/{name}")) else {
        println!("skipped: no {name} of libbpf-tools");
        return None;
    };
    const START: &[u8] = b"\x7fELF\x02\x01\x01";
    let at = (1..bytes.len() - 64).find(|&at| {
        bytes[at..].starts_with(START) && bytes[at + 18..at + 20] == 247u16.to_le_bytes()
    })?;
    let path = folder.file(&format!("{name}.bpf.o"), "");
    std::fs::write(&path, &bytes[at..]).unwrap();
    Some(path)
}

/// Samples of the map `events`.
fn samples(object: &str, command: &str) -> Option<Vec<String>> {
    let ran = traced(&["run", object, "-c", command, "--json", "--show", "all"])?;
    let report = ran.json();
    let buffers = report["perf_buffers"].as_array().unwrap();
    let events = buffers.iter().find(|buffer| buffer["map"] == "events").unwrap();
    let samples = events["samples"].as_array().unwrap();
    assert_eq!(
        (events["count"].as_u64(), events["lost"].as_u64()),
        (Some(samples.len() as u64), Some(0))
    );
    Some(samples.iter().map(|sample| sample.as_str().unwrap().to_owned()).collect())
}

#[test]
fn compiled_tools_run_unchanged() {
    let folder = Folder::new();
    let command = format!("sh -c '{SCRIPT}'");
    let Some(theirs) = strace(SCRIPT, &folder) else { return };
    let hex = |text: &[u8]| text.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if let Some(object) = tool("opensnoop", &folder)
        && let Some(opens) = samples(&object, &command)
    {
        // Of open and openat.
        let count = |call| theirs.get(&call).copied().unwrap_or(0);
        assert_eq!(opens.len() as u64, count(2) + count(257));
        assert!(opens.iter().any(|sample| sample.contains(&hex(b"/etc/hostname\0"))));
    }
    if let Some(object) = tool("execsnoop", &folder)
        && let Some(execs) = samples(&object, &command)
    {
        assert_eq!(execs.len() as u64, theirs[&59]);
        assert!(
            execs.iter().any(|sample| sample.contains(&hex(b"/bin/true\0a\0b\0"))),
            "{execs:?}"
        );
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = Folder::new();
    let object = folder.object("counts", COUNTS);
    let (error, _) = skep(&["run", &object, "-c", "/nonexistent/command"]).failed(2);
    assert!(error.contains("/nonexistent/command"), "{error}");
    let (error, _) = skep(&["run", &object, "-c", "'open quote"]).failed(2);
    assert!(error.contains("is no command"), "{error}");
    let other = folder.object("xdp", ".section xdp\n.globl p\np:\nr0 = 2\nexit\n");
    let (error, hint) = skep(&["run", &other, "-c", "true"]).failed(2);
    assert!(error.contains("no program for what a command does"), "{error}");
    assert!(hint.contains("sys_enter"), "{hint}");
}
