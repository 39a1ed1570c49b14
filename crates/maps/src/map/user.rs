//! The side of system calls: values are copied.
//!
//! `flags` are the command's. EPERM and EFAULT are the caller's to find; keys are
//! `key_size` and values `user_value_size` bytes long. Maps that hold objects are
//! updated through a function that turns an fd into one; it is called after the
//! checks that Linux makes first. Slices that are too short panic before anything is done.

use skep_abi::flags::update;
use skep_abi::limits::MAX_QUEUE;
use skep_abi::{Errno, MapType};

use super::{Map, Storage, index_of};
use crate::grace;
use crate::kinds::objects::Resolve;
use crate::kinds::targets::{ResolveTarget, Target};
use crate::kinds::{Caller, array};

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
        match &self.storage {
            Storage::Array(array) => array.read(index_of(key), out, locked),
            Storage::Hash(hash) => hash.read(key, out, locked),
            Storage::Lpm(trie) => trie.read(key, out),
            Storage::Queue(queue) => queue.get(out, false),
            Storage::Ring(_) => Err(Errno::ENOTSUPP),
            Storage::Stacks(stacks) => stacks.read(index_of(key), out),
            Storage::Sockets(_) if self.map_type == MapType::Xskmap => Err(Errno::EOPNOTSUPP),
            // A socket is told by its cookie.
            Storage::Sockets(_) if self.value_size != 8 => Err(Errno::ENOSPC),
            Storage::Sockets(_) => Err(Errno::ENOENT),
            Storage::ObjectHash(_) if self.map_type == MapType::Sockhash => {
                Err(if self.value_size == 8 { Errno::ENOENT } else { Errno::ENOSPC })
            }
            Storage::Bloom(bloom) => bloom.peek(out),
            Storage::Owned(_) => Err(Errno::EBADF),
            Storage::Arena(_) => Err(Errno::EINVAL),
            Storage::OfCgroups(_) => Err(Errno::ENOENT),
            Storage::Objects(_) | Storage::ObjectHash(_) => {
                if matches!(self.map_type, MapType::PerfEventArray | MapType::CgroupArray) {
                    return Err(Errno::ENOTSUPP);
                }
                let guard = grace::pin();
                let object = self.object(key, &guard).ok_or(Errno::ENOENT)?;
                out.copy_from_slice(&object.id().to_ne_bytes());
                Ok(())
            }
            Storage::Targets(_) | Storage::TargetHash(_) => {
                let value = self.lookup(key, 0).ok_or(Errno::ENOENT)?;
                // SAFETY: a target is 8 bytes, 8-byte aligned, and `out` as long as a value:
                // 4 or 8 bytes.
                unsafe { crate::mem::words::load(out, value.as_ptr()) };
                Ok(())
            }
        }
    }

    /// MAP_UPDATE_ELEM of maps that hold values. Others: [`Map::update_object`] and
    /// [`Map::update_target`].
    pub fn update_from_user(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.check_lock(flags)?;
        match &self.storage {
            Storage::Queue(_) | Storage::Bloom(_) => self.push(value, flags),
            Storage::OfCgroups(_) => {
                let known = update::LOCK | update::EXIST;
                Err(if flags & !known != 0 { Errno::EINVAL } else { Errno::ENOENT })
            }
            _ => self.update_as(key, value, flags, Caller::System),
        }
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
        match &self.storage {
            Storage::Objects(objects) => objects.update(index_of(key), flags, &mut admitted),
            Storage::Sockets(sockets) => sockets.update_socket(index_of(key), flags, &mut admitted),
            Storage::ObjectHash(objects) => objects.update(self.key_of(key), flags, admitted()?),
            _ => Err(Errno::EINVAL),
        }
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
        let index = index_of(key);
        let targets = match &self.storage {
            Storage::Targets(targets) => targets,
            Storage::TargetHash(targets) => return targets.update(key, target, flags, resolve),
            _ => return Err(Errno::EINVAL),
        };
        targets.check_update(index, flags)?;
        let cpus = self.map_type == MapType::Cpumap;
        if cpus && target.first > MAX_QUEUE {
            return Err(Errno::EOVERFLOW);
        }
        if cpus && index >= self.cpus {
            return Err(Errno::ENODEV);
        }
        let program = match target.first {
            0 if !cpus && target.program_fd > 0 => return Err(Errno::EINVAL),
            0 => None,
            _ => resolve(target).map_err(|_| if cpus { Errno::ENOMEM } else { Errno::EINVAL })?,
        };
        targets.set(index, target, program);
        Ok(())
    }

    /// MAP_DELETE_ELEM.
    pub fn delete_from_user(&self, key: &[u8]) -> Result<(), Errno> {
        self.delete_as(key, Caller::System)
    }

    /// MAP_GET_NEXT_KEY: ENOENT behind the last.
    pub fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let key = key.map(|key| self.key_of(key));
        let out = &mut out[..self.key_size as usize];
        match &self.storage {
            Storage::Array(_) | Storage::Objects(_) | Storage::Sockets(_) | Storage::Targets(_) => {
                let next = array::next_index(key.map(index_of), self.max_entries)?;
                out.copy_from_slice(&next.to_ne_bytes());
                Ok(())
            }
            Storage::Hash(hash) => hash.next_key(key, out),
            Storage::ObjectHash(objects) => objects.next_key(key, out),
            Storage::TargetHash(targets) => targets.next_key(key, out),
            Storage::Lpm(trie) => trie.next_key(key, out),
            Storage::Queue(_) => Err(Errno::EINVAL),
            Storage::Ring(_) | Storage::Owned(_) => Err(Errno::ENOTSUPP),
            Storage::Bloom(_) | Storage::Arena(_) => Err(Errno::EOPNOTSUPP),
            Storage::OfCgroups(_) => Err(Errno::ENOENT),
            Storage::Stacks(stacks) => {
                let next = stacks.next(key.map(index_of))?;
                out.copy_from_slice(&next.to_ne_bytes());
                Ok(())
            }
        }
    }

    /// MAP_LOOKUP_AND_DELETE_ELEM.
    pub fn lookup_and_delete(&self, key: &[u8], out: &mut [u8], flags: u64) -> Result<(), Errno> {
        let locked = self.wants_lock(flags)?;
        let (key, out) = (self.key_of(key), &mut out[..self.user_value_size()]);
        match &self.storage {
            Storage::Hash(hash) => hash.read_and_delete(key, out, locked),
            Storage::Queue(queue) => queue.get(out, true),
            Storage::Stacks(stacks) => {
                let id = index_of(key);
                stacks.read(id, out)?;
                stacks.delete(id)
            }
            _ => Err(Errno::ENOTSUPP),
        }
    }

    /// A key, of which no more than the map's size counts.
    fn key_of<'k>(&self, key: &'k [u8]) -> &'k [u8] {
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
