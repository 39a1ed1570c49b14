//! What can be wrong with a capture: the cause, the file and the offset in it.

use std::fmt;
use std::io;

use super::LinkType;
use crate::error::ReadError;

/// Why a capture cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureError(Box<Located>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Located {
    file: String,
    offset: Option<u64>,
    /// Whole packets that were read before.
    packets: u64,
    kind: CaptureErrorKind,
}

/// The causes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureErrorKind {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[source] ReadError),
    /// A file of 0 bytes.
    #[error("is empty, expected a pcap or pcapng capture")]
    Empty,
    /// Text where a capture belongs.
    #[error("is a text file, expected a pcap or pcapng capture")]
    Text,
    /// An ELF file where a capture belongs.
    #[error("is an ELF file, expected a pcap or pcapng capture")]
    Elf,
    /// A compressed file.
    #[error("is compressed by {0}, expected a pcap or pcapng capture")]
    Compressed(&'static str),
    /// Anything else.
    #[error("is no capture: it starts with {}, expected pcap or pcapng", hex(.0))]
    Stranger([u8; 4]),
    /// The file ends inside of something.
    #[error("is cut off: {what} needs {need} bytes, {have} are left")]
    Truncated {
        /// What needs them.
        what: &'static str,
        /// Bytes that it has.
        need: u64,
        /// Bytes that there are.
        have: u64,
    },
    /// Lengths and numbers that contradict each other.
    #[error("{0}")]
    Malformed(String),
    /// Packets that do not start with an Ethernet header.
    #[error("has packets of link type {0}, expected 1 (Ethernet)")]
    Link(LinkType),
}

impl CaptureErrorKind {
    pub(super) fn io(error: io::Error) -> CaptureErrorKind {
        CaptureErrorKind::Read(error.into())
    }

    /// What a file is that starts with these bytes.
    pub(super) fn of_stranger(magic: [u8; 4], rest: &[u8]) -> CaptureErrorKind {
        match magic {
            [0x7f, b'E', b'L', b'F'] => CaptureErrorKind::Elf,
            [0x1f, 0x8b, ..] => CaptureErrorKind::Compressed("gzip"),
            [0x28, 0xb5, 0x2f, 0xfd] => CaptureErrorKind::Compressed("zstd"),
            [0xfd, b'7', b'z', b'X'] => CaptureErrorKind::Compressed("xz"),
            _ if is_text(&magic) && is_text(rest) => CaptureErrorKind::Text,
            _ => CaptureErrorKind::Stranger(magic),
        }
    }

    /// What a file is that has no more than these bytes, at most 3.
    pub(super) fn of_short(bytes: &[u8]) -> CaptureErrorKind {
        match bytes {
            [] => CaptureErrorKind::Empty,
            bytes if is_text(bytes) => CaptureErrorKind::Text,
            bytes => CaptureErrorKind::Truncated {
                what: "the file header",
                need: 24,
                have: bytes.len() as u64,
            },
        }
    }
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte >= b' ' || byte.is_ascii_whitespace())
}

fn hex(bytes: &[u8; 4]) -> String {
    let [a, b, c, d] = bytes;
    format!("{a:02x} {b:02x} {c:02x} {d:02x}")
}

impl CaptureError {
    /// The cause.
    pub fn kind(&self) -> &CaptureErrorKind {
        &self.0.kind
    }

    /// The file, as it was named; empty where it has no name.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// Bytes from the start of the file.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// Whole packets before the place.
    pub fn packets(&self) -> u64 {
        self.0.packets
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match &self.0.kind {
            CaptureErrorKind::Read(_) | CaptureErrorKind::Malformed(_) => return None,
            CaptureErrorKind::Empty => {
                "did the recording fail? `tcpdump -i IFACE -w FILE` makes a capture".into()
            }
            CaptureErrorKind::Text => {
                "text that tcpdump printed cannot be read back; record with `tcpdump -w FILE`"
                    .into()
            }
            CaptureErrorKind::Elf => "the object comes first, the capture after --pcap".into(),
            CaptureErrorKind::Compressed(by) => format!("decompress it first: {by} -d"),
            CaptureErrorKind::Stranger(_) => {
                "`tcpdump -r FILE -w FILE.pcap` and `editcap` make a pcap file of what they can \
                 read"
                    .into()
            }
            CaptureErrorKind::Truncated { .. } => match self.0.packets {
                0 => "there is no whole packet in it; record it again".into(),
                1 => "the packet before it is whole: use --limit 1".into(),
                whole => format!("the {whole} packets before it are whole: use --limit {whole}"),
            },
            CaptureErrorKind::Link(_) => {
                "record on one Ethernet interface (tcpdump -i eth0) instead of `any` or a tunnel"
                    .into()
            }
        })
    }

    pub(super) fn at(mut self, offset: u64) -> CaptureError {
        self.0.offset.get_or_insert(offset);
        self
    }

    pub(super) fn after(mut self, packets: u64) -> CaptureError {
        self.0.packets = packets;
        self
    }

    pub(super) fn of_file(mut self, file: &str) -> CaptureError {
        self.0.file = file.into();
        self
    }
}

impl From<CaptureErrorKind> for CaptureError {
    fn from(kind: CaptureErrorKind) -> CaptureError {
        CaptureError(Box::new(Located { file: String::new(), offset: None, packets: 0, kind }))
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Located { file, offset, packets, kind } = &*self.0;
        match file.as_str() {
            "" => f.write_str("the capture")?,
            file => write!(f, "{}", file.escape_debug())?,
        }
        match (offset, kind) {
            (None | Some(0), _) => write!(f, ": {kind}"),
            (Some(offset), _) => {
                write!(f, ": offset {offset:#x}, packet {}: {kind}", packets + 1)
            }
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0.kind)
    }
}
