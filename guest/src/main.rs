//! The first process of a guest: mounts what programs expect, loads modules, runs one
//! command, says on the console how it ended, and turns the machine off.
//!
//! What `cargo xtask guest` puts beside it: `/command`, the words of the command with a zero
//! after each; `/modules`, whose files are loaded in the order of their names.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{CStr, OsStr};
    use std::fs::{self, File};
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use anyhow::{Context, Result, bail};
    use rustix::mount::{MountFlags, mount};
    use rustix::system::{RebootCommand, reboot};

    /// What is mounted: a type of file system, and where. The kernel may lack some.
    const MOUNTS: [(&str, &str); 9] = [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/run"),
        ("tracefs", "/sys/kernel/tracing"),
        ("debugfs", "/sys/kernel/debug"),
        ("bpf", "/sys/fs/bpf"),
        ("cgroup2", "/sys/fs/cgroup"),
    ];

    /// A module's file may be compressed (`MODULE_INIT_COMPRESSED_FILE`).
    const COMPRESSED: i32 = 4;

    pub fn main() {
        let ended = match run() {
            Ok(status) => status,
            Err(error) => {
                println!("guest-init: {error:#}");
                127
            }
        };
        // The line that the host looks for; what stands before it may lack an end.
        println!("\nguest: exit status {ended}");
        let _ = std::io::stdout().flush();
        rustix::fs::sync();
        let _ = reboot(RebootCommand::PowerOff);
    }

    /// The command's exit status, as a shell has it.
    fn run() -> Result<i32> {
        for (kind, place) in MOUNTS {
            let _ = fs::create_dir_all(place);
            let _ = mount(kind, place, kind, MountFlags::empty(), None::<&CStr>);
        }
        modules()?;
        let text = fs::read("/command").context("/command")?;
        let mut words = text.split(|&byte| byte == 0).filter(|word| !word.is_empty());
        let Some(program) = words.next() else { bail!("/command names none") };
        let status = Command::new(OsStr::from_bytes(program))
            .args(words.map(OsStr::from_bytes))
            .env_clear()
            .envs([("PATH", "/bin:/sbin:/usr/bin:/usr/sbin"), ("HOME", "/tmp"), ("TERM", "dumb")])
            .status()
            .with_context(|| String::from_utf8_lossy(program).into_owned())?;
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    }

    fn modules() -> Result<()> {
        let Ok(entries) = fs::read_dir("/modules") else { return Ok(()) };
        let mut files: Vec<_> =
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        files.sort();
        for path in files {
            let file = File::open(&path)?;
            let flags = match path.extension() {
                Some(kind) if kind != "ko" => COMPRESSED,
                _ => 0,
            };
            rustix::system::finit_module(&file, c"", flags)
                .with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}
