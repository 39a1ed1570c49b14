//! The side of programs: what the helpers do.
//!
//! Keys and values are of the map's sizes, as verified programs' are; shorter ones, and
//! numbers of vCPUs that there are none of, panic before anything is done. Nothing here allocates a mapping or blocks but for the moment that
//! another vCPU holds a chain or a lock.

use std::ptr::NonNull;
use std::sync::Arc;

use skep_abi::{Errno, MapType, flags};

use super::Map;
use super::storage::{Storage, kind};
use crate::grace::Guard;
use crate::kinds::Caller;
use crate::kinds::array::Layout;
use crate::kinds::hash::Position;
use crate::kinds::kind::{Element, Kind};
use crate::kinds::model::Model;
use crate::kinds::objects::MapObject;
use crate::kinds::owned::Owned;
use crate::kinds::ringbuf::RingBuf;
use crate::kinds::stacks::Stacks;
use crate::mem::bytes::Bytes;
use crate::mem::words;

/// A position in a walk over a map; starts as the default.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cursor(Position);

impl Map {
    /// `bpf_map_lookup_elem`: the address of the vCPU's value. It stays valid while the map
    /// lives; a deleted element's may come to hold another key's value. Maps of maps are
    /// asked by [`Map::object`].
    #[inline]
    pub fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        let key = self.key_of(key);
        kind!(&self.storage, |kind| Kind::lookup(kind, key, cpu))
    }

    /// [`Map::lookup`] of a key in a program's memory, which others may write to meanwhile.
    ///
    /// # Safety
    /// `key` is valid for atomic reads of a key.
    #[inline]
    pub unsafe fn lookup_at(&self, key: *const u8, cpu: u32) -> Option<NonNull<u8>> {
        match &self.storage {
            // SAFETY: as the caller promises.
            Storage::Hash(hash) => unsafe { hash.lookup_at(key, cpu) },
            _ => {
                // SAFETY: as above.
                let key = unsafe { self.key_at(key) };
                self.lookup(&key, cpu)
            }
        }
    }

    /// Bytes of a key that [`Map::lookup_plain`] takes, for a hash map whose look-ups are no
    /// more than that.
    #[inline]
    pub fn plain_key(&self) -> Option<usize> {
        match &self.storage {
            Storage::Hash(hash) => hash.plain_key(),
            _ => None,
        }
    }

    /// [`Map::lookup_at`] for a map whose [`Map::plain_key`] is `SIZE`.
    ///
    /// # Safety
    /// It is, and `key` is valid for atomic reads of a key.
    #[inline(always)]
    pub unsafe fn lookup_plain<const SIZE: usize>(&self, key: *const u8) -> Option<NonNull<u8>> {
        match &self.storage {
            // SAFETY: as the caller promises.
            Storage::Hash(hash) => unsafe { hash.lookup_plain::<SIZE>(key) },
            _ => None,
        }
    }

    /// [`Map::update`] of a key in a program's memory.
    ///
    /// # Safety
    /// `key` is valid for atomic reads of a key.
    #[inline]
    pub unsafe fn update_at(
        &self,
        key: *const u8,
        value: &[u8],
        flags: u64,
        cpu: u32,
    ) -> Result<(), Errno> {
        let by = Caller::Program(cpu);
        match &self.storage {
            // SAFETY: as the caller promises.
            Storage::Hash(hash) => unsafe { hash.update_at(key, value, flags, by) },
            _ => {
                // SAFETY: as above.
                let key = unsafe { self.key_at(key) };
                self.update_as(&key, value, flags, by)
            }
        }
    }

    /// A copy of a key in a program's memory.
    ///
    /// # Safety
    /// `key` is valid for atomic reads of a key.
    #[inline]
    unsafe fn key_at(&self, key: *const u8) -> Bytes {
        let mut bytes = Bytes::zeros(self.key_size as usize);
        // SAFETY: as the caller promises.
        unsafe { words::gather(&mut bytes, key) };
        bytes
    }

    /// Where the values of an array are, for as long as it lives.
    pub fn layout(&self) -> Option<Layout> {
        match &self.storage {
            Storage::Array(array) => Some(array.layout()),
            _ => None,
        }
    }

    /// Where the slots of an array of objects are, for [`object_in`](super::object_in) to
    /// read as long as it lives.
    pub fn object_slots(&self) -> Option<Layout> {
        match &self.storage {
            Storage::Objects(objects) => Some(objects.layout()),
            _ => None,
        }
    }

    /// The bytes of an array's only value, which nobody can ever change: programs may only
    /// read it, and it is frozen, so that there is no writable mapping of it.
    pub fn constant(&self) -> Option<Vec<u8>> {
        let fixed = self.flags & flags::map::RDONLY_PROG != 0 && self.frozen();
        if !fixed || self.direct_value(0).is_err() {
            return None;
        }
        let mut value = vec![0; self.value_size as usize];
        self.lookup_copy(&0u32.to_ne_bytes(), &mut value, 0).ok()?;
        Some(value)
    }

    /// `bpf_map_update_elem`.
    #[inline]
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        self.update_as(key, value, flags, Caller::Program(cpu))
    }

    #[inline]
    pub(super) fn update_as(
        &self,
        key: &[u8],
        value: &[u8],
        flags: u64,
        by: Caller,
    ) -> Result<(), Errno> {
        let size = match by {
            Caller::Program(cpu) => {
                assert!(cpu < self.cpus);
                self.value_size as usize
            }
            Caller::System => self.user_value_size(),
        };
        let value = &value[..size];
        let key = self.key_of(key);
        kind!(&self.storage, |kind| Kind::update(kind, key, value, flags, by))
    }

    /// `bpf_map_delete_elem`.
    #[inline]
    pub fn delete(&self, key: &[u8], cpu: u32) -> Result<(), Errno> {
        self.delete_as(key, Caller::Program(cpu))
    }

    pub(super) fn delete_as(&self, key: &[u8], by: Caller) -> Result<(), Errno> {
        let key = self.key_of(key);
        kind!(&self.storage, |kind| Kind::delete(kind, key, by))
    }

    /// `bpf_map_push_elem`.
    pub fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        let value = &value[..self.value_size as usize];
        kind!(&self.storage, |kind| Kind::push(kind, value, flags))
    }

    /// `bpf_map_pop_elem`: an empty map fills `out` with zeros.
    pub fn pop(&self, out: &mut [u8]) -> Result<(), Errno> {
        let out = &mut out[..self.value_size as usize];
        kind!(&self.storage, |kind| Kind::pop(kind, out))
    }

    /// `bpf_map_peek_elem`: an empty map fills `out` with zeros; a bloom filter is asked for
    /// what is there.
    pub fn peek(&self, out: &mut [u8]) -> Result<(), Errno> {
        let out = &mut out[..self.value_size as usize];
        kind!(&self.storage, |kind| Kind::peek(kind, out))
    }

    /// The ring buffer that this map is.
    #[inline]
    pub fn ring(&self) -> Option<&RingBuf> {
        match &self.storage {
            Storage::Ring(ring) => Some(ring),
            _ => None,
        }
    }

    /// The stack traces that this map is.
    pub fn stacks(&self) -> Option<&Stacks> {
        match &self.storage {
            Storage::Stacks(stacks) => Some(stacks),
            _ => None,
        }
    }

    /// The object of a key: a tail call's program, a perf event, an inner map, a socket, the
    /// program of a device or CPU.
    #[inline]
    pub fn object<'g>(&self, key: &[u8], guard: &'g Guard) -> Option<&'g Arc<dyn MapObject>> {
        let key = self.key_of(key);
        kind!(&self.storage, |kind| Kind::object(kind, key, guard))
    }

    /// The next element in the order of `bpf_for_each_map_elem`, which visits what was there
    /// throughout exactly once.
    #[inline]
    pub fn walk(&self, cursor: &mut Cursor, cpu: u32) -> Option<Element> {
        let (element, next) = kind!(&self.storage, |kind| Kind::walk(kind, cursor.0, cpu))?;
        cursor.0 = next;
        Some(element)
    }

    /// The value that an owner has in a map whose values belong to something else; if it has
    /// none and is to have one, `new` or zeros become it. None where it may not, or there is no
    /// room.
    pub fn value_of(&self, owner: u64, create: bool, new: Option<&[u8]>) -> Option<NonNull<u8>> {
        self.owned()?.value_of(owner, create, new)
    }

    /// The same of a vCPU's own value, for maps that have one of each.
    pub fn value_of_cpu(&self, owner: u64, cpu: u32) -> Option<NonNull<u8>> {
        self.owned()?.value_of_cpu(owner, cpu)
    }

    /// Takes an owner's value away; ENOENT where it has none.
    pub fn forget_owner(&self, owner: u64) -> Result<(), Errno> {
        self.owned().ok_or(Errno::EINVAL)?.forget(owner)
    }

    fn owned(&self) -> Option<&Owned> {
        match &self.storage {
            Storage::Owned(owned) => Some(owned),
            _ => None,
        }
    }

    /// Address of byte `offset` of an array's only value, which `BPF_PSEUDO_MAP_VALUE` asks
    /// for. ENOTSUPP for other maps, EINVAL past the value.
    #[inline]
    pub fn direct_value(&self, offset: u32) -> Result<NonNull<u8>, Errno> {
        match &self.storage {
            Storage::Array(array) if self.map_type == MapType::Array && self.max_entries == 1 => {
                if offset >= self.value_size {
                    return Err(Errno::EINVAL);
                }
                let base = array.lookup(0, 0).ok_or(Errno::EINVAL)?;
                // SAFETY: inside the value, as just checked.
                Ok(unsafe { base.add(offset as usize) })
            }
            _ => Err(Errno::ENOTSUPP),
        }
    }
}

impl MapObject for Map {
    fn id(&self) -> u32 {
        self.id()
    }

    fn raw(&self) -> *const () {
        (&raw const *self).cast()
    }

    fn model(&self) -> Option<Model> {
        Some(Map::model(self))
    }
}
