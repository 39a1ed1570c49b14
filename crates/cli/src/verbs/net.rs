//! `skep net`: programs of interfaces, of this network namespace.

use std::os::fd::AsRawFd;

use serde_json::{Value as Json, json};
use skep::abi::flags::{attach as flags, xdp};
use skep::abi::{AttachType, Errno};
use skep::load::attach::interface;
use skep::sys::host::netlink::{Direction, Route, XdpPrograms};
use skep::sys::{Command, LinkInfo, Linked, ObjectKind, ProgAttach, ProgInfo};

use super::prog::Names;
use super::words::{self, Words};
use super::{Session, Verb, pick, query, refused};
use crate::failure::{Failure, Outcome, Status};

pub const HELP: &str = "\
skep net show|list [dev NAME]
skep net attach TYPE PROG dev NAME [overwrite|prepend]
skep net detach TYPE [PROG] dev NAME     without PROG of tcx the first program, of clsact all
PROG: id N | name NAME | tag TAG | pinned FILE
TYPE: xdp | xdpgeneric | xdpdrv | xdpoffload | tcx_ingress | tcx_egress |
      clsact_ingress | clsact_egress (to detach)
What is attached so stays until it is detached, or the interface goes.
";

pub const VERBS: &[(&str, Verb)] =
    &[("show", show), ("list", show), ("attach", attach), ("detach", detach)];

fn netlink(doing: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| refused(doing, Errno(error.raw_os_error().unwrap_or(Errno::EIO.0)))
}

/// `dev NAME`.
fn device(words: &mut Words<'_>) -> Result<u32, Failure> {
    if !words.take("dev") {
        return Err(Failure::unusable("dev NAME is missing"));
    }
    interface(words.want("the interface")?).map_err(Failure::unusable)
}

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let only = if words.is_empty() { None } else { Some(device(words)?) };
    words.end()?;
    let mut route = Route::open().map_err(netlink("netlink"))?;
    let mut links = route.xdp_programs().map_err(netlink("the interfaces"))?;
    links.retain(|link| only.is_none_or(|only| link.ifindex == only));
    let mut told = json!({ "xdp": [], "tc": [], "flow_dissector": [], "netfilter": [] });
    let mut put = |what: &str, json: Json| {
        if let Some(list) = told[what].as_array_mut() {
            list.push(json);
        }
    };
    let mut names = Names::default();
    for link in &links {
        if let Some(json) = xdp_json(link) {
            put("xdp", json);
        }
        for json in tcx(session, link, &mut names) {
            put("tc", json);
        }
        for json in classic(&mut route, link)? {
            put("tc", json);
        }
    }
    if let Ok(namespace) = std::fs::File::open("/proc/self/ns/net") {
        let fd = namespace.as_raw_fd() as u32;
        let hook = AttachType::FlowDissector;
        for at in query::attached(&session.kernel, fd, hook, 0).unwrap_or_default() {
            put("flow_dissector", json!({ "id": at.program }));
        }
    }
    for json in netfilter(session) {
        put("netfilter", json);
    }
    if session.json {
        session.print(&Json::Array(vec![told]))?;
        return Ok(Status::Done);
    }
    for (what, list) in told.as_object().into_iter().flatten() {
        writeln!(session.out, "{what}:")?;
        for of in list.as_array().into_iter().flatten() {
            writeln!(session.out, "{}", line(of))?;
        }
        writeln!(session.out)?;
    }
    Ok(Status::Done)
}

/// `lo(1) generic id 7`.
fn line(of: &Json) -> String {
    let mut text = String::new();
    for (name, value) in of.as_object().into_iter().flatten() {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&match name.as_str() {
            "devname" => shown,
            "ifindex" => format!("({shown})"),
            "mode" | "kind" | "name" => format!(" {shown}"),
            _ if value.as_array().is_some_and(Vec::is_empty) || shown == "0" => String::new(),
            _ => format!(" {name} {shown}"),
        });
    }
    text
}

fn xdp_json(link: &XdpPrograms) -> Option<Json> {
    const MODES: [&str; 3] = ["generic", "driver", "offload"];
    let head = json!({ "devname": link.name, "ifindex": link.ifindex });
    let mut told = head;
    match link.mode {
        1..=3 => {
            // Numbered in another order.
            let mode = [MODES[1], MODES[0], MODES[2]][usize::from(link.mode) - 1];
            told["mode"] = mode.into();
            told["id"] = link.id.into();
        }
        4 => {
            let several = MODES.iter().zip(link.several).filter(|(_, id)| *id != 0);
            let several = several.map(|(mode, id)| json!({ "mode": mode, "id": id }));
            told["multi_attachments"] = several.collect();
        }
        _ => return None,
    }
    Some(told)
}

/// The bits of flags, each a number.
fn bits(flags: u32) -> Json {
    (0..32).map(|bit| 1u32 << bit).filter(|bit| flags & bit != 0).map(Json::from).collect()
}

fn program_name(session: &Session<'_>, id: u32, names: &mut Names) -> Option<String> {
    let fd = pick::by_id(&session.kernel, ObjectKind::Prog, id).ok()?;
    let info = ProgInfo::brief(&*session.kernel, fd.raw()).ok()?;
    Some(names.of(&fd, &info))
}

fn tcx(session: &Session<'_>, link: &XdpPrograms, names: &mut Names) -> Vec<Json> {
    const PLACES: [(AttachType, &str); 4] = [
        (AttachType::TcxIngress, "tcx/ingress"),
        (AttachType::TcxEgress, "tcx/egress"),
        (AttachType::NetkitPrimary, "netkit/primary"),
        (AttachType::NetkitPeer, "netkit/peer"),
    ];
    let mut all = Vec::new();
    for (hook, kind) in PLACES {
        // An interface that is no netkit has no such places.
        let found = query::attached(&session.kernel, link.ifindex, hook, 0);
        for at in found.unwrap_or_default() {
            let mut told = json!({ "devname": link.name, "ifindex": link.ifindex, "kind": kind });
            if let Some(name) = program_name(session, at.program, names) {
                told["name"] = name.into();
            }
            told["prog_id"] = at.program.into();
            told["prog_flags"] = bits(at.flags);
            told["link_id"] = at.link.into();
            told["link_flags"] = bits(at.link_flags);
            all.push(told);
        }
    }
    all
}

/// Filters of the classic traffic control.
fn classic(route: &mut Route, link: &XdpPrograms) -> Result<Vec<Json>, Failure> {
    let mut all = Vec::new();
    for (way, kind) in
        [(Direction::Ingress, "clsact/ingress"), (Direction::Egress, "clsact/egress")]
    {
        let found = route.filters(link.ifindex, way).map_err(netlink("the filters"))?;
        for filter in found {
            all.push(json!({
                "devname": link.name,
                "ifindex": link.ifindex,
                "kind": kind,
                "name": filter.name,
                "id": filter.id,
                "priority": filter.priority,
                "handle": filter.handle,
            }));
        }
    }
    Ok(all)
}

fn netfilter(session: &Session<'_>) -> Vec<Json> {
    let ids = pick::ids(&session.kernel, ObjectKind::Link).unwrap_or_default();
    let told = |id: u32| {
        let fd = pick::by_id(&session.kernel, ObjectKind::Link, id).ok()?;
        let info = LinkInfo::query(&*session.kernel, fd.raw()).ok()?;
        match info.at {
            Linked::Netfilter { pf, hook, priority, flags } => Some(json!({
                "id": info.prog_id, "pf": pf, "hook": hook, "prio": priority, "flags": flags,
            })),
            _ => None,
        }
    };
    ids.into_iter().filter_map(told).collect()
}

/// Where a word says that a program goes.
enum Type {
    Xdp(u32),
    Tcx(AttachType),
    Classic(Direction),
}

fn kind(words: &mut Words<'_>) -> Result<Type, Failure> {
    let word = words.want("the type")?;
    Ok(match word {
        "xdp" => Type::Xdp(0),
        "xdpgeneric" => Type::Xdp(xdp::SKB_MODE),
        "xdpdrv" => Type::Xdp(xdp::DRV_MODE),
        "xdpoffload" => Type::Xdp(xdp::HW_MODE),
        "tcx_ingress" => Type::Tcx(AttachType::TcxIngress),
        "tcx_egress" => Type::Tcx(AttachType::TcxEgress),
        "clsact_ingress" => Type::Classic(Direction::Ingress),
        "clsact_egress" => Type::Classic(Direction::Egress),
        _ => {
            let failure = Failure::unusable(format!("programs are not attached so at {word:?}"));
            let hint = "there are xdp, xdpgeneric, xdpdrv, xdpoffload, tcx_ingress, tcx_egress, \
                        clsact_ingress, clsact_egress";
            return Err(failure.hint(hint));
        }
    })
}

fn attach(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let kind = kind(words)?;
    let program = pick::one(&session.kernel, ObjectKind::Prog, words)?;
    let ifindex = device(words)?;
    let (mut overwrites, mut first) = (false, false);
    while let Some(word) = words.next() {
        if words::is_prefix(word, "overwrite") {
            overwrites = true;
        } else if words::is_prefix(word, "prepend") {
            first = true;
        } else {
            return Err(Failure::unusable(format!("there is no place for {word:?}")));
        }
    }
    match kind {
        Type::Xdp(mode) => {
            let flags = if overwrites { mode } else { mode | xdp::UPDATE_IF_NOEXIST };
            let mut route = Route::open().map_err(netlink("netlink"))?;
            let set = route.set_xdp(ifindex, Some(&program), flags);
            set.map_err(netlink("interface attach failed"))?;
        }
        Type::Classic(_) => {
            let failure = Failure::unusable("filters of clsact are made by skep run --persistent");
            return Err(failure.hint("tcx_ingress and tcx_egress are the same place, and newer"));
        }
        Type::Tcx(hook) => {
            let command = ProgAttach {
                target_fd: ifindex,
                attach_bpf_fd: program.raw() as u32,
                attach_type: hook as u32,
                attach_flags: if first { flags::BEFORE } else { 0 },
                ..ProgAttach::default()
            };
            let attached = session.kernel.bpf(&mut Command::ProgAttach(command));
            attached.map_err(|errno| refused("interface attach failed", errno))?;
        }
    }
    session.done()
}

fn detach(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let kind = kind(words)?;
    let program = match words.peek() {
        Some(word) if words::is_prefix(word, "dev") => None,
        _ => Some(pick::one(&session.kernel, ObjectKind::Prog, words)?),
    };
    let ifindex = device(words)?;
    words.end()?;
    match kind {
        Type::Xdp(mode) => {
            let mut route = Route::open().map_err(netlink("netlink"))?;
            let set = route.set_xdp(ifindex, None, mode);
            set.map_err(netlink("interface detach failed"))?;
        }
        Type::Classic(way) => {
            let only = program.as_ref().and_then(|program| pick::id_of(ObjectKind::Prog, program));
            let mut route = Route::open().map_err(netlink("netlink"))?;
            let mut found = route.filters(ifindex, way).map_err(netlink("the filters"))?;
            found.retain(|filter| only.is_none_or(|only| filter.id == only));
            if found.is_empty() {
                return Err(Failure::refused("there is no such filter"));
            }
            for filter in found {
                let removed = route.remove_filter(way, &filter);
                removed.map_err(netlink("interface detach failed"))?;
            }
        }
        Type::Tcx(hook) => {
            let command = ProgAttach {
                target_fd: ifindex,
                attach_bpf_fd: program.as_ref().map_or(0, |program| program.raw() as u32),
                attach_type: hook as u32,
                attach_flags: if program.is_none() { flags::BEFORE } else { 0 },
                ..ProgAttach::default()
            };
            let detached = session.kernel.bpf(&mut Command::ProgDetach(command));
            detached.map_err(|errno| refused("interface detach failed", errno))?;
        }
    }
    session.done()
}
