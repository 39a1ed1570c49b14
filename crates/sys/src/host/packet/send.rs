//! Frames that leave by an interface, and what senders leave to devices: checksums and the
//! cutting of long frames (`struct virtio_net_hdr` before a packet, `PACKET_VNET_HDR`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::socket::{VNET_HDR, bind, set};

/// What the sender of a frame left to the device, as the kernel lays it out; all zeros is
/// nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload(pub [u8; Offload::SIZE]);

impl Offload {
    /// Bytes of it.
    pub const SIZE: usize = 10;

    const NEEDS_CHECKSUM: u8 = 1;
    const SEGMENTS: usize = 1;
    const HEADER: usize = 2;
    const START: usize = 6;
    const OFFSET: usize = 8;

    fn half(self, at: usize) -> u16 {
        u16::from_ne_bytes([self.0[at], self.0[at + 1]])
    }

    fn put(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    }

    /// Whether the frame is several, to be cut.
    pub fn is_segmented(self) -> bool {
        self.0[Offload::SEGMENTS] != 0
    }

    /// Computes the checksum that was left to the device, where there is one and the frame is
    /// not to be cut: then it is as on a wire.
    pub fn complete(&mut self, frame: &mut [u8]) {
        if self.0[0] & Offload::NEEDS_CHECKSUM == 0 || self.is_segmented() {
            return;
        }
        let start = usize::from(self.half(Offload::START));
        let place = start + usize::from(self.half(Offload::OFFSET));
        let Some(summed) = frame.get(start..) else { return };
        let (pairs, rest) = summed.as_chunks::<2>();
        let sum: u64 = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum();
        let mut sum = sum + rest.first().map_or(0, |&last| u64::from(last) << 8);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        // 0 would say that there is none.
        let checksum = match !(sum as u16) {
            0 => 0xffff,
            checksum => checksum,
        };
        if let Some(field) = frame.get_mut(place..place + 2) {
            field.copy_from_slice(&checksum.to_be_bytes());
            *self = Offload::default();
        }
    }

    /// The frame begins so many bytes later, or sooner where it is negative.
    pub fn moved(&mut self, by: isize) {
        for at in [Offload::HEADER, Offload::START] {
            let now = (self.half(at) as isize).saturating_sub(by);
            if self.half(at) != 0 {
                self.put(at, u16::try_from(now).unwrap_or(0));
            }
        }
    }
}

/// What came of frames that were to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Frames that the device took.
    pub frames: u64,
    /// Frames that it did not take: longer than it takes, or its queue was full.
    pub refused: u64,
    /// The errno of the last of these.
    pub why: i32,
}

/// A socket by which frames leave by an interface, many at a time.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
    /// Frames that wait, each behind its [`Offload`].
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Frames that wait at most.
const MOST: usize = 64;

impl Sender {
    /// Opens one on an interface, by its index. It receives nothing.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW; `ENODEV` and others of the interface.
    pub fn open(interface: u32) -> io::Result<Sender> {
        /// How long a full queue is waited for.
        const PATIENCE: libc::timeval = libc::timeval { tv_sec: 0, tv_usec: 100_000 };
        // SAFETY: the call takes numbers; the fd that it gives is nobody else's.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        set(socket.as_fd(), libc::SOL_PACKET, VNET_HDR, &1)?;
        set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_SNDTIMEO, &PATIENCE)?;
        bind(socket.as_fd(), interface, 0)?;
        Ok(Sender { socket, bytes: Vec::new(), ends: Vec::new() })
    }

    /// Adds a frame to those that wait.
    pub fn push(&mut self, frame: &[u8], offload: Offload) {
        self.bytes.extend(offload.0);
        self.bytes.extend(frame);
        self.ends.push(self.bytes.len());
    }

    /// Whether so many wait that they should go.
    pub fn is_full(&self) -> bool {
        self.ends.len() >= MOST
    }

    /// Sends what waits.
    pub fn flush(&mut self) -> Sent {
        let mut sent = Sent::default();
        if self.ends.is_empty() {
            return sent;
        }
        let mut start = 0;
        let mut vectors: Vec<libc::iovec> = Vec::with_capacity(self.ends.len());
        for &end in &self.ends {
            let frame = &self.bytes[start..end];
            let (iov_base, iov_len) = (frame.as_ptr().cast_mut().cast(), frame.len());
            vectors.push(libc::iovec { iov_base, iov_len });
            start = end;
        }
        // SAFETY: all zeros is a valid message.
        let empty: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let mut messages = vec![empty; vectors.len()];
        for (message, vector) in messages.iter_mut().zip(&mut vectors) {
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
        }
        let mut at = 0;
        while at < messages.len() {
            let rest = &mut messages[at..];
            // SAFETY: as many messages as are told, each with one vector, which reads a frame
            // of this value; the kernel writes to the messages alone.
            let count = unsafe {
                let len = rest.len() as libc::c_uint;
                libc::sendmmsg(self.socket.as_raw_fd(), rest.as_mut_ptr(), len, 0)
            };
            match usize::try_from(count) {
                Ok(count) => {
                    sent.frames += count as u64;
                    at += count.max(1);
                }
                Err(_) => {
                    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
                    if errno != libc::EINTR {
                        (sent.refused, sent.why) = (sent.refused + 1, errno);
                        at += 1;
                    }
                }
            }
        }
        self.bytes.clear();
        self.ends.clear();
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_computed_where_it_was_left_out() {
        // An odd number of bytes, of which the first word is not summed.
        let mut frame = [9, 9, 0x45, 0x00, 0x00, 0x00, 0x12];
        let mut offload = Offload::default();
        offload.0[0] = Offload::NEEDS_CHECKSUM;
        offload.put(Offload::START, 2);
        offload.put(Offload::OFFSET, 2);
        offload.complete(&mut frame);
        assert_eq!(frame, [9, 9, 0x45, 0x00, !0x57, 0xff, 0x12]);
        assert_eq!(offload, Offload::default());
    }

    #[test]
    fn what_is_left_to_the_device_moves_with_the_frames_start() {
        let mut offload = Offload::default();
        offload.0[Offload::SEGMENTS] = 1;
        offload.put(Offload::START, 34);
        offload.moved(-4);
        assert_eq!((offload.half(Offload::START), offload.half(Offload::HEADER)), (38, 0));
        offload.moved(18);
        assert_eq!(offload.half(Offload::START), 20);
        assert!(offload.is_segmented());
    }
}
