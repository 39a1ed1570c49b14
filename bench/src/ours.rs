//! The loop over random keys, on the embedded maps.

use std::sync::atomic::{AtomicU64, Ordering};

use skep_vm::maps::Map;

use crate::program::{FACTOR, Operation, SPREAD, STEP};

/// As [`crate::program::looping`] does it: returns the sum of what was found.
pub fn looping(
    map: &Map,
    operation: Operation,
    key_size: u32,
    entries: u32,
    (mut state, rounds): (u64, u64),
    cpu: u32,
) -> u32 {
    let mut sum = 0u64;
    for _ in 0..rounds {
        state = state.wrapping_mul(FACTOR).wrapping_add(STEP);
        let number = (state >> 33) as u32 & (entries - 1);
        let mut key = [0; 16];
        let key = if key_size == 4 {
            key[..4].copy_from_slice(&number.to_ne_bytes());
            &key[..4]
        } else {
            let spread = u64::from(number).wrapping_mul(SPREAD);
            key[..8].copy_from_slice(&spread.to_ne_bytes());
            key[8..].copy_from_slice(&u64::from(number).to_ne_bytes());
            &key[..]
        };
        match operation {
            Operation::Lookup => {
                if let Some(value) = map.lookup(key, cpu) {
                    // SAFETY: a value of 8 bytes, 8-byte aligned, that lives as long as the map.
                    let value = unsafe { AtomicU64::from_ptr(value.as_ptr().cast()) };
                    sum = sum.wrapping_add(value.load(Ordering::Relaxed));
                }
            }
            Operation::Update => {
                let result = map.update(key, &state.to_ne_bytes(), 0, cpu);
                sum = sum.wrapping_add(u64::from(result.is_err()));
            }
        }
    }
    sum as u32
}
