//! Copies to and from memory that others write at the same time.
//!
//! Map values are 8-byte aligned and their storage is rounded up to 8 bytes, so
//! they are copied a word at a time with relaxed atomics: no word that a program
//! stores is ever seen torn, and no copy is a data race. (Linux's
//! `bpf_long_memcpy()`, for all maps.)

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// Copies `source` to `target`, a word at a time and its last bytes singly.
///
/// # Safety
/// `target` is 8-byte aligned and valid for `source.len()` bytes of atomic access.
#[inline(always)]
pub unsafe fn store(target: *mut u8, source: &[u8]) {
    let (words, tail) = source.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        // SAFETY: inside `target`'s bytes by the caller's promise, and aligned.
        let at = unsafe { AtomicU64::from_ptr(target.cast::<u64>().add(index)) };
        at.store(u64::from_ne_bytes(*word), Relaxed);
    }
    for (index, byte) in tail.iter().enumerate() {
        // SAFETY: inside `target`'s bytes by the caller's promise.
        let at = unsafe { AtomicU8::from_ptr(target.add(words.len() * 8 + index)) };
        at.store(*byte, Relaxed);
    }
}

/// Fills `target` from `source`, a word at a time and its last bytes singly.
///
/// # Safety
/// `source` is 8-byte aligned and valid for `target.len()` bytes of atomic access.
#[inline(always)]
pub unsafe fn load(target: &mut [u8], source: *const u8) {
    let (words, tail) = target.as_chunks_mut::<8>();
    let done = words.len() * 8;
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: inside `source`'s bytes by the caller's promise, and aligned.
        let at = unsafe { AtomicU64::from_ptr(source.cast_mut().cast::<u64>().add(index)) };
        *word = at.load(Relaxed).to_ne_bytes();
    }
    for (index, byte) in tail.iter_mut().enumerate() {
        // SAFETY: inside `source`'s bytes by the caller's promise.
        let at = unsafe { AtomicU8::from_ptr(source.cast_mut().add(done + index)) };
        *byte = at.load(Relaxed);
    }
}

/// Writes zeros over `len` bytes, rounded up to whole words.
///
/// # Safety
/// `target` is 8-byte aligned and valid for `len`, rounded up to 8, bytes of atomic access.
pub unsafe fn zero(target: *mut u8, len: usize) {
    for index in 0..len.div_ceil(8) {
        // SAFETY: inside `target`'s bytes by the caller's promise, and aligned.
        let at = unsafe { AtomicU64::from_ptr(target.cast::<u64>().add(index)) };
        at.store(0, Relaxed);
    }
}
