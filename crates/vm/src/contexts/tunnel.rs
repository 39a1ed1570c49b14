//! The tunnel that a socket buffer is to go into (`struct ip_tunnel_info`), and what programs see
//! of one (`struct bpf_tunnel_key`).

/// Which addresses a tunnel has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Marks of a tunnel, of which the lower 16 are what programs see (`TUNNEL_*`).
pub(crate) const CHECKSUM: u16 = 1 << 0;
pub(crate) const KEY: u16 = 1 << 2;
pub(crate) const SEQUENCE: u16 = 1 << 3;
pub(crate) const DONT_FRAGMENT: u16 = 1 << 8;
pub(crate) const NO_CACHE: u16 = 1 << 13;
/// Options of Geneve, VXLAN, ERSPAN, GTP.
pub(crate) const OPTIONS: u16 = 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15;

/// `struct bpf_tunnel_key`.
#[derive(Clone, Copy)]
pub(crate) struct Key(pub [u8; Key::SIZE]);

impl Key {
    pub const SIZE: usize = 44;
    /// Where the far address is, of 4 or 16 bytes.
    const REMOTE: usize = 4;
    /// Bytes of the first structure that there was.
    pub const OLDEST: usize = 8;
    /// Where the flags or nothing is.
    pub const EXT: usize = 22;
    /// Where the flow label is.
    pub const LABEL: usize = 24;
    /// Where the near address is, of 4 or 16 bytes.
    pub const LOCAL: usize = 28;

    pub fn word(&self, at: usize) -> u32 {
        self.0[at..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
    }

    pub fn half(&self, at: usize) -> u16 {
        self.0[at..].first_chunk().copied().map_or(0, u16::from_ne_bytes)
    }
}

/// A tunnel by the key that it was set with.
pub(crate) struct Tunnel {
    pub key: Key,
    pub family: Family,
    pub marks: u16,
    pub options: Vec<u8>,
}

impl Tunnel {
    /// What a program sees of it, which goes by packets that came: its far address is where they
    /// came from, which of one that is to be sent is the near one.
    pub fn seen(&self, marks: bool) -> Key {
        /// Bits of a flow label.
        const LABEL: u32 = 0x000f_ffff;
        let mut seen = Key([0; Key::SIZE]);
        let (len, label) = match self.family {
            Family::V4 => (4, 0),
            Family::V6 => (16, self.key.word(Key::LABEL) & LABEL),
        };
        seen.0[..Key::REMOTE].copy_from_slice(&self.key.0[..Key::REMOTE]);
        seen.0[20..22].copy_from_slice(&self.key.0[20..22]);
        if marks {
            seen.0[Key::EXT..Key::LABEL].copy_from_slice(&self.marks.to_be_bytes());
        }
        seen.0[Key::LABEL..Key::LOCAL].copy_from_slice(&label.to_ne_bytes());
        let (near, far) = (Key::LOCAL..Key::LOCAL + len, Key::REMOTE..Key::REMOTE + len);
        seen.0[far.clone()].copy_from_slice(&self.key.0[near.clone()]);
        seen.0[near].copy_from_slice(&self.key.0[far]);
        seen
    }
}
