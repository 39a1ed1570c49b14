//! Tasks and cgroups of the world. What a program gets of one is an address; there is no structure
//! behind it but what was captured. Counterpart: `bpf_task_acquire` and its like in
//! `kernel/bpf/helpers.c`.

use skep_abi::kfunc::id;
use skep_isa::Reg;

use super::{Arg, Entry, word};
use crate::memory::value::Value;
use crate::run::world::World;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::TASK_ACQUIRE, same, &[Arg::Number]),
    (id::TASK_RELEASE, nothing, &[Arg::Number]),
    (id::TASK_FROM_PID, from_pid, &[Arg::Number]),
    (id::TASK_FROM_VPID, from_pid, &[Arg::Number]),
    (id::CGROUP_ACQUIRE, same, &[Arg::Number]),
    (id::CGROUP_RELEASE, nothing, &[Arg::Number]),
    (id::CGROUP_FROM_ID, cgroup_from_id, &[Arg::Number]),
    (id::CGROUP_ANCESTOR, ancestor, &[Arg::Number, Arg::Number]),
    (id::TASK_GET_CGROUP1, none, &[Arg::Number, Arg::Number]),
    (id::TASK_UNDER_CGROUP, under, &[Arg::Number, Arg::Number]),
];

/// One reference more: the world's tasks and cgroups stay as long as it does.
fn same(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R1)
}

fn nothing(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(0))
}

fn none(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R1)?;
    Ok(Value::scalar(0))
}

/// `bpf_task_from_pid(pid)`.
fn from_pid(run: &mut Run<'_>) -> Result<Value, Stop> {
    let pid = run.read(Reg::R1)?.bits as u32;
    let there = run.world().has_task(pid);
    Ok(Value::scalar(if there { World::task_address(pid) } else { 0 }))
}

/// `bpf_cgroup_from_id(id)`.
fn cgroup_from_id(run: &mut Run<'_>) -> Result<Value, Stop> {
    let id = run.read(Reg::R1)?.bits;
    let there = run.world().cgroups().contains(&id);
    Ok(Value::scalar(if there { World::cgroup_address(id) } else { 0 }))
}

/// `bpf_cgroup_ancestor(cgroup, level)`.
fn ancestor(run: &mut Run<'_>) -> Result<Value, Stop> {
    let cgroup = run.read(Reg::R1)?.bits;
    let level = usize::try_from(run.read(Reg::R2)?.bits as i32).ok();
    let all = run.world().cgroups();
    let own = all.iter().position(|id| World::cgroup_address(*id) == cgroup);
    let level = level.filter(|level| own.is_some_and(|own| *level <= own));
    Ok(Value::scalar(level.map_or(0, |level| World::cgroup_address(all[level]))))
}

/// `bpf_task_under_cgroup(task, cgroup)`: of the task that runs.
fn under(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (task, cgroup) = (run.read(Reg::R1)?.bits, run.read(Reg::R2)?.bits);
    let world = run.world();
    let runs = task == World::task_address(world.ids().0);
    let inside = world.cgroups().iter().any(|id| World::cgroup_address(*id) == cgroup);
    Ok(word((runs && inside).into()))
}
