//! The files of `docs/ci`: each command of theirs does here what it does there.

use crate::harness::{Folder, workspace};
use std::process::Command;

/// The `run:` commands of the workflow that call skep, by the names of their steps.
fn steps(workflow: &str) -> Vec<(String, String)> {
    let mut steps = Vec::new();
    let mut name = String::new();
    let mut lines = workflow.lines().peekable();
    while let Some(line) = lines.next() {
        let text = line.trim_start().trim_start_matches("- ");
        if let Some(rest) = text.strip_prefix("name: ") {
            name = rest.to_owned();
        }
        let Some(rest) = text.strip_prefix("run: ") else { continue };
        let mut command = rest.to_owned();
        if rest == "|" {
            let indent = |line: &str| line.len() - line.trim_start().len();
            let own = indent(line);
            command.clear();
            while let Some(next) = lines.next_if(|next| indent(next) > own) {
                command.push_str(next.trim_start());
                command.push('\n');
            }
        }
        if command.contains("skep ") {
            steps.push((name.clone(), command));
        }
    }
    steps
}

#[test]
fn the_workflow_judges_reports_and_compares() {
    let root = workspace();
    let workflow = std::fs::read_to_string(root.join("docs/ci/github-actions.yml")).unwrap();
    let steps = steps(&workflow);
    assert_eq!(steps.len(), 5, "{steps:?}");
    let folder = Folder::new();
    std::fs::create_dir(folder.path("build")).unwrap();
    for name in ["hello", "mistakes"] {
        let file = format!("{name}.bpf.o");
        let from = root.join("examples").join(&file);
        std::fs::copy(from, folder.path(&format!("build/{file}"))).unwrap();
    }
    let skep = std::path::Path::new(env!("CARGO_BIN_EXE_skep"));
    let path = std::env::join_paths(
        std::iter::once(skep.parent().unwrap().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )
    .unwrap();
    // Where the machine shows no types, any will do: these programs need none.
    let vmlinux = "/sys/kernel/btf/vmlinux".to_owned();
    let types = match std::path::Path::new(&vmlinux).exists() {
        true => vmlinux,
        false => root.join("examples/hello.bpf.o").to_str().expect("a plain name").to_owned(),
    };
    let run = |command: &str| {
        let ran = Command::new("bash")
            .args(["-eo", "pipefail", "-c", command])
            .current_dir(folder.path(""))
            .env("PATH", &path)
            .env("KERNEL", &types)
            .output()
            .expect("bash starts");
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
    };
    let step = |name: &str| {
        let found = steps.iter().find(|(of, _)| of == name);
        &found.unwrap_or_else(|| panic!("no step {name:?}")).1
    };
    assert_eq!(run(step("The kernel's types")).0, Some(0));
    let (status, out) = run(step("Remarks at source lines"));
    assert_eq!(status, Some(1));
    assert!(out.starts_with("::error file="), "{out}");
    assert_eq!(run(step("Report for code scanning")).0, Some(0));
    let sarif = std::fs::read(folder.path("skep.sarif")).unwrap();
    let sarif: serde_json::Value = serde_json::from_slice(&sarif).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"].as_array().map(Vec::len), Some(4));
    // Refused programs are refused in the baseline as well: the step still ends with 1.
    std::fs::remove_file(folder.path("build/mistakes.bpf.o")).unwrap();
    let compare = step("Nothing takes more than it did");
    assert_eq!(run(compare).0, Some(0), "there is no baseline yet");
    assert_eq!(run(step("The next baseline")).0, Some(0));
    let (status, out) = run(compare);
    assert_eq!(status, Some(0));
    assert!(out.contains("1 programs compared, 0 new, 0 worse"), "{out}");
}

#[test]
fn the_pre_commit_hook_is_a_command_that_takes_files() {
    let root = workspace();
    let hook = std::fs::read_to_string(root.join("docs/ci/pre-commit-hooks.yaml")).unwrap();
    let value = |name: &str| {
        let line = hook.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}")).trim().to_owned()
    };
    assert_eq!(value("files:"), "'\\.bpf\\.o$'");
    let entry = value("entry:");
    let words: Vec<&str> = entry.split(' ').collect();
    assert_eq!(words[0], "skep");
    let files = ["examples/hello.bpf.o", "examples/mistakes.bpf.o"];
    let ran = crate::harness::skep(&[&words[1..], &files].concat());
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("accepted  hello: "), "{}", ran.out);
}
