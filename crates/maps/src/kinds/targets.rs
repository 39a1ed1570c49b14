//! Where packets are redirected to: devices and CPUs, each with an optional program. Answers
//! to `devmap.c` and `cpumap.c` in `kernel/bpf`.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skep_abi::limits::MAX_QUEUE;
use skep_abi::{Errno, flags};

use super::Caller;
use super::hash::Hash;
use super::kind::{Kind, index_of, next_index};
use super::objects::{MapObject, ObjectArray, ObjectHash};
use crate::grace::Guard;
use crate::mem::{Mapping, words};

/// Where redirected packets go: devices or CPUs, each with an optional program.
///
/// A target is `u32 first, u32 program id`, as programs and user space see it: `first`
/// is an interface's index or a queue's size, 0 where there is no target.
#[derive(Debug)]
pub struct Targets {
    values: Mapping,
    programs: ObjectArray,
    count: u32,
    /// How many CPUs there are, where targets are CPUs.
    cpus: Option<u32>,
}

/// What an update of a target brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// An interface's index, or a queue's size.
    pub first: u32,
    /// The fd of a program to run there, if positive.
    pub program_fd: i32,
}

impl Target {
    /// A value of 4 or 8 bytes.
    pub fn from_value(value: &[u8]) -> Target {
        let word = |at: usize| {
            let bytes = value.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
        };
        Target { first: word(0), program_fd: word(4) as i32 }
    }

    /// The value with the program's id in place of its fd.
    pub fn value(self, program: Option<&Arc<dyn MapObject>>) -> u64 {
        let id = program.map_or(0, |program| program.id());
        u64::from_ne_bytes({
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&self.first.to_ne_bytes());
            bytes[4..].copy_from_slice(&id.to_ne_bytes());
            bytes
        })
    }
}

/// Checks a target and yields its program, if it names one.
pub type ResolveTarget<'a> = &'a mut dyn FnMut(Target) -> Result<Option<Arc<dyn MapObject>>, Errno>;

impl Targets {
    /// Bytes of that many targets.
    pub fn footprint(count: u32) -> u64 {
        u64::from(count) * 16
    }

    /// No targets yet: of so many CPUs, or of devices.
    pub fn new(count: u32, cpus: Option<u32>) -> Result<Targets, Errno> {
        let values = Mapping::new(u64::from(count) * 8)?;
        Ok(Targets { values, programs: ObjectArray::new(count)?, count, cpus })
    }

    fn value(&self, index: u32) -> Option<&AtomicU64> {
        let at = self.values.base().cast::<u64>();
        // SAFETY: `index` is below the count; the mapping lives as long as `self`.
        (index < self.count).then(|| unsafe { AtomicU64::from_ptr(at.add(index as usize)) })
    }

    /// Replaces a target; one whose `first` is 0 is none.
    fn set(&self, index: u32, target: Target, program: Option<Arc<dyn MapObject>>) {
        if let Some(value) = self.value(index) {
            value.store(target.value(program.as_ref()), Ordering::Release);
            self.programs.set(index, program);
        }
    }
}

/// What system calls read of a target, 4 or 8 bytes.
fn read(value: Option<NonNull<u8>>, out: &mut [u8]) -> Result<(), Errno> {
    let value = value.ok_or(Errno::ENOENT)?;
    let size = out.len().min(size_of::<u64>());
    // SAFETY: a target is 8 bytes, 8-byte aligned, and no more are read.
    unsafe { words::load(&mut out[..size], value.as_ptr()) };
    Ok(())
}

impl Kind for Targets {
    /// The address of a target, for programs to read.
    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        let value = self.value(index_of(key))?;
        let first = Target::from_value(&value.load(Ordering::Relaxed).to_ne_bytes()).first;
        (first != 0).then(|| NonNull::from(value).cast())
    }

    fn read(&self, key: &[u8], out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        read(self.lookup(key, 0), out)
    }

    fn set_target(
        &self,
        key: &[u8],
        target: Target,
        flags: u64,
        resolve: ResolveTarget<'_>,
    ) -> Result<(), Errno> {
        let index = index_of(key);
        if flags > flags::update::EXIST {
            return Err(Errno::EINVAL);
        }
        if index >= self.count {
            return Err(Errno::E2BIG);
        }
        if flags == flags::update::NOEXIST {
            return Err(Errno::EEXIST);
        }
        if self.cpus.is_some() && target.first > MAX_QUEUE {
            return Err(Errno::EOVERFLOW);
        }
        if self.cpus.is_some_and(|cpus| index >= cpus) {
            return Err(Errno::ENODEV);
        }
        let refused = if self.cpus.is_some() { Errno::ENOMEM } else { Errno::EINVAL };
        let program = match target.first {
            0 if self.cpus.is_none() && target.program_fd > 0 => return Err(Errno::EINVAL),
            0 => None,
            _ => resolve(target).map_err(|_| refused)?,
        };
        self.set(index, target, program);
        Ok(())
    }

    /// EINVAL past the end, no error where none is.
    fn delete(&self, key: &[u8], _by: Caller) -> Result<(), Errno> {
        if index_of(key) >= self.count {
            return Err(Errno::EINVAL);
        }
        self.set(index_of(key), Target { first: 0, program_fd: 0 }, None);
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        next_index(key, self.count, out)
    }

    /// The program to run at a target.
    fn object<'g>(&self, key: &[u8], guard: &'g Guard) -> Option<&'g Arc<dyn MapObject>> {
        self.programs.get(index_of(key), guard)
    }
}

/// Devices by any number (`BPF_MAP_TYPE_DEVMAP_HASH`).
#[derive(Debug)]
pub struct TargetHash {
    values: Hash,
    programs: ObjectHash,
}

impl TargetHash {
    /// Bytes of an element's value.
    pub const VALUE: u32 = 8;

    /// Two tables of the same keys: targets, and the programs of those that have one.
    pub fn new(values: Hash, programs: Hash) -> TargetHash {
        TargetHash { values, programs: ObjectHash::new(programs) }
    }
}

impl Kind for TargetHash {
    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        self.values.lookup(key, 0)
    }

    fn read(&self, key: &[u8], out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        read(self.lookup(key, 0), out)
    }

    fn set_target(
        &self,
        key: &[u8],
        target: Target,
        flags: u64,
        resolve: ResolveTarget<'_>,
    ) -> Result<(), Errno> {
        if flags > flags::update::EXIST || target.first == 0 {
            return Err(Errno::EINVAL);
        }
        if flags == flags::update::NOEXIST && self.lookup(key, 0).is_some() {
            return Err(Errno::EEXIST);
        }
        let program = resolve(target).map_err(|_| Errno::EINVAL)?;
        // Linux takes BPF_EXIST for BPF_ANY here.
        let flags = flags & flags::update::NOEXIST;
        let value = target.value(program.as_ref()).to_ne_bytes();
        self.values.update(key, &value, flags, Caller::System)?;
        match program {
            Some(program) => self.programs.update(key, flags::update::ANY, program),
            None => self.programs.delete(key).or(Ok(())),
        }
    }

    fn delete(&self, key: &[u8], _by: Caller) -> Result<(), Errno> {
        self.values.delete(key, Caller::System)?;
        self.programs.delete(key).or(Ok(()))
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        self.values.next_key(key, out)
    }

    fn object<'g>(&self, key: &[u8], guard: &'g Guard) -> Option<&'g Arc<dyn MapObject>> {
        self.programs.get(key, guard)
    }
}
