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
    pub ifindex: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub netns_dev: u64,
    pub netns_ino: u64,
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
            ifindex: u32_at(&bytes, 40),
            btf_vmlinux_value_type_id: u32_at(&bytes, 44),
            netns_dev: u64_at(&bytes, 48),
            netns_ino: u64_at(&bytes, 56),
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
            (40, self.ifindex),
            (44, self.btf_vmlinux_value_type_id),
            (64, self.btf_id),
            (68, self.btf_key_type_id),
            (72, self.btf_value_type_id),
        ];
        for (offset, number) in numbers {
            bytes[offset..offset + 4].copy_from_slice(&number.to_ne_bytes());
        }
        bytes[24..40].copy_from_slice(&self.name);
        for (offset, number) in [(48, self.netns_dev), (56, self.netns_ino), (80, self.map_extra)] {
            bytes[offset..offset + 8].copy_from_slice(&number.to_ne_bytes());
        }
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
    pub xlated_prog_len: u32,
    /// Nanoseconds since the machine was started.
    pub load_time: u64,
    pub created_by_uid: u32,
    pub gpl_compatible: bool,
    pub ifindex: u32,
    pub netns_dev: u64,
    pub netns_ino: u64,
    pub run_time_ns: u64,
    pub run_cnt: u64,
    pub recursion_misses: u64,
    pub attach_btf_obj_id: u32,
    pub attach_btf_id: u32,
    pub func_count: u32,
}

impl ProgInfo {
    /// Asks `kernel` about the program behind `fd`.
    ///
    /// # Errors
    /// The command's: `EBADF`, `EINVAL` where it is no program.
    pub fn query(kernel: &dyn Kernel, fd: RawFd) -> Result<ProgInfo, Errno> {
        ProgInfo::ask(kernel, fd, true)
    }

    /// The same without the instructions.
    ///
    /// # Errors
    /// The command's.
    pub fn brief(kernel: &dyn Kernel, fd: RawFd) -> Result<ProgInfo, Errno> {
        ProgInfo::ask(kernel, fd, false)
    }

    fn ask(kernel: &dyn Kernel, fd: RawFd, with_code: bool) -> Result<ProgInfo, Errno> {
        let mut sizes = [0; PROG_INFO_SIZE];
        query(kernel, fd, &mut sizes, Vec::new())?;
        let code = Pointed::bytes(32, 20, if with_code { u32_at(&sizes, 20) } else { 0 });
        let ids = Pointed::words(56, 52, u32_at(&sizes, 52));
        let mut pointed = [code, ids];
        let bytes = query_pointed(kernel, fd, &mut pointed)?;
        let [code, ids] = pointed;
        let mut info = ProgInfo::read(&bytes);
        // Numbers that say how much there is, and not how much was asked for.
        info.jited_prog_len = u32_at(&sizes, 16);
        info.xlated_prog_len = u32_at(&sizes, 20);
        info.func_count = u32_at(&sizes, 144);
        info.map_ids = ids.bytes.chunks_exact(4).map(|id| u32_at(id, 0)).collect();
        info.xlated = code.bytes;
        Ok(info)
    }

    fn read(bytes: &[u8]) -> ProgInfo {
        let mut tag = [0; 8];
        tag.copy_from_slice(&bytes[8..16]);
        ProgInfo {
            prog_type: u32_at(bytes, 0),
            id: u32_at(bytes, 4),
            tag,
            load_time: u64_at(bytes, 40),
            created_by_uid: u32_at(bytes, 48),
            name: name_at(bytes, 64),
            ifindex: u32_at(bytes, 80),
            gpl_compatible: bytes[84] & 1 != 0,
            netns_dev: u64_at(bytes, 88),
            netns_ino: u64_at(bytes, 96),
            btf_id: u32_at(bytes, 128),
            run_time_ns: u64_at(bytes, 192),
            run_cnt: u64_at(bytes, 200),
            recursion_misses: u64_at(bytes, 208),
            verified_insns: u32_at(bytes, 216),
            attach_btf_obj_id: u32_at(bytes, 220),
            attach_btf_id: u32_at(bytes, 224),
            ..ProgInfo::default()
        }
    }
}

/// What of a program its loader and its reader know: machine code, functions, source lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgCode {
    /// The instructions as the verifier left them, 8 bytes a slot.
    pub xlated: Vec<u8>,
    /// The machine code, of all functions one after the other.
    pub jited: Vec<u8>,
    /// Where each function's machine code is in the kernel; zeros for who may not know.
    pub ksyms: Vec<u64>,
    /// The bytes of each function's machine code.
    pub func_lens: Vec<u32>,
    /// Records of 8 bytes: at which instruction a function starts, and its BTF type.
    pub func_info: Vec<u8>,
    /// Records of 16 bytes: the source line of an instruction.
    pub line_info: Vec<u8>,
}

impl ProgCode {
    /// Asks `kernel` about the program behind `fd`.
    ///
    /// # Errors
    /// The command's: `EBADF`, `EINVAL` where it is no program.
    pub fn query(kernel: &dyn Kernel, fd: RawFd) -> Result<ProgCode, Errno> {
        let mut sizes = [0; PROG_INFO_SIZE];
        query(kernel, fd, &mut sizes, Vec::new())?;
        let count = |at: usize| u32_at(&sizes, at);
        let mut pointed = [
            Pointed::bytes(32, 20, count(20)),
            Pointed::bytes(24, 16, count(16)),
            Pointed { unit: 8, ..Pointed::bytes(112, 104, count(104).saturating_mul(8)) },
            Pointed::words(120, 108, count(108)),
            Pointed { unit: 8, ..Pointed::bytes(136, 144, count(144).saturating_mul(8)) },
            Pointed { unit: 16, ..Pointed::bytes(152, 148, count(148).saturating_mul(16)) },
        ];
        let mut bytes = [0; PROG_INFO_SIZE];
        // The sizes of records, which are to be what the kernel's are.
        for (at, size) in [(132, 8u32), (172, 16)] {
            bytes[at..at + 4].copy_from_slice(&size.to_ne_bytes());
        }
        point(kernel, fd, &mut bytes, &mut pointed)?;
        let [xlated, jited, ksyms, func_lens, func_info, line_info] = pointed.map(|of| of.bytes);
        Ok(ProgCode {
            xlated,
            jited,
            ksyms: ksyms.chunks_exact(8).map(|long| u64_at(long, 0)).collect(),
            func_lens: func_lens.chunks_exact(4).map(|word| u32_at(word, 0)).collect(),
            func_info,
            line_info,
        })
    }
}

/// Memory that a field of a structure points to: where the address stands, where its length
/// is told, and in units of how many bytes.
pub(crate) struct Pointed {
    pub at: usize,
    pub len_at: usize,
    pub unit: usize,
    pub bytes: Vec<u8>,
}

/// The most bytes that are asked for at once, whatever a kernel says that it has.
const MOST: usize = 64 << 20;

impl Pointed {
    fn bytes(at: usize, len_at: usize, len: u32) -> Pointed {
        Pointed { at, len_at, unit: 1, bytes: vec![0; (len as usize).min(MOST)] }
    }

    fn words(at: usize, len_at: usize, count: u32) -> Pointed {
        Pointed { unit: 4, ..Pointed::bytes(at, len_at, count.saturating_mul(4)) }
    }
}

fn query_pointed(
    kernel: &dyn Kernel,
    fd: RawFd,
    pointed: &mut [Pointed],
) -> Result<[u8; PROG_INFO_SIZE], Errno> {
    let mut bytes = [0; PROG_INFO_SIZE];
    point(kernel, fd, &mut bytes, pointed)?;
    Ok(bytes)
}

/// Asks with room for what is pointed to. What is empty is not asked for.
pub(crate) fn point(
    kernel: &dyn Kernel,
    fd: RawFd,
    bytes: &mut [u8],
    pointed: &mut [Pointed],
) -> Result<(), Errno> {
    // The addresses are names: the kernel below finds the memory by them.
    let mut nested = Vec::new();
    for (number, of) in pointed.iter_mut().enumerate().filter(|(_, of)| !of.bytes.is_empty()) {
        let address = (number as u64 + 1) << 32;
        bytes[of.at..of.at + 8].copy_from_slice(&address.to_ne_bytes());
        let len = (of.bytes.len() / of.unit) as u32;
        bytes[of.len_at..of.len_at + 4].copy_from_slice(&len.to_ne_bytes());
        nested.push(NestedBuffer { address, memory: (&mut of.bytes[..]).into() });
    }
    query(kernel, fd, bytes, nested)
}

/// A `struct bpf_btf_info`, with the BTF.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfInfo {
    /// The id.
    pub id: u32,
    /// The raw BTF.
    pub btf: Vec<u8>,
    /// Its name: `vmlinux`, or a module's; none for a program's own.
    pub name: String,
    /// Whether it is the kernel's, or a module's.
    pub kernel_btf: bool,
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
        const NAME: u64 = 0x2000;
        let (mut btf, mut name) = (vec![0; size as usize], [0; 64]);
        let mut bytes = [0; BTF_INFO_SIZE];
        bytes[0..8].copy_from_slice(&BTF.to_ne_bytes());
        bytes[8..12].copy_from_slice(&size.to_ne_bytes());
        bytes[16..24].copy_from_slice(&NAME.to_ne_bytes());
        bytes[24..28].copy_from_slice(&(name.len() as u32).to_ne_bytes());
        let nested = vec![
            NestedBuffer { address: BTF, memory: (&mut btf[..]).into() },
            NestedBuffer { address: NAME, memory: (&mut name[..]).into() },
        ];
        query(kernel, fd, &mut bytes, nested)?;
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        let name = String::from_utf8_lossy(&name[..end]).into_owned();
        Ok(BtfInfo { id: u32_at(&bytes, 12), btf, name, kernel_btf: u32_at(&bytes, 28) != 0 })
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
