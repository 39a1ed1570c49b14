//! Copies to and from memory that others write at the same time.
//!
//! Map values are 8-byte aligned and their storage is rounded up to 8 bytes, so
//! they are copied a word at a time with relaxed atomics: no word that a program
//! stores is ever seen torn, and no copy is a data race. (Linux's
//! `bpf_long_memcpy()`, for all maps.)

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

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

/// Copies `source` to a place inside a value: as much at a time as the place's alignment
/// allows.
///
/// # Safety
/// `target` is valid for `source.len()` bytes of atomic access.
pub unsafe fn store_part(target: *mut u8, source: &[u8]) {
    let mut rest = source;
    while let [first, ..] = rest {
        // SAFETY: behind the bytes that are copied already, of which there are more.
        let at = unsafe { target.add(source.len() - rest.len()) };
        let done = if at.addr().is_multiple_of(8)
            && let Some(word) = rest.first_chunk()
        {
            // SAFETY: inside `target`'s bytes by the caller's promise, and aligned.
            unsafe { AtomicU64::from_ptr(at.cast()) }.store(u64::from_ne_bytes(*word), Relaxed);
            8
        } else if at.addr().is_multiple_of(4)
            && let Some(half) = rest.first_chunk()
        {
            // SAFETY: as above.
            unsafe { AtomicU32::from_ptr(at.cast()) }.store(u32::from_ne_bytes(*half), Relaxed);
            4
        } else {
            // SAFETY: as above.
            unsafe { AtomicU8::from_ptr(at) }.store(*first, Relaxed);
            1
        };
        rest = &rest[done..];
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

/// The 8 bytes at any address, as a word: in one load where they are aligned, else in as few
/// as alignment allows.
///
/// # Safety
/// `source` is valid for 8 bytes of atomic reads.
#[inline(always)]
pub unsafe fn word_at(source: *const u8) -> u64 {
    let at = source.cast_mut();
    if at.addr().is_multiple_of(8) {
        // SAFETY: valid by the caller's promise, and aligned.
        return unsafe { AtomicU64::from_ptr(at.cast()) }.load(Relaxed);
    }
    // SAFETY: both halves are inside the 8 bytes.
    let (first, second) = unsafe { (half_at(source), half_at(source.add(4))) };
    let (low, high) =
        if cfg!(target_endian = "little") { (first, second) } else { (second, first) };
    u64::from(low) | u64::from(high) << 32
}

/// The 4 bytes at any address, likewise.
///
/// # Safety
/// `source` is valid for 4 bytes of atomic reads.
#[inline(always)]
pub unsafe fn half_at(source: *const u8) -> u32 {
    let at = source.cast_mut();
    if at.addr().is_multiple_of(4) {
        // SAFETY: valid by the caller's promise, and aligned.
        return unsafe { AtomicU32::from_ptr(at.cast()) }.load(Relaxed);
    }
    // SAFETY: as the caller promises.
    unsafe { unaligned_half(at) }
}

/// # Safety
/// `at` is valid for 4 bytes of atomic reads.
#[cold]
#[inline(never)]
unsafe fn unaligned_half(at: *mut u8) -> u32 {
    // SAFETY: inside the 4 bytes.
    u32::from_ne_bytes([0, 1, 2, 3].map(|byte| unsafe { byte_at(at.add(byte)) }))
}

/// # Safety
/// `at` is valid for an atomic read.
#[inline(always)]
unsafe fn byte_at(at: *mut u8) -> u8 {
    // SAFETY: as the caller promises.
    unsafe { AtomicU8::from_ptr(at) }.load(Relaxed)
}

/// Fills `target` from any address. Every 8 bytes become one word before they are stored, so
/// that who goes on to read the copy by words finds each in one store.
///
/// # Safety
/// `source` is valid for `target.len()` bytes of atomic reads.
#[inline(always)]
pub unsafe fn gather(target: &mut [u8], source: *const u8) {
    let (words, tail) = target.as_chunks_mut::<8>();
    let done = words.len() * 8;
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: inside `source`'s bytes by the caller's promise.
        *word = unsafe { word_at(source.add(index * 8)) }.to_ne_bytes();
    }
    for (index, byte) in tail.iter_mut().enumerate() {
        // SAFETY: as above.
        *byte = unsafe { byte_at(source.cast_mut().add(done + index)) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_gathered_from_any_address() {
        let bytes: [u8; 64] = std::array::from_fn(|at| at as u8 * 3 + 1);
        for from in 0..9 {
            for len in 0..40 {
                let mut copy = vec![0; len];
                // SAFETY: inside the array, which nobody writes to.
                unsafe { gather(&mut copy, bytes.as_ptr().add(from)) };
                assert_eq!(copy, bytes[from..from + len], "{len} bytes from {from}");
            }
        }
    }
}
