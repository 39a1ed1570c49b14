//! The tunnel that a packet goes into: its key and its options. Counterpart:
//! `bpf_skb_set_tunnel_key` and its like in `net/core/filter.c`.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;

use super::{Function, failure, status};
use crate::contexts::tunnel::{self, Family, Key, Tunnel};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::SKB_GET_TUNNEL_KEY, get_key),
    (id::SKB_SET_TUNNEL_KEY, set_key),
    (id::SKB_GET_TUNNEL_OPT, get_options),
    (id::SKB_SET_TUNNEL_OPT, set_options),
];

const IPV6: u64 = 1 << 0;
const ZERO_CHECKSUM: u64 = 1 << 1;
const DONT_FRAGMENT: u64 = 1 << 2;
const SEQUENCE: u64 = 1 << 3;
const NO_KEY: u64 = 1 << 4;
/// Of a look: give the tunnel's flags.
const FLAGS: u64 = 1 << 4;

/// Whether a structure of so many bytes is one that programs were ever built with.
fn is_known(size: usize, family: Option<Family>) -> bool {
    match size {
        Key::SIZE | Key::LOCAL | Key::LABEL | Key::EXT => true,
        Key::OLDEST => family != Some(Family::V6),
        _ => false,
    }
}

/// `bpf_skb_get_tunnel_key(skb, key, size, flags)`.
fn get_key(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_skb_get_tunnel_key";
    let (size, flags) = (run.size_argument(Reg::R3)?, run.read(Reg::R4)?.bits);
    run.writable_argument(NAME, Reg::R2, size)?;
    let skb = run.skb_argument(NAME)?;
    let family = if flags & IPV6 != 0 { Family::V6 } else { Family::V4 };
    let found = match &skb.tunnel {
        _ if flags & !(IPV6 | FLAGS) != 0 => Err(Errno::EINVAL),
        None => Err(Errno::EINVAL),
        Some(tunnel) if tunnel.family != family => Err(Errno::EPROTO),
        Some(tunnel) if is_known(size as usize, Some(tunnel.family)) => {
            Ok(tunnel.seen(flags & FLAGS != 0))
        }
        Some(_) => Err(Errno::EINVAL),
    };
    let mut bytes = found.as_ref().map_or([0; Key::SIZE], |key| key.0).to_vec();
    bytes.resize(size as usize, 0);
    run.write_argument(NAME, Reg::R2, &bytes)?;
    Ok(status(found.map(|_| ())))
}

/// `bpf_skb_set_tunnel_key(skb, key, size, flags)`.
fn set_key(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_skb_set_tunnel_key";
    let (size, flags) = (run.size_argument(Reg::R3)?, run.read(Reg::R4)?.bits);
    let given = run.bytes_argument(NAME, Reg::R2, size)?;
    let skb = run.skb_argument(NAME)?;
    let known = IPV6 | ZERO_CHECKSUM | DONT_FRAGMENT | SEQUENCE | NO_KEY;
    if flags & !known != 0 || !is_known(size as usize, None) {
        return Ok(failure(Errno::EINVAL));
    }
    let mut key = Key([0; Key::SIZE]);
    key.0[..given.len()].copy_from_slice(&given);
    let family = if flags & IPV6 != 0 { Family::V6 } else { Family::V4 };
    if family == Family::V4 && key.word(Key::LABEL) != 0 || key.half(Key::EXT) != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let mut marks = tunnel::NO_CACHE;
    for (is_set, mark) in [
        (flags & DONT_FRAGMENT != 0, tunnel::DONT_FRAGMENT),
        (flags & ZERO_CHECKSUM == 0, tunnel::CHECKSUM),
        (flags & SEQUENCE != 0, tunnel::SEQUENCE),
        (flags & NO_KEY == 0, tunnel::KEY),
    ] {
        marks |= if is_set { mark } else { 0 };
    }
    skb.tunnel = Some(Tunnel { key, family, marks, options: Vec::new() });
    Ok(Value::scalar(0))
}

/// `bpf_skb_get_tunnel_opt(skb, options, size)`: gives their length.
fn get_options(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_skb_get_tunnel_opt";
    let size = run.size_argument(Reg::R3)? as usize;
    run.writable_argument(NAME, Reg::R2, size as u64)?;
    let found = match &run.skb_argument(NAME)?.tunnel {
        Some(tunnel) if tunnel.marks & tunnel::OPTIONS != 0 => match tunnel.options.len() {
            len if len > size => Err(Errno::ENOMEM),
            _ => Ok(tunnel.options.clone()),
        },
        _ => Err(Errno::ENOENT),
    };
    let len = found.as_ref().map(|options| options.len() as u64).map_err(|errno| *errno);
    let mut bytes = found.unwrap_or_default();
    bytes.resize(size, 0);
    run.write_argument(NAME, Reg::R2, &bytes)?;
    Ok(super::number(len))
}

/// `bpf_skb_set_tunnel_opt(skb, options, size)`: after the key.
fn set_options(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_skb_set_tunnel_opt";
    /// Most bytes of options (`IP_TUNNEL_OPTS_MAX`).
    const MOST: usize = 255;
    let size = run.size_argument(Reg::R3)?;
    let options = run.bytes_argument(NAME, Reg::R2, size)?;
    let Some(tunnel) = &mut run.skb_argument(NAME)?.tunnel else {
        return Ok(failure(Errno::EINVAL));
    };
    Ok(status(match options.len() {
        len if len % 4 != 0 => Err(Errno::EINVAL),
        len if len > MOST => Err(Errno::ENOMEM),
        _ => {
            tunnel.options = options.to_vec();
            tunnel.marks |= tunnel::OPTIONS;
            Ok(())
        }
    }))
}
