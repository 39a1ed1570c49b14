//! Route netlink, as far as programs are concerned: which XDP programs interfaces have, and
//! filters of the classic traffic control (rtnetlink(7), tc-bpf(8)). What is attached so stays
//! until it is taken away: nothing here goes with a process.
//!
//! Messages and attributes are read by [`Messages`] and [`Attributes`], which believe no
//! length.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::fd::Fd;

/// Types of messages.
mod message {
    pub const ERROR: u16 = 2;
    pub const DONE: u16 = 3;
    pub const GET_LINK: u16 = 18;
    pub const SET_LINK: u16 = 19;
    pub const NEW_QDISC: u16 = 36;
    pub const DEL_QDISC: u16 = 37;
    pub const NEW_FILTER: u16 = 44;
    pub const DEL_FILTER: u16 = 45;
    pub const GET_FILTER: u16 = 46;
}

/// Flags of requests.
mod flag {
    pub const REQUEST: u16 = 1;
    pub const ACK: u16 = 4;
    pub const DUMP: u16 = 0x300;
    pub const EXCLUSIVE: u16 = 0x200;
    pub const CREATE: u16 = 0x400;
}

/// Attributes of an interface, and inside of its `IFLA_XDP`.
mod link {
    pub const SIZE: usize = 16;
    pub const NAME: u16 = 3;
    pub const XDP: u16 = 43;
    pub const XDP_FD: u16 = 1;
    pub const XDP_FLAGS: u16 = 3;
    pub const XDP_ATTACHED: u16 = 2;
    pub const XDP_PROG: u16 = 4;
    pub const XDP_DRIVER: u16 = 5;
    pub const XDP_GENERIC: u16 = 6;
    pub const XDP_OFFLOAD: u16 = 7;
}

/// Attributes of traffic control, and inside of a `bpf` filter's options.
mod tc {
    pub const SIZE: usize = 20;
    pub const KIND: u16 = 1;
    pub const OPTIONS: u16 = 2;
    pub const BPF_FD: u16 = 6;
    pub const BPF_NAME: u16 = 7;
    pub const BPF_FLAGS: u16 = 8;
    pub const BPF_ID: u16 = 11;
    pub const DIRECT: u32 = 1;
    /// Where the queueing discipline `clsact` stands.
    pub const CLSACT: u32 = 0xffff_fff1;
    pub const CLSACT_HANDLE: u32 = 0xffff_0000;
}

/// What says that an attribute holds attributes.
const NESTED: u16 = 0x8000;
/// `ETH_P_ALL`, as it goes over the wire.
const ALL_PROTOCOLS: u32 = (3u16.to_be()) as u32;

/// Messages of an answer: type, sequence number, what it says.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (u16, u32, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        const HEADER: usize = 16;
        let len = u32_at(self.0, 0)? as usize;
        let (kind, sequence) = (u16_at(self.0, 4)?, u32_at(self.0, 8)?);
        let body = self.0.get(HEADER..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, sequence, body))
    }
}

/// Attributes: type, bytes.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        let (len, kind) = (usize::from(u16_at(self.0, 0)?), u16_at(self.0, 2)?);
        let bytes = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !NESTED, bytes))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// The XDP programs of an interface, by where they run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XdpPrograms {
    /// The interface.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// `XDP_ATTACHED_*`: 0 none, 1 driver, 2 generic, 3 offload, 4 several.
    pub mode: u8,
    /// The program's id, where there is one.
    pub id: u32,
    /// Ids where there are several: generic, driver, offload.
    pub several: [u32; 3],
}

impl XdpPrograms {
    /// What an answer to `RTM_GETLINK` says.
    pub fn parse(body: &[u8]) -> Option<XdpPrograms> {
        let mut found = XdpPrograms { ifindex: u32_at(body, 4)?, ..XdpPrograms::default() };
        for (kind, bytes) in Attributes(body.get(link::SIZE..)?) {
            match kind {
                link::NAME => found.name = text(bytes),
                link::XDP => {
                    for (kind, bytes) in Attributes(bytes) {
                        let id = u32_at(bytes, 0).unwrap_or(0);
                        match kind {
                            link::XDP_ATTACHED => found.mode = bytes.first().copied().unwrap_or(0),
                            link::XDP_PROG => found.id = id,
                            link::XDP_GENERIC => found.several[0] = id,
                            link::XDP_DRIVER => found.several[1] = id,
                            link::XDP_OFFLOAD => found.several[2] = id,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(found)
    }
}

/// Which way packets go that a filter of traffic control sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
#[repr(u32)]
pub enum Direction {
    Ingress = 0xffff_fff2,
    Egress = 0xffff_fff3,
}

/// A `bpf` filter of traffic control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcFilter {
    /// Its interface.
    pub ifindex: u32,
    /// Lower ones come first.
    pub priority: u16,
    /// Its number among those of its priority.
    pub handle: u32,
    /// The name that it was given.
    pub name: String,
    /// The program.
    pub id: u32,
    /// Whether what the program returns decides.
    pub direct: bool,
}

impl TcFilter {
    /// What an answer to `RTM_GETTFILTER` says; `None` where it is another kind of filter.
    pub fn parse(body: &[u8]) -> Option<TcFilter> {
        let (ifindex, handle, info) = (u32_at(body, 4)?, u32_at(body, 8)?, u32_at(body, 16)?);
        let (mut is_bpf, name) = (false, String::new());
        let priority = (info >> 16) as u16;
        let mut found = TcFilter { ifindex, priority, handle, name, id: 0, direct: false };
        for (kind, bytes) in Attributes(body.get(tc::SIZE..)?) {
            match kind {
                tc::KIND => is_bpf = text(bytes) == "bpf",
                tc::OPTIONS => {
                    for (kind, bytes) in Attributes(bytes) {
                        let number = u32_at(bytes, 0).unwrap_or(0);
                        match kind {
                            tc::BPF_NAME => found.name = text(bytes),
                            tc::BPF_ID => found.id = number,
                            tc::BPF_FLAGS => found.direct = number & tc::DIRECT != 0,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        (is_bpf && found.id != 0).then_some(found)
    }
}

/// A request in the making.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Request {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | flag::REQUEST).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        Request(bytes)
    }

    fn attribute(&mut self, kind: u16, bytes: &[u8]) {
        self.0.extend((bytes.len() as u16 + 4).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Request)) {
        let start = self.0.len();
        self.attribute(kind | NESTED, &[]);
        fill(self);
        let len = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        let len = self.0.len() as u32;
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0
    }
}

/// The network configuration of the calling thread's network namespace.
#[derive(Debug)]
pub struct Route {
    socket: OwnedFd,
    sequence: u32,
}

impl Route {
    /// Opens it.
    ///
    /// # Errors
    /// The kernel has no netlink.
    pub fn open() -> io::Result<Route> {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            flags,
            // NETLINK_ROUTE, which is 0.
            None,
        )?;
        Ok(Route { socket, sequence: 0 })
    }

    /// Sends a request and takes its answers, up to the last one or the acknowledgement.
    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        fill: impl FnOnce(&mut Request),
        see: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = Request::new(kind, flags, self.sequence, body);
        fill(&mut request);
        rustix::net::send(&self.socket, &request.finish(), SendFlags::empty())?;
        let mut room = vec![0u8; 64 << 10];
        loop {
            let (len, _) = rustix::net::recv(&self.socket, &mut room[..], RecvFlags::empty())?;
            let mut any = false;
            for (kind, sequence, body) in Messages(&room[..len]) {
                any = true;
                if sequence != self.sequence {
                    continue;
                }
                match kind {
                    message::DONE => return Ok(()),
                    message::ERROR => {
                        return match u32_at(body, 0).unwrap_or(0) as i32 {
                            0 => Ok(()),
                            errno => Err(io::Error::from_raw_os_error(errno.wrapping_neg())),
                        };
                    }
                    _ => see(body),
                }
            }
            if !any {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    /// The interfaces, and their XDP programs.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn xdp_programs(&mut self) -> io::Result<Vec<XdpPrograms>> {
        let mut found = Vec::new();
        let mut see = |body: &[u8]| found.extend(XdpPrograms::parse(body));
        self.ask(message::GET_LINK, flag::DUMP, &[0; link::SIZE], |_| {}, &mut see)?;
        Ok(found)
    }

    /// Gives an interface an XDP program, or takes it away. `flags` are those of
    /// [`skep_abi::flags::xdp`].
    ///
    /// # Errors
    /// `EBUSY` where a link or, with a flag, another program is; `EOPNOTSUPP` where it cannot
    /// run.
    pub fn set_xdp(&mut self, ifindex: u32, program: Option<&Fd>, flags: u32) -> io::Result<()> {
        let fd = program.map_or(Ok(-1), of_linux)?;
        let mut body = [0; link::SIZE];
        body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        let fill = |request: &mut Request| {
            request.nested(link::XDP, |request| {
                request.attribute(link::XDP_FD, &fd.to_ne_bytes());
                if flags != 0 {
                    request.attribute(link::XDP_FLAGS, &flags.to_ne_bytes());
                }
            });
        };
        self.ask(message::SET_LINK, flag::ACK, &body, fill, &mut |_| {})
    }

    /// The `bpf` filters of an interface, one way.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn filters(&mut self, ifindex: u32, way: Direction) -> io::Result<Vec<TcFilter>> {
        let mut found = Vec::new();
        let body = tc_message(ifindex, 0, way as u32, 0);
        let mut see = |body: &[u8]| found.extend(TcFilter::parse(body));
        match self.ask(message::GET_FILTER, flag::DUMP, &body, |_| {}, &mut see) {
            // There is no place for filters.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Vec::new()),
            other => other.map(|()| found),
        }
    }

    /// Makes the place for filters of an interface (`clsact`). Gives whether it was not there.
    ///
    /// # Errors
    /// There is no such interface, or the caller may not.
    pub fn add_clsact(&mut self, ifindex: u32) -> io::Result<bool> {
        let body = tc_message(ifindex, tc::CLSACT_HANDLE, tc::CLSACT, 0);
        let flags = flag::ACK | flag::CREATE | flag::EXCLUSIVE;
        let kind = |request: &mut Request| request.attribute(tc::KIND, b"clsact\0");
        match self.ask(message::NEW_QDISC, flags, &body, kind, &mut |_| {}) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Takes it away, with all its filters.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove_clsact(&mut self, ifindex: u32) -> io::Result<()> {
        let body = tc_message(ifindex, tc::CLSACT_HANDLE, tc::CLSACT, 0);
        self.ask(message::DEL_QDISC, flag::ACK, &body, |_| {}, &mut |_| {})
    }

    /// Adds a filter whose program decides by what it returns.
    ///
    /// # Errors
    /// One of this priority and handle is there (`EEXIST`), or no place for it.
    pub fn add_filter(
        &mut self,
        way: Direction,
        filter: &TcFilter,
        program: &Fd,
    ) -> io::Result<()> {
        let fd = of_linux(program)?;
        let info = u32::from(filter.priority) << 16 | ALL_PROTOCOLS;
        let body = tc_message(filter.ifindex, filter.handle, way as u32, info);
        let fill = |request: &mut Request| {
            request.attribute(tc::KIND, b"bpf\0");
            request.nested(tc::OPTIONS, |request| {
                request.attribute(tc::BPF_FD, &fd.to_ne_bytes());
                let name: Vec<u8> =
                    filter.name.bytes().filter(|&byte| byte != 0).take(255).collect();
                request.attribute(tc::BPF_NAME, &[&name[..], &[0]].concat());
                let flags = if filter.direct { tc::DIRECT } else { 0 };
                request.attribute(tc::BPF_FLAGS, &flags.to_ne_bytes());
            });
        };
        let flags = flag::ACK | flag::CREATE | flag::EXCLUSIVE;
        self.ask(message::NEW_FILTER, flags, &body, fill, &mut |_| {})
    }

    /// Takes the filter of a priority and a handle away.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove_filter(&mut self, way: Direction, filter: &TcFilter) -> io::Result<()> {
        let info = u32::from(filter.priority) << 16 | ALL_PROTOCOLS;
        let body = tc_message(filter.ifindex, filter.handle, way as u32, info);
        let kind = |request: &mut Request| request.attribute(tc::KIND, b"bpf\0");
        self.ask(message::DEL_FILTER, flag::ACK, &body, kind, &mut |_| {})
    }
}

/// A `struct tcmsg`.
fn tc_message(ifindex: u32, handle: u32, parent: u32, info: u32) -> [u8; tc::SIZE] {
    let mut body = [0; tc::SIZE];
    for (at, number) in [(4, ifindex), (8, handle), (12, parent), (16, info)] {
        body[at..at + 4].copy_from_slice(&number.to_ne_bytes());
    }
    body
}

/// The number of a program that is Linux's: to netlink, one of another kernel's would be some
/// other file.
fn of_linux(program: &Fd) -> io::Result<i32> {
    match program.kernel().name() {
        "linux" => Ok(program.raw()),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut request = Request::new(message::NEW_FILTER, 0, 7, &tc_message(3, 1, 2, 5 << 16));
        request.attribute(tc::KIND, b"bpf\0");
        request.nested(tc::OPTIONS, |request| {
            request.attribute(tc::BPF_NAME, b"me\0");
            request.attribute(tc::BPF_ID, &9u32.to_ne_bytes());
            request.attribute(tc::BPF_FLAGS, &1u32.to_ne_bytes());
        });
        let bytes = request.finish();
        let (kind, sequence, body) = Messages(&bytes).next().expect("a message");
        assert_eq!((kind, sequence), (message::NEW_FILTER, 7));
        let expected =
            TcFilter { ifindex: 3, priority: 5, handle: 1, name: "me".into(), id: 9, direct: true };
        assert_eq!(TcFilter::parse(body), Some(expected));
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        for len in 0..32u8 {
            let bytes = [len, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0];
            assert!(Messages(&bytes).count() <= 1, "{len}");
            assert!(Attributes(&bytes).count() <= 5, "{len}");
        }
        assert_eq!(XdpPrograms::parse(&[0; 4]), None);
    }
}
