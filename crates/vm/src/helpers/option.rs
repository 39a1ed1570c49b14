//! Options and addresses of sockets, on the world alone: what a run sets is what it gets.
//! Counterpart: `sol_socket_sockopt` and its like in `net/core/filter.c`.

use skep_abi::context::at::sock_ops;
use skep_abi::helper::id;
use skep_abi::{Errno, ProgType};
use skep_isa::Reg;

use super::{Function, failure, status};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::SETSOCKOPT, set),
    (id::GETSOCKOPT, get),
    (id::BIND, bind),
    (id::SOCK_OPS_CB_FLAGS_SET, set_callbacks),
    (id::TCP_SEND_ACK, nothing),
];

/// What an option holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// A number of 32 bits.
    Number,
    /// A text of at most so many bytes.
    Text(usize),
}

const SOCKET: u32 = 1;
const IP: u32 = 0;
const IPV6: u32 = 41;
const TCP: u32 = 6;

/// Level, name, what it holds.
type Named = (u32, u32, Holds);

/// The options that programs may touch.
const OPTIONS: &[Named] = &[
    (SOCKET, 2, Holds::Number),    // SO_REUSEADDR
    (SOCKET, 7, Holds::Number),    // SO_SNDBUF
    (SOCKET, 8, Holds::Number),    // SO_RCVBUF
    (SOCKET, 9, Holds::Number),    // SO_KEEPALIVE
    (SOCKET, 12, Holds::Number),   // SO_PRIORITY
    (SOCKET, 15, Holds::Number),   // SO_REUSEPORT
    (SOCKET, 18, Holds::Number),   // SO_RCVLOWAT
    (SOCKET, 25, Holds::Text(15)), // SO_BINDTODEVICE
    (SOCKET, 36, Holds::Number),   // SO_MARK
    (SOCKET, 47, Holds::Number),   // SO_MAX_PACING_RATE
    (SOCKET, 62, Holds::Number),   // SO_BINDTOIFINDEX
    (SOCKET, 74, Holds::Number),   // SO_TXREHASH
    (IP, 1, Holds::Number),        // IP_TOS
    (IPV6, 67, Holds::Number),     // IPV6_TCLASS
    (IPV6, 70, Holds::Number),     // IPV6_AUTOFLOWLABEL
    (TCP, 1, Holds::Number),       // TCP_NODELAY
    (TCP, 2, Holds::Number),       // TCP_MAXSEG
    (TCP, 4, Holds::Number),       // TCP_KEEPIDLE
    (TCP, 5, Holds::Number),       // TCP_KEEPINTVL
    (TCP, 6, Holds::Number),       // TCP_KEEPCNT
    (TCP, 7, Holds::Number),       // TCP_SYNCNT
    (TCP, 10, Holds::Number),      // TCP_WINDOW_CLAMP
    (TCP, 13, Holds::Text(16)),    // TCP_CONGESTION
    (TCP, 16, Holds::Number),      // TCP_THIN_LINEAR_TIMEOUTS
    (TCP, 18, Holds::Number),      // TCP_USER_TIMEOUT
    (TCP, 25, Holds::Number),      // TCP_NOTSENT_LOWAT
    (TCP, 27, Holds::Number),      // TCP_SAVE_SYN
    (TCP, 1001, Holds::Number),    // TCP_BPF_IW
    (TCP, 1002, Holds::Number),    // TCP_BPF_SNDCWND_CLAMP
    (TCP, 1003, Holds::Number),    // TCP_BPF_DELACK_MAX
    (TCP, 1004, Holds::Number),    // TCP_BPF_RTO_MIN
    (TCP, 1008, Holds::Number),    // TCP_BPF_SOCK_OPS_CB_FLAGS
];

/// The option that r2 and r3 name.
fn named(run: &Run<'_>) -> Result<Option<&'static Named>, Stop> {
    let (level, name) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits as u32);
    Ok(OPTIONS.iter().find(|option| (option.0, option.1) == (level, name)))
}

/// `bpf_setsockopt(socket, level, name, value, len)`.
fn set(run: &mut Run<'_>) -> Result<Value, Stop> {
    let len = run.size_argument(Reg::R5)?;
    let value = run.bytes_argument("bpf_setsockopt", Reg::R4, len)?;
    let Some(&(level, name, holds)) = named(run)? else { return Ok(failure(Errno::EINVAL)) };
    let value = match holds {
        Holds::Number if len != 4 => return Ok(failure(Errno::EINVAL)),
        Holds::Number => value.to_vec(),
        Holds::Text(most) => value[..value.len().min(most)].to_vec(),
    };
    run.held.rare().options.insert((level, name), value);
    Ok(Value::scalar(0))
}

/// `bpf_getsockopt(socket, level, name, value, len)`: zeros where nothing was set.
fn get(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_getsockopt";
    let len = run.size_argument(Reg::R5)? as usize;
    run.writable_argument(NAME, Reg::R4, len as u64)?;
    let named = named(run)?.filter(|(.., holds)| *holds != Holds::Number || len == 4);
    let mut value =
        named.map(|(level, name, _)| run.held.rare().options.get(&(*level, *name)).cloned());
    let mut bytes = value.take().flatten().unwrap_or_default();
    bytes.resize(len, 0);
    run.write_argument(NAME, Reg::R4, &bytes)?;
    Ok(status(named.map(|_| ()).ok_or(Errno::EINVAL)))
}

/// `bpf_bind(ctx, address, len)`: the address is any that a socket may have.
fn bind(run: &mut Run<'_>) -> Result<Value, Stop> {
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    /// Bytes of `struct sockaddr_in`, and of the least of `struct sockaddr_in6`.
    const V4: usize = 16;
    const V6: usize = 24;
    let len = run.size_argument(Reg::R3)?;
    let address = run.bytes_argument("bpf_bind", Reg::R2, len)?;
    let family = address.first_chunk().copied().map(u16::from_ne_bytes);
    Ok(status(match family {
        None => Err(Errno::EINVAL),
        Some(AF_INET) if address.len() < V4 => Err(Errno::EINVAL),
        Some(AF_INET6) if address.len() < V6 => Err(Errno::EINVAL),
        Some(AF_INET | AF_INET6) => Ok(()),
        Some(_) => Err(Errno::EAFNOSUPPORT),
    }))
}

/// `bpf_sock_ops_cb_flags_set(ctx, flags)`: gives those that there are not.
fn set_callbacks(run: &mut Run<'_>) -> Result<Value, Stop> {
    const ALL: u32 = 0x7f;
    let flags = run.read(Reg::R2)?.bits as u32;
    let context = run.context.plain().filter(|plain| plain.kind() == ProgType::SockOps);
    let Some(context) = context else { return Ok(failure(Errno::EINVAL)) };
    if context.word(sock_ops::IS_FULLSOCK) == 0 {
        return Ok(failure(Errno::EINVAL));
    }
    context.put_word(sock_ops::BPF_SOCK_OPS_CB_FLAGS, flags & ALL);
    Ok(Value::scalar((flags & !ALL).into()))
}

/// `bpf_tcp_send_ack(tp, number)`: nothing is sent.
fn nothing(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R1)?;
    Ok(Value::scalar(0))
}
