//! `bpf_spin_lock` in a map value: a word that is 1 while somebody holds it.

use skep_isa::{Reg, Size};

use super::Function;
use crate::interp::{Run, Stop};
use crate::maps::spin::Backoff;
use crate::mem::value::Value;

pub(super) const FUNCTIONS: &[(u32, Function)] = &[(93, spin_lock), (94, spin_unlock)];

/// Bytes of `struct bpf_spin_lock`.
const SIZE: u64 = 4;

/// `bpf_spin_lock(lock)`. The verifier sees to it that every holder gives the lock back
/// within some instructions; others, who do not, end here.
fn spin_lock(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_spin_lock";
    /// Far more than any holder takes, preempted or not.
    const MOST_WAITS: u32 = 1 << 20;
    let lock = run.memory_argument(NAME, Reg::R1, SIZE, true)?;
    let mut backoff = Backoff::new();
    for _ in 0..MOST_WAITS {
        match lock.update(0, Size::W, |held| if held == 0 { 1 } else { held }) {
            Ok(0) => return Ok(Value::scalar(0)),
            Ok(_) => backoff.wait(),
            Err(_) => return Err(run.bad_argument(NAME, 1, "is no lock")),
        }
    }
    Err(run.bad_argument(NAME, 1, "is held and not given back"))
}

/// `bpf_spin_unlock(lock)`.
fn spin_unlock(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_spin_unlock";
    let lock = run.memory_argument(NAME, Reg::R1, SIZE, true)?;
    match lock.update(0, Size::W, |_| 0) {
        Ok(_) => Ok(Value::scalar(0)),
        Err(_) => Err(run.bad_argument(NAME, 1, "is no lock")),
    }
}
