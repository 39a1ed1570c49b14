//! Special fields of values: locks, and what else the kernel keeps in a value for itself
//! (`struct btf_record`).
//!
//! Updates leave them alone, so that a lock stays with whoever holds it, and look-ups give
//! zeros in their place. That holds for an element that is used again, too: its lock is
//! free, or held by somebody who found it under its former key and will give it back.
//! (Linux's preallocated elements are used again the same way.) Values without such fields
//! are copied whole, which costs them one test.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use skep_abi::{Errno, FieldKind, SpecialField};

use crate::mem::words;
use crate::spin::wait_for;

/// The special fields of a map's values, mostly none.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Fields(Option<Arc<Special>>);

#[derive(PartialEq, Eq, Debug)]
struct Special {
    /// By offset, apart from each other, inside the value.
    fields: Vec<SpecialField>,
    /// Where the `bpf_spin_lock` is, at a multiple of 4.
    lock: Option<usize>,
}

impl Special {
    /// The parts of a value's first `len` bytes that are copied.
    fn parts(&self, len: usize) -> impl Iterator<Item = Range<usize>> {
        let holes = self.holes();
        let starts = std::iter::once(0).chain(holes.clone().map(|hole| hole.end));
        let ends = holes.map(|hole| hole.start).chain(std::iter::once(len));
        starts.zip(ends).map(|(start, end)| start..end)
    }

    fn holes(&self) -> impl Iterator<Item = Range<usize>> + Clone {
        self.fields.iter().map(|field| field.bytes.start as usize..field.bytes.end as usize)
    }
}

impl Fields {
    /// The fields of values of this size. Those that are not inside the value, one behind
    /// the other, are none.
    pub fn new(fields: Vec<SpecialField>, value_size: u32) -> Fields {
        let mut end = 0;
        let fits = fields.iter().all(|field| {
            let behind = end <= field.bytes.start && field.bytes.start <= field.bytes.end;
            end = field.bytes.end;
            behind
        });
        if fields.is_empty() || !fits || end > value_size {
            return Fields::default();
        }
        let lock = fields.iter().find(|field| field.kind == FieldKind::SpinLock);
        let lock = lock.map(|field| field.bytes.start as usize);
        Fields(Some(Arc::new(Special { lock: lock.filter(|at| at.is_multiple_of(4)), fields })))
    }

    /// Whether they are inside of values of this size.
    pub(crate) fn fit(&self, value_size: u32) -> bool {
        let last = self.0.as_ref().and_then(|special| special.fields.last());
        last.is_none_or(|last| last.bytes.end <= value_size)
    }

    /// Whether there is one.
    pub fn any(&self) -> bool {
        self.0.is_some()
    }

    /// Where the first field of a kind is.
    pub fn place(&self, kind: FieldKind) -> Option<u32> {
        let fields = &self.0.as_ref()?.fields;
        fields.iter().find(|field| field.kind == kind).map(|field| field.bytes.start)
    }

    /// Whether there is one that owns what it leads to: a pointer, a list, a tree, a timer.
    pub fn own(&self) -> bool {
        let plain = |kind| matches!(kind, FieldKind::SpinLock | FieldKind::ResSpinLock);
        let special = self.0.as_ref();
        special.is_some_and(|special| special.fields.iter().any(|field| !plain(field.kind)))
    }

    /// Whether there is a `bpf_spin_lock`.
    pub fn has_lock(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> Option<usize> {
        self.0.as_ref()?.lock
    }

    /// Writes a value, all but its special fields (`copy_map_value()`).
    ///
    /// # Safety
    /// `target` is 8-byte aligned and valid for `value.len()` bytes of atomic access, which
    /// is at least the value size that the fields are for.
    #[inline(always)]
    pub unsafe fn store(&self, target: *mut u8, value: &[u8]) {
        match &self.0 {
            // SAFETY: as the caller promises.
            None => unsafe { words::store(target, value) },
            // SAFETY: as the caller promises.
            Some(special) => unsafe { store_parts(special, target, value) },
        }
    }

    /// Copies a value out, with zeros for its special fields.
    ///
    /// # Safety
    /// `source` is 8-byte aligned and valid for `out.len()` bytes of atomic access, which is
    /// at least the value size that the fields are for.
    #[inline(always)]
    pub unsafe fn load(&self, out: &mut [u8], source: *const u8) {
        // SAFETY: as the caller promises.
        unsafe { words::load(out, source) };
        if let Some(special) = &self.0 {
            special.holes().for_each(|hole| out[hole].fill(0));
        }
    }

    /// [`Fields::store`] or [`Fields::load`] while the value's lock is held, by `BPF_F_LOCK`.
    ///
    /// # Errors
    /// EINVAL without a lock; EBUSY where its holder does not give it back, for which Linux
    /// waits on: only programs that no verifier saw do that.
    ///
    /// # Safety
    /// `value` is 8-byte aligned and valid for atomic access to the value.
    pub unsafe fn locked(&self, value: *mut u8, copy: impl FnOnce()) -> Result<(), Errno> {
        let lock = self.lock().ok_or(Errno::EINVAL)?;
        // SAFETY: inside the value, 4-byte aligned.
        let word = unsafe { AtomicU32::from_ptr(value.add(lock).cast()) };
        if !acquire(word) {
            return Err(Errno::EBUSY);
        }
        copy();
        release(word);
        Ok(())
    }
}

/// # Safety
/// As for [`Fields::store`].
#[cold]
unsafe fn store_parts(special: &Special, target: *mut u8, value: &[u8]) {
    for part in special.parts(value.len()) {
        // SAFETY: a part of the value.
        unsafe { words::store_part(target.add(part.start), &value[part]) };
    }
}

/// Takes a `struct bpf_spin_lock`, a word that is 1 while somebody holds it. Gives whether
/// its holder gave it back in time.
#[inline]
pub fn acquire(lock: &AtomicU32) -> bool {
    let take = || lock.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
    take() || wait_for(take)
}

/// Gives it back.
#[inline]
pub fn release(lock: &AtomicU32) {
    lock.store(0, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: FieldKind, bytes: Range<u32>) -> SpecialField {
        SpecialField { kind, bytes }
    }

    #[test]
    fn a_copy_leaves_special_fields_alone_wherever_they_are() {
        let (lock, timer) = (FieldKind::SpinLock, FieldKind::Timer);
        let cases = [
            vec![field(lock, 0..4)],
            vec![field(lock, 4..8)],
            vec![field(lock, 40..44)],
            vec![field(lock, 12..16), field(timer, 16..32)],
            vec![field(timer, 0..16), field(lock, 20..24)],
        ];
        for fields in cases {
            let special = Fields::new(fields.clone(), 44);
            let hidden = |at: &usize| fields.iter().any(|f| f.bytes.contains(&(*at as u32)));
            let mut memory = [0x1111_1111_1111_1111u64; 6];
            let value: Vec<u8> = (100..144).collect();
            let mut out = vec![0xff; 44];
            let at = memory.as_mut_ptr().cast::<u8>();
            // SAFETY: 48 bytes, 8-byte aligned.
            unsafe {
                special.store(at, &value);
                special.load(&mut out, at);
            }
            let bytes: Vec<u8> = memory.iter().flat_map(|word| word.to_ne_bytes()).collect();
            for index in 0..44 {
                let hidden = hidden(&index);
                let (stored, read) = if hidden { (0x11, 0) } else { (value[index], value[index]) };
                assert_eq!((bytes[index], out[index]), (stored, read), "{index} of {fields:?}");
            }
            assert_eq!(&bytes[44..], &[0x11; 4]);
        }
    }

    #[test]
    fn fields_that_are_not_inside_the_value_are_none() {
        let lock = |bytes| vec![field(FieldKind::SpinLock, bytes)];
        assert!(Fields::new(lock(4..8), 8).has_lock());
        assert!(!Fields::new(lock(8..12), 11).any());
        let timer = field(FieldKind::Timer, 0..16);
        assert!(!Fields::new([vec![timer], lock(8..12)].concat(), 64).any());
    }

    #[test]
    fn a_lock_that_is_not_given_back_is_an_error_in_the_end() {
        let mut memory = [1u64; 1];
        let special = Fields::new(vec![field(FieldKind::SpinLock, 0..4)], 8);
        let at = memory.as_mut_ptr().cast();
        // SAFETY: 8 bytes, 8-byte aligned.
        let held = unsafe { special.locked(at, || panic!("copied without the lock")) };
        assert_eq!(held, Err(Errno::EBUSY));
    }
}
