//! `cargo xtask examples`: the committed objects and the capture are what their sources
//! say. Each `*.bpf.c` under `examples` and `tests/programs` is compiled again, and what
//! Linux would see of it compared with the committed `*.bpf.o`: the instructions and what
//! they refer to, the initial bytes of data, and the definitions of the maps. Debug
//! information may differ, since it holds the compiler's exact version.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use skep_abi::MapType;
use skep_btf::c::declaration;
use skep_load::{Function, MapDef, MapOrigin, Object, Reference, Symbol};

use crate::capture;
use crate::cargo::workspace;

/// Folders with programs, below the workspace's root.
const FOLDERS: [&str; 4] = ["examples", "examples/hooks", "tests/programs", "tests/hooks"];
/// The capture, below the workspace's root.
const CAPTURE: &str = "examples/mixed.pcapng";
/// The programs of which an object by gcc stands beside the one by clang.
const BY_GCC: [&str; 1] = ["examples/hello.bpf.c"];
/// A source that says so wants the newest instructions.
const WANTS_V4: &str = "-mcpu=v4";

/// What to do with the objects and the capture.
#[derive(Default, Args)]
pub struct Options {
    /// Write the objects anew instead of comparing them
    #[arg(long)]
    update: bool,
    /// Write the capture anew, and do nothing else
    #[arg(long)]
    capture: bool,
}

/// Compares, or writes anew. Gives whether nothing differs.
///
/// # Errors
/// A compiler is missing, or a source does not compile.
pub fn execute(options: &Options) -> Result<bool> {
    let root = workspace();
    if options.capture {
        std::fs::write(root.join(CAPTURE), capture::mixed()).context(CAPTURE)?;
        println!("{CAPTURE}: written");
        return Ok(true);
    }

    let scratch = Scratch::new()?;
    let builds = builds(&root)?;
    let mut differing = 0;
    for (source, compiler) in &builds {
        let object = compiler.object_of(source);
        let built = scratch.0.join("built.bpf.o");
        compiler.build(&root, source, &built)?;
        let built = std::fs::read(built)?;
        let found = match std::fs::read(root.join(&object)) {
            Ok(committed) => differences(&committed, &built).context(object.clone())?,
            Err(error) => vec![format!("{error}; `cargo xtask examples --update` writes it")],
        };
        // gcc's BTF is in another order each time.
        if options.update && (*compiler == Compiler::Clang || !found.is_empty()) {
            std::fs::write(root.join(&object), &built).context(object)?;
            continue;
        }
        for difference in &found {
            println!("{object}: {difference}");
        }
        differing += usize::from(!found.is_empty());
    }
    if options.update {
        println!("examples: {} objects are as built", builds.len());
        return Ok(true);
    }
    if std::fs::read(root.join(CAPTURE)).unwrap_or_default() != capture::mixed() {
        println!("{CAPTURE}: differs; `cargo xtask examples --capture` writes it anew");
        differing += 1;
    }
    println!("examples: {} objects and the capture, {differing} differ", builds.len());
    Ok(differing == 0)
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

/// Each source, relative to `root`, with each compiler that builds it.
fn builds(root: &Path) -> Result<Vec<(String, Compiler)>> {
    let mut builds = Vec::new();
    for folder in FOLDERS {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(root.join(folder)).context(folder)? {
            names.extend(entry?.file_name().to_str().map(str::to_owned));
        }
        names.sort();
        for name in names.iter().filter(|name| name.ends_with(".bpf.c")) {
            let source = format!("{folder}/{name}");
            builds.push((source.clone(), Compiler::Clang));
            if BY_GCC.contains(&source.as_str()) {
                builds.push((source, Compiler::Gcc));
            }
        }
    }
    Ok(builds)
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

    /// Compiles `source` so that no path of this machine gets into the object.
    fn build(self, root: &Path, source: &str, object: &Path) -> Result<()> {
        let path = root.join(source);
        let text = std::fs::read_to_string(&path).context(source.to_owned())?;
        let newest = text.contains(WANTS_V4);
        let mut command = Command::new(self.name());
        // Debian keeps <asm/types.h> by architecture.
        command.arg(format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH));
        command.arg("-O2");
        match self {
            Compiler::Clang => {
                command.args(["-g", "--target=bpf", "-Wall", "-Wextra", "-Werror"]);
                command.arg(if newest { "-mcpu=v4" } else { "-mcpu=v3" });
                command.arg("-fdebug-compilation-dir=.");
                command.arg("-ffile-prefix-map=/usr/include=include");
                command.arg("-c").arg(path.file_name().unwrap_or(OsStr::new(source)));
                command.current_dir(path.parent().unwrap_or(root));
            }
            Compiler::Gcc => {
                // Its BTF would name the working folder, but for an absolute path.
                command.args(["-gbtf", "-I/usr/include", "-x", "c", "-c", "/dev/stdin"]);
                command.stdin(File::open(&path).context(source.to_owned())?);
            }
        }
        command.arg("-o").arg(object);

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
fn differences(committed: &[u8], built: &[u8]) -> Result<Vec<String>> {
    let before = parts(committed).context("the committed object")?;
    let after = parts(built).context("the object that was just built")?;
    let mut found = Vec::new();
    for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
        found.extend(match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) => first_difference(before, after)
                .map(|(before, after)| format!("{name}: committed {before}, built {after}")),
            (Some(_), None) => Some(format!("{name} is committed, but not built")),
            (None, _) => Some(format!("{name} is built, but not committed")),
        });
    }
    Ok(found)
}

/// The first lines that differ.
fn first_difference<'a>(before: &'a [String], after: &'a [String]) -> Option<(&'a str, &'a str)> {
    let line = |lines: &'a [String], at: usize| lines.get(at).map_or("nothing", String::as_str);
    (0..before.len().max(after.len()))
        .map(|at| (line(before, at), line(after, at)))
        .find(|(before, after)| before != after)
}

/// What Linux would see of an object: each function, map and extern by name, in lines.
fn parts(bytes: &[u8]) -> Result<BTreeMap<String, Vec<String>>> {
    // Maps of data sections are named after the file, which is the same for both.
    let object = Object::parse("object", bytes)?;
    let mut parts = BTreeMap::new();
    parts.insert("license".to_owned(), vec![object.license.clone()]);
    let wanted =
        object.externs.iter().map(|wanted| format!("{} weak={}", wanted.name, wanted.weak));
    parts.insert("externs".to_owned(), wanted.collect());
    for function in &object.functions {
        parts.insert(format!("function {}", function.name), code(&object, function));
    }
    for map in &object.maps {
        parts.insert(format!("map {}", map.name), definition(&object, map)?);
    }
    Ok(parts)
}

/// A function's instructions, and what each refers to.
fn code(object: &Object, function: &Function) -> Vec<String> {
    let mut lines = vec![format!("section {}", function.section)];
    lines.extend(function.insns.iter().enumerate().map(|(at, slot)| format!("{at}: {slot:?}")));
    for Reference { at, to } in &function.references {
        let name = match *to {
            Symbol::Map(map) => object.maps[map].name.clone(),
            Symbol::MapValue { map, offset } => format!("{} + {offset}", object.maps[map].name),
            Symbol::Extern(number) => object.externs[number].name.clone(),
            Symbol::Call(callee) | Symbol::FunctionAddress(callee) => {
                object.functions[callee].name.clone()
            }
        };
        lines[*at as usize + 1].push_str(&format!(" -> {name}"));
    }
    lines
}

/// A map's definition.
fn definition(object: &Object, map: &MapDef) -> Result<Vec<String>> {
    let mut lines = vec![
        format!("type {}, {} entries, flags {:#x}", map.map_type, map.max_entries, map.flags),
        format!("key of {} bytes, value of {} bytes", map.key_size, map.value_size),
    ];
    if let Some(btf) = &object.btf {
        for (id, name) in [(map.key_type_id, "key"), (map.value_type_id, "value")] {
            // The value of a data section's map is its section, which C has no word for.
            if id != 0 && map.origin == MapOrigin::Btf {
                lines.push(declaration(btf, id, name)?);
            }
        }
    }
    lines.extend(map.contents.chunks(16).map(|row| format!("{row:02x?}")));
    for (index, target) in &map.slots {
        let name = match map.kind() {
            Some(MapType::ProgArray) => &object.programs[*target].name,
            _ => &object.maps[*target].name,
        };
        lines.push(format!("[{index}] = {name}"));
    }
    if let Some(inner) = &map.inner {
        lines.extend(definition(object, inner)?.iter().map(|line| format!("inner: {line}")));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn objects_that_linux_could_not_tell_apart_do_not_differ() {
        let hello = include_bytes!("../../examples/hello.bpf.o");
        assert_eq!(differences(hello, hello).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn another_instruction_is_found() {
        let hello = include_bytes!("../../examples/hello.bpf.o");
        // `exit`, which is the last instruction.
        let exit = hello.windows(8).position(|slot| slot == [0x95, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        let mut other = hello.to_vec();
        other[exit] = 0x05; // a jump to the next instruction
        let found = differences(hello, &other).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("function hello"), "{found:?}");
    }

    #[test]
    fn another_program_is_found() {
        let hello = include_bytes!("../../examples/hello.bpf.o");
        let per_ip = include_bytes!("../../examples/per_ip.bpf.o");
        let found = differences(hello, per_ip).unwrap();
        assert!(found.iter().any(|line| line.contains("function hello")), "{found:?}");
        assert!(found.iter().any(|line| line.contains("map traffic")), "{found:?}");
    }
}
