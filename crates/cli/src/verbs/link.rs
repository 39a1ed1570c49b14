//! `skep link`: programs at their places.

use std::collections::BTreeMap;

use serde_json::{Map as Members, Value as Json, json};
use skep::abi::{AttachType, LinkType, ProgType};
use skep::load::attach::Link;
use skep::sys::{LinkInfo, Linked, ObjectKind, PerfLinked, ProgInfo};

use super::about::{Holder, holders};
use super::words::Words;
use super::{Outcome, Session, Verb, pick, refused};
use crate::failure::Status;

pub const HELP: &str = "\
skep link show|list [LINK]
skep link pin LINK FILE
skep link detach LINK
LINK: id N | pinned FILE
";

pub const VERBS: &[(&str, Verb)] =
    &[("show", show), ("list", show), ("pin", pin), ("detach", detach)];

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let kernel = session.kernel.clone();
    let known = Known::new(session);
    if !words.is_empty() {
        let fd = pick::one(&kernel, ObjectKind::Link, words)?;
        words.end()?;
        let info = LinkInfo::query(&*kernel, fd.raw()).map_err(|errno| refused("link", errno))?;
        return known.tell(session, &info, true);
    }
    let mut all = Vec::new();
    for id in pick::ids(&kernel, ObjectKind::Link)? {
        // It may have gone since it was listed.
        let Ok(fd) = pick::by_id(&kernel, ObjectKind::Link, id) else { continue };
        let Ok(info) = LinkInfo::query(&*kernel, fd.raw()) else { continue };
        match session.json {
            true => all.push(known.json(session, &info)),
            false => {
                known.tell(session, &info, false)?;
            }
        }
    }
    if session.json {
        session.print(&Json::Array(all))?;
    }
    Ok(Status::Done)
}

fn pin(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let fd = pick::one(&session.kernel, ObjectKind::Link, words)?;
    let path = words.want("the file to pin it as")?;
    words.end()?;
    super::prog::pin_fd(&fd, path)?;
    session.done()
}

fn detach(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let fd = pick::one(&session.kernel, ObjectKind::Link, words)?;
    words.end()?;
    let info =
        LinkInfo::query(&*session.kernel, fd.raw()).map_err(|errno| refused("link", errno))?;
    Link::by_id(&session.kernel, info.id)?.detach()?;
    session.done()
}

/// What is known of links beside what they say themselves.
struct Known {
    pins: BTreeMap<u32, Vec<String>>,
    holders: BTreeMap<u32, Vec<Holder>>,
}

impl Known {
    fn new(session: &Session<'_>) -> Known {
        let pins = match session.bpffs {
            true => pick::pins(&session.kernel, ObjectKind::Link),
            false => BTreeMap::new(),
        };
        Known { pins, holders: holders(ObjectKind::Link) }
    }

    fn tell(&self, session: &mut Session<'_>, info: &LinkInfo, alone: bool) -> Outcome {
        if session.json && alone {
            let json = self.json(session, info);
            session.print(&json)?;
            return Ok(Status::Done);
        }
        let mut text = String::new();
        header(info, &mut text);
        text.push_str(&plain(session, info));
        for path in self.pins.get(&info.id).into_iter().flatten() {
            text.push_str(&format!("\n\tpinned {path}"));
        }
        text.push_str(&super::prog::pids(self.holders.get(&info.id)));
        writeln!(session.out, "{text}")?;
        Ok(Status::Done)
    }

    fn json(&self, session: &Session<'_>, info: &LinkInfo) -> Json {
        let mut members = Members::new();
        let mut put = |name: &str, value: Json| {
            members.insert(name.into(), value);
        };
        put("id", info.id.into());
        put(
            "type",
            named(LinkType::from_number(info.link_type).map(LinkType::name), info.link_type),
        );
        put("prog_id", info.prog_id.into());
        place(session, info, &mut put);
        if let Some(paths) = self.pins.get(&info.id) {
            put("pinned", json!(paths));
        } else if session.bpffs && !self.pins.is_empty() {
            put("pinned", json!([]));
        }
        if let Some(holders) = self.holders.get(&info.id) {
            put("pids", super::prog::holders_json(holders));
        }
        Json::Object(members)
    }
}

/// A name, or the number where there is none.
pub fn named(name: Option<&str>, number: u32) -> Json {
    name.map_or_else(|| number.into(), Json::from)
}

fn attach_type(number: u32) -> Json {
    named(AttachType::from_number(number).map(AttachType::name), number)
}

/// The name of an interface of this network namespace.
fn interface(ifindex: u32) -> String {
    if ifindex == 0 {
        return "(detached)".into();
    }
    let name = skep::sys::host::packet::interfaces()
        .unwrap_or_default()
        .into_iter()
        .find(|interface| interface.index == ifindex)
        .map(|interface| interface.name);
    name.unwrap_or_else(|| "(unknown)".into())
}

fn prog_type(session: &Session<'_>, prog_id: u32) -> Option<u32> {
    let fd = pick::by_id(&session.kernel, ObjectKind::Prog, prog_id).ok()?;
    ProgInfo::brief(&*session.kernel, fd.raw()).ok().map(|info| info.prog_type)
}

/// Where a link is, in bpftool's members.
fn place(session: &Session<'_>, info: &LinkInfo, put: &mut dyn FnMut(&str, Json)) {
    match &info.at {
        Linked::RawTracepoint { name, cookie } => {
            put("tp_name", name.as_str().into());
            put("cookie", (*cookie).into());
        }
        Linked::Tracing { attach_type: at, target_obj_id, target_btf_id, cookie } => {
            if let Some(kind) = prog_type(session, info.prog_id) {
                put("prog_type", named(ProgType::from_number(kind).map(ProgType::name), kind));
            }
            put("attach_type", attach_type(*at));
            put("target_obj_id", (*target_obj_id).into());
            put("target_btf_id", (*target_btf_id).into());
            put("cookie", (*cookie).into());
        }
        Linked::Cgroup { cgroup_id, attach_type: at } => {
            put("cgroup_id", (*cgroup_id).into());
            put("attach_type", attach_type(*at));
        }
        Linked::Iter { target, map_id, cgroup_id, order, tid, pid } => {
            put("target_name", target.as_str().into());
            match target.as_str() {
                "bpf_map_elem" | "bpf_sk_storage_map" => put("map_id", (*map_id).into()),
                "task" | "task_file" | "task_vma" if *tid != 0 => put("tid", (*tid).into()),
                "task" | "task_file" | "task_vma" if *pid != 0 => put("pid", (*pid).into()),
                "cgroup" => {
                    put("cgroup_id", (*cgroup_id).into());
                    put("order", cgroup_order(*order).into());
                }
                _ => {}
            }
        }
        Linked::Netns { inode, attach_type: at } => {
            put("netns_ino", (*inode).into());
            put("attach_type", attach_type(*at));
        }
        Linked::Netfilter { pf, hook, priority, flags } => {
            put("pf", (*pf).into());
            put("hook", (*hook).into());
            put("prio", (*priority).into());
            put("flags", (*flags).into());
        }
        Linked::Tcx { ifindex, attach_type: at } | Linked::Netkit { ifindex, attach_type: at } => {
            put("devname", interface(*ifindex).into());
            put("ifindex", (*ifindex).into());
            put("attach_type", attach_type(*at));
        }
        Linked::Xdp { ifindex } => {
            put("devname", interface(*ifindex).into());
            put("ifindex", (*ifindex).into());
        }
        Linked::Sockmap { map_id, attach_type: at } => {
            put("map_id", (*map_id).into());
            put("attach_type", attach_type(*at));
        }
        Linked::StructOps { map_id } => put("map_id", (*map_id).into()),
        Linked::KprobeMulti { addrs, cookies, flags, missed } => {
            put("retprobe", (flags & 1 != 0).into());
            put("func_cnt", addrs.len().into());
            put("missed", (*missed).into());
            put("funcs", functions(addrs, cookies).into());
        }
        Linked::UprobeMulti { path, offsets, ref_ctr_offsets, cookies, flags, pid } => {
            put("retprobe", (flags & 1 != 0).into());
            put("path", path.as_str().into());
            put("func_cnt", offsets.len().into());
            put("pid", (*pid as i32).into());
            let at = |list: &[u64], index: usize| list.get(index).copied().unwrap_or(0);
            let function = |index: usize| {
                json!({
                    "offset": at(offsets, index),
                    "ref_ctr_offset": at(ref_ctr_offsets, index),
                    "cookie": at(cookies, index),
                })
            };
            put("funcs", (0..offsets.len()).map(function).collect());
        }
        Linked::Perf(perf) => perf_place(perf, put),
        Linked::Other => {}
    }
}

fn perf_place(perf: &PerfLinked, put: &mut dyn FnMut(&str, Json)) {
    match perf {
        PerfLinked::Event { event_type, config, cookie } => {
            put("event_type", named(event_kind(*event_type), *event_type));
            match event_name(*event_type, *config) {
                Some(name) => put("event_config", name.into()),
                None => put("event_config", (*config).into()),
            }
            put("cookie", (*cookie).into());
        }
        PerfLinked::Tracepoint { name, cookie } => {
            put("tracepoint", name.as_str().into());
            put("cookie", (*cookie).into());
        }
        PerfLinked::Kprobe { function, offset, addr, missed, is_return, cookie } => {
            put("retprobe", (*is_return).into());
            put("addr", (*addr).into());
            put("func", function.as_str().into());
            put("offset", (*offset).into());
            put("missed", (*missed).into());
            put("cookie", (*cookie).into());
        }
        PerfLinked::Uprobe { file, offset, is_return, ref_ctr_offset, cookie } => {
            put("retprobe", (*is_return).into());
            put("file", file.as_str().into());
            put("offset", (*offset).into());
            put("cookie", (*cookie).into());
            put("ref_ctr_offset", (*ref_ctr_offset).into());
        }
        PerfLinked::Other => {}
    }
}

/// Functions of the kernel by their addresses, with names where it tells them.
fn functions(addrs: &[u64], cookies: &[u64]) -> Vec<Json> {
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let wanted: BTreeMap<u64, u64> =
        addrs.iter().copied().zip(cookies.iter().copied().chain(std::iter::repeat(0))).collect();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.split_ascii_whitespace();
        let (Some(address), Some(_), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let Ok(address) = u64::from_str_radix(address, 16) else { continue };
        if let Some(cookie) = wanted.get(&address) {
            let module = parts.next().map(|module| module.trim_matches(['[', ']']));
            found.entry(address).or_insert_with(
                || json!({"addr": address, "func": name, "module": module, "cookie": cookie}),
            );
        }
    }
    found.into_values().collect()
}

fn cgroup_order(order: u32) -> &'static str {
    match order {
        0 => "order_unspec",
        1 => "self_only",
        2 => "descendants_pre",
        3 => "descendants_post",
        4 => "ancestors_up",
        _ => "unknown",
    }
}

fn event_kind(kind: u32) -> Option<&'static str> {
    const NAMES: [&str; 6] =
        ["hardware", "software", "tracepoint", "hw-cache", "raw", "breakpoint"];
    NAMES.get(kind as usize).copied()
}

/// The name of what an event counts, as perf(1) has it.
fn event_name(kind: u32, config: u64) -> Option<&'static str> {
    const HARDWARE: [&str; 10] = [
        "cpu-cycles",
        "instructions",
        "cache-references",
        "cache-misses",
        "branch-instructions",
        "branch-misses",
        "bus-cycles",
        "stalled-cycles-frontend",
        "stalled-cycles-backend",
        "ref-cycles",
    ];
    const SOFTWARE: [&str; 11] = [
        "cpu-clock",
        "task-clock",
        "page-faults",
        "context-switches",
        "cpu-migrations",
        "minor-faults",
        "major-faults",
        "alignment-faults",
        "emulation-faults",
        "dummy",
        "bpf-output",
    ];
    let names: &[&str] = match kind {
        0 => &HARDWARE,
        1 => &SOFTWARE,
        _ => return None,
    };
    names.get(usize::try_from(config).ok()?).copied()
}

fn header(info: &LinkInfo, text: &mut String) {
    let kind = LinkType::from_number(info.link_type).map(LinkType::name);
    text.push_str(&format!("{}: ", info.id));
    match kind {
        Some(kind) => text.push_str(&format!("{kind}  ")),
        None => text.push_str(&format!("type {}  ", info.link_type)),
    }
    match &info.at {
        Linked::StructOps { map_id } => text.push_str(&format!("map {map_id}  ")),
        _ => text.push_str(&format!("prog {}  ", info.prog_id)),
    }
}

/// `NAME  `, or what stands for a type that has no name.
fn plain_attach_type(number: u32) -> String {
    match AttachType::from_number(number) {
        Some(of) => format!("attach_type {of}  "),
        None => format!("attach_type {number}  "),
    }
}

/// Where a link is, for people.
fn plain(session: &Session<'_>, info: &LinkInfo) -> String {
    let cookie =
        |cookie: u64| if cookie == 0 { String::new() } else { format!("cookie {cookie}  ") };
    let device = |ifindex: u32| format!("\n\tifindex {}({ifindex})  ", interface(ifindex));
    match &info.at {
        Linked::RawTracepoint { name, cookie: of } => format!("\n\ttp '{name}'  {}", cookie(*of)),
        Linked::Tracing { attach_type, target_obj_id, target_btf_id, cookie: of } => {
            let kind = prog_type(session, info.prog_id).and_then(ProgType::from_number);
            let kind = kind.map_or("unknown", ProgType::name);
            let at = plain_attach_type(*attach_type);
            let mut text = format!("\n\tprog_type {kind}  {at}");
            if *target_obj_id != 0 || *target_btf_id != 0 {
                text.push_str(&format!(
                    "\n\ttarget_obj_id {target_obj_id}  target_btf_id {target_btf_id}  "
                ));
            }
            if *of != 0 {
                text.push_str(&format!("\n\tcookie {of}  "));
            }
            text
        }
        Linked::Cgroup { cgroup_id, attach_type } => {
            format!("\n\tcgroup_id {cgroup_id}  {}", plain_attach_type(*attach_type))
        }
        Linked::Netns { inode, attach_type } => {
            format!("\n\tnetns_ino {inode}  {}", plain_attach_type(*attach_type))
        }
        Linked::Tcx { ifindex, attach_type } | Linked::Netkit { ifindex, attach_type } => {
            device(*ifindex) + &plain_attach_type(*attach_type)
        }
        Linked::Xdp { ifindex } => device(*ifindex),
        Linked::Sockmap { map_id, attach_type } => {
            format!("\n\tmap_id {map_id}  {}", plain_attach_type(*attach_type))
        }
        Linked::Iter { .. } => {
            let mut text = String::from("\n\t");
            place(session, info, &mut |name, value| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                text.push_str(&format!("{name} {value}  "));
            });
            text
        }
        Linked::Netfilter { pf, hook, priority, flags } => netfilter(*pf, *hook, *priority, *flags),
        Linked::StructOps { .. } | Linked::Other => String::new(),
        Linked::KprobeMulti { addrs, cookies, flags, missed } => {
            let what = if flags & 1 != 0 { "kretprobe" } else { "kprobe" };
            let mut text = format!("\n\t{what}.multi  func_cnt {}  ", addrs.len());
            if *missed > 0 {
                text.push_str(&format!("missed {missed}  "));
            }
            for function in functions(addrs, cookies) {
                let (addr, cookie) = (&function["addr"], &function["cookie"]);
                let (addr, cookie) = (addr.as_u64().unwrap_or(0), cookie.as_u64().unwrap_or(0));
                let name = function["func"].as_str().unwrap_or_default();
                text.push_str(&format!("\n\t{addr:016x} {cookie:<16x} {name}  "));
            }
            text
        }
        Linked::UprobeMulti { path, offsets, ref_ctr_offsets, cookies, flags, pid } => {
            let what = if flags & 1 != 0 { "uretprobe" } else { "uprobe" };
            let mut text = format!("\n\t{what}.multi  path {path}  func_cnt {}  ", offsets.len());
            if *pid != 0 {
                text.push_str(&format!("pid {pid}  "));
            }
            text.push_str(&format!(
                "\n\t{:<16}   {:<16}   {:<16}",
                "offset", "ref_ctr_offset", "cookies"
            ));
            for ((offset, counter), cookie) in offsets.iter().zip(ref_ctr_offsets).zip(cookies) {
                text.push_str(&format!("\n\t0x{offset:<16x} 0x{counter:<16x} 0x{cookie:<16x}"));
            }
            text
        }
        Linked::Perf(perf) => plain_perf(perf, &cookie),
    }
}

fn plain_perf(perf: &PerfLinked, cookie: &dyn Fn(u64) -> String) -> String {
    match perf {
        PerfLinked::Event { event_type, config, cookie: of } => {
            let kind = match event_kind(*event_type) {
                Some(kind) => format!("{kind}:"),
                None => format!("{event_type} :"),
            };
            let what = event_name(*event_type, *config);
            let what = what.map_or_else(|| config.to_string(), str::to_owned);
            format!("\n\tevent {kind}{what}  {}", cookie(*of))
        }
        PerfLinked::Tracepoint { name, cookie: of } => {
            format!("\n\ttracepoint {name}  {}", cookie(*of))
        }
        PerfLinked::Kprobe { function, offset, addr, missed, is_return, cookie: of } => {
            let what = if *is_return { "kretprobe" } else { "kprobe" };
            let addr = if *addr == 0 { String::new() } else { format!("{addr:x} ") };
            let offset = if *offset == 0 { String::new() } else { format!("+{offset:#x}") };
            let missed = if *missed == 0 { String::new() } else { format!("  missed {missed}") };
            let of = if *of == 0 { String::new() } else { format!("  cookie {of}") };
            format!("\n\t{what} {addr}{function}{offset}{missed}{of}  ")
        }
        PerfLinked::Uprobe { file, offset, is_return, ref_ctr_offset, cookie: of } => {
            let what = if *is_return { "uretprobe" } else { "uprobe" };
            let mut text = format!("\n\t{what} {file}+{offset:#x}  {}", cookie(*of));
            if *ref_ctr_offset != 0 {
                text.push_str(&format!("ref_ctr_offset {ref_ctr_offset:#x}  "));
            }
            text
        }
        PerfLinked::Other => String::new(),
    }
}

fn netfilter(pf: u32, hook: u32, priority: i32, flags: u32) -> String {
    const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];
    let family = match pf {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "",
    };
    let family = if family.is_empty() { format!("pf: {pf}") } else { family.into() };
    let stage = match HOOKS.get(hook as usize) {
        Some(name) if pf != 3 => format!(" {name}"),
        _ => format!(", hook {hook},"),
    };
    let flags = if flags == 0 { String::new() } else { format!(" flags {flags:#x}") };
    format!("\n\t{family}{stage} prio {priority}{flags}")
}
