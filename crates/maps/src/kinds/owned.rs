//! Maps whose values belong to something else: sockets, tasks, inodes, cgroups. An owner is known
//! by a number; what it is stands with who calls. Answers to `kernel/bpf/bpf_local_storage.c` and
//! `kernel/bpf/local_storage.c`.

use std::ptr::NonNull;

use skep_abi::{Errno, flags};

use super::Caller;
use super::hash::Hash;
use super::kind::Kind;

/// Most owners that have a value in one map.
pub const MOST_OWNERS: u32 = 1 << 16;
/// Bytes of the number of an owner.
pub const OWNER: u32 = 8;

/// Values by their owners.
#[derive(Debug)]
pub struct Owned {
    values: Hash,
    value_size: usize,
    /// Values of cgroups' programs (`BPF_MAP_TYPE_CGROUP_STORAGE` and the per-CPU one), which
    /// are there as long as a program is attached.
    of_programs: bool,
}

impl Owned {
    /// No values yet; `values` has room for them and keys of [`OWNER`] bytes.
    pub fn new(values: Hash, value_size: u32, of_programs: bool) -> Owned {
        Owned { values, value_size: value_size as usize, of_programs }
    }

    /// The value that an owner has; if it has none and is to have one, `new` or zeros become it.
    /// None where it may not, or there is no room.
    pub fn value_of(&self, owner: u64, create: bool, new: Option<&[u8]>) -> Option<NonNull<u8>> {
        let key = owner.to_ne_bytes();
        if let Some(value) = self.values.lookup(&key, 0) {
            return Some(value);
        }
        if !create {
            return None;
        }
        let mut value = vec![0; self.value_size];
        if let Some(new) = new {
            let len = new.len().min(value.len());
            value[..len].copy_from_slice(&new[..len]);
        }
        // Whoever was faster made the value.
        let made = self.values.update(&key, &value, flags::update::NOEXIST, Caller::Program(0));
        match made {
            Ok(()) | Err(Errno::EEXIST) => self.values.lookup(&key, 0),
            Err(_) => None,
        }
    }

    /// The same of a vCPU's own value, for maps that have one of each.
    pub fn value_of_cpu(&self, owner: u64, cpu: u32) -> Option<NonNull<u8>> {
        self.value_of(owner, true, None)?;
        if self.of_programs { self.values.lookup(&owner.to_ne_bytes(), cpu) } else { None }
    }

    /// Takes an owner's value away; ENOENT where it has none.
    pub fn forget(&self, owner: u64) -> Result<(), Errno> {
        self.values.delete(&owner.to_ne_bytes(), Caller::Program(0))
    }
}

/// The keys of commands are fds, which who calls knows; what comes here names no owner.
impl Kind for Owned {
    fn read(&self, _key: &[u8], _out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        Err(if self.of_programs { Errno::ENOENT } else { Errno::EBADF })
    }

    fn update(&self, _key: &[u8], _value: &[u8], flags: u64, by: Caller) -> Result<(), Errno> {
        let known = flags::update::LOCK | flags::update::EXIST;
        Err(match by {
            _ if !self.of_programs => Errno::EBADF,
            Caller::System if flags & !known == 0 => Errno::ENOENT,
            _ => Errno::EINVAL,
        })
    }

    fn delete(&self, _key: &[u8], _by: Caller) -> Result<(), Errno> {
        Err(if self.of_programs { Errno::EINVAL } else { Errno::EBADF })
    }

    fn next_key(&self, _key: Option<&[u8]>, _out: &mut [u8]) -> Result<(), Errno> {
        Err(if self.of_programs { Errno::ENOENT } else { Errno::ENOTSUPP })
    }
}
