//! The context of a program at an application's hook: the fields of a structure of its own, by
//! the row that the verifier goes by, and bytes that it may lead to.

use skep_abi::Context as Row;
use skep_abi::context::{Field, Loads};
use skep_isa::Size;

use super::Context;
use super::frame::Frame;
use crate::memory::value::{Region, Value};

/// The most bytes that a context leads to.
pub const MOST_DATA: usize = 1 << 28;

/// A context of an application.
pub struct Own {
    row: &'static Row,
    bytes: Box<[u8]>,
    /// What fields that are pointers lead to.
    frame: Frame,
}

impl Own {
    /// All zeros.
    pub fn new(row: &'static Row) -> Own {
        Own { row, bytes: vec![0; row.size as usize].into(), frame: Frame::new(0) }
    }

    /// The fields.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The fields, to be written.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// What the context leads to from now on.
    #[inline]
    pub fn fill(&mut self, data: &[u8]) {
        // Nothing of what it led to before is left to be seen.
        if !data.is_empty() || self.frame.len() > 0 {
            self.frame.fill(&data[..data.len().min(MOST_DATA)], 0, 0, 0);
        }
    }

    /// It as the program left it.
    pub fn data(&self) -> &[u8] {
        self.frame.bytes()
    }

    fn field(&self, offset: u32, size: Size, write: bool) -> Option<&'static Field> {
        self.row.field(offset).filter(|field| field.admits(write, offset, size.bytes()))
    }

    /// The number at a place.
    #[inline]
    fn number(&self, offset: u32, size: Size) -> Option<u64> {
        let from = self.bytes.get(offset as usize..)?;
        Some(match size {
            Size::B => u64::from(*from.first()?),
            Size::H => u64::from(u16::from_ne_bytes(*from.first_chunk()?)),
            Size::W => u64::from(u32::from_ne_bytes(*from.first_chunk()?)),
            Size::DW => u64::from_ne_bytes(*from.first_chunk()?),
        })
    }
}

impl Context for Own {
    fn load(&mut self, offset: u32, size: Size) -> Option<Value> {
        match self.field(offset, size, false)?.loads {
            Loads::Number => self.number(offset, size).map(Value::scalar),
            Loads::Packet => Some(self.frame.data_pointer()),
            Loads::PacketEnd => Some(self.frame.end_pointer()),
            _ => None,
        }
    }

    fn store(&mut self, offset: u32, size: Size, bits: u64) -> Option<()> {
        self.field(offset, size, true)?;
        let place = self.bytes.get_mut(offset as usize..)?.get_mut(..size.bytes() as usize)?;
        match place {
            [byte] => *byte = bits as u8,
            _ if place.len() == 2 => place.copy_from_slice(&(bits as u16).to_ne_bytes()),
            _ if place.len() == 4 => place.copy_from_slice(&(bits as u32).to_ne_bytes()),
            _ => place.copy_from_slice(&bits.to_ne_bytes()),
        }
        Some(())
    }

    fn packet(&self) -> [Option<Region>; 3] {
        [Some(self.frame.data_pointer().region()), None, None]
    }

    fn frame(&self) -> Option<&Frame> {
        Some(&self.frame)
    }

    fn own(&mut self) -> Option<&mut Own> {
        Some(self)
    }
}
