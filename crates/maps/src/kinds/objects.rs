//! Maps of objects: program arrays, perf event arrays, maps of maps.
//!
//! A slot is one word, the address of a [`Held`] or 0: look-ups load it under a
//! [`Guard`] and follow it; replaced objects go when the guards allow. What objects
//! are is the system call layer's business; it resolves fds to them. Answers to the
//! fd arrays of `kernel/bpf/arraymap.c`, to `map_in_map.c` and `net/xdp/xskmap.c`.

use std::any::{Any, TypeId};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use skep_abi::{Errno, MapType, flags};

use super::Caller;
use super::array::Layout;
use super::batch::{Batch, BatchKind};
use super::hash::{Hash, Position};
use super::kind::{Kind, index_of, next_index};
use crate::grace::{self, Guard};
use crate::kinds::model::Model;
use crate::mem::Mapping;

/// What maps of objects hold: a program, a map, a perf event, a socket.
pub trait MapObject: Any + Send + Sync {
    /// The id that look-ups through system calls give.
    fn id(&self) -> u32;

    /// An address that compiled code can use, while the object lives.
    fn raw(&self) -> *const ();

    /// What it is as a map, for maps of maps.
    fn model(&self) -> Option<Model> {
        None
    }
}

/// An object in a slot. Compiled code reads `raw` at offset 0.
#[repr(C)]
struct Held {
    raw: *const (),
    kind: TypeId,
    object: Arc<dyn MapObject>,
}

// SAFETY: `raw` is an address that the object itself gave and that lives as long; it is only
// handed out.
unsafe impl Send for Held {}

fn hold(object: Arc<dyn MapObject>) -> *mut Held {
    let any: &dyn Any = &*object;
    Box::into_raw(Box::new(Held { raw: object.raw(), kind: any.type_id(), object }))
}

/// Drops what a slot held, as soon as nobody uses it.
fn let_go(held: *mut Held) {
    if !held.is_null() {
        // SAFETY: made by `hold` and taken out of its only slot, once.
        grace::retire(unsafe { Box::from_raw(held) });
    }
}

/// The object at an address that was in a slot after the guard was taken.
fn object(held: *mut Held, _guard: &Guard) -> Option<&Arc<dyn MapObject>> {
    // SAFETY: null or made by `hold`; the guard was there when it was in its slot, so it is
    // not dropped before the guard.
    unsafe { held.as_ref() }.map(|held| &held.object)
}

/// The object in a slot of an array, as [`Arc::as_ptr`] gives it, if it is a `T`. It is not
/// dropped before the guard.
///
/// # Safety
/// [`ObjectArray::layout`] tells of the slot, and its array lives.
#[inline]
pub unsafe fn object_in<T: MapObject>(slot: u64, _guard: &Guard) -> Option<*const T> {
    let slot = std::ptr::with_exposed_provenance_mut(slot as usize);
    // SAFETY: a slot, as the caller promises; slots are only accessed as atomics.
    let held = unsafe { AtomicPtr::<Held>::from_ptr(slot) }.load(Ordering::Acquire);
    // SAFETY: as in `object`.
    let held = unsafe { held.as_ref() }?;
    (held.kind == TypeId::of::<T>()).then(|| Arc::as_ptr(&held.object).cast())
}

/// An array of objects.
#[derive(Debug)]
pub struct ObjectArray {
    slots: Mapping,
    count: u32,
}

impl ObjectArray {
    /// Bytes of an array.
    pub fn footprint(count: u32) -> u64 {
        u64::from(count) * 8
    }

    /// An array without objects.
    pub fn new(count: u32) -> Result<ObjectArray, Errno> {
        Ok(ObjectArray { slots: Mapping::new(ObjectArray::footprint(count))?, count })
    }

    fn slot(&self, index: u32) -> Option<&AtomicPtr<Held>> {
        let at = self.slots.base().cast::<*mut Held>();
        // SAFETY: `index` is below the count; zeros are null pointers; the mapping is as old
        // as `self`.
        (index < self.count).then(|| unsafe { AtomicPtr::from_ptr(at.add(index as usize)) })
    }

    /// Where the slots are that [`object_in`] reads.
    pub fn layout(&self) -> Layout {
        let base = self.slots.base().expose_provenance() as u64;
        Layout { base, slot: 8, area: 0, count: self.count }
    }

    /// The object at an index.
    #[inline]
    pub fn get<'g>(&self, index: u32, guard: &'g Guard) -> Option<&'g Arc<dyn MapObject>> {
        object(self.slot(index)?.load(Ordering::Acquire), guard)
    }

    /// Replaces the object at an index, which exists.
    pub(super) fn set(&self, index: u32, new: Option<Arc<dyn MapObject>>) -> bool {
        let new = new.map_or(null_mut(), hold);
        match self.slot(index) {
            Some(slot) => {
                let old = slot.swap(new, Ordering::SeqCst);
                let_go(old);
                !old.is_null()
            }
            None => {
                let_go(new);
                false
            }
        }
    }

    /// Removes all objects.
    pub fn clear(&self) {
        for index in 0..self.count {
            self.set(index, None);
        }
    }
}

impl Drop for ObjectArray {
    fn drop(&mut self) {
        self.clear();
    }
}

/// An array of programs, perf events, cgroups or maps.
#[derive(Debug)]
pub struct Objects {
    slots: ObjectArray,
    count: u32,
    map_type: MapType,
}

impl Objects {
    /// None yet.
    pub fn new(map_type: MapType, count: u32) -> Result<Objects, Errno> {
        Ok(Objects { slots: ObjectArray::new(count)?, count, map_type })
    }

    /// The slots, which compiled code reads.
    pub fn layout(&self) -> Layout {
        self.slots.layout()
    }
}

/// What system calls read of an object: its id.
fn read_id(object: Option<&Arc<dyn MapObject>>, out: &mut [u8]) -> Result<(), Errno> {
    let object = object.ok_or(Errno::ENOENT)?;
    out.copy_from_slice(&object.id().to_ne_bytes());
    Ok(())
}

impl Kind for Objects {
    fn read(&self, key: &[u8], out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        if matches!(self.map_type, MapType::PerfEventArray | MapType::CgroupArray) {
            return Err(Errno::ENOTSUPP);
        }
        read_id(self.object(key, &grace::pin()), out)
    }

    /// Only `BPF_ANY` is allowed.
    fn set_object(&self, key: &[u8], flags: u64, resolve: Resolve<'_>) -> Result<(), Errno> {
        if flags != flags::update::ANY {
            return Err(Errno::EINVAL);
        }
        if index_of(key) >= self.count {
            return Err(Errno::E2BIG);
        }
        self.slots.set(index_of(key), Some(resolve()?));
        Ok(())
    }

    fn delete(&self, key: &[u8], _by: Caller) -> Result<(), Errno> {
        match index_of(key) < self.count {
            false => Err(Errno::E2BIG),
            true if self.slots.set(index_of(key), None) => Ok(()),
            true => Err(Errno::ENOENT),
        }
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        next_index(key, self.count, out)
    }

    #[inline]
    fn object<'g>(&self, key: &[u8], guard: &'g Guard) -> Option<&'g Arc<dyn MapObject>> {
        self.slots.get(index_of(key), guard)
    }

    fn has_batch(&self, kind: BatchKind) -> bool {
        self.map_type == MapType::ArrayOfMaps
            && matches!(kind, BatchKind::Lookup | BatchKind::Update)
    }
}

/// Yields the object that an update names by its fd. Called after the checks that Linux
/// makes before it looks at the fd.
pub type Resolve<'a> = &'a mut dyn FnMut() -> Result<Arc<dyn MapObject>, Errno>;

/// A hash map whose values are objects: `value = address of a Held`.
#[derive(Debug)]
pub struct ObjectHash {
    hash: Hash,
    /// Writers are system calls only; one at a time they know what they replace.
    writer: Mutex<()>,
}

impl ObjectHash {
    /// Bytes of an element's value.
    pub const VALUE: u32 = 8;

    /// A hash map whose values have `VALUE` bytes.
    pub fn new(hash: Hash) -> ObjectHash {
        ObjectHash { hash, writer: Mutex::new(()) }
    }

    fn held(&self, key: &[u8]) -> *mut Held {
        self.hash.lookup(key, 0).map_or(null_mut(), |value| {
            // SAFETY: the value is 8 bytes, 8-byte aligned, and lives as long as the map.
            unsafe { AtomicPtr::<Held>::from_ptr(value.as_ptr().cast()) }.load(Ordering::Acquire)
        })
    }

    /// The object of a key.
    pub fn get<'g>(&self, key: &[u8], guard: &'g Guard) -> Option<&'g Arc<dyn MapObject>> {
        object(self.held(key), guard)
    }

    /// Stores an object for a key.
    pub fn update(&self, key: &[u8], flags: u64, new: Arc<dyn MapObject>) -> Result<(), Errno> {
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.held(key);
        let new = hold(new);
        let result = self.hash.update(key, &(new as u64).to_ne_bytes(), flags, Caller::System);
        let_go(if result.is_ok() { old } else { new });
        result
    }

    /// Deletes a key and lets its object go.
    pub fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.held(key);
        self.hash.delete(key, Caller::System)?;
        let_go(old);
        Ok(())
    }
}

impl Kind for ObjectHash {
    fn read(&self, key: &[u8], out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        read_id(self.get(key, &grace::pin()), out)
    }

    fn set_object(&self, key: &[u8], flags: u64, resolve: Resolve<'_>) -> Result<(), Errno> {
        self.update(key, flags, resolve()?)
    }

    fn delete(&self, key: &[u8], _by: Caller) -> Result<(), Errno> {
        self.delete(key)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        self.hash.next_key(key, out)
    }

    #[inline]
    fn object<'g>(&self, key: &[u8], guard: &'g Guard) -> Option<&'g Arc<dyn MapObject>> {
        self.get(key, guard)
    }

    fn has_batch(&self, _kind: BatchKind) -> bool {
        true
    }

    fn counts_batches(&self) -> bool {
        true
    }

    /// Objects are given by their ids.
    fn read_batch(
        &self,
        cursor: Option<&[u8]>,
        batch: &mut Batch<'_>,
        delete: bool,
        _locked: bool,
    ) -> (Option<Vec<u8>>, Result<(), Errno>) {
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let guard = grace::pin();
        let (room, key_size) = (batch.room(), batch.key_size());
        let value = ObjectHash::VALUE as usize;
        let (mut keys, mut addresses) = (vec![0; room * key_size], vec![0; room * value]);
        let mut held = Batch::new((&mut keys, key_size), (&mut addresses, value));
        let (next, result) = self.hash.batch(cursor.map_or(0, index_of), &mut held, delete, false);
        let done = held.done() as usize;
        let (addresses, _) = addresses.as_chunks::<8>();
        for (key, address) in keys.chunks_exact(key_size).zip(addresses).take(done) {
            let held = u64::from_ne_bytes(*address) as *mut Held;
            let id = object(held, &guard).map_or(0, |object| object.id());
            let (to_key, to_value) = batch.next();
            to_key.copy_from_slice(key);
            to_value.copy_from_slice(&id.to_ne_bytes());
            if delete {
                let_go(held);
            }
        }
        (Some(next.to_ne_bytes().to_vec()), result)
    }
}

impl Drop for ObjectHash {
    fn drop(&mut self) {
        let mut at = Position::default();
        while let Some((_, value, next)) = self.hash.walk(at, 0) {
            // SAFETY: the value is 8 bytes, 8-byte aligned; nobody else uses the map.
            let held = unsafe { AtomicPtr::<Held>::from_ptr(value.as_ptr().cast()) };
            let_go(held.load(Ordering::Acquire));
            at = next;
        }
    }
}
