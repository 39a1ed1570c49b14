//! What programs see of the world besides their context, their maps and the clock: the task
//! that runs, memory that was captured with an event. Helpers ask here, and nowhere
//! else: an address that leads to nothing described here leads nowhere.
//!
//! Unless somebody says otherwise it is the world of this process: its tasks, read from
//! `/proc` when they are asked for, and no memory.

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
    /// Id of its cgroup, and those of the groups that this is in, the root's first.
    pub cgroups: Vec<u64>,
}

/// Id of the root of a cgroup tree.
const ROOT_CGROUP: u64 = 1;

impl Task {
    /// The thread that asks.
    pub fn current() -> Task {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let first = line.and_then(|rest| rest.split_whitespace().next());
            first.and_then(|word| word.parse().ok())
        };
        let tgid = number("Tgid:").unwrap_or_else(std::process::id);
        let comm = std::fs::read("/proc/thread-self/comm").unwrap_or_default();
        Task {
            pid: number("Pid:").unwrap_or(tgid),
            tgid,
            uid: number("Uid:").unwrap_or(0),
            gid: number("Gid:").unwrap_or(0),
            comm: Task::name(comm.strip_suffix(b"\n").unwrap_or(&comm)),
            cgroups: current_cgroups(),
        }
    }

    /// A name as the kernel keeps it: cut to 15 bytes, zero-terminated.
    pub fn name(text: &[u8]) -> [u8; 16] {
        let mut comm = [0; 16];
        let len = text.len().min(comm.len() - 1);
        comm[..len].copy_from_slice(&text[..len]);
        comm
    }

    /// Id of its cgroup.
    pub fn cgroup(&self) -> u64 {
        self.cgroups.last().copied().unwrap_or(ROOT_CGROUP)
    }
}

/// Ids of the cgroups (of version 2) that this process is in: the inodes of their folders.
fn current_cgroups() -> Vec<u64> {
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
}

/// Where the tasks of the embedded kernel would be: an address like a kernel's, at which
/// there is nothing.
const TASKS: u64 = 0xffff_8880_5b00_0000;
/// Bytes that a task would take.
const TASK_SIZE: u64 = 0x4000;

impl World {
    /// The task that runs.
    pub fn task(&self) -> Task {
        self.task.clone().unwrap_or_else(Task::current)
    }

    /// The address that programs see of a task.
    pub fn task_address(pid: u32) -> u64 {
        TASKS + u64::from(pid) * TASK_SIZE
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
        let task = Task::current();
        assert_eq!(task.tgid, std::process::id());
        assert_eq!(task.comm[15], 0);
    }
}
