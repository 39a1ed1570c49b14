//! Runs that a signal ends, outputs that a disk or another writer gets in the way of, and
//! captures that come through pipes.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{CAPTURE, Folder, skep, skep_with, workspace};

fn start(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(args)
        .current_dir(workspace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("skep starts")
}

pub fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(kill.expect("kill").success());
}

/// Waits for a condition that another process brings about.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether it has come to where signals are waited for.
pub fn catches(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    let status = status.unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    caught.is_some_and(|set| set >> 14 & 1 == 1)
}

/// Files of the folder, by name.
fn files(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path("")).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

/// A run over a pipe that has given ten packets and stays open.
fn waiting(folder: &Folder, out: &str) -> (Child, std::process::ChildStdin) {
    let mut child = start(&["run", "examples/hello.bpf.o", "--pcap", "-", "--out", out, "--json"]);
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(&ten_packets()).expect("skep reads");
    // The output is begun once the capture's header has been read. It has no name yet, or
    // one of its own.
    until("an output", || files(folder).len() > 1 || has_open_in(&child, folder));
    std::thread::sleep(Duration::from_millis(300));
    (child, input)
}

/// Whether a process has a file of the folder open.
fn has_open_in(child: &Child, folder: &Folder) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", child.id())) else { return false };
    let mut files = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    files.any(|file| file.starts_with(folder.path("")))
}

/// A pcap of ten packets of 60 bytes.
fn ten_packets() -> Vec<u8> {
    let header = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1];
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    for time in 0..10u32 {
        bytes.extend([time, 0, 60, 60].iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend([0; 60]);
    }
    bytes
}

/// As `timeout -s INT` sends it: to the process, and to its group.
#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let folder = Folder::new();
    let (child, input) = waiting(&folder, &folder.path("out.pcapng"));
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-s", "INT", &pid, &pid]).status();
    assert!(kill.expect("kill").success());
    let ended = child.wait_with_output().expect("it ends");
    drop(input);
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!(report["runs"][0]["packets"], 10);
    assert_eq!(ended.status.signal(), Some(2));
}

#[test]
fn a_signal_ends_a_run_with_its_report_and_its_output() {
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let folder = Folder::new();
        folder.file("marker", "");
        let out = folder.path("out.pcapng");
        let (child, input) = waiting(&folder, &out);
        assert!(!std::path::Path::new(&out).exists(), "it is not whole yet");
        signal(&child, name);
        let ended = child.wait_with_output().expect("it ends");
        drop(input);
        assert_eq!(ended.status.signal(), Some(number));
        let report: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
        assert_eq!(report["stopped"], format!("SIG{name}"));
        assert_eq!(report["runs"][0]["packets"], 10);
        assert_eq!(report["runs"][0]["printed"]["count"], 10);
        assert_eq!(files(&folder), ["marker", "out.pcapng"]);
        let mut packets = skep::load::capture::Reader::open(&out).expect("a whole file");
        let mut count = 0;
        while packets.next_packet().expect("a whole packet").is_some() {
            count += 1;
        }
        assert_eq!(count, 10);
    }
}

#[test]
fn what_is_killed_leaves_nothing_behind() {
    let folder = Folder::new();
    folder.file("marker", "");
    let (mut child, input) = waiting(&folder, &folder.path("out.pcapng"));
    if files(&folder) != ["marker"] {
        eprintln!("skipped: the file system of temporary files has none without names");
    }
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
    drop(input);
    let left = files(&folder);
    assert!(left.len() == 1 || left.iter().any(|name| name.ends_with(".part")), "{left:?}");
    assert!(!left.contains(&"out.pcapng".into()), "{left:?}");
}

#[test]
fn a_pipe_that_nobody_writes_to_is_no_trap() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let child = start(&["run", "examples/hello.bpf.o", "--pcap", &pipe]);
    until("signals are caught", || catches(&child));
    signal(&child, "TERM");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.signal(), Some(15));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("stopped by SIGTERM"));
}

#[test]
fn captures_and_objects_come_through_pipes() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let child = start(&["run", "examples/hello.bpf.o", "--pcap", &pipe, "--json"]);
    std::fs::write(&pipe, ten_packets()).expect("skep reads");
    let ended = child.wait_with_output().expect("it ends");
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    assert_eq!(report["runs"][0]["packets"], 10);

    for name in ["-", "/dev/stdin"] {
        let args = ["run", "examples/hello.bpf.o", "--pcap", name, "--json"];
        assert_eq!(skep_with(&args, &ten_packets()).json()["runs"][0]["packets"], 10, "{name}");
        let hello = std::fs::read(workspace().join("examples/hello.bpf.o")).unwrap();
        let inspected = skep_with(&["inspect", name, "--json"], &hello).json();
        assert_eq!(inspected["programs"][0]["name"], "hello", "{name}");
    }
    let args = ["run", "examples/hello.bpf.o", "--pcap", "-", "--repeat", "2"];
    let (error, hint) = skep_with(&args, &ten_packets()).failed(2);
    assert_eq!(error, "standard input: can be read once only, and --repeat reads it again");
    assert_eq!(hint, "write it to a file first");
}

#[test]
fn packets_go_to_the_standard_output_and_the_report_makes_way() {
    let args = ["run", "examples/hello.bpf.o", "--pcap", CAPTURE, "--limit", "5", "--out", "-"];
    let mut child = start(&args);
    let mut packets = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut packets).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert!(String::from_utf8_lossy(&ended.stderr).contains("XDP_PASS"));
    let mut reader = skep::load::capture::Reader::new(&packets[..]).unwrap();
    for _ in 0..5 {
        assert!(reader.next_packet().unwrap().is_some());
    }
    assert!(reader.next_packet().unwrap().is_none());
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let (error, _) =
        skep(&["run", "examples/hello.bpf.o", "--pcap", CAPTURE, "--out", "/dev/full"]).failed(2);
    assert!(error.starts_with("/dev/full: cannot be written: No space left"), "{error}");

    let folder = Folder::new();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", &folder.path("")])
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no small file system can be mounted here");
        return;
    }
    let out = folder.file("out.pcapng", "the old file");
    let ran = skep(&["run", "examples/hello.bpf.o", "--pcap", CAPTURE, "--out", &out]);
    let (left, text) = (files(&folder), std::fs::read(&out));
    let unmounted = Command::new("umount").arg(folder.path("")).status();
    let (error, _) = ran.failed(2);
    assert!(error.contains("out.pcapng: cannot be written: No space left"), "{error}");
    assert_eq!(left, ["out.pcapng"]);
    assert_eq!(text.unwrap(), b"the old file");
    assert!(unmounted.expect("umount").success());
}

#[test]
fn two_writers_of_one_file_do_not_mix() {
    let folder = Folder::new();
    let out = folder.path("out.pcapng");
    for _ in 0..4 {
        let limits = ["40", "2000"];
        let children: Vec<Child> = limits
            .iter()
            .map(|limit| {
                start(&[
                    "run",
                    "examples/hello.bpf.o",
                    "--pcap",
                    CAPTURE,
                    "--limit",
                    limit,
                    "--out",
                    &out,
                ])
            })
            .collect();
        for child in children {
            assert!(child.wait_with_output().unwrap().status.success());
        }
        let mut reader = skep::load::capture::Reader::open(&out).unwrap();
        let mut count = 0;
        while reader.next_packet().unwrap().is_some() {
            count += 1;
        }
        assert!(count == 40 || count == 2000, "{count} packets");
        assert_eq!(files(&folder), ["out.pcapng"]);
    }
}

#[test]
fn an_output_keeps_its_links_and_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let real = folder.file("real.bpf.o", "old");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.path("link.bpf.o");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let source = folder.file("p.s", ".section xdp\nr0 = 2\nexit\n");
    skep(&["asm", &source, "-o", &link]).done();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(std::fs::read(&real).unwrap().starts_with(b"\x7fELF"));
}
