//! The embedded kernel as a [`Kernel`]: what stands below the seam instead of Linux.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use skep_abi::Capabilities;
use skep_btf::Btf;
use skep_jit::{Checks, JitError, MachineCode, Passes};
use skep_maps::{MOST_CPUS, PerfEvent};
use skep_sys::{Command, Errno, Host, Kernel, KernelTypes, Mapping, RawFd};

use crate::compiled::plan;
use crate::engine::Engine;
use crate::engine::machine::Machine;
use crate::objects::hook::HookDef;
use crate::objects::map::MapHandle;
use crate::objects::program::Program;
use crate::objects::table::{Files, Object, Objects};
use crate::run::environment::Environment;

/// The types of the machine's kernel.
static OWN_TYPES: OnceLock<Option<Arc<Btf>>> = OnceLock::new();

/// A process of a kernel for eBPF in user space: the first one of a new kernel, or
/// [another](Vm::process) of one that there is.
pub struct Vm {
    pub(crate) machine: Machine,
    /// Locked before `objects` by who needs both.
    files: Mutex<Files>,
    objects: Arc<Mutex<Objects>>,
    host: Host,
    memory_limit: u64,
    caps: Capabilities,
    verifies: bool,
    /// The hook that its programs are for.
    hook: Option<Arc<HookDef>>,
    types: OnceLock<Option<Arc<Btf>>>,
}

impl Default for Vm {
    fn default() -> Vm {
        Vm::new()
    }
}

impl Vm {
    /// A kernel with as many vCPUs as Linux counts possible CPUs here.
    pub fn new() -> Vm {
        Vm::with_cpus(skep_sys::possible_cpus())
    }

    /// A kernel with `cpus` vCPUs: at least one, and at most [`MOST_CPUS`], as many as Linux
    /// can be built for.
    pub fn with_cpus(cpus: u32) -> Vm {
        let cpus = cpus.clamp(1, MOST_CPUS);
        Vm {
            machine: Machine::new(cpus),
            files: Mutex::default(),
            objects: Arc::default(),
            host: Host::default(),
            memory_limit: quarter_of_memory(),
            caps: Capabilities::all(),
            verifies: true,
            hook: None,
            types: OnceLock::new(),
        }
    }

    /// Another process of the same kernel, which holds these capabilities. It starts without
    /// fds, and sees the kernel's ids, pins, clock and vCPUs; the rest it has as this one.
    pub fn process(&self, caps: Capabilities) -> Vm {
        Vm {
            machine: self.machine.clone(),
            files: Mutex::default(),
            objects: self.objects.clone(),
            host: self.host.clone(),
            memory_limit: self.memory_limit,
            caps,
            verifies: self.verifies,
            hook: self.hook.clone(),
            types: self.types.clone(),
        }
    }

    /// Another process of the same kernel, for the programs of an application's hook: it loads
    /// no others, and those with the rights of CAP_BPF alone, so that no address of the host
    /// becomes a number. They know no types of the kernel's.
    pub fn for_hook(&self, hook: &Arc<HookDef>) -> Vm {
        Vm {
            hook: Some(Arc::clone(hook)),
            verifies: true,
            types: OnceLock::from(None),
            ..self.process(self.caps & Capabilities::BPF)
        }
    }

    /// The hook that its programs are for.
    pub(crate) fn hook(&self) -> Option<&Arc<HookDef>> {
        self.hook.as_ref()
    }

    /// Judges programs and commands as Linux does for a process that holds these
    /// capabilities; all of them unless said.
    pub fn with_capabilities(mut self, caps: Capabilities) -> Vm {
        self.caps = caps;
        self
    }

    /// Whether the caller holds these capabilities.
    ///
    /// # Errors
    /// `EPERM`.
    pub(super) fn needs(&self, needed: Capabilities) -> Result<(), Errno> {
        if self.caps.allow(needed) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// The capabilities of who makes system calls.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.caps
    }

    /// Loads programs without verifying them. They run with all checks, which stop them
    /// before they do harm.
    pub fn unverified(mut self) -> Vm {
        self.verifies = false;
        self
    }

    /// Runs programs with this engine.
    pub fn with_engine(mut self, engine: Engine) -> Vm {
        self.machine.engine = engine;
        self
    }

    /// Compiles programs with these passes.
    pub fn with_passes(mut self, passes: Passes) -> Vm {
        self.machine.passes = passes;
        self
    }

    /// Has the interpreter compare what it does with all that the verifier was sure of,
    /// and trap where they differ. For tests of the verifier.
    pub fn asserting_facts(mut self) -> Vm {
        self.machine.asserts = true;
        self
    }

    /// Bounds the instructions of each run.
    pub fn with_budget(mut self, budget: u64) -> Vm {
        self.machine.budget = budget;
        self
    }

    /// Refuses maps of more bytes than this with `ENOMEM`; a quarter of the machine's
    /// memory unless said.
    pub fn with_memory_limit(mut self, bytes: u64) -> Vm {
        self.memory_limit = bytes;
        self
    }

    /// Takes `host` for the machine's files, a BTF file in the place of the
    /// kernel's, say.
    pub fn with_host(mut self, host: Host) -> Vm {
        self.host = host;
        self
    }

    /// Time, chance and output of the programs.
    pub fn environment(&self) -> &Environment {
        &self.machine.env
    }

    /// Whether programs are verified when they are loaded.
    pub fn verifies(&self) -> bool {
        self.verifies
    }

    /// What runs programs. Only the interpreter compares with the verifier's facts.
    pub fn engine(&self) -> Engine {
        self.machine.engine()
    }

    /// The machine code that a program is run by here, to be read; `None` where it is
    /// interpreted.
    ///
    /// # Errors
    /// Something that is not compiled.
    pub fn machine_code(
        &self,
        program: &Program,
    ) -> Option<Result<(Checks, MachineCode), JitError>> {
        Some(plan::list(program, self.machine.how()?))
    }

    /// What verdicts depend on. The kernel's types are read once.
    pub(super) fn verifier_env(&self) -> skep_verify::Env {
        let parse = || {
            let btf = match self.host.vmlinux_btf()? {
                KernelTypes::Own(bytes) => Btf::of_kernel(bytes),
                KernelTypes::Given(bytes) => Btf::parse(bytes.to_vec()),
            };
            btf.ok().map(Arc::new)
        };
        let read = || match self.host.btf {
            Some(_) => parse(),
            // The machine's own are the same for every kernel in this process.
            None => OWN_TYPES.get_or_init(parse).clone(),
        };
        let vmlinux = self.types.get_or_init(read).clone();
        if let Some(types) = &vmlinux {
            self.machine.env.set_kernel_types(types);
        }
        skep_verify::Env {
            caps: self.caps,
            vmlinux,
            cpus: self.machine.env.cpus(),
            // No barrier stands in compiled code that the verifier could count on; hooks are
            // verified without CAP_PERFMON for other reasons.
            mitigations: self.hook.is_none(),
        }
    }

    /// The kernel's types, if there are any.
    pub(crate) fn kernel_types(&self) -> Option<Arc<Btf>> {
        self.verifier_env().vmlinux
    }

    /// Bytes that one map may take.
    pub(super) fn memory_limit(&self) -> u64 {
        self.memory_limit
    }

    /// The program behind an fd.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` where it is something else.
    pub fn program(&self, fd: RawFd) -> Result<Arc<Program>, Errno> {
        self.files().prog(fd as u32)
    }

    /// The map with this id.
    pub(crate) fn map_by_id(&self, id: u32) -> Option<Arc<MapHandle>> {
        self.objects().maps.get(id)
    }

    /// Enters an fd that is none of bpf's, as a process has for its files.
    pub fn open_foreign(&self) -> RawFd {
        self.files().open(Object::Foreign)
    }

    // Each method of the tables leaves them whole, so a panic elsewhere while they were
    // locked does no harm.

    pub(crate) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ids and pins.
    pub(super) fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A quarter of the machine's memory (`MemTotal` of `/proc/meminfo`), or 1 GiB where
/// that cannot be read.
fn quarter_of_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(1 << 30, |kib| kib.saturating_mul(1024) / 4)
}

#[allow(unsafe_code, reason = "numbers of fds are looked up in a table: nothing here trusts one")]
// SAFETY: a number is taken while the table is locked, and is free again once closed.
unsafe impl Kernel for Vm {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn bpf(&self, command: &mut Command<'_>) -> Result<u32, Errno> {
        super::bpf(self, command)
    }

    unsafe fn close(&self, fd: RawFd) {
        self.files().close(fd);
    }

    unsafe fn mmap(
        &self,
        fd: RawFd,
        offset: u64,
        len: usize,
        writable: bool,
    ) -> Result<Mapping, Errno> {
        super::map::mmap(self, fd, offset, len, writable)
    }

    unsafe fn poll(&self, fd: RawFd, timeout: Duration) -> Result<bool, Errno> {
        let object = self.files().get(fd as u32)?.clone();
        if let Object::Event(event) = object {
            return Ok(event.notifier().wait(timeout, || event.available() > 0));
        }
        let map = self.files().map(fd as u32)?;
        let ring = map.map.ring().ok_or(Errno::EINVAL)?;
        Ok(ring.notifier().wait(timeout, || ring.available() > 0))
    }

    #[cfg(target_os = "linux")]
    unsafe fn event(&self, fd: RawFd) -> Result<std::os::fd::OwnedFd, Errno> {
        let map = self.files().map(fd as u32)?;
        let ring = map.map.ring().ok_or(Errno::EINVAL)?;
        let event = ring
            .notifier()
            .event()?
            .try_clone_to_owned()
            .map_err(|error| Errno(error.raw_os_error().unwrap_or(Errno::EMFILE.0)))?;
        // Nothing wakes for what was written before there was an event.
        if ring.available() > 0 {
            ring.notifier().notify();
        }
        Ok(event)
    }

    fn perf_event(&self, cpu: u32, pages: u32) -> Result<RawFd, Errno> {
        if cpu >= self.machine.env.cpus() {
            return Err(Errno::ENODEV);
        }
        let event = PerfEvent::new(cpu, pages, self.memory_limit)?;
        Ok(self.files().open(Object::Event(Arc::new(event))))
    }

    fn possible_cpus(&self) -> u32 {
        self.machine.env.cpus()
    }

    fn host(&self) -> &Host {
        &self.host
    }
}
