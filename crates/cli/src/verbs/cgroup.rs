//! `skep cgroup`: programs of cgroups.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use skep::abi::flags::{attach as flags, query as query_flags};
use skep::abi::{AttachType, Errno};
use skep::sys::{Command, Fd, ObjectKind, ProgAttach, ProgInfo};

use super::prog::Names;
use super::words::{self, Words};
use super::{Session, Verb, pick, query, refused};
use crate::failure::{Failure, Outcome, Status};

pub const HELP: &str = "\
skep cgroup show|list CGROUP [effective]
skep cgroup tree [ROOT] [effective]
skep cgroup attach CGROUP ATTACH_TYPE PROG [multi|override]
skep cgroup detach CGROUP ATTACH_TYPE PROG
CGROUP: its folder
PROG: id N | name NAME | tag TAG | pinned FILE
What is attached so stays until it is detached, or the cgroup is removed.
";

pub const VERBS: &[(&str, Verb)] =
    &[("show", show), ("list", show), ("tree", tree), ("attach", attach), ("detach", detach)];

/// The hooks of cgroups: what can be attached there, in bpftool's order.
const HOOKS: [AttachType; 29] = [
    AttachType::CgroupInetIngress,
    AttachType::CgroupInetEgress,
    AttachType::CgroupInetSockCreate,
    AttachType::CgroupSockOps,
    AttachType::CgroupDevice,
    AttachType::CgroupInet4Bind,
    AttachType::CgroupInet6Bind,
    AttachType::CgroupInet4Connect,
    AttachType::CgroupInet6Connect,
    AttachType::CgroupUnixConnect,
    AttachType::CgroupInet4PostBind,
    AttachType::CgroupInet6PostBind,
    AttachType::CgroupUdp4Sendmsg,
    AttachType::CgroupUdp6Sendmsg,
    AttachType::CgroupUnixSendmsg,
    AttachType::CgroupUdp4Recvmsg,
    AttachType::CgroupUdp6Recvmsg,
    AttachType::CgroupUnixRecvmsg,
    AttachType::CgroupSysctl,
    AttachType::CgroupInet4Getpeername,
    AttachType::CgroupInet6Getpeername,
    AttachType::CgroupUnixGetpeername,
    AttachType::CgroupInet4Getsockname,
    AttachType::CgroupInet6Getsockname,
    AttachType::CgroupUnixGetsockname,
    AttachType::CgroupGetsockopt,
    AttachType::CgroupSetsockopt,
    AttachType::CgroupInetSockRelease,
    AttachType::LsmCgroup,
];

fn open(path: &Path) -> Result<std::fs::File, Failure> {
    std::fs::File::open(path)
        .map_err(|error| Failure::unusable(format!("the cgroup {}: {error}", path.display())))
}

/// A program of a cgroup: of which kind, and how it is attached.
struct Attached {
    hook: AttachType,
    id: u32,
    flags: u32,
}

/// All programs of a cgroup.
fn programs(
    session: &Session<'_>,
    folder: &std::fs::File,
    effective: bool,
) -> Result<Vec<Attached>, Failure> {
    let flags = if effective { query_flags::EFFECTIVE } else { 0 };
    let mut all = Vec::new();
    let mut refusal = None;
    for hook in HOOKS {
        match query::attached(&session.kernel, folder.as_raw_fd() as u32, hook, flags) {
            Ok(found) => {
                let of = |at: query::At| Attached { hook, id: at.program, flags: at.flags };
                all.extend(found.into_iter().map(of));
            }
            // Older kernels know fewer hooks.
            Err(Errno::EINVAL) => {}
            Err(errno) => refusal = Some(errno),
        }
    }
    match refusal {
        Some(errno) if all.is_empty() => Err(refused("the programs of the cgroup", errno)),
        _ => Ok(all),
    }
}

/// What a flag of PROG_ATTACH is called.
fn flag_text(flags: u32) -> String {
    match flags {
        flags::ALLOW_MULTI => "multi".into(),
        flags::ALLOW_OVERRIDE => "override".into(),
        0 => String::new(),
        other => format!("unknown({other:x})"),
    }
}

/// The kernel's function that a program was loaded for; nothing where it was for none.
fn attach_name(session: &Session<'_>, id: u32) -> String {
    let name = || {
        let target = skep::load::Target::of(&*session.kernel);
        let btf = target.kernel_btf().ok()?.clone();
        let name = btf.type_by_id(id).ok()?.name().to_owned();
        Some(name)
    };
    if id == 0 { String::new() } else { name().unwrap_or_default() }
}

fn json_of(
    session: &Session<'_>,
    of: &Attached,
    effective: bool,
    names: &mut Names,
) -> Option<Json> {
    let fd = pick::by_id(&session.kernel, ObjectKind::Prog, of.id).ok()?;
    let info = ProgInfo::brief(&*session.kernel, fd.raw()).ok()?;
    let mut told = json!({ "id": of.id, "attach_type": of.hook.name() });
    if !effective {
        told["attach_flags"] = flag_text(of.flags).into();
    }
    told["name"] = names.of(&fd, &info).into();
    told["attach_btf_name"] = attach_name(session, info.attach_btf_id).into();
    told["attach_btf_obj_id"] = info.attach_btf_obj_id.into();
    told["attach_btf_id"] = info.attach_btf_id.into();
    Some(told)
}

fn line_of(
    session: &Session<'_>,
    of: &Attached,
    effective: bool,
    names: &mut Names,
) -> Option<String> {
    let fd = pick::by_id(&session.kernel, ObjectKind::Prog, of.id).ok()?;
    let info = ProgInfo::brief(&*session.kernel, fd.raw()).ok()?;
    let (id, hook, name) = (of.id, of.hook.name(), names.of(&fd, &info));
    Some(match effective {
        true => format!("{id:<8} {hook:<15} {name:<15}"),
        false => format!("{id:<8} {hook:<15} {:<15} {name:<15}", flag_text(of.flags)),
    })
}

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let path = PathBuf::from(words.want("the cgroup's folder")?);
    let effective = words.take("effective");
    words.end()?;
    let folder = open(&path)?;
    let all = programs(session, &folder, effective)?;
    let mut names = Names::default();
    if session.json {
        let told = all.iter().filter_map(|of| json_of(session, of, effective, &mut names));
        let told = Json::Array(told.collect());
        session.print(&told)?;
        return Ok(Status::Done);
    }
    if !all.is_empty() {
        let flags = if effective { String::new() } else { format!("{:<15} ", "AttachFlags") };
        writeln!(session.out, "{:<8} {:<15} {flags}{:<15}", "ID", "AttachType", "Name")?;
    }
    for of in &all {
        if let Some(line) = line_of(session, of, effective, &mut names) {
            writeln!(session.out, "{line}")?;
        }
    }
    Ok(Status::Done)
}

/// Where cgroups of version 2 are mounted.
fn root() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().find_map(|line| {
        let mut parts = line.split(' ').skip(1);
        let (path, kind) = (parts.next()?, parts.next()?);
        (kind == "cgroup2").then(|| path.replace("\\040", " ").into())
    })
}

fn tree(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let named = match words.peek() {
        Some(word) if !words::is_prefix(word, "effective") => words.next().map(PathBuf::from),
        _ => None,
    };
    let effective = words.take("effective");
    words.end()?;
    let root = named.or_else(root);
    let root = root.ok_or_else(|| Failure::unusable("no cgroup2 is mounted"))?;
    open(&root)?;
    let (mut told, mut names) = (Vec::new(), Names::default());
    let mut folders = vec![root];
    let mut is_first = true;
    while let Some(path) = folders.pop() {
        // It may have gone since it was listed.
        let Ok(folder) = open(&path) else { continue };
        let mut below: Vec<PathBuf> = std::fs::read_dir(&path)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        below.sort();
        folders.extend(below.into_iter().rev());
        let all = programs(session, &folder, effective)?;
        if all.is_empty() {
            continue;
        }
        if session.json {
            let programs = all.iter().filter_map(|of| json_of(session, of, effective, &mut names));
            let programs: Vec<Json> = programs.collect();
            told.push(json!({ "cgroup": path.display().to_string(), "programs": programs }));
            continue;
        }
        if is_first {
            writeln!(session.out, "CgroupPath")?;
            writeln!(
                session.out,
                "{:<8} {:<15} {:<15} {:<15}",
                "ID", "AttachType", "AttachFlags", "Name"
            )?;
            is_first = false;
        }
        writeln!(session.out, "{}", path.display())?;
        for of in &all {
            if let Some(line) = line_of(session, of, effective, &mut names) {
                writeln!(session.out, "    {line}")?;
            }
        }
    }
    if session.json {
        session.print(&Json::Array(told))?;
    }
    Ok(Status::Done)
}

/// Cgroup, hook, program.
fn place(
    session: &Session<'_>,
    words: &mut Words<'_>,
) -> Result<(ProgAttach<'static>, std::fs::File, Fd), Failure> {
    let folder = open(Path::new(words.want("the cgroup's folder")?))?;
    let name = words.want("the attach type")?;
    let known = AttachType::from_name(name).filter(|hook| HOOKS.contains(hook));
    let hook = known.ok_or_else(|| {
        let names: Vec<&str> = HOOKS.iter().map(|hook| hook.name()).collect();
        let failure = Failure::unusable(format!("cgroups have no hook {name:?}"));
        failure.hint(format!("there are {}", names.join(", ")))
    })?;
    let program = pick::one(&session.kernel, ObjectKind::Prog, words)?;
    let command = ProgAttach {
        target_fd: folder.as_raw_fd() as u32,
        attach_bpf_fd: program.raw() as u32,
        attach_type: hook as u32,
        ..ProgAttach::default()
    };
    Ok((command, folder, program))
}

fn attach(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (mut command, folder, program) = place(session, words)?;
    while let Some(word) = words.next() {
        if words::is_prefix(word, "multi") {
            command.attach_flags |= flags::ALLOW_MULTI;
        } else if words::is_prefix(word, "override") {
            command.attach_flags |= flags::ALLOW_OVERRIDE;
        } else {
            return Err(Failure::unusable(format!("there is no place for {word:?}")));
        }
    }
    let attached = session.kernel.bpf(&mut Command::ProgAttach(command));
    drop((folder, program));
    attached.map_err(|errno| refused("failed to attach program", errno))?;
    session.done()
}

fn detach(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let (command, folder, program) = place(session, words)?;
    words.end()?;
    let detached = session.kernel.bpf(&mut Command::ProgDetach(command));
    drop((folder, program));
    detached.map_err(|errno| refused("failed to detach program", errno))?;
    session.done()
}
