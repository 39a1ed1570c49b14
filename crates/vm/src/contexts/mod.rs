//! What r1 of programs points to, and what their helpers work on.

mod frame;
pub(crate) mod own;
pub(crate) mod plain;
pub(crate) mod skb;
pub(crate) mod tunnel;
pub(crate) mod xdp;

use skep_isa::Size;

use crate::memory::value::{Region, Value};
pub(crate) use frame::Frame;
use own::Own;
use plain::Plain;
use skb::Skb;
use xdp::Xdp;

/// What r1 of a program points to, and what its helpers work on. Compiled code follows the
/// pointers that it gives, so that each is the kernel's own.
pub(crate) trait Context: Send {
    /// Loads a field; `None` where the program type does not let it.
    fn load(&mut self, offset: u32, size: Size) -> Option<Value>;

    /// Loads fields, each into its cell; false where there is none of one.
    fn load_all(&mut self, fields: &[(u32, Size)], cells: &mut [u64]) -> bool {
        fields.iter().zip(cells).all(|(&(offset, size), cell)| match self.load(offset, size) {
            Some(value) => {
                *cell = value.bits;
                true
            }
            None => false,
        })
    }

    /// Stores a field; `None` where the program type does not let it.
    fn store(&mut self, offset: u32, size: Size, bits: u64) -> Option<()>;

    /// Counts the moves of the packet: pointers of an earlier epoch no longer hold.
    fn epoch(&self) -> u64 {
        0
    }

    /// The packet, its metadata and its socket, as far as programs have pointers to them.
    fn packet(&self) -> [Option<Region>; 3] {
        [None; 3]
    }

    /// The legacy packet loads (`ld_abs`, `ld_ind`): a word in host order, `None`
    /// outside of the packet.
    fn load_legacy(&mut self, _offset: i64, _size: Size) -> Option<u32> {
        None
    }

    /// The packet's buffer.
    fn frame(&self) -> Option<&Frame> {
        None
    }

    /// Whether helpers may send bytes of the packet on.
    fn sends_packets(&self) -> bool {
        false
    }

    /// The fields, where there are no more.
    fn plain(&mut self) -> Option<&mut Plain> {
        None
    }

    /// The fields of an application's own context.
    fn own(&mut self) -> Option<&mut Own> {
        None
    }

    /// The XDP buffer, for helpers that work on one.
    fn xdp(&mut self) -> Option<&mut Xdp> {
        None
    }

    /// The socket buffer, for helpers that work on one.
    fn skb(&mut self) -> Option<&mut Skb> {
        None
    }
}

/// The context of a program whose argument is plain memory, or that has none.
pub(crate) struct NoContext;

impl Context for NoContext {
    fn load(&mut self, _offset: u32, _size: Size) -> Option<Value> {
        None
    }

    fn store(&mut self, _offset: u32, _size: Size, _bits: u64) -> Option<()> {
        None
    }
}
