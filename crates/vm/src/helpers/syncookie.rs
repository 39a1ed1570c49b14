//! Cookies in the place of half-open connections (RFC 4987): made of a packet's addresses and
//! ports by a secret of the kernel's. Counterpart: `net/ipv4/syncookies.c`,
//! `bpf_tcp_raw_gen_syncookie_ipv4` and its like in `net/core/filter.c`.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_abi::limits::TCP_HEADER;
use skep_isa::Reg;

use super::{Function, failure};
use crate::memory::value::Value;
use crate::run::environment::Environment;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::TCP_RAW_GEN_SYNCOOKIE_IPV4, generate_v4),
    (id::TCP_RAW_GEN_SYNCOOKIE_IPV6, generate_v6),
    (id::TCP_RAW_CHECK_SYNCOOKIE_IPV4, check_v4),
    (id::TCP_RAW_CHECK_SYNCOOKIE_IPV6, check_v6),
];

/// Minutes that a cookie is good for.
const MOST_MINUTES: u32 = 2;
/// Segment sizes that a cookie can name, of both versions of IP.
const SIZES_V4: [u16; 4] = [536, 1300, 1440, 1460];
const SIZES_V6: [u16; 4] = [1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60];
/// What is taken where a packet names no size.
const DEFAULT_V4: u16 = 536;
const DEFAULT_V6: u16 = 1280 - 20 - 40;

/// A packet's addresses, ports and number.
struct Connection {
    addresses: Vec<u8>,
    ports: [u8; 4],
    sequence: u32,
}

impl Connection {
    fn new(addresses: &[u8], tcp: &[u8]) -> Connection {
        let ports = tcp.first_chunk().copied().unwrap_or_default();
        Connection { addresses: addresses.to_vec(), ports, sequence: word(tcp, 4) }
    }

    fn hash(&self, env: &Environment, count: u32, round: u8) -> u32 {
        let count = count.to_ne_bytes();
        env.flow_hash(&[&self.addresses[..], &self.ports, &count, &[round]].concat())
    }

    /// The cookie that names entry `size` of the table.
    fn cookie(&self, env: &Environment, minute: u32, size: u32) -> u32 {
        let low = self.hash(env, minute, 1).wrapping_add(size) & LOW;
        let high = self.hash(env, 0, 0).wrapping_add(self.sequence);
        high.wrapping_add(minute << 24).wrapping_add(low)
    }

    /// The entry that a cookie names, if it is one.
    fn named(&self, env: &Environment, minute: u32, cookie: u32) -> Option<u32> {
        let rest = cookie.wrapping_sub(self.hash(env, 0, 0)).wrapping_sub(self.sequence);
        let age = minute.wrapping_sub(rest >> 24) & 0xff;
        let made = minute.wrapping_sub(age);
        let size = rest.wrapping_sub(self.hash(env, made, 1)) & LOW;
        (age < MOST_MINUTES && size < SIZES_V4.len() as u32).then_some(size)
    }
}

const LOW: u32 = 0x00ff_ffff;

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_be_bytes)
}

/// The largest segment that the options of a TCP header name.
fn segment(tcp: &[u8]) -> Option<u16> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const SEGMENT: u8 = 2;
    let mut options = tcp.get(TCP_HEADER..)?;
    loop {
        match *options {
            [] | [END, ..] => return None,
            [NOTHING, ref rest @ ..] => options = rest,
            [SEGMENT, 4, high, low, ..] => {
                return Some(u16::from_be_bytes([high, low])).filter(|size| *size > 0);
            }
            [_, len, ..] if len >= 2 => options = options.get(len.into()..)?,
            _ => return None,
        }
    }
}

fn minute(run: &Run<'_>) -> u32 {
    (run.now() / 60_000_000_000) as u32
}

/// A version of IP: bytes of its header, where the addresses lie in it, and the sizes of segments.
struct Version {
    header: usize,
    addresses: std::ops::Range<usize>,
    sizes: &'static [u16; 4],
    default: u16,
}

impl Version {
    /// That of a packet.
    fn of(ip: &[u8]) -> Result<&'static Version, Errno> {
        let version = match ip.first().map(|first| first >> 4) {
            Some(4) => &V4,
            Some(6) => &V6,
            _ => return Err(Errno::EPROTONOSUPPORT),
        };
        if ip.len() < version.header { Err(Errno::EINVAL) } else { Ok(version) }
    }

    fn connection(&self, ip: &[u8], tcp: &[u8]) -> Connection {
        Connection::new(ip.get(self.addresses.clone()).unwrap_or_default(), tcp)
    }

    /// The cookie of a packet, and the size of segments that it names.
    fn cookie(&self, run: &Run<'_>, ip: &[u8], tcp: &[u8]) -> u64 {
        let asked = segment(tcp).unwrap_or(self.default);
        let size = self.sizes.iter().rposition(|size| *size <= asked).unwrap_or(0);
        let cookie = self.connection(ip, tcp).cookie(&run.env, minute(run), size as u32);
        u64::from(cookie) | u64::from(self.sizes[size]) << 32
    }

    /// Whether what a packet acknowledges is a cookie.
    fn acknowledged(&self, run: &Run<'_>, ip: &[u8], tcp: &[u8]) -> bool {
        let mut connection = self.connection(ip, tcp);
        // Of the packet that opened the connection: one before this one's.
        connection.sequence = connection.sequence.wrapping_sub(1);
        let cookie = word(tcp, 8).wrapping_sub(1);
        connection.named(&run.env, minute(run), cookie).is_some()
    }
}

/// The cookie for a packet that opens a connection.
pub(super) fn for_packet(run: &Run<'_>, ip: &[u8], tcp: &[u8]) -> Result<u64, Errno> {
    Ok(Version::of(ip)?.cookie(run, ip, tcp))
}

/// Whether a packet acknowledges one.
pub(super) fn check_packet(run: &Run<'_>, ip: &[u8], tcp: &[u8]) -> Result<(), Errno> {
    match Version::of(ip)?.acknowledged(run, ip, tcp) {
        true => Ok(()),
        false => Err(Errno::ENOENT),
    }
}

fn generate(run: &mut Run<'_>, name: &'static str, version: &Version) -> Result<Value, Stop> {
    let len = run.size_argument(Reg::R3)?;
    let ip = run.bytes_argument(name, Reg::R1, version.header as u64)?;
    let tcp = run.bytes_argument(name, Reg::R2, len)?;
    if len < TCP_HEADER as u64 || len != u64::from(tcp[12] >> 4) * 4 {
        return Ok(failure(Errno::EINVAL));
    }
    Ok(Value::scalar(version.cookie(run, &ip, &tcp)))
}

fn check(run: &mut Run<'_>, name: &'static str, version: &Version) -> Result<Value, Stop> {
    let ip = run.bytes_argument(name, Reg::R1, version.header as u64)?;
    let tcp = run.bytes_argument(name, Reg::R2, TCP_HEADER as u64)?;
    Ok(match version.acknowledged(run, &ip, &tcp) {
        true => Value::scalar(0),
        false => failure(Errno::EACCES),
    })
}

static V4: Version =
    Version { header: 20, addresses: 12..20, sizes: &SIZES_V4, default: DEFAULT_V4 };
static V6: Version =
    Version { header: 40, addresses: 8..40, sizes: &SIZES_V6, default: DEFAULT_V6 };

/// `bpf_tcp_raw_gen_syncookie_ipv4(ip, tcp, len)`.
fn generate_v4(run: &mut Run<'_>) -> Result<Value, Stop> {
    generate(run, "bpf_tcp_raw_gen_syncookie_ipv4", &V4)
}

/// `bpf_tcp_raw_gen_syncookie_ipv6(ip, tcp, len)`.
fn generate_v6(run: &mut Run<'_>) -> Result<Value, Stop> {
    generate(run, "bpf_tcp_raw_gen_syncookie_ipv6", &V6)
}

/// `bpf_tcp_raw_check_syncookie_ipv4(ip, tcp)`.
fn check_v4(run: &mut Run<'_>) -> Result<Value, Stop> {
    check(run, "bpf_tcp_raw_check_syncookie_ipv4", &V4)
}

/// `bpf_tcp_raw_check_syncookie_ipv6(ip, tcp)`.
fn check_v6(run: &mut Run<'_>) -> Result<Value, Stop> {
    check(run, "bpf_tcp_raw_check_syncookie_ipv6", &V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_two_minutes_and_for_its_own_connection() {
        let env = Environment::new(1);
        let of = |last: u8| Connection::new(&[1, 2, 3, 4, 5, 6, 7, last], &[9; 20]);
        let cookie = of(8).cookie(&env, 41, 2);
        assert_eq!(of(8).named(&env, 41, cookie), Some(2));
        assert_eq!(of(8).named(&env, 42, cookie), Some(2));
        assert_eq!(of(8).named(&env, 43, cookie), None);
        assert_eq!(of(9).named(&env, 41, cookie), None);
    }

    #[test]
    fn the_segment_size_is_found_behind_other_options() {
        let mut tcp = vec![0; 20];
        tcp.extend([1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 5, 180, 0]);
        assert_eq!(segment(&tcp), Some(1460));
        assert_eq!(segment(&tcp[..20]), None);
        tcp[21] = 8;
        tcp[22] = 0;
        assert_eq!(segment(&tcp), None, "an option of no length ends them");
    }
}
