//! Helpers on sockets: the one that a packet belongs to, and those of the world. Counterpart:
//! `net/core/filter.c`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use skep_abi::context::at::{sk_lookup, sock as at};
use skep_abi::helper::id;
use skep_abi::limits::TCP_HEADER;
use skep_abi::{Errno, ProgType};
use skep_isa::{Reg, Size};

use super::{Function, failure, status};
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::SK_FULLSOCK, full_socket),
    (id::TCP_SOCK, tcp_sock),
    (id::GET_LISTENER_SOCK, listener),
    (id::GET_SOCKET_COOKIE, cookie),
    (id::GET_SOCKET_UID, uid),
    (id::GET_NETNS_COOKIE, netns_cookie),
    (id::SK_RELEASE, release),
    (id::SK_LOOKUP_TCP, lookup_tcp),
    (id::SK_LOOKUP_UDP, lookup_udp),
    (id::SKC_LOOKUP_TCP, lookup_tcp),
    (id::SK_ASSIGN, assign),
    (id::SK_CGROUP_ID, cgroup_id),
    (id::SK_ANCESTOR_CGROUP_ID, ancestor_cgroup_id),
    (id::TCP_CHECK_SYNCOOKIE, check_cookie),
    (id::TCP_GEN_SYNCOOKIE, generate_cookie),
    (id::SKC_TO_TCP6_SOCK, none),
    (id::SKC_TO_TCP_SOCK, none),
    (id::SKC_TO_TCP_TIMEWAIT_SOCK, none),
    (id::SKC_TO_TCP_REQUEST_SOCK, none),
    (id::SKC_TO_UDP6_SOCK, none),
    (id::SKC_TO_UNIX_SOCK, none),
    (id::SKC_TO_MPTCP_SOCK, none),
    (id::SOCK_FROM_FILE, none),
];

const TCP: u8 = 6;
const UDP: u8 = 17;
const LISTEN: u64 = 10;

/// `bpf_sk_fullsock(sk)`: all sockets here are whole ones.
fn full_socket(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R1)
}

/// The kernel's own structure of a socket, of which there is none.
fn none(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R1)?;
    Ok(Value::scalar(0))
}

/// A field of 32 bits of the socket in a register, if there is one.
fn field(run: &Run<'_>, reg: Reg, at: u32) -> Result<Option<u64>, Stop> {
    let socket = run.read(reg)?;
    let there = socket.kind() == Kind::Memory && socket.bits != 0;
    Ok(there.then(|| socket.load(at.into(), Size::W).ok()).flatten())
}

/// `bpf_tcp_sock(sk)`.
fn tcp_sock(run: &mut Run<'_>) -> Result<Value, Stop> {
    let address = run.read(Reg::R1)?.bits;
    let found = run.held.rare().sockets.tcp(address);
    Ok(found.map_or(Value::scalar(0), |region| region.pointer(0)))
}

/// `bpf_get_listener_sock(sk)`.
fn listener(run: &mut Run<'_>) -> Result<Value, Stop> {
    match field(run, Reg::R1, at::STATE)? {
        Some(LISTEN) => run.read(Reg::R1),
        _ => Ok(Value::scalar(0)),
    }
}

/// Number of the only network, and of its first socket.
const FIRST: u64 = 1;

/// Whether what runs belongs to a socket.
fn has_socket(run: &mut Run<'_>) -> bool {
    run.context.skb().is_some_and(|skb| skb.has_socket()) || run.context.plain().is_some()
}

/// `bpf_get_socket_cookie(ctx)`, or of a socket: 0 without one.
fn cookie(run: &mut Run<'_>) -> Result<Value, Stop> {
    let address = run.read(Reg::R1)?.bits;
    if let Some(socket) = run.held.rare().sockets.at(address) {
        return Ok(Value::scalar(socket.cookie));
    }
    Ok(Value::scalar(if has_socket(run) { FIRST } else { 0 }))
}

/// `bpf_get_socket_uid(skb)`: nobody's without a socket.
fn uid(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NOBODY: u64 = 65534;
    Ok(Value::scalar(if has_socket(run) { 0 } else { NOBODY }))
}

fn netns_cookie(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(FIRST))
}

/// `bpf_sk_release(sk)`.
fn release(run: &mut Run<'_>) -> Result<Value, Stop> {
    let address = run.read(Reg::R1)?.bits;
    run.held.rare().sockets.release(address);
    Ok(Value::scalar(0))
}

fn lookup_tcp(run: &mut Run<'_>) -> Result<Value, Stop> {
    lookup(run, "bpf_sk_lookup_tcp", TCP)
}

fn lookup_udp(run: &mut Run<'_>) -> Result<Value, Stop> {
    lookup(run, "bpf_sk_lookup_udp", UDP)
}

/// `bpf_sk_lookup_tcp(ctx, tuple, len, netns, flags)`: of this network, the only one, a socket
/// that packets with these addresses come to.
fn lookup(run: &mut Run<'_>, name: &'static str, protocol: u8) -> Result<Value, Stop> {
    let len = run.size_argument(Reg::R3)?;
    let (network, flags) = (run.read(Reg::R4)?.bits as i64, run.read(Reg::R5)?.bits);
    let tuple = run.bytes_argument(name, Reg::R2, len)?;
    // Numbers of other networks are never negative; a negative one is the program's own.
    let own = (network as i32) < 0;
    let Some((from, to)) = addresses(&tuple).filter(|_| own && flags == 0) else {
        return Ok(Value::scalar(0));
    };
    let world = run.world();
    let Some(socket) = world.network.socket(protocol, from, to) else {
        return Ok(Value::scalar(0));
    };
    Ok(run.held.rare().sockets.acquire(socket).pointer(0))
}

/// Where packets come from and where they go (`struct bpf_sock_tuple`).
fn addresses(tuple: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let port = |at: usize| Some(u16::from_be_bytes([*tuple.get(at)?, *tuple.get(at + 1)?]));
    Some(match tuple.len() {
        12 => {
            let ip = |at: usize| Some(Ipv4Addr::from(*tuple.get(at..)?.first_chunk::<4>()?));
            ((ip(0)?, port(8)?).into(), (ip(4)?, port(10)?).into())
        }
        36 => {
            let ip = |at: usize| Some(Ipv6Addr::from(*tuple.get(at..)?.first_chunk::<16>()?));
            ((ip(0)?, port(32)?).into(), (ip(16)?, port(34)?).into())
        }
        _ => return None,
    })
}

/// `bpf_sk_assign(ctx, sk, flags)`.
fn assign(run: &mut Run<'_>) -> Result<Value, Stop> {
    let socket = run.read(Reg::R2)?;
    let flags = run.read(Reg::R3)?.bits;
    let mut fields = [0; at::SIZE_OF as usize];
    let there = socket.bits != 0 && socket.read(&mut fields).is_ok();
    let given = there.then_some(fields);
    if run.context.skb().is_some() {
        return assign_to_packet(run, given, flags);
    }
    Ok(status(assign_to_lookup(run, given, flags)))
}

fn assign_to_packet(
    run: &mut Run<'_>,
    given: Option<[u8; at::SIZE_OF as usize]>,
    flags: u64,
) -> Result<Value, Stop> {
    let skb = run.skb_argument("bpf_sk_assign")?;
    let Some(fields) = given.filter(|_| flags == 0) else { return Ok(failure(Errno::EINVAL)) };
    if !skb.at_ingress {
        return Ok(failure(Errno::EOPNOTSUPP));
    }
    skb.set_socket(&fields);
    Ok(Value::scalar(0))
}

fn assign_to_lookup(
    run: &mut Run<'_>,
    given: Option<[u8; at::SIZE_OF as usize]>,
    flags: u64,
) -> Result<(), Errno> {
    const REPLACE: u64 = 1;
    const NO_REUSEPORT: u64 = 2;
    const CLOSE: u32 = 7;
    const AF_INET: u32 = 2;
    let look_up = |plain: &&mut crate::contexts::plain::Plain| plain.kind() == ProgType::SkLookup;
    let context = run.context.plain().filter(look_up).ok_or(Errno::EINVAL)?;
    if flags & !(REPLACE | NO_REUSEPORT) != 0 {
        return Err(Errno::EINVAL);
    }
    if let Some(fields) = &given {
        let word =
            |at: u32| fields[at as usize..].first_chunk().copied().map_or(0, u32::from_ne_bytes);
        let (protocol, state) = (word(at::PROTOCOL), word(at::STATE));
        let waits = match protocol as u8 {
            TCP => u64::from(state) == LISTEN,
            UDP => state == CLOSE,
            _ => true,
        };
        if !waits {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        if protocol != context.word(sk_lookup::PROTOCOL) {
            return Err(Errno::EPROTOTYPE);
        }
        let family = word(at::FAMILY);
        if family == AF_INET && context.word(sk_lookup::FAMILY) != family {
            return Err(Errno::EAFNOSUPPORT);
        }
    }
    if context.has_socket() && flags & REPLACE == 0 {
        return Err(Errno::EEXIST);
    }
    context.set_socket(given.as_ref().map(|fields| &fields[..]));
    Ok(())
}

/// `bpf_sk_cgroup_id(sk)`: that of the task which made it.
fn cgroup_id(run: &mut Run<'_>) -> Result<Value, Stop> {
    let there = run.read(Reg::R1)?.bits != 0;
    let id = if there { run.world().cgroup(None) } else { None };
    Ok(Value::scalar(id.unwrap_or(0)))
}

/// `bpf_sk_ancestor_cgroup_id(sk, level)`: 0 where there is none.
fn ancestor_cgroup_id(run: &mut Run<'_>) -> Result<Value, Stop> {
    let there = run.read(Reg::R1)?.bits != 0;
    let level = usize::try_from(run.read(Reg::R2)?.bits as i32).ok();
    let id = level.filter(|_| there).and_then(|level| run.world().cgroup(Some(level)));
    Ok(Value::scalar(id.unwrap_or(0)))
}

/// What both helpers on cookies of a listening socket begin with: the headers.
#[allow(clippy::type_complexity, reason = "two texts, or why there are none")]
fn headers(
    run: &mut Run<'_>,
    name: &'static str,
) -> Result<Result<(Vec<u8>, Vec<u8>), Errno>, Stop> {
    let (ip_len, tcp_len) = (run.size_argument(Reg::R3)?, run.size_argument(Reg::R5)?);
    let ip = run.bytes_argument(name, Reg::R2, ip_len)?;
    let tcp = run.bytes_argument(name, Reg::R4, tcp_len)?;
    let protocol = field(run, Reg::R1, at::PROTOCOL)?;
    let state = field(run, Reg::R1, at::STATE)?;
    let listens = protocol == Some(TCP.into()) && state == Some(LISTEN);
    Ok(match tcp_len >= TCP_HEADER as u64 && listens {
        true => Ok((ip.to_vec(), tcp.to_vec())),
        false => Err(Errno::EINVAL),
    })
}

/// `bpf_tcp_check_syncookie(sk, ip, ip_len, tcp, tcp_len)`.
fn check_cookie(run: &mut Run<'_>) -> Result<Value, Stop> {
    const ACK: u8 = 1 << 4;
    const OTHERS: u8 = 1 << 2 | 1 << 1;
    let found = headers(run, "bpf_tcp_check_syncookie")?;
    Ok(status(found.and_then(|(ip, tcp)| {
        if tcp[13] & (ACK | OTHERS) != ACK {
            return Err(Errno::ENOENT);
        }
        super::syncookie::check_packet(run, &ip, &tcp)
    })))
}

/// `bpf_tcp_gen_syncookie(sk, ip, ip_len, tcp, tcp_len)`.
fn generate_cookie(run: &mut Run<'_>) -> Result<Value, Stop> {
    const SYN: u8 = 1 << 1;
    const OTHERS: u8 = 1 << 4 | 1 | 1 << 2;
    let found = headers(run, "bpf_tcp_gen_syncookie")?;
    Ok(super::number(found.and_then(|(ip, tcp)| {
        if tcp.len() != usize::from(tcp[12] >> 4) * 4 {
            return Err(Errno::EINVAL);
        }
        if tcp[13] & (SYN | OTHERS) != SYN {
            return Err(Errno::EINVAL);
        }
        super::syncookie::for_packet(run, &ip, &tcp)
    })))
}
