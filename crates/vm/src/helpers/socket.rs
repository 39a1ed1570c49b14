//! Helpers on the socket that a packet belongs to (`net/core/filter.c`).

use skep_abi::helper::id;
use skep_isa::Reg;

use super::Function;
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::SK_FULLSOCK, full_socket),
    (id::TCP_SOCK, none),
    (id::GET_LISTENER_SOCK, none),
    (id::GET_SOCKET_COOKIE, cookie),
    (id::GET_SOCKET_UID, uid),
    (id::GET_NETNS_COOKIE, netns_cookie),
    (id::SK_RELEASE, release),
    (id::SK_LOOKUP_TCP, none),
    (id::SK_LOOKUP_UDP, none),
    (id::SKC_LOOKUP_TCP, none),
];

/// `bpf_sk_fullsock(sk)`: all sockets here are whole ones.
fn full_socket(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R1)
}

/// No socket here is one of TCP, and none is looked up: as in a network without any.
fn none(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(0))
}

/// Number of the only network, and of its first socket.
const FIRST: u64 = 1;

/// Whether what runs belongs to a socket.
fn has_socket(run: &mut Run<'_>) -> bool {
    run.context.skb().is_some_and(|skb| skb.has_socket()) || run.context.plain().is_some()
}

/// `bpf_get_socket_cookie(ctx)`: 0 without a socket.
fn cookie(run: &mut Run<'_>) -> Result<Value, Stop> {
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

/// `bpf_sk_release(sk)`: sockets that were looked up are none, so that there is nothing to give
/// back.
fn release(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(0))
}
