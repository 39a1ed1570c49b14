//! Iterations over tasks, cgroups, memory of tasks, caches and buffers: of the world there is the
//! task that runs, and nothing of the rest. Counterparts: `kernel/bpf/task_iter.c`,
//! `kernel/bpf/cgroup_iter.c`, `kernel/bpf/kmem_cache_iter.c`, `kernel/bpf/dmabuf_iter.c`.

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_isa::Reg;

use super::{Arg, Entry, status};
use crate::memory::value::Value;
use crate::run::world::World;
use crate::run::{Run, Stop};

/// An iterator, and what it is told.
const NEW: &[Arg] = &[Arg::Memory, Arg::Number, Arg::Number];
const IT: &[Arg] = &[Arg::Memory];

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::ITER_TASK_NEW, tasks, NEW),
    (id::ITER_TASK_NEXT, next, IT),
    (id::ITER_TASK_DESTROY, end, IT),
    (id::ITER_TASK_VMA_NEW, no_memory, NEW),
    (id::ITER_TASK_VMA_NEXT, next, IT),
    (id::ITER_TASK_VMA_DESTROY, end, IT),
    (id::ITER_CSS_TASK_NEW, none, NEW),
    (id::ITER_CSS_TASK_NEXT, next, IT),
    (id::ITER_CSS_TASK_DESTROY, end, IT),
    (id::ITER_CSS_NEW, none, NEW),
    (id::ITER_CSS_NEXT, next, IT),
    (id::ITER_CSS_DESTROY, end, IT),
    (id::ITER_KMEM_CACHE_NEW, none, IT),
    (id::ITER_KMEM_CACHE_NEXT, next, IT),
    (id::ITER_KMEM_CACHE_DESTROY, end, IT),
    (id::ITER_DMABUF_NEW, none, IT),
    (id::ITER_DMABUF_NEXT, next, IT),
    (id::ITER_DMABUF_DESTROY, end, IT),
];

/// Begins an iteration over these addresses.
fn begin(run: &mut Run<'_>, over: Vec<u64>) -> Result<(), Stop> {
    /// Bytes of the smallest iterator.
    const BYTES: u64 = 8;
    let at = run.memory_argument("bpf_iter_new", Reg::R1, BYTES, true)?.bits;
    run.held.rare().walks.insert(at, over.into());
    Ok(())
}

/// `bpf_iter_task_new(it, task, flags)`: all processes, all threads, or those of one process.
fn tasks(run: &mut Run<'_>) -> Result<Value, Stop> {
    const PROCESSES: u32 = 0;
    const OF_PROCESS: u32 = 2;
    let flags = run.read(Reg::R3)?.bits as u32;
    if flags > OF_PROCESS {
        begin(run, Vec::new())?;
        return Ok(status(Err(Errno::EINVAL)));
    }
    let (pid, tgid) = run.world().ids();
    let own = if flags == PROCESSES { tgid } else { pid };
    begin(run, vec![World::task_address(own)])?;
    Ok(status(Ok(())))
}

/// `bpf_iter_task_vma_new(it, task, address)`: no task here has any.
fn no_memory(run: &mut Run<'_>) -> Result<Value, Stop> {
    begin(run, Vec::new())?;
    Ok(status(Err(Errno::ENOENT)))
}

fn none(run: &mut Run<'_>) -> Result<Value, Stop> {
    begin(run, Vec::new())?;
    Ok(status(Ok(())))
}

/// The next one, or null.
fn next(run: &mut Run<'_>) -> Result<Value, Stop> {
    let at = run.read(Reg::R1)?.bits;
    let walk = run.held.rare().walks.get_mut(&at);
    Ok(Value::scalar(walk.and_then(|walk| walk.pop_front()).unwrap_or(0)))
}

fn end(run: &mut Run<'_>) -> Result<Value, Stop> {
    let at = run.read(Reg::R1)?.bits;
    run.held.rare().walks.remove(&at);
    Ok(Value::scalar(0))
}
