//! Where a program belongs, by the name of its section: `SEC("tp/sched/sched_switch")` says
//! all, `SEC("xdp")` all but the interface. Counterpart: `bpf_program__attach` of libbpf, and
//! `attach_*` behind it, whose rules for names hold here.

use skep_abi::{AttachType, ProgType, SectionTarget};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;
use crate::object::ProgramDef;

use super::cgroup::Cgroup;
use super::freplace::Replaced;
use super::hook::Hook;
use super::iter::Iter;
use super::kprobe::Kprobe;
use super::kprobes::Kprobes;
use super::netns::NetNamespace;
use super::pattern::Pattern;
use super::raw_tracepoint::RawTracepoint;
use super::tcx::Tcx;
use super::tracepoint::Tracepoint;
use super::tracing::Tracing;
use super::uprobe::{Spot, Uprobe};
use super::uprobes::Uprobes;
use super::xdp::Xdp;

/// What sections leave open.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The interface of packet programs.
    pub ifindex: Option<u32>,
    /// The cgroup of cgroup programs.
    pub cgroup: Option<Cgroup<'static>>,
    /// The process whose functions are probed; all that run the file unless said.
    pub pid: Option<u32>,
    /// Whether programs may be put where they see or decide what concerns every process:
    /// probes of functions, security hooks, structures of operations.
    pub system_wide: bool,
}

/// Where a program belongs.
pub enum Found {
    /// At this hook.
    At(Box<dyn Hook>),
    /// At none that its section names; a line says what is missing.
    Open(String),
}

/// Where a program belongs.
///
/// # Errors
/// Its section says something that cannot be meant.
pub fn find(program: &Program, places: &Places) -> Result<Found, Kind> {
    let def = program.def();
    let Some(section) = def.section_def else {
        return Ok(Found::Open(format!("section {:?} is none that is known", def.section)));
    };
    let target = def.target.as_deref();
    let is_return = section.name.contains("ret");
    if acts_on_all(def, places) && !places.system_wide {
        return Ok(Found::Open(ACTS_ON_ALL.into()));
    }
    let no_name = || Found::Open("its section names no function".into());
    let found = match (section.target, target) {
        (SectionTarget::Nothing, _) => return by_type(program, places),
        (SectionTarget::StructOps, _) => {
            return Ok(Found::Open("it is registered with its structure".into()));
        }
        (SectionTarget::Usdt, _) => {
            return Ok(Found::Open("markers of files (usdt) are attached by skep trace".into()));
        }
        (SectionTarget::Btf, _) if def.attach_type == Some(AttachType::TraceIter) => {
            at(Iter::new())
        }
        (SectionTarget::Btf, _) if def.attach_type == Some(AttachType::LsmCgroup) => {
            return by_type(program, places);
        }
        (SectionTarget::Btf, _) => at(Tracing::new()),
        (SectionTarget::Program, _) => at(Replaced::new()),
        (_, None | Some("")) => no_name(),
        (SectionTarget::Tracepoint, Some(name)) => {
            let Some((category, name)) = name.split_once('/') else {
                return Err(Kind::Missing(format!("{name:?} names no CATEGORY/TRACEPOINT")));
            };
            at(Tracepoint::new(category, name))
        }
        (SectionTarget::RawTracepoint, Some(name)) => at(RawTracepoint::new(name)),
        (SectionTarget::Syscall, Some(name)) => kprobe(Kprobe::system_call(name), is_return),
        (SectionTarget::KernelFunction, Some(name)) => {
            let (name, offset) = split_offset(name)?;
            if is_return && offset != 0 {
                let what = "a function returns from everywhere: its return has no offset";
                return Err(Kind::Missing(what.into()));
            }
            kprobe(Kprobe::new(name).offset(offset), is_return)
        }
        (SectionTarget::KernelFunctions, Some(pattern)) => {
            let all = Kprobes::new().matching(Pattern::new(pattern));
            if is_return { at(all.at_return()) } else { at(all) }
        }
        (SectionTarget::UserFunction, Some(name)) => match split_file(name) {
            Some((file, spot)) => {
                let spot = user_spot(spot)?;
                let mut hook = Uprobe::at(file, spot);
                if is_return {
                    hook = hook.at_return();
                }
                if let Some(pid) = places.pid {
                    hook = hook.of_process(pid);
                }
                at(hook)
            }
            None => no_name(),
        },
        (SectionTarget::UserFunctions, Some(name)) => match split_file(name) {
            Some((file, pattern)) => {
                let mut hook = Uprobes::new(file).matching(Pattern::new(pattern));
                if is_return {
                    hook = hook.at_return();
                }
                if let Some(pid) = places.pid {
                    hook = hook.of_process(pid);
                }
                at(hook)
            }
            None => no_name(),
        },
    };
    Ok(found)
}

fn at(hook: impl Hook + 'static) -> Found {
    Found::At(Box::new(hook))
}

fn kprobe(hook: Kprobe, is_return: bool) -> Found {
    if is_return { at(hook.at_return()) } else { at(hook) }
}

/// Why a program is not attached that acts on all processes.
pub const ACTS_ON_ALL: &str =
    "it would act on every process of the machine, which has to be asked for";

/// Whether a program at its place meets every process. (Tracepoints do, too, and only watch.)
pub fn acts_on_all(def: &ProgramDef, places: &Places) -> bool {
    let Some(section) = def.section_def else { return false };
    match section.target {
        SectionTarget::KernelFunction
        | SectionTarget::KernelFunctions
        | SectionTarget::Syscall
        | SectionTarget::StructOps => true,
        SectionTarget::UserFunction | SectionTarget::UserFunctions | SectionTarget::Usdt => {
            places.pid.is_none()
        }
        SectionTarget::Btf => !matches!(
            def.attach_type,
            Some(AttachType::TraceRawTp | AttachType::TraceIter | AttachType::LsmCgroup)
        ),
        SectionTarget::Nothing
        | SectionTarget::Tracepoint
        | SectionTarget::RawTracepoint
        | SectionTarget::Program => false,
    }
}

/// The place of a program whose section says no more than a kind.
fn by_type(program: &Program, places: &Places) -> Result<Found, Kind> {
    let def = program.def();
    let open = |what: &str| Ok(Found::Open(what.into()));
    let Some(kind) = def.prog_type else { return open("it has no type") };
    match kind {
        ProgType::Xdp | ProgType::SchedCls => {
            let Some(ifindex) = places.ifindex else { return open("it needs an interface") };
            Ok(match (kind, def.attach_type) {
                (ProgType::Xdp, Some(AttachType::XdpDevmap | AttachType::XdpCpumap)) => {
                    return open("it belongs into an element of a map");
                }
                (ProgType::Xdp, _) => at(Xdp::new(ifindex)),
                (_, Some(AttachType::TcxEgress)) => at(Tcx::egress(ifindex)),
                (_, Some(AttachType::NetkitPrimary)) => at(Tcx::netkit_primary(ifindex)),
                (_, Some(AttachType::NetkitPeer)) => at(Tcx::netkit_peer(ifindex)),
                _ => at(Tcx::ingress(ifindex)),
            })
        }
        ProgType::SkLookup | ProgType::FlowDissector => Ok(at(NetNamespace::current()?)),
        ProgType::CgroupSkb
        | ProgType::CgroupSock
        | ProgType::CgroupSockAddr
        | ProgType::CgroupSockopt
        | ProgType::CgroupSysctl
        | ProgType::CgroupDevice
        | ProgType::SockOps
        | ProgType::Lsm => {
            let Some(cgroup) = &places.cgroup else { return open("it needs a cgroup") };
            match cgroup.hook_of(program) {
                Ok(_) => Ok(at(cgroup.clone())),
                Err(reason) => open(&reason.to_string()),
            }
        }
        ProgType::SkMsg | ProgType::SkSkb => open("it belongs to the sockets of a map"),
        ProgType::SocketFilter | ProgType::SkReuseport => open("it belongs to a socket"),
        ProgType::PerfEvent => open("its section does not say which event"),
        ProgType::Netfilter => open("its section does not say which packets"),
        ProgType::Syscall => open("it runs when it is called"),
        _ => open("its section does not say where"),
    }
}

/// `FILE:WHAT`.
fn split_file(name: &str) -> Option<(&str, &str)> {
    name.split_once(':').filter(|(file, what)| !file.is_empty() && !what.is_empty())
}

/// `NAME`, `NAME+0x10`, `NAME+16`.
fn split_offset(text: &str) -> Result<(&str, u64), Kind> {
    match text.split_once('+') {
        None => Ok((text, 0)),
        Some((name, offset)) => match number(offset) {
            Some(offset) => Ok((name, offset)),
            None => Err(Kind::Missing(format!("{offset:?} is no offset"))),
        },
    }
}

/// A function, with an offset or without, or an offset in the file alone.
fn user_spot(text: &str) -> Result<Spot, Kind> {
    if let Some(offset) = number(text) {
        return Ok(Spot::Offset(offset));
    }
    let (name, offset) = split_offset(text)?;
    Ok(Spot::Function(name.to_owned(), offset))
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_probed_is_named_as_in_libbpf() {
        assert_eq!(split_file("libc.so.6:malloc"), Some(("libc.so.6", "malloc")));
        assert_eq!(split_file("/usr/bin/bash"), None);
        assert_eq!(split_offset("do_unlinkat+0x10"), Ok(("do_unlinkat", 16)));
        assert!(split_offset("do_unlinkat+x").is_err());
        assert_eq!(user_spot("0x4000"), Ok(Spot::Offset(0x4000)));
        assert_eq!(user_spot("malloc+4"), Ok(Spot::Function("malloc".into(), 4)));
    }
}
