//! Room for headers inside of packets: [`adjust`] and the change from one version of IP to the
//! other. Counterpart: `bpf_skb_adjust_room` and `bpf_skb_change_proto` in `net/core/filter.c`.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;

use super::{Function, status};
use crate::contexts::skb::{Checked, ETH_HLEN, MAX_LEN, Skb};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] =
    &[(id::SKB_CHANGE_PROTO, change_proto), (id::SKB_ADJUST_ROOM, adjust_room)];

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Bytes of a header without options.
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// Most bytes by which the room changes.
const MOST: u32 = 0xfff;

/// Room is made behind the network header, or behind the link header.
const NETWORK: u32 = 0;
const LINK: u32 = 1;

const FIXED_GSO: u64 = 1 << 0;
const ENCAP_IPV4: u64 = 1 << 1;
const ENCAP_IPV6: u64 = 1 << 2;
const ENCAP_GRE: u64 = 1 << 3;
const ENCAP_UDP: u64 = 1 << 4;
const NO_CHECKSUM_RESET: u64 = 1 << 5;
const ENCAP_ETHERNET: u64 = 1 << 6;
const DECAP_IPV4: u64 = 1 << 7;
const DECAP_IPV6: u64 = 1 << 8;
/// The upper byte of the flags is the length of the inner link header.
const INNER_LINK_SHIFT: u32 = 56;
const ENCAP: u64 = ENCAP_IPV4 | ENCAP_IPV6;
const DECAP: u64 = DECAP_IPV4 | DECAP_IPV6;
const KNOWN: u64 = FIXED_GSO
    | ENCAP
    | ENCAP_GRE
    | ENCAP_UDP
    | NO_CHECKSUM_RESET
    | ENCAP_ETHERNET
    | DECAP
    | 0xff << INNER_LINK_SHIFT;

/// `bpf_skb_adjust_room(skb, len_diff, mode, flags)`.
fn adjust_room(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (by, mode) = (run.read(Reg::R2)?.bits as i32, run.read(Reg::R3)?.bits as u32);
    let flags = run.read(Reg::R4)?.bits;
    let skb = run.skb_argument("bpf_skb_adjust_room")?;
    skb.frame.invalidate();
    Ok(status(match skb.is_of_stream() {
        true => adjust_stream(skb, by, u64::from(mode) | flags),
        false => adjust(skb, by, mode, flags),
    }))
}

/// Of a stream: at the start, with nothing else.
fn adjust_stream(skb: &mut Skb, by: i32, others: u64) -> Result<(), Errno> {
    if others != 0 {
        return Err(Errno::EINVAL);
    }
    let len = by.unsigned_abs();
    if len > MOST {
        return Err(Errno::EFAULT);
    }
    if by < 0 {
        return skb.close(0, len as usize);
    }
    skb.open(0, len as usize);
    Ok(())
}

fn adjust(skb: &mut Skb, by: i32, mode: u32, flags: u64) -> Result<(), Errno> {
    let (len, shrinks) = (by.unsigned_abs(), by < 0);
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    if len > MOST {
        return Err(Errno::EFAULT);
    }
    let len = len as usize;
    let header = match u16::from_be(skb.fields.protocol) {
        IPV4 => IPV4_HEADER,
        IPV6 => IPV6_HEADER,
        _ => return Err(Errno::ENOTSUPP),
    };
    let behind = match mode {
        NETWORK => skb.link_header_len() + header,
        LINK => skb.link_header_len(),
        _ => return Err(Errno::ENOTSUPP),
    };
    let shortest = match flags & DECAP {
        0 => header,
        _ if !shrinks => return Err(Errno::EINVAL),
        DECAP_IPV4 => IPV4_HEADER,
        DECAP_IPV6 => IPV6_HEADER,
        _ => return Err(Errno::EINVAL),
    };
    let payload = (skb.len() as i64 - skb.network_offset()).max(0) as usize;
    let fits = match shrinks {
        true => len < payload && payload - len >= shortest,
        false => skb.len() + len <= MAX_LEN || skb.fields.gso_size != 0,
    };
    if !fits {
        return Err(Errno::ENOTSUPP);
    }
    match shrinks {
        true => shrink(skb, behind, len, flags)?,
        false => grow(skb, behind, len, flags)?,
    }
    if flags & NO_CHECKSUM_RESET == 0 {
        skb.fields.checked = Checked::None;
    }
    Ok(())
}

fn grow(skb: &mut Skb, behind: usize, len: usize, flags: u64) -> Result<(), Errno> {
    let inner_link = (flags >> INNER_LINK_SHIFT) as usize;
    // Segments that TEST_RUN gives a packet are of no type, and nobody else gives any.
    if skb.fields.gso_size != 0 {
        return Err(Errno::ENOTSUPP);
    }
    if flags & ENCAP != 0 {
        let both = |pair: u64| flags & pair == pair;
        if both(ENCAP) || both(ENCAP_GRE | ENCAP_UDP) {
            return Err(Errno::EINVAL);
        }
        if flags & ENCAP_ETHERNET != 0 && inner_link < ETH_HLEN {
            return Err(Errno::EINVAL);
        }
        if skb.fields.encapsulated {
            return Err(Errno::EALREADY);
        }
        if inner_link > len {
            return Err(Errno::EINVAL);
        }
    }
    if behind > skb.len() {
        return Err(Errno::ENOTSUPP);
    }
    skb.open(behind, len);
    if flags & ENCAP != 0 {
        skb.fields.encapsulated = true;
        let outer = if flags & ENCAP_IPV6 != 0 { IPV6 } else { IPV4 };
        skb.fields.protocol = outer.to_be();
    }
    Ok(())
}

fn shrink(skb: &mut Skb, behind: usize, len: usize, flags: u64) -> Result<(), Errno> {
    if flags & !(FIXED_GSO | DECAP | NO_CHECKSUM_RESET) != 0 {
        return Err(Errno::EINVAL);
    }
    if skb.fields.gso_size != 0 {
        return Err(Errno::ENOTSUPP);
    }
    skb.close(behind, len)?;
    if flags & DECAP != 0 {
        let inner = if flags & DECAP_IPV6 != 0 { IPV6 } else { IPV4 };
        skb.fields.protocol = inner.to_be();
    }
    Ok(())
}

/// `bpf_skb_change_proto(skb, proto, flags)`.
fn change_proto(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (proto, flags) = (run.read(Reg::R2)?.bits as u16, run.read(Reg::R3)?.bits);
    let skb = run.skb_argument("bpf_skb_change_proto")?;
    skb.frame.invalidate();
    Ok(status(match flags {
        0 => translate(skb, u16::from_be(proto)),
        _ => Err(Errno::EINVAL),
    }))
}

/// Makes room for the longer header, or takes it away.
fn translate(skb: &mut Skb, to: u16) -> Result<(), Errno> {
    const DIFFERENCE: usize = IPV6_HEADER - IPV4_HEADER;
    let behind = skb.link_header_len();
    match (u16::from_be(skb.fields.protocol), to) {
        (IPV4, IPV6) => skb.open(behind, DIFFERENCE),
        (IPV6, IPV4) => skb.close(behind, DIFFERENCE)?,
        _ => return Err(Errno::ENOTSUPP),
    }
    skb.fields.protocol = to.to_be();
    skb.forget_hash();
    Ok(())
}
