//! Helpers on packets: of XDP frames and of socket buffers.

use skep_abi::helper::id;
use skep_abi::{Errno, MapType};
use skep_isa::Reg;
use skep_maps::mem::bytes::Bytes;

use super::checksum::{difference, fold_difference};
use super::{Function, failure, status};
use crate::contexts::skb::Skb;
use crate::contexts::xdp::Xdp;
use crate::memory::value::{Kind, Value};
use crate::run::network::{Redirect, Way};
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::SKB_STORE_BYTES, skb_store_bytes),
    (id::L3_CSUM_REPLACE, l3_csum_replace),
    (id::L4_CSUM_REPLACE, l4_csum_replace),
    (id::SKB_VLAN_PUSH, skb_vlan_push),
    (id::SKB_VLAN_POP, skb_vlan_pop),
    (id::SKB_LOAD_BYTES, skb_load_bytes),
    (id::CSUM_DIFF, csum_diff),
    (id::SKB_CHANGE_TYPE, skb_change_type),
    (id::SKB_CHANGE_TAIL, skb_change_tail),
    (id::SKB_PULL_DATA, skb_pull_data),
    (id::CSUM_UPDATE, csum_update),
    (id::SET_HASH_INVALID, set_hash_invalid),
    (id::SKB_CHANGE_HEAD, skb_change_head),
    (id::XDP_ADJUST_HEAD, xdp_adjust_head),
    (id::SET_HASH, set_hash),
    (id::REDIRECT_MAP, redirect_map),
    (id::XDP_ADJUST_META, xdp_adjust_meta),
    (id::XDP_ADJUST_TAIL, xdp_adjust_tail),
    (id::SKB_LOAD_BYTES_RELATIVE, skb_load_bytes_relative),
    (id::XDP_GET_BUFF_LEN, xdp_get_buff_len),
    (id::XDP_LOAD_BYTES, xdp_load_bytes),
    (id::XDP_STORE_BYTES, xdp_store_bytes),
];

impl Run<'_> {
    pub(super) fn context_argument(&self, helper: &'static str) -> Result<(), Stop> {
        match self.read(Reg::R1)? {
            value if value.kind() == Kind::Context && value.offset() == 0 => Ok(()),
            _ => Err(self.bad_argument(helper, 1, "is no context")),
        }
    }

    pub(super) fn xdp_argument(&mut self, helper: &'static str) -> Result<&mut Xdp, Stop> {
        self.context_argument(helper)?;
        let missing = self.bad_argument(helper, 1, "is no XDP context");
        self.context.xdp().ok_or(missing)
    }

    pub(super) fn skb_argument(&mut self, helper: &'static str) -> Result<&mut Skb, Stop> {
        self.context_argument(helper)?;
        let missing = self.bad_argument(helper, 1, "is no socket buffer");
        self.context.skb().ok_or(missing)
    }
}

fn xdp_adjust_head(run: &mut Run<'_>) -> Result<Value, Stop> {
    let by = run.read(Reg::R2)?.bits as i32;
    Ok(status(run.xdp_argument("bpf_xdp_adjust_head")?.adjust_head(by)))
}

fn xdp_adjust_tail(run: &mut Run<'_>) -> Result<Value, Stop> {
    let by = run.read(Reg::R2)?.bits as i32;
    Ok(status(run.xdp_argument("bpf_xdp_adjust_tail")?.adjust_tail(by)))
}

fn xdp_adjust_meta(run: &mut Run<'_>) -> Result<Value, Stop> {
    let by = run.read(Reg::R2)?.bits as i32;
    Ok(status(run.xdp_argument("bpf_xdp_adjust_meta")?.adjust_meta(by)))
}

fn xdp_get_buff_len(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(run.xdp_argument("bpf_xdp_get_buff_len")?.frame.len() as u64))
}

/// The bytes of an XDP frame that a helper names; `EFAULT` above the largest offset,
/// `EINVAL` outside of the frame.
fn xdp_range(frame: &[u8], offset: u32, len: usize) -> Result<std::ops::Range<usize>, Errno> {
    const MAX_OFFSET: usize = 0xffff;
    let (start, end) = (offset as usize, offset as usize + len);
    if start > MAX_OFFSET || len > MAX_OFFSET {
        return Err(Errno::EFAULT);
    }
    if end > frame.len() { Err(Errno::EINVAL) } else { Ok(start..end) }
}

/// Reads from an XDP frame.
pub(crate) fn load_xdp(xdp: &Xdp, offset: u32, to: &mut [u8]) -> Result<(), Errno> {
    let frame = xdp.frame.bytes();
    let range = xdp_range(frame, offset, to.len())?;
    to.copy_from_slice(&frame[range]);
    Ok(())
}

/// Writes to an XDP frame.
pub(crate) fn store_xdp(xdp: &mut Xdp, offset: u32, from: &[u8]) -> Result<(), Errno> {
    let frame = xdp.frame.bytes_mut();
    let range = xdp_range(frame, offset, from.len())?;
    frame[range].copy_from_slice(from);
    Ok(())
}

/// Reads from a socket buffer's packet, or gives zeros and `EFAULT` outside of it.
pub(crate) fn load_skb(skb: &Skb, offset: u32, to: &mut [u8]) -> Result<(), Errno> {
    let read = i32::try_from(offset).ok().and_then(|offset| skb.read(offset.into(), to));
    read.ok_or(Errno::EFAULT)
}

/// `bpf_xdp_load_bytes(xdp, offset, to, len)`.
fn xdp_load_bytes(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_xdp_load_bytes";
    let (offset, len) = (run.size_argument(Reg::R2)?, run.size_argument(Reg::R4)?);
    // The check of the target comes first: it bounds the length.
    run.writable_argument(NAME, Reg::R3, len)?;
    let mut bytes = Bytes::zeros(len as usize);
    let loaded = load_xdp(run.xdp_argument(NAME)?, offset as u32, &mut bytes);
    if loaded.is_ok() {
        run.write_argument(NAME, Reg::R3, &bytes)?;
    }
    Ok(status(loaded))
}

/// `bpf_xdp_store_bytes(xdp, offset, from, len)`.
fn xdp_store_bytes(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_xdp_store_bytes";
    let (offset, len) = (run.size_argument(Reg::R2)?, run.size_argument(Reg::R4)?);
    let bytes = run.bytes_argument(NAME, Reg::R3, len)?;
    Ok(status(store_xdp(run.xdp_argument(NAME)?, offset as u32, &bytes)))
}

/// `bpf_redirect_map(map, index, flags)`: an entry redirects; where there is none the
/// two lowest bits of the flags are the verdict.
fn redirect_map(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_redirect_map";
    const XDP_ABORTED: u64 = 0;
    const XDP_REDIRECT: u64 = 4;
    const ACTIONS: u64 = 3;
    const BROADCAST: u64 = 1 << 3;
    const EXCLUDE_INGRESS: u64 = 1 << 4;
    let map = run.map_argument(NAME, Reg::R1)?;
    let (index, flags) = (run.read(Reg::R2)?.bits, run.read(Reg::R3)?.bits);
    let known = match map.map.map_type() {
        MapType::Devmap | MapType::DevmapHash => ACTIONS | BROADCAST | EXCLUDE_INGRESS,
        MapType::Cpumap | MapType::Xskmap => ACTIONS,
        _ => return Err(run.bad_argument(NAME, 1, "is no map to redirect by")),
    };
    if flags & !known != 0 {
        return Ok(Value::scalar(XDP_ABORTED));
    }
    let way = match flags & BROADCAST {
        0 => map.has_target(index as u32).then_some(Way::Map(map.id)),
        _ => Some(Way::Each { map: map.id, others: flags & EXCLUDE_INGRESS != 0 }),
    };
    let verdict = if way.is_some() { XDP_REDIRECT } else { flags & ACTIONS };
    run.call.redirect = way.map(|way| Redirect { to: index as u32, way });
    Ok(Value::scalar(verdict))
}

/// `bpf_skb_load_bytes(skb, offset, to, len)`: outside of the packet zeros and
/// `-EFAULT`.
fn skb_load_bytes(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_skb_load_bytes";
    let (offset, len) = (run.size_argument(Reg::R2)?, run.size_argument(Reg::R4)?);
    load(run, NAME, offset as i64, len, offset <= i32::MAX as u64)
}

/// `bpf_skb_load_bytes_relative(skb, offset, to, len, start)`.
fn skb_load_bytes_relative(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_skb_load_bytes_relative";
    let (offset, len) = (run.size_argument(Reg::R2)?, run.size_argument(Reg::R4)?);
    let start = run.size_argument(Reg::R5)?;
    let skb = run.skb_argument(NAME)?;
    let header = match start {
        0 => skb.mac_offset(),
        1 => skb.network_offset(),
        _ => 0,
    };
    load(run, NAME, header + offset as i64, len, offset <= 0xffff && start <= 1)
}

fn load(
    run: &mut Run<'_>,
    name: &'static str,
    offset: i64,
    len: u64,
    valid: bool,
) -> Result<Value, Stop> {
    // The check of the target comes first: it bounds the length.
    run.writable_argument(name, Reg::R3, len)?;
    let mut bytes = Bytes::zeros(len as usize);
    let skb = run.skb_argument(name)?;
    let found = valid && skb.read(offset, &mut bytes).is_some();
    run.write_argument(name, Reg::R3, &bytes)?;
    Ok(if found { Value::scalar(0) } else { failure(Errno::EFAULT) })
}

/// `bpf_skb_store_bytes(skb, offset, from, len, flags)`.
fn skb_store_bytes(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_skb_store_bytes";
    let (offset, len) = (run.size_argument(Reg::R2)?, run.size_argument(Reg::R4)?);
    let flags = run.read(Reg::R5)?.bits;
    let bytes = run.bytes_argument(NAME, Reg::R3, len)?;
    let skb = run.skb_argument(NAME)?;
    Ok(status(store_skb(skb, offset as u32, &bytes, flags)))
}

/// What it does.
pub(crate) fn store_skb(skb: &mut Skb, offset: u32, bytes: &[u8], flags: u64) -> Result<(), Errno> {
    const RECOMPUTE_CSUM: u64 = 1;
    const INVALIDATE_HASH: u64 = 2;
    if flags & !(RECOMPUTE_CSUM | INVALIDATE_HASH) != 0 {
        return Err(Errno::EINVAL);
    }
    if offset > i32::MAX as u32 {
        return Err(Errno::EFAULT);
    }
    skb.frame.invalidate();
    let to = skb.slice_mut(offset, bytes.len()).ok_or(Errno::EFAULT)?;
    to.copy_from_slice(bytes);
    if flags & INVALIDATE_HASH != 0 {
        skb.forget_hash();
    }
    Ok(())
}

/// The checksum field that a helper names.
fn checksum_field(skb: &mut Skb, offset: u64) -> Result<&mut [u8; 2], Errno> {
    if offset > 0xffff || offset & 1 != 0 {
        return Err(Errno::EFAULT);
    }
    skb.frame.invalidate();
    skb.slice_mut(offset as u32, 2).and_then(|field| field.first_chunk_mut()).ok_or(Errno::EFAULT)
}

/// `bpf_l3_csum_replace(skb, offset, from, to, size)`.
fn l3_csum_replace(run: &mut Run<'_>) -> Result<Value, Stop> {
    let offset = run.size_argument(Reg::R2)?;
    let (from, to) = (run.read(Reg::R3)?.bits, run.read(Reg::R4)?.bits);
    let flags = run.read(Reg::R5)?.bits;
    let skb = run.skb_argument("bpf_l3_csum_replace")?;
    if flags & !0xf != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    Ok(status(checksum_field(skb, offset).and_then(|field| replace(field, from, to, flags & 0xf))))
}

/// `bpf_l4_csum_replace(skb, offset, from, to, flags)`. A pseudo header only matters
/// to a checksum that hardware computes, and there is none here.
fn l4_csum_replace(run: &mut Run<'_>) -> Result<Value, Stop> {
    const PSEUDO_HDR: u64 = 1 << 4;
    const MARK_MANGLED_0: u64 = 1 << 5;
    const MARK_ENFORCE: u64 = 1 << 6;
    const IPV6: u64 = 1 << 7;
    let offset = run.size_argument(Reg::R2)?;
    let (from, to) = (run.read(Reg::R3)?.bits, run.read(Reg::R4)?.bits);
    let flags = run.read(Reg::R5)?.bits;
    let skb = run.skb_argument("bpf_l4_csum_replace")?;
    if flags & !(PSEUDO_HDR | MARK_MANGLED_0 | MARK_ENFORCE | IPV6 | 0xf) != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let replaced = checksum_field(skb, offset).and_then(|field| {
        let mangled_0 = flags & MARK_MANGLED_0 != 0;
        if mangled_0 && flags & MARK_ENFORCE == 0 && *field == [0; 2] {
            return Ok(());
        }
        replace(field, from, to, flags & 0xf)?;
        if mangled_0 && *field == [0; 2] {
            *field = [0xff; 2];
        }
        Ok(())
    });
    Ok(status(replaced))
}

/// Replaces `from` by `to`, of `size` bytes, in what a checksum covers; with size 0
/// `to` is the difference.
fn replace(field: &mut [u8; 2], from: u64, to: u64, size: u64) -> Result<(), Errno> {
    let (from, to) = match size {
        0 if from != 0 => return Err(Errno::EINVAL),
        0 => (None, to as u32),
        2 => (Some(u32::from(from as u16)), u32::from(to as u16)),
        4 => (Some(from as u32), to as u32),
        _ => return Err(Errno::EINVAL),
    };
    *field = fold_difference(u16::from_ne_bytes(*field), from, to).to_ne_bytes();
    Ok(())
}

/// `bpf_csum_diff(from, from_size, to, to_size, seed)`.
fn csum_diff(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_csum_diff";
    let (from_size, to_size) = (run.size_argument(Reg::R2)?, run.size_argument(Reg::R4)?);
    let seed = run.read(Reg::R5)?.bits as u32;
    let bytes = |reg: Reg, size: u64| match size {
        0 => Ok(Bytes::zeros(0)),
        size => run.bytes_argument(NAME, reg, size),
    };
    let (from, to) = (bytes(Reg::R1, from_size)?, bytes(Reg::R3, to_size)?);
    Ok(Value::scalar(difference(&from, &to, seed)))
}

/// `bpf_csum_update(skb, csum)`: only for checksums that hardware computed.
fn csum_update(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.skb_argument("bpf_csum_update")?;
    Ok(failure(Errno::ENOTSUPP))
}

fn set_hash_invalid(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.skb_argument("bpf_set_hash_invalid")?.forget_hash();
    Ok(Value::scalar(0))
}

fn set_hash(run: &mut Run<'_>) -> Result<Value, Stop> {
    let hash = run.read(Reg::R2)?.bits as u32;
    let fields = &mut run.skb_argument("bpf_set_hash")?.fields;
    (fields.hash, fields.has_hash) = (hash, true);
    Ok(Value::scalar(0))
}

fn skb_change_type(run: &mut Run<'_>) -> Result<Value, Stop> {
    /// `PACKET_OTHERHOST`, the last of the types that may be changed.
    const LAST: u32 = 3;
    let pkt_type = run.read(Reg::R2)?.bits as u32;
    let skb = run.skb_argument("bpf_skb_change_type")?;
    if skb.fields.pkt_type > LAST || pkt_type > LAST {
        return Ok(failure(Errno::EINVAL));
    }
    skb.fields.pkt_type = pkt_type;
    Ok(Value::scalar(0))
}

/// `bpf_skb_change_tail(skb, len, flags)`.
fn skb_change_tail(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (len, flags) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits);
    let skb = run.skb_argument("bpf_skb_change_tail")?;
    if flags != 0 {
        skb.frame.invalidate();
        return Ok(failure(Errno::EINVAL));
    }
    Ok(status(skb.change_tail(len)))
}

/// `bpf_skb_change_head(skb, room, flags)`.
fn skb_change_head(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (room, flags) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits);
    let skb = run.skb_argument("bpf_skb_change_head")?;
    if flags != 0 {
        skb.frame.invalidate();
        return Ok(failure(Errno::EINVAL));
    }
    Ok(status(skb.change_head(room)))
}

/// `bpf_skb_pull_data(skb, len)`: packets are never in pieces here.
fn skb_pull_data(run: &mut Run<'_>) -> Result<Value, Stop> {
    let len = run.read(Reg::R2)?.bits as u32;
    let skb = run.skb_argument("bpf_skb_pull_data")?;
    skb.frame.invalidate();
    Ok(if len as usize > skb.len() { failure(Errno::ENOMEM) } else { Value::scalar(0) })
}

/// `bpf_skb_vlan_push(skb, proto, tci)`.
fn skb_vlan_push(run: &mut Run<'_>) -> Result<Value, Stop> {
    const ETH_P_8021Q: u16 = 0x8100;
    const ETH_P_8021AD: u16 = 0x88a8;
    let (proto, tci) = (run.read(Reg::R2)?.bits as u16, run.read(Reg::R3)?.bits as u16);
    let proto = match u16::from_be(proto) {
        ETH_P_8021AD => proto,
        _ => ETH_P_8021Q.to_be(),
    };
    Ok(status(run.skb_argument("bpf_skb_vlan_push")?.vlan_push(proto, tci)))
}

fn skb_vlan_pop(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(status(run.skb_argument("bpf_skb_vlan_pop")?.vlan_pop()))
}
