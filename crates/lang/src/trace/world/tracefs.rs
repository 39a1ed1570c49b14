//! Tracepoints: by the files of tracefs, or without them by a table of system calls and by
//! the kernel's types.

use std::path::{Path, PathBuf};

use skep_btf::Kind;

use super::TracepointField;
use super::kernel::KernelTypes;
use crate::trace::ast::Name;
use crate::trace::c::{CType, Lookup};

/// Where tracefs is mounted.
const FOLDERS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// System calls with their arguments.
const SYSCALLS: &str = include_str!("syscalls.txt");

/// The folder of tracefs, if it can be read.
fn folder() -> Option<PathBuf> {
    let folders = FOLDERS.iter().map(Path::new);
    folders.filter(|folder| folder.join("events").is_dir()).map(Path::to_path_buf).next()
}

/// System calls by name, with what stands between the parentheses.
fn syscalls() -> impl Iterator<Item = (&'static str, &'static str)> {
    SYSCALLS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.trim_end().strip_suffix(')')?.split_once('('))
}

/// All tracepoints.
pub(super) fn all(types: Option<&KernelTypes>) -> Vec<(Name, Name)> {
    if let Some(folder) = folder()
        && let Ok(text) = std::fs::read_to_string(folder.join("available_events"))
    {
        return text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(category, event)| (category.into(), event.into()))
            .collect();
    }
    let mut found: Vec<(Name, Name)> = Vec::new();
    for (name, _) in syscalls() {
        for way in ["enter", "exit"] {
            found.push(("syscalls".into(), format!("sys_{way}_{name}").into()));
        }
    }
    for way in ["enter", "exit"] {
        found.push(("raw_syscalls".into(), format!("sys_{way}").into()));
    }
    // The kernel's types know events, but not in which groups: those that everyone uses.
    let known = types.map(|types| types.names(Kind::Struct, "trace_event_raw_"));
    for event in known.unwrap_or_default() {
        let group = event.split('_').next().unwrap_or("");
        if ["sched", "block", "signal", "tcp", "sock", "net", "irq", "timer"].contains(&group) {
            found.push((group.into(), event.clone()));
        }
    }
    found
}

/// A tracepoint's fields.
pub(super) fn fields(
    category: &str,
    event: &str,
    types: Option<&KernelTypes>,
    known: &dyn Lookup,
) -> Option<Vec<TracepointField>> {
    let plain = |name: &str| !name.contains('/') && !name.contains("..");
    if !plain(category) || !plain(event) {
        return None;
    }
    if let Some(folder) = folder() {
        let path = folder.join("events").join(category).join(event).join("format");
        if let Ok(text) = std::fs::read_to_string(path) {
            return Some(parse(&text));
        }
    }
    match category {
        "syscalls" => syscall_fields(event),
        "raw_syscalls" => Some(raw_fields(event)),
        _ => type_fields(event, types?, known),
    }
}

/// A format file: the line of each field.
pub fn parse(text: &str) -> Vec<TracepointField> {
    text.lines().filter_map(|line| parse_field(line.trim())).collect()
}

fn parse_field(line: &str) -> Option<TracepointField> {
    let part = |title: &str| {
        let rest = &line[line.find(title)? + title.len()..];
        rest.split(';').next().map(str::trim)
    };
    let declared = part("field:")?;
    let at = declared.rfind([' ', '\t', '*'])?;
    let (of, name) = declared.split_at(at + 1);
    let (name, count) = match name.split_once('[') {
        Some((name, rest)) => (name, Some(rest.trim_end_matches(']').parse().unwrap_or(0))),
        None => (name, None),
    };
    // `__data_loc char[] name` says its array in front.
    Some(TracepointField {
        name: name.into(),
        of: of.trim().to_owned(),
        count,
        offset: part("offset:")?.parse().ok()?,
        size: part("size:")?.parse().ok()?,
        signed: part("signed:")? == "1",
    })
}

fn field(name: &str, of: &str, offset: u32, size: u32, signed: bool) -> TracepointField {
    TracepointField { name: name.into(), of: of.to_owned(), count: None, offset, size, signed }
}

/// What every event begins with.
fn common() -> Vec<TracepointField> {
    vec![
        field("common_type", "unsigned short", 0, 2, false),
        field("common_flags", "unsigned char", 2, 1, false),
        field("common_preempt_count", "unsigned char", 3, 1, false),
        field("common_pid", "int", 4, 4, true),
    ]
}

fn syscall_fields(event: &str) -> Option<Vec<TracepointField>> {
    let mut fields = common();
    fields.push(field("__syscall_nr", "int", 8, 4, true));
    if let Some(name) = event.strip_prefix("sys_exit_") {
        syscalls().find(|(known, _)| *known == name)?;
        fields.push(field("ret", "long", 16, 8, true));
        return Some(fields);
    }
    let name = event.strip_prefix("sys_enter_")?;
    let (_, arguments) = syscalls().find(|(known, _)| *known == name)?;
    let arguments = arguments.split(", ").filter(|argument| !argument.is_empty());
    for (at, argument) in arguments.enumerate() {
        let end = argument.rfind([' ', '*'])?;
        let (of, name) = argument.split_at(end + 1);
        fields.push(field(name, of.trim(), 16 + at as u32 * 8, 8, false));
    }
    Some(fields)
}

fn raw_fields(event: &str) -> Vec<TracepointField> {
    let mut fields = common();
    fields.push(field("id", "long", 8, 8, true));
    if event == "sys_enter" {
        let mut arguments = field("args", "unsigned long", 16, 48, false);
        arguments.count = Some(6);
        fields.push(arguments);
    } else {
        fields.push(field("ret", "long", 16, 8, true));
    }
    fields
}

/// By `struct trace_event_raw_EVENT`: its members after the common head.
fn type_fields(
    event: &str,
    types: &KernelTypes,
    known: &dyn Lookup,
) -> Option<Vec<TracepointField>> {
    let record = types.record(&format!("struct trace_event_raw_{event}"))?;
    let mut fields = common();
    for member in &record.members {
        let name = &*member.name;
        if name == "ent" || name == "__data" {
            continue;
        }
        let (size, _) = member.of.layout(known)?;
        let offset = u32::try_from(member.bit / 8).ok()?;
        let size = u32::try_from(size).ok()?;
        if let Some(plain) = name.strip_prefix("__data_loc_") {
            fields.push(field(plain, "__data_loc char[]", offset, 4, false));
            continue;
        }
        let (of, count) = match &member.of {
            CType::Array(of, count) => (c_text(of), u32::try_from(*count).ok()),
            of => (c_text(of), None),
        };
        let signed = matches!(member.of.plain(known), Some(CType::Int { signed: true, .. }));
        let mut made = field(name, &of, offset, size, signed);
        made.count = count;
        fields.push(made);
    }
    Some(fields)
}

/// A type as C text.
fn c_text(of: &CType) -> String {
    match of {
        CType::Void => "void".to_owned(),
        CType::Bool => "bool".to_owned(),
        CType::Char => "char".to_owned(),
        CType::Int { size, signed } => {
            let word = match size {
                1 => "char",
                2 => "short",
                4 => "int",
                _ => "long",
            };
            format!("{} {word}", if *signed { "signed" } else { "unsigned" })
        }
        CType::Float(_) => "double".to_owned(),
        CType::Enum(name) => format!("enum {name}"),
        CType::Record(name) | CType::Typedef(name) => (**name).to_owned(),
        CType::Pointer(to, _) => format!("{} *", c_text(to)),
        CType::Array(of, _) => format!("{} *", c_text(of)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_format() {
        let text = "\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
                    \tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;\n\
                    \tfield:__data_loc char[] name;\toffset:4;\tsize:4;\tsigned:1;\n";
        let read = parse(text);
        assert_eq!((&*read[0].name, read[0].count), ("prev_comm", Some(16)));
        assert_eq!(read[1].of, "const char *");
        assert_eq!((&*read[2].name, &*read[2].of), ("name", "__data_loc char[]"));
    }

    #[test]
    fn system_calls_without_tracefs() {
        let fields = syscall_fields("sys_enter_openat").unwrap();
        let last = fields.last().unwrap();
        assert_eq!((&*last.name, last.offset), ("mode", 40));
        assert!(syscall_fields("sys_exit_nothing").is_none());
    }
}
