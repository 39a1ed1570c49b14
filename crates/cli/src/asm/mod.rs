//! `skep asm`: text to an object, or to bare instructions.
//!
//! ```text
//!   text ── source::parse ──> Source (sections of code lines, data, maps)
//!            elf::write   ──> an ELF object
//! ```
//! The instructions themselves are assembled by `skep::isa`; here are the directives
//! around them, those of `clang -S` and two of our own, `.map` and `.license`.

mod elf;
mod maps;
mod source;
mod words;

use std::io::Write;
use std::path::PathBuf;

use skep::isa::{Slot, assemble, encode};

use crate::failure::{Failure, Outcome, Status};
use crate::{files, hex, output};

/// Assemble a program, to an object or to bare instructions
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep asm prog.s -o prog.bpf.o
  skep asm prog.s --raw -o prog.bin         bare instructions, for skep run --raw
  skep asm prog.s --raw --hex -o -          the same as hex text

A source file:
  .license \"GPL\"
  .map hits, type=array, key=4, value=8, entries=1

  .section xdp
  count:                                    # a program, named by its label
      *(u32 *)(r10 - 4) = 0
      r1 = map[hits] ll
      r2 = r10
      r2 += -4
      call bpf_map_lookup_elem
      if r0 == 0 goto out
      r1 = 1
      lock *(u64 *)(r0 + 0) += r1
  out:
      r0 = 2                                # XDP_PASS
      exit

Instructions may be in the style of clang and llvm-objdump, of the kernel's verifier
and bpftool, or in mnemonics (mov %r0, 2). Directives are those that `clang -S` writes:
.section .text .globl .weak .type .size .byte .short .long .quad .ascii .asciz .zero")]
pub struct Args {
    /// The source; - is the standard input
    source: PathBuf,
    /// The object to write; - is the standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write bare instructions, little-endian, without an object around them
    #[arg(long)]
    raw: bool,
    /// Write them as hex text
    #[arg(long, requires = "raw")]
    hex: bool,
}

/// `skep asm`.
pub fn run(args: Args, _out: &mut dyn Write) -> Outcome {
    let text = files::read_text(&args.source)?;
    let shown = files::shown(&args.source);
    let bytes = match args.raw {
        true => {
            let insns = assemble(&text).map_err(|error| in_source(&shown, error))?;
            let bytes = Slot::join(&encode(&insns));
            match args.hex {
                true => lines_of_hex(&bytes).into_bytes(),
                false => bytes,
            }
        }
        false => {
            let source = source::parse(&text).map_err(|error| in_source(&shown, error))?;
            elf::write(&source).map_err(|error| in_source(&shown, error))?
        }
    };
    match args.hex && args.output.as_os_str() == "-" {
        true => std::io::stdout().write_all(&bytes)?,
        false => output::write(&args.output, &[&args.source], &bytes)?,
    }
    Ok(Status::Done)
}

fn in_source(file: &str, error: impl std::fmt::Display) -> Failure {
    Failure::unusable(format!("{file}: {error}"))
}

/// An instruction slot on each line.
fn lines_of_hex(bytes: &[u8]) -> String {
    bytes.chunks(Slot::SIZE).map(|slot| hex::spaced(slot) + "\n").collect()
}
