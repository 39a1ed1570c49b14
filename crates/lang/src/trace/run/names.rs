//! What values only point to: symbols, users, control groups, clocks of the machine.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustix::time::{ClockId, DynamicClockId, clock_gettime, clock_gettime_dynamic};
use skep_btf::{Kind, Type};
use skep_load::Target;
use skep_sys::Kernel;

use super::super::kind::{Clock, Stack, StackMode};
use super::super::lower::Machine;
use super::super::output::decode::Names;
use super::super::output::series::strftime;
use super::super::plan::Plan;
use super::RunError;
use super::kernel_symbols::KernelSymbols;
use super::user_symbols::{Places, UserSymbols};

/// Names on a machine where a script runs.
pub struct Running<'a> {
    plan: &'a Plan,
    linux: bool,
    kernel: OnceCell<KernelSymbols>,
    processes: RefCell<UserSymbols>,
    users: RefCell<HashMap<u64, String>>,
    /// Nanoseconds from the boot clock and the monotonic one to 1970's.
    boot: i64,
    monotonic: i64,
    tai: i64,
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

fn tai_time() -> i64 {
    match clock_gettime_dynamic(DynamicClockId::Tai) {
        Ok(time) => time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec),
        Err(_) => nanos(ClockId::Realtime),
    }
}

impl Running<'_> {
    /// Symbols are looked up by what was seen of processes, too.
    pub(super) fn by(&self, seen: Arc<Mutex<Places>>) {
        self.processes.borrow_mut().seen = Some(seen);
    }
}

/// Nanoseconds since boot.
pub fn boot_time() -> u64 {
    u64::try_from(nanos(ClockId::Boottime)).unwrap_or(0)
}

/// Nanoseconds from the boot clock to TAI.
pub fn tai_offset() -> i64 {
    tai_time().saturating_sub(nanos(ClockId::Boottime))
}

/// The name space of processes, where it is not the machine's first.
pub fn process_namespace() -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    /// `PROC_PID_INIT_INO`
    const FIRST: u64 = 0xeffffffc;
    let of = std::fs::metadata("/proc/self/ns/pid").ok()?;
    (of.ino() != FIRST).then(|| (of.dev(), of.ino()))
}

/// Where in a `struct task_struct` a process's number lies.
pub fn process_number(kernel: &Arc<dyn Kernel>) -> Result<u32, RunError> {
    let failed =
        |reason: String| RunError::Attach(format!("--only needs the kernel's types: {reason}"));
    let target = Target::of(&**kernel);
    let btf = target.kernel_btf().map_err(failed)?;
    let missing = || failed("they have no task_struct".into());
    let id = btf.find("task_struct", Kind::Struct).ok_or_else(missing)?;
    let Ok(Type::Struct(of)) = btf.type_by_id(id) else { return Err(missing()) };
    let found = of.members.iter().find(|member| member.name == "tgid");
    found.map(|member| member.bit_offset / 8).ok_or_else(missing)
}

/// Whether there is a process of this number.
pub fn is_there(process: u32) -> bool {
    std::path::Path::new("/proc").join(process.to_string()).exists()
}

impl<'a> Running<'a> {
    pub fn new(plan: &'a Plan, kernel: &Arc<dyn Kernel>, _: &Machine) -> Running<'a> {
        let now = nanos(ClockId::Realtime);
        Running {
            plan,
            linux: kernel.name() == "linux",
            kernel: OnceCell::new(),
            processes: RefCell::default(),
            users: RefCell::default(),
            boot: now.saturating_sub(nanos(ClockId::Boottime)),
            monotonic: now.saturating_sub(nanos(ClockId::Monotonic)),
            tai: now.saturating_sub(tai_time()),
        }
    }

    fn kernel_symbols(&self) -> &KernelSymbols {
        self.kernel.get_or_init(|| {
            if self.linux { KernelSymbols::read() } else { KernelSymbols::default() }
        })
    }

    /// The moment of a time series' clock, as nanoseconds since 1970.
    pub fn series_moment(&self, nanos: u64, is_plain: bool) -> u64 {
        if is_plain { nanos } else { nanos.saturating_add_signed(self.tai) }
    }
}

impl Names for Running<'_> {
    fn kernel_symbol(&self, address: u64) -> String {
        self.kernel_symbols().name(address, false)
    }

    fn user_symbol(&self, address: u64, process: u32) -> String {
        self.processes.borrow_mut().name(address, process, false).0
    }

    fn stack(&self, frames: &[u64], process: Option<u32>, stack: Stack) -> String {
        let mut text = String::from("\n");
        for address in frames {
            // Writing into a string does not fail.
            let _ = match (stack.mode, process) {
                (StackMode::Raw, _) => writeln!(text, "{address:x}"),
                (StackMode::Perf, None) => {
                    let name = self.kernel_symbols().name(*address, true);
                    writeln!(text, "\t{address:x} {name} ([kernel.kallsyms])")
                }
                (StackMode::Perf, Some(process)) => {
                    let (name, file) = self.processes.borrow_mut().name(*address, process, true);
                    writeln!(text, "\t{address:x} {name} ({file})")
                }
                (_, None) => {
                    writeln!(text, "        {}", self.kernel_symbols().name(*address, true))
                }
                (_, Some(process)) => {
                    let (name, _) = self.processes.borrow_mut().name(*address, process, true);
                    writeln!(text, "        {name}")
                }
            };
        }
        text
    }

    fn user(&self, id: u64) -> String {
        let mut users = self.users.borrow_mut();
        if users.is_empty() {
            let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            for line in text.lines() {
                let mut parts = line.split(':');
                let (name, number) = (parts.next(), parts.nth(1));
                if let (Some(name), Some(Ok(number))) = (name, number.map(str::parse)) {
                    users.entry(number).or_insert_with(|| name.to_owned());
                }
            }
        }
        users.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    fn cgroup(&self, id: u64, filter: u64) -> String {
        let filter = self.plan.cgroups.get(filter as usize).cloned().flatten();
        cgroup_paths(id, filter.as_deref()).join(",")
    }

    fn time(&self, format: u32, clock: Clock, nanos: u64) -> String {
        let Some(format) = self.plan.times.get(format as usize) else { return String::new() };
        let offset = match clock {
            Clock::Boot => self.boot,
            Clock::Monotonic => self.monotonic,
            Clock::Tai | Clock::SoftwareTai => self.tai,
        };
        strftime(format, nanos.saturating_add_signed(offset))
    }
}

/// Paths of the control groups whose folder has this inode, with the hierarchy in front.
fn cgroup_paths(id: u64, filter: Option<&str>) -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    /// More folders are not looked at.
    const MOST: usize = 100_000;
    let root = PathBuf::from("/sys/fs/cgroup");
    let unified = root.join("cgroup.controllers").exists();
    let hierarchies: Vec<(String, PathBuf)> = match unified {
        true => vec![("unified".into(), root)],
        false => std::fs::read_dir(&root)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
            .collect(),
    };
    let mut found = Vec::new();
    for (name, root) in hierarchies {
        if filter.is_some_and(|filter| !skep_load::attach::Pattern::new(filter).matches(&name)) {
            continue;
        }
        let mut pending = vec![root.clone()];
        let mut seen = 0;
        while let Some(folder) = pending.pop() {
            seen += 1;
            if seen > MOST {
                break;
            }
            if std::fs::metadata(&folder).is_ok_and(|of| of.ino() == id) {
                let path = folder.strip_prefix(&root).unwrap_or(&folder);
                found.push(format!("{name}:/{}", path.display()));
                break;
            }
            let inside = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let folders = inside.filter(|entry| entry.file_type().is_ok_and(|of| of.is_dir()));
            pending.extend(folders.map(|entry| entry.path()));
        }
    }
    found
}
