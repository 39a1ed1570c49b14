//! `cargo xtask guest`: a command under another kernel, in a guest that this machine
//! emulates: Debian's 6.12 has kprobes, trampolines and LSM, which a container's may lack.
//!
//! The guest's files are what the command needs and no more: skep, built static, the shell and
//! `ip` with their libraries, and what is named. Its first process is `skep-guest`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cpio::NewcBuilder;
use cpio::newc::trailer;

use crate::cargo::{cargo, target};

/// What a guest needs of Debian, and what for.
const PACKAGES: &str = "qemu-system-x86 (emulates it)";

/// Modules that networks are made of, each after those that it needs.
const MODULES: [&str; 3] = ["drivers/net/veth", "drivers/net/tun", "drivers/net/dummy"];

/// Programs of this machine that scripts in the guest use.
const PROGRAMS: [&str; 5] = ["/bin/sh", "/sbin/ip", "/bin/sleep", "/bin/cat", "/bin/ls"];

/// The target that is built for: naming it keeps flags from build scripts and macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What to run, and where.
#[derive(clap::Args)]
pub struct Options {
    /// The kernel: a version of Debian's cloud images, of which the latest is taken
    #[arg(long, default_value = "6.12", value_name = "VERSION")]
    kernel: String,
    /// The guest's memory, in MiB
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    memory: u32,
    /// Ends the guest after so many seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    time: u64,
    /// Files or folders of this machine that the guest has at the same place; programs bring
    /// their libraries
    #[arg(long, value_name = "PATH")]
    with: Vec<PathBuf>,
    /// Build a test of a package (`skep-load:attach`) static, and run that, with the package's
    /// folder of tests; the words behind `--` are its arguments
    #[arg(long, value_name = "PACKAGE:TEST")]
    test: Option<String>,
    /// The command, its first word a path in the guest: `skep`, `sh`, ...
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs it. Gives whether it ended well.
///
/// # Errors
/// The guest cannot be made, or does not say how its command ended.
pub fn execute(options: &Options) -> Result<bool> {
    let mut files = Files::default();
    let built = build(options.test.as_deref())?;
    files.add(Path::new("/init"), &built.init)?;
    files.add(Path::new("/bin/skep"), &built.skep)?;
    let mut command = options.command.clone();
    if let Some(test) = &built.test {
        files.add(Path::new("/bin/test"), &test.program)?;
        files.with(&test.folder)?;
        command.insert(0, "/bin/test".into());
    }
    if command.is_empty() {
        bail!("no command: cargo xtask guest -- skep doctor");
    }
    let kernel = kernel(&options.kernel)?;
    for (number, module) in MODULES.iter().enumerate() {
        let from = kernel.modules.join("kernel").join(format!("{module}.ko.xz"));
        if from.exists() {
            files.add(Path::new(&format!("/modules/{number}.ko.xz")), &from)?;
        }
    }
    for program in PROGRAMS.iter().map(Path::new).filter(|program| program.exists()) {
        files.with(program)?;
    }
    for path in &options.with {
        files.with(path)?;
    }
    let words: Vec<u8> = command.iter().flat_map(|word| [word.as_bytes(), &[0]].concat()).collect();
    let image = target().join("guest/files.cpio");
    files.write(&image, &words)?;
    run(&kernel.image, &image, options)
}

/// What was built static.
struct Built {
    init: PathBuf,
    skep: PathBuf,
    test: Option<Test>,
}

struct Test {
    program: PathBuf,
    /// The package's tests: what they read is at the same place in the guest.
    folder: PathBuf,
}

fn build(test: Option<&str>) -> Result<Built> {
    let folder = target().join("static");
    let flags = "-Ctarget-feature=+crt-static -Cstrip=debuginfo";
    let make = |arguments: &[&str]| {
        let mut make = cargo();
        make.args(arguments).args(["--quiet", "--target", TARGET]);
        make.env("CARGO_TARGET_DIR", &folder).env("RUSTFLAGS", flags);
        make
    };
    let packages = ["--package", "skep-cli", "--package", "skep-guest"];
    let status = make(&["build", "--bin", "skep", "--bin", "guest-init"])
        .args(packages)
        .status()
        .context("cargo build")?;
    if !status.success() {
        bail!("skep does not build static");
    }
    let programs = folder.join(TARGET).join("debug");
    let test = match test {
        Some(name) => {
            let Some((package, test)) = name.split_once(':') else {
                bail!("{name}: expected PACKAGE:TEST, for example skep-load:attach");
            };
            let output = make(&["test", "--no-run", "--message-format=json"])
                .args(["--package", package, "--test", test])
                .stderr(Stdio::inherit())
                .output()
                .context("cargo test")?;
            Some(made_test(&output.stdout).with_context(|| format!("{name} does not build"))?)
        }
        None => None,
    };
    Ok(Built { init: programs.join("guest-init"), skep: programs.join("skep"), test })
}

/// The test that cargo says it made.
fn made_test(messages: &[u8]) -> Result<Test> {
    for line in messages.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let message: serde_json::Value = serde_json::from_slice(line)?;
        if let Some(program) = message["executable"].as_str()
            && message["target"]["kind"][0] == "test"
        {
            let manifest = message["manifest_path"].as_str().unwrap_or_default();
            let package = Path::new(manifest).parent().unwrap_or(Path::new("/"));
            return Ok(Test { program: program.into(), folder: package.join("tests") });
        }
    }
    bail!("cargo names no program")
}

/// A kernel of Debian's.
struct Guest {
    image: PathBuf,
    modules: PathBuf,
}

/// Fetches the latest package of a version, once, and unpacks it.
fn kernel(version: &str) -> Result<Guest> {
    let folder = target().join("guest").join(version);
    if !folder.join("boot").exists() {
        std::fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        let package = package(version)?;
        println!("Fetching {package}.");
        let fetched = Command::new("apt-get")
            .args(["download", "-qq", &package])
            .current_dir(&folder)
            .status()
            .context("apt-get")?;
        let archive = std::fs::read_dir(&folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|kind| kind == "deb"));
        let Some(archive) = archive.filter(|_| fetched.success()) else {
            bail!("{package} cannot be fetched: apt-get update");
        };
        let unpacked = Command::new("dpkg").arg("-x").arg(&archive).arg(&folder).status()?;
        std::fs::remove_file(&archive)?;
        if !unpacked.success() {
            bail!("{} cannot be unpacked", archive.display());
        }
    }
    let only = |folder: &Path, starts: &str| -> Result<PathBuf> {
        let mut entries = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        let named = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(starts))
        };
        entries.find(named).with_context(|| format!("{} has no {starts}", folder.display()))
    };
    Ok(Guest {
        image: only(&folder.join("boot"), "vmlinuz-")?,
        modules: only(&folder.join("lib/modules"), version)?,
    })
}

/// The name of the latest cloud kernel of a version.
fn package(version: &str) -> Result<String> {
    let pattern = format!("^linux-image-{}.*cloud-amd64-unsigned$", version.replace('.', "\\."));
    let found = Command::new("apt-cache")
        .args(["search", "--names-only", &pattern])
        .output()
        .context("apt-cache")?;
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    // Numbers by their value: 6.12.9 is before 6.12.10.
    names.sort_by_key(|name| {
        name.split(|mark: char| !mark.is_ascii_digit())
            .filter_map(|part| part.parse::<u64>().ok())
            .collect::<Vec<_>>()
    });
    let latest = names
        .last()
        .with_context(|| format!("there is no cloud kernel {version} here: apt-get update"))?;
    Ok((*latest).to_owned())
}

/// The guest's files: where they are there, and here.
#[derive(Default)]
struct Files {
    all: Vec<(PathBuf, PathBuf)>,
    named: BTreeSet<PathBuf>,
}

impl Files {
    fn add(&mut self, there: &Path, here: &Path) -> Result<()> {
        if !here.exists() {
            bail!("{}: no such file", here.display());
        }
        if self.named.insert(there.to_owned()) {
            self.all.push((there.to_owned(), here.to_owned()));
        }
        Ok(())
    }

    /// A file or folder at the same place, with the libraries of programs.
    fn with(&mut self, path: &Path) -> Result<()> {
        let path = std::path::absolute(path)?;
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                self.with(&entry?.path())?;
            }
            return Ok(());
        }
        self.add(&path, &path)?;
        let is_program = std::fs::metadata(&path)?.permissions().mode() & 0o111 != 0;
        if is_program {
            let listed = Command::new("ldd").arg(&path).stderr(Stdio::null()).output()?;
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
                self.add(Path::new(library), Path::new(library))?;
            }
        }
        Ok(())
    }

    /// Writes them as the kernel unpacks them, and the command.
    fn write(&self, image: &Path, command: &[u8]) -> Result<()> {
        const FOLDER: u32 = 0o040_755;
        const FILE: u32 = 0o100_755;
        let mut out = std::io::BufWriter::new(std::fs::File::create(image)?);
        let (mut folders, mut number) = (BTreeSet::new(), 0);
        let mut entry = |out: &mut dyn Write, name: &Path, mode: u32, bytes: &[u8]| -> Result<()> {
            number += 1;
            let name = name.strip_prefix("/")?.to_string_lossy().into_owned();
            let entry = NewcBuilder::new(&name).ino(number).mode(mode).nlink(1);
            let mut entry = entry.write(out, u32::try_from(bytes.len())?);
            entry.write_all(bytes)?;
            entry.finish()?;
            Ok(())
        };
        for (there, here) in &self.all {
            let mut above: Vec<&Path> = there.ancestors().skip(1).collect();
            above.reverse();
            for folder in above.into_iter().skip(1) {
                if folders.insert(folder.to_owned()) {
                    entry(&mut out, folder, FOLDER, &[])?;
                }
            }
            let bytes = std::fs::read(here).with_context(|| here.display().to_string())?;
            entry(&mut out, there, FILE, &bytes)?;
        }
        entry(&mut out, Path::new("/command"), FILE, command)?;
        trailer(&mut out)?;
        out.flush()?;
        Ok(())
    }
}

/// Starts the guest, shows what it prints, and gives whether its command ended well.
fn run(kernel: &Path, files: &Path, options: &Options) -> Result<bool> {
    const EMULATOR: &str = "qemu-system-x86_64";
    let mut guest = Command::new(EMULATOR)
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-no-reboot"])
        .args(["-nodefaults", "-display", "none", "-serial", "stdio", "-monitor", "none"])
        .args(["-m", &options.memory.to_string(), "-append", "console=ttyS0 quiet panic=-1"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(files)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{EMULATOR}: apt-get install {PACKAGES}"))?;
    let out = guest.stdout.take().context("its output")?;
    let (send, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if send.send(text).is_err() {
                return;
            }
        }
    });
    let until = Instant::now() + Duration::from_secs(options.time);
    let mut status = None;
    let timely = loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => match line.strip_prefix("guest: exit status ") {
                Some(number) => status = number.parse::<i32>().ok(),
                None => println!("{line}"),
            },
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break true,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => break false,
        }
    };
    if !timely {
        guest.kill()?;
    }
    guest.wait()?;
    drop(reader.join());
    match status {
        Some(0) => Ok(true),
        Some(number) => {
            println!("the command's exit status was {number}");
            Ok(false)
        }
        None if timely => bail!("the guest ended without its command's status"),
        None => bail!("the guest was ended after {} s", options.time),
    }
}
