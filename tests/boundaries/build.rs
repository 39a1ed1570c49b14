//! Lists `programs/*.rs`, so that a new file there is all that a new program takes.

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    println!("cargo::rerun-if-changed=programs");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("the folder of programs")
        .filter_map(|entry| {
            entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned)
        })
        .collect();
    names.sort();
    let (mut modules, mut rows) = (String::new(), String::new());
    for name in &names {
        let file = folder.join(format!("{name}.rs"));
        writeln!(modules, "#[path = {:?}]\nmod {name};", file.display().to_string()).unwrap();
        writeln!(rows, "    (\"{name}\", {name}::main as fn()),").unwrap();
    }
    let text = format!("{modules}\nconst PROGRAMS: &[(&str, fn())] = &[\n{rows}];\n");
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&out).join("programs.rs"), text).expect("room for a list");
}
