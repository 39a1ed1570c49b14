//! Contexts that are fields and nothing more: sockets, addresses, options, devices, sysctls, the
//! look-up of a socket, a flow to dissect. What programs may load and store stands in the rows
//! of [`skep_abi::context`], which the verifier goes by, too; the values are the caller's.

use skep_abi::context::{Field, Loads, When, at};
use skep_abi::limits::FLOW_KEYS;
use skep_abi::{AttachType, Context as Row, Errno, ProgType};
use skep_isa::Size;

use super::Context;
use super::frame::Frame;
use crate::memory::packet::PacketMemory;
use crate::memory::value::{Kind, Region, Value};

/// Bytes of `struct bpf_sock`.
pub const SOCKET: usize = at::sock::SIZE_OF as usize;

/// A context by its row.
pub struct Plain {
    row: &'static Row,
    kind: ProgType,
    attach: Option<AttachType>,
    /// The fields, as user space would see them.
    bytes: Vec<u8>,
    /// What `data` and `data_end`, or `optval` and `optval_end`, lead to.
    frame: Frame,
    /// What a field that is a pointer leads to: a socket's fields, a flow's keys.
    behind: PacketMemory,
    /// Whether there is a socket.
    has_socket: bool,
}

/// What a context is filled with.
#[derive(Clone, Copy, Default)]
pub struct Filling<'f> {
    /// The fields; what is missing is 0, what is too much is left out.
    pub fields: &'f [u8],
    /// The packet, message or option.
    pub data: &'f [u8],
    /// The fields of the socket that it belongs to, if there is one.
    pub socket: Option<&'f [u8]>,
}

impl Plain {
    /// Whether contexts of this type of program are of this kind.
    pub fn is_for(kind: ProgType) -> bool {
        let skb = super::skb::SkbAccess::of(kind).is_some();
        Row::of(kind).is_some() && !skb && !matches!(kind, ProgType::Xdp | ProgType::Netfilter)
    }

    /// All zeros, for programs of this type.
    ///
    /// # Errors
    /// `ENOTSUPP` for a type with another kind of context.
    pub fn new(kind: ProgType, attach: u32) -> Result<Plain, Errno> {
        let row = Row::of(kind).filter(|_| Plain::is_for(kind)).ok_or(Errno::ENOTSUPP)?;
        let behind = match kind {
            ProgType::FlowDissector => FLOW_KEYS,
            _ => SOCKET,
        };
        Ok(Plain {
            row,
            kind,
            attach: AttachType::from_number(attach),
            bytes: vec![0; row.size as usize],
            frame: Frame::new(0),
            behind: PacketMemory::new(behind),
            has_socket: false,
        })
    }

    /// Bytes of the context.
    pub fn size(&self) -> u32 {
        self.row.size
    }

    /// Fills it anew. Where a field always leads to a socket and none is given, it is one of
    /// zeros.
    pub fn fill(&mut self, filling: Filling<'_>) {
        self.bytes.fill(0);
        let len = filling.fields.len().min(self.bytes.len());
        self.bytes[..len].copy_from_slice(&filling.fields[..len]);
        self.frame.fill(filling.data, 0, 0, 0);
        let behind = self.behind.bytes_mut(0, self.behind.capacity());
        behind.fill(0);
        let fields = filling.socket.unwrap_or_default();
        let len = fields.len().min(behind.len());
        behind[..len].copy_from_slice(&fields[..len]);
        self.has_socket = filling.socket.is_some();
    }

    /// The fields as the program left them. Pointers are 0: they are nobody's but the program's.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The packet, message or option as the program left it.
    pub fn data(&self) -> &[u8] {
        self.frame.bytes()
    }

    /// The keys of a flow, to look at or to write.
    pub fn keys(&mut self) -> &mut [u8] {
        self.behind.bytes_mut(0, self.behind.capacity())
    }

    /// A field of 32 bits.
    pub fn word(&self, at: u32) -> u32 {
        let bytes = self.bytes.get(at as usize..).and_then(|rest| rest.first_chunk());
        bytes.copied().map_or(0, u32::from_ne_bytes)
    }

    /// Puts a field of 32 bits, which a program need not be let to.
    pub fn put_word(&mut self, at: u32, word: u32) {
        if let Some(place) = self.bytes.get_mut(at as usize..at as usize + 4) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
    }

    /// The type of program that it is for.
    pub fn kind(&self) -> ProgType {
        self.kind
    }

    /// Gives it a socket with these fields, or takes it away.
    pub fn set_socket(&mut self, fields: Option<&[u8]>) {
        let behind = self.behind.bytes_mut(0, self.behind.capacity());
        let len = fields.map_or(0, <[u8]>::len).min(behind.len());
        behind[..len].copy_from_slice(&fields.unwrap_or_default()[..len]);
        behind[len..].fill(0);
        self.has_socket = fields.is_some();
    }

    /// Whether it has a socket.
    pub fn has_socket(&self) -> bool {
        self.has_socket
    }

    /// The packet, message or option, to change; pointers to it no longer hold.
    pub fn frame_mut(&mut self) -> &mut Frame {
        self.frame.invalidate();
        &mut self.frame
    }

    fn holds(&self, when: When) -> bool {
        match when {
            When::Always | When::Bpf => true,
            When::Attached(types) => self.attach.is_some_and(|attach| types.contains(&attach)),
        }
    }

    fn field(&self, offset: u32, size: Size, write: bool) -> Option<&'static Field> {
        let field = self.row.field(offset)?;
        let access = if write { field.write } else { field.read };
        (field.admits(write, offset, size.bytes()) && self.holds(access.when)).then_some(field)
    }

    fn behind(&self, writable: bool) -> Region {
        self.behind.region(0, self.behind.capacity(), writable).with_kind(Kind::Memory)
    }
}

impl Context for Plain {
    fn load(&mut self, offset: u32, size: Size) -> Option<Value> {
        let field = self.field(offset, size, false)?;
        Some(match field.loads {
            Loads::Number => {
                let start = offset as usize;
                let bytes = self.bytes.get(start..start + size.bytes() as usize)?;
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                Value::scalar(u64::from_le_bytes(word))
            }
            Loads::Packet => self.frame.data_pointer(),
            Loads::PacketEnd => self.frame.end_pointer(),
            Loads::PacketMeta => self.frame.metadata_pointer(),
            Loads::FlowKeys => self.behind(true).pointer(0),
            Loads::Socket => self.behind(false).pointer(0),
            Loads::SocketOrNull | Loads::SockCommonOrNull if self.has_socket => {
                self.behind(false).pointer(0)
            }
            Loads::SocketOrNull | Loads::SockCommonOrNull | Loads::Kernel(_) => Value::scalar(0),
        })
    }

    fn store(&mut self, offset: u32, size: Size, bits: u64) -> Option<()> {
        self.field(offset, size, true)?;
        let start = offset as usize;
        let place = self.bytes.get_mut(start..start + size.bytes() as usize)?;
        let mut word = bits.to_le_bytes();
        if self.kind == ProgType::CgroupSockAddr && offset == at::sock_addr::USER_PORT {
            // A port has 16 bits, whatever the field has.
            word[2..].fill(0);
        }
        place.copy_from_slice(&word[..place.len()]);
        Some(())
    }

    fn epoch(&self) -> u64 {
        self.frame.epoch()
    }

    fn packet(&self) -> [Option<Region>; 3] {
        let keys = self.kind == ProgType::FlowDissector;
        [Some(self.frame.data_pointer().region()), Some(self.behind(keys)), None]
    }

    fn frame(&self) -> Option<&Frame> {
        Some(&self.frame)
    }

    fn plain(&mut self) -> Option<&mut Plain> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_there_by_how_a_program_attaches() {
        let kind = ProgType::CgroupSockAddr;
        let mut four = Plain::new(kind, AttachType::CgroupInet4Connect as u32).expect("a row");
        four.fill(Filling { fields: &[1; 72], ..Filling::default() });
        assert!(four.load(at::sock_addr::USER_IP4, Size::W).is_some());
        assert!(four.load(at::sock_addr::USER_IP6, Size::W).is_none());
        assert_eq!(four.store(at::sock_addr::USER_PORT, Size::W, 0x1234_5678), Some(()));
        assert_eq!(four.bytes()[24..28], [0x78, 0x56, 0, 0]);
        assert_eq!(four.store(at::sock_addr::FAMILY, Size::W, 0), None, "only to be read");
        assert_eq!(four.load(72, Size::W).map(|_| ()), None);
    }

    #[test]
    fn pointers_lead_to_what_was_given() {
        let mut option = Plain::new(ProgType::CgroupSockopt, AttachType::CgroupSetsockopt as u32)
            .expect("a row");
        let socket = [7; SOCKET];
        option.fill(Filling { data: &[1, 2, 3], socket: Some(&socket), ..Filling::default() });
        let start = option.load(at::sockopt::OPTVAL, Size::DW).expect("a pointer");
        let end = option.load(at::sockopt::OPTVAL_END, Size::DW).expect("a pointer");
        assert_eq!(end.bits - start.bits, 3);
        assert_eq!(start.load(0, Size::H), Ok(0x201));
        let socket = option.load(at::sockopt::SK, Size::DW).expect("a pointer");
        assert_eq!(socket.load(4, Size::W), Ok(0x0707_0707));
        assert!(socket.store(4, Size::W, 0).is_err());
    }
}
