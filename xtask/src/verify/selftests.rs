//! Corpus A: the BPF selftests in Debian's copy of Linux's source, built with clang
//! against the types of the running kernel. Sources and objects are kept in
//! `target/parity/selftests`; what is there is not built again.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use skep_abi::flags::prog;
use skep_btf::{Btf, Type};

use crate::packages;

const PACKAGE: &str = "linux-source-6.12";
const ARCHIVE: &str = "/usr/src/linux-source-6.12.tar.xz";
const FOLDER: &str = "target/parity/selftests";
/// What of the source is needed.
const PARTS: [&str; 3] = ["tools/testing/selftests/bpf", "tools/include", "tools/lib/bpf"];
/// Headers of libbpf that programs include.
const HEADERS: [&str; 5] =
    ["bpf_helpers.h", "bpf_core_read.h", "bpf_endian.h", "bpf_tracing.h", "usdt.bpf.h"];
/// Generated in a build of libbpf; Debian has it in libbpf-dev.
const GENERATED: &str = "/usr/include/bpf/bpf_helper_defs.h";

/// The objects of the sources whose names `wanted` takes, built if they are not there.
///
/// # Errors
/// The package or clang-19 is missing.
pub fn objects(vmlinux: &Btf, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let source = unpack()?;
    prepare(&source, vmlinux)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(source.join(PARTS[0]).join("progs"))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        names.extend(file.strip_suffix(".c").filter(|name| wanted(name)).map(str::to_owned));
    }
    names.sort();
    build(&source, &names)?;
    let built = |name: &String| Path::new(FOLDER).join(format!("{name}.bpf.o"));
    Ok(names.iter().map(built).filter(|path| path.exists()).collect())
}

/// The names of the sources that have this text.
///
/// # Errors
/// The package is missing.
pub fn saying(text: &str) -> Result<Vec<String>> {
    let folder = unpack()?.join(PARTS[0]).join("progs");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(name) = name.strip_suffix(".c") else { continue };
        let source = fs::read(&path)?;
        if source.windows(text.len()).any(|part| part == text.as_bytes()) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The source's folder, unpacked when it is first needed.
fn unpack() -> Result<PathBuf> {
    let source = Path::new(FOLDER).join(PACKAGE);
    let complete = Path::new(FOLDER).join("unpacked");
    if complete.exists() {
        return Ok(source);
    }
    if !Path::new(ARCHIVE).exists() && packages::install()?.contains(&PACKAGE) {
        bail!("{PACKAGE} is not installed: apt-get install {PACKAGE}");
    }
    println!("Unpacking {ARCHIVE}.");
    fs::create_dir_all(FOLDER)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--file", ARCHIVE, "--directory", FOLDER]);
    tar.args(PARTS.map(|part| format!("{PACKAGE}/{part}")));
    if !tar.status().context("tar")?.success() {
        bail!("{ARCHIVE} cannot be unpacked");
    }
    fs::write(complete, "")?;
    Ok(source)
}

/// Puts generated headers in place.
fn prepare(source: &Path, vmlinux: &Btf) -> Result<()> {
    let folder = Path::new(FOLDER);
    let header = folder.join("vmlinux.h");
    if !header.exists() {
        let mut out = BufWriter::new(File::create(&header)?);
        skep_btf::c::write_header(vmlinux, &mut out)?;
    }
    let include = folder.join("include/bpf");
    fs::create_dir_all(&include)?;
    for name in HEADERS {
        fs::copy(source.join(PARTS[2]).join(name), include.join(name)).context(name)?;
    }
    fs::copy(GENERATED, include.join("bpf_helper_defs.h")).context(GENERATED)?;
    Ok(())
}

/// Builds what is not there yet, on all cores.
fn build(source: &Path, names: &[String]) -> Result<()> {
    let folder = Path::new(FOLDER);
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !folder.join(format!("{name}.bpf.o")).exists())
        .filter(|name| !folder.join(format!("{name}.failed")).exists())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("Building {} of {} selftests.", missing.len(), names.len());
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(name) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !compile(source, name).context("clang-19")? {
                println!("  {name}.c does not compile");
                fs::write(folder.join(format!("{name}.failed")), "")?;
            }
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
    })
}

fn compile(source: &Path, name: &str) -> Result<bool> {
    let folder = Path::new(FOLDER);
    let tests = source.join(PARTS[0]);
    let (object, partial) =
        (folder.join(format!("{name}.bpf.o")), folder.join(format!("{name}.partial")));
    let status = Command::new("clang-19")
        .args(["-g", "-w", "-O2", "--target=bpf", "-mcpu=v3", "-mlittle-endian"])
        .args(["-D__TARGET_ARCH_x86", "-DBPF_NO_KFUNC_PROTOTYPES", "-DENABLE_ATOMICS_TESTS"])
        .arg("-I")
        .arg(folder)
        .arg("-I")
        .arg(&tests)
        .arg("-I")
        .arg(source.join("tools/include/uapi"))
        .arg("-I")
        .arg(folder.join("include"))
        .args(["-idirafter", "/usr/lib/llvm-19/lib/clang/19/include"])
        .args(["-idirafter", "/usr/include/x86_64-linux-gnu", "-idirafter", "/usr/include"])
        .arg("-c")
        .arg(tests.join("progs").join(format!("{name}.c")))
        .arg("-o")
        .arg(&partial)
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        fs::rename(partial, object)?;
    }
    Ok(status.success())
}

/// What a selftest's decl tags say of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotation {
    /// Whether it is expected to load.
    pub success: Option<bool>,
    /// What it is expected to return, as the source has it.
    pub retval: Option<String>,
    /// Program flags to set.
    pub flags: u32,
    /// Program flags to clear.
    pub cleared: u32,
}

impl Annotation {
    /// What is said of the function `name`.
    pub fn of(btf: &Btf, name: &str) -> Annotation {
        let mut annotation = Annotation::default();
        let Some(function) = btf.find(name, skep_btf::Kind::Func) else { return annotation };
        for (_, ty) in btf.types() {
            let Type::DeclTag { name: tag, target, component: -1, .. } = ty else { continue };
            if target != function {
                continue;
            }
            match tag.strip_prefix("comment:test_") {
                Some("expect_success") => annotation.success = Some(true),
                Some("expect_failure") => annotation.success = Some(false),
                Some(other) => {
                    if let Some(retval) = other.strip_prefix("retval=") {
                        annotation.retval = Some(retval.to_owned());
                    }
                    let Some(flag) = other.strip_prefix("prog_flags=") else { continue };
                    match flag.strip_prefix('!') {
                        Some(flag) => annotation.cleared |= program_flag(flag),
                        None => annotation.flags |= program_flag(flag),
                    }
                }
                None => {}
            }
        }
        annotation
    }
}

/// A program flag by its name or value.
fn program_flag(name: &str) -> u32 {
    match name {
        "BPF_F_STRICT_ALIGNMENT" => prog::STRICT_ALIGNMENT,
        "BPF_F_ANY_ALIGNMENT" => prog::ANY_ALIGNMENT,
        "BPF_F_TEST_RND_HI32" => prog::TEST_RND_HI32,
        "BPF_F_TEST_STATE_FREQ" => prog::TEST_STATE_FREQ,
        "BPF_F_SLEEPABLE" => prog::SLEEPABLE,
        "BPF_F_XDP_HAS_FRAGS" => prog::XDP_HAS_FRAGS,
        "BPF_F_TEST_REG_INVARIANTS" => prog::TEST_REG_INVARIANTS,
        other => match other.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).unwrap_or(0),
            None => other.parse().unwrap_or(0),
        },
    }
}
