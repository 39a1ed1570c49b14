//! One run of a program of any type on an event: a context as the program sees it, with all that
//! came with it. What Linux's TEST_RUN has rules for stands in `kernel::test_run`; here any
//! context goes.

use skep_abi::limits::FLOW_KEYS;
use std::sync::Arc;

use skep_abi::context::{at, memory};
use skep_abi::{AttachType, Errno, ProgType};
use skep_btf::{Btf, Type};
use skep_isa::Insn;
use skep_verify::Region as Reached;

use super::iterate;
use super::machine::Machine;
use super::runner::Scene;
use super::workspaces::{Place, Workspace};
use crate::contexts::plain::{Filling, Plain};
use crate::contexts::skb::{self, Skb, SkbAccess};
use crate::memory::packet::PacketMemory;
use crate::memory::value::{Kind, Value};
use crate::objects::program::Program;
use crate::run::Outcome;
use crate::run::vcpus::NoVcpu;
use crate::run::world::{Call, World};

/// What a program runs on.
#[derive(Clone, Default)]
pub(crate) struct Event<'e> {
    /// The context as the program sees it; what is missing is 0.
    pub context: &'e [u8],
    /// The packet, message or option.
    pub data: &'e [u8],
    /// The fields of the socket that it belongs to (`struct bpf_sock`).
    pub socket: Option<&'e [u8]>,
    /// The time.
    pub time: Option<u64>,
    /// The vCPU.
    pub cpu: Option<u32>,
    /// The world.
    pub world: Option<Arc<World>>,
    /// How it was called.
    pub call: Call,
    /// Runs in a row.
    pub times: u32,
}

/// What came of it.
pub(crate) struct After {
    pub outcome: Outcome,
    /// The context as the program left it, as many bytes as the program can see.
    pub context: Vec<u8>,
    /// The packet, message or option as it was left.
    pub data: Vec<u8>,
    /// What a cgroup's call would return (`bpf_set_retval`).
    pub retval: i32,
}

/// Why a program was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such context, or it does not fit.
    Context(Errno),
    /// There is no vCPU.
    Vcpu(NoVcpu),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Refused {
        Refused::Context(errno)
    }
}

impl From<NoVcpu> for Refused {
    fn from(why: NoVcpu) -> Refused {
        Refused::Vcpu(why)
    }
}

/// The frame of a packet that nobody gave: as long as the shortest that Ethernet has.
const EMPTY_FRAME: [u8; 64] = [0; 64];

/// Bytes of the context, from its start, that a program reaches (`max_ctx_offset`).
pub(crate) fn reaches(program: &Program) -> u32 {
    let Some(proof) = &program.proof else { return 0 };
    let facts = proof.verified.facts();
    let end = |(pc, insn): (u32, &Insn)| {
        let (off, size) = match *insn {
            Insn::Load { off, size, .. }
            | Insn::Store { off, size, .. }
            | Insn::Atomic { off, size, .. }
            | Insn::LoadAcquire { off, size, .. }
            | Insn::StoreRelease { off, size, .. } => (off, size),
            _ => return 0,
        };
        let context = facts.at(pc).region == Reached::Context;
        u32::try_from(off).map_or(0, |off| if context { off + size.bytes() } else { 0 })
    };
    (0..).zip(&program.insns).map(end).max().unwrap_or(0)
}

/// How the function is called that a program is attached to; none for other programs.
pub(crate) fn call_of(program: &Program, types: Option<&Btf>) -> Call {
    let attach = AttachType::from_number(program.expected_attach_type);
    let function = matches!(program.prog_type, ProgType::Lsm)
        || matches!(
            attach,
            Some(AttachType::TraceFentry | AttachType::TraceFexit | AttachType::ModifyReturn)
        );
    let id = program.proof.as_ref().map_or(0, |proof| proof.verified.program().attach_btf_id);
    let found = types.filter(|_| function && id != 0).and_then(|btf| {
        let Ok(Type::Func { proto, .. }) = btf.type_by_id(id) else { return None };
        let Ok(Type::FuncProto(proto)) = btf.type_by_id(proto) else { return None };
        let words = proto.params.iter().map(|param| {
            btf.size_of(param.type_id).unwrap_or(8).div_ceil(memory::WORD.into()) as u32
        });
        Some(words.sum())
    });
    let returned = program.prog_type == ProgType::Lsm
        || matches!(attach, Some(AttachType::TraceFexit | AttachType::ModifyReturn));
    Call { arguments: found.unwrap_or(0), returned: found.is_some() && returned, ..Call::default() }
}

/// Runs a program on an event.
///
/// # Errors
/// `ENOTSUPP` for a type that runs on nothing here, `E2BIG` for a context that is larger than
/// any of its type; no vCPU.
pub(crate) fn run(
    machine: &Machine,
    program: &Arc<Program>,
    event: &Event<'_>,
) -> Result<After, Refused> {
    let kind = program.prog_type;
    let attach = AttachType::from_number(program.expected_attach_type);
    match kind {
        // Its context is made of pointers to what an iterator walks over.
        ProgType::Tracing if attach == Some(AttachType::TraceIter) => {
            iterate::run(machine, program, event)
        }
        ProgType::Netfilter => on_hook_state(machine, program, event),
        _ if most_bytes(kind).is_some() => on_memory(machine, program, event),
        ProgType::Xdp => on_frame(machine, program, event),
        _ if SkbAccess::of(kind).is_some() => on_skb(machine, program, event),
        _ if Plain::is_for(kind) => on_fields(machine, program, event),
        _ => Err(Errno::ENOTSUPP.into()),
    }
}

pub(super) fn scene(event: &Event<'_>) -> Scene {
    Scene {
        memory: None,
        time: event.time,
        world: event.world.clone(),
        call: event.call,
        cpu: event.cpu,
        sequence: None,
    }
}

/// Bytes that a context which is memory has at most.
fn most_bytes(kind: ProgType) -> Option<u32> {
    match kind {
        // The arguments of the function that it stands for.
        ProgType::StructOps => Some(memory::MOST_ARGUMENTS * memory::WORD),
        kind => memory::most_bytes(kind),
    }
}

fn on_memory(
    machine: &Machine,
    program: &Arc<Program>,
    event: &Event<'_>,
) -> Result<After, Refused> {
    let most = most_bytes(program.prog_type).ok_or(Errno::ENOTSUPP)?;
    let given = u32::try_from(event.context.len()).unwrap_or(u32::MAX);
    if given > most {
        return Err(Errno::E2BIG.into());
    }
    let size = match program.prog_type {
        // As long as it has to be: what lies behind it is nobody's.
        ProgType::Tracepoint | ProgType::Syscall => given.max(reaches(program)),
        _ => most,
    } as usize;
    let mut bytes = PacketMemory::new(size);
    bytes.bytes_mut(0, event.context.len()).copy_from_slice(event.context);
    let writable = matches!(program.prog_type, ProgType::Syscall);
    let region = bytes.region(0, size, writable).with_kind(Kind::Memory);
    let scene = Scene { memory: Some(region), ..scene(event) };
    let mut workspace = Workspace::new(machine, Place::Nothing)?;
    let arguments = [region.pointer(0), Value::UNINIT];
    let (outcome, call) =
        workspace.run(machine.how(), program, arguments, scene, event.times.max(1))?;
    let context = bytes.bytes(0, size).to_vec();
    Ok(After { outcome, context, data: event.data.to_vec(), retval: call.retval })
}

/// A netfilter hook: two pointers, to its state, which is what the context given is
/// (`struct nf_hook_state`), and to a packet, which leads nowhere.
fn on_hook_state(
    machine: &Machine,
    program: &Arc<Program>,
    event: &Event<'_>,
) -> Result<After, Refused> {
    /// Bytes of `struct nf_hook_state`.
    const STATE: usize = 48;
    /// Where both would be.
    const STATE_ADDRESS: u64 = 0xffff_8880_4e46_0000;
    const PACKET_ADDRESS: u64 = 0xffff_8880_4e47_0000;
    if event.context.len() > STATE {
        return Err(Errno::E2BIG.into());
    }
    let mut state = event.context.to_vec();
    state.resize(STATE, 0);
    let mut world = event.world.as_deref().cloned().unwrap_or_default();
    world.memory.push(crate::run::world::Captured { address: STATE_ADDRESS, bytes: state.clone() });
    let bytes = [STATE_ADDRESS.to_ne_bytes(), PACKET_ADDRESS.to_ne_bytes()].concat();
    let mut context = PacketMemory::new(at::netfilter::SIZE_OF as usize);
    context.bytes_mut(0, bytes.len()).copy_from_slice(&bytes);
    let region = context.region(0, bytes.len(), false).with_kind(Kind::Memory);
    let scene = Scene { memory: Some(region), world: Some(Arc::new(world)), ..scene(event) };
    let mut workspace = Workspace::new(machine, Place::Nothing)?;
    let arguments = [region.pointer(0), Value::UNINIT];
    let (outcome, call) =
        workspace.run(machine.how(), program, arguments, scene, event.times.max(1))?;
    Ok(After { outcome, context: state, data: event.data.to_vec(), retval: call.retval })
}

fn frame_of<'e>(event: &Event<'e>) -> Result<&'e [u8], Errno> {
    match event.data.len() {
        0 => Ok(&EMPTY_FRAME),
        len if len < skb::ETH_HLEN => Err(Errno::EINVAL),
        _ => Ok(event.data),
    }
}

fn word(context: &[u8], offset: u32) -> u32 {
    let bytes = context.get(offset as usize..).and_then(|rest| rest.first_chunk());
    bytes.copied().map_or(0, u32::from_ne_bytes)
}

fn on_frame(
    machine: &Machine,
    program: &Arc<Program>,
    event: &Event<'_>,
) -> Result<After, Refused> {
    if event.context.len() > at::xdp::SIZE_OF as usize {
        return Err(Errno::E2BIG.into());
    }
    let mut workspace = Workspace::new(machine, Place::Xdp)?;
    let xdp = workspace.xdp()?;
    xdp.fill(frame_of(event)?, 0);
    xdp.ingress_ifindex = word(event.context, at::xdp::INGRESS_IFINDEX).max(1);
    xdp.rx_queue_index = word(event.context, at::xdp::RX_QUEUE_INDEX);
    xdp.egress_ifindex = word(event.context, at::xdp::EGRESS_IFINDEX);
    let arguments = [Value::context(at::xdp::SIZE_OF), Value::UNINIT];
    let ran = workspace.run(machine.how(), program, arguments, scene(event), event.times.max(1));
    let xdp = workspace.xdp()?;
    let data = xdp.frame.bytes().to_vec();
    // The next frame may come from anywhere.
    (xdp.ingress_ifindex, xdp.rx_queue_index, xdp.egress_ifindex) = (1, 0, 0);
    let (outcome, call) = ran?;
    Ok(After { outcome, context: event.context.to_vec(), data, retval: call.retval })
}

fn on_skb(machine: &Machine, program: &Arc<Program>, event: &Event<'_>) -> Result<After, Refused> {
    if event.context.len() > at::skb::SIZE_OF as usize {
        return Err(Errno::E2BIG.into());
    }
    let access = SkbAccess::of(program.prog_type).ok_or(Errno::ENOTSUPP)?;
    let mut workspace = Workspace::new(machine, Place::Skb)?;
    let skb = workspace.skb()?;
    skb.fill(frame_of(event)?, access, access.sees_link());
    skb.take_fields(event.context);
    skb.at_ingress = true;
    if let Some(socket) = event.socket {
        skb.set_socket(socket);
    }
    let arguments = [Value::context(at::skb::SIZE_OF), Value::UNINIT];
    let ran = workspace.run(machine.how(), program, arguments, scene(event), event.times.max(1));
    let skb: &mut Skb = workspace.skb()?;
    let mut context = event.context.to_vec();
    context.resize(at::skb::SIZE_OF as usize, 0);
    skb.give_fields(&mut context);
    let data = skb.frame.bytes().to_vec();
    let (outcome, call) = ran?;
    Ok(After { outcome, context, data, retval: call.retval })
}

fn on_fields(
    machine: &Machine,
    program: &Arc<Program>,
    event: &Event<'_>,
) -> Result<After, Refused> {
    let place = Place::Plain(program.prog_type, program.expected_attach_type);
    let mut workspace = Workspace::new(machine, place)?;
    let plain = workspace.plain()?;
    let size = plain.size();
    if event.context.len() > size as usize {
        return Err(Errno::E2BIG.into());
    }
    plain.fill(Filling { fields: event.context, data: event.data, socket: event.socket });
    if program.prog_type == ProgType::FlowDissector && event.data.len() >= skb::ETH_HLEN {
        plain.keys().copy_from_slice(&first_keys(event.data, 0));
    }
    let arguments = [Value::context(size), Value::UNINIT];
    let ran = workspace.run(machine.how(), program, arguments, scene(event), event.times.max(1));
    let plain = workspace.plain()?;
    let (context, data) = (plain.bytes().to_vec(), plain.data().to_vec());
    let (outcome, call) = ran?;
    Ok(After { outcome, context, data, retval: call.retval })
}

/// The keys of a flow before it is dissected (`bpf_flow_dissect`).
pub(crate) fn first_keys(frame: &[u8], flags: u32) -> [u8; FLOW_KEYS] {
    let mut keys = [0; FLOW_KEYS];
    let header = skb::ETH_HLEN as u16;
    keys[0..2].copy_from_slice(&header.to_ne_bytes());
    keys[2..4].copy_from_slice(&header.to_ne_bytes());
    keys[10..12].copy_from_slice(&frame[12..14]);
    keys[48..52].copy_from_slice(&flags.to_ne_bytes());
    keys
}
