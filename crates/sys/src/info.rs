//! What OBJ_GET_INFO_BY_FD tells (`struct bpf_map_info`, `bpf_prog_info`,
//! `bpf_btf_info`), as structures, and the memory that such a structure points to.

use skep_abi::Errno;

use crate::fd::RawFd;
use crate::kernel::Kernel;
use crate::table::{Command, NestedBuffer, ObjInfo};

/// Size of `struct bpf_map_info` in Linux 6.18.
pub const MAP_INFO_SIZE: usize = 104;
/// Size of `struct bpf_prog_info` in Linux 6.18.
pub const PROG_INFO_SIZE: usize = 232;
/// Size of `struct bpf_btf_info` in Linux 6.18.
pub const BTF_INFO_SIZE: usize = 32;

/// A `struct bpf_map_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of struct bpf_map_info")]
pub struct MapInfo {
    pub map_type: u32,
    pub id: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub name: [u8; 16],
    pub btf_id: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    pub map_extra: u64,
}

impl MapInfo {
    /// Asks `kernel` about the map behind `fd`.
    ///
    /// # Errors
    /// The command's: `EBADF`, `EINVAL` where it is no map.
    pub fn query(kernel: &dyn Kernel, fd: RawFd) -> Result<MapInfo, Errno> {
        let mut bytes = [0; MAP_INFO_SIZE];
        query(kernel, fd, &mut bytes, Vec::new())?;
        Ok(MapInfo {
            map_type: u32_at(&bytes, 0),
            id: u32_at(&bytes, 4),
            key_size: u32_at(&bytes, 8),
            value_size: u32_at(&bytes, 12),
            max_entries: u32_at(&bytes, 16),
            map_flags: u32_at(&bytes, 20),
            name: name_at(&bytes, 24),
            btf_id: u32_at(&bytes, 64),
            btf_key_type_id: u32_at(&bytes, 68),
            btf_value_type_id: u32_at(&bytes, 72),
            map_extra: u64_at(&bytes, 80),
        })
    }

    /// The bytes that Linux would write.
    pub fn to_bytes(&self) -> [u8; MAP_INFO_SIZE] {
        let mut bytes = [0; MAP_INFO_SIZE];
        let numbers = [
            (0, self.map_type),
            (4, self.id),
            (8, self.key_size),
            (12, self.value_size),
            (16, self.max_entries),
            (20, self.map_flags),
            (64, self.btf_id),
            (68, self.btf_key_type_id),
            (72, self.btf_value_type_id),
        ];
        for (offset, number) in numbers {
            bytes[offset..offset + 4].copy_from_slice(&number.to_ne_bytes());
        }
        bytes[24..40].copy_from_slice(&self.name);
        bytes[80..88].copy_from_slice(&self.map_extra.to_ne_bytes());
        bytes
    }
}

/// The part of a `struct bpf_prog_info` that has users here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of struct bpf_prog_info")]
pub struct ProgInfo {
    pub prog_type: u32,
    pub id: u32,
    pub tag: [u8; 8],
    pub name: [u8; 16],
    pub jited_prog_len: u32,
    pub map_ids: Vec<u32>,
    /// The instructions as the verifier left them, 8 bytes a slot.
    pub xlated: Vec<u8>,
    pub btf_id: u32,
    pub verified_insns: u32,
}

impl ProgInfo {
    /// Asks `kernel` about the program behind `fd`.
    ///
    /// # Errors
    /// The command's: `EBADF`, `EINVAL` where it is no program.
    pub fn query(kernel: &dyn Kernel, fd: RawFd) -> Result<ProgInfo, Errno> {
        let mut sizes = [0; PROG_INFO_SIZE];
        query(kernel, fd, &mut sizes, Vec::new())?;
        let (jited, xlated, maps) = (u32_at(&sizes, 16), u32_at(&sizes, 20), u32_at(&sizes, 52));

        // The addresses are names: the kernel below finds the memory by them.
        const XLATED: u64 = 0x1000;
        const MAPS: u64 = 0x2000;
        let mut instructions = vec![0; xlated as usize];
        let mut ids = vec![0; maps as usize * 4];
        let mut bytes = [0; PROG_INFO_SIZE];
        bytes[20..24].copy_from_slice(&xlated.to_ne_bytes());
        bytes[52..56].copy_from_slice(&maps.to_ne_bytes());
        let mut nested = Vec::new();
        if xlated > 0 {
            bytes[32..40].copy_from_slice(&XLATED.to_ne_bytes());
            nested.push(NestedBuffer { address: XLATED, memory: (&mut instructions[..]).into() });
        }
        if maps > 0 {
            bytes[56..64].copy_from_slice(&MAPS.to_ne_bytes());
            nested.push(NestedBuffer { address: MAPS, memory: (&mut ids[..]).into() });
        }
        query(kernel, fd, &mut bytes, nested)?;
        let mut tag = [0; 8];
        tag.copy_from_slice(&bytes[8..16]);
        Ok(ProgInfo {
            prog_type: u32_at(&bytes, 0),
            id: u32_at(&bytes, 4),
            tag,
            name: name_at(&bytes, 64),
            jited_prog_len: jited,
            map_ids: ids.chunks_exact(4).map(|id| u32_at(id, 0)).collect(),
            xlated: instructions,
            btf_id: u32_at(&bytes, 128),
            verified_insns: u32_at(&bytes, 216),
        })
    }
}

/// A `struct bpf_btf_info`, with the BTF.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfInfo {
    /// The id.
    pub id: u32,
    /// The raw BTF.
    pub btf: Vec<u8>,
}

impl BtfInfo {
    /// Asks `kernel` about the BTF behind `fd`.
    ///
    /// # Errors
    /// The command's: `EBADF`, `EINVAL` where it is no BTF.
    pub fn query(kernel: &dyn Kernel, fd: RawFd) -> Result<BtfInfo, Errno> {
        let mut bytes = [0; BTF_INFO_SIZE];
        query(kernel, fd, &mut bytes, Vec::new())?;
        let size = u32_at(&bytes, 8);

        const BTF: u64 = 0x1000;
        let mut btf = vec![0; size as usize];
        let mut bytes = [0; BTF_INFO_SIZE];
        bytes[0..8].copy_from_slice(&BTF.to_ne_bytes());
        bytes[8..12].copy_from_slice(&size.to_ne_bytes());
        let nested = vec![NestedBuffer { address: BTF, memory: (&mut btf[..]).into() }];
        query(kernel, fd, &mut bytes, nested)?;
        Ok(BtfInfo { id: u32_at(&bytes, 12), btf })
    }
}

pub(crate) fn query(
    kernel: &dyn Kernel,
    fd: RawFd,
    info: &mut [u8],
    nested: Vec<NestedBuffer<'_>>,
) -> Result<(), Errno> {
    let command = ObjInfo {
        bpf_fd: fd as u32,
        info_len: info.len() as u32,
        info: info.into(),
        nested,
        ..ObjInfo::default()
    };
    kernel.bpf(&mut Command::ObjInfo(command)).map(|_| ())
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes[offset..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes[offset..].first_chunk().copied().map_or(0, u64::from_ne_bytes)
}

fn name_at(bytes: &[u8], offset: usize) -> [u8; 16] {
    bytes[offset..].first_chunk().copied().unwrap_or_default()
}
