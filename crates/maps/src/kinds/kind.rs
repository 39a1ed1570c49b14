//! What every kind of map answers, and what Linux says where a kind has no answer of its own.

use std::ptr::NonNull;
use std::sync::Arc;

use skep_abi::Errno;

use super::Caller;
use super::batch::{Batch, BatchKind};
use super::hash::Position;
use super::objects::{MapObject, Resolve};
use super::targets::{ResolveTarget, Target};
use crate::grace::Guard;

/// An element that a walk came to.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// Address of the key, except in arrays, whose key is `index`.
    pub key: Option<NonNull<u8>>,
    /// Its number in an array.
    pub index: u32,
    /// Address of the value.
    pub value: NonNull<u8>,
}

/// A kind of map: what helpers and commands do to it.
///
/// Keys are as long as the map's; values as the caller sees them ([`Caller`]). The map has
/// looked at whether flags ask for a lock that values do not have. A kind writes down what it
/// can do; the rest are Linux's answers for maps that cannot.
pub trait Kind {
    /// `bpf_map_lookup_elem`: the address of the vCPU's value.
    #[inline]
    fn lookup(&self, _key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        None
    }

    /// MAP_LOOKUP_ELEM: a copy of the value; `locked` by its lock.
    fn read(&self, _key: &[u8], _out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// MAP_LOOKUP_AND_DELETE_ELEM.
    fn take(&self, _key: &[u8], _out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// `bpf_map_update_elem`, MAP_UPDATE_ELEM of what holds values.
    fn update(&self, _key: &[u8], _value: &[u8], _flags: u64, _by: Caller) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// MAP_UPDATE_ELEM of what holds programs, events, cgroups, maps or sockets.
    fn set_object(&self, _key: &[u8], _flags: u64, _resolve: Resolve<'_>) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// MAP_UPDATE_ELEM of what holds devices or CPUs.
    fn set_target(
        &self,
        _key: &[u8],
        _target: Target,
        _flags: u64,
        _resolve: ResolveTarget<'_>,
    ) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// `bpf_map_delete_elem`, MAP_DELETE_ELEM.
    fn delete(&self, _key: &[u8], _by: Caller) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// MAP_GET_NEXT_KEY: ENOENT behind the last.
    fn next_key(&self, _key: Option<&[u8]>, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// `bpf_map_push_elem`.
    fn push(&self, _value: &[u8], _flags: u64) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// `bpf_map_pop_elem`.
    fn pop(&self, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// `bpf_map_peek_elem`.
    fn peek(&self, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// The object of a key.
    #[inline]
    fn object<'g>(&self, _key: &[u8], _guard: &'g Guard) -> Option<&'g Arc<dyn MapObject>> {
        None
    }

    /// `bpf_for_each_map_elem`: the element at a position or behind it, and the position
    /// behind that.
    #[inline]
    fn walk(&self, _from: Position, _cpu: u32) -> Option<(Element, Position)> {
        None
    }

    /// Which batch commands there are; ENOTSUPP for the others.
    fn has_batch(&self, _kind: BatchKind) -> bool {
        false
    }

    /// Whether batches have a cursor of their own, a `u32`, instead of the last key.
    fn counts_batches(&self) -> bool {
        false
    }

    /// Copies elements out, those behind the cursor first, and deletes them if so asked; the
    /// next cursor, and how it ended. (Linux's `generic_map_lookup_batch()`, where the cursor is
    /// the last key that was handed out.)
    fn read_batch(
        &self,
        cursor: Option<&[u8]>,
        batch: &mut Batch<'_>,
        _delete: bool,
        locked: bool,
    ) -> (Option<Vec<u8>>, Result<(), Errno>) {
        let mut has_last = cursor.is_some();
        let mut last = cursor.map_or_else(|| vec![0; batch.key_size()], <[u8]>::to_vec);
        let mut key = vec![0; batch.key_size()];
        let mut value = vec![0; batch.value_size()];
        let mut result = Ok(());
        while batch.room() > 0 {
            result = self.next_key(has_last.then_some(&last), &mut key);
            if result.is_err() {
                break;
            }
            match self.read(&key, &mut value, locked) {
                Ok(()) => {
                    let (to_key, to_value) = batch.next();
                    to_key.copy_from_slice(&key);
                    to_value.copy_from_slice(&value);
                }
                // Deleted meanwhile, or an empty slot.
                Err(Errno::ENOENT) => {}
                Err(errno) => return (None, Err(errno)),
            }
            last.clear();
            last.extend_from_slice(&key);
            has_last = true;
        }
        (Some(last).filter(|_| batch.done() > 0), result)
    }
}

/// The `u32` that an array's key is.
#[inline]
pub fn index_of(key: &[u8]) -> u32 {
    key.first_chunk().map_or(u32::MAX, |bytes| u32::from_ne_bytes(*bytes))
}

/// The index behind `key` in an array of `count`, as [`Kind::next_key`] gives it: the first one
/// for none or one past the end, ENOENT behind the last.
pub fn next_index(key: Option<&[u8]>, count: u32, out: &mut [u8]) -> Result<(), Errno> {
    let next = match key.map(index_of) {
        Some(index) if index == count - 1 => return Err(Errno::ENOENT),
        Some(index) if index < count => index + 1,
        _ => 0,
    };
    out.copy_from_slice(&next.to_ne_bytes());
    Ok(())
}
