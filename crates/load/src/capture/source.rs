//! The bytes of a capture in order, with their place, and never many at once.

use std::io::{self, Read};

use super::{CaptureError, CaptureErrorKind as Kind, LinkType, MAX_RECORD, Packet};

/// The input, and the last piece that was read of it.
pub(super) struct Source<R> {
    file: String,
    input: R,
    piece: Vec<u8>,
    offset: u64,
    packets: u64,
    /// The only link type that packets may have.
    only: Option<LinkType>,
}

impl<R: Read> Source<R> {
    pub fn new(file: &str, input: R) -> Source<R> {
        Source { file: file.into(), input, piece: Vec::new(), offset: 0, packets: 0, only: None }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// An error about the byte at `offset`.
    pub fn error(&self, offset: u64, kind: Kind) -> CaptureError {
        CaptureError::from(kind).at(offset).after(self.packets).of_file(&self.file)
    }

    /// An error about what was just read.
    pub fn malformed(&self, len: usize, reason: String) -> CaptureError {
        self.error(self.offset.saturating_sub(len as u64), Kind::Malformed(reason))
    }

    /// At most `len` bytes: fewer at the end of the file.
    pub fn up_to(&mut self, len: usize) -> Result<&[u8], CaptureError> {
        self.piece.clear();
        // `read_to_end` allocates as bytes come, so that a length is no promise.
        let read = self.input.by_ref().take(len as u64).read_to_end(&mut self.piece);
        let read = read.map_err(|error| self.error(self.offset, Kind::io(error)))?;
        self.offset += read as u64;
        Ok(&self.piece)
    }

    /// The next `len` bytes, or `None` where the file ends before them.
    pub fn record(
        &mut self,
        what: &'static str,
        len: usize,
    ) -> Result<Option<&[u8]>, CaptureError> {
        if self.up_to(len)?.is_empty() {
            return Ok(None);
        }
        self.check(what, len)?;
        Ok(Some(&self.piece))
    }

    /// The next `len` bytes, which must be there.
    pub fn exact(&mut self, what: &'static str, len: usize) -> Result<&[u8], CaptureError> {
        if len > MAX_RECORD {
            let reason = format!("{what} of {len} bytes, more than {MAX_RECORD}");
            return Err(self.error(self.offset, Kind::Malformed(reason)));
        }
        self.up_to(len)?;
        self.check(what, len)?;
        Ok(&self.piece)
    }

    /// The next `N` bytes, which must be there.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CaptureError> {
        let bytes = self.exact(what, N)?;
        Ok(bytes.first_chunk().copied().unwrap_or([0; N]))
    }

    fn check(&self, what: &'static str, need: usize) -> Result<(), CaptureError> {
        let have = self.piece.len();
        if have == need {
            return Ok(());
        }
        let start = self.offset - have as u64;
        Err(self.error(start, Kind::Truncated { what, need: need as u64, have: have as u64 }))
    }

    /// Passes over `len` bytes, which must be there.
    pub fn skip(&mut self, what: &'static str, len: u64) -> Result<(), CaptureError> {
        let passed = io::copy(&mut self.input.by_ref().take(len), &mut io::sink());
        let passed = passed.map_err(|error| self.error(self.offset, Kind::io(error)))?;
        let start = self.offset;
        self.offset += passed;
        if passed < len {
            return Err(self.error(start, Kind::Truncated { what, need: len, have: passed }));
        }
        Ok(())
    }

    /// Refuses packets of other link types.
    pub fn only_link(&mut self, link: LinkType) {
        self.only = Some(link);
    }

    /// The packet at `range` of the last piece.
    pub fn packet(
        &mut self,
        range: std::ops::Range<usize>,
        time: u64,
        wire_len: u32,
        link: LinkType,
        interface: u32,
    ) -> Result<Packet<'_>, CaptureError> {
        if self.only.is_some_and(|only| only != link) {
            let start = self.offset.saturating_sub(self.piece.len() as u64);
            return Err(self.error(start, Kind::Link(link)));
        }
        self.packets += 1;
        let data = self.piece.get(range).unwrap_or_default();
        Ok(Packet { time, data, wire_len, link, interface })
    }
}

/// Numbers in the byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// The 16-bit number at an offset; 0 behind the end.
    pub fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let field = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied();
        let field = field.unwrap_or_default();
        match self {
            Order::Little => u16::from_le_bytes(field),
            Order::Big => u16::from_be_bytes(field),
        }
    }

    /// The 32-bit number at an offset; 0 behind the end.
    pub fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let field = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied();
        let field = field.unwrap_or_default();
        match self {
            Order::Little => u32::from_le_bytes(field),
            Order::Big => u32::from_be_bytes(field),
        }
    }
}
