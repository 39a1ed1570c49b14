//! Helpers on the task that runs, and on the cgroup that it is in.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;

use super::{Function, failure};
use crate::memory::value::Value;
use crate::run::world::World;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::GET_CURRENT_PID_TGID, pid_tgid),
    (id::GET_CURRENT_UID_GID, uid_gid),
    (id::GET_CURRENT_COMM, comm),
    (id::GET_CURRENT_TASK, task),
    (id::GET_CURRENT_TASK_BTF, task),
    (id::GET_NS_CURRENT_PID_TGID, ns_pid_tgid),
    (id::GET_CURRENT_CGROUP_ID, cgroup_id),
    (id::GET_CURRENT_ANCESTOR_CGROUP_ID, ancestor_cgroup_id),
    (id::CURRENT_TASK_UNDER_CGROUP, under_cgroup),
    (id::GET_CGROUP_CLASSID, class_id),
    (id::TASK_PT_REGS, task_pt_regs),
];

fn pid_tgid(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (pid, tgid) = run.world().ids();
    Ok(Value::scalar(u64::from(tgid) << 32 | u64::from(pid)))
}

fn uid_gid(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (uid, gid) = run.world().user();
    Ok(Value::scalar(u64::from(gid) << 32 | u64::from(uid)))
}

/// `bpf_get_current_comm(buffer, size)`: the name, cut to the buffer and zero-terminated.
fn comm(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_get_current_comm";
    let size = run.size_argument(Reg::R2)?;
    run.writable_argument(NAME, Reg::R1, size)?;
    let mut bytes = vec![0; size as usize];
    let name = run.world().comm();
    let len = name.len().min(bytes.len());
    bytes[..len].copy_from_slice(&name[..len]);
    if let Some(last) = bytes.last_mut() {
        *last = 0;
    }
    run.write_argument(NAME, Reg::R1, &bytes)?;
    Ok(Value::scalar(0))
}

/// `bpf_get_current_task()`: an address at which there is nothing unless it was captured.
fn task(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(World::task_address(run.world().ids().0)))
}

/// `bpf_get_ns_current_pid_tgid(dev, inode, nsdata, size)`: of the process' own namespace, the
/// only one that there is.
fn ns_pid_tgid(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_get_ns_current_pid_tgid";
    const SIZE: u64 = 8;
    let (device, inode) = (run.read(Reg::R1)?.bits, run.read(Reg::R2)?.bits);
    let size = run.size_argument(Reg::R4)?;
    run.writable_argument(NAME, Reg::R3, size)?;
    let clear = vec![0; size as usize];
    if size != SIZE || namespace() != Some((device, inode)) {
        run.write_argument(NAME, Reg::R3, &clear)?;
        return Ok(failure(Errno::EINVAL));
    }
    let (pid, tgid) = run.world().ids();
    let found = [pid.to_ne_bytes(), tgid.to_ne_bytes()].concat();
    run.write_argument(NAME, Reg::R3, &found)?;
    Ok(Value::scalar(0))
}

/// Device, as the kernel packs it, and inode of this process' pid namespace.
#[cfg(unix)]
fn namespace() -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let of = std::fs::metadata("/proc/self/ns/pid").ok()?;
    Some((of.dev(), of.ino()))
}

#[cfg(not(unix))]
fn namespace() -> Option<(u64, u64)> {
    None
}

fn cgroup_id(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(run.world().cgroup(None).unwrap_or(0)))
}

/// `bpf_get_current_ancestor_cgroup_id(level)`: 0 where there is none.
fn ancestor_cgroup_id(run: &mut Run<'_>) -> Result<Value, Stop> {
    let level = run.read(Reg::R1)?.bits as u32 as i32;
    let level = usize::try_from(level).ok();
    let id = level.and_then(|level| run.world().cgroup(Some(level)));
    Ok(Value::scalar(id.unwrap_or(0)))
}

/// `bpf_current_task_under_cgroup(map, index)`: no array here holds a cgroup.
fn under_cgroup(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_current_task_under_cgroup";
    let map = run.map_argument(NAME, Reg::R1)?;
    let slots = u64::from(map.map.max_entries());
    let index = run.size_argument(Reg::R2)?;
    Ok(failure(if index >= slots { Errno::E2BIG } else { Errno::EAGAIN }))
}

/// `bpf_get_cgroup_classid`: no task here was given a class.
fn class_id(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(0))
}

/// `bpf_task_pt_regs(task)`: where the registers of a task would be.
fn task_pt_regs(run: &mut Run<'_>) -> Result<Value, Stop> {
    /// Bytes from a task to the registers that it entered the kernel with.
    const REGISTERS: u64 = 0x3f58;
    let task = run.read(Reg::R1)?.bits;
    Ok(Value::scalar(task.wrapping_add(REGISTERS)))
}
