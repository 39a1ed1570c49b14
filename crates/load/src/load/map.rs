//! A live map: elements by their keys, in bytes or, of a typed map, as Rust values.
//!
//! Keys and values are in the machine's byte order, as the kernel has them; their
//! types, where the object has any, say how to read them. A typed handle exists only
//! where its types have the sizes of the map's keys and values.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use skep_abi::Errno;
use skep_btf::{Btf, Kind, Type};
use skep_sys::{Command, Fd, Kernel, MapDelete, MapElem, MapInfo, MapNextKey, Mapping};

use super::element::{Element, Place};
use crate::error::AccessError;
use crate::object::MapDef;

/// Keys or values as bytes: what a [`Map`] has that was not made [`typed`](Map::typed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {}

/// A map of a kernel. Clones are handles to the same map. `lookup`, `update`, `delete`
/// and `entries` move bytes, whatever the types; `get`, `insert`, `remove` and `iter` are
/// those of a typed map.
pub struct Map<K = Bytes, V = Bytes> {
    inner: Arc<Inner>,
    elements: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Map { inner: self.inner.clone(), elements: PhantomData }
    }
}

impl<K, V> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.inner).finish()
    }
}

#[derive(Debug)]
struct Inner {
    fd: Fd,
    def: MapDef,
    types: Option<Arc<Btf>>,
}

impl Map {
    pub(super) fn new(fd: Fd, def: MapDef, types: Option<Arc<Btf>>) -> Map {
        Map { inner: Arc::new(Inner { fd, def, types }), elements: PhantomData }
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
}

impl<K, V> Map<K, V> {
    /// The same map with keys and values of Rust types: plain data (of [`zerocopy`]), one
    /// for each CPU ([`PerCpu`](super::PerCpu)), or what serde makes of the map's own
    /// types ([`ByBtf`](super::ByBtf)).
    ///
    /// # Errors
    /// A type whose size is not that of the map's keys or values, or that needs types
    /// that the object does not have.
    pub fn typed<L: Element, W: Element>(&self) -> Result<Map<L, W>, AccessError> {
        L::fits(&self.place_of_keys())?;
        W::fits(&self.place_of_values())?;
        Ok(Map { inner: self.inner.clone(), elements: PhantomData })
    }

    fn place_of_keys(&self) -> Place<'_> {
        Place {
            map: self.name(),
            part: "key",
            size: self.inner.def.key_size as usize,
            cpus: None,
            btf: self.key_type().map(|(btf, id)| (&**btf, id)),
        }
    }

    fn place_of_values(&self) -> Place<'_> {
        Place {
            map: self.name(),
            part: "value",
            size: self.inner.def.value_size as usize,
            cpus: self.is_per_cpu().then(|| self.kernel().possible_cpus() as usize),
            btf: self.value_type().map(|(btf, id)| (&**btf, id)),
        }
    }

    /// Its name, in full.
    pub fn name(&self) -> &str {
        &self.inner.def.name
    }

    /// Its definition.
    pub fn def(&self) -> &MapDef {
        &self.inner.def
    }

    /// Its file descriptor.
    pub fn fd(&self) -> &Fd {
        &self.inner.fd
    }

    /// The type of its keys, if the object says.
    pub fn key_type(&self) -> Option<(&Arc<Btf>, u32)> {
        self.type_of(self.inner.def.key_type_id)
    }

    /// The type of its values, if the object says.
    pub fn value_type(&self) -> Option<(&Arc<Btf>, u32)> {
        self.type_of(self.inner.def.value_type_id)
    }

    fn type_of(&self, id: u32) -> Option<(&Arc<Btf>, u32)> {
        self.inner.types.as_ref().filter(|_| id != 0).map(|types| (types, id))
    }

    /// The type of a ring buffer's records of this length: that of its values if the
    /// object says, else the one structure of that size which a variable of the object
    /// points to. (A ring buffer's definition cannot say it, and types that nothing refers
    /// to are not in the object, so programs declare
    /// `const struct event *unused __attribute__((unused));`.)
    pub fn record_type(&self, len: usize) -> Option<(&Arc<Btf>, u32)> {
        self.value_type().or_else(|| {
            let btf = self.inner.types.as_ref()?;
            Some((btf, pointed_to(btf, len)?))
        })
    }

    /// Whether each CPU has a value of its own.
    pub fn is_per_cpu(&self) -> bool {
        self.inner.is_per_cpu()
    }

    /// Bytes of a value as look-ups and updates move it: for a per-CPU map those of all
    /// CPUs, each rounded up to 8 bytes.
    pub fn transfer_size(&self) -> usize {
        self.inner.transfer_size()
    }

    fn kernel(&self) -> &Arc<dyn Kernel> {
        self.inner.fd.kernel()
    }

    fn map_fd(&self) -> u32 {
        self.inner.fd.raw() as u32
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() == self.inner.def.key_size as usize { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The value of a key, [`transfer_size`](Map::transfer_size) bytes; `None` where
    /// there is none.
    ///
    /// # Errors
    /// The kernel's errno; `EINVAL` for a key of another size.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        self.check_key(key)?;
        self.inner.take(key, false)
    }

    /// The value of a key, which is deleted. For a queue or a stack the key is empty.
    ///
    /// # Errors
    /// The kernel's errno; `EINVAL` for a key of another size.
    pub fn lookup_and_delete(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        self.check_key(key)?;
        self.inner.take(key, true)
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
        let size = self.inner.def.value_size as usize;
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
        let size = self.inner.def.value_size as usize;
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
        Keys { map: &self.inner, last: None, left: self.inner.def.max_entries }
    }

    /// The keys with their values. Keys that are gone meanwhile are left out.
    pub fn entries(&self) -> Entries<'_> {
        Entries { keys: self.keys() }
    }

    /// The values of an array that can be mapped, as shared memory.
    ///
    /// # Errors
    /// The kernel's errno: `EINVAL` for a map that was not made for it, `EPERM` for a
    /// frozen one that shall be written.
    pub fn memory(&self, writable: bool) -> Result<Mapping, Errno> {
        let def = &self.inner.def;
        let size = (def.value_size as usize).next_multiple_of(8);
        let len = size.checked_mul(def.max_entries as usize).ok_or(Errno::E2BIG)?;
        let pages = len.checked_next_multiple_of(4096).ok_or(Errno::E2BIG)?;
        self.inner.fd.map(0, pages, writable)
    }
}

impl<K: Element, V: Element> Map<K, V> {
    /// The value of a key; `None` where there is none.
    ///
    /// # Errors
    /// What the kernel says, or bytes that are no value of the type.
    pub fn get(&self, key: &K) -> Result<Option<V>, AccessError> {
        let found = self.lookup(&key.encode(&self.place_of_keys())?);
        let found = found.map_err(|errno| self.failed("look-up", errno))?;
        found.map(|bytes| V::decode(&bytes, &self.place_of_values())).transpose()
    }

    /// Sets the value of a key, whether it is there or not.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn insert(&self, key: &K, value: &V) -> Result<(), AccessError> {
        let value = value.encode(&self.place_of_values())?;
        self.update(&key.encode(&self.place_of_keys())?, &value, 0)
            .map_err(|errno| self.failed("update", errno))
    }

    /// Deletes a key. Gives whether it was there.
    ///
    /// # Errors
    /// What the kernel says: elements of arrays cannot be deleted.
    pub fn remove(&self, key: &K) -> Result<bool, AccessError> {
        let key = key.encode(&self.place_of_keys())?;
        self.delete(&key).map_err(|errno| self.failed("deletion", errno))
    }

    /// The elements, as [`entries`](Map::entries) walks over them.
    pub fn iter(&self) -> impl Iterator<Item = Result<(K, V), AccessError>> + '_ {
        self.entries().map(|entry| {
            let (key, value) = entry.map_err(|errno| self.failed("walk", errno))?;
            let key = K::decode(&key, &self.place_of_keys())?;
            Ok((key, V::decode(&value, &self.place_of_values())?))
        })
    }

    fn failed(&self, doing: &'static str, errno: Errno) -> AccessError {
        AccessError::Map { name: self.name().into(), doing, errno }
    }
}

impl Inner {
    fn is_per_cpu(&self) -> bool {
        self.def.kind().is_some_and(|kind| kind.row().percpu)
    }

    fn transfer_size(&self) -> usize {
        let size = self.def.value_size as usize;
        match self.is_per_cpu() {
            true => size.next_multiple_of(8) * self.fd.kernel().possible_cpus() as usize,
            false => size,
        }
    }

    fn take(&self, key: &[u8], delete: bool) -> Result<Option<Vec<u8>>, Errno> {
        let mut value = vec![0; self.transfer_size()];
        let elem = MapElem {
            map_fd: self.fd.raw() as u32,
            key: (!key.is_empty()).then(|| key.into()),
            value: value.as_mut_slice().into(),
            ..MapElem::default()
        };
        let mut command = match delete {
            true => Command::MapLookupAndDelete(elem),
            false => Command::MapLookup(elem),
        };
        match self.fd.kernel().bpf(&mut command) {
            Ok(_) => Ok(Some(value)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, Errno> {
        let mut next = vec![0; self.def.key_size as usize];
        let command = MapNextKey {
            map_fd: self.fd.raw() as u32,
            key: key.map(Into::into),
            next_key: next.as_mut_slice().into(),
            ..MapNextKey::default()
        };
        match self.fd.kernel().bpf(&mut Command::MapNextKey(command)) {
            Ok(_) => Ok(Some(next)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

/// The one structure of this size that a variable points to.
fn pointed_to(btf: &Btf, len: usize) -> Option<u32> {
    let pointee = |(_, ty): (u32, Type<'_>)| {
        let Type::Var { target, .. } = ty else { return None };
        let Ok(Type::Ptr { target }) = btf.resolved(target) else { return None };
        let id = btf.resolve_modifiers(target).ok()?;
        let is_record = btf.type_by_id(id).ok()?.kind() == Kind::Struct;
        (is_record && btf.size_of(id) == Ok(len as u64)).then_some(id)
    };
    let mut found: Vec<u32> = btf.types().filter_map(pointee).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [one] => Some(one),
        _ => None,
    }
}

/// The keys of a map.
#[derive(Debug)]
pub struct Keys<'a> {
    map: &'a Inner,
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
            match self.keys.map.take(&key, false) {
                Ok(Some(value)) => return Some(Ok((key, value))),
                Ok(None) => {}
                Err(errno) => return Some(Err(errno)),
            }
        }
    }
}
