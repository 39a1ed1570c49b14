//! What relocation needs to know of the machine that a program is for: the kernel's
//! types, configuration, symbols and version. Each is looked up when it is first
//! asked for, so that an object which asks for nothing costs nothing.

use std::sync::{Arc, OnceLock};

use skep_abi::{AttachType, Errno, SectionTarget};
use skep_btf::{Btf, Kind as TypeKind};
use skep_sys::{Host, Kernel, KernelTypes};

use crate::kconfig::{self, Kconfig};
use crate::object::ProgramDef;

/// The machine that programs are relocated for.
#[derive(Debug, Default)]
pub struct Target {
    host: Host,
    /// Stands in for the kernel's types in CO-RE.
    core: Option<Arc<Btf>>,
    /// Configuration that goes before the machine's own.
    kconfig: String,
    kernel: OnceLock<Result<Arc<Btf>, String>>,
    config: OnceLock<Option<String>>,
    kallsyms: OnceLock<String>,
}

impl Target {
    /// The machine that `kernel` runs on.
    pub fn of(kernel: &dyn Kernel) -> Target {
        Target::new(kernel.host().clone())
    }

    /// The machine that these files describe.
    pub fn new(host: Host) -> Target {
        Target { host, ..Target::default() }
    }

    /// Resolves CO-RE records against other types than the kernel's own.
    pub fn with_core_btf(mut self, btf: Arc<Btf>) -> Target {
        self.core = Some(btf);
        self
    }

    /// Takes these for the kernel's types, as they are: they may be
    /// [watched](Btf::watched).
    pub fn with_kernel_btf(mut self, btf: Arc<Btf>) -> Target {
        self.kernel = OnceLock::from(Ok(btf));
        self
    }

    /// Prefers these lines (`CONFIG_BPF=y`) to the machine's own configuration.
    pub fn with_kconfig(mut self, lines: impl Into<String>) -> Target {
        self.kconfig = lines.into();
        self
    }

    /// The kernel's types.
    ///
    /// # Errors
    /// Why there are none, in a line.
    pub fn kernel_btf(&self) -> Result<&Arc<Btf>, String> {
        let read = || {
            let bytes = self.host.vmlinux_btf().ok_or("/sys/kernel/btf/vmlinux cannot be read")?;
            let btf = match bytes {
                KernelTypes::Own(bytes) => Btf::of_kernel(bytes),
                KernelTypes::Given(bytes) => Btf::parse(&*bytes),
            };
            btf.map(Arc::new).map_err(|error| format!("the kernel's: {error}"))
        };
        self.kernel.get_or_init(read).as_ref().map_err(Clone::clone)
    }

    /// The types that CO-RE records are resolved against.
    pub(crate) fn core_btf(&self) -> Result<&Arc<Btf>, String> {
        match &self.core {
            Some(btf) => Ok(btf),
            None => self.kernel_btf(),
        }
    }

    /// A value of the kernel's configuration (`y`, `250`), where it is set and can be read.
    pub fn config(&self, name: &str) -> Option<String> {
        self.kconfig().find(name).map(str::to_owned)
    }

    /// The configuration: what was given, and then the machine's.
    pub(crate) fn kconfig(&self) -> Kconfig<'_> {
        let machine = self.config.get_or_init(|| kconfig::text(&self.host.config()?));
        Kconfig::new(&self.kconfig, machine.as_deref())
    }

    /// The kernel's symbols, a line each: address, kind, name. Empty where it tells none.
    pub(crate) fn kallsyms(&self) -> &str {
        self.kallsyms.get_or_init(|| self.host.kallsyms().unwrap_or_default())
    }

    /// The kernel's version as `LINUX_VERSION_CODE` has it.
    pub fn kernel_version(&self) -> Option<u32> {
        let release = self.host.release()?;
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        let mut next = || numbers.next()?.ok();
        let (major, minor, patch) = (next()?, next()?, next().unwrap_or(0));
        Some((major & 0xffff) << 16 | (minor & 0xff) << 8 | patch.min(255))
    }

    /// Whether programs can ask for their cookie: since 5.15.
    pub(crate) fn has_bpf_cookie(&self) -> bool {
        self.kernel_version().is_none_or(|version| version >= 0x5_0f00)
    }

    /// Whether system calls are functions with their registers as only argument.
    pub(crate) fn has_syscall_wrapper(&self) -> bool {
        let name = match std::env::consts::ARCH {
            "x86_64" => "__x64_sys_bpf",
            "aarch64" => "__arm64_sys_bpf",
            "riscv64" => "__riscv_sys_bpf",
            _ => return false,
        };
        self.kallsyms().lines().any(|line| line.split_ascii_whitespace().nth(2) == Some(name))
    }

    /// The BTF id of the kernel function or type that a program attaches to by its
    /// section's name; `None` for programs that attach to none.
    ///
    /// # Errors
    /// Why it cannot be found.
    pub fn attach_btf_id(&self, program: &ProgramDef) -> Result<Option<u32>, AttachError> {
        let by_btf = |def: &skep_abi::SectionDef| def.target == SectionTarget::Btf;
        let (Some(_), Some(attach_type)) =
            (program.section_def.filter(|def| by_btf(def)), program.attach_type)
        else {
            return Ok(None);
        };
        let Some(name) = &program.target else {
            return Err(AttachError::NoName { section: program.section.clone() });
        };
        let (prefix, kind) = match attach_type {
            AttachType::TraceRawTp => ("btf_trace_", TypeKind::Typedef),
            AttachType::LsmMac | AttachType::LsmCgroup => ("bpf_lsm_", TypeKind::Func),
            AttachType::TraceIter => ("bpf_iter_", TypeKind::Func),
            _ => ("", TypeKind::Func),
        };
        let plain = name.strip_prefix("vmlinux:").unwrap_or(name);
        let btf = self.kernel_btf().map_err(AttachError::NoTypes)?;
        let full = format!("{prefix}{plain}");
        match btf.find(&full, kind) {
            Some(id) => Ok(Some(id)),
            None => Err(AttachError::Missing { kind, full, name: name.clone() }),
        }
    }
}

/// Why what a program attaches to cannot be found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AttachError {
    /// The section's name ends before it says.
    #[error("section {section:?} does not say what to attach to")]
    NoName {
        /// The section.
        section: String,
    },
    /// The kernel's types are missing.
    #[error("{0}")]
    NoTypes(String),
    /// The kernel has no such function, tracepoint or hook.
    #[error("the kernel has no {kind} {full:?} in its BTF")]
    Missing {
        /// What it would be in the BTF.
        kind: TypeKind,
        /// What it would be called there.
        full: String,
        /// What the section calls it.
        name: String,
    },
}

impl AttachError {
    /// What libbpf gives up with; `None` where that depends on what is missing.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            AttachError::NoName { .. } => Some(Errno::EINVAL),
            AttachError::NoTypes(_) => None,
            AttachError::Missing { .. } => Some(Errno::ESRCH),
        }
    }
}
