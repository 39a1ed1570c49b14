//! Many objects in one call, the forms of output that other programs read, and baselines.

use crate::harness::{Folder, Ran, skep, workspace};
use serde_json::Value;

const MISTAKES: &str = "examples/mistakes.bpf.o";

#[test]
fn folders_and_files_are_judged_in_one_call() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("deep")).unwrap();
    let examples = workspace().join("examples");
    std::fs::copy(examples.join("hello.bpf.o"), folder.path("deep/hello.bpf.o")).unwrap();
    std::fs::copy(examples.join("per_ip.bpf.o"), folder.path("per_ip.o")).unwrap();
    folder.file("notes.txt", "no object");
    folder.file("other.o", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\x3e\0");
    let out = skep(&["verify", &folder.path("")]).done();
    assert!(out.contains("accepted  hello: ") && out.contains("per_ip.o\naccepted"), "{out}");
    assert!(out.contains("0 rejected, 0 without a verdict; 0 objects cannot be loaded"), "{out}");

    // One that is broken does not keep the others from their verdicts.
    let broken = folder.file("broken.bpf.o", "");
    let Ran { status, out, err } = skep(&["verify", &broken, &folder.path("per_ip.o")]);
    assert_eq!(status, 2);
    assert!(out.contains("accepted") && out.contains("1 objects cannot be loaded"), "{out}");
    assert!(err.contains("broken.bpf.o: is empty, expected an ELF object"), "{err}");

    let nothing = Folder::new();
    let (error, _) = skep(&["verify", &nothing.path("")]).failed(2);
    assert!(error.ends_with("has no BPF objects in it"), "{error}");
}

#[test]
fn one_file_of_types_is_one_verdict() {
    let vmlinux = "/sys/kernel/btf/vmlinux";
    if !std::path::Path::new(vmlinux).exists() {
        eprintln!("skipped: this machine's kernel shows no types");
        return;
    }
    let hello = "examples/hello.bpf.o";
    let out = skep(&["verify", hello, "--btf", vmlinux, "--btf", hello]).done();
    assert_eq!(out.matches("accepted  hello").count(), 2, "{out}");
    assert!(out.contains(&format!("types: {vmlinux}\n")), "{out}");
}

#[test]
fn sarif_has_a_result_at_the_line_at_fault() {
    let Ran { status, out, .. } = skep(&["verify", MISTAKES, "--output", "sarif"]);
    assert_eq!(status, 1);
    let sarif: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 4, "{out}");
    let find = |name: &str| {
        let is_it = |of: &&Value| of["locations"][0]["logicalLocations"][0]["name"] == name;
        results.iter().find(is_it).expect("a result")
    };
    let place = &find("null_check")["locations"][0]["physicalLocation"];
    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
    assert!(uri.ends_with("mistakes.bpf.c"), "{uri}");
    assert_eq!(place["region"]["startLine"], 30);
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    for result in results {
        let index = result["ruleIndex"].as_u64().expect("an index") as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
    }
}

#[test]
fn junit_counts_what_it_holds() {
    let Ran { status, out, .. } = skep(&["verify", MISTAKES, "--output", "junit"]);
    assert_eq!(status, 1);
    assert!(out.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>"), "{out}");
    assert!(out.contains("tests=\"5\" failures=\"4\" errors=\"0\""), "{out}");
    assert_eq!(out.matches("<testcase ").count(), 5);
    assert_eq!(out.matches("<failure ").count(), 4);
    assert!(out.contains("R0 invalid mem access &apos;") || out.contains("'map_value_or_null'"));
    assert!(!out.contains("if (!values) <"), "{out}");
}

#[test]
fn github_gets_a_remark_for_each_line() {
    let Ran { status, out, .. } = skep(&["verify", MISTAKES, "--output", "github"]);
    assert_eq!(status, 1);
    assert_eq!(out.lines().count(), 4, "{out}");
    let line = out.lines().find(|line| line.contains("null_check")).expect("a line");
    assert!(line.starts_with("::error file="), "{line}");
    assert!(line.contains("mistakes.bpf.c,line=30,col="), "{line}");
    assert!(line.contains("title=skep%3A EACCES::null_check rejected: "), "{line}");
}

#[test]
fn stat_has_veristats_columns() {
    let out = skep(&["stat", "examples/hello.bpf.o", MISTAKES]).done();
    // Times differ from run to run.
    let shown: Vec<String> =
        out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(shown[0], "File Program Verdict Duration (us) Insns States Program size Jited size");
    assert!(shown[1].starts_with("---") && shown[1].matches(' ').count() == 7, "{out}");
    let hello: Vec<&str> = shown[2].split(' ').collect();
    assert_eq!(hello[..3], ["hello.bpf.o", "hello", "success"]);
    assert!(hello[4..].iter().all(|cell| cell.parse::<u64>().is_ok()), "{hello:?}");
    assert!(out.contains("mistakes.bpf.o  null_check"), "{out}");
    let last = shown.last().expect("a line");
    assert_eq!(last, "Done. Processed 2 files, 6 programs. Skipped 0 files, 0 programs.");

    let csv = skep(&["stat", MISTAKES, "--output", "csv"]).done();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "file_name,prog_name,verdict,duration,total_insns,total_states,peak_states,\
             max_states_per_insn,max_mark_read_len,prog_size,prog_size_jited,prog_type,\
             attach_type,stack_depth,mem_peak"
        )
    );
    let row = lines.find(|line| line.contains(",mended,")).expect("a row");
    assert!(row.starts_with("mistakes.bpf.o,mended,success,"), "{row}");
    assert!(row.contains(",xdp,xdp,"), "{row}");
}

/// A loop of this many turns: what it takes is what its instructions are.
fn turns(folder: &Folder, name: &str, count: u32) -> String {
    let source = format!(
        ".section xdp\n.globl work\nwork:\nr1 = 0\nagain:\nr1 += 1\nif r1 < {count} goto again\n\
         *(u64 *)(r10 - {}) = r1\nr0 = 2\nexit\n",
        count * 8
    );
    folder.object(name, &source)
}

#[test]
fn what_is_worse_than_in_the_baseline_ends_with_1() {
    let (before, now) = (Folder::new(), Folder::new());
    let old = turns(&before, "prog", 10);
    let csv = skep(&["verify", &old, "--output", "csv"]).done();
    let baseline = before.file("before.csv", &csv);
    let against = |object: &str, more: &[&str]| {
        skep(&[&["verify", object, "--baseline", &baseline], more].concat())
    };
    let out = against(&old, &[]).done();
    assert!(out.contains("1 programs compared, 0 new, 0 worse"), "{out}");

    let new = turns(&now, "prog", 11);
    let Ran { status, out, .. } = against(&new, &[]);
    assert_eq!(status, 1, "{out}");
    assert!(out.contains("worse     work: total_insns 24 -> 26 (+8.3 %)"), "{out}");
    assert!(out.contains("work: stack_depth 80 -> 88 (+10.0 %)"), "{out}");
    let Ran { status, out, .. } = against(&new, &["--threshold", "9"]);
    assert_eq!((status, out.matches("worse     ").count()), (1, 1), "{out}");
    against(&new, &["--threshold", "10"]).done();
    let Ran { out, .. } = against(&new, &["--output", "github"]);
    assert!(out.contains("title=skep%3A regression::work: total_insns 24 -> 26"), "{out}");

    let (error, hint) =
        skep(&["verify", &old, "--baseline", &before.file("no.csv", "a,b\n1,2\n")]).failed(2);
    assert!(error.ends_with("has no column file_name"), "{error}");
    assert!(hint.contains("--output csv"), "{hint}");
}

#[test]
fn a_regression_names_its_line() {
    let csv = "file_name,prog_name,verdict,total_insns,total_states\n\
               mistakes.bpf.o,null_check,success,5,1\nmistakes.bpf.o,mended,success,5,1\n";
    let folder = Folder::new();
    let baseline = folder.file("before.csv", csv);
    let Ran { status, out, .. } = skep(&["verify", MISTAKES, "--baseline", &baseline]);
    assert_eq!(status, 1);
    let worse: Vec<&str> = out.lines().filter(|line| line.starts_with("worse ")).collect();
    let refused = worse.iter().find(|line| line.contains("null_check")).expect("a line");
    assert!(refused.contains("mistakes.bpf.c:30: null_check: accepted before, refused now"));
    let grown = worse.iter().find(|line| line.contains("mended: total_insns 5 -> ")).expect("one");
    assert!(grown.contains("mistakes.bpf.c:"), "{grown}");
}

#[test]
fn names_of_an_object_never_carry_control_characters_to_a_reader() {
    let folder = Folder::new();
    let source = ".section \"xdp\\033[31m\\302\\233\"\n.globl p\np:\nr0 = 2\nexit\n";
    let object = folder.object("evil", source);
    for form in ["text", "json", "sarif", "junit", "github", "csv"] {
        let Ran { out, err, .. } = skep(&["verify", &object, "--output", form]);
        let harmful = |of: char| of.is_control() && of != '\n';
        assert!(!out.contains(harmful) && !err.contains(harmful), "{form}: {out:?} {err:?}");
    }
}
