//! Perf events, as far as programs are attached to them: what `perf_event_open(2)` counts or
//! probes, and on whom, in typed form. An address never stands among the numbers: a kernel
//! gets names as what they are.

use std::ffi::CString;

/// What an event counts, or probes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PerfKind {
    /// A tracepoint, by the number that tracefs says.
    Tracepoint(u64),
    /// Something that the kernel counts (`PERF_COUNT_SW_*`): see [`software`].
    Software(u64),
    /// Something that the CPU counts (`PERF_COUNT_HW_*`).
    Hardware(u64),
    /// A cache's accesses or misses (`PERF_COUNT_HW_CACHE_*`).
    Cache(u64),
    /// What the CPU's maker numbers.
    Raw(u64),
    /// An instruction of a file.
    Uprobe {
        /// The file.
        path: CString,
        /// Where in the file.
        offset: u64,
        /// Where in the file the counter is that says whether anybody looks; 0 for none.
        ref_ctr_offset: u32,
        /// At the function's return.
        is_return: bool,
    },
    /// An instruction of the kernel.
    Kprobe {
        /// The function; `None` for an address.
        function: Option<CString>,
        /// Bytes behind the function's start, or the address.
        offset: u64,
        /// At the function's return.
        is_return: bool,
    },
}

/// Numbers of what the kernel counts.
pub mod software {
    /// Time of the CPU, in ns.
    pub const CPU_CLOCK: u64 = 0;
    /// Time of a task, in ns.
    pub const TASK_CLOCK: u64 = 1;
    /// Page faults.
    pub const PAGE_FAULTS: u64 = 2;
    /// Switches between tasks.
    pub const CONTEXT_SWITCHES: u64 = 3;
    /// Moves of a task to another CPU.
    pub const CPU_MIGRATIONS: u64 = 4;
    /// Page faults without reading.
    pub const PAGE_FAULTS_MIN: u64 = 5;
    /// Page faults with reading.
    pub const PAGE_FAULTS_MAJ: u64 = 6;
    /// Accesses that the kernel puts right.
    pub const ALIGNMENT_FAULTS: u64 = 7;
    /// Instructions that the kernel stands in for.
    pub const EMULATION_FAULTS: u64 = 8;
    /// Nothing.
    pub const DUMMY: u64 = 9;
    /// What programs write.
    pub const BPF_OUTPUT: u64 = 10;
    /// Switches between cgroups.
    pub const CGROUP_SWITCHES: u64 = 11;
}

/// When an event is an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sampling {
    /// Each one is counted; probes and tracepoints are events by themselves.
    #[default]
    None,
    /// Every so many.
    Period(u64),
    /// About so often in a second.
    Frequency(u64),
}

/// An event to be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PerfSpec {
    /// What it counts.
    pub kind: PerfKind,
    /// When it is one.
    pub sampling: Sampling,
    /// A task, 0 for the caller; `None` for all.
    pub pid: Option<u32>,
    /// A CPU; `None` for all, of a task.
    pub cpu: Option<u32>,
    /// Tasks that the task makes count, too.
    pub inherit: bool,
    /// What happens in the kernel does not count.
    pub exclude_kernel: bool,
    /// What happens in user space does not count.
    pub exclude_user: bool,
    /// Counts nothing before it is enabled.
    pub disabled: bool,
    /// Records are raw bytes, which programs write, and wake who waits.
    pub raw_samples: bool,
}

impl PerfSpec {
    /// An event of this kind, of all tasks on all CPUs: one of both is to be named.
    pub fn new(kind: PerfKind) -> PerfSpec {
        PerfSpec {
            kind,
            sampling: Sampling::None,
            pid: None,
            cpu: None,
            inherit: false,
            exclude_kernel: false,
            exclude_user: false,
            disabled: false,
            raw_samples: false,
        }
    }

    /// One that programs write samples to on a CPU.
    pub fn bpf_output(cpu: u32) -> PerfSpec {
        PerfSpec {
            sampling: Sampling::Period(1),
            cpu: Some(cpu),
            raw_samples: true,
            ..PerfSpec::new(PerfKind::Software(software::BPF_OUTPUT))
        }
    }
}

/// What is done with an event that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PerfControl {
    /// It counts from now on.
    Enable,
    /// It does not count from now on.
    Disable,
    /// It counts from 0.
    Reset,
}
