//! `skep verify`: verdicts, explanations, JSON, exit status.

use crate::harness::{Folder, Ran, skep};
use serde_json::Value;

const MISTAKES: &str = "examples/mistakes.bpf.o";

fn explained(program: &str) -> String {
    let Ran { status, out, err } = skep(&["verify", MISTAKES, "--program", program]);
    assert_eq!(status, 1, "{err}");
    out
}

fn lines(args: &[&str]) -> (i32, Vec<Value>) {
    let Ran { status, out, .. } = skep(&[&["verify", "--json"], args].concat());
    (status, out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

#[test]
fn a_mended_program_is_accepted() {
    let out = skep(&["verify", MISTAKES, "--program", "mended"]).done();
    assert!(out.contains("accepted  mended: "), "{out}");
    assert!(out.contains(" insns processed, "), "{out}");
}

#[test]
fn a_missing_null_check_is_shown_with_the_look_up_and_the_remedy() {
    let out = explained("null_check");
    for expected in [
        "rejected  null_check: EACCES",
        "error: R0 invalid mem access 'map_value_or_null'",
        "mistakes.bpf.c:30:",
        "values[0] += 1;",
        "__u64 *values = bpf_map_lookup_elem(&counts, &key);",
        "returned by bpf_map_lookup_elem",
        "compare the pointer with NULL before using it",
    ] {
        assert!(out.contains(expected), "{expected} in\n{out}");
    }
}

#[test]
fn an_index_is_followed_back_to_where_it_was_read_and_bounded() {
    let out = explained("array_bound");
    let order = [
        "error: R0 max value is outside of the allowed memory range",
        "read through r6, the context: r1 is a number from 0 to 4294967295",
        "this did not jump: r1 is a number from 0 to 16",
        "r1 is a number from 0 to 128, a multiple of 8",
        "r0 is a pointer into a value of map counts (128 bytes), at an offset from 0 to 128",
        "help: bound the index",
    ];
    let mut rest = &out[..];
    for expected in order {
        let at = rest.find(expected).unwrap_or_else(|| panic!("{expected} in\n{out}"));
        rest = &rest[at..];
    }
}

#[test]
fn a_lost_reference_is_shown_where_it_was_acquired() {
    let out = explained("lost_record");
    assert!(out.contains("error: BPF_EXIT instruction in main prog would lead to reference leak"));
    assert!(out.contains("bpf_ringbuf_reserve(&events, sizeof(*record), 0);"), "{out}");
    assert!(out.contains("if (ctx->rx_queue_index == 7)  -> jumps"), "{out}");
}

#[test]
fn json_has_a_line_for_each_program() {
    let (status, lines) = lines(&[MISTAKES]);
    assert_eq!(status, 1);
    let names: Vec<&str> = lines.iter().map(|line| line["program"].as_str().unwrap()).collect();
    assert_eq!(names, ["null_check", "array_bound", "packet_end", "lost_record", "mended"]);
    let refused = &lines[2];
    assert_eq!(refused["verdict"], "reject");
    assert_eq!(refused["errno"], "EACCES");
    assert_eq!(refused["type"], "xdp");
    assert_eq!(refused["message"], "R1 offset is outside of the packet");
    assert!(refused["insn"].is_u64() && refused["source"]["line"].is_u64(), "{refused}");
    let accepted = &lines[4];
    assert_eq!(accepted["verdict"], "accept");
    assert!(accepted["message"].is_null() && accepted["processed"].is_u64(), "{accepted}");
}

#[test]
fn the_log_is_linuxs_at_level_2() {
    let out = skep(&["verify", MISTAKES, "--program", "mended", "--log"]).done();
    assert!(out.contains("0: R1=ctx() R10=fp0\n"), "{out}");
    assert!(out.contains("processed "), "{out}");
    assert!(out.contains(" insns (limit 1000000) max_states_per_insn "), "{out}");
}

#[test]
fn what_a_user_may_not_load_names_the_capabilities() {
    let (status, lines) = lines(&[MISTAKES, "--program", "mended", "--unprivileged"]);
    assert_eq!((status, &lines[0]["errno"]), (1, &Value::from("EPERM")));
    let Ran { out, .. } = skep(&["verify", MISTAKES, "--program", "mended", "--caps", "CAP_BPF"]);
    assert!(out.contains("this type takes CAP_BPF and CAP_NET_ADMIN"), "{out}");
    skep(&["verify", MISTAKES, "--program", "mended", "--caps", "bpf,net_admin"]).done();
    let Ran { status, err, .. } = skep(&["verify", MISTAKES, "--caps", "root"]);
    assert_eq!(status, 2, "{err}");
}

#[test]
fn a_loop_without_end_and_source_is_explained_by_instructions() {
    let folder = Folder::new();
    let object = folder.object("spin", ".section socket\nr0 = 0\nagain:\ngoto again\nexit\n");
    let Ran { status, out, .. } = skep(&["verify", &object]);
    assert_eq!(status, 1);
    assert!(out.contains("unreachable insn 2"), "{out}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let (error, hint) = skep(&["verify", MISTAKES, "--program", "nobody"]).failed(2);
    assert_eq!(error, "there is no program \"nobody\"");
    assert!(hint.contains("null_check"), "{hint}");
}
