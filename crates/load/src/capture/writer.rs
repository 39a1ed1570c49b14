//! Packets to a pcapng file: one section in this machine's byte order, an interface
//! for each link type, times in nanoseconds.

use std::io::{self, Write};

use super::{LinkType, Packet};

/// What a program said of a packet (the option `epb_verdict`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// A `TC_ACT_` number.
    Tc(u64),
    /// An `XDP_` number.
    Xdp(u64),
}

/// Writes a capture.
pub struct Writer<W> {
    out: W,
    /// The link types of the interfaces so far.
    links: Vec<LinkType>,
}

const OPTION_COMMENT: u16 = 1;
const OPTION_VERDICT: u16 = 7;
const OPTION_RESOLUTION: u16 = 9;

impl<W: Write> Writer<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W) -> io::Result<Writer<W>> {
        let mut body = 0x1a2b_3c4d_u32.to_ne_bytes().to_vec();
        body.extend(1u16.to_ne_bytes());
        body.extend(0u16.to_ne_bytes());
        body.extend(u64::MAX.to_ne_bytes());
        write_block(&mut out, 0x0a0d_0d0a, body)?;
        Ok(Writer { out, links: Vec::new() })
    }

    /// Writes a packet, with a remark and a verdict.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn packet(
        &mut self,
        packet: &Packet<'_>,
        comment: Option<&str>,
        mark: Option<Mark>,
    ) -> io::Result<()> {
        let interface = self.interface(packet.link)?;
        let mut body = Vec::with_capacity(packet.data.len() + 64);
        let len = packet.data.len() as u32;
        let (high, low) = ((packet.time >> 32) as u32, packet.time as u32);
        for word in [interface, high, low, len, packet.wire_len.max(len)] {
            body.extend(word.to_ne_bytes());
        }
        body.extend_from_slice(packet.data);
        pad(&mut body);
        let mut options = Vec::new();
        if let Some(comment) = comment {
            option(&mut options, OPTION_COMMENT, comment.as_bytes());
        }
        if let Some(mark) = mark {
            let (kind, number) = match mark {
                Mark::Tc(number) => (1, number),
                Mark::Xdp(number) => (2, number),
            };
            let mut value = vec![kind];
            value.extend(number.to_ne_bytes());
            option(&mut options, OPTION_VERDICT, &value);
        }
        if !options.is_empty() {
            option(&mut options, 0, &[]);
            body.extend(options);
        }
        write_block(&mut self.out, 6, body)
    }

    /// What it writes to.
    pub fn get_ref(&self) -> &W {
        &self.out
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Those of `out`, when it is flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    /// The interface of a link type, written when it is met first.
    fn interface(&mut self, link: LinkType) -> io::Result<u32> {
        let known = self.links.iter().position(|&known| known == link);
        let index = match known {
            Some(index) => index,
            None => {
                let mut body = link.0.to_ne_bytes().to_vec();
                body.extend([0; 6]);
                option(&mut body, OPTION_RESOLUTION, &[9]);
                option(&mut body, 0, &[]);
                write_block(&mut self.out, 1, body)?;
                self.links.push(link);
                self.links.len() - 1
            }
        };
        Ok(index as u32)
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    // A longer one is cut: its length has 16 bits.
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend(code.to_ne_bytes());
    out.extend((value.len() as u16).to_ne_bytes());
    out.extend_from_slice(value);
    pad(out);
}

fn write_block(out: &mut impl Write, kind: u32, body: Vec<u8>) -> io::Result<()> {
    let len = (body.len() as u32 + 12).to_ne_bytes();
    out.write_all(&kind.to_ne_bytes())?;
    out.write_all(&len)?;
    out.write_all(&body)?;
    out.write_all(&len)
}
