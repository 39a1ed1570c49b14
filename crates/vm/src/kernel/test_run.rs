//! PROG_TEST_RUN, as `net/bpf/test_run.c` does it: the same limits, contexts and
//! packet layout.

use std::sync::Arc;
use std::time::Instant;

use skep_abi::context::{SKB_TAKEN, at};
use skep_abi::{AttachType, Diagnostic, ProgType, Trap};
use skep_sys::{Errno, TestRun};

use super::input;
use super::vm::Vm;
use crate::contexts::skb::{self, Skb, SkbAccess};
use crate::contexts::xdp;
use crate::engine::workspaces::{Place, Workspace};
use crate::kfuncs;
use crate::memory::value::Value;
use crate::objects::program::Program;
use crate::run::Outcome;

/// A page, which bounds packet and rooms together.
const PAGE: usize = 4096;
/// Bytes of `struct xdp_md`.
const XDP_MD: usize = at::xdp::SIZE_OF as usize;
/// Bytes of `struct __sk_buff`.
const SK_BUFF: usize = at::skb::SIZE_OF as usize;
/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
const LIVE_FRAMES: u32 = 1 << 1;
/// Most live frames in flight (`TEST_XDP_MAX_BATCH`).
const MAX_BATCH: u32 = 256;
/// What Linux keeps in the page of a live frame (`struct xdp_page_head`).
const PAGE_HEAD: usize = 112;
/// Bytes before the packet of a socket buffer.
const SKB_HEADROOM: usize = 64;

pub(super) fn run(vm: &Vm, attr: &mut TestRun<'_>) -> Result<u32, Errno> {
    if (attr.ctx_size_in == 0) != attr.ctx_in.is_none()
        || (attr.ctx_size_out == 0) != attr.ctx_out.is_null()
    {
        return Err(Errno::EINVAL);
    }
    let program = vm.objects().prog(attr.prog_fd)?;
    if let Some(missing) = kfuncs::missing(&program) {
        let message = missing.to_string();
        attr.diagnostic = Some(Diagnostic { pc: Some(missing.pc), message, trap: None });
        return Err(Errno::ENOTSUPP);
    }
    match program.prog_type {
        ProgType::Xdp => run_xdp(vm, &program, attr),
        ProgType::SocketFilter | ProgType::SchedCls | ProgType::SchedAct => {
            run_skb(vm, &program, attr)
        }
        _ => Err(Errno::ENOTSUPP),
    }
}

/// The context of the caller, cut or filled to `size` bytes; `None` without one.
fn context_in(attr: &TestRun<'_>, size: usize) -> Result<Option<Vec<u8>>, Errno> {
    if attr.ctx_in.is_none() && attr.ctx_out.is_null() {
        return Ok(None);
    }
    let mut context = vec![0; size];
    if attr.ctx_in.is_some() {
        let given = attr.ctx_size_in as usize;
        if given > PAGE {
            return Err(Errno::E2BIG);
        }
        if given > size && input(&attr.ctx_in, given)?[size..].iter().any(|&byte| byte != 0) {
            return Err(Errno::E2BIG);
        }
        let len = given.min(size);
        context[..len].copy_from_slice(input(&attr.ctx_in, len)?);
    }
    Ok(Some(context))
}

fn word(context: &[u8], offset: u32) -> u32 {
    context[offset as usize..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
}

fn long(context: &[u8], offset: u32) -> u64 {
    context[offset as usize..].first_chunk().copied().map_or(0, u64::from_ne_bytes)
}

/// Writes a field.
fn put<const N: usize>(context: &mut [u8], offset: u32, bytes: [u8; N]) {
    context[offset as usize..][..N].copy_from_slice(&bytes);
}

/// Runs as often as the caller wants and fills in what the last run returned.
fn repeat(
    vm: &Vm,
    workspace: &mut Workspace<'_>,
    program: &Arc<Program>,
    attr: &mut TestRun<'_>,
    size: u32,
) -> Result<(), Errno> {
    let times = attr.repeat.max(1);
    let started = Instant::now();
    let mut fail = |message: String, trap: Option<Trap>, errno: Errno| {
        let pc = trap.as_ref().map(|trap| trap.pc);
        attr.diagnostic = Some(Diagnostic { pc, message, trap });
        Err(errno)
    };
    let arguments = [Value::context(size), Value::UNINIT];
    match workspace.run(vm.machine.how(), program, arguments, None, times) {
        Ok(Outcome::Returned(bits)) => attr.retval = bits as u32,
        Ok(Outcome::Trapped(trap)) => return fail(trap.to_string(), Some(trap), Errno::EFAULT),
        Ok(Outcome::OutOfBudget) => {
            let message = "the budget of instructions is used up".to_owned();
            return fail(message, None, Errno::ETIMEDOUT);
        }
        Err(why) => return fail(why.to_string(), None, Errno::EBUSY),
    }
    let mean = started.elapsed().as_nanos() / u128::from(times);
    attr.duration = u32::try_from(mean).unwrap_or(u32::MAX);
    Ok(())
}

/// `bpf_test_finish`: the packet, its size and the verdict.
fn finish(attr: &mut TestRun<'_>, retval: u32, duration: u32, packet: &[u8]) -> Result<(), Errno> {
    let room = match attr.data_size_out as usize {
        0 => packet.len(),
        room => room.min(packet.len()),
    };
    let cut = room < packet.len();
    if !attr.data_out.is_null() && attr.data_out.write(0, &packet[..room]).is_err() {
        return Err(if cut { Errno::ENOSPC } else { Errno::EFAULT });
    }
    attr.data_size_out = packet.len() as u32;
    attr.retval = retval;
    attr.duration = duration;
    if cut { Err(Errno::ENOSPC) } else { Ok(()) }
}

/// `bpf_ctx_finish`.
fn finish_context(attr: &mut TestRun<'_>, context: Option<&[u8]>) -> Result<(), Errno> {
    let Some(context) = context.filter(|_| !attr.ctx_out.is_null()) else { return Ok(()) };
    let room = (attr.ctx_size_out as usize).min(context.len());
    let cut = room < context.len();
    if attr.ctx_out.write(0, &context[..room]).is_err() {
        return Err(if cut { Errno::ENOSPC } else { Errno::EFAULT });
    }
    attr.ctx_size_out = context.len() as u32;
    if cut { Err(Errno::ENOSPC) } else { Ok(()) }
}

fn run_xdp(vm: &Vm, program: &Arc<Program>, attr: &mut TestRun<'_>) -> Result<u32, Errno> {
    let expected = AttachType::from_number(program.expected_attach_type);
    if matches!(expected, Some(AttachType::XdpDevmap | AttachType::XdpCpumap)) {
        return Err(Errno::EINVAL);
    }
    let live = attr.flags & LIVE_FRAMES != 0;
    if attr.flags & !LIVE_FRAMES != 0 || (!live && attr.batch_size != 0) {
        return Err(Errno::EINVAL);
    }
    if attr.batch_size > MAX_BATCH {
        return Err(Errno::E2BIG);
    }
    let mut context = context_in(attr, XDP_MD)?;
    let mut metadata = 0;
    let mut linear = attr.data_size_in as usize;
    if let Some(md) = &context {
        let (data, data_end, data_meta) =
            (word(md, at::xdp::DATA), word(md, at::xdp::DATA_END), word(md, at::xdp::DATA_META));
        let wants_results = !attr.data_out.is_null() || !attr.ctx_out.is_null();
        if data_meta != 0
            || data_end > attr.data_size_in
            || data > data_end
            || (live && wants_results)
        {
            return Err(Errno::EINVAL);
        }
        metadata = data as usize;
        if metadata % 4 != 0 || metadata > 252 || metadata > xdp::HEADROOM - 40 {
            return Err(Errno::EINVAL);
        }
        linear = data_end as usize;
    }
    let page_head = if live { PAGE_HEAD } else { 0 };
    let most = PAGE - page_head - (xdp::HEADROOM - metadata) - xdp::TAIL_RESERVE;
    linear = linear.min(most);
    if live && attr.data_size_in as usize > linear {
        return Err(Errno::EINVAL);
    }
    if (attr.data_size_in as usize) < metadata + skb::ETH_HLEN {
        return Err(Errno::EINVAL);
    }
    input(&attr.data_in, linear)?;
    if let Some(md) = &context {
        let (ingress, queue, egress) = (
            word(md, at::xdp::INGRESS_IFINDEX),
            word(md, at::xdp::RX_QUEUE_INDEX),
            word(md, at::xdp::EGRESS_IFINDEX),
        );
        if egress != 0 || (ingress == 0 && queue != 0) {
            return Err(Errno::EINVAL);
        }
        // There is one interface here, `lo`, with one queue; its queues take no XDP.
        match ingress {
            0 => {}
            1 => return Err(Errno::EINVAL),
            _ => return Err(Errno::ENODEV),
        }
    }
    // What lies beyond the linear part would be fragments, which programs do not see
    // here; they come back unchanged behind the packet.
    let whole = input(&attr.data_in, attr.data_size_in as usize)?;
    let (packet, rest) = (&whole[..linear], whole[linear..].to_vec());
    let mut workspace = Workspace::new(&vm.machine, Place::Xdp);
    workspace.xdp()?.fill(packet, metadata);
    repeat(vm, &mut workspace, program, attr, XDP_MD as u32)?;
    let xdp = workspace.xdp()?;
    if live {
        // The frames went where the program sent them; here that is nowhere.
        attr.retval = 0;
        xdp.fill(input(&attr.data_in, linear)?, metadata);
    }

    if let Some(md) = &mut context {
        let metadata = xdp.frame.metadata_len() as u32;
        md[0..4].copy_from_slice(&metadata.to_ne_bytes());
        md[4..8].copy_from_slice(&(metadata + xdp.frame.len() as u32).to_ne_bytes());
    }
    let mut whole = xdp.frame.bytes_with_metadata().to_vec();
    whole.extend_from_slice(&rest);
    finish(attr, attr.retval, attr.duration, &whole)?;
    finish_context(attr, context.as_deref())?;
    Ok(0)
}

fn run_skb(vm: &Vm, program: &Arc<Program>, attr: &mut TestRun<'_>) -> Result<u32, Errno> {
    const CHECKSUM_COMPLETE: u32 = 1 << 2;
    if attr.flags & !CHECKSUM_COMPLETE != 0 || attr.cpu != 0 || attr.batch_size != 0 {
        return Err(Errno::EINVAL);
    }
    let size = attr.data_size_in as usize;
    let takes = skb::ETH_HLEN..=PAGE - SKB_HEADROOM - xdp::TAIL_RESERVE;
    if !takes.contains(&size) {
        return Err(Errno::EINVAL);
    }
    let packet = input(&attr.data_in, size)?;
    let mut context = context_in(attr, SK_BUFF)?;
    let access = SkbAccess::of(program.prog_type).ok_or(Errno::ENOTSUPP)?;
    let link = access == SkbAccess::Tc;
    let mut workspace = Workspace::new(&vm.machine, Place::Skb);
    let skb = workspace.skb()?;
    skb.fill(packet, access, link);
    if context.as_ref().is_some_and(|context| word(context, at::skb::IFINDEX) > 1) {
        return Err(Errno::ENODEV);
    }
    check_network_header(skb, size - skb::ETH_HLEN)?;
    if let Some(given) = &context {
        take_context(skb, given)?;
    }
    repeat(vm, &mut workspace, program, attr, SK_BUFF as u32)?;

    let skb = workspace.skb()?;
    if let Some(context) = &mut context {
        give_context(skb, context);
    }
    let mut whole = Vec::with_capacity(skb.len() + skb::ETH_HLEN);
    if !link {
        // Linux puts a header of zeros where it took one away.
        whole.extend_from_slice(&[0; skb::ETH_HLEN]);
    }
    whole.extend_from_slice(skb.frame.bytes());
    finish(attr, attr.retval, attr.duration, &whole)?;
    finish_context(attr, context.as_deref())?;
    Ok(0)
}

/// An IP packet must hold its whole fixed header.
fn check_network_header(skb: &Skb, payload: usize) -> Result<(), Errno> {
    let shortest = match u16::from_be(skb.fields.protocol) {
        0x0800 => 20,
        0x86dd => 40,
        _ => 0,
    };
    if payload < shortest { Err(Errno::EINVAL) } else { Ok(()) }
}

/// `convert___skb_to_skb`.
fn take_context(skb: &mut Skb, context: &[u8]) -> Result<(), Errno> {
    const MAX_WIRE_LEN: u32 = 65536;
    const MAX_SEGS: u32 = 65535;
    let taken = |at: u32| SKB_TAKEN.iter().any(|&(start, len)| (start..start + len).contains(&at));
    if (0..).zip(context).any(|(at, &byte)| byte != 0 && !taken(at)) {
        return Err(Errno::EINVAL);
    }
    skb.fields.mark = word(context, at::skb::MARK);
    skb.fields.priority = word(context, at::skb::PRIORITY);
    skb.fields.ingress_ifindex = word(context, at::skb::INGRESS_IFINDEX);
    skb.fields.tstamp = long(context, at::skb::TSTAMP);
    let cb = &context[at::skb::CB as usize..];
    skb.fields.cb = cb.first_chunk().copied().unwrap_or_default();
    skb.fields.wire_len = match word(context, at::skb::WIRE_LEN) {
        0 => skb.len() as u32,
        len if len < skb.len() as u32 || len > MAX_WIRE_LEN => return Err(Errno::EINVAL),
        len => len,
    };
    skb.fields.gso_segs = word(context, at::skb::GSO_SEGS);
    if skb.fields.gso_segs > MAX_SEGS {
        return Err(Errno::EINVAL);
    }
    skb.fields.gso_size = word(context, at::skb::GSO_SIZE);
    skb.fields.hwtstamp = long(context, at::skb::HWTSTAMP);
    Ok(())
}

/// `convert_skb_to___skb`.
fn give_context(skb: &mut Skb, context: &mut [u8]) {
    for (offset, field) in [
        (at::skb::MARK, skb.fields.mark),
        (at::skb::PRIORITY, skb.fields.priority),
        (at::skb::INGRESS_IFINDEX, skb.fields.ingress_ifindex),
        (at::skb::IFINDEX, skb.fields.ifindex),
        (at::skb::WIRE_LEN, skb.fields.wire_len),
        (at::skb::GSO_SEGS, skb.fields.gso_segs),
    ] {
        put(context, offset, field.to_ne_bytes());
    }
    put(context, at::skb::CB, skb.fields.cb);
    put(context, at::skb::TSTAMP, skb.fields.tstamp.to_ne_bytes());
    put(context, at::skb::HWTSTAMP, skb.fields.hwtstamp.to_ne_bytes());
}
