//! Section names: what our table says of each, and what libbpf says.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use skep_abi::SectionDef;

/// What libbpf makes of names.
fn judge(names: &[String]) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_skep-oracle"))
        .arg("sections")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the judge starts");
    let mut stdin = child.stdin.take().expect("it listens");
    let text = names.join("\n");
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("it listened").expect("to all names");
    let text = String::from_utf8(output.stdout).expect("it writes text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn our_table_says_what_libbpf_says() {
    let mut names = Vec::new();
    for def in SectionDef::all() {
        for suffix in ["", "/", "/target", "/some/target", "+", ".s", ".multi", "x"] {
            names.push(format!("{}{suffix}", def.name));
        }
        names.push(format!("?{}", def.name));
        names.push(def.name[..def.name.len() - 1].to_owned());
    }
    names.extend([".text", "maps", "license", "cgroup", "cgroup/", "xdp/frags"].map(String::from));
    let answers = judge(&names);
    assert_eq!(answers.len(), names.len());
    for (name, answer) in names.iter().zip(answers) {
        let ours = SectionDef::find(name).map(|(def, _)| {
            (def.prog_type as u64, def.attach_type.map_or(0, |attach| attach as u64))
        });
        let theirs = answer["prog_type"].as_u64().zip(answer["attach_type"].as_u64());
        assert_eq!(ours, theirs, "{name}");
    }
}
