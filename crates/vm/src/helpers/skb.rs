//! What is known of a socket buffer besides its bytes: hash, checksums, time, marks of
//! congestion, cgroups. Counterpart: `net/core/filter.c`.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;

use super::{Function, checksum, failure};
use crate::contexts::skb::{Checked, Skb};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::SKB_UNDER_CGROUP, under_cgroup),
    (id::GET_HASH_RECALC, hash_recalc),
    (id::SKB_GET_XFRM_STATE, xfrm_state),
    (id::LWT_PUSH_ENCAP, push_encapsulation),
    (id::SKB_CGROUP_ID, cgroup_id),
    (id::SKB_ANCESTOR_CGROUP_ID, ancestor_cgroup_id),
    (id::SKB_ECN_SET_CE, ecn_set_ce),
    (id::CSUM_LEVEL, csum_level),
    (id::SKB_CGROUP_CLASSID, class_id),
    (id::SKB_SET_TSTAMP, set_tstamp),
];

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// `bpf_get_hash_recalc(skb)`: as in Linux, of what the packet's flow is, by a key that is
/// nobody's to know.
fn hash_recalc(run: &mut Run<'_>) -> Result<Value, Stop> {
    let env = run.env.clone();
    let skb = run.skb_argument("bpf_get_hash_recalc")?;
    if !skb.fields.has_hash {
        let hash = env.flow_hash(&flow(skb));
        (skb.fields.hash, skb.fields.has_hash) = (hash, true);
    }
    Ok(Value::scalar(skb.fields.hash.into()))
}

/// What packets of one flow have in common: addresses, protocol, ports, or as much of that as
/// there is.
fn flow(skb: &Skb) -> Vec<u8> {
    const FRAGMENT: u16 = 0x3fff;
    let network = skb.network_offset();
    let bytes = |at: i64, len: usize| {
        let mut bytes = vec![0; len];
        skb.read(network + at, &mut bytes).map(|()| bytes).unwrap_or_default()
    };
    let mut flow = skb.fields.protocol.to_be_bytes().to_vec();
    let (protocol, behind) = match u16::from_be(skb.fields.protocol) {
        IPV4 => {
            let header = bytes(0, 20);
            let [first, .., _] = header[..] else { return flow };
            flow.extend_from_slice(&header[12..20]);
            let fragment = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT != 0;
            (header[9], (!fragment).then_some(i64::from(first & 0xf) * 4))
        }
        IPV6 => {
            let header = bytes(0, 40);
            if header.is_empty() {
                return flow;
            }
            flow.extend_from_slice(&header[8..40]);
            (header[6], Some(40))
        }
        _ => return flow,
    };
    flow.push(protocol);
    // TCP, UDP, DCCP, SCTP, UDP-Lite: what has ports.
    if let (6 | 17 | 33 | 132 | 136, Some(behind)) = (protocol, behind) {
        flow.extend(bytes(behind, 4));
    }
    flow
}

/// `bpf_csum_level(skb, level)`.
fn csum_level(run: &mut Run<'_>) -> Result<Value, Stop> {
    const QUERY: u64 = 0;
    const UP: u64 = 1;
    const DOWN: u64 = 2;
    const RESET: u64 = 3;
    const HIGHEST: u8 = 3;
    let level = run.read(Reg::R2)?.bits;
    let checked = &mut run.skb_argument("bpf_csum_level")?.fields.checked;
    *checked = match (level, *checked) {
        (QUERY, Checked::Unnecessary(level)) => return Ok(Value::scalar(level.into())),
        (QUERY, Checked::None) => return Ok(failure(Errno::EACCES)),
        (UP, Checked::None) => Checked::Unnecessary(0),
        (UP, Checked::Unnecessary(level)) => Checked::Unnecessary((level + 1).min(HIGHEST)),
        (DOWN, Checked::Unnecessary(level @ 1..)) => Checked::Unnecessary(level - 1),
        (DOWN | RESET, _) => Checked::None,
        _ => return Ok(failure(Errno::EINVAL)),
    };
    Ok(Value::scalar(0))
}

/// `bpf_skb_ecn_set_ce(skb)`: 1 where the packet says that it met congestion.
fn ecn_set_ce(run: &mut Run<'_>) -> Result<Value, Stop> {
    let skb = run.skb_argument("bpf_skb_ecn_set_ce")?;
    let network = skb.network_offset();
    let protocol = u16::from_be(skb.fields.protocol);
    let header = usize::try_from(network).ok().and_then(|at| skb.frame.bytes_mut().get_mut(at..));
    let Some(header) = header else { return Ok(Value::scalar(0)) };
    let marked = match protocol {
        IPV4 => header.get_mut(..20).is_some_and(mark_v4),
        IPV6 => header.get_mut(..40).is_some_and(mark_v6),
        _ => false,
    };
    Ok(Value::scalar(marked.into()))
}

/// Whether the sender of a packet hears of congestion; both bits say that there was some.
const CONGESTION: u8 = 3;

fn mark_v4(header: &mut [u8]) -> bool {
    let ecn = header[1] & CONGESTION;
    if ecn == 0 || ecn == CONGESTION {
        return ecn == CONGESTION;
    }
    // The sum changes by what the bits do (RFC 1624).
    let by = u16::from(CONGESTION - ecn);
    let sum = u16::from_be_bytes([header[10], header[11]]);
    let (sum, carry) = sum.overflowing_add(0xffff - by);
    header[10..12].copy_from_slice(&(sum.wrapping_add(carry.into())).to_be_bytes());
    header[1] |= CONGESTION;
    true
}

fn mark_v6(header: &mut [u8]) -> bool {
    // The class of traffic lies across two bytes.
    let bits = CONGESTION << 4;
    if header[1] & bits == 0 {
        return false;
    }
    header[1] |= bits;
    true
}

/// `bpf_skb_set_tstamp(skb, time, type)`.
fn set_tstamp(run: &mut Run<'_>) -> Result<Value, Stop> {
    /// Of the clocks real time, monotonic and atomic, the last two are never at 0.
    const REALTIME: u32 = 0;
    const TAI: u32 = 2;
    let (time, kind) = (run.read(Reg::R2)?.bits, run.read(Reg::R3)?.bits as u32);
    let skb = run.skb_argument("bpf_skb_set_tstamp")?;
    if !matches!(u16::from_be(skb.fields.protocol), IPV4 | IPV6) {
        return Ok(failure(Errno::EOPNOTSUPP));
    }
    if kind > TAI || kind != REALTIME && time == 0 {
        return Ok(failure(Errno::EINVAL));
    }
    (skb.fields.tstamp, skb.fields.tstamp_type) = (time, kind as u8);
    Ok(Value::scalar(0))
}

/// `bpf_skb_under_cgroup(skb, map, index)`: no array here holds a cgroup.
fn under_cgroup(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_skb_under_cgroup";
    let index = run.size_argument(Reg::R3)?;
    let slots = u64::from(run.map_argument(NAME, Reg::R2)?.map.max_entries());
    Ok(failure(match run.skb_argument(NAME)?.has_socket() {
        false => Errno::ENOENT,
        true if index >= slots => Errno::E2BIG,
        true => Errno::EAGAIN,
    }))
}

/// `bpf_skb_cgroup_id(skb)`: the cgroup of the socket is that of the task which made it.
fn cgroup_id(run: &mut Run<'_>) -> Result<Value, Stop> {
    let there = run.skb_argument("bpf_skb_cgroup_id")?.has_socket();
    let id = if there { run.world().cgroup(None) } else { None };
    Ok(Value::scalar(id.unwrap_or(0)))
}

/// `bpf_skb_ancestor_cgroup_id(skb, level)`: 0 where there is none.
fn ancestor_cgroup_id(run: &mut Run<'_>) -> Result<Value, Stop> {
    let level = usize::try_from(run.read(Reg::R2)?.bits as i32).ok();
    let there = run.skb_argument("bpf_skb_ancestor_cgroup_id")?.has_socket();
    let id = level.filter(|_| there).and_then(|level| run.world().cgroup(Some(level)));
    Ok(Value::scalar(id.unwrap_or(0)))
}

/// `bpf_skb_cgroup_classid(skb)`: no socket here was given a class.
fn class_id(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.skb_argument("bpf_skb_cgroup_classid")?;
    Ok(Value::scalar(0))
}

/// `bpf_skb_get_xfrm_state(skb, index, state, size, flags)`: no packet here was decrypted.
fn xfrm_state(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_skb_get_xfrm_state";
    let size = run.size_argument(Reg::R4)?;
    run.skb_argument(NAME)?;
    run.write_argument(NAME, Reg::R3, &vec![0; size as usize])?;
    Ok(failure(Errno::EINVAL))
}

/// `bpf_lwt_push_encap(skb, type, header, len)`: headers of IP before a routed packet. Segments
/// are not routed here.
fn push_encapsulation(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_lwt_push_encap";
    const IP: u32 = 2;
    /// Most bytes of headers (`LWT_BPF_MAX_HEADROOM`).
    const MOST: usize = 256;
    let kind = run.read(Reg::R2)?.bits as u32;
    let len = run.size_argument(Reg::R4)?;
    let header = run.bytes_argument(NAME, Reg::R3, len)?;
    let skb = run.skb_argument(NAME)?;
    skb.frame.invalidate();
    let first = header.first().copied().unwrap_or(0);
    let (protocol, least) = match first >> 4 {
        4 => (IPV4, usize::from(first & 0xf) * 4),
        6 => (IPV6, 40),
        _ => return Ok(failure(Errno::EINVAL)),
    };
    let fits = (20..=MOST).contains(&header.len()) && header.len() >= least;
    if kind != IP || !fits {
        return Ok(failure(Errno::EINVAL));
    }
    skb.open(0, header.len());
    skb.frame.bytes_mut()[..header.len()].copy_from_slice(&header);
    skb.fields.encapsulated = true;
    skb.fields.protocol = protocol.to_be();
    skb.forget_hash();
    if protocol == IPV4 {
        let bytes = &mut skb.frame.bytes_mut()[..least.max(20)];
        if bytes[10..12] == [0; 2] {
            let sum = checksum::Sum(0).add_bytes(bytes).to_16();
            bytes[10..12].copy_from_slice(&(!sum).to_ne_bytes());
        }
    }
    Ok(Value::scalar(0))
}
