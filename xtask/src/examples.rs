//! `cargo xtask examples`: the committed objects and the capture are what their sources
//! say. Each `*.bpf.c` under `examples` and `tests/programs` is compiled again, and what
//! Linux would see of it compared with the committed `*.bpf.o`: the instructions with
//! their relocations, the initial bytes of data, and the definitions of the maps. Debug
//! information may differ, since it holds the compiler's exact version.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionKind};

use crate::capture;

/// Folders with programs, below the workspace's root.
const FOLDERS: [&str; 2] = ["examples", "tests/programs"];
/// The capture, below the workspace's root.
const CAPTURE: &str = "examples/mixed.pcapng";
/// The programs of which an object by gcc stands beside the one by clang.
const BY_GCC: [&str; 1] = ["examples/hello.bpf.c"];
/// A source whose first line ends so wants the newest instructions.
const WANTS_V4: &str = "-mcpu=v4";

/// Compares the committed example objects and the capture with their sources.
#[derive(clap::Args)]
pub struct Arguments {
    /// Write the objects anew instead of comparing them
    #[arg(long)]
    update: bool,
    /// Write the capture anew, and do nothing else
    #[arg(long)]
    capture: bool,
}

/// Runs the task; fails if something differs.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if arguments.capture {
        std::fs::write(root.join(CAPTURE), capture::mixed()).context(CAPTURE)?;
        println!("{CAPTURE}: written");
        return Ok(ExitCode::SUCCESS);
    }

    let scratch = Scratch::new()?;
    let (mut differing, mut count) = (0, 0);
    for folder in FOLDERS {
        for source in sources(&root, folder)? {
            for compiler in [Compiler::Clang, Compiler::Gcc] {
                if compiler == Compiler::Gcc && !BY_GCC.contains(&source.as_str()) {
                    continue;
                }
                let object = compiler.object_of(&source);
                let built = scratch.0.join("built.bpf.o");
                compiler.build(&root, &source, &built)?;
                count += 1;
                if arguments.update {
                    std::fs::copy(&built, root.join(&object)).context(object.clone())?;
                    println!("{object}: written");
                    continue;
                }
                let differences = compare(&root.join(&object), &built)?;
                for difference in &differences {
                    println!("{object}: {difference}");
                }
                differing += usize::from(!differences.is_empty());
            }
        }
    }
    if !arguments.update {
        if std::fs::read(root.join(CAPTURE)).unwrap_or_default() != capture::mixed() {
            println!("{CAPTURE}: differs; `cargo xtask examples --capture` writes it anew");
            differing += 1;
        }
        println!("examples: {count} objects and the capture, {differing} differ");
    }
    Ok(if differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A folder of our own for what is built, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let path = std::env::temp_dir().join(format!("skep-examples-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in a temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The paths of a folder's sources, relative to `root`, in order.
fn sources(root: &Path, folder: &str) -> Result<Vec<String>> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(root.join(folder)).context(folder)? {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.ends_with(".bpf.c")) {
            sources.push(format!("{folder}/{name}"));
        }
    }
    sources.sort();
    Ok(sources)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compiler {
    Clang,
    Gcc,
}

impl Compiler {
    fn name(self) -> &'static str {
        match self {
            Compiler::Clang => "clang-19",
            Compiler::Gcc => "bpf-gcc",
        }
    }

    /// Where the object of a source is committed.
    fn object_of(self, source: &str) -> String {
        let stem = source.trim_end_matches(".bpf.c");
        match self {
            Compiler::Clang => format!("{stem}.bpf.o"),
            Compiler::Gcc => format!("{stem}.gcc.bpf.o"),
        }
    }

    /// Compiles `source` in its own folder, so that no path of this machine gets into
    /// the object.
    fn build(self, root: &Path, source: &str, object: &Path) -> Result<()> {
        let path = root.join(source);
        let folder = path.parent().context("a source has a folder")?;
        let text = std::fs::read_to_string(&path).context(source.to_owned())?;
        let newest = text.lines().next().is_some_and(|line| line.contains(WANTS_V4));
        let mut command = Command::new(self.name());
        match self {
            Compiler::Clang => {
                command.args(["-g", "--target=bpf", "-Wall", "-Wextra", "-Werror"]);
                command.arg(if newest { "-mcpu=v4" } else { "-mcpu=v3" });
                command.args(["-fdebug-compilation-dir=.", "-ffile-prefix-map=/usr/include=include"]);
            }
            Compiler::Gcc => {
                command.args(["-gbtf", "-I/usr/include"]);
            }
        }
        // Debian keeps <asm/types.h> by architecture.
        command.arg(format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH));
        command.args(["-O2", "-c"]).arg(path.file_name().unwrap_or(OsStr::new(source)));
        command.arg("-o").arg(object).current_dir(folder);

        let output = match command.output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "{0} is missing, and without it the objects cannot be compared with their \
                 sources\nhelp: apt-get install {1}",
                self.name(),
                match self {
                    Compiler::Clang => "clang-19 libbpf-dev linux-libc-dev",
                    Compiler::Gcc => "gcc-bpf libbpf-dev linux-libc-dev",
                }
            ),
            Err(error) => return Err(error).context(self.name()),
        };
        if !output.status.success() {
            bail!("{} {source}:\n{}", self.name(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

/// What differs between two objects, in words; nothing if Linux could not tell them apart.
fn compare(committed: &Path, built: &Path) -> Result<Vec<String>> {
    let Ok(bytes) = std::fs::read(committed) else {
        return Ok(vec!["missing; `cargo xtask examples --update` writes it".to_owned()]);
    };
    let before = contents(&bytes).with_context(|| committed.display().to_string())?;
    let after = contents(&std::fs::read(built)?).context("the object that was just built")?;

    let mut differences = Vec::new();
    for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
        match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) if before == after => {}
            (Some(before), Some(after)) => differences.push(match before.first_difference(after) {
                Some(at) => format!("{name} differs from byte {at:#x} on"),
                None => format!("the relocations of {name} differ"),
            }),
            (Some(_), None) => differences.push(format!("{name} is no longer in what is built")),
            (None, _) => differences.push(format!("{name} is missing")),
        }
    }
    Ok(differences)
}

/// A section's bytes and its relocations: where, of what type, against what.
#[derive(PartialEq, Eq)]
struct Contents {
    bytes: Vec<u8>,
    relocations: Vec<(u64, String, String)>,
}

impl Contents {
    fn first_difference(&self, other: &Contents) -> Option<usize> {
        let same = self.bytes.iter().zip(&other.bytes).take_while(|(a, b)| a == b).count();
        (self.bytes.len() != other.bytes.len() || same < self.bytes.len()).then_some(same)
    }
}
