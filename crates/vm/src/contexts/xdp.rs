//! XDP: programs on frames as a driver receives them (`struct xdp_md`,
//! `struct xdp_buff`; `net/core/filter.c`).

use skep_abi::Errno;
use skep_abi::context::at::xdp as at;
use skep_isa::Size;

use super::Context;
use super::frame::Frame;
use crate::memory::value::{Region, Value};

/// Bytes before a frame (`XDP_PACKET_HEADROOM`).
pub const HEADROOM: usize = 256;
/// Bytes at the buffer's start that Linux keeps to itself (`struct xdp_frame`).
const FRAME_HEADER: usize = 40;
/// Bytes of a page that are no room for a frame's end (`struct skb_shared_info`).
pub const TAIL_RESERVE: usize = 320;
/// An Ethernet header.
const ETH_HLEN: usize = 14;
/// Most metadata; its length is a byte, and a multiple of 4.
const MAX_METADATA: usize = 252;

/// A frame with what XDP programs know of it.
pub struct Xdp {
    /// The frame.
    pub frame: Frame,
    /// Interface that it came from.
    pub ingress_ifindex: u32,
    /// Queue of the interface.
    pub rx_queue_index: u32,
    /// Interface that it leaves by, for programs of a device map.
    pub egress_ifindex: u32,
    /// Bytes from the buffer's start that the frame's end may not pass.
    pub limit: usize,
}

impl Xdp {
    /// An empty buffer of the size of a page; frames come from interface 1, `lo`.
    pub fn new() -> Xdp {
        const PAGE: usize = 4096;
        Xdp {
            frame: Frame::new(PAGE),
            ingress_ifindex: 1,
            rx_queue_index: 0,
            egress_ifindex: 0,
            limit: PAGE - TAIL_RESERVE,
        }
    }

    /// Puts a frame into it. A frame larger than a page gets a larger buffer.
    pub fn fill(&mut self, packet: &[u8], metadata: usize) {
        const PAGE: usize = 4096;
        self.frame.fill(packet, metadata, HEADROOM - metadata, TAIL_RESERVE);
        self.limit = (HEADROOM + packet.len()).max(PAGE - TAIL_RESERVE);
    }

    /// `bpf_xdp_adjust_head`.
    ///
    /// # Errors
    /// `EINVAL` where less than an Ethernet header would be left, or no room is.
    pub fn adjust_head(&mut self, by: i32) -> Result<(), Errno> {
        let room = self.frame.headroom().saturating_sub(FRAME_HEADER);
        let spare = self.frame.len() as i64 - ETH_HLEN as i64;
        let fits = i64::from(by) >= -(room as i64) && i64::from(by) <= spare;
        self.frame.invalidate();
        if !fits {
            return Err(Errno::EINVAL);
        }
        self.frame.move_start(by as isize);
        Ok(())
    }

    /// `bpf_xdp_adjust_tail`.
    ///
    /// # Errors
    /// `EINVAL` where less than an Ethernet header would be left, or no room is.
    pub fn adjust_tail(&mut self, by: i32) -> Result<(), Errno> {
        let room = self.frame.tailroom(self.limit);
        let spare = self.frame.len() as i64 - ETH_HLEN as i64;
        self.frame.invalidate();
        if i64::from(by) > room as i64 || -i64::from(by) > spare {
            return Err(Errno::EINVAL);
        }
        self.frame.move_end(by as isize);
        Ok(())
    }

    /// `bpf_xdp_adjust_meta`.
    ///
    /// # Errors
    /// `EINVAL` where there is no room; `EACCES` for a length that is no multiple of
    /// 4 or too large.
    pub fn adjust_meta(&mut self, by: i32) -> Result<(), Errno> {
        let metadata = self.frame.metadata_len() as i64 - i64::from(by);
        let room = self.frame.headroom().saturating_sub(FRAME_HEADER);
        self.frame.invalidate();
        if -i64::from(by) > room as i64 || metadata < 0 {
            return Err(Errno::EINVAL);
        }
        if metadata % 4 != 0 || metadata > MAX_METADATA as i64 {
            return Err(Errno::EACCES);
        }
        self.frame.move_metadata(by as isize);
        Ok(())
    }
}

impl Default for Xdp {
    fn default() -> Xdp {
        Xdp::new()
    }
}

impl Context for Xdp {
    fn load(&mut self, offset: u32, size: Size) -> Option<Value> {
        if size != Size::W {
            return None;
        }
        match offset {
            at::DATA => Some(self.frame.data_pointer()),
            at::DATA_END => Some(self.frame.end_pointer()),
            at::DATA_META => Some(self.frame.metadata_pointer()),
            at::INGRESS_IFINDEX => Some(Value::scalar(self.ingress_ifindex.into())),
            at::RX_QUEUE_INDEX => Some(Value::scalar(self.rx_queue_index.into())),
            at::EGRESS_IFINDEX => Some(Value::scalar(self.egress_ifindex.into())),
            _ => None,
        }
    }

    fn store(&mut self, _offset: u32, _size: Size, _bits: u64) -> Option<()> {
        None
    }

    fn epoch(&self) -> u64 {
        self.frame.epoch()
    }

    fn packet(&self) -> [Option<Region>; 3] {
        let [data, metadata] = [self.frame.data_pointer(), self.frame.metadata_pointer()];
        [Some(data.region()), Some(metadata.region()), None]
    }

    fn sends_packets(&self) -> bool {
        true
    }

    fn frame(&self) -> Option<&Frame> {
        Some(&self.frame)
    }

    fn xdp(&mut self) -> Option<&mut Xdp> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_grows_and_shrinks_within_its_page() {
        let mut xdp = Xdp::new();
        xdp.fill(&[7; 64], 0);
        assert_eq!(xdp.adjust_head(-(256 - 40)), Ok(()));
        assert_eq!(xdp.adjust_head(-1), Err(Errno::EINVAL));
        assert_eq!(xdp.frame.len(), 64 + 216);
        assert_eq!(xdp.adjust_head(216), Ok(()));
        assert_eq!(xdp.adjust_tail(-50), Ok(()));
        assert_eq!(xdp.adjust_tail(-1), Err(Errno::EINVAL));
        assert_eq!(xdp.frame.bytes(), [7; 14]);
        assert_eq!(xdp.adjust_tail(4096 - 256 - 320 - 14), Ok(()));
        assert_eq!(xdp.adjust_tail(1), Err(Errno::EINVAL));
        assert_eq!(xdp.frame.bytes()[14], 0);
    }

    #[test]
    fn metadata_lies_before_the_frame_and_moves_with_it() {
        let mut xdp = Xdp::new();
        xdp.fill(&[7; 64], 0);
        assert_eq!(xdp.adjust_meta(-3), Err(Errno::EACCES));
        assert_eq!(xdp.adjust_meta(-4), Ok(()));
        assert_eq!(xdp.adjust_head(-8), Ok(()));
        assert_eq!((xdp.frame.metadata_len(), xdp.frame.len()), (4, 72));
        assert_eq!(xdp.adjust_meta(8), Err(Errno::EINVAL));
    }
}
