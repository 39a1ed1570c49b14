//! Types of the kernel as C writes them, by their names.

use std::fmt::Write as _;

use super::c::{CRecord, CType};
use super::list::c_text;
use super::world::World;

/// The types that a list with commas names: `struct file,enum pid_type`; with `details` their
/// members, each as it is defined.
pub fn list(names: &str, world: &dyn World, details: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for name in names.split(',').map(str::trim) {
        let text = match name.strip_prefix("enum ") {
            Some(tag) => enumeration(tag, world),
            None => world.record(name).map(|record| definition(&record, world)),
        };
        let Some(text) = text else { continue };
        match details {
            true => lines.extend(format!("vmlinux: {text}").lines().map(str::to_owned)),
            false => lines.push(format!("vmlinux: {name}")),
        }
    }
    lines
}

fn enumeration(tag: &str, world: &dyn World) -> Option<String> {
    let of = world.enumeration(tag)?;
    let mut text = format!("enum {tag} {{\n");
    for (name, value) in &of.values {
        // Writing into a string does not fail.
        let _ = writeln!(text, "\t{name} = {value},");
    }
    Some(text + "};")
}

/// Records inside records are written at most so deep.
const DEEPEST: usize = 8;

fn definition(record: &CRecord, world: &dyn World) -> String {
    let mut text = format!("{} {{\n", record.name);
    members(record, world, 1, &mut text);
    text + "};"
}

fn members(record: &CRecord, world: &dyn World, depth: usize, text: &mut String) {
    let indent = "\t".repeat(depth);
    for member in &record.members {
        let inner = match &member.of {
            CType::Record(name) if name.contains("(unnamed") && depth < DEEPEST => {
                world.record(name)
            }
            _ => None,
        };
        let width = member.width.map(|width| format!(" : {width}")).unwrap_or_default();
        // Writing into a string does not fail.
        let _ = match inner {
            Some(inner) => {
                let kind = inner.name.split(' ').next().unwrap_or("struct").to_owned();
                let _ = writeln!(text, "{indent}{kind} {{");
                members(&inner, world, depth + 1, text);
                let space = if member.name.is_empty() { "" } else { " " };
                writeln!(text, "{indent}}}{space}{};", member.name)
            }
            None => writeln!(text, "{indent}{}{width};", declared(&member.of, &member.name)),
        };
    }
}

/// A member as C declares it: an array's count stands behind the name.
fn declared(of: &CType, name: &str) -> String {
    match of {
        CType::Array(of, count) => format!("{}[{count}]", declared(of, name)),
        of => {
            let of = c_text(of);
            let space = if of.ends_with('*') { "" } else { " " };
            format!("{of}{space}{name}")
        }
    }
}
