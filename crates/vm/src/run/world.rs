//! What programs see of the world besides their context, their maps and the clock: the task
//! that runs, memory that was captured with an event. Helpers ask here, and nowhere
//! else: an address that leads to nothing described here leads nowhere.
//!
//! Unless somebody says otherwise it is the world of this process: its tasks, read from
//! `/proc` when they are asked for, and no memory.

use super::network::{Network, Redirect};

/// A task, as far as programs see it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Task {
    /// What user space calls its thread id.
    pub pid: u32,
    /// What user space calls its process id.
    pub tgid: u32,
    /// Its real user.
    pub uid: u32,
    /// Its real group.
    pub gid: u32,
    /// Its name, zero-terminated.
    pub comm: [u8; 16],
    /// Its parent's process id, 0 where it is not known, and name.
    pub parent: (u32, [u8; 16]),
    /// Id of its cgroup, and those of the groups that this is in, the root's first.
    pub cgroups: Vec<u64>,
}

/// Id of the root of a cgroup tree.
const ROOT_CGROUP: u64 = 1;

impl Task {
    /// A name as the kernel keeps it: cut to 15 bytes, zero-terminated.
    pub fn name(text: &[u8]) -> [u8; 16] {
        let mut comm = [0; 16];
        let len = text.len().min(comm.len() - 1);
        comm[..len].copy_from_slice(&text[..len]);
        comm
    }
}

/// Bytes at an address, of user space or of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The address of the first.
    pub address: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A world for programs to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// The task that runs; the thread that runs the program where there is none.
    pub task: Option<Task>,
    /// What called what in the kernel, the innermost first.
    pub kernel_stack: Vec<u64>,
    /// The same of user space.
    pub user_stack: Vec<u64>,
    /// Memory that addresses lead to.
    pub memory: Vec<Captured>,
    /// Where packets would go.
    pub network: Network,
}

/// Where the tasks of the embedded kernel would be: an address like a kernel's, at which
/// there is nothing.
const TASKS: u64 = 0xffff_8890_0000_0000;
/// Where the cgroups would be, and the bytes that each would take.
const CGROUPS: u64 = 0xffff_88a0_0000_0000;
const CGROUP_SIZE: u64 = 0x1000;
/// Bytes that a task would take.
const TASK_SIZE: u64 = 0x4000;
/// Ids of tasks are below this (`PID_MAX_LIMIT`).
pub(crate) const MOST_TASKS: u64 = 1 << 22;

impl World {
    /// Thread id and process id of the task that runs.
    pub fn ids(&self) -> (u32, u32) {
        self.task.as_ref().map_or_else(own::ids, |task| (task.pid, task.tgid))
    }

    /// User and group of the task that runs.
    pub fn user(&self) -> (u32, u32) {
        self.task.as_ref().map_or_else(own::user, |task| (task.uid, task.gid))
    }

    /// The name of the task that runs.
    pub fn comm(&self) -> [u8; 16] {
        self.task.as_ref().map_or_else(own::comm, |task| task.comm)
    }

    /// Id of the cgroup of the task that runs, at a level of its tree; without one, its own.
    pub fn cgroup(&self, level: Option<usize>) -> Option<u64> {
        let own;
        let cgroups = match &self.task {
            Some(task) => &task.cgroups,
            None => {
                own = own::cgroups();
                &own
            }
        };
        match level {
            Some(level) => cgroups.get(level).copied(),
            None => Some(cgroups.last().copied().unwrap_or(ROOT_CGROUP)),
        }
    }

    /// Ids of the cgroups of the task that runs, the root's first.
    pub fn cgroups(&self) -> Vec<u64> {
        self.task.as_ref().map_or_else(own::cgroups, |task| task.cgroups.clone())
    }

    /// The address that programs see of a cgroup.
    pub fn cgroup_address(id: u64) -> u64 {
        CGROUPS.wrapping_add(id.wrapping_mul(CGROUP_SIZE))
    }

    /// Whether there is a task with this id: the one that runs, or in a world that nobody
    /// described any of this process.
    pub fn has_task(&self, pid: u32) -> bool {
        match &self.task {
            Some(task) => task.pid == pid || task.tgid == pid,
            None => own::has_task(pid),
        }
    }

    /// The address that programs see of a task.
    pub fn task_address(pid: u32) -> u64 {
        TASKS.wrapping_add(u64::from(pid) * TASK_SIZE)
    }

    /// The task that an address is of, and the offset in it.
    pub(crate) fn task_at(address: u64) -> Option<(u32, u64)> {
        let offset =
            address.checked_sub(TASKS).filter(|offset| *offset < TASK_SIZE * MOST_TASKS)?;
        Some(((offset / TASK_SIZE) as u32, offset % TASK_SIZE))
    }

    /// Process id of the parent of the task that runs, where that is known.
    pub(crate) fn parent(&self) -> Option<u32> {
        match &self.task {
            Some(task) => Some(task.parent.0).filter(|parent| *parent != 0),
            None => own::parent(),
        }
    }

    /// Copies what is at an address; false where not all of it is there.
    pub fn read(&self, address: u64, to: &mut [u8]) -> bool {
        self.memory.iter().any(|known| {
            let start = address.checked_sub(known.address).map(usize::try_from);
            let Some(Ok(start)) = start else { return false };
            let bytes = start.checked_add(to.len()).and_then(|end| known.bytes.get(start..end));
            bytes.map(|bytes| to.copy_from_slice(bytes)).is_some()
        })
    }
}

/// The thread that runs, as this machine's kernel has it. Programs ask often: each question
/// costs no more than its answer needs.
mod own {
    use super::{ROOT_CGROUP, Task};

    #[cfg(target_os = "linux")]
    pub fn ids() -> (u32, u32) {
        let pid = rustix::thread::gettid().as_raw_nonzero().get();
        (pid as u32, std::process::id())
    }

    #[cfg(not(target_os = "linux"))]
    pub fn ids() -> (u32, u32) {
        (std::process::id(), std::process::id())
    }

    /// Whether this process has a thread with this id.
    pub fn has_task(pid: u32) -> bool {
        std::path::Path::new(&format!("/proc/self/task/{pid}")).exists()
    }

    #[cfg(target_os = "linux")]
    pub fn user() -> (u32, u32) {
        (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
    }

    #[cfg(target_os = "linux")]
    pub fn parent() -> Option<u32> {
        rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get() as u32)
    }

    #[cfg(not(target_os = "linux"))]
    pub fn parent() -> Option<u32> {
        None
    }

    #[cfg(not(target_os = "linux"))]
    pub fn user() -> (u32, u32) {
        (0, 0)
    }

    pub fn comm() -> [u8; 16] {
        let comm = std::fs::read("/proc/thread-self/comm").unwrap_or_default();
        Task::name(comm.strip_suffix(b"\n").unwrap_or(&comm))
    }

    /// Ids of the cgroups (of version 2) that this process is in: the inodes of their folders.
    pub fn cgroups() -> Vec<u64> {
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let mut folder = std::path::PathBuf::from("/sys/fs/cgroup");
        let mut ids = vec![inode(&folder).unwrap_or(ROOT_CGROUP)];
        for name in path.split('/').filter(|name| !name.is_empty()) {
            folder.push(name);
            let Some(id) = inode(&folder) else { break };
            ids.push(id);
        }
        ids
    }

    #[cfg(unix)]
    fn inode(path: &std::path::Path) -> Option<u64> {
        std::fs::metadata(path).ok().map(|of| std::os::unix::fs::MetadataExt::ino(&of))
    }

    #[cfg(not(unix))]
    fn inode(_path: &std::path::Path) -> Option<u64> {
        None
    }
}

/// How a program was called, where that is no matter of its context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Arguments of the function that it is attached to.
    pub arguments: u32,
    /// Whether what the function returned stands behind them.
    pub returned: bool,
    /// Address of the function.
    pub function: u64,
    /// What its link was made with.
    pub cookie: u64,
    /// What a cgroup's call returns so far (`bpf_get_retval`).
    pub retval: i32,
    /// Where the program redirected its packet to last.
    pub redirect: Option<Redirect>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_whole_or_not_at_all() {
        let memory = vec![Captured { address: 0x1000, bytes: vec![1, 2, 3, 4] }];
        let world = World { memory, ..World::default() };
        let mut bytes = [0; 2];
        assert!(world.read(0x1002, &mut bytes));
        assert_eq!(bytes, [3, 4]);
        assert!(!world.read(0x1003, &mut bytes));
        assert!(!world.read(u64::MAX, &mut bytes));
        assert!(!world.read(0xfff, &mut bytes));
    }

    #[test]
    fn the_current_task_is_this_thread() {
        let world = World::default();
        assert_eq!(world.ids().1, std::process::id());
        let name = std::thread::Builder::new().name("a long name of a thread".into());
        let other = name.spawn(|| (World::default().ids(), World::default().comm())).unwrap();
        let (ids, comm) = other.join().unwrap();
        assert_ne!(ids.0, world.ids().0);
        assert_eq!(&comm, b"a long name of \0");
    }
}
