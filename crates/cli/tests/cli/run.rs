//! `skep run` on captures: verdicts, maps, records, output, and both kernels.

use crate::harness::{CAPTURE, Folder, linux_is_permitted, skep, workspace};
use serde_json::{Value, json};

fn run(args: &[&str]) -> Value {
    skep(&[&["run"], args, &["--pcap", CAPTURE, "--json"]].concat()).json()
}

fn map<'a>(run: &'a Value, name: &str) -> &'a Vec<Value> {
    let maps = run["runs"][0]["maps"].as_array().unwrap();
    let map = maps.iter().find(|map| map["name"] == name || map["section"] == name);
    map.unwrap_or_else(|| panic!("no map {name}"))["elements"].as_array().unwrap()
}

fn verdict(run: &Value, name: &str) -> (u64, u64) {
    let verdicts = run["runs"][0]["verdicts"].as_array().unwrap();
    let found = verdicts.iter().find(|verdict| verdict["verdict"] == name);
    found.map_or((0, 0), |of| (of["packets"].as_u64().unwrap(), of["bytes"].as_u64().unwrap()))
}

#[test]
fn the_first_command_of_the_readme_shows_what_the_guard_did() {
    let out = skep(&["run", "examples/syn_guard.bpf.o", "--pcap", CAPTURE]).done();
    for expected in ["syn_guard (xdp)", "XDP_PASS", "XDP_DROP", "ns for a packet", "cpu 0: {"] {
        assert!(out.contains(expected), "{expected} in\n{out}");
    }
    assert!(out.contains("source: ::ffff:203.0.113.77, destination: ::ffff:192.0.2.80, port: 80"));
    assert!(!out.contains('\x1b'), "colour without a terminal");
}

#[test]
fn verdicts_add_up_and_agree_with_the_programs_own_counts() {
    let run = run(&["examples/syn_guard.bpf.o"]);
    let (passed, dropped) = (verdict(&run, "XDP_PASS"), verdict(&run, "XDP_DROP"));
    let all = &run["runs"][0];
    assert_eq!(json!(passed.0 + dropped.0), all["packets"]);
    assert_eq!(json!(passed.1 + dropped.1), all["bytes"]);
    // `verdicts` counts by enum verdict: other, SYN, flood.
    let counts = map(&run, "verdicts");
    assert_eq!(counts[2]["sum"], json!({"packets": dropped.0, "bytes": dropped.1}));
    assert_eq!(counts[2]["cpus"][0], counts[2]["sum"]);
    let alerts = &all["ring_buffers"][0];
    assert_eq!(alerts["map"], "alerts");
    assert!(alerts["count"].as_u64().unwrap() > 0);
    assert_eq!(alerts["records"][0]["syns"], 51);
}

#[test]
fn a_run_is_the_same_each_time() {
    let clean = |mut run: Value| {
        for measured in ["ns_per_packet", "compile_ns"] {
            run["runs"][0][measured] = Value::Null;
        }
        run
    };
    let once = clean(run(&["examples/syn_guard.bpf.o"]));
    assert_eq!(clean(run(&["examples/syn_guard.bpf.o"])), once);
}

#[test]
fn what_programs_print_is_shown_up_to_a_limit() {
    let args = ["run", "examples/hello.bpf.o", "--pcap", CAPTURE, "--limit", "7", "--show", "2"];
    let out = skep(&args).done();
    assert!(out.contains("bpf_printk (7 lines)\n  hello, packet of 1514 bytes\n"), "{out}");
    assert!(out.contains("  and 5 more"), "{out}");
    assert!(out.contains(".bss (variables)\n  packets: 7\n"), "{out}");
}

#[test]
fn maps_are_filled_before_the_run() {
    let folder = Folder::new();
    let with = |args: &[&str]| run(&[&["examples/per_ip.bpf.o"], args].concat());
    let key = "::ffff:192.0.2.10";
    let dropped = |run: &Value| {
        let element = map(run, "blocked").iter().find(|element| element["key"] == key).cloned();
        element.map(|element| element["value"].clone())
    };
    assert_eq!(dropped(&with(&[])), None);
    let by_option = with(&["--map", "blocked=192.0.2.10:5"]);
    let count = dropped(&by_option).unwrap().as_u64().unwrap();
    assert!(count > 5, "{count}");
    for (name, text) in [
        ("maps.json", r#"{ "blocked": { "192.0.2.10": 5 } }"#),
        ("list.json", r#"{ "blocked": [{ "key": "::ffff:192.0.2.10", "value": 5 }] }"#),
        ("maps.toml", "[blocked]\n\"192.0.2.10\" = 5\n"),
    ] {
        let file = folder.file(name, text);
        assert_eq!(map(&with(&["--maps", &file]), "blocked"), map(&by_option, "blocked"), "{name}");
    }
}

#[test]
fn variables_are_set_before_the_program_is_loaded() {
    let limited = run(&["examples/syn_guard.bpf.o", "--map", ".rodata=syn_limit:5"]);
    assert_eq!(limited["runs"][0]["ring_buffers"][0]["records"][0]["syns"], 6);
    let constants = map(&limited, ".rodata");
    assert_eq!(constants[0]["value"]["syn_limit"], 5);
    // The other variable of the section keeps its value.
    assert_eq!(constants[0]["value"]["window_ns"], 1_000_000_000);
}

#[test]
fn a_capture_can_be_cut_and_repeated() {
    let hello = |args: &[&str]| {
        run(&[&["examples/hello.bpf.o"], args].concat())["runs"][0]["packets"].clone()
    };
    assert_eq!(hello(&["--limit", "5"]), 5);
    assert_eq!(hello(&["--limit", "5", "--repeat", "3"]), 15);
    assert_eq!(hello(&["--limit", "0"]), 0);
}

#[test]
fn the_clock_goes_on_when_a_capture_is_repeated() {
    let last_seen = |args: &[&str]| {
        let run = run(&[&["examples/per_ip.bpf.o"], args].concat());
        let seen = map(&run, "traffic")
            .iter()
            .map(|element| element["value"]["last_seen"].as_u64().unwrap());
        seen.max().unwrap()
    };
    let once = last_seen(&["--limit", "50"]);
    assert!(last_seen(&["--limit", "50", "--repeat", "2"]) > once);
    // The machine's monotonic clock counts from its start, captures from 1970.
    assert!(last_seen(&["--limit", "50", "--clock", "real"]) < once);
}

#[test]
fn the_packets_are_written_as_the_program_left_them() {
    let folder = Folder::new();
    let source = ".section tc\nr6 = r1\nr2 = 0\nr3 = r10\nr3 += -8\nr1 = 0x66\n*(u8 *)(r10 - 8) = r1\n\
                  r1 = r6\nr4 = 1\nr5 = 0\ncall bpf_skb_store_bytes\nr0 = 2\nexit\n";
    let object = folder.object("stamp", source);
    let out = folder.path("out.pcapng");
    skep(&["run", &object, "--pcap", CAPTURE, "--limit", "20", "--out", &out]).done();

    let mut before = skep::load::capture::Reader::open(workspace().join(CAPTURE)).unwrap();
    let mut after = skep::load::capture::Reader::open(&out).unwrap();
    for _ in 0..20 {
        let one = before.next_packet().unwrap().unwrap();
        let other = after.next_packet().unwrap().unwrap();
        assert_eq!((one.time, one.data.len()), (other.time, other.data.len()));
        assert_eq!(other.data[0], 0x66);
        assert_eq!(one.data[1..], other.data[1..]);
    }
    assert!(after.next_packet().unwrap().is_none());
    // Verdict and name are options of each packet.
    let bytes = std::fs::read(&out).unwrap();
    let count = bytes.windows(11).filter(|window| window == b"TC_ACT_SHOT").count();
    assert_eq!(count, 20);
}

#[test]
fn socket_filters_see_the_link_header_and_accept_or_drop() {
    let folder = Folder::new();
    // The type of an ARP packet stands in bytes 12 and 13.
    let source = ".section socket\nr6 = r1\nr0 = *(u16 *)skb[12]\nif r0 == 0x806 goto arp\nr0 = 0\nexit\n\
                  arp:\nr0 = 96\nexit\n";
    let object = folder.object("arp", source);
    let run = run(&[&object]);
    let mut arps = 0;
    let mut reader = skep::load::capture::Reader::open(workspace().join(CAPTURE)).unwrap();
    while let Some(packet) = reader.next_packet().unwrap() {
        arps += u64::from(packet.data.get(12..14) == Some(&[8, 6][..]));
    }
    assert!(arps > 0);
    assert_eq!(verdict(&run, "accepted").0, arps);
    assert_eq!(json!(verdict(&run, "dropped").0 + arps), run["runs"][0]["packets"]);
}

#[test]
fn what_the_verifier_refuses_runs_unverified_until_a_trap_names_packet_and_place() {
    let folder = Folder::new();
    let source = ".section xdp\nr2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr3 -= r2\n\
                  if r3 == 1514 goto out\nr0 = *(u8 *)(r2 + 5000)\nout:\nr0 = 2\nexit\n";
    let object = folder.object("trap", source);
    let (error, _) = skep(&["run", &object, "--pcap", CAPTURE]).failed(1);
    assert!(error.contains("the kernel refuses it: Permission denied (EACCES)"), "{error}");
    let (error, _) = skep(&["run", &object, "--pcap", CAPTURE, "--unverified"]).failed(1);
    assert_eq!(
        error,
        "packet 2: insn 4: load of 1 bytes at offset 5000 is outside of the packet of 42 bytes"
    );
}

#[test]
fn an_unresolved_record_is_no_error_until_it_is_reached() {
    let object = "crates/cli/tests/objects/poisoned.bpf.o";
    let types = ["--btf", "examples/hello.bpf.o"];
    let (error, _) = skep(&[&["run", object, "--pcap", CAPTURE], &types[..]].concat()).failed(1);
    assert!(error.contains("struct no_such_structure.no_such_field"), "{error}");

    let types = ["--unverified", types[0], types[1]];
    let (error, _) = skep(&[&["run", object, "--pcap", CAPTURE], &types[..]].concat()).failed(1);
    // The first packet has more than 100 bytes.
    assert!(error.starts_with("packet 1: insn 8 (poisoned.bpf.c:"), "{error}");
    assert!(error.contains("struct no_such_structure.no_such_field"), "{error}");

    let folder = Folder::new();
    let header = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1, 1, 0, 60, 60];
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend([0; 60]);
    let short = folder.file("short.pcap", bytes);
    skep(&[&["run", object, "--pcap", &short], &types[..]].concat()).done();
}

#[test]
fn tail_calls_reach_programs_that_the_user_puts_into_an_array() {
    let folder = Folder::new();
    let source = ".map next, type=prog_array, key=4, value=4, entries=2\n.section xdp\n.globl first\n\
                  first:\nr2 = map[next] ll\nr3 = 0\ncall bpf_tail_call\nr0 = 1\nexit\n\
                  .globl second\nsecond:\nr0 = 3\nexit\n";
    let object = folder.object("tail", source);
    let run = |args: &[&str]| {
        run(&[&[object.as_str(), "--program", "first", "--limit", "1"], args].concat())
    };
    assert_eq!(verdict(&run(&[]), "XDP_DROP").0, 1);
    assert_eq!(verdict(&run(&["--map", "next=0:second"]), "XDP_TX").0, 1);
}

#[test]
fn both_kernels_agree_on_the_examples() {
    if !linux_is_permitted() {
        return;
    }
    for object in ["hello", "syn_guard", "per_ip"] {
        let object = format!("examples/{object}.bpf.o");
        let run = run(&[&object, "--kernel", "both"]);
        assert_eq!(run["differences"]["described"], json!([]), "{object}");
        let [embedded, linux] = &run["runs"].as_array().unwrap()[..] else { panic!("{run}") };
        assert_eq!(embedded["verdicts"], linux["verdicts"]);
        assert_eq!(embedded["not_run"], linux["not_run"]);
        assert!(linux["packets"].as_u64().unwrap() > 2000);
    }
}

#[test]
fn both_kernels_agree_on_tc_programs_and_socket_filters_of_our_own() {
    if !linux_is_permitted() {
        return;
    }
    let folder = Folder::new();
    let tc =
        ".license \"GPL\"\n.section tc\nr6 = r1\nr0 = *(u32 *)(r6 + 0)\nr0 &= 1\nr0 <<= 1\nexit\n";
    let filter = ".section socket\nr6 = r1\nr0 = *(u8 *)skb[23]\nif r0 == 6 goto tcp\nr0 = 0\nexit\n\
                  tcp:\nr0 = *(u32 *)(r6 + 0)\nexit\n";
    for (name, source) in [("tc", tc), ("filter", filter)] {
        let object = folder.object(name, source);
        let out = skep(&["run", &object, "--pcap", CAPTURE, "--kernel", "both"]).done();
        assert!(out.contains("embedded and linux agree on every packet, record and map"), "{out}");
    }
}

#[test]
fn differences_have_status_1_and_are_listed() {
    if !linux_is_permitted() {
        return;
    }
    let folder = Folder::new();
    // SKF_NET_OFF starts at the network header, which is elsewhere under TEST_RUN.
    let source = ".section socket\nr6 = r1\nr0 = *(u8 *)skb[-0x100000]\nexit\n";
    let object = folder.object("net_off", source);
    let ran = skep(&["run", &object, "--pcap", CAPTURE, "--kernel", "both"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.out.contains("embedded and linux differ: "), "{}", ran.out);
    assert!(ran.out.contains("  packet "), "{}", ran.out);
}

#[test]
fn a_program_that_linux_rejects_has_status_1_and_its_log() {
    if !linux_is_permitted() {
        return;
    }
    let folder = Folder::new();
    let object = folder.object("reject", ".section xdp\nr0 = *(u8 *)(r1 + 1000)\nexit\n");
    let ran = skep(&["run", &object, "--pcap", CAPTURE, "--kernel", "linux"]);
    assert!(ran.err.contains("invalid bpf_context access off=1000 size=1"), "{}", ran.err);
    let (error, _) = ran.failed(1);
    assert!(error.contains("program \"xdp\": the kernel refuses it"), "{error}");
}

#[test]
fn the_packets_clock_rules_in_linux_too() {
    if !linux_is_permitted() {
        return;
    }
    let args = ["examples/per_ip.bpf.o", "--limit", "100"];
    let traffic =
        |kernel: &str| map(&run(&[&args[..], &["--kernel", kernel]].concat()), "traffic").clone();
    assert_eq!(traffic("linux"), traffic("embedded"));
}

#[test]
fn a_comparison_shows_every_map_of_both_kernels() {
    if !linux_is_permitted() {
        return;
    }
    let args = ["run", "examples/syn_guard.bpf.o", "--pcap", CAPTURE, "--kernel", "both"];
    let report = skep(&[&args[..], &["--json"]].concat()).json();
    let maps = |side: usize| {
        let maps = report["runs"][side]["maps"].as_array().expect("maps");
        maps.iter().map(|map| map["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(maps(0), maps(1));
    assert!(maps(0).len() > 2, "{:?}", maps(0));
    // What is the same in both is shown once as text.
    let text = skep(&args).done();
    assert_eq!(text.matches("\nverdicts (").count(), 1, "{text}");

    // Two kernels read their clocks at different times.
    let folder = Folder::new();
    let source = ".map counts, type=array, key=4, value=8, entries=1\n\
                  .map same, type=array, key=4, value=8, entries=1\n.section socket\n\
                  call bpf_ktime_get_ns\nr7 = r0\nr1 = 0\n*(u32 *)(r10 - 4) = r1\n\
                  r2 = r10\nr2 += -4\nr1 = map[counts] ll\ncall bpf_map_lookup_elem\n\
                  if r0 == 0 goto out\n*(u64 *)(r0 + 0) = r7\nout:\nr1 = map[same] ll\nr0 = 0\n\
                  exit\n";
    let object = folder.object("differs", source);
    let args = ["run", &object, "--pcap", CAPTURE, "--limit", "3", "--clock", "real"];
    let ran = skep(&[&args[..], &["--kernel", "both"]].concat());
    assert_eq!(ran.status, 1, "{}", ran.err);
    for title in ["counts (array, 1 of 1, embedded)", "counts (array, 1 of 1, linux)"] {
        assert!(ran.out.contains(title), "{title} in\n{}", ran.out);
    }
    assert!(ran.out.contains("same (array, 1 of 1)\n"), "{}", ran.out);
}
