//! `skep feature`: what a kernel has, found out by trying: a program of each type is loaded, a
//! map of each is created, each helper is called by a program of each type. Nothing is attached
//! or kept. Counterpart: `bpftool feature`, whose JSON this is.

use std::sync::Arc;

use serde_json::{Map as Members, Value as Json};
use skep::abi::{AttachType, Helper, MapType, ProgType};
use skep::btf::Kind;
use skep::isa::{Slot, assemble, encode};
use skep::load::Target;
use skep::sys::{Command, Fd, Kernel, ProgLoad};

use super::words::Words;
use super::{Session, Verb};
use crate::doctor::probe;
use crate::failure::{Failure, Outcome, Status};

pub const HELP: &str = "\
skep feature probe [kernel|embedded] [full]
skep feature list_builtins prog_types|map_types|attach_types|helpers
full: also helpers whose trial the kernel warns about
";

pub const VERBS: &[(&str, Verb)] = &[("probe", probe_all), ("list_builtins", list_builtins)];

/// Helpers that Linux writes a line into its log about when a program is loaded that has one.
const WARNED_ABOUT: [&str; 3] = ["bpf_trace_printk", "bpf_trace_vprintk", "bpf_probe_write_user"];

/// What there is to be told, in order: sections of names and values.
type Sections = Vec<(&'static str, Members<String, Json>)>;

fn probe_all(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let mut kernel = session.kernel.clone();
    let (mut full, mut is_linux) = (false, true);
    while let Some(word) = words.next() {
        match word {
            "kernel" => {}
            "embedded" => {
                kernel = Arc::new(skep::Vm::new());
                is_linux = false;
            }
            "full" => full = true,
            other => return Err(Failure::unusable(format!("there is no place for {other:?}"))),
        }
    }
    let mut sections = Sections::new();
    if is_linux {
        sections.push(("system_config", system(&kernel)));
    }
    let mut syscall = Members::new();
    syscall.insert("have_bpf_syscall".into(), (!probe::map_types(&kernel).is_empty()).into());
    sections.push(("syscall_config", syscall));
    let types = probe::program_types(&kernel);
    sections.push(("program_types", flags(ProgType::ALL, ProgType::Unspec, &types, "prog_type")));
    let maps = probe::map_types(&kernel);
    sections.push(("map_types", flags(MapType::ALL, MapType::Unspec, &maps, "map_type")));
    sections.push(("helpers", helpers(&kernel, &types, full)));
    sections.push(("misc", misc(&kernel)));
    match session.json {
        true => {
            let all = sections.into_iter().map(|(name, of)| (name.to_owned(), Json::Object(of)));
            session.print(&Json::Object(all.collect()))?;
        }
        false => plain(session, &sections)?,
    }
    Ok(Status::Done)
}

/// A kind of things that have names.
trait Named: Copy + PartialEq {
    fn name(self) -> &'static str;
}

impl Named for ProgType {
    fn name(self) -> &'static str {
        ProgType::name(self)
    }
}

impl Named for MapType {
    fn name(self) -> &'static str {
        MapType::name(self)
    }
}

fn flags<T: Named>(all: &[T], none: T, has: &[T], what: &str) -> Members<String, Json> {
    let known = all.iter().filter(|&&kind| kind != none);
    known.map(|&of| (format!("have_{}_{what}", of.name()), has.contains(&of).into())).collect()
}

/// Settings of the machine, and how its kernel was built.
fn system(kernel: &Arc<dyn Kernel>) -> Members<String, Json> {
    const SETTINGS: [(&str, &str); 5] = [
        ("unprivileged_bpf_disabled", "kernel/unprivileged_bpf_disabled"),
        ("bpf_jit_enable", "net/core/bpf_jit_enable"),
        ("bpf_jit_harden", "net/core/bpf_jit_harden"),
        ("bpf_jit_kallsyms", "net/core/bpf_jit_kallsyms"),
        ("bpf_jit_limit", "net/core/bpf_jit_limit"),
    ];
    let mut members = Members::new();
    for (name, file) in SETTINGS {
        let text = std::fs::read_to_string(format!("/proc/sys/{file}")).ok();
        let number = text.and_then(|text| text.trim().parse::<i64>().ok());
        members.insert(name.into(), number.map_or(Json::Null, Json::from));
    }
    let target = Target::of(&**kernel);
    for name in CONFIG {
        let value = target.config(name);
        members.insert((*name).into(), value.map_or(Json::Null, Json::from));
    }
    members
}

/// What of a kernel's configuration programs depend on.
const CONFIG: &[&str] = &[
    "CONFIG_BPF",
    "CONFIG_BPF_SYSCALL",
    "CONFIG_HAVE_EBPF_JIT",
    "CONFIG_BPF_JIT",
    "CONFIG_BPF_JIT_ALWAYS_ON",
    "CONFIG_DEBUG_INFO_BTF",
    "CONFIG_DEBUG_INFO_BTF_MODULES",
    "CONFIG_CGROUPS",
    "CONFIG_CGROUP_BPF",
    "CONFIG_CGROUP_NET_CLASSID",
    "CONFIG_SOCK_CGROUP_DATA",
    "CONFIG_BPF_EVENTS",
    "CONFIG_KPROBE_EVENTS",
    "CONFIG_UPROBE_EVENTS",
    "CONFIG_TRACING",
    "CONFIG_FTRACE_SYSCALLS",
    "CONFIG_FUNCTION_ERROR_INJECTION",
    "CONFIG_BPF_KPROBE_OVERRIDE",
    "CONFIG_NET",
    "CONFIG_XDP_SOCKETS",
    "CONFIG_LWTUNNEL_BPF",
    "CONFIG_NET_ACT_BPF",
    "CONFIG_NET_CLS_BPF",
    "CONFIG_NET_CLS_ACT",
    "CONFIG_NET_SCH_INGRESS",
    "CONFIG_XFRM",
    "CONFIG_IP_ROUTE_CLASSID",
    "CONFIG_IPV6_SEG6_BPF",
    "CONFIG_BPF_LIRC_MODE2",
    "CONFIG_BPF_STREAM_PARSER",
    "CONFIG_NETFILTER_XT_MATCH_BPF",
    "CONFIG_BPFILTER",
    "CONFIG_BPFILTER_UMH",
    "CONFIG_TEST_BPF",
    "CONFIG_HZ",
];

/// What programs of each type may call.
fn helpers(kernel: &Arc<dyn Kernel>, types: &[ProgType], full: bool) -> Members<String, Json> {
    let mut members = Members::new();
    // What typed tracepoints are attached to, without which there is no program to try with.
    let tracepoint = Target::of(&**kernel)
        .kernel_btf()
        .ok()
        .and_then(|btf| btf.find("btf_trace_sys_enter", Kind::Typedef));
    for &kind in ProgType::ALL.iter().filter(|&&kind| kind != ProgType::Unspec) {
        let trial = match kind {
            _ if !types.contains(&kind) => None,
            ProgType::Tracing => tracepoint.map(|id| (AttachType::TraceRawTp as u32, id)),
            // They are for functions and structures that a trial would have to choose.
            ProgType::Ext | ProgType::Lsm | ProgType::StructOps => None,
            kind => Some((probe::attach_type(kind).map_or(0, |of| of as u32), 0)),
        };
        let may = |helper: &&Helper| {
            (full || !WARNED_ABOUT.contains(&helper.name))
                && trial.is_some_and(|trial| may_call(kernel, kind, trial, helper))
        };
        let names = Helper::all().iter().filter(may).map(|helper| helper.name);
        let names: Vec<Json> = names.map(Json::from).collect();
        members.insert(format!("{}_available_helpers", kind.name()), names.into());
    }
    members
}

/// Whether the verifier lets a program of a type call a helper. That it refuses the arguments
/// shows that it would take the call.
fn may_call(
    kernel: &Arc<dyn Kernel>,
    kind: ProgType,
    (attach_type, attach_btf_id): (u32, u32),
    helper: &Helper,
) -> bool {
    let text = format!("call {}\nr0 = 0\nexit", helper.id);
    let (loaded, log) = load(kernel, &text, LOG, |attr| {
        attr.prog_type = kind as u32;
        attr.expected_attach_type = attach_type;
        attr.attach_btf_id = attach_btf_id;
        if kind == ProgType::Syscall {
            attr.prog_flags = skep::abi::flags::prog::SLEEPABLE;
        }
    });
    let refused = ["invalid func ", "unknown func ", "program of this type cannot use helper "];
    let reached = |line: &str| refused.iter().any(|words| line.contains(words));
    loaded || (log.lines().any(|line| line.starts_with("0: ")) && !log.lines().any(reached))
}

/// Bytes of the verifier's log of a call.
const LOG: usize = 1 << 14;

/// Loads a program; gives whether that worked, and what the verifier said where there is room.
fn load(
    kernel: &Arc<dyn Kernel>,
    text: &str,
    log_room: usize,
    set: impl FnOnce(&mut ProgLoad<'_>),
) -> (bool, String) {
    let Ok(insns) = assemble(text) else { return (false, String::new()) };
    let insns = encode(&insns);
    let (count, insns) = (insns.len() as u32, Slot::join(&insns));
    let mut log = vec![0; log_room];
    let mut attr = ProgLoad {
        prog_type: ProgType::SocketFilter as u32,
        insns: Some(insns.as_slice().into()),
        insn_cnt: count,
        license: Some(b"GPL\0"[..].into()),
        log_level: u32::from(log_room > 0),
        log_size: log_room as u32,
        ..ProgLoad::default()
    };
    set(&mut attr);
    if log_room > 0 {
        attr.log_buf = (&mut log[..]).into();
    }
    let mut command = Command::ProgLoad(Box::new(attr));
    let loaded = Fd::open(kernel, &mut command).is_ok();
    drop(command);
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    (loaded, String::from_utf8_lossy(&log[..end]).into_owned())
}

/// Instructions that came later, and limits that grew.
fn misc(kernel: &Arc<dyn Kernel>) -> Members<String, Json> {
    let many = "r0 = 1\n".repeat(4096) + "exit";
    let cases = [
        ("have_large_insn_limit", many.as_str()),
        ("have_bounded_loops", "r0 = 10\nr0 += -1\nif r0 != 0 goto -2\nexit"),
        ("have_v2_isa_extension", "r0 = 0\nif r0 < 0 goto +1\nr0 = 1\nexit"),
        ("have_v3_isa_extension", "r0 = 0\nif w0 < 0 goto +1\nr0 = 1\nexit"),
    ];
    cases
        .iter()
        .map(|(name, text)| ((*name).into(), load(kernel, text, 0, |_| {}).0.into()))
        .collect()
}

fn plain(session: &mut Session<'_>, sections: &Sections) -> Result<(), Failure> {
    let out = &mut *session.out;
    for (section, members) in sections {
        writeln!(out, "{}", section.replace('_', " "))?;
        for (name, value) in members {
            let shown = name.trim_start_matches("have_").trim_end_matches("_available_helpers");
            match value {
                Json::Bool(true) => writeln!(out, "  {shown}: yes")?,
                Json::Bool(false) => writeln!(out, "  {shown}: no")?,
                Json::Null => writeln!(out, "  {shown}: not set")?,
                Json::Array(all) if all.is_empty() => writeln!(out, "  {shown}: none")?,
                Json::Array(all) => {
                    writeln!(out, "  {shown}:")?;
                    for name in all.iter().filter_map(Json::as_str) {
                        writeln!(out, "    {name}")?;
                    }
                }
                Json::String(text) => writeln!(out, "  {shown}: {text}")?,
                other => writeln!(out, "  {shown}: {other}")?,
            }
        }
    }
    Ok(())
}

/// What skep knows, whatever the kernel has.
fn list_builtins(session: &mut Session<'_>, words: &mut Words<'_>) -> Outcome {
    let group = words.want("what to list")?;
    words.end()?;
    let names: Vec<&str> = match group {
        "prog_types" => ProgType::ALL.iter().skip(1).map(|of| of.name()).collect(),
        "map_types" => MapType::ALL.iter().skip(1).map(|of| of.name()).collect(),
        "attach_types" => AttachType::ALL.iter().map(|of| of.name()).collect(),
        "helpers" => Helper::all().iter().map(|of| of.name).collect(),
        other => {
            let failure = Failure::unusable(format!("there is no list {other:?}"));
            return Err(failure.hint("there are prog_types, map_types, attach_types and helpers"));
        }
    };
    match session.json {
        true => session.print(&Json::from(names))?,
        false => {
            for name in names {
                writeln!(session.out, "{name}")?;
            }
        }
    }
    Ok(Status::Done)
}
