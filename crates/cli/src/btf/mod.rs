//! `skep btf dump`: the types of an object, of a kernel, of a pack or of raw BTF, as C, line
//! by line, or as JSON. Counterpart: `bpftool btf dump file`. `skep btf pack`: a kernel's
//! types in a small file, which `--btf` takes wherever it takes types.

mod json;
mod needed;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use object::read::{ReadCache, ReadRef};
use object::{Object as _, ObjectSection as _};
use skep::btf::{Btf, c, dump, pack};

use crate::Outcome;
use crate::failure::{Failure, Status};
use crate::files::{self, in_file};
use crate::output;
use crate::terminal::Guard;

/// Print types
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dump(DumpArgs),
    Pack(PackArgs),
}

/// Pack a kernel's types into a small file, for machines that have none
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep btf pack -o vmlinux.btfpack                      of this machine's kernel
  skep verify prog.bpf.o --btf vmlinux.btfpack          on another one
  skep btf pack --for build/ -o small.btfpack           what these objects need of it

With --for, objects get the verdicts that all of the kernel's types would give them; others may
not. What it holds is what judging them looked at.")]
struct PackArgs {
    /// An ELF file with a section .BTF, or raw BTF; - is the standard input
    #[arg(default_value = "/sys/kernel/btf/vmlinux")]
    file: PathBuf,
    /// Only what these objects, and those in these folders, need
    #[arg(long = "for", value_name = "OBJECTS", num_args = 1..)]
    objects: Vec<PathBuf>,
    /// The pack; - is the standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Print all types of a file
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep btf dump /sys/kernel/btf/vmlinux --format c > vmlinux.h
  skep btf dump prog.bpf.o                              as bpftool btf dump does
  skep btf dump /sys/kernel/btf/nf_nat --format c       a module's own types")]
struct DumpArgs {
    /// An ELF file with a section .BTF, or raw BTF; - is the standard input
    file: PathBuf,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    format: Format,
    /// The BTF that FILE continues; files of /sys/kernel/btf continue the kernel's
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A header that compiles
    C,
    /// A line for each type, and one for each member
    Raw,
    /// As `bpftool btf dump -j`
    Json,
}

/// `skep btf`.
pub fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let args = match args.command {
        Command::Dump(args) => args,
        Command::Pack(args) => return pack(&args),
    };
    let btf = open(&args.file, args.base.as_deref())?;
    let mut out = match args.format {
        Format::Json => Guard::json(out),
        Format::C | Format::Raw => Guard::new(out),
    };
    write(&btf, &args, &mut out)?;
    out.flush()?;
    Ok(Status::Done)
}

fn pack(args: &PackArgs) -> Outcome {
    let mut btf = open(&args.file, None)?;
    if !args.objects.is_empty() {
        btf = needed::of(&args.file, btf, &args.objects)?;
    }
    let bytes = pack::pack(&btf).map_err(|error| in_file(&args.file, error))?;
    let mut inputs = vec![args.file.as_path()];
    inputs.extend(args.objects.iter().map(PathBuf::as_path));
    output::write(&args.output, &inputs, &bytes)?;
    Ok(Status::Done)
}

fn write(btf: &Btf, args: &DumpArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match args.format {
        Format::Raw => dump::write_raw(btf, out)?,
        Format::Json => json::write(btf, out)?,
        Format::C => {
            // The error of a writer comes as one of BTF: it is told apart here.
            let mut out = Remember { out, error: None };
            if let Err(error) = c::write_header(btf, &mut out) {
                return Err(match out.error {
                    Some(error) => error.into(),
                    None => in_file(&args.file, error),
                });
            }
        }
    }
    Ok(())
}

/// A writer that keeps its first error.
struct Remember<'a> {
    out: &'a mut dyn Write,
    error: Option<io::Error>,
}

impl Write for Remember<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(|error| {
            let kind = error.kind();
            self.error.get_or_insert(error);
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The folder where kernels show their types.
const KERNEL: &str = "/sys/kernel/btf";

/// Reads the types of a file.
///
/// # Errors
/// It has none, or broken ones.
pub fn open(file: &Path, base: Option<&Path>) -> Result<Btf, Failure> {
    let implied = Path::new(KERNEL).join("vmlinux");
    let base = match base {
        None if file.starts_with(KERNEL) && file != implied => Some(implied.as_path()),
        given => given,
    };
    let bytes = bytes(file)?;
    let parsed = match base {
        Some(base) => Btf::parse_split(bytes, Arc::new(open(base, None)?)),
        None => Btf::parse(bytes),
    };
    parsed.map_err(|error| in_file(file, error))
}

/// The bytes of a file's types, of as many bytes as objects may have. Of an ELF file that is
/// larger, as a kernel with debug information, only headers and the section are read.
fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    if let Some(large) = large_elf(file) {
        return section(file, &ReadCache::new(large));
    }
    let bytes = files::read(file, files::MAX_TEXT)?;
    if bytes.starts_with(b"\x7fELF") {
        return section(file, &*bytes);
    }
    if bytes.starts_with(pack::MAGIC) {
        return pack::unpack(&bytes).map_err(|error| in_file(file, error));
    }
    match bytes.get(..2) {
        Some([0x9f, 0xeb] | [0xeb, 0x9f]) => Ok(bytes),
        _ if bytes.is_empty() => Err(in_file(file, "is empty, expected ELF, BTF or a pack of it")),
        _ if files::is_text(&bytes) => {
            let failure = in_file(file, "is a text file, expected ELF or BTF");
            Err(failure.hint("compile it first: clang -O2 -g --target=bpf -c PROG.c -o PROG.bpf.o"))
        }
        _ => Err(in_file(file, "is neither ELF nor BTF nor a pack of it")),
    }
}

/// A regular file that is ELF and larger than what is read whole.
fn large_elf(file: &Path) -> Option<File> {
    let is_large =
        std::fs::metadata(file).is_ok_and(|of| of.is_file() && of.len() > files::MAX_TEXT);
    let mut open = File::open(file).ok().filter(|_| is_large)?;
    let mut magic = [0; 4];
    open.read_exact(&mut magic).ok()?;
    (magic == *b"\x7fELF").then_some(open)
}

/// The section `.BTF` of an ELF file.
fn section<'a>(file: &Path, data: impl ReadRef<'a>) -> Result<Vec<u8>, Failure> {
    let elf = object::File::parse(data)
        .map_err(|error| in_file(file, format!("is a broken ELF file: {error}")))?;
    let Some(section) = elf.section_by_name(".BTF") else {
        let failure = in_file(file, "has no section .BTF");
        return Err(failure.hint("compile with -g; pahole -J adds BTF to other ELF files"));
    };
    if section.size() > files::MAX_TEXT {
        return Err(in_file(file, format!("section .BTF: {} bytes are too many", section.size())));
    }
    let data = section.data().map_err(|error| in_file(file, format!("section .BTF: {error}")))?;
    Ok(data.to_vec())
}
