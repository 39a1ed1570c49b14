//! Reports and readers take what they show, whatever the size of what they look at.

use crate::harness::{CAPTURE, Folder, Ran, skep, workspace};
use std::process::{Command, Stdio};

const ENTRIES: u32 = 1 << 20;

fn big_array(folder: &Folder) -> String {
    let source = format!(
        ".map ring, type=array, key=4, value=4, entries={ENTRIES}\n.section xdp\n.globl big\nbig:\n\
         *(u32 *)(r10 - 4) = 5\nr2 = r10\nr2 += -4\nr1 = map[ring] ll\ncall bpf_map_lookup_elem\n\
         if r0 == 0 goto out\n*(u32 *)(r0 + 0) = 7\nout:\nr0 = 2\nexit\n"
    );
    folder.object("big", &source)
}

#[test]
fn a_large_array_is_shown_by_what_is_in_it() {
    let folder = Folder::new();
    let object = big_array(&folder);
    let run = ["run", &object, "--pcap", CAPTURE, "--limit", "1"];
    let out = skep(&run).done();
    assert!(out.contains(&format!("ring (array, {ENTRIES} of {ENTRIES})\n  5: 7\n")), "{out}");
    assert!(out.contains(&format!("{} elements of zeros", ENTRIES - 1)), "{out}");

    let json = skep(&[&run[..], &["--json"]].concat()).json();
    let map = &json["runs"][0]["maps"][0];
    assert_eq!(map["elements"], serde_json::json!([{ "key": 5, "value": 7 }]));
    assert_eq!((&map["count"], &map["zeros"]), (&ENTRIES.into(), &(ENTRIES - 1).into()));

    let json = skep(&[&run[..], &["--json", "--show", "all"]].concat()).json();
    let elements = json["runs"][0]["maps"][0]["elements"].as_array().expect("elements").clone();
    assert_eq!(elements.len(), ENTRIES as usize);
    assert_eq!(elements[5], serde_json::json!({ "key": 5, "value": 7 }));
}

#[test]
fn a_report_keeps_no_more_than_it_shows() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: only Linux tells how much memory a process took");
        return;
    }
    let folder = Folder::new();
    let object = big_array(&folder);
    for more in [&[][..], &["--json"], &["--json", "--show", "all"]] {
        let args = [&["run", &object, "--pcap", CAPTURE, "--limit", "1"][..], more].concat();
        // The map takes 8 MiB of address space; what is kept of an element took some 200 bytes
        // beside it once.
        let out = folder.path("out");
        let limit = format!("ulimit -v 4194304; exec \"$0\" \"$@\" > {out}");
        let mut child = Command::new("sh")
            .args(["-c", &limit, env!("CARGO_BIN_EXE_skep")])
            .args(&args)
            .current_dir(workspace())
            .stdin(Stdio::null())
            .spawn()
            .expect("sh starts");
        let mut peak = 0;
        while child.try_wait().expect("a child").is_none() {
            let status = format!("/proc/{}/status", child.id());
            let text = std::fs::read_to_string(status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let size = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak = peak.max(size.unwrap_or(0u64));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(peak < 96 << 10, "{more:?}: {peak} KiB");
    }
}

#[test]
fn two_kernels_agree_on_a_large_array() {
    if !crate::harness::linux_is_permitted() {
        return;
    }
    let folder = Folder::new();
    let object = big_array(&folder);
    let run = ["run", &object, "--pcap", CAPTURE, "--limit", "2", "--kernel", "both"];
    let out = skep(&run).done();
    assert!(out.contains("embedded and linux agree on every packet, record and map"), "{out}");
}

#[test]
fn an_object_of_thousands_of_maps_is_inspected() {
    let folder = Folder::new();
    let maps: String =
        (0..4000).map(|at| format!(".map m{at}, type=hash, key=4, value=8, entries=1\n")).collect();
    let object = folder.object("many", &format!("{maps}.section xdp\nr0 = 2\nexit\n"));
    let out = skep(&["inspect", &object]).done();
    assert!(out.contains("maps (4000)"), "{out}");
}

#[test]
fn types_from_a_stream_without_end_are_refused() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: there is no /dev/zero");
        return;
    }
    for args in [
        &["btf", "dump", "/dev/zero"][..],
        &["verify", "examples/hello.bpf.o", "--btf", "/dev/zero"],
    ] {
        let (error, _) = skep(args).failed(2);
        assert_eq!(error, "/dev/zero: is larger than 67108864 bytes");
    }
}

#[test]
fn dumps_and_logs_are_without_the_control_characters_of_names() {
    let mut evil = std::fs::read(workspace().join("examples/hello.bpf.o")).unwrap();
    // In the symbols, the types and the source alike.
    let name = b"packets";
    for at in 0..evil.len() - name.len() {
        if evil[at..].starts_with(name) {
            evil[at..at + 4].copy_from_slice(b"\x1b[1m");
        }
    }
    let folder = Folder::new();
    let object = folder.file("evil.bpf.o", &evil);
    let dump = |format| ["btf", "dump", &object, "--format", format];
    for (args, shown) in [
        (&dump("raw")[..], Some("'\\u{1b}[1mets'")),
        (&dump("json"), Some("\"\\u001b[1mets\"")),
        // C has no variables, and so not this name.
        (&dump("c"), None),
        (&["verify", &object, "--log"], Some("&\\u{1b}[1mets")),
    ] {
        let Ran { out, .. } = skep(args);
        assert!(!out.contains('\x1b'), "{args:?}: {out:?}");
        assert!(shown.is_none_or(|shown| out.contains(shown)), "{args:?}: {out:?}");
    }
}
