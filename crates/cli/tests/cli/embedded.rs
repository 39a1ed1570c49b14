//! What the embedded kernel has and lacks: said by name, and never in the way of a program
//! that does without.

use crate::harness::{CAPTURE, Folder, skep, workspace};

#[test]
fn the_page_of_helpers_is_what_the_tables_say() {
    let page = std::fs::read_to_string(workspace().join("docs/helpers.md")).unwrap();
    let now = skep(&["inspect", "--embedded"]).done();
    assert!(page == now, "`skep inspect --embedded > docs/helpers.md` writes it anew");
    assert!(now.contains("- `bpf_map_lookup_elem` (1)") && now.contains("- `ringbuf`"), "{now}");
}

/// A type of maps and a helper that the embedded kernel does not have.
fn missing() -> (String, String) {
    let page = skep(&["inspect", "--embedded"]).done();
    let maps = page.split("\nNot here: ").nth(1).expect("types that are not here");
    let map = maps.split('`').nth(1).expect("a type").to_owned();
    let helpers = page.split("\nNot here:\n").nth(1).expect("helpers that are not here");
    let helper = helpers.split('`').nth(1).expect("a helper").to_owned();
    (map, helper)
}

#[test]
fn an_unused_map_never_stops_a_program() {
    let folder = Folder::new();
    let source = ".map bloom, type=bloom_filter, key=0, value=4, entries=8\n\
                  .map huge, type=array, key=4, value=1000000, entries=1000000\n\
                  .section xdp\n.globl p\np:\nr0 = 2\nexit\n";
    let object = folder.object("unused", source);
    let out = skep(&["run", &object, "--pcap", CAPTURE, "--memory-limit", "1M"]).done();
    assert!(out.contains("note: map huge is left out, since no program uses it"), "{out}");
    assert!(out.contains("XDP_PASS"), "{out}");

    // Linux creates no map without entries, whoever uses it. libbpf gives up then, and so says
    // the verdict; a run goes on.
    let source = ".map empty, type=hash, key=4, value=4, entries=0\n.section xdp\nr0 = 2\nexit\n";
    let object = folder.object("empty", source);
    let out = skep(&["run", &object, "--pcap", CAPTURE]).done();
    assert!(out.contains("note: map empty is left out, since no program uses it"), "{out}");
    let (error, _) = skep(&["verify", &object]).failed(2);
    assert!(error.contains("map \"empty\" cannot be created"), "{error}");
}

#[test]
fn a_map_type_that_is_not_here_is_named() {
    let (kind, _) = missing();
    let folder = Folder::new();
    let source = format!(
        ".map strange, type={kind}, key=4, value=4, entries=8\n.section xdp\n.globl p\np:\n\
         r1 = map[strange] ll\nr0 = 2\nexit\n"
    );
    let object = folder.object("strange", &source);
    let (error, hint) = skep(&["run", &object, "--pcap", CAPTURE]).failed(2);
    let expected = format!("map \"strange\": the embedded kernel has no maps of type {kind}");
    assert!(error.starts_with(&expected), "{error}");
    assert!(hint.starts_with("--kernel linux has them"), "{hint}");
    let out = skep(&["inspect", &object]).done();
    assert!(out.contains("what the embedded kernel does not have (1)"), "{out}");
    assert!(out.contains(&format!("map type {kind}")), "{out}");
}

#[test]
fn a_helper_that_is_not_here_is_named_at_load_and_where_it_is_reached() {
    let (_, helper) = missing();
    let folder = Folder::new();
    let object = |name: &str, jump: &str| {
        let source =
            format!(".section xdp\n.globl p\np:\n{jump}call {helper}\nout:\nr0 = 2\nexit\n");
        folder.object(name, &source)
    };
    let run = |object: &str| skep(&["run", object, "--pcap", CAPTURE, "--unverified"]);
    let reached = object("reached", "");
    let (error, hint) = run(&reached).failed(1);
    let expected = format!("it calls {helper}, which the embedded kernel does not have");
    assert!(error.ends_with(&expected), "{error}");
    assert!(hint.contains("--kernel linux"), "{hint}");
    let passed = object("passed", "r1 = 1\nif r1 == 1 goto out\n");
    let out = run(&passed).done();
    // With the reason, in parentheses, where only Linux can have it.
    let note =
        out.lines().find(|line| line.starts_with(&format!("note: program p calls {helper}")));
    let note = note.unwrap_or_else(|| panic!("{out}"));
    assert!(note.contains(", which the embedded kernel does not have"), "{note}");
    let json = skep(&["inspect", &passed, "--json"]).json();
    let missing = json["not_embedded"].as_array().unwrap();
    assert_eq!(missing.len(), 1, "{json}");
    assert!(missing[0].as_str().unwrap().starts_with(&format!("helper {helper}")), "{json}");
}
