//! Socket buffers: programs on packets inside of the network stack
//! (`struct __sk_buff`; `net/core/filter.c`).

use skep_abi::context::at::{skb as at, sock as socket_at};
use skep_abi::{Errno, ProgType};
use skep_isa::Size;

use super::Context;
use super::frame::Frame;
use super::tunnel::Tunnel;
use crate::memory::packet::PacketMemory;
use crate::memory::value::{Kind, Region, Value};

/// Bytes before a packet (`NET_SKB_PAD`).
const HEADROOM: usize = 64;
/// An Ethernet header.
pub const ETH_HLEN: usize = 14;
/// Largest packet that helpers make (`BPF_SKB_MAX_LEN`: four pages, less what is kept behind).
pub const MAX_LEN: usize = 4 * 4096 - 320;
/// A VLAN header.
const VLAN_HLEN: usize = 4;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88a8;

/// Offset of negative legacy loads that start at the network header.
const SKF_NET_OFF: i64 = -0x10_0000;
/// Offset of negative legacy loads that start at the link header.
const SKF_LL_OFF: i64 = -0x20_0000;

/// Which fields a program type may touch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SkbAccess {
    /// Socket filters: no direct packet access, writes only to `cb`.
    SocketFilter,
    /// tc classifiers and actions.
    Tc,
    /// Programs of cgroups: packets from the network header on.
    Cgroup,
    /// Programs of routes (light-weight tunnels): likewise.
    Route,
    /// Programs of sockets' streams.
    Stream,
}

impl SkbAccess {
    /// Which fields programs of a type may touch, if they run on socket buffers.
    pub fn of(kind: ProgType) -> Option<SkbAccess> {
        match kind {
            ProgType::SocketFilter => Some(SkbAccess::SocketFilter),
            ProgType::SchedCls | ProgType::SchedAct => Some(SkbAccess::Tc),
            ProgType::CgroupSkb => Some(SkbAccess::Cgroup),
            ProgType::LwtIn | ProgType::LwtOut | ProgType::LwtXmit | ProgType::LwtSeg6local => {
                Some(SkbAccess::Route)
            }
            ProgType::SkSkb => Some(SkbAccess::Stream),
            _ => None,
        }
    }

    /// Whether they see the link header where packets come from a link.
    pub fn sees_link(self) -> bool {
        matches!(self, SkbAccess::SocketFilter | SkbAccess::Tc)
    }
}

/// A packet with what programs of the network stack know of it.
pub struct Skb {
    /// The packet from its link header on, or from the network header for types that
    /// see no link header.
    pub frame: Frame,
    access: SkbAccess,
    /// Offset of the link header from the packet's start, at most 0.
    mac_offset: i64,
    /// Offset of the network header from the packet's start.
    network_offset: i64,
    /// The link header, where the packet starts behind it.
    link_header: [u8; ETH_HLEN],
    /// What a packet comes with besides.
    pub fields: Fields,
    /// The tunnel that it is to go into.
    pub(crate) tunnel: Option<Tunnel>,
    /// The socket that it belongs to: `struct bpf_sock`.
    socket: Option<PacketMemory>,
    has_socket: bool,
    /// Whether it comes from a device, before anybody took it.
    pub at_ingress: bool,
}

/// Who checked the packet's checksums (`CHECKSUM_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checked {
    /// Nobody.
    #[default]
    None,
    /// The device, so many of them behind the first.
    Unnecessary(u8),
}

/// Fields of `struct __sk_buff`; `protocol` and `vlan_proto` are in network order.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the fields are those of struct __sk_buff")]
pub struct Fields {
    pub pkt_type: u32,
    pub mark: u32,
    pub queue_mapping: u16,
    pub protocol: u16,
    pub vlan_present: bool,
    pub vlan_tci: u16,
    pub vlan_proto: u16,
    pub priority: u32,
    pub ingress_ifindex: u32,
    pub ifindex: u32,
    pub tc_index: u16,
    pub cb: [u8; 20],
    pub hash: u32,
    /// Whether `hash` was computed, or set.
    pub has_hash: bool,
    pub checked: Checked,
    /// Whether it carries another packet with headers of its own.
    pub encapsulated: bool,
    pub tc_classid: u16,
    pub tstamp: u64,
    pub tstamp_type: u8,
    pub wire_len: u32,
    pub gso_segs: u32,
    pub gso_size: u32,
    pub hwtstamp: u64,
}

impl Skb {
    /// An empty buffer; packets come from interface 1, `lo`.
    pub fn new() -> Skb {
        Skb {
            frame: Frame::new(4096),
            access: SkbAccess::SocketFilter,
            mac_offset: 0,
            network_offset: ETH_HLEN as i64,
            link_header: [0; ETH_HLEN],
            fields: Fields::default(),
            tunnel: None,
            socket: None,
            has_socket: false,
            at_ingress: false,
        }
    }

    /// Puts an Ethernet frame of at least 14 bytes into it, for programs that may touch
    /// these fields, and clears the fields. `link` says whether programs see the link
    /// header.
    pub fn fill(&mut self, packet: &[u8], access: SkbAccess, link: bool) {
        let header = packet.first_chunk().copied().unwrap_or_default();
        let visible = if link { packet } else { packet.get(ETH_HLEN..).unwrap_or_default() };
        self.frame.fill(visible, 0, HEADROOM, 0);
        self.access = access;
        (self.mac_offset, self.network_offset) =
            if link { (0, ETH_HLEN as i64) } else { (-(ETH_HLEN as i64), 0) };
        self.link_header = header;
        self.has_socket = false;
        self.at_ingress = false;
        self.tunnel = None;
        self.fields = Fields {
            pkt_type: pkt_type(&header),
            protocol: protocol(packet),
            ifindex: 1,
            ..Fields::default()
        };
    }

    /// Has it belong to a socket with these fields of `struct bpf_sock`.
    pub fn set_socket(&mut self, fields: &[u8]) {
        const SIZE: usize = socket_at::SIZE_OF as usize;
        let memory = self.socket.get_or_insert_with(|| PacketMemory::new(SIZE));
        let bytes = memory.bytes_mut(0, SIZE);
        bytes.fill(0);
        let len = fields.len().min(SIZE);
        bytes[..len].copy_from_slice(&fields[..len]);
        self.has_socket = true;
    }

    /// Has it belong to a socket as TEST_RUN makes one: with the packet's addresses, its own
    /// first, and in no connection.
    pub fn set_test_socket(&mut self) {
        const AF_INET: u32 = 2;
        const AF_INET6: u32 = 10;
        const CLOSED: u32 = 7;
        let network = self.network_offset.max(0) as usize;
        let header = self.frame.bytes().get(network..).unwrap_or_default();
        let mut fields = [0; socket_at::SIZE_OF as usize];
        let mut put = |at: u32, bytes: &[u8]| {
            fields[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        };
        put(socket_at::STATE, &CLOSED.to_ne_bytes());
        put(socket_at::RX_QUEUE_MAPPING, &u32::MAX.to_ne_bytes());
        match (u16::from_be(self.fields.protocol), header) {
            (0x0800, header) if header.len() >= 20 => {
                put(socket_at::FAMILY, &AF_INET.to_ne_bytes());
                put(socket_at::SRC_IP4, &header[12..16]);
                put(socket_at::DST_IP4, &header[16..20]);
            }
            (0x86dd, header) if header.len() >= 40 => {
                put(socket_at::FAMILY, &AF_INET6.to_ne_bytes());
                put(socket_at::SRC_IP6, &header[8..24]);
                put(socket_at::DST_IP6, &header[24..40]);
            }
            _ => {}
        }
        self.set_socket(&fields);
    }

    /// Whether it belongs to a socket.
    pub fn has_socket(&self) -> bool {
        self.has_socket
    }

    fn socket_region(&self) -> Option<Region> {
        let memory = self.socket.as_ref().filter(|_| self.has_socket)?;
        Some(memory.region(0, memory.capacity(), false).with_kind(Kind::Memory))
    }

    /// A field of the socket by its place in the context.
    fn socket_field(&self, offset: u32) -> u32 {
        let Some(memory) = self.socket.as_ref().filter(|_| self.has_socket) else { return 0 };
        let fields = memory.bytes(0, memory.capacity());
        let word =
            |at: u32| fields[at as usize..].first_chunk().copied().map_or(0, u32::from_ne_bytes);
        match offset {
            at::FAMILY => word(socket_at::FAMILY),
            at::REMOTE_IP4 => word(socket_at::DST_IP4),
            at::LOCAL_IP4 => word(socket_at::SRC_IP4),
            at::REMOTE_IP6..at::LOCAL_IP6 => word(socket_at::DST_IP6 + offset - at::REMOTE_IP6),
            at::LOCAL_IP6..at::REMOTE_PORT => word(socket_at::SRC_IP6 + offset - at::LOCAL_IP6),
            // In the upper half, in network order.
            at::REMOTE_PORT => word(socket_at::DST_PORT) << 16,
            at::LOCAL_PORT => word(socket_at::SRC_PORT),
            _ => 0,
        }
    }

    /// Takes those fields of a context that a packet comes with: `struct __sk_buff`, of which
    /// what is missing is 0.
    pub fn take_fields(&mut self, context: &[u8]) {
        let bytes = |offset: u32| context.get(offset as usize..).unwrap_or_default();
        let word = |offset: u32| bytes(offset).first_chunk().copied().map_or(0, u32::from_ne_bytes);
        let long = |offset: u32| bytes(offset).first_chunk().copied().map_or(0, u64::from_ne_bytes);
        let len = self.len() as u32;
        let fields = &mut self.fields;
        fields.mark = word(at::MARK);
        fields.priority = word(at::PRIORITY);
        fields.queue_mapping = word(at::QUEUE_MAPPING) as u16;
        fields.ingress_ifindex = word(at::INGRESS_IFINDEX);
        fields.ifindex = word(at::IFINDEX).max(1);
        fields.tc_index = word(at::TC_INDEX) as u16;
        fields.tc_classid = word(at::TC_CLASSID) as u16;
        fields.hash = word(at::HASH);
        fields.has_hash = fields.hash != 0;
        fields.tstamp = long(at::TSTAMP);
        fields.hwtstamp = long(at::HWTSTAMP);
        fields.cb = bytes(at::CB).first_chunk().copied().unwrap_or_default();
        fields.gso_segs = word(at::GSO_SEGS);
        fields.gso_size = word(at::GSO_SIZE);
        fields.wire_len = word(at::WIRE_LEN).max(len);
    }

    /// Puts fields that a program may have changed into a context of `struct __sk_buff`.
    pub fn give_fields(&self, context: &mut [u8]) {
        let fields = &self.fields;
        for (offset, field) in [
            (at::LEN, self.len() as u32),
            (at::PKT_TYPE, fields.pkt_type),
            (at::MARK, fields.mark),
            (at::QUEUE_MAPPING, fields.queue_mapping.into()),
            (at::PROTOCOL, fields.protocol.into()),
            (at::PRIORITY, fields.priority),
            (at::IFINDEX, fields.ifindex),
            (at::TC_INDEX, fields.tc_index.into()),
            (at::TC_CLASSID, fields.tc_classid.into()),
            (at::HASH, fields.hash),
        ] {
            if let Some(place) = context.get_mut(offset as usize..offset as usize + 4) {
                place.copy_from_slice(&field.to_ne_bytes());
            }
        }
        if let Some(place) = context.get_mut(at::CB as usize..at::CB as usize + fields.cb.len()) {
            place.copy_from_slice(&fields.cb);
        }
        if let Some(place) = context.get_mut(at::TSTAMP as usize..at::TSTAMP as usize + 8) {
            place.copy_from_slice(&fields.tstamp.to_ne_bytes());
        }
    }

    /// Bytes that a program sees.
    pub fn len(&self) -> usize {
        self.frame.len()
    }

    /// Copies `to.len()` bytes at `offset`; `None` outside of the packet.
    pub fn read(&self, offset: i64, to: &mut [u8]) -> Option<()> {
        let start = usize::try_from(offset).ok();
        match start {
            Some(start) => {
                let end = start.checked_add(to.len())?;
                to.copy_from_slice(self.frame.bytes().get(start..end)?);
            }
            // Only the link header lies before the start.
            None => {
                let start = usize::try_from(offset - self.mac_offset).ok()?;
                let header = &self.link_header[..(-self.mac_offset) as usize];
                let mut all = header.to_vec();
                all.extend_from_slice(self.frame.bytes());
                to.copy_from_slice(all.get(start..start.checked_add(to.len())?)?);
            }
        }
        Some(())
    }

    /// Bytes `offset..offset + len`, to write; `None` outside of the packet.
    pub fn slice_mut(&mut self, offset: u32, len: usize) -> Option<&mut [u8]> {
        let start = offset as usize;
        self.frame.bytes_mut().get_mut(start..start.checked_add(len)?)
    }

    /// Offset of the network header from the packet's start.
    pub fn network_offset(&self) -> i64 {
        self.network_offset
    }

    /// Offset of the link header from the packet's start.
    pub fn mac_offset(&self) -> i64 {
        self.mac_offset
    }

    /// `bpf_skb_change_tail`.
    ///
    /// # Errors
    /// `EINVAL` for a length that cuts into the headers or is too large.
    pub fn change_tail(&mut self, len: u32) -> Result<(), Errno> {
        let shortest = self.network_offset.max(0) as usize;
        let len = len as usize;
        self.frame.invalidate();
        if len > MAX_LEN || len < shortest {
            return Err(Errno::EINVAL);
        }
        let by = len as isize - self.len() as isize;
        self.frame.reserve(self.frame.headroom(), by.max(0) as usize);
        self.frame.move_end(by);
        Ok(())
    }

    /// `bpf_skb_change_head`: `room` new zero bytes, which become the link header's
    /// place.
    ///
    /// # Errors
    /// `EINVAL` where the packet would be too large.
    pub fn change_head(&mut self, room: u32) -> Result<(), Errno> {
        let room = room as usize;
        self.frame.invalidate();
        if self.len() + room > MAX_LEN {
            return Err(Errno::EINVAL);
        }
        self.push(room);
        self.frame.bytes_mut()[..room].fill(0);
        self.mac_offset = 0;
        Ok(())
    }

    /// `bpf_skb_vlan_push`: a tag that was set aside goes into the packet, the new one
    /// is set aside.
    ///
    /// # Errors
    /// `EINVAL` where the packet does not start at its link header.
    pub fn vlan_push(&mut self, proto: u16, tci: u16) -> Result<(), Errno> {
        self.frame.invalidate();
        if self.fields.vlan_present {
            if self.mac_offset != 0 || self.len() < ETH_HLEN {
                return Err(Errno::EINVAL);
            }
            // The network header stays where it is, counted from the new start.
            let network_offset = self.network_offset;
            self.push(VLAN_HLEN);
            self.network_offset = network_offset;
            let (old_proto, old_tci) = (self.fields.vlan_proto, self.fields.vlan_tci);
            let bytes = self.frame.bytes_mut();
            bytes.copy_within(VLAN_HLEN..VLAN_HLEN + 12, 0);
            bytes[12..14].copy_from_slice(&old_proto.to_ne_bytes());
            bytes[14..16].copy_from_slice(&old_tci.to_be_bytes());
            self.fields.protocol = old_proto;
        }
        self.fields.vlan_present = true;
        self.fields.vlan_proto = proto;
        self.fields.vlan_tci = tci;
        Ok(())
    }

    /// `bpf_skb_vlan_pop`: takes away the tag that was set aside, else the one in the
    /// packet; the next one in the packet is set aside.
    ///
    /// # Errors
    /// `EINVAL` where the packet is too short for a tag.
    pub fn vlan_pop(&mut self) -> Result<(), Errno> {
        self.frame.invalidate();
        if self.fields.vlan_present {
            self.fields.vlan_present = false;
            self.fields.vlan_tci = 0;
            self.fields.vlan_proto = 0;
        } else {
            if !is_vlan(self.fields.protocol) {
                return Ok(());
            }
            self.vlan_untag()?;
        }
        if is_vlan(self.fields.protocol) {
            let proto = self.fields.protocol;
            let tci = self.vlan_untag()?;
            self.fields.vlan_present = true;
            self.fields.vlan_proto = proto;
            self.fields.vlan_tci = tci;
        }
        Ok(())
    }

    /// Takes the outermost tag out of the packet; gives its TCI.
    fn vlan_untag(&mut self) -> Result<u16, Errno> {
        if self.mac_offset != 0 {
            return Err(Errno::EINVAL);
        }
        if self.len() < ETH_HLEN + VLAN_HLEN {
            return Err(Errno::ENOMEM);
        }
        let bytes = self.frame.bytes_mut();
        let tci = u16::from_be_bytes([bytes[14], bytes[15]]);
        bytes.copy_within(0..12, VLAN_HLEN);
        self.frame.move_start(VLAN_HLEN as isize);
        self.fields.protocol = protocol(self.frame.bytes());
        Ok(tci)
    }

    /// Bytes of the link header.
    pub fn link_header_len(&self) -> usize {
        (self.network_offset - self.mac_offset).max(0) as usize
    }

    /// `len` new zero bytes behind the first `behind` of the packet; where the headers lie
    /// counts from its new start.
    pub fn open(&mut self, behind: usize, len: usize) {
        let (mac, network) = (self.mac_offset, self.network_offset);
        self.push(len);
        (self.mac_offset, self.network_offset) = (mac, network);
        let bytes = self.frame.bytes_mut();
        bytes.copy_within(len..len + behind, 0);
        bytes[behind..behind + len].fill(0);
    }

    /// Takes `len` bytes away behind the first `behind` of the packet.
    ///
    /// # Errors
    /// `ENOMEM` where it has not as many.
    pub fn close(&mut self, behind: usize, len: usize) -> Result<(), Errno> {
        if behind + len > self.len() {
            return Err(Errno::ENOMEM);
        }
        self.frame.bytes_mut().copy_within(0..behind, len);
        self.frame.move_start(len as isize);
        Ok(())
    }

    /// The packet is no longer the one that a hash was computed of.
    pub fn forget_hash(&mut self) {
        (self.fields.hash, self.fields.has_hash) = (0, false);
    }

    /// Whether its access is that of a socket's stream.
    pub fn is_of_stream(&self) -> bool {
        self.access == SkbAccess::Stream
    }

    /// New bytes at the packet's start, whatever they hold.
    fn push(&mut self, len: usize) {
        self.frame.reserve(len, 0);
        self.frame.move_start(-(len as isize));
        self.network_offset += len as i64;
    }

    /// A 32-bit field, and whether loads of parts of it are allowed.
    fn field(&self, offset: u32) -> Option<u32> {
        let tc = self.access == SkbAccess::Tc;
        Some(match offset {
            at::LEN => self.len() as u32,
            at::PKT_TYPE => self.fields.pkt_type & 7,
            at::MARK => self.fields.mark,
            at::QUEUE_MAPPING => self.fields.queue_mapping.into(),
            at::PROTOCOL => self.fields.protocol.into(),
            at::VLAN_PRESENT => self.fields.vlan_present.into(),
            at::VLAN_TCI => self.fields.vlan_tci.into(),
            at::VLAN_PROTO => self.fields.vlan_proto.into(),
            at::PRIORITY => self.fields.priority,
            at::INGRESS_IFINDEX => self.fields.ingress_ifindex,
            at::IFINDEX => self.fields.ifindex,
            at::TC_INDEX => self.fields.tc_index.into(),
            at::HASH => self.fields.hash,
            at::TC_CLASSID if tc => self.fields.tc_classid.into(),
            at::NAPI_ID => 0, // napi_id: no packet here was polled
            // Addresses and ports of the socket that it belongs to.
            at::FAMILY..at::DATA_META
                if matches!(self.access, SkbAccess::Cgroup | SkbAccess::Stream) =>
            {
                self.socket_field(offset)
            }
            at::WIRE_LEN if tc => self.fields.wire_len,
            at::GSO_SEGS => self.fields.gso_segs,
            at::GSO_SIZE => self.fields.gso_size,
            _ => return None,
        })
    }
}

/// The EtherType in network order, as `eth_type_trans` finds it.
fn protocol(packet: &[u8]) -> u16 {
    const ETH_P_802_3_MIN: u16 = 0x600;
    const ETH_P_802_3: u16 = 1;
    const ETH_P_802_2: u16 = 4;
    let Some(&[high, low]) = packet.get(12..14) else { return 0 };
    let kind = match u16::from_be_bytes([high, low]) {
        kind if kind >= ETH_P_802_3_MIN => kind,
        _ if packet.get(14..16) == Some(&[0xff, 0xff]) => ETH_P_802_3,
        _ => ETH_P_802_2,
    };
    kind.to_be()
}

fn is_vlan(protocol: u16) -> bool {
    matches!(u16::from_be(protocol), ETH_P_8021Q | ETH_P_8021AD)
}

/// Whom a frame is for, on `lo`, whose own address and broadcast address are zeros:
/// this host, a group, or another host.
fn pkt_type(header: &[u8; ETH_HLEN]) -> u32 {
    match &header[..6] {
        [0, 0, 0, 0, 0, 0] => 0,
        [first, ..] if first & 1 == 1 => 2,
        _ => 3,
    }
}

impl Context for Skb {
    fn load(&mut self, offset: u32, size: Size) -> Option<Value> {
        if !offset.is_multiple_of(size.bytes()) {
            return None;
        }
        let tc = self.access == SkbAccess::Tc;
        let direct = self.access != SkbAccess::SocketFilter;
        match (offset, size) {
            (at::DATA, Size::W) if direct => Some(self.frame.data_pointer()),
            (at::DATA_END, Size::W) if direct => Some(self.frame.end_pointer()),
            (at::DATA_META, Size::W) if tc => Some(self.frame.metadata_pointer()),
            (at::CB..at::HASH, _) => {
                let start = (offset - at::CB) as usize;
                let bytes = self.fields.cb.get(start..start + size.bytes() as usize)?;
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                Some(Value::scalar(u64::from_le_bytes(word)))
            }
            (at::TSTAMP, Size::DW) if direct => Some(Value::scalar(self.fields.tstamp)),
            (at::SK, Size::DW) => {
                let socket = self.socket_region();
                Some(socket.map_or(Value::scalar(0), |region| region.pointer(0)))
            }
            (at::TSTAMP_TYPE, Size::B) if tc => Some(Value::scalar(self.fields.tstamp_type.into())),
            (at::HWTSTAMP, Size::DW) if direct => Some(Value::scalar(self.fields.hwtstamp)),
            (_, Size::DW) => None,
            _ => {
                let word = self.field(offset & !3)?;
                let bits = word >> ((offset & 3) * 8);
                let mask = u32::MAX >> (32 - size.bits());
                Some(Value::scalar((bits & mask).into()))
            }
        }
    }

    fn store(&mut self, offset: u32, size: Size, bits: u64) -> Option<()> {
        if !offset.is_multiple_of(size.bytes()) {
            return None;
        }
        let tc = self.access == SkbAccess::Tc;
        let direct = self.access != SkbAccess::SocketFilter;
        match (offset, size) {
            (at::CB..at::HASH, _) => {
                let (start, len) = ((offset - at::CB) as usize, size.bytes() as usize);
                let to = self.fields.cb.get_mut(start..start + len)?;
                to.copy_from_slice(&bits.to_le_bytes()[..len]);
            }
            (at::MARK, Size::W) if direct => self.fields.mark = bits as u32,
            (at::QUEUE_MAPPING, Size::W) if tc => {
                // NO_QUEUE_MAPPING and above are not stored.
                if (bits as u32) < u32::from(u16::MAX) {
                    self.fields.queue_mapping = bits as u16;
                }
            }
            (at::PRIORITY, Size::W) if direct => self.fields.priority = bits as u32,
            (at::TC_INDEX, Size::W) if tc => self.fields.tc_index = bits as u16,
            (at::TC_CLASSID, Size::W) if tc => self.fields.tc_classid = bits as u16,
            (at::TSTAMP, Size::DW) if direct => self.fields.tstamp = bits,
            _ => return None,
        }
        Some(())
    }

    fn epoch(&self) -> u64 {
        self.frame.epoch()
    }

    fn load_legacy(&mut self, offset: i64, size: Size) -> Option<u32> {
        let offset = match offset {
            0.. => offset,
            SKF_NET_OFF.. => offset - SKF_NET_OFF + self.network_offset,
            SKF_LL_OFF.. => offset - SKF_LL_OFF + self.mac_offset,
            _ => return None,
        };
        let mut bytes = [0; 4];
        let len = size.bytes() as usize;
        self.read(offset, &mut bytes[4 - len..])?;
        Some(u32::from_be_bytes(bytes))
    }

    fn packet(&self) -> [Option<Region>; 3] {
        let direct = self.access != SkbAccess::SocketFilter;
        let metadata = self.access == SkbAccess::Tc;
        [
            direct.then(|| self.frame.data_pointer().region()),
            metadata.then(|| self.frame.metadata_pointer().region()),
            self.socket_region(),
        ]
    }

    fn sends_packets(&self) -> bool {
        true
    }

    fn frame(&self) -> Option<&Frame> {
        Some(&self.frame)
    }

    fn skb(&mut self) -> Option<&mut Skb> {
        Some(self)
    }
}
