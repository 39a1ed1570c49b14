//! Packets of the machine's interfaces: a packet socket whose packets the kernel writes into
//! a ring of blocks that both map (`PACKET_RX_RING` of version 3, packet(7)), and a classic
//! filter that it runs before (`SO_ATTACH_FILTER`).
//!
//! A block belongs to the kernel until its status says otherwise, and is given back when the
//! next packet is asked for after its last one. What is handed out is borrowed until then.
//! What is to leave by an interface goes by a [`Sender`].

mod send;
mod socket;

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use send::{Offload, Sender, Sent};
use socket::{bind, set};

/// An instruction of a filter, as the kernel reads it (`struct sock_filter`).
pub type FilterInsn = [u8; 8];

/// Has the kernel drop what arrives at a socket unless a filter takes it.
///
/// # Errors
/// The kernel refuses the program (`EINVAL`), or the socket takes none.
pub fn attach_filter(socket: BorrowedFd<'_>, program: &[FilterInsn]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        len: u16,
        insns: *const FilterInsn,
    }
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program { len, insns: program.as_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// An interface of the network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// The kind of its hardware (`ARPHRD_*`).
    pub hardware: u16,
    /// Its hardware address, where that has six bytes.
    pub address: [u8; 6],
    /// Largest payload of a frame.
    pub mtu: u32,
}

/// The interfaces, by their index.
///
/// # Errors
/// The kernel does not list them.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0));
    let mut found = Vec::new();
    // SAFETY: the list ends with an entry of index 0, is read only, and freed once; its names
    // are zero-terminated.
    unsafe {
        let list = libc::if_nameindex();
        if list.is_null() {
            return Err(io::Error::last_os_error());
        }
        let mut entry = list;
        while (*entry).if_index != 0 {
            let name = std::ffi::CStr::from_ptr((*entry).if_name);
            let index = (*entry).if_index;
            let interface =
                socket.as_ref().ok().and_then(|socket| interface(socket.as_fd(), name, index));
            found.extend(interface);
            entry = entry.add(1);
        }
        libc::if_freenameindex(list);
    }
    found.sort_by_key(|interface| interface.index);
    Ok(found)
}

/// What the kernel says of an interface; none of one that has gone.
fn interface(socket: BorrowedFd<'_>, name: &std::ffi::CStr, index: u32) -> Option<Interface> {
    // SAFETY: all zeros is a valid request; the name is shorter than its field, so that a zero
    // stays behind it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let field = request.ifr_name.iter_mut().rev().skip(1).rev();
    for (to, from) in field.zip(name.to_bytes()) {
        *to = *from as libc::c_char;
    }
    // SAFETY: both calls read the name and write an answer of their own, plain bytes, into the
    // rest, of which that very answer is read.
    unsafe {
        let ask = |what, request: &mut libc::ifreq| {
            libc::ioctl(socket.as_raw_fd(), what, std::ptr::from_mut(request)) == 0
        };
        if !ask(libc::SIOCGIFHWADDR, &mut request) {
            return None;
        }
        let found = request.ifr_ifru.ifru_hwaddr;
        if !ask(libc::SIOCGIFMTU, &mut request) {
            return None;
        }
        let mtu = u32::try_from(request.ifr_ifru.ifru_mtu).ok()?;
        let bytes = found.sa_data.map(|byte| byte as u8);
        let address = bytes.first_chunk().copied().unwrap_or_default();
        let (name, hardware) = (name.to_str().ok()?.into(), found.sa_family);
        Some(Interface { name, index, hardware, address, mtu })
    }
}

/// How packets are captured.
#[derive(Clone, Copy, Debug)]
pub struct CaptureOptions {
    /// Bytes of the ring.
    pub buffer: usize,
    /// Whether the interface gives what is not meant for this machine, too.
    pub promiscuous: bool,
    /// Whether packets come without the header of their link: of it is known what stands in
    /// [`Captured`]. Interface 0 is all of them then.
    pub cooked: bool,
    /// Whether what this machine sends by the interface is captured, too.
    pub outgoing: bool,
    /// Whether packets come with what their sender left to the device ([`Captured::offload`]).
    pub offloads: bool,
    /// After how long a block is handed over that is not full.
    pub delay: Duration,
}

impl Default for CaptureOptions {
    fn default() -> CaptureOptions {
        CaptureOptions {
            buffer: 4 << 20,
            promiscuous: true,
            cooked: false,
            outgoing: true,
            offloads: false,
            delay: Duration::from_millis(50),
        }
    }
}

/// A packet in the ring.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// What was captured of it.
    pub data: &'a [u8],
    /// Its length on the wire.
    pub len: u32,
    /// When it came, in nanoseconds since 1970.
    pub time: u64,
    /// The VLAN tag that the kernel took out, with its Ethernet type.
    pub tag: Option<(u16, u16)>,
    /// The interface's index.
    pub interface: u32,
    /// To us, to others, broadcast, outgoing (`PACKET_*`).
    pub packet_type: u8,
    /// Its Ethernet type.
    pub protocol: u16,
    /// The kind of the interface's hardware (`ARPHRD_*`).
    pub hardware: u16,
    /// The sender's hardware address, and how many of its bytes count.
    pub sender: ([u8; 8], u8),
    /// What its sender left to the device, where that was asked for.
    pub offload: Offload,
}

/// What an outgoing packet's type is (`PACKET_OUTGOING`).
pub const OUTGOING: u8 = 4;

/// What a socket's filter let through since the last question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that the filter took, those that were dropped included.
    pub received: u32,
    /// Packets for which the ring had no room.
    pub dropped: u32,
}

/// `TPACKET_V3`.
const VERSION: i32 = 2;

const BLOCK: usize = 1 << 18;

/// Where fields stand in a block (`struct tpacket_block_desc`).
mod block {
    pub const STATUS: usize = 8;
    pub const PACKETS: usize = 12;
    pub const FIRST: usize = 16;
}

/// Where they stand in a packet's header (`struct tpacket3_hdr`), and behind it the address
/// (`struct sockaddr_ll`).
mod header {
    pub const NEXT: usize = 0;
    pub const SECONDS: usize = 4;
    pub const NANOSECONDS: usize = 8;
    pub const CAPTURED: usize = 12;
    pub const LEN: usize = 16;
    pub const STATUS: usize = 20;
    pub const DATA: usize = 24;
    pub const TAG: usize = 32;
    pub const TAG_TYPE: usize = 36;
    pub const ADDRESS: usize = 48;
    pub const PROTOCOL: usize = ADDRESS + 2;
    pub const INTERFACE: usize = ADDRESS + 4;
    pub const HARDWARE: usize = ADDRESS + 8;
    pub const PACKET_TYPE: usize = ADDRESS + 10;
    pub const SENDER_LEN: usize = ADDRESS + 11;
    pub const SENDER: usize = ADDRESS + 12;
    pub const END: usize = ADDRESS + 20;
}

const TAG_VALID: u32 = 1 << 4;
const TAG_TYPE_VALID: u32 = 1 << 6;
const OF_USER: u32 = 1;

/// Ethernet's tag, where the kernel does not say which.
const ORDINARY_TAG: u16 = 0x8100;

/// A socket on an interface, with its ring.
#[derive(Debug)]
pub struct PacketRing {
    socket: OwnedFd,
    ring: NonNull<u8>,
    blocks: usize,
    /// The block that is read, how many of its packets are left and where the next one is.
    at: usize,
    left: u32,
    next: usize,
    /// Whether the block is ours until it is given back.
    held: bool,
    offloads: bool,
}

// SAFETY: the mapping is this value's alone, and every access to it goes through `&mut self`
// but for the drop.
unsafe impl Send for PacketRing {}

impl PacketRing {
    /// Opens a socket on an interface, by its index; the filter is there before the first
    /// packet is.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW; `EINVAL` for a filter that the kernel refuses; what
    /// `ENODEV` and others say of the interface.
    pub fn open(
        interface: u32,
        filter: &[FilterInsn],
        options: CaptureOptions,
    ) -> io::Result<PacketRing> {
        // No protocol yet: packets come once the socket is bound.
        // SAFETY: the call takes numbers; the fd that it gives is nobody else's.
        let socket = unsafe {
            let kind = if options.cooked { libc::SOCK_DGRAM } else { libc::SOCK_RAW };
            let fd = libc::socket(libc::AF_PACKET, kind | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let fd = socket.as_fd();
        set(fd, libc::SOL_PACKET, libc::PACKET_VERSION, &VERSION)?;
        if options.offloads {
            set(fd, libc::SOL_PACKET, socket::VNET_HDR, &1)?;
        }
        if !options.outgoing {
            set(fd, libc::SOL_PACKET, socket::IGNORE_OUTGOING, &1)?;
        }
        let blocks = (options.buffer / BLOCK).clamp(2, 1 << 12);
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: BLOCK as u32,
            tp_frame_nr: blocks as u32,
            tp_retire_blk_tov: options.delay.as_millis().clamp(1, 1000) as u32,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        if !filter.is_empty() {
            attach_filter(fd, filter)?;
        }
        if options.promiscuous && interface != 0 {
            let member = libc::packet_mreq {
                mr_ifindex: interface as i32,
                mr_type: libc::PACKET_MR_PROMISC as u16,
                mr_alen: 0,
                mr_address: [0; 8],
            };
            set(fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &member)?;
        }
        // SAFETY: a new mapping of the ring that was just made, of its length; it is unmapped
        // when this value is dropped, and nobody else learns its address.
        let ring = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let (len, fd) = (blocks * BLOCK, socket.as_raw_fd());
            let ring = libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, fd, 0);
            if ring == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            NonNull::new_unchecked(ring.cast::<u8>())
        };
        let offloads = options.offloads;
        let ring =
            PacketRing { socket, ring, blocks, at: 0, left: 0, next: 0, held: false, offloads };
        bind(ring.socket.as_fd(), interface, libc::ETH_P_ALL as u16)?;
        Ok(ring)
    }

    /// The status word of the current block, which the kernel writes, too.
    fn status(&self) -> &AtomicU32 {
        // SAFETY: the block lies in the mapping, its status at a multiple of four; both sides
        // only access it as one word.
        unsafe {
            AtomicU32::from_ptr(self.ring.as_ptr().add(self.at * BLOCK + block::STATUS).cast())
        }
    }

    /// The next packet; `None` where none came within that time.
    ///
    /// # Errors
    /// The interface went away, or a signal came (`EINTR`).
    pub fn next(&mut self, wait: Duration) -> io::Result<Option<Captured<'_>>> {
        if self.left == 0 && !self.turn(wait)? {
            return Ok(None);
        }
        // SAFETY: the block is ours: the kernel does not write to it until it is given back,
        // which `turn` does, and that needs this value as a whole again.
        let block = unsafe {
            let start = self.ring.as_ptr().add(self.at * BLOCK);
            std::slice::from_raw_parts(start, BLOCK)
        };
        self.left -= 1;
        let found = block.get(self.next..).unwrap_or_default();
        if found.len() < header::END {
            self.left = 0;
            return Err(io::Error::other("a packet's header lies beyond its block"));
        }
        let word = |at: usize| {
            let bytes = found.get(at..).and_then(|rest| rest.first_chunk()).copied();
            u32::from_ne_bytes(bytes.unwrap_or_default())
        };
        let half = |at: usize| {
            let bytes = found.get(at..).and_then(|rest| rest.first_chunk()).copied();
            u16::from_ne_bytes(bytes.unwrap_or_default())
        };
        self.next += word(header::NEXT) as usize;
        let start = usize::from(half(header::DATA));
        let data = found.get(start..).and_then(|rest| rest.get(..word(header::CAPTURED) as usize));
        let sender = found.get(header::SENDER..).and_then(<[u8]>::first_chunk);
        let before = start.checked_sub(Offload::SIZE).filter(|_| self.offloads);
        let offload = before.and_then(|at| found.get(at..)?.first_chunk()).copied();
        let status = word(header::STATUS);
        let kind = match status & TAG_TYPE_VALID {
            0 => ORDINARY_TAG,
            _ => half(header::TAG_TYPE),
        };
        Ok(Some(Captured {
            data: data.unwrap_or_default(),
            len: word(header::LEN),
            time: u64::from(word(header::SECONDS)) * 1_000_000_000
                + u64::from(word(header::NANOSECONDS)),
            tag: (status & TAG_VALID != 0).then(|| (word(header::TAG) as u16, kind)),
            interface: word(header::INTERFACE),
            packet_type: found[header::PACKET_TYPE],
            protocol: u16::from_be(half(header::PROTOCOL)),
            hardware: half(header::HARDWARE),
            sender: (sender.copied().unwrap_or_default(), found[header::SENDER_LEN]),
            offload: Offload(offload.unwrap_or_default()),
        }))
    }

    /// Gives the block back that is read, and waits for the next one.
    fn turn(&mut self, wait: Duration) -> io::Result<bool> {
        if std::mem::take(&mut self.held) {
            self.status().store(0, Ordering::Release);
            self.at = (self.at + 1) % self.blocks;
        }
        if self.status().load(Ordering::Acquire) & OF_USER == 0 {
            let mut poll =
                libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            let milliseconds = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
            // SAFETY: one structure, which the call writes to.
            let ready = unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
            if ready < 0 {
                return Err(io::Error::last_os_error());
            }
            if poll.revents & (libc::POLLERR | libc::POLLNVAL) != 0 {
                return Err(io::Error::from_raw_os_error(self.take_error()));
            }
            if self.status().load(Ordering::Acquire) & OF_USER == 0 {
                return Ok(false);
            }
        }
        self.held = true;
        // SAFETY: as in `next`; these words lie in the block's first bytes.
        let word = |at: usize| unsafe {
            self.ring.as_ptr().add(self.at * BLOCK + at).cast::<u32>().read()
        };
        (self.left, self.next) = (word(block::PACKETS), word(block::FIRST) as usize);
        Ok(self.left > 0)
    }

    /// The error that waits at the socket, which is gone then.
    fn take_error(&self) -> i32 {
        let (mut error, mut len) = (0i32, size_of::<i32>() as libc::socklen_t);
        // SAFETY: one number, of which the kernel writes at most as many bytes as `len` says.
        let result = unsafe {
            let (fd, to) = (self.socket.as_raw_fd(), (&raw mut error).cast::<c_void>());
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, to, &raw mut len)
        };
        if result == 0 && error != 0 { error } else { libc::ENETDOWN }
    }

    /// Waits until one of these has something, an error among it.
    ///
    /// # Errors
    /// A signal came (`EINTR`).
    pub fn wait(rings: &[&PacketRing], wait: Duration) -> io::Result<()> {
        let of = |ring: &&PacketRing| libc::pollfd {
            fd: ring.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut polls: Vec<libc::pollfd> = rings.iter().map(of).collect();
        let milliseconds = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: as many structures as are told, which the call writes to.
        let ready =
            unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, milliseconds) };
        if ready < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// What the kernel counted since it was asked last.
    ///
    /// # Errors
    /// The kernel's.
    pub fn counts(&self) -> io::Result<Counts> {
        let mut counts = [0u32; 3];
        let mut len = size_of_val(&counts) as libc::socklen_t;
        // SAFETY: three words, of which the kernel writes at most as many as `len` says.
        let result = unsafe {
            let (fd, to) = (self.socket.as_raw_fd(), counts.as_mut_ptr().cast::<c_void>());
            libc::getsockopt(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS, to, &raw mut len)
        };
        match result {
            0 => Ok(Counts { received: counts[0], dropped: counts[1] }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for PacketRing {
    fn drop(&mut self) {
        // SAFETY: the mapping of `open`, with its length; nothing borrows from it any more.
        unsafe {
            libc::munmap(self.ring.as_ptr().cast(), self.blocks * BLOCK);
        }
    }
}
