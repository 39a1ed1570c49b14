//! Objects that libbpf does not even open: we refuse them in its words, and take the others.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use skep_load::{Object, ObjectErrorKind};

/// What libbpf says of a file that it does not open.
fn judge(path: &PathBuf) -> Option<String> {
    let ran = Command::new(env!("CARGO_BIN_EXE_skep-oracle")).arg("relocate").arg(path).output();
    let text = String::from_utf8(ran.expect("the judge starts").stdout).expect("it writes text");
    let first: Value = serde_json::from_str(text.lines().next()?).expect("JSON");
    first.get("object").and(first["error"].as_str()).map(str::to_owned)
}

#[test]
fn what_libbpf_refuses_is_refused_in_its_words() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/load/tests/objects");
    let (mut taken, mut refused, mut worded) = (0, 0, 0);
    for entry in std::fs::read_dir(folder).expect("the folder of objects") {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "o") {
            continue;
        }
        let name = path.display();
        match (judge(&path), Object::open(&path)) {
            (None, Ok(_)) => taken += 1,
            (Some(theirs), Err(error)) => {
                refused += 1;
                // Other faults than of its rules have words of ours.
                let ObjectErrorKind::Rule { rule, .. } = error.kind() else { continue };
                // Ours has no words for where libbpf's own limits lie.
                let words = rule.split(':').next().unwrap_or_default();
                assert!(theirs.contains(words), "{name}: libbpf: {theirs}, we: {rule}");
                worded += 1;
            }
            (theirs, ours) => {
                panic!("{name}: libbpf: {theirs:?}, we: {:?}", ours.err().map(|of| of.to_string()))
            }
        }
    }
    assert!(taken > 4 && refused > 2 && worded > 1, "{taken}, {refused}, {worded} in its words");
}
