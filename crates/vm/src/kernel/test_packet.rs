//! TEST_RUN of programs on packets.

use skep_abi::limits::MAX_XDP_BATCH;
use std::sync::Arc;

use skep_abi::AttachType;
use skep_abi::context::{SKB_TAKEN, at};
use skep_abi::flags::test_run::{CHECKSUM_COMPLETE, LIVE_FRAMES};
use skep_sys::{Errno, TestRun};

use super::test_run::{PAGE, context_in, finish, finish_context, long, put, repeat, word};
use crate::contexts::skb::{self, Skb, SkbAccess};
use crate::contexts::xdp;
use crate::engine::workspaces::{Place, Workspace};
use crate::kernel::input;
use crate::kernel::vm::Vm;
use crate::objects::program::Program;

/// Bytes of `struct xdp_md`.
const XDP_MD: usize = at::xdp::SIZE_OF as usize;
/// Bytes of `struct __sk_buff`.
const SK_BUFF: usize = at::skb::SIZE_OF as usize;
/// What Linux keeps in the page of a live frame (`struct xdp_page_head`).
const PAGE_HEAD: usize = 112;
/// Bytes before the packet of a socket buffer.
const SKB_HEADROOM: usize = 64;

pub(super) fn run_xdp(
    vm: &Vm,
    program: &Arc<Program>,
    attr: &mut TestRun<'_>,
) -> Result<u32, Errno> {
    let expected = AttachType::from_number(program.expected_attach_type);
    if matches!(expected, Some(AttachType::XdpDevmap | AttachType::XdpCpumap)) {
        return Err(Errno::EINVAL);
    }
    let live = attr.flags & LIVE_FRAMES != 0;
    if attr.flags & !LIVE_FRAMES != 0 || (!live && attr.batch_size != 0) {
        return Err(Errno::EINVAL);
    }
    if attr.batch_size > MAX_XDP_BATCH {
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
    let mut workspace = Workspace::new(&vm.machine, Place::Xdp)?;
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

pub(super) fn run_skb(
    vm: &Vm,
    program: &Arc<Program>,
    attr: &mut TestRun<'_>,
) -> Result<u32, Errno> {
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
    let link = access.sees_link() && access != SkbAccess::SocketFilter;
    let mut workspace = Workspace::new(&vm.machine, Place::Skb)?;
    let skb = workspace.skb()?;
    skb.fill(packet, access, link);
    if context.as_ref().is_some_and(|context| word(context, at::skb::IFINDEX) > 1) {
        return Err(Errno::ENODEV);
    }
    check_network_header(skb, size - skb::ETH_HLEN)?;
    skb.set_test_socket();
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
