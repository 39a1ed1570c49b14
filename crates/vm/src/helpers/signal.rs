//! What programs ask the kernel to do or to tell that has nobody here whom it would concern:
//! signals, remote controls, symbols, branches. What is asked is checked as Linux does.
//! Counterparts: `kernel/trace/bpf_trace.c`, `drivers/media/rc/bpf-lirc.c`.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;

use super::{Function, failure, status};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::SEND_SIGNAL, send),
    (id::SEND_SIGNAL_THREAD, send),
    (id::RC_REPEAT, accepted),
    (id::RC_KEYDOWN, accepted),
    (id::RC_POINTER_REL, accepted),
    (id::BPRM_OPTS_SET, bprm_options),
    (id::GET_BRANCH_SNAPSHOT, branches),
    (id::KALLSYMS_LOOKUP_NAME, symbol),
    (id::FIND_VMA, find_vma),
    (id::COPY_FROM_USER_TASK, copy_from_task),
    (id::BTF_FIND_BY_NAME_KIND, find_type),
];

/// `bpf_send_signal(sig)`: it reaches nobody.
fn send(run: &mut Run<'_>) -> Result<Value, Stop> {
    const LAST: u32 = 64;
    let signal = run.read(Reg::R1)?.bits as u32;
    Ok(status(if signal <= LAST { Ok(()) } else { Err(Errno::EINVAL) }))
}

/// `bpf_rc_repeat(ctx)` and its like: a remote control that nothing listens to.
fn accepted(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R1)?;
    Ok(Value::scalar(0))
}

/// `bpf_bprm_opts_set(bprm, flags)`.
fn bprm_options(run: &mut Run<'_>) -> Result<Value, Stop> {
    const SECURE_EXEC: u64 = 1;
    run.read(Reg::R1)?;
    let flags = run.read(Reg::R2)?.bits;
    Ok(status(if flags & !SECURE_EXEC == 0 { Ok(()) } else { Err(Errno::EINVAL) }))
}

/// `bpf_get_branch_snapshot(entries, size)`: none were recorded.
fn branches(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(failure(Errno::ENOENT))
}

/// `bpf_kallsyms_lookup_name(name, size, flags, address)`: there are no symbols.
fn symbol(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_kallsyms_lookup_name";
    let size = run.size_argument(Reg::R2)?;
    let flags = run.read(Reg::R3)?.bits;
    let name = run.bytes_argument(NAME, Reg::R1, size)?;
    if flags != 0 || name.len() <= 1 || name.last() != Some(&0) {
        run.write_argument(NAME, Reg::R4, &[0; 8])?;
        return Ok(failure(Errno::EINVAL));
    }
    run.write_argument(NAME, Reg::R4, &[0; 8])?;
    Ok(failure(Errno::ENOENT))
}

/// `bpf_btf_find_by_name_kind(name, size, kind, flags)`: the number of a type of the kernel's.
fn find_type(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_btf_find_by_name_kind";
    let size = run.size_argument(Reg::R2)?;
    let (kind, flags) = (run.read(Reg::R3)?.bits as u32, run.read(Reg::R4)?.bits);
    let name = run.bytes_argument(NAME, Reg::R1, size)?;
    let named = name.split_last().filter(|(last, _)| **last == 0);
    let Some((_, name)) = named.filter(|(_, name)| flags == 0 && !name.is_empty()) else {
        return Ok(failure(Errno::EINVAL));
    };
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let found = run.env.kernel_types().and_then(|types| {
        let kind = skep_btf::Kind::from_number(u8::try_from(kind).ok()?)?;
        let name = std::str::from_utf8(name).ok()?;
        let unnamed = |id: &u32| {
            types.type_by_id(*id).is_ok_and(|of| of.kind() == kind && of.name().is_empty())
        };
        match name {
            "" => (1..types.len()).find(unnamed),
            "void" => None,
            name => types.find(name, kind),
        }
    });
    Ok(super::number(found.map(u64::from).ok_or(Errno::ENOENT)))
}

/// `bpf_find_vma(task, address, callback, context, flags)`: no task here has any.
fn find_vma(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R1)?;
    let flags = run.read(Reg::R5)?.bits;
    Ok(failure(if flags != 0 { Errno::EINVAL } else { Errno::ENOENT }))
}

/// `bpf_copy_from_user_task(to, size, from, task, flags)`.
fn copy_from_task(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_copy_from_user_task";
    let size = run.size_argument(Reg::R2)?;
    let (from, flags) = (run.read(Reg::R3)?, run.read(Reg::R5)?.bits);
    if flags != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    if size == 0 {
        return Ok(Value::scalar(0));
    }
    run.writable_argument(NAME, Reg::R1, size)?;
    let mut bytes = vec![0; size as usize];
    let found = run.probe(from, &mut bytes, true);
    run.write_argument(NAME, Reg::R1, &bytes)?;
    Ok(status(if found { Ok(()) } else { Err(Errno::EFAULT) }))
}
