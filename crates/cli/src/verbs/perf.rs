//! `skep perf`: perf events and raw tracepoints of processes that programs are attached to.

use serde_json::{Value as Json, json};
use skep::sys::{Command, Output, TaskFdQuery};

use super::words::Words;
use super::{Outcome, Session, Verb};
use crate::failure::Status;

pub const HELP: &str = "\
skep perf show|list
";

pub const VERBS: &[(&str, Verb)] = &[("show", show), ("list", show)];

/// What an fd is a program's (`BPF_FD_TYPE_*`).
const KINDS: [&str; 6] =
    ["raw_tracepoint", "tracepoint", "kprobe", "kretprobe", "uprobe", "uretprobe"];

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    words.end()?;
    let mut all = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let fds = std::fs::read_dir(process.path().join("fd"));
        for fd in fds.into_iter().flatten().flatten() {
            let name = fd.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // Most files are none of these.
            let link = std::fs::read_link(fd.path()).unwrap_or_default();
            if link.to_str().is_some_and(|link| link.starts_with("anon_inode:")) {
                all.extend(ask(session, pid, number));
            }
        }
    }
    if session.json {
        session.print(&Json::Array(all))?;
        return Ok(Status::Done);
    }
    for of in &all {
        let text = |name: &str| of[name].as_str().unwrap_or_default().to_owned();
        let (pid, fd, id, kind) = (&of["pid"], &of["fd"], &of["prog_id"], text("fd_type"));
        let place = match kind.as_str() {
            "raw_tracepoint" | "tracepoint" => text("tracepoint"),
            "kprobe" | "kretprobe" if of["func"].is_null() => format!("addr {}", of["addr"]),
            "kprobe" | "kretprobe" => format!("func {}  offset {}", text("func"), of["offset"]),
            _ => format!("filename {}  offset {}", text("filename"), of["offset"]),
        };
        writeln!(session.out, "pid {pid}  fd {fd}: prog_id {id}  {kind}  {place}")?;
    }
    Ok(Status::Done)
}

/// What an fd of a process is, if it has a program.
fn ask(session: &Session<'_>, pid: u32, fd: u32) -> Option<Json> {
    let mut name = vec![0u8; 4096];
    let mut command = Command::TaskFdQuery(TaskFdQuery {
        pid,
        fd,
        buf_len: name.len() as u32,
        buf: Output::Slice(&mut name),
        ..TaskFdQuery::default()
    });
    session.kernel.bpf(&mut command).ok()?;
    let Command::TaskFdQuery(query) = &command else { return None };
    let (id, kind) = (query.prog_id, query.fd_type);
    let (offset, addr) = (query.probe_offset, query.probe_addr);
    drop(command);
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let kind = *KINDS.get(kind as usize)?;
    let mut told = json!({ "pid": pid, "fd": fd, "prog_id": id, "fd_type": kind });
    match kind {
        "raw_tracepoint" | "tracepoint" => told["tracepoint"] = name.into(),
        "kprobe" | "kretprobe" if name.is_empty() => told["addr"] = addr.into(),
        "kprobe" | "kretprobe" => {
            told["func"] = name.into();
            told["offset"] = offset.into();
        }
        _ => {
            told["filename"] = name.into();
            told["offset"] = offset.into();
        }
    }
    Some(told)
}
