//! What a loader leaves out of what it gives the kernel, because its own probes fail for
//! want of capabilities.
//!
//! libbpf asks for each feature by trying it. Without CAP_BPF it cannot load types, and
//! goes on without; without CAP_PERFMON its probe for `bpf_probe_read_kernel` fails, and it
//! calls the older helper; without CAP_NET_ADMIN it believes in a kernel that knows no
//! attach types. Counterparts: `feat_*` of libbpf's `features.c`,
//! `bpf_object__sanitize_prog`, `libbpf_prepare_prog_load`.

use skep::abi::{AttachType, Capabilities, SectionFlags};
use skep::isa::{Callee, Insn, decode_at};
use skep::load::{Linked, Loader};

use super::judge::holds;

/// The newer helpers and the older one that stands for each.
const OLDER: [(u32, u32); 4] = [(112, 4), (113, 4), (114, 45), (115, 45)];

/// Leaves out what the loader would. Gives whether anything was.
pub fn leave_out(linked: &mut Linked, loader: Loader, caps: Capabilities) -> bool {
    if loader != Loader::Libbpf || holds(caps, Capabilities::all()) {
        return false;
    }
    let bpf = holds(caps, Capabilities::BPF);
    let reads = bpf && holds(caps, Capabilities::PERFMON);
    let attaches = bpf && holds(caps, Capabilities::NET_ADMIN);
    if !bpf {
        linked.btf = None;
    }
    for program in &mut linked.programs {
        if !bpf {
            program.func_info.clear();
            program.line_info.clear();
        }
        if !reads {
            older_helpers(&mut program.insns);
        }
        let is_optional = program
            .def
            .section_def
            .is_some_and(|def| def.flags.contains(SectionFlags::ATTACH_TYPE_OPTIONAL));
        if !attaches && is_optional {
            program.def.attach_type = AttachType::from_number(0);
        }
    }
    true
}

fn older_helpers(insns: &mut [skep::isa::Slot]) {
    for at in 0..insns.len() {
        if let Ok(Insn::Call(Callee::Helper(number))) = decode_at(insns, at)
            && let Some((_, older)) = OLDER.iter().find(|(newer, _)| *newer == number)
        {
            insns[at].imm = *older as i32;
        }
    }
}
