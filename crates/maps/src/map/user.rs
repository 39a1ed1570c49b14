//! The side of system calls: values are copied.
//!
//! `flags` are the command's. EPERM and EFAULT are the caller's to find; keys are
//! `key_size` and values `user_value_size` bytes long. Maps that hold objects are
//! updated through a function that turns an fd into one; it is called after the
//! checks that Linux makes first. Slices that are too short panic before anything is done.

use skep_abi::Errno;
use skep_abi::flags::update;

use super::Map;
use super::storage::{Storage, kind};
use crate::kinds::Caller;
use crate::kinds::kind::Kind;
use crate::kinds::objects::Resolve;
use crate::kinds::targets::{ResolveTarget, Target};

impl Map {
    /// Whether flags may ask for a value's lock: EINVAL for `BPF_F_LOCK` where there is none.
    pub fn check_lock(&self, flags: u64) -> Result<(), Errno> {
        let wanted = flags & update::LOCK != 0;
        if wanted && !self.fields.has_lock() { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// MAP_LOOKUP_ELEM. Objects are given by their ids.
    pub fn lookup_copy(&self, key: &[u8], out: &mut [u8], flags: u64) -> Result<(), Errno> {
        let locked = self.wants_lock(flags)?;
        let (key, out) = (self.key_of(key), &mut out[..self.user_value_size()]);
        kind!(&self.storage, |kind| Kind::read(kind, key, out, locked))
    }

    /// MAP_UPDATE_ELEM of maps that hold values. Others: [`Map::update_object`] and
    /// [`Map::update_target`].
    pub fn update_from_user(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.check_lock(flags)?;
        self.update_as(key, value, flags, Caller::System)
    }

    /// MAP_UPDATE_ELEM of arrays of programs, perf events, cgroups or maps, hashes of maps,
    /// and socket maps.
    pub fn update_object(&self, key: &[u8], flags: u64, resolve: Resolve<'_>) -> Result<(), Errno> {
        let mut admitted = || {
            let object = resolve()?;
            if let Some(model) = &self.inner {
                let other = object.model().ok_or(Errno::EINVAL)?;
                if !model.admits(other) {
                    return Err(Errno::EINVAL);
                }
            }
            Ok(object)
        };
        let key = self.key_of(key);
        kind!(&self.storage, |kind| Kind::set_object(kind, key, flags, &mut admitted))
    }

    /// MAP_UPDATE_ELEM of device and CPU maps. `resolve` checks that the device exists and
    /// yields the program, if the target names one.
    pub fn update_target(
        &self,
        key: &[u8],
        value: &[u8],
        flags: u64,
        resolve: ResolveTarget<'_>,
    ) -> Result<(), Errno> {
        let (key, target) = (self.key_of(key), Target::from_value(value));
        kind!(&self.storage, |kind| Kind::set_target(kind, key, target, flags, resolve))
    }

    /// MAP_DELETE_ELEM.
    pub fn delete_from_user(&self, key: &[u8]) -> Result<(), Errno> {
        self.delete_as(key, Caller::System)
    }

    /// MAP_GET_NEXT_KEY: ENOENT behind the last.
    pub fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let key = key.map(|key| self.key_of(key));
        let out = &mut out[..self.key_size as usize];
        kind!(&self.storage, |kind| Kind::next_key(kind, key, out))
    }

    /// MAP_LOOKUP_AND_DELETE_ELEM.
    pub fn lookup_and_delete(&self, key: &[u8], out: &mut [u8], flags: u64) -> Result<(), Errno> {
        let locked = self.wants_lock(flags)?;
        let (key, out) = (self.key_of(key), &mut out[..self.user_value_size()]);
        kind!(&self.storage, |kind| Kind::take(kind, key, out, locked))
    }

    /// A key, of which no more than the map's size counts.
    #[inline]
    pub(super) fn key_of<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        &key[..self.key_size as usize]
    }

    /// Whether a look-up is to hold the value's lock, the only thing that it can be told.
    pub(super) fn wants_lock(&self, flags: u64) -> Result<bool, Errno> {
        if flags & !update::LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.check_lock(flags)?;
        Ok(flags != 0)
    }
}
