//! Exceptions: the program ends wherever it is, with what was thrown, or with what its callback
//! makes of that. Counterpart: `bpf_throw` in `kernel/bpf/helpers.c`.

use skep_abi::kfunc::id;
use skep_isa::Reg;

use super::{Arg, Entry};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] = &[(id::THROW, throw, &[Arg::Number])];

/// `bpf_throw(cookie)`.
fn throw(run: &mut Run<'_>) -> Result<Value, Stop> {
    let cookie = run.read(Reg::R1)?.bits;
    Err(match run.program.exception_callback {
        Some(pc) => run.end_with(Value::function(pc), Value::scalar(cookie)),
        None => Stop::Return(cookie),
    })
}
