//! The running kernel's maps, through bpf(2).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use skep_abi::{Cmd, Errno};

use super::{Pair, Subject};
use crate::MapAttr;

/// A map of the running kernel.
pub struct LinuxMap {
    fd: OwnedFd,
    key_size: usize,
    value_size: usize,
}

fn bpf(cmd: Cmd, attr: &mut [u8]) -> Result<i32, Errno> {
    // SAFETY: the attribute's bytes are ours; the buffers that its pointers name are as long
    // as each caller says.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, cmd as u32 as libc::c_long, attr.as_mut_ptr(), attr.len())
    };
    match result {
        -1 => Err(Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))),
        fd => Ok(fd as i32),
    }
}

fn attr_of(words: &[(usize, u64)], halves: &[(usize, u32)]) -> [u8; 72] {
    let mut attr = [0; 72];
    for (at, word) in words {
        attr[*at..at + 8].copy_from_slice(&word.to_ne_bytes());
    }
    for (at, half) in halves {
        attr[*at..at + 4].copy_from_slice(&half.to_ne_bytes());
    }
    attr
}

/// Whether this process may make maps; says so if not.
pub fn permitted() -> bool {
    let attr = MapAttr::new(skep_abi::MapType::Array, 4, 4, 1);
    let made = LinuxMap::create(&attr, 4, -1);
    if let Err(errno) = &made {
        eprintln!("skipped: bpf(2) is not permitted here ({errno:?})");
    }
    made.is_ok()
}

impl LinuxMap {
    /// MAP_CREATE; `value_size` is what user space sees.
    pub fn create(attr: &MapAttr, value_size: usize, inner: i32) -> Result<LinuxMap, Errno> {
        let mut raw = attr_of(
            &[(64, attr.map_extra)],
            &[
                (0, attr.map_type as u32),
                (4, attr.key_size),
                (8, attr.value_size),
                (12, attr.max_entries),
                (16, attr.flags),
                (20, inner.max(0) as u32),
                (24, attr.numa_node),
            ],
        );
        let fd = bpf(Cmd::MapCreate, &mut raw)?;
        // SAFETY: a new fd that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(LinuxMap { fd, key_size: attr.key_size as usize, value_size })
    }

    /// MAP_CREATE with types: a `u32` to a structure with a lock at this offset, which is 0
    /// or behind words.
    pub fn with_lock(attr: &MapAttr, lock: u32) -> Result<LinuxMap, Errno> {
        let types = types_with_lock(attr.value_size, lock);
        let mut raw = attr_of(&[(0, types.as_ptr() as u64)], &[(16, types.len() as u32)]);
        // SAFETY: a new fd that nobody else owns.
        let types = unsafe { OwnedFd::from_raw_fd(bpf(Cmd::BtfLoad, &mut raw[..32])?) };
        let mut raw = attr_of(
            &[],
            &[
                (0, attr.map_type as u32),
                (4, attr.key_size),
                (8, attr.value_size),
                (12, attr.max_entries),
                (16, attr.flags),
                (48, types.as_raw_fd() as u32),
                (52, 1),
                (56, 3),
            ],
        );
        // SAFETY: as above.
        let fd = unsafe { OwnedFd::from_raw_fd(bpf(Cmd::MapCreate, &mut raw)?) };
        let (key_size, value_size) = (attr.key_size as usize, attr.value_size as usize);
        Ok(LinuxMap { fd, key_size, value_size })
    }

    /// MAP_UPDATE_ELEM with flags.
    pub fn update_with(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.element(Cmd::MapUpdateElem, address(key), address(value), flags)
    }

    /// MAP_LOOKUP_ELEM with flags.
    pub fn lookup_with(&self, key: &[u8], out: &mut [u8], flags: u64) -> Result<(), Errno> {
        let to = out.as_mut_ptr() as u64;
        self.element(Cmd::MapLookupElem, address(key), to, flags)
    }

    /// MAP_LOOKUP_AND_DELETE_ELEM with flags.
    pub fn lookup_and_delete_with(
        &self,
        key: &[u8],
        out: &mut [u8],
        flags: u64,
    ) -> Result<(), Errno> {
        let to = out.as_mut_ptr() as u64;
        self.element(Cmd::MapLookupAndDeleteElem, address(key), to, flags)
    }

    /// MAP_DELETE_ELEM.
    pub fn delete_with(&self, key: &[u8]) -> Result<(), Errno> {
        self.element(Cmd::MapDeleteElem, address(key), 0, 0)
    }

    /// A batch of up to 8 elements, by `elem_flags`.
    pub fn all_with(&self, flags: u64, delete: bool) -> (Result<(), Errno>, Vec<Pair>) {
        self.read_batch_with(8, delete, flags)
    }

    /// The id that the kernel gave the map.
    pub fn id(&self) -> u32 {
        let mut info = [0u8; 8];
        let mut attr = attr_of(
            &[(8, info.as_mut_ptr() as u64)],
            &[(0, self.fd() as u32), (4, info.len() as u32)],
        );
        bpf(Cmd::ObjGetInfoByFd, &mut attr[..16]).expect("a map's info");
        u32::from_ne_bytes([info[4], info[5], info[6], info[7]])
    }

    pub fn fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    fn element(&self, cmd: Cmd, key: u64, value: u64, flags: u64) -> Result<(), Errno> {
        let mut attr = attr_of(&[(8, key), (16, value), (24, flags)], &[(0, self.fd() as u32)]);
        bpf(cmd, &mut attr[..32]).map(drop)
    }

    /// count, and what the command returned.
    fn batch(
        &self,
        cmd: Cmd,
        cursor: &mut [u8],
        keys: u64,
        values: u64,
        count: u32,
        flags: u64,
    ) -> (Result<(), Errno>, u32) {
        let mut attr = attr_of(
            &[(8, cursor.as_mut_ptr() as u64), (16, keys), (24, values), (40, flags)],
            &[(32, count), (36, self.fd() as u32)],
        );
        let result = bpf(cmd, &mut attr[..56]).map(drop);
        (result, u32::from_ne_bytes([attr[32], attr[33], attr[34], attr[35]]))
    }

    fn read_batch_with(
        &self,
        count: usize,
        delete: bool,
        flags: u64,
    ) -> (Result<(), Errno>, Vec<Pair>) {
        let cmd = if delete { Cmd::MapLookupAndDeleteBatch } else { Cmd::MapLookupBatch };
        let (mut keys, mut values) =
            (vec![0u8; count * self.key_size], vec![0u8; count * self.value_size]);
        let mut cursor = vec![0; self.key_size.max(4)];
        let (to_keys, to_values) = (keys.as_mut_ptr() as u64, values.as_mut_ptr() as u64);
        let (result, done) = self.batch(cmd, &mut cursor, to_keys, to_values, count as u32, flags);
        let pairs = keys.chunks(self.key_size.max(1)).zip(values.chunks(self.value_size));
        let done = if matches!(result, Ok(()) | Err(Errno::ENOENT)) { done as usize } else { 0 };
        (result, pairs.take(done).map(|(k, v)| (k.to_vec(), v.to_vec())).collect())
    }
}

/// BTF of a `u32`, and of a value with a lock at an offset.
fn types_with_lock(value_size: u32, lock: u32) -> Vec<u8> {
    const INT: u32 = 1 << 24;
    const STRUCT: u32 = 4 << 24;
    let strings = b"\0u32\0bpf_spin_lock\0value\0member\0";
    let (u32_name, lock_name, value_name, member) = (1, 5, 19, 25);
    let mut types = vec![u32_name, INT, 4, 32, lock_name, STRUCT | 1, 4, member, 1, 0];
    types.extend([value_name, STRUCT | 1, value_size, member, 2, lock * 8]);
    let len = types.len() as u32 * 4;
    let mut words = vec![0x0001_eb9f, 24, 0, len, len, strings.len() as u32];
    words.extend(types);
    words.iter().flat_map(|word: &u32| word.to_ne_bytes()).chain(*strings).collect()
}

/// A map without keys wants a null pointer.
fn address(bytes: &[u8]) -> u64 {
    if bytes.is_empty() { 0 } else { bytes.as_ptr() as u64 }
}

impl Subject for LinuxMap {
    fn name(&self) -> &'static str {
        "Linux"
    }

    fn lookup(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0; self.value_size];
        let to = value.as_mut_ptr() as u64;
        self.element(Cmd::MapLookupElem, address(key), to, 0).map(|()| value)
    }

    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.element(Cmd::MapUpdateElem, address(key), address(value), flags)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Errno> {
        self.element(Cmd::MapDeleteElem, address(key), 0, 0)
    }

    fn lookup_and_delete(&mut self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0; self.value_size];
        let to = value.as_mut_ptr() as u64;
        self.element(Cmd::MapLookupAndDeleteElem, address(key), to, 0).map(|()| value)
    }

    fn next_key(&mut self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let mut next = vec![0; self.key_size];
        let to = next.as_mut_ptr() as u64;
        self.element(Cmd::MapGetNextKey, key.map_or(0, address), to, 0).map(|()| next)
    }

    fn read_batch(&mut self, count: usize, delete: bool) -> (Result<(), Errno>, Vec<Pair>) {
        self.read_batch_with(count, delete, 0)
    }

    fn update_batch(&mut self, pairs: &[Pair]) -> (Result<(), Errno>, u32) {
        let keys: Vec<u8> = pairs.iter().flat_map(|pair| pair.0.clone()).collect();
        let values: Vec<u8> = pairs.iter().flat_map(|pair| pair.1.clone()).collect();
        let (from_keys, from_values) = (address(&keys), address(&values));
        self.batch(Cmd::MapUpdateBatch, &mut [], from_keys, from_values, pairs.len() as u32, 0)
    }

    fn delete_batch(&mut self, keys: &[Vec<u8>]) -> (Result<(), Errno>, u32) {
        let flat: Vec<u8> = keys.concat();
        self.batch(Cmd::MapDeleteBatch, &mut [], address(&flat), 0, keys.len() as u32, 0)
    }
}
