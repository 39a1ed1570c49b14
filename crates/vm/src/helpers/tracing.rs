//! How a traced function was called (`kernel/trace/bpf_trace.c`), and the value that a cgroup's
//! call returns (`kernel/bpf/cgroup.c`).

use skep_abi::context::memory::WORD;
use skep_abi::helper::id;
use skep_abi::limits::MAX_ERRNO;
use skep_abi::{Errno, ProgType};
use skep_isa::{Reg, Size};

use super::{Function, failure};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::GET_FUNC_IP, func_ip),
    (id::GET_ATTACH_COOKIE, attach_cookie),
    (id::GET_FUNC_ARG, func_arg),
    (id::GET_FUNC_RET, func_ret),
    (id::GET_FUNC_ARG_CNT, func_arg_count),
    (id::OVERRIDE_RETURN, override_return),
    (id::GET_RETVAL, get_retval),
    (id::SET_RETVAL, set_retval),
];

fn func_ip(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(run.call.function))
}

fn attach_cookie(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(run.call.cookie))
}

/// Word `index` of the arguments.
fn word(run: &Run<'_>, name: &'static str, index: u32) -> Result<u64, Stop> {
    let context = run.read(Reg::R1)?;
    let loaded = context.load(i64::from(index * WORD), Size::DW);
    loaded.map_err(|_| run.bad_argument(name, 1, "is no list of arguments"))
}

/// `bpf_get_func_arg(ctx, n, value)`.
fn func_arg(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_get_func_arg";
    let index = run.read(Reg::R2)?.bits as u32;
    if index >= run.call.arguments {
        return Ok(failure(Errno::EINVAL));
    }
    let bits = word(run, NAME, index)?;
    run.write_argument(NAME, Reg::R3, &bits.to_ne_bytes())?;
    Ok(Value::scalar(0))
}

/// `bpf_get_func_ret(ctx, value)`: of programs that run before the function does, nothing.
fn func_ret(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_get_func_ret";
    if !run.call.returned {
        return Ok(failure(Errno::EOPNOTSUPP));
    }
    let bits = word(run, NAME, run.call.arguments)?;
    run.write_argument(NAME, Reg::R2, &bits.to_ne_bytes())?;
    Ok(Value::scalar(0))
}

fn func_arg_count(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(run.call.arguments.into()))
}

/// `bpf_override_return(regs, value)`: the function that would return it is a record of what
/// was called, so that there is nobody to tell.
fn override_return(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R1)?;
    Ok(Value::scalar(0))
}

fn get_retval(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(i64::from(run.call.retval) as u64))
}

/// `bpf_set_retval(value)`: an errno or 0; of an LSM hook's program anything but a positive
/// number.
fn set_retval(run: &mut Run<'_>) -> Result<Value, Stop> {
    let value = run.read(Reg::R1)?.bits as i32;
    let lsm = run.program.prog_type == ProgType::Lsm;
    if lsm && value > 0 && value <= i32::from(MAX_ERRNO) {
        return Ok(failure(Errno::EINVAL));
    }
    run.call.retval = value;
    Ok(Value::scalar(0))
}
