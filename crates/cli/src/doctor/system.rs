//! What the machine says about itself in `/proc` and `/sys`, and which tools there are.

use std::fs;
use std::path::Path;

use skep::btf::Btf;
use skep::sys::{Host, possible_cpus};

use super::probe::{self, Permission};
use super::{Check, State};

/// Kernel, JIT, types.
pub fn machine() -> Vec<Check> {
    let mut checks = vec![Check::new(
        "embedded kernel",
        State::Ok,
        format!("{}, {} vCPUs, no permission needed", engines(), possible_cpus()),
    )];
    checks.push(match Host::default().release() {
        Some(release) => Check::new("linux", State::Info, release),
        None => Check::new("linux", State::Missing, "this is no Linux")
            .advice("--kernel linux needs a Linux; the embedded kernel does not"),
    });
    checks.push(match sysctl("net/core/bpf_jit_enable").as_deref() {
        Some("0") => Check::new("jit", State::Missing, "off: programs are interpreted")
            .advice("sysctl net.core.bpf_jit_enable=1"),
        Some(_) => Check::new("jit", State::Ok, jit()),
        None => Check::new("jit", State::Info, "cannot be read"),
    });
    checks.push(kernel_types());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = |kind: &str| {
        let fields = |line: &str| {
            let mut fields = line.split(' ');
            (fields.nth(1).map(str::to_owned), fields.next() == Some(kind))
        };
        mounts.lines().map(fields).find_map(|(path, is)| path.filter(|_| is))
    };
    checks.push(match mounted("bpf") {
        Some(path) => Check::new("bpf file system", State::Ok, path),
        None => Check::new("bpf file system", State::Missing, "not mounted: nothing can be pinned")
            .advice("mount -t bpf bpf /sys/fs/bpf"),
    });
    checks.push(tracefs(mounted("tracefs")));
    checks
}

/// The engines of the embedded kernel: whether its compiler makes code for this machine.
fn engines() -> String {
    let arch = std::env::consts::ARCH;
    let insns = skep::isa::assemble("r0 = 0\nexit").unwrap_or_default();
    match skep::vm::jit::compile(&insns, skep::vm::jit::Passes::ALL) {
        Ok(_) => format!("compiler for {arch} and interpreter"),
        Err(_) => format!("interpreter, no compiler for {arch}"),
    }
}

/// The file system by which `bpf_printk` is read.
fn tracefs(mounted: Option<String>) -> Check {
    const NAME: &str = "tracefs";
    #[cfg(target_os = "linux")]
    let listens = crate::run::trace::Trace::new().map(drop);
    #[cfg(not(target_os = "linux"))]
    let listens = Err(std::io::Error::from(std::io::ErrorKind::Unsupported));
    match (mounted, listens) {
        (Some(path), Ok(())) => Check::new(NAME, State::Ok, path),
        (None, Ok(())) => {
            Check::new(NAME, State::Ok, "not mounted; skep run mounts one for itself")
        }
        (_, Err(error)) => {
            let what = format!("bpf_printk of --kernel linux cannot be read: {error}");
            Check::new(NAME, State::Missing, what)
                .advice("run as root (CAP_SYS_ADMIN), with a kernel that has CONFIG_BPF_EVENTS=y")
        }
    }
}

fn jit() -> String {
    match sysctl("net/core/bpf_jit_harden").as_deref() {
        None | Some("0") => "on".into(),
        Some("1") => "on, constants blinded for the unprivileged".into(),
        Some(_) => "on, constants blinded for everyone".into(),
    }
}

fn kernel_types() -> Check {
    const NAME: &str = "kernel BTF";
    let Some(bytes) = Host::default().vmlinux_btf() else {
        return Check::new(NAME, State::Missing, "no /sys/kernel/btf/vmlinux")
            .advice("a kernel with CONFIG_DEBUG_INFO_BTF=y, or give a file: --btf FILE");
    };
    match Btf::parse(bytes.to_vec()) {
        Ok(btf) => {
            let size = bytes.len() / 1024;
            Check::new(NAME, State::Ok, format!("{} types, {size} KiB", btf.len()))
        }
        Err(error) => Check::new(NAME, State::Missing, format!("/sys/kernel/btf/vmlinux: {error}")),
    }
}

/// A file of `/proc/sys`, trimmed.
fn sysctl(name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
    Some(text.trim().to_owned())
}

/// The capabilities that `bpf(2)` asks for, with their numbers.
const CAPABILITIES: [(u32, &str, &str); 4] = [
    (39, "CAP_BPF", "maps and programs"),
    (38, "CAP_PERFMON", "tracing, pointer arithmetic"),
    (12, "CAP_NET_ADMIN", "XDP and tc programs"),
    (21, "CAP_SYS_ADMIN", "ids, iterators"),
];

/// Whether a set of capabilities has the one of this number; `None` where the set
/// cannot be read.
fn effective() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Which of the capabilities is missing, for messages: `CAP_BPF, CAP_NET_ADMIN`.
pub fn missing_capabilities() -> Vec<&'static str> {
    let set = effective().unwrap_or(0);
    let admin = set >> 21 & 1 == 1;
    let lacks = |number: u32| set >> number & 1 == 0 && !admin;
    CAPABILITIES[..3].iter().filter(|row| lacks(row.0)).map(|row| row.1).collect()
}

/// Who may call `bpf(2)`, and whether we may.
pub fn permission() -> Vec<Check> {
    const ROOT: &str =
        "run as root, or grant them: setcap cap_bpf,cap_perfmon,cap_net_admin+ep skep";
    let mut checks = vec![match probe::permission() {
        Permission::Allowed => Check::new("bpf(2)", State::Ok, "allowed"),
        Permission::Denied => {
            Check::new("bpf(2)", State::Missing, "not permitted (EPERM)").advice(ROOT)
        }
        Permission::Absent => Check::new("bpf(2)", State::Missing, "no such system call (ENOSYS)")
            .advice("a kernel with CONFIG_BPF_SYSCALL=y, or a sandbox that lets bpf(2) pass"),
        Permission::Failed(errno) => {
            Check::new("bpf(2)", State::Missing, format!("fails: {errno}"))
        }
    }];
    checks.push(match sysctl("kernel/unprivileged_bpf_disabled").as_deref() {
        Some("0") => Check::new("unprivileged bpf", State::Info, "allowed (0)"),
        Some("1") => Check::new("unprivileged bpf", State::Info, "disabled until reboot (1)"),
        Some(other) => Check::new("unprivileged bpf", State::Info, format!("disabled ({other})")),
        None => Check::new("unprivileged bpf", State::Info, "cannot be read"),
    });
    let set = effective();
    for (number, name, purpose) in CAPABILITIES {
        checks.push(match set {
            Some(set) if set >> number & 1 == 1 => Check::new(name, State::Ok, purpose),
            Some(_) => Check::new(name, State::Missing, purpose).advice(ROOT),
            None => Check::new(name, State::Info, "cannot be read"),
        });
    }
    checks
}

/// Tools, what they are for, and Debian's package.
const TOOLS: [(&[&str], &str, &str); 6] = [
    (&["clang", "clang-19"], "compiles C to objects", "clang"),
    (&["bpf-gcc", "bpf-unknown-none-gcc"], "compiles C to objects", "gcc-bpf"),
    (&["llvm-objdump", "llvm-objdump-19"], "disassembles", "llvm"),
    (&["bpftool"], "looks into the kernel", "bpftool"),
    (&["tcpdump"], "records captures", "tcpdump"),
    (&["ip"], "attaches XDP programs", "iproute2"),
];

/// Which tools are on the path.
pub fn tools() -> Vec<Check> {
    let tool = |(names, purpose, package): &(&[&str], &str, &str)| {
        let found = names.iter().find_map(|name| on_path(name));
        match found {
            Some(path) => Check::new(names[0], State::Ok, format!("{path}, {purpose}")),
            None => Check::new(names[0], State::Missing, *purpose)
                .advice(format!("apt-get install {package}")),
        }
    };
    TOOLS.iter().map(tool).collect()
}

fn on_path(name: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    // Administrators' tools are there even where PATH does not say so.
    let extra = ["/usr/sbin".into(), "/sbin".into()];
    let mut folders = std::env::split_paths(&path).chain(extra);
    let found = folders.find_map(|folder| {
        let file = folder.join(name);
        file.is_file().then_some(file)
    })?;
    Some(found.display().to_string())
}
