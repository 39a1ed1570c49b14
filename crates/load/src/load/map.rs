//! A live map: elements by their keys, in bytes.
//!
//! Keys and values are in the machine's byte order, as the kernel has them; their
//! types, where the object has any, say how to read them.

use std::sync::Arc;

use skep_abi::{Errno, MapType};
use skep_btf::Btf;
use skep_sys::{Command, Fd, Kernel, MapDelete, MapElem, MapInfo, MapNextKey, Mapping};

use crate::object::MapDef;

/// A map of a kernel. Clones are handles to the same map.
#[derive(Clone, Debug)]
pub struct Map(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fd: Fd,
    def: MapDef,
    types: Option<Arc<Btf>>,
}

impl Map {
    pub(super) fn new(fd: Fd, def: MapDef, types: Option<Arc<Btf>>) -> Map {
        Map(Arc::new(Inner { fd, def, types }))
    }

    /// A handle to the map behind `fd`, whose definition the kernel is asked for.
    ///
    /// # Errors
    /// The kernel's errno: `EINVAL` where `fd` is no map.
    pub fn from_fd(fd: Fd) -> Result<Map, Errno> {
        let info = MapInfo::query(&**fd.kernel(), fd.raw())?;
        let name = info.name.split(|&byte| byte == 0).next().unwrap_or_default();
        let def = MapDef {
            name: String::from_utf8_lossy(name).into_owned(),
            map_type: info.map_type,
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: info.map_flags,
            extra: info.map_extra,
            ..MapDef::default()
        };
        Ok(Map::new(fd, def, None))
    }

    /// Its name, in full.
    pub fn name(&self) -> &str {
        &self.0.def.name
    }

    /// Its definition.
    pub fn def(&self) -> &MapDef {
        &self.0.def
    }

    /// Its file descriptor.
    pub fn fd(&self) -> &Fd {
        &self.0.fd
    }

    /// The type of its keys, if the object says.
    pub fn key_type(&self) -> Option<(&Arc<Btf>, u32)> {
        self.type_of(self.0.def.key_type_id)
    }

    /// The type of its values, if the object says.
    pub fn value_type(&self) -> Option<(&Arc<Btf>, u32)> {
        self.type_of(self.0.def.value_type_id)
    }

    fn type_of(&self, id: u32) -> Option<(&Arc<Btf>, u32)> {
        self.0.types.as_ref().filter(|_| id != 0).map(|types| (types, id))
    }

    /// Whether each CPU has a value of its own.
    pub fn is_per_cpu(&self) -> bool {
        matches!(
            self.0.def.kind(),
            Some(
                MapType::PercpuHash
                    | MapType::PercpuArray
                    | MapType::LruPercpuHash
                    | MapType::PercpuCgroupStorage
            )
        )
    }

    /// Bytes of a value as look-ups and updates move it: for a per-CPU map those of all
    /// CPUs, each rounded up to 8 bytes.
    pub fn transfer_size(&self) -> usize {
        let size = self.0.def.value_size as usize;
        match self.is_per_cpu() {
            true => size.next_multiple_of(8) * self.kernel().possible_cpus() as usize,
            false => size,
        }
    }

    fn kernel(&self) -> &Arc<dyn Kernel> {
        self.0.fd.kernel()
    }

    fn map_fd(&self) -> u32 {
        self.0.fd.raw() as u32
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() == self.0.def.key_size as usize { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The value of a key, [`transfer_size`](Map::transfer_size) bytes; `None` where
    /// there is none.
    ///
    /// # Errors
    /// The kernel's errno; `EINVAL` for a key of another size.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        self.check_key(key)?;
        self.take(key, false)
    }

    /// The value of a key, which is deleted. For a queue or a stack the key is empty.
    ///
    /// # Errors
    /// The kernel's errno; `EINVAL` for a key of another size.
    pub fn lookup_and_delete(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        self.check_key(key)?;
        self.take(key, true)
    }

    fn take(&self, key: &[u8], delete: bool) -> Result<Option<Vec<u8>>, Errno> {
        let mut value = vec![0; self.transfer_size()];
        let elem = MapElem {
            map_fd: self.map_fd(),
            key: (!key.is_empty()).then(|| key.into()),
            value: value.as_mut_slice().into(),
            ..MapElem::default()
        };
        let mut command = match delete {
            true => Command::MapLookupAndDelete(elem),
            false => Command::MapLookup(elem),
        };
        match self.kernel().bpf(&mut command) {
            Ok(_) => Ok(Some(value)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The values of a key on each CPU.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn lookup_per_cpu(&self, key: &[u8]) -> Result<Option<Vec<Vec<u8>>>, Errno> {
        Ok(self.lookup(key)?.map(|value| self.split_cpus(&value)))
    }

    /// One value for each CPU out of the bytes of a look-up.
    pub fn split_cpus(&self, value: &[u8]) -> Vec<Vec<u8>> {
        let size = self.0.def.value_size as usize;
        match self.is_per_cpu() {
            true => value
                .chunks_exact(size.next_multiple_of(8).max(8))
                .map(|slot| slot[..size].to_vec())
                .collect(),
            false => vec![value.to_vec()],
        }
    }

    /// Sets the value of a key. A value of a per-CPU map may be that of one CPU, which
    /// all get then. Flags are [`skep_abi::flags::update`].
    ///
    /// # Errors
    /// The kernel's errno; `EINVAL` for a key or value of another size.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.check_key(key)?;
        let size = self.0.def.value_size as usize;
        let mut value = match value.len() {
            len if len == self.transfer_size() => value.to_vec(),
            len if len == size && self.is_per_cpu() => {
                let mut slot = value.to_vec();
                slot.resize(size.next_multiple_of(8), 0);
                slot.repeat(self.kernel().possible_cpus() as usize)
            }
            _ => return Err(Errno::EINVAL),
        };
        let elem = MapElem {
            map_fd: self.map_fd(),
            key: (!key.is_empty()).then(|| key.into()),
            value: value.as_mut_slice().into(),
            flags,
            ..MapElem::default()
        };
        self.kernel().bpf(&mut Command::MapUpdate(elem)).map(drop)
    }

    /// Deletes a key. Gives whether it was there.
    ///
    /// # Errors
    /// The kernel's errno; `EINVAL` for a key of another size.
    pub fn delete(&self, key: &[u8]) -> Result<bool, Errno> {
        self.check_key(key)?;
        let delete =
            MapDelete { map_fd: self.map_fd(), key: Some(key.into()), ..MapDelete::default() };
        match self.kernel().bpf(&mut Command::MapDelete(delete)) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// The keys, in the kernel's order. While others delete keys, some may be seen
    /// twice; no more than `max_entries` are given.
    pub fn keys(&self) -> Keys<'_> {
        Keys { map: self, last: None, left: self.0.def.max_entries }
    }

    /// The keys with their values. Keys that are gone meanwhile are left out.
    pub fn entries(&self) -> Entries<'_> {
        Entries { keys: self.keys() }
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, Errno> {
        let mut next = vec![0; self.0.def.key_size as usize];
        let command = MapNextKey {
            map_fd: self.map_fd(),
            key: key.map(Into::into),
            next_key: next.as_mut_slice().into(),
            ..MapNextKey::default()
        };
        match self.kernel().bpf(&mut Command::MapNextKey(command)) {
            Ok(_) => Ok(Some(next)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The values of an array that can be mapped, as shared memory.
    ///
    /// # Errors
    /// The kernel's errno: `EINVAL` for a map that was not made for it, `EPERM` for a
    /// frozen one that shall be written.
    pub fn memory(&self, writable: bool) -> Result<Mapping, Errno> {
        let def = &self.0.def;
        let size = (def.value_size as usize).next_multiple_of(8);
        let len = size.checked_mul(def.max_entries as usize).ok_or(Errno::E2BIG)?;
        let pages = len.checked_next_multiple_of(4096).ok_or(Errno::E2BIG)?;
        self.0.fd.map(0, pages, writable)
    }
}

/// The keys of a map.
#[derive(Debug)]
pub struct Keys<'a> {
    map: &'a Map,
    last: Option<Vec<u8>>,
    left: u32,
}

impl Iterator for Keys<'_> {
    type Item = Result<Vec<u8>, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match self.map.next_key(self.last.as_deref()) {
            Ok(next) => {
                self.last = Some(next?);
                self.last.clone().map(Ok)
            }
            Err(errno) => {
                self.left = 0;
                Some(Err(errno))
            }
        }
    }
}

/// The keys of a map with their values.
#[derive(Debug)]
pub struct Entries<'a> {
    keys: Keys<'a>,
}

impl Iterator for Entries<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = match self.keys.next()? {
                Ok(key) => key,
                Err(errno) => return Some(Err(errno)),
            };
            match self.keys.map.lookup(&key) {
                Ok(Some(value)) => return Some(Ok((key, value))),
                Ok(None) => {}
                Err(errno) => return Some(Err(errno)),
            }
        }
    }
}
