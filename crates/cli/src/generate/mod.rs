//! `skep gen`: what applications are built with, made of objects. Counterpart: `bpftool gen`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use skep::btf::subset;
use skep::load::{Object, Target, linker, relocate, skeleton};
use skep::sys::Host;

use crate::failure::{Failure, Outcome, Status};
use crate::files::in_file;
use crate::{output, types};

/// Make what applications are built with: skeletons, linked objects, a kernel's types in small
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Skeleton(SkeletonArgs),
    Object(ObjectArgs),
    #[command(name = "min_core_btf")]
    MinCoreBtf(MinCoreBtfArgs),
}

/// Link objects statically to one
#[derive(clap::Args)]
#[command(after_help = "Example:
  skep gen object all.bpf.o one.bpf.o other.bpf.o

Sections of one name are put together, externs get the definitions that other files have, and
types are there once.")]
struct ObjectArgs {
    /// The linked object
    output: PathBuf,
    /// The objects
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
}

/// Write what objects need of a kernel's types, to be relocated on a machine without any
#[derive(clap::Args)]
#[command(after_help = "Example:
  skep gen min_core_btf /sys/kernel/btf/vmlinux min.btf guard.bpf.o

What judging programs needs beside CO-RE, `skep btf pack --for` keeps as well.")]
struct MinCoreBtfArgs {
    /// The kernel's types
    input: PathBuf,
    /// Raw BTF; - is the standard output
    output: PathBuf,
    /// The objects
    #[arg(required = true)]
    objects: Vec<PathBuf>,
}

/// Print typed handles for an object's maps, programs and variables
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep gen skeleton guard.bpf.o > src/guard.rs          for Rust, over the crate skep
  skep gen skeleton guard.bpf.o --c > guard.skel.h      for C, over libbpf, as bpftool's

The object is part of what is printed. docs/embedding.md has an application that uses one.")]
struct SkeletonArgs {
    /// The object
    object: PathBuf,
    /// `name NAME`: how the structure is called (of the file's name unless said)
    #[arg(value_name = "WORD", num_args = 0..=2)]
    words: Vec<String>,
    /// As libbpf's: NAME__open, NAME__load and so on
    #[arg(long)]
    c: bool,
}

/// `skep gen`.
pub fn run(args: Args, out: &mut dyn Write) -> Outcome {
    match args.command {
        Command::Skeleton(args) => write_skeleton(&args, out),
        Command::Object(args) => link(&args),
        Command::MinCoreBtf(args) => min_core_btf(&args),
    }
}

fn link(args: &ObjectArgs) -> Outcome {
    let mut files = Vec::new();
    for path in &args.inputs {
        files.push((path.display().to_string(), read(path)?));
    }
    let objects: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    let linked = linker::link(&objects).map_err(Failure::unusable)?;
    let inputs: Vec<&Path> = args.inputs.iter().map(PathBuf::as_path).collect();
    output::write(&args.output, &inputs, &linked)?;
    Ok(Status::Done)
}

fn min_core_btf(args: &MinCoreBtfArgs) -> Outcome {
    let btf = Arc::new(types::open(&args.input, None)?.watched());
    let target = Target::new(Host::default()).with_kernel_btf(btf.clone());
    for path in &args.objects {
        let mut object = Object::open(path)?;
        object.select(|_| true);
        relocate(&object, &target)?;
    }
    let bytes = subset::of(&btf).map_err(|error| in_file(&args.input, error))?;
    let mut inputs = vec![args.input.as_path()];
    inputs.extend(args.objects.iter().map(PathBuf::as_path));
    output::write(&args.output, &inputs, &bytes)?;
    Ok(Status::Done)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::unusable(format!("{}: {error}", path.display())))
}

fn write_skeleton(args: &SkeletonArgs, out: &mut dyn Write) -> Outcome {
    let name = match &args.words[..] {
        [] => name_of(&args.object, args.c),
        [word, name] if word == "name" && is_name(name) => name.clone(),
        [word, name] if word == "name" => {
            return Err(Failure::unusable(format!("{name:?} is no name of a structure")));
        }
        _ => return Err(Failure::unusable("behind the object stands `name NAME`, or nothing")),
    };
    // For what is wrong with it, by its own name.
    Object::open(&args.object)?;
    let bytes = read(&args.object)?;
    let object = Object::parse(&format!("{name}.o"), &bytes)?;
    let text = match args.c {
        true => skeleton::c(&object, &bytes, &name),
        false => skeleton::rust(&object, &bytes, &name),
    };
    let text = text.map_err(|error| in_file(&args.object, error))?;
    out.write_all(text.as_bytes())?;
    Ok(Status::Done)
}

/// `guard.bpf.o` is `guard`; in C, for those who come from bpftool, `guard_bpf`.
fn name_of(path: &Path, c: bool) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = file.strip_suffix(".o").unwrap_or(&file);
    let stem = if c { stem } else { stem.strip_suffix(".bpf").unwrap_or(stem) };
    let mut name: String =
        stem.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '_' }).collect();
    if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        name.insert(0, '_');
    }
    name
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
}
