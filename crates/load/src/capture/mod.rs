//! Captures: packets from pcap and pcapng files, and packets to pcapng files.
//!
//! A [`Reader`] streams: it holds one record at a time and never more than
//! [`MAX_RECORD`] bytes, whatever lengths the file claims. Formats: pcap in
//! microseconds and nanoseconds and in both byte orders (pcap-savefile(5)); pcapng
//! with any number of sections and interfaces (draft-ietf-opsawg-pcapng).

mod error;
mod link;
mod pcap;
mod pcapng;
mod source;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

pub use error::{CaptureError, CaptureErrorKind};
pub use link::LinkType;
pub use writer::{Mark, Writer};

use error::CaptureErrorKind as Kind;
use source::Source;

/// The largest record that is read: what libpcap takes for a packet's sane limit is
/// a 64th of it.
pub const MAX_RECORD: usize = 16 << 20;

/// A packet of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was seen, in ns since 1970; a record without a time has that of the
    /// packet before it.
    pub time: u64,
    /// The bytes that were captured.
    pub data: &'a [u8],
    /// Bytes that the packet had on the wire.
    pub wire_len: u32,
    /// What its first bytes are.
    pub link: LinkType,
    /// Number of its interface in the section, from 0.
    pub interface: u32,
}

/// Reads a capture packet by packet.
pub struct Reader<R> {
    source: Source<R>,
    format: Format,
}

enum Format {
    Pcap(pcap::Header),
    Pcapng(pcapng::Section),
}

impl Reader<BufReader<File>> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// Why it is no capture that we can read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CaptureError> {
        let path = path.as_ref();
        let name = path.to_string_lossy();
        let open = || {
            let file = File::open(path).map_err(Kind::io)?;
            match file.metadata() {
                Ok(metadata) if metadata.is_dir() => {
                    Err(Kind::io(io::ErrorKind::IsADirectory.into()))
                }
                _ => Ok(BufReader::with_capacity(1 << 16, file)),
            }
        };
        let file = open().map_err(|kind| CaptureError::from(kind).of_file(&name))?;
        Reader::named(&name, file)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header of a capture.
    ///
    /// # Errors
    /// Why it is no capture that we can read.
    pub fn new(input: R) -> Result<Self, CaptureError> {
        Reader::named("", input)
    }

    /// The same, with a name for messages.
    ///
    /// # Errors
    /// Why it is no capture that we can read.
    pub fn named(name: &str, input: R) -> Result<Self, CaptureError> {
        let mut source = Source::new(name, input);
        let format = Format::detect(&mut source)?;
        Ok(Reader { source, format })
    }

    /// Refuses packets that do not start with an Ethernet header, with
    /// [`CaptureErrorKind::Link`]: programs would take their bytes for what they are not.
    pub fn ethernet_only(mut self) -> Self {
        self.source.only_link(LinkType::ETHERNET);
        self
    }

    /// The next packet, or `None` behind the last one.
    ///
    /// # Errors
    /// The file is damaged, or cut in the middle of a record.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        match &mut self.format {
            Format::Pcap(header) => header.next_packet(&mut self.source),
            Format::Pcapng(section) => section.next_packet(&mut self.source),
        }
    }

    /// Bytes of the file that were read so far.
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }
}

impl Format {
    fn detect<R: Read>(source: &mut Source<R>) -> Result<Format, CaptureError> {
        let start = source.up_to(4)?;
        match <[u8; 4]>::try_from(start) {
            Ok(pcapng::MAGIC) => pcapng::Section::open(source).map(Format::Pcapng),
            Ok(magic) => match pcap::Flavour::of_magic(magic) {
                Some(flavour) => pcap::Header::read(flavour, source).map(Format::Pcap),
                None => {
                    // Some more of it, to tell text from bytes.
                    let rest = source.up_to(508)?;
                    let kind = Kind::of_stranger(magic, rest);
                    Err(source.error(0, kind))
                }
            },
            Err(_) => {
                let kind = Kind::of_short(start);
                Err(source.error(0, kind))
            }
        }
    }
}
