//! `cargo xtask calls`: the table of system calls, from the tables in Linux's source.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

const ARCHIVE: &str = "/usr/src/linux-source-6.12.tar.xz";
const SOURCE: &str = "linux-source-6.12";
const FOLDER: &str = "target/parity/calls";
/// The table.
const TABLE: &str = "crates/lang/src/seccomp/arch/calls.txt";

/// How to write it.
#[derive(clap::Args)]
pub struct Options {
    /// Only say whether the table is what it would be
    #[arg(long)]
    check: bool,
}

/// Columns with Linux's table and which ABIs of it count (as `Makefile.syscalls` has them).
const COLUMNS: [(&str, &str, &str); 18] = [
    ("x86", "arch/x86/entry/syscalls/syscall_32.tbl", "i386"),
    ("x86_64", "arch/x86/entry/syscalls/syscall_64.tbl", "common 64"),
    ("x32", "arch/x86/entry/syscalls/syscall_64.tbl", "common x32"),
    ("arm", "arch/arm/tools/syscall.tbl", "common eabi"),
    ("aarch64", "arch/arm64/tools/syscall_64.tbl", "common 64 renameat rlimit memfd_secret"),
    ("loongarch64", "scripts/syscall.tbl", "common 64"),
    ("m68k", "arch/m68k/kernel/syscalls/syscall.tbl", "common"),
    ("mips", "arch/mips/kernel/syscalls/syscall_o32.tbl", "o32"),
    ("mips64", "arch/mips/kernel/syscalls/syscall_n64.tbl", "common n64"),
    ("mips64n32", "arch/mips/kernel/syscalls/syscall_n32.tbl", "n32"),
    ("parisc", "arch/parisc/kernel/syscalls/syscall.tbl", "common 32"),
    ("parisc64", "arch/parisc/kernel/syscalls/syscall.tbl", "common 64"),
    ("ppc", "arch/powerpc/kernel/syscalls/syscall.tbl", "common 32 nospu"),
    ("ppc64", "arch/powerpc/kernel/syscalls/syscall.tbl", "common 64 nospu"),
    ("riscv64", "scripts/syscall.tbl", "common 64 riscv rlimit memfd_secret"),
    ("s390", "arch/s390/kernel/syscalls/syscall.tbl", "common 32"),
    ("s390x", "arch/s390/kernel/syscalls/syscall.tbl", "common 64"),
    ("sh", "arch/sh/kernel/syscalls/syscall.tbl", "common"),
];

/// Calls that came after 6.12, with the same number everywhere.
const NEWER: [(&str, u32); 7] = [
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
];

/// Arm's private calls (`asm/unistd.h`).
const ARM: [(&str, u32); 6] = [
    ("breakpoint", 0xf0001),
    ("cacheflush", 0xf0002),
    ("usr26", 0xf0003),
    ("usr32", 0xf0004),
    ("set_tls", 0xf0005),
    ("get_tls", 0xf0006),
];

/// The release in which calls are first found, from 3.14 on.
const SINCE: [(&str, &str); 38] = [
    ("3.14", "sched_setattr sched_getattr"),
    ("3.15", "renameat2"),
    ("3.17", "seccomp getrandom memfd_create kexec_file_load"),
    ("3.18", "bpf"),
    ("3.19", "execveat"),
    ("4.3", "userfaultfd membarrier"),
    ("4.4", "mlock2"),
    ("4.5", "copy_file_range"),
    ("4.6", "preadv2 pwritev2"),
    ("4.9", "pkey_mprotect pkey_alloc pkey_free"),
    ("4.11", "statx"),
    ("4.18", "io_pgetevents rseq"),
    ("5.1", "pidfd_send_signal io_uring_setup io_uring_enter io_uring_register clock_adjtime64"),
    ("5.1", "clock_gettime64 clock_settime64 timer_gettime64 timer_settime64"),
    ("5.1", "timerfd_gettime64 timerfd_settime64"),
    ("5.2", "open_tree move_mount fsopen fsconfig fsmount fspick"),
    ("5.3", "pidfd_open clone3"),
    ("5.6", "openat2 pidfd_getfd"),
    ("5.8", "faccessat2"),
    ("5.9", "close_range"),
    ("5.10", "process_madvise"),
    ("5.11", "epoll_pwait2"),
    ("5.12", "mount_setattr"),
    ("5.13", "landlock_create_ruleset landlock_add_rule landlock_restrict_self"),
    ("5.14", "quotactl_fd memfd_secret"),
    ("5.15", "process_mrelease"),
    ("5.16", "futex_waitv"),
    ("5.17", "set_mempolicy_home_node"),
    ("6.4", "riscv_hwprobe"),
    ("6.5", "cachestat"),
    ("6.6", "fchmodat2 map_shadow_stack"),
    ("6.7", "futex_wake futex_wait futex_requeue"),
    ("6.8", "statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules"),
    ("6.10", "mseal"),
    ("6.11", "uretprobe"),
    ("6.13", "setxattrat getxattrat listxattrat removexattrat"),
    ("6.15", "open_tree_attr"),
    ("6.17", "file_getattr file_setattr"),
];

/// Writes the table, or checks it. Gives whether it is as it was.
///
/// # Errors
/// Linux's source is missing.
pub fn execute(options: &Options) -> Result<bool> {
    let table = table()?;
    let same = std::fs::read_to_string(TABLE).is_ok_and(|old| old == table);
    match (same, options.check) {
        (true, _) => println!("{TABLE} is what Linux's tables say"),
        (false, true) => println!("{TABLE} is not what Linux's tables say: cargo xtask calls"),
        (false, false) => {
            std::fs::write(TABLE, table)?;
            println!("{TABLE} is written");
        }
    }
    Ok(same || !options.check)
}

fn table() -> Result<String> {
    if !Path::new(ARCHIVE).exists() {
        bail!("{SOURCE} is not installed: apt-get install {SOURCE}");
    }
    std::fs::create_dir_all(FOLDER)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--file", ARCHIVE, "--directory", FOLDER, "--wildcards"]);
    tar.args([format!("{SOURCE}/arch/*.tbl"), format!("{SOURCE}/scripts/syscall.tbl")]);
    if !tar.status().context("tar")?.success() {
        bail!("{ARCHIVE} cannot be unpacked");
    }
    let mut rows: BTreeMap<String, [Option<u32>; COLUMNS.len()]> = BTreeMap::new();
    for (index, (column, path, abis)) in COLUMNS.iter().enumerate() {
        let path = Path::new(FOLDER).join(SOURCE).join(path);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut put = |name: &str, number| {
            rows.entry(name.to_owned()).or_default()[index] = Some(number);
        };
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut fields = line.split_whitespace();
            let (number, abi, name) = (fields.next(), fields.next(), fields.next());
            let (Some(number), Some(abi), Some(name)) = (number, abi, name) else { continue };
            let is_call = !name.starts_with("reserved") && !name.starts_with("unused");
            if is_call && abis.split(' ').any(|of| of == abi) {
                put(name, number.parse()?);
            }
        }
        let private = if *column == "arm" { &ARM[..] } else { &[] };
        NEWER.iter().chain(private).for_each(|(name, number)| put(name, *number));
    }
    let mut since: BTreeMap<&str, &str> = BTreeMap::new();
    for (version, names) in &SINCE {
        since.extend(names.split(' ').map(|name| (name, *version)));
    }
    let mut out = String::from("call since");
    COLUMNS.iter().for_each(|column| out += &format!(" {}", column.0));
    for (name, numbers) in &rows {
        // Those of 64-bit times came together.
        let time = name.ends_with("_time64").then_some("5.1");
        let first = since.get(name.as_str()).copied().or(time).unwrap_or("-");
        let mut line = format!("\n{name} {first}");
        for number in numbers {
            let _ = match number {
                Some(number) => write!(line, " {number}"),
                None => write!(line, " -"),
            };
        }
        while line.ends_with(" -") && line.len() > name.len() + 5 {
            line.truncate(line.len() - 2);
        }
        out += &line;
    }
    Ok(out + "\n")
}
