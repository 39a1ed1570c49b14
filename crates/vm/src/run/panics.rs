//! Panics in what a run calls: a printer, a hook's context, a helper, the compiler. They
//! become the end of the run, a trap of a kind of its own, and never cross compiled code.
//!
//! Who catches: the functions that compiled code enters (`compiled::entry`), the
//! interpreter's loop, and around both the run. What a panic leaves half done is the
//! panicking code's own; the run's part of it (records, locks, frames, the vCPU) is tidied up
//! as after any other end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use skep_abi::TrapKind;

/// Does the work; a panic in it is a trap.
#[inline(always)]
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, TrapKind> {
    // The callers use what the work had borrowed only to tidy it up.
    catch_unwind(AssertUnwindSafe(work)).map_err(trap)
}

#[cold]
#[inline(never)]
fn trap(payload: Box<dyn Any + Send>) -> TrapKind {
    let what = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "with something that is no text".to_owned(),
    };
    // Dropping it may panic again; what that panic carries is left alone.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    TrapKind::Panicked { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_trap_that_says_what_it_said() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        let said = |what: &str| Err(TrapKind::Panicked { what: what.to_owned() });
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| -> u32 { panic!("plain") }), said("plain"));
        assert_eq!(caught(|| -> u32 { panic!("with {}", 1) }), said("with 1"));
        let bomb = || -> u32 { std::panic::panic_any(Bomb) };
        assert_eq!(caught(bomb), said("with something that is no text"));
    }
}
