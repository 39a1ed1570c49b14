//! The Debian packages that the tests need, and what for. Installs what is missing
//! where it may, else says what to do.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// A package and what it is for.
pub struct Package {
    /// Its name in Debian 12 and 13.
    pub name: &'static str,
    /// What the tests do with it.
    pub reason: &'static str,
}

const fn package(name: &'static str, reason: &'static str) -> Package {
    Package { name, reason }
}

/// What the tests compare with and build with.
pub const NEEDED: [Package; 22] = [
    package("gcc", "links Rust programs and builds libbpf, the loader's judge"),
    package("g++", "builds libFuzzer"),
    package("make", "builds libbpf"),
    package("pkg-config", "finds libelf for libbpf"),
    package("libelf-dev", "libbpf reads objects with it"),
    package("zlib1g-dev", "libelf needs it"),
    package("libbpf-dev", "headers of the example programs"),
    package("clang-19", "rebuilds the example programs"),
    package("llvm-19", "its disassembler judges ours"),
    package("lld-19", "links what runs code of other machines"),
    package("qemu-user", "runs code of other machines"),
    package("bpftool", "its dumps of types judge ours"),
    package("tcpdump", "its filters and captures judge ours"),
    package("iproute2", "makes the interfaces that packets are captured from"),
    package("z3", "proves the verifier's scalar domain"),
    package("libxdp1", "its XDP objects are run and relocated"),
    package("xdp-tools", "its objects are relocated"),
    package("libbpf-tools", "its objects are relocated"),
    package("linux-source-6.12", "its BPF selftests judge the verifier"),
    package("xz-utils", "unpacks them"),
    package("seccomp", "its numbers of system calls judge ours"),
    package("golang-github-containers-common", "its container profile is compiled and proved"),
];

/// Packages that may be missing from a distribution without harm.
pub const WANTED: [Package; 1] = [package("gcc-bpf", "builds an example a second time")];

/// Whether dpkg knows a package as installed.
fn installed(name: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", name])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

/// Installs what is missing. Gives the names of those that still are.
///
/// # Errors
/// A package manager that cannot be started.
pub fn install() -> Result<Vec<&'static str>> {
    let missing: Vec<&Package> =
        NEEDED.iter().chain(&WANTED).filter(|package| !installed(package.name)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    println!("The tests need Debian packages that are not installed:");
    for package in &missing {
        println!("  {:14} {}", package.name, package.reason);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    match apt_get() {
        Some(apt_get) => {
            println!("Installing them with {}.", apt_get.join(" "));
            apt(&apt_get, &["update", "-qq"])?;
            // One by one where all at once fails: a name may be unknown here.
            let mut all = vec!["install", "--yes", "-qq", "--no-install-recommends"];
            all.extend(&names);
            if !apt(&apt_get, &all)? {
                for name in &names {
                    apt(&apt_get, &["install", "--yes", "-qq", "--no-install-recommends", name])?;
                }
            }
        }
        None => {
            println!("As root: apt-get install {}", names.join(" "));
            println!("Without them the tests that need them are skipped.");
        }
    }
    Ok(names.into_iter().filter(|name| !installed(name)).collect())
}

/// How to call apt-get as root, if at all.
fn apt_get() -> Option<Vec<&'static str>> {
    let succeeds = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !succeeds("apt-get", &["--version"]) {
        return None;
    }
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() == b"0" {
        return Some(vec!["apt-get"]);
    }
    succeeds("sudo", &["-n", "true"]).then(|| vec!["sudo", "-n", "apt-get"])
}

fn apt(apt_get: &[&str], arguments: &[&str]) -> Result<bool> {
    let status = Command::new(apt_get[0])
        .args(&apt_get[1..])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("apt-get")?;
    Ok(status.success())
}
