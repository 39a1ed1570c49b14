//! Resilient locks (`bpf_res_spin_lock`): who would wait for himself, or for too long, is told.
//! Counterpart: `kernel/bpf/rqspinlock.c`.

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_isa::{Reg, Size};
use skep_maps::wait_for;

use super::{Arg, Entry, status};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::RES_SPIN_LOCK, lock, &[Arg::Memory]),
    (id::RES_SPIN_UNLOCK, unlock, &[Arg::Memory]),
    (id::RES_SPIN_LOCK_IRQSAVE, lock, &[Arg::Memory, Arg::Memory]),
    (id::RES_SPIN_UNLOCK_IRQRESTORE, unlock, &[Arg::Memory, Arg::Memory]),
];

/// Bytes of a lock.
const SIZE: u64 = 4;

/// `bpf_res_spin_lock(lock)`.
fn lock(run: &mut Run<'_>) -> Result<Value, Stop> {
    let lock = run.memory_argument("bpf_res_spin_lock", Reg::R1, SIZE, true)?;
    if run.held.has_lock(lock) {
        return Ok(status(Err(Errno::EDEADLK)));
    }
    let take = || matches!(lock.update(0, Size::W, |held| held.max(1)), Ok(0));
    if take() || wait_for(take) {
        run.held.lock(lock);
        return Ok(status(Ok(())));
    }
    Ok(status(Err(Errno::ETIMEDOUT)))
}

/// `bpf_res_spin_unlock(lock)`.
fn unlock(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_res_spin_unlock";
    let lock = run.memory_argument(NAME, Reg::R1, SIZE, true)?;
    match run.held.unlock(lock) {
        true => Ok(Value::scalar(0)),
        false => Err(run.bad_argument(NAME, 1, "is not held")),
    }
}
