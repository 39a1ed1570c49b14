//! `skep btf dump`: the types of an object, of a kernel, of a pack or of raw BTF, as C, line
//! by line, or as JSON. Counterpart: `bpftool btf dump file`. `skep btf pack`: a kernel's
//! types in a small file, which `--btf` takes wherever it takes types.

pub mod json;
mod needed;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Subcommand;
use skep::btf::{Btf, c, dump, pack};

use crate::failure::{Failure, Outcome, Status};
use crate::files::in_file;
use crate::terminal::Guard;
#[cfg(target_os = "linux")]
use crate::verbs;
use crate::{output, types};

/// Print types
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The types that a kernel has, with bpftool's words: show [id N]
    #[cfg(target_os = "linux")]
    #[command(visible_alias = "list")]
    Show(ShowArgs),
    Dump(DumpArgs),
    Pack(PackArgs),
}

#[cfg(target_os = "linux")]
#[derive(clap::Args)]
struct ShowArgs {
    /// Print JSON
    #[arg(short, long)]
    json: bool,
    /// Print JSON, to be read
    #[arg(short, long)]
    pretty: bool,
    /// `id N`
    #[arg(value_name = "WORD")]
    words: Vec<String>,
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
  skep btf dump /sys/kernel/btf/nf_nat --format c       a module's own types
  skep btf dump id 7                                    of the kernel, as bpftool has it; also
                                                        prog PROG, map MAP, file FILE")]
struct DumpArgs {
    /// An ELF file with a section .BTF, or raw BTF; - is the standard input
    file: PathBuf,
    /// Where FILE is `id`, `prog`, `map` or `file`: which, and `format c` (bpftool's words)
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    /// Print JSON
    #[arg(short, long)]
    json: bool,
    /// Print JSON, to be read
    #[arg(short, long)]
    pretty: bool,
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
    let mut args = match args.command {
        #[cfg(target_os = "linux")]
        Command::Show(args) => {
            let words = [vec!["show".into()], args.words].concat();
            return verbs::btf(words, args.json, args.pretty, out);
        }
        Command::Dump(args) => args,
        Command::Pack(args) => return pack(&args),
    };
    if !args.words.is_empty() {
        match (args.file.to_str(), &args.words[..]) {
            (Some("file"), [file, form @ ..]) => {
                args.format = match form {
                    [] => args.format,
                    [word, form] if word == "format" => {
                        <Format as clap::ValueEnum>::from_str(form, false)
                            .map_err(Failure::unusable)?
                    }
                    _ => return Err(Failure::unusable("behind the file stands `format FORMAT`")),
                };
                args.file = file.into();
            }
            #[cfg(target_os = "linux")]
            (Some(of @ ("id" | "prog" | "map")), words) => {
                let words = [&["dump".to_owned(), of.to_owned()], words].concat();
                return verbs::btf(words, args.json, args.pretty, out);
            }
            _ => {
                return Err(Failure::unusable(format!(
                    "there is no place for {:?}",
                    args.words[0]
                )));
            }
        }
    }
    if args.json || args.pretty {
        args.format = Format::Json;
    }
    let btf = types::open(&args.file, args.base.as_deref())?;
    let mut out = match args.format {
        Format::Json => Guard::json(out),
        Format::C | Format::Raw => Guard::new(out),
    };
    write(&btf, &args, &mut out)?;
    out.flush()?;
    Ok(Status::Done)
}

fn pack(args: &PackArgs) -> Outcome {
    let mut btf = types::open(&args.file, None)?;
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
