//! `bpf_spin_lock` in a map value: a word that is 1 while somebody holds it. Compiled code
//! that a verifier vouches for takes locks by itself (`compiled::direct`), and system
//! calls do with `BPF_F_LOCK` (`maps`).

use skep_abi::TrapKind;
use skep_abi::helper::id;
use skep_isa::{Reg, Size};
use skep_maps::wait_for;

use super::Function;
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] =
    &[(id::SPIN_LOCK, spin_lock), (id::SPIN_UNLOCK, spin_unlock)];

/// Bytes of `struct bpf_spin_lock`.
const SIZE: u64 = 4;

/// `bpf_spin_lock(lock)`. The verifier sees to it that every holder gives the lock back
/// within some instructions; a run that waits for another one ends here.
fn spin_lock(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_spin_lock";
    let lock = run.lock_argument(NAME)?;
    let take = || matches!(lock.update(0, Size::W, |held| held.max(1)), Ok(0));
    if take() || wait_for(take) {
        run.held.lock(lock);
        return Ok(Value::scalar(0));
    }
    Err(stuck())
}

/// Why a run ends that waited too long.
pub(crate) fn stuck() -> Stop {
    let why = "is held and not given back";
    TrapKind::BadArgument { helper: "bpf_spin_lock", argument: 1, why }.into()
}

/// `bpf_spin_unlock(lock)`: of a lock that the run took.
fn spin_unlock(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_spin_unlock";
    let lock = run.lock_argument(NAME)?;
    match run.held.unlock(lock) {
        true => Ok(Value::scalar(0)),
        false => Err(run.bad_argument(NAME, 1, "is not held")),
    }
}

impl Run<'_> {
    /// The lock that r1 points to.
    fn lock_argument(&self, helper: &'static str) -> Result<Value, Stop> {
        let lock = self.memory_argument(helper, Reg::R1, SIZE, true)?;
        match lock.kind() {
            Kind::MapValue | Kind::Memory => Ok(lock),
            _ => Err(self.bad_argument(helper, 1, "is no lock")),
        }
    }
}
