//! `skep dis`: instructions as text, among the names and source lines that an object
//! has for them. Counterparts: `llvm-objdump -dS`, `bpftool prog dump xlated linum`.
//! What they are compiled to is [`native`]'s.

pub(crate) mod machine;
mod native;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;
use skep::abi::Helper;
use skep::btf::LineInfo;
use skep::isa::{Callee, Imm64, Insn, Names, Pc, Slot, SlotText, Style};
use skep::load::{Function, Object, Symbol};

use crate::failure::{Failure, Outcome, Status};
use crate::objects::symbol_name;
use crate::run::engine::CompilerArgs;
use crate::terminal::{Paint, clean};
use crate::{files, hex, objects};

/// Print the instructions of an object, with its names and source lines
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep dis prog.bpf.o                       as llvm-objdump prints them
  skep dis prog.bpf.o --style linux         as the kernel's verifier prints them
  skep dis prog.bpf.o --program syn_guard   one program and what it calls
  skep dis prog.bpf.o --native              with the machine code that each becomes
  skep asm prog.s --raw -o - | skep dis --raw -")]
pub struct Args {
    /// A BPF object, or with --raw bare instructions; - is the standard input
    file: PathBuf,
    /// Whose text to print
    #[arg(long, value_enum, default_value_t = StyleName::Llvm)]
    style: StyleName,
    /// Only this section
    #[arg(long, conflicts_with = "raw")]
    section: Option<String>,
    /// Only this program and the functions that it calls
    #[arg(long, conflicts_with = "raw")]
    program: Option<String>,
    /// FILE is bare instructions of 8 bytes, little-endian
    #[arg(long)]
    raw: bool,
    /// FILE is bare instructions as hex text
    #[arg(long, requires = "raw")]
    hex: bool,
    /// Print the machine code that the embedded kernel's compiler makes of each program,
    /// below the instructions that it comes from
    #[arg(long, conflicts_with_all = ["raw", "section"])]
    native: bool,
    #[command(flatten)]
    compiler: CompilerArgs,
    /// Leave out the source lines
    #[arg(long)]
    no_source: bool,
    /// Print the bytes as well
    #[arg(long)]
    bytes: bool,
    /// Print JSON (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum StyleName {
    /// r1 = *(u32 *)(r2 + 0x8)
    Llvm,
    /// (61) r1 = *(u32 *)(r2 +8)
    Linux,
    /// ldxw %r1, [%r2+8]
    Mnemonic,
}

impl From<StyleName> for Style {
    fn from(style: StyleName) -> Style {
        match style {
            StyleName::Llvm => Style::Llvm,
            StyleName::Linux => Style::Linux,
            StyleName::Mnemonic => Style::Mnemonic,
        }
    }
}

/// `skep dis`.
pub fn run(args: Args, out: &mut dyn Write) -> Outcome {
    if args.native {
        return native::run(&args, out);
    }
    if args.compiler.are_given() {
        let failure = Failure::unusable("--checks and --passes are about machine code");
        return Err(failure.hint("add --native"));
    }
    if args.raw {
        let slots = crate::run::raw::read_slots(&args.file, args.hex)?;
        let listing = Listing {
            slots: &slots,
            lines: HashMap::new(),
            records: HashMap::new(),
            names: &(),
            first: 0,
        };
        match args.json {
            true => serde_json::to_writer_pretty(
                crate::terminal::Guard::json(out),
                &json!({"insns": listing.json(&args)}),
            )
            .map_err(io::Error::from)?,
            false => listing.print(&args, out)?,
        }
        return Ok(Status::Done);
    }
    let object = objects::open(&args.file)?;
    let chosen = choose(&object, &args)?;
    if args.json {
        let functions: Vec<_> = chosen.iter().map(|&index| json(&object, index, &args)).collect();
        serde_json::to_writer_pretty(
            crate::terminal::Guard::json(out),
            &json!({ "functions": functions }),
        )
        .map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(Status::Done);
    }
    let paint = Paint::stdout();
    let mut section = None;
    for index in chosen {
        let function = &object.functions[index];
        if section != Some(&function.section) {
            if section.is_some() {
                writeln!(out)?;
            }
            writeln!(out, "{}", paint.bold(&format!("section {:?}", clean(&function.section))))?;
            section = Some(&function.section);
        }
        let byte = u64::from(function.start) * 8;
        writeln!(out, "\n{byte:016x} {}:", paint.bold(&format!("<{}>", clean(&function.name))))?;
        let names = ObjectNames::new(&object, index);
        Listing::of(&object, index, &names, function).print(&args, out)?;
    }
    Ok(Status::Done)
}

/// The functions to print, in the order of their sections.
fn choose(object: &Object, args: &Args) -> Result<Vec<usize>, Failure> {
    let file = files::shown(&args.file);
    let of_section = |function: &Function| {
        args.section.as_ref().is_none_or(|section| {
            &function.section == section || function.section.strip_prefix('?') == Some(section)
        })
    };
    let mut chosen: Vec<usize> = match &args.program {
        None => (0..object.functions.len()).collect(),
        Some(name) => {
            let Some(start) = object.functions.iter().position(|function| &function.name == name)
            else {
                let names: Vec<_> = object.functions.iter().map(|f| f.name.as_str()).collect();
                let failure = Failure::unusable(format!("{file}: no program {name:?}"));
                return Err(failure.hint(format!("it has {}", names.join(", "))));
            };
            called(object, start)
        }
    };
    chosen.retain(|&index| of_section(&object.functions[index]));
    match (&args.section, chosen.is_empty()) {
        (Some(section), true) => {
            let mut names: Vec<_> = object.functions.iter().map(|f| f.section.as_str()).collect();
            names.dedup();
            let failure = Failure::unusable(format!("{file}: no code in a section {section:?}"));
            Err(failure.hint(format!("there is code in {}", names.join(", "))))
        }
        _ => Ok(chosen),
    }
}

/// A function and all that it calls, directly or not.
fn called(object: &Object, start: usize) -> Vec<usize> {
    let mut found = vec![start];
    let mut at = 0;
    while let Some(&function) = found.get(at) {
        for index in callees(object, function) {
            if !found.contains(&index) {
                found.push(index);
            }
        }
        at += 1;
    }
    found.sort_unstable();
    found
}

fn callees(object: &Object, function: usize) -> Vec<usize> {
    let references = object.functions[function].references.iter();
    let named = references.filter_map(|reference| match reference.to {
        Symbol::Call(index) | Symbol::FunctionAddress(index) => Some(index),
        _ => None,
    });
    named.filter(|&index| index < object.functions.len()).collect()
}

/// Slots with what is known about them; `first` is the number of the first.
struct Listing<'a> {
    slots: &'a [Slot],
    /// Source lines by slot.
    lines: HashMap<u32, Line>,
    /// CO-RE records by slot.
    records: HashMap<u32, String>,
    names: &'a dyn Names,
    first: u32,
}

struct Line {
    file: String,
    text: String,
    line: u32,
    column: u32,
}

impl<'a> Listing<'a> {
    fn of(
        object: &Object,
        index: usize,
        names: &'a dyn Names,
        function: &'a Function,
    ) -> Listing<'a> {
        let line = |info: &LineInfo| {
            let btf = object.btf.as_deref()?;
            Some((
                info.insn_off,
                Line {
                    file: btf.string(info.file_name_off).ok()?.to_owned(),
                    text: btf.string(info.line_off).ok()?.trim().to_owned(),
                    line: info.line,
                    column: info.column,
                },
            ))
        };
        let lines = function.line_info.iter().filter_map(line).collect();
        let records = objects::core_records(object).into_iter();
        let records = records.filter(|record| record.0 == index).map(|(_, at, text)| (at, text));
        let (records, first) = (records.collect(), function.start);
        Listing { slots: &function.insns, lines, records, names, first }
    }

    /// The slots at which instructions start.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let at = next;
            self.slots.get(at)?;
            let insn = SlotText::new(self.slots, at, Style::Llvm).insn();
            next = at + insn.map_or(1, |insn: Insn| insn.slots() as usize);
            Some(at)
        })
    }

    fn text(&self, at: usize, style: Style) -> String {
        SlotText::new(self.slots, at, style).with(self.names).to_string()
    }

    fn print(&self, args: &Args, out: &mut dyn Write) -> io::Result<()> {
        let paint = Paint::stdout();
        let mut last = None;
        for at in self.starts() {
            let line = self.lines.get(&(at as u32)).filter(|_| !args.no_source);
            if let Some(line) = line.filter(|line| !line.text.is_empty()) {
                // One line of source often is several records, for its parts.
                if last != Some((&line.file, line.line)) {
                    writeln!(out, "{}", paint.dim(&format!("; {}", clean(&line.text))))?;
                }
                last = Some((&line.file, line.line));
            }
            if let Some(record) = self.records.get(&(at as u32)) {
                writeln!(out, "{}", paint.dim(&format!("; CO-RE {}", clean(record))))?;
            }
            // Linux counts from the start of a function, objdump from that of its section.
            let first = if args.style == StyleName::Linux { 0 } else { self.first as usize };
            write!(out, "{:8}: ", at + first)?;
            if args.bytes {
                write!(out, "{}  ", hex::spaced(&self.slots[at].to_bytes()))?;
            }
            writeln!(out, "{}", clean(&self.text(at, args.style.into())))?;
        }
        Ok(())
    }

    fn json(&self, args: &Args) -> Vec<serde_json::Value> {
        let insn = |at: usize| {
            let insn = SlotText::new(self.slots, at, Style::Llvm).insn();
            let len = insn.map_or(1, |insn| insn.slots() as usize);
            let bytes = Slot::join(self.slots.get(at..at + len).unwrap_or(&self.slots[at..]));
            let mut json = json!({
                "pc": at as u32 + self.first,
                "bytes": hex::plain(&bytes),
                "text": self.text(at, args.style.into()),
            });
            if let Some(line) = self.lines.get(&(at as u32)).filter(|_| !args.no_source) {
                json["source"] = json!({
                    "file": line.file, "line": line.line, "column": line.column, "text": line.text,
                });
            }
            if let Some(record) = self.records.get(&(at as u32)) {
                json["core"] = record.as_str().into();
            }
            json
        };
        self.starts().map(insn).collect()
    }
}

fn json(object: &Object, index: usize, args: &Args) -> serde_json::Value {
    let function = &object.functions[index];
    let names = ObjectNames::new(object, index);
    json!({
        "name": function.name,
        "section": function.section,
        "insns": Listing::of(object, index, &names, function).json(args),
    })
}

/// The names that the instructions of a function mean.
struct ObjectNames<'a> {
    object: &'a Object,
    function: &'a Function,
    references: HashMap<u32, Symbol>,
}

impl<'a> ObjectNames<'a> {
    fn new(object: &'a Object, index: usize) -> ObjectNames<'a> {
        let function = &object.functions[index];
        let references = function.references.iter().map(|to| (to.at, to.to)).collect();
        ObjectNames { object, function, references }
    }

    fn symbol(&self, pc: Pc, imm: u32) -> Option<String> {
        symbol_name(self.object, *self.references.get(&pc)?, imm)
    }
}

impl Names for ObjectNames<'_> {
    fn target(&self, pc: Pc) -> Option<String> {
        Some(format!("{}+{:#x}", self.function.name, u64::from(pc) * 8))
    }

    fn callee(&self, pc: Pc, callee: Callee) -> Option<String> {
        match callee {
            Callee::Helper(id) if !self.references.contains_key(&pc) => {
                Some(Helper::from_id(id)?.name.to_owned())
            }
            _ => self.symbol(pc, 0),
        }
    }

    fn imm64(&self, pc: Pc, imm: Imm64) -> Option<String> {
        self.symbol(pc, imm.lo)
    }
}
