//! Where packets would go: look-ups in the world's routes, sizes that its devices take, and
//! redirects, of which the run only notes where they lead. Counterpart: `bpf_fib_lookup`,
//! `bpf_check_mtu` and `bpf_redirect` in `net/core/filter.c`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;

use super::{Function, failure};
use crate::memory::value::Value;
use crate::run::network::{Device, Network, Redirect, Route, RouteKind, Way};
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::CLONE_REDIRECT, clone_redirect),
    (id::REDIRECT, redirect),
    (id::GET_ROUTE_REALM, nothing),
    (id::FIB_LOOKUP, fib_lookup),
    (id::REDIRECT_NEIGH, redirect_neigh),
    (id::REDIRECT_PEER, redirect_peer),
    (id::CHECK_MTU, check_mtu),
];

const TC_ACT_SHOT: u64 = 2;
const TC_ACT_REDIRECT: u64 = 7;
const INGRESS: u64 = 1;

/// `bpf_get_route_realm(skb)`: no packet here was routed.
fn nothing(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.skb_argument("bpf_get_route_realm")?;
    Ok(Value::scalar(0))
}

/// `bpf_redirect(ifindex, flags)`: what it returns is the verdict.
fn redirect(run: &mut Run<'_>) -> Result<Value, Stop> {
    const XDP_ABORTED: u64 = 0;
    const XDP_REDIRECT: u64 = 4;
    let to = run.read(Reg::R1)?.bits as u32;
    let flags = run.read(Reg::R2)?.bits;
    let way = if flags & INGRESS != 0 { Way::In } else { Way::Out };
    let (verdict, goes) = match (run.context.xdp().is_some(), flags) {
        (true, 0) => (XDP_REDIRECT, true),
        (true, _) => (XDP_ABORTED, false),
        (false, flags) if flags & !INGRESS != 0 => (TC_ACT_SHOT, false),
        (false, _) => (TC_ACT_REDIRECT, true),
    };
    run.call.redirect = goes.then_some(Redirect { to, way });
    Ok(Value::scalar(verdict))
}

/// `bpf_redirect_peer(ifindex, flags)`.
fn redirect_peer(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (to, flags) = (run.read(Reg::R1)?.bits as u32, run.read(Reg::R2)?.bits);
    if flags != 0 {
        return Ok(Value::scalar(TC_ACT_SHOT));
    }
    run.call.redirect = Some(Redirect { to, way: Way::Peer });
    Ok(Value::scalar(TC_ACT_REDIRECT))
}

/// `bpf_redirect_neigh(ifindex, params, len, flags)`.
fn redirect_neigh(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_redirect_neigh";
    /// Bytes of `struct bpf_redir_neigh`.
    const PARAMS: u64 = 20;
    let (to, flags) = (run.read(Reg::R1)?.bits as u32, run.read(Reg::R4)?.bits);
    let len = run.size_argument(Reg::R3)?;
    if len > 0 {
        run.memory_argument(NAME, Reg::R2, len, false)?;
    }
    if flags != 0 || (len > 0 && len < PARAMS) {
        return Ok(Value::scalar(TC_ACT_SHOT));
    }
    run.call.redirect = Some(Redirect { to, way: Way::Neighbour });
    Ok(Value::scalar(TC_ACT_REDIRECT))
}

/// `bpf_clone_redirect(skb, ifindex, flags)`: the copy goes nowhere.
fn clone_redirect(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (to, flags) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits);
    let world = run.world();
    let skb = run.skb_argument("bpf_clone_redirect")?;
    skb.frame.invalidate();
    let Some(device) = world.network.device(to).filter(|_| flags & !INGRESS == 0) else {
        return Ok(failure(Errno::EINVAL));
    };
    if skb.len() == 0 || device.header > 0 && skb.mac_offset() >= skb.network_offset() {
        return Ok(failure(Errno::ERANGE));
    }
    Ok(Value::scalar(0))
}

/// What a look-up of a route answers (`BPF_FIB_LKUP_RET_*`).
#[derive(Clone, Copy)]
enum Answer {
    Success = 0,
    Blackhole = 1,
    Unreachable = 2,
    Prohibit = 3,
    NotForwarded = 4,
    ForwardingDisabled = 5,
    NoNeighbour = 7,
    FragmentationNeeded = 8,
    NoSourceAddress = 9,
}

/// `struct bpf_fib_lookup`.
struct Params {
    bytes: [u8; Params::SIZE],
}

impl Params {
    const SIZE: usize = 64;
    const FAMILY: usize = 0;
    /// Asked: bytes of the packet; answered: the largest packet.
    const LEN: usize = 6;
    const IFINDEX: usize = 8;
    const METRIC: usize = 12;
    const SOURCE: usize = 16;
    const DESTINATION: usize = 32;
    /// Asked: the table; answered: the tag.
    const TABLE: usize = 48;
    const SOURCE_MAC: usize = 52;
    const DESTINATION_MAC: usize = 58;

    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.bytes[at..at + N].copy_from_slice(&bytes);
    }

    fn half(&self, at: usize) -> u16 {
        u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn word(&self, at: usize) -> u32 {
        self.bytes[at..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
    }

    fn address(&self, at: usize) -> Option<IpAddr> {
        let bytes = &self.bytes[at..];
        Some(match self.bytes[Params::FAMILY] {
            AF_INET => Ipv4Addr::from(*bytes.first_chunk::<4>()?).into(),
            AF_INET6 => Ipv6Addr::from(*bytes.first_chunk::<16>()?).into(),
            _ => return None,
        })
    }

    fn put_address(&mut self, at: usize, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.put(at, address.octets()),
            IpAddr::V6(address) => self.put(at, address.octets()),
        }
    }
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const DIRECT: u64 = 1 << 0;
const OUTPUT: u64 = 1 << 1;
const SKIP_NEIGHBOUR: u64 = 1 << 2;
const TABLE: u64 = 1 << 3;
const PREFERRED_SOURCE: u64 = 1 << 4;
const MARK: u64 = 1 << 5;

/// `bpf_fib_lookup(ctx, params, len, flags)`.
fn fib_lookup(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_fib_lookup";
    let len = run.size_argument(Reg::R3)?;
    let flags = u64::from(run.read(Reg::R4)?.bits as u32);
    run.writable_argument(NAME, Reg::R2, len)?;
    run.context_argument(NAME)?;
    let known = DIRECT | OUTPUT | SKIP_NEIGHBOUR | TABLE | PREFERRED_SOURCE | MARK;
    if len < Params::SIZE as u64 || flags & !known != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let mut params = Params { bytes: [0; Params::SIZE] };
    let given = run.bytes_argument(NAME, Reg::R2, Params::SIZE as u64)?;
    params.bytes.copy_from_slice(&given);
    let packet = run.context.skb().map(|skb| skb.len());
    let checks_len = packet.is_none() || params.half(Params::LEN) != 0;
    let world = run.world();
    let answer = look_up(&world.network, &mut params, flags, checks_len);
    let answer = match (answer, packet) {
        (Ok(Answer::Success), Some(len)) if !checks_len => {
            let device = world.network.device(params.word(Params::IFINDEX));
            let Some(device) = device else { return Ok(failure(Errno::ENODEV)) };
            params.put(Params::LEN, (device.mtu as u16).to_ne_bytes());
            match forwards(device, len) {
                true => Ok(Answer::Success),
                false => Ok(Answer::FragmentationNeeded),
            }
        }
        (answer, _) => answer,
    };
    run.write_argument(NAME, Reg::R2, &params.bytes)?;
    Ok(match answer {
        Ok(answer) => Value::scalar(answer as u64),
        Err(errno) => failure(errno),
    })
}

/// Whether a device takes a packet of this length.
fn forwards(device: &Device, len: usize) -> bool {
    const VLAN_HEADER: u64 = 4;
    device.up && len as u64 <= u64::from(device.mtu) + u64::from(device.header) + VLAN_HEADER
}

/// Whether an address of IPv6 is one that no router looks for.
fn stays_on_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => {
            address.is_multicast() || address.is_unicast_link_local() || address.is_loopback()
        }
    }
}

/// The look-up, of which the answers stand in the parameters.
fn look_up(
    network: &Network,
    params: &mut Params,
    flags: u64,
    checks_len: bool,
) -> Result<Answer, Errno> {
    let (Some(from), Some(to)) =
        (params.address(Params::SOURCE), params.address(Params::DESTINATION))
    else {
        return Err(Errno::EAFNOSUPPORT);
    };
    if stays_on_link(to) || stays_on_link(from) {
        return Ok(Answer::NotForwarded);
    }
    let index = params.word(Params::IFINDEX);
    let device = network.device(index).ok_or(Errno::ENODEV)?;
    if !device.forwarding {
        return Ok(Answer::ForwardingDisabled);
    }
    let table = (flags & DIRECT != 0).then(|| match flags & TABLE {
        0 => Route::MAIN,
        _ => {
            let table = params.word(Params::TABLE);
            params.put(Params::TABLE, [0; 4]);
            table
        }
    });
    let out = (flags & OUTPUT != 0).then_some(index);
    let route = match table {
        Some(table) if !network.has_table(table) => None,
        table => network.route(table, to, out),
    };
    let Some(route) = route else { return Ok(Answer::NotForwarded) };
    match route.kind {
        RouteKind::Unicast => {}
        RouteKind::Blackhole => return Ok(Answer::Blackhole),
        RouteKind::Unreachable => return Ok(Answer::Unreachable),
        RouteKind::Prohibit => return Ok(Answer::Prohibit),
        RouteKind::Local | RouteKind::Broadcast => return Ok(Answer::NotForwarded),
    }
    let Some(device) = network.device(route.device) else { return Ok(Answer::NotForwarded) };
    go_by(network, params, flags, route, device, checks_len)
}

/// Largest packet by a route.
fn mtu(route: &Route, device: &Device, to_v6: bool) -> u32 {
    const LARGEST_V4: u32 = 0xffff;
    const SMALLEST_V6: u32 = 1280;
    match (route.mtu, to_v6) {
        (Some(mtu), _) => mtu,
        (None, true) => device.mtu.max(SMALLEST_V6),
        (None, false) => device.mtu.min(LARGEST_V4),
    }
}

/// Fills in what the route says.
fn go_by(
    network: &Network,
    params: &mut Params,
    flags: u64,
    route: &Route,
    device: &Device,
    checks_len: bool,
) -> Result<Answer, Errno> {
    let v6 = params.bytes[Params::FAMILY] == AF_INET6;
    let mtu = mtu(route, device, v6);
    let checked = checks_len.then_some((mtu as u16).to_ne_bytes());
    if let Some(found) = checked
        && u32::from(params.half(Params::LEN)) > mtu
    {
        params.put(Params::LEN, found);
        return Ok(Answer::FragmentationNeeded);
    }
    params.put(Params::METRIC, route.metric.to_ne_bytes());
    params.put(Params::IFINDEX, device.index.to_ne_bytes());
    if flags & PREFERRED_SOURCE != 0 {
        let own = device.addresses.iter().find(|address| address.is_ipv6() == v6);
        match (route.source.or(own.copied()), v6) {
            (Some(source), _) => params.put_address(Params::SOURCE, source),
            (None, false) => params.put(Params::SOURCE, [0; 4]),
            (None, true) => return Ok(Answer::NoSourceAddress),
        }
    }
    if let Some(gateway) = route.gateway {
        if gateway.is_ipv6() && !v6 {
            params.bytes[Params::FAMILY] = AF_INET6;
        }
        params.put_address(Params::DESTINATION, gateway);
    }
    if flags & SKIP_NEIGHBOUR == 0 {
        let next = params.address(Params::DESTINATION).ok_or(Errno::EAFNOSUPPORT)?;
        let Some(neighbour) = network.neighbour(device.index, next) else {
            return Ok(Answer::NoNeighbour);
        };
        params.put(Params::DESTINATION_MAC, neighbour.mac);
        params.put(Params::SOURCE_MAC, device.mac);
    }
    params.put(Params::TABLE, [0; 4]);
    if let Some(found) = checked {
        params.put(Params::LEN, found);
    }
    Ok(Answer::Success)
}

/// `bpf_check_mtu(ctx, ifindex, mtu_len, len_diff, flags)`.
fn check_mtu(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_check_mtu";
    const SEGMENTS: u64 = 1;
    const SUCCESS: u64 = 0;
    const FRAGMENTATION_NEEDED: u64 = 1;
    const SEGMENTS_TOO_BIG: u64 = 2;
    run.context_argument(NAME)?;
    let mut index = run.read(Reg::R2)?.bits as u32;
    let (difference, flags) = (run.read(Reg::R4)?.bits as i32, run.read(Reg::R5)?.bits);
    run.writable_argument(NAME, Reg::R3, 4)?;
    let given = run.bytes_argument(NAME, Reg::R3, 4)?;
    let given = given.first_chunk().copied().map_or(0, u32::from_ne_bytes);
    let xdp = run.context.xdp().map(|xdp| (xdp.frame.len(), xdp.ingress_ifindex, 0));
    let skb = run.context.skb().map(|skb| (skb.len(), skb.fields.ifindex, skb.fields.gso_size));
    let Some((len, own, gso_size)) = xdp.or(skb) else {
        return Err(run.bad_argument(NAME, 1, "has no packet"));
    };
    let known = if xdp.is_some() { 0 } else { SEGMENTS };
    if flags & !known != 0 || flags & SEGMENTS != 0 && (difference != 0 || given != 0) {
        return Ok(failure(Errno::EINVAL));
    }
    if index == 0 {
        index = own;
    }
    let world = run.world();
    let Some(device) = world.network.device(index) else { return Ok(failure(Errno::ENODEV)) };
    let most = device.mtu.wrapping_add(device.header) as i32;
    let len = match given {
        0 => len as u32,
        given => given.wrapping_add(device.header),
    };
    let len = (len as i32).wrapping_add(difference);
    let answer = if len <= most {
        SUCCESS
    } else if gso_size == 0 {
        FRAGMENTATION_NEEDED
    } else if flags & SEGMENTS != 0 && gso_size > device.mtu {
        SEGMENTS_TOO_BIG
    } else {
        SUCCESS
    };
    run.write_argument(NAME, Reg::R3, &device.mtu.to_ne_bytes())?;
    Ok(Value::scalar(answer))
}
