//! Maps whose values belong to something else: sockets, tasks, inodes, cgroups. An owner is known
//! by a number; what it is stands with who calls. Answers to `kernel/bpf/bpf_local_storage.c` and
//! `kernel/bpf/local_storage.c`.

use std::ptr::NonNull;

use skep_abi::{Errno, MapType, flags};

use super::{Map, Storage};
use crate::kinds::Caller;

/// Most owners that have a value in one map.
pub(super) const MOST_OWNERS: u32 = 1 << 16;
/// Bytes of the number of an owner.
pub(super) const OWNER: u32 = 8;

impl Map {
    /// The value that an owner has; if it has none and is to have one, `new` or zeros become it.
    /// None where it may not, or there is no room.
    pub fn value_of(&self, owner: u64, create: bool, new: Option<&[u8]>) -> Option<NonNull<u8>> {
        let (Storage::Owned(hash) | Storage::OfCgroups(hash)) = &self.storage else { return None };
        let key = owner.to_ne_bytes();
        if let Some(value) = hash.lookup(&key, 0) {
            return Some(value);
        }
        if !create {
            return None;
        }
        let mut value = vec![0; self.value_size as usize];
        if let Some(new) = new {
            let len = new.len().min(value.len());
            value[..len].copy_from_slice(&new[..len]);
        }
        // Whoever was faster made the value.
        let made = hash.update(&key, &value, flags::update::NOEXIST, Caller::Program(0));
        match made {
            Ok(()) | Err(Errno::EEXIST) => hash.lookup(&key, 0),
            Err(_) => None,
        }
    }

    /// The same of a vCPU's own value, for maps that have one of each.
    pub fn value_of_cpu(&self, owner: u64, cpu: u32) -> Option<NonNull<u8>> {
        self.value_of(owner, true, None)?;
        match &self.storage {
            Storage::OfCgroups(hash) => hash.lookup(&owner.to_ne_bytes(), cpu),
            _ => None,
        }
    }

    /// Takes an owner's value away; ENOENT where it has none.
    pub fn forget_owner(&self, owner: u64) -> Result<(), Errno> {
        match &self.storage {
            Storage::Owned(hash) | Storage::OfCgroups(hash) => {
                hash.delete(&owner.to_ne_bytes(), Caller::Program(0))
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Whether values of maps of this type belong to something else.
pub(super) fn has_owners(map_type: MapType) -> bool {
    use MapType::{CgrpStorage, InodeStorage, SkStorage, TaskStorage};
    matches!(map_type, SkStorage | TaskStorage | InodeStorage | CgrpStorage)
}
