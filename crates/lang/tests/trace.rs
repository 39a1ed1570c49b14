//! Scripts of bpftrace's unit tests, in the world of `tests/trace/fixture.json`: accepted and
//! refused as bpftrace does, with its texts.
//!
//! The scripts are read from `../shared/data` or where `SKEP_DATA` says. Each set of theirs
//! goes through other steps; ours end where theirs do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use skep_lang::trace::world::Fixture;
use skep_lang::trace::{Options, Until, check};

/// Scripts must agree at least so often, and texts be the same: floors that only rise.
const FLOOR: (usize, usize) = (1657, 208);

/// Of scripts that are whole and whose verdict was kept, so many may differ.
const CEILING: usize = 19;

fn data() -> Option<String> {
    let given = std::env::var_os("SKEP_DATA").map(PathBuf::from);
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let above = here.ancestors().map(|folder| folder.join("shared/data")).collect::<Vec<_>>();
    let mut folders = given.into_iter().chain(above);
    let folder = folders.find(|folder| folder.is_dir()).unwrap_or_default();
    std::fs::read_to_string(folder.join("bpftrace-unit.jsonl")).ok()
}

fn world() -> Fixture {
    Fixture::read(include_str!("trace/fixture.json")).expect("the fixture describes a world")
}

/// Where a set's steps end.
fn until(file: &str, function: &str) -> Until {
    match file {
        "parser" if function == "test_macro_parse_failure" => Until::Fold,
        "parser" => Until::Text,
        "recursion_check" | "config_analyser" | "unstable_feature" => Until::Config,
        "attachpoint_passes" => Until::Points,
        "macro_expansion" => Until::Macros,
        "fold_literals"
        | "builtins"
        | "named_param"
        | "ap_probe_expansion"
        | "imports"
        | "control_flow_analyser"
        | "field_analyser" => Until::Fold,
        "pre_type_check" => Until::Names,
        _ => Until::Types,
    }
}

/// A set of folding holds expressions and statements; these go into a probe.
fn script(file: &str, text: &str) -> String {
    if file != "fold_literals" {
        return text.trim_start_matches('\n').to_owned();
    }
    let end = if text.ends_with(['}', ';']) { "" } else { ";" };
    format!("begin {{ {text}{end} exit(); }}")
}

/// Whether the line can be judged. Some scripts of the data were cut at a line's end or in
/// the middle of a string; and of one set, which is about what is refused, the data says of
/// every script that it is accepted.
fn can_be_judged(file: &str, script: &str) -> bool {
    let count = |letter: char| script.chars().filter(|one| *one == letter).count();
    file != "pre_type_check" && count('{') == count('}') && count('"').is_multiple_of(2)
}

#[derive(Default)]
struct Count {
    lines: usize,
    agree: usize,
    texts: usize,
    same: usize,
    judged: usize,
    differ: usize,
}

#[test]
fn unit_scripts_agree() {
    let Some(data) = data() else {
        println!("skipped: no bpftrace-unit.jsonl");
        return;
    };
    let world = world();
    let show = std::env::var("SKEP_TRACE_SHOW").ok();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for line in data.lines() {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        let text = |key: &str| line[key].as_str().unwrap_or("");
        let (file, function) = (text("file"), text("fn"));
        let script = script(file, text("script"));
        let options = Options {
            until: until(file, function),
            allow_unsafe: script.contains("system(") || script.contains("signal"),
            positional: Vec::new(),
            ..Options::default()
        };
        let outcome = check(&script, "stdin", &world, &options);
        let shown = outcome.shown();
        let accepted = outcome.diagnostics.is_ok();
        let count = counts.entry(file.to_owned()).or_default();
        count.lines += 1;
        let wanted = line["ok"].as_bool().unwrap_or(true);
        let agrees = accepted == wanted;
        count.agree += usize::from(agrees);
        if can_be_judged(file, &script) {
            count.judged += 1;
            count.differ += usize::from(!agrees);
        }
        let mut same = None;
        if let (false, Some(error)) = (wanted, line["error"].as_str()) {
            count.texts += 1;
            let error = error.trim_start_matches('\n');
            let found = shown.contains(error);
            count.same += usize::from(found);
            same = Some(found);
        }
        if let Some(warning) = line["warning"].as_str() {
            count.texts += 1;
            let found = shown.contains(warning);
            count.same += usize::from(found);
            same = Some(found);
        }
        if let Some(warning) = line["nowarning"].as_str() {
            count.texts += 1;
            let found = !shown.contains(warning);
            count.same += usize::from(found);
            same = Some(found);
        }
        let wrong = !agrees || same == Some(false);
        if wrong && show.as_ref().is_some_and(|show| show == file || show == "all") {
            println!("--- {file} {} {function} wanted {wanted}", text("test"));
            println!("{script}\n{}\n=> {shown}", text("error"));
        }
    }
    let mut whole = Count::default();
    for (file, count) in &counts {
        println!(
            "{file}: agree {} of {}, same text {} of {}",
            count.agree, count.lines, count.same, count.texts
        );
        whole.lines += count.lines;
        whole.agree += count.agree;
        whole.texts += count.texts;
        whole.same += count.same;
        whole.judged += count.judged;
        whole.differ += count.differ;
    }
    println!("agree {} of {}", whole.agree, whole.lines);
    println!(
        "agree {} of {} whose script is whole and whose verdict was kept",
        whole.judged - whole.differ,
        whole.judged
    );
    println!("same text {} of {}", whole.same, whole.texts);
    assert!(whole.agree >= FLOOR.0, "fewer scripts agree than before");
    assert!(whole.differ <= CEILING, "more whole scripts differ than before");
    assert!(whole.same >= FLOOR.1, "fewer texts are the same than before");
}
