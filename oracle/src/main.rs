//! libbpf as the judge of skep's loader: what it would load of an object, as JSON
//! lines.
//!
//! ```text
//! skep-oracle relocate FILE.o    the object's maps, and each program's instructions
//! skep-oracle sections           what it makes of the section names on stdin
//! ```
//!
//! Objects are prepared (`bpf_object__prepare`): externs are resolved, programs are
//! relocated, BTF and maps are created; nothing is loaded or attached, and all is gone
//! when this process ends.

mod libbpf;

use std::io::{BufRead, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use libbpf::Object;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let lines = match words[..] {
        ["relocate", file] => relocate(file),
        ["sections"] => sections(),
        _ => {
            eprintln!("usage: skep-oracle relocate FILE.o | skep-oracle sections");
            return ExitCode::from(2);
        }
    };
    let mut out = std::io::stdout().lock();
    for line in lines {
        if writeln!(out, "{line}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Maps, then programs: all at once, or where that fails each by itself, so that one
/// which libbpf refuses does not hide the others.
fn relocate(file: &str) -> Vec<Value> {
    let mut object = match Object::open(file) {
        Ok(object) => object,
        Err(error) => return vec![json!({ "object": file, "error": error })],
    };
    let mut lines: Vec<Value> = object.maps().iter().map(libbpf::Map::describe).collect();
    let count = object.programs().len();
    if object.prepare(|_| true).is_ok() {
        lines.extend(object.maps().iter().filter_map(libbpf::Map::configuration));
        lines.extend((0..count).map(|index| object.describe_program(index)));
        return lines;
    }
    for index in 0..count {
        let line = match Object::open(file) {
            Err(error) => json!({ "object": file, "error": error }),
            Ok(mut object) => match object.prepare(|other| other == index) {
                Ok(()) => object.describe_program(index),
                Err(error) => object.name_program(index, error),
            },
        };
        lines.push(line);
    }
    lines
}

/// Program type and attach type by section name; nulls where libbpf knows none.
fn sections() -> Vec<Value> {
    let names = std::io::stdin().lock().lines().map_while(Result::ok);
    let line = |name: String| {
        let (prog_type, attach_type) = libbpf::section(&name).unzip();
        json!({ "section": name, "prog_type": prog_type, "attach_type": attach_type })
    };
    names.map(line).collect()
}
