//! `skep dis --native`: the machine code of programs beside their source lines and
//! instructions. Counterpart: `bpftool prog dump jited linum`; no root is needed, since
//! the embedded kernel compiles.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use skep::abi::Helper;
use skep::btf::LineInfo;
use skep::isa::{Callee, Imm64, Names, Pc, SlotText};
use skep::load::{Linked, LinkedProgram, Options, Target, relocate};
use skep::vm::jit::{Checks, MachineCode, MachineFunction};
use skep::{Kernel, Vm};

use super::{Args, machine};
use crate::failure::{Failure, Outcome, Status};
use crate::run::side;
use crate::terminal::{Paint, clean};
use crate::{hex, objects};

/// Loads the programs into the embedded kernel and prints what they are compiled to.
pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let mut object = objects::open(&args.file)?;
    if let Some(name) = &args.program {
        if object.programs.iter().all(|program| program.name != *name) {
            let failure = Failure::unusable(format!("{}: no program {name:?}", object.file));
            let names: Vec<_> = object.programs.iter().map(|def| def.name.as_str()).collect();
            return Err(failure.hint(format!("it has {}", names.join(", "))));
        }
        object.select(|program| program.name == *name);
    }
    let vm = Arc::new(args.compiler.apply(Vm::new()));
    let kernel: Arc<dyn Kernel> = vm.clone();
    let target = Target::of(&*kernel);
    let linked = relocate(&object, &target)?;
    let skep = side::load(&kernel, &linked, &target, &Options::default())?;
    let mut programs = Vec::new();
    for (number, program) in skep.programs().iter().enumerate() {
        let name = program.name();
        let loaded = vm
            .program(program.fd().raw())
            .map_err(|error| Failure::unusable(format!("program {name:?}: {error}")))?;
        let Some(compiled) = vm.machine_code(&loaded) else { continue };
        let (checks, code) = compiled.map_err(|error| {
            let failure = Failure::refused(format!("program {name:?}: {error}"));
            failure.hint("the interpreter runs it all the same")
        })?;
        let listing = Listing::new(args, &linked, program.linked(), checks, &code);
        match args.json {
            true => programs.push(listing.json()),
            false => {
                if number > 0 {
                    writeln!(out)?;
                }
                listing.print(out)?;
            }
        }
    }
    if args.json {
        let all = json!({ "arch": std::env::consts::ARCH, "programs": programs });
        serde_json::to_writer_pretty(crate::terminal::Guard::json(out), &all)
            .map_err(io::Error::from)?;
        writeln!(out)?;
    }
    Ok(Status::Done)
}

/// A program and its code.
struct Listing<'a> {
    args: &'a Args,
    linked: &'a Linked,
    program: &'a LinkedProgram,
    checks: &'static str,
    code: &'a MachineCode,
    /// Records of source lines by the instruction that each starts at, in order.
    lines: Vec<&'a LineInfo>,
    maps: HashMap<Pc, usize>,
}

/// Machine instructions in a row that come from one instruction, or from none.
struct Group {
    pc: Option<Pc>,
    lines: Vec<machine::Line>,
}

impl<'a> Listing<'a> {
    fn new(
        args: &'a Args,
        linked: &'a Linked,
        program: &'a LinkedProgram,
        checks: Checks,
        code: &'a MachineCode,
    ) -> Listing<'a> {
        let checks = match checks {
            Checks::Elided => "elided",
            Checks::Guarded => "guarded",
        };
        let mut lines: Vec<&LineInfo> = program.line_info.iter().collect();
        lines.sort_by_key(|line| line.insn_off);
        let maps = program.map_references.iter().map(|to| (to.at, to.map)).collect();
        Listing { args, linked, program, checks, code, lines, maps }
    }

    /// The function that an instruction is part of.
    fn function_at(&self, pc: Pc) -> &str {
        let before = self.program.functions.iter().filter(|function| function.start <= pc);
        let found = before.max_by_key(|function| function.start);
        found.map_or(self.program.def.name.as_str(), |function| function.name.as_str())
    }

    fn groups(&self, function: &MachineFunction) -> Vec<Group> {
        let bytes = &self.code.bytes[function.start..function.start + function.len];
        let mut groups: Vec<Group> = Vec::new();
        for line in machine::lines(function, bytes) {
            let next = function.lines.partition_point(|&(start, _)| start <= line.at);
            let pc = next.checked_sub(1).and_then(|index| function.lines[index].1);
            let pc = pc.filter(|_| !line.is_data);
            match groups.last_mut() {
                Some(group) if group.pc == pc => group.lines.push(line),
                _ => groups.push(Group { pc, lines: vec![line] }),
            }
        }
        groups
    }

    /// The record of the source line that an instruction comes from, and its text.
    fn source(&self, pc: Pc) -> Option<(&'a LineInfo, &'a str)> {
        let next = self.lines.partition_point(|line| line.insn_off <= pc);
        let line = self.lines[next.checked_sub(1)?];
        let text = self.linked.btf.as_deref()?.string(line.line_off).ok()?.trim();
        (!text.is_empty() && !self.args.no_source).then_some((line, text))
    }

    fn text(&self, pc: Pc) -> String {
        let style = self.args.style.into();
        SlotText::new(&self.program.insns, pc as usize, style).with(self).to_string()
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let paint = Paint::stdout();
        let (name, len) = (&self.program.def.name, self.code.bytes.len());
        let title = format!("program {:?}", clean(name));
        let arch = std::env::consts::ARCH;
        writeln!(out, "{}: {}, {len} bytes of {arch}", paint.bold(&title), self.checks)?;
        if !machine::READABLE {
            writeln!(out, "(as bytes: there is no disassembler for this machine)")?;
        }
        for function in &self.code.functions {
            let name = format!("<{}>", clean(self.function_at(function.pc)));
            writeln!(out, "\n{:016x} {}:", function.start, paint.bold(&name))?;
            let mut last = None;
            for group in self.groups(function) {
                match group.pc {
                    Some(pc) => {
                        let source = self.source(pc);
                        let line = source.map(|(line, _)| (line.file_name_off, line.line));
                        if let Some((_, text)) = source
                            && line != last
                        {
                            writeln!(out, "{}", paint.dim(&format!("; {}", clean(text))))?;
                        }
                        last = line;
                        writeln!(out, "{pc:8}: {}", clean(&self.text(pc)))?;
                    }
                    None => writeln!(out, "       -: {}", paint.dim("no instruction's own"))?,
                }
                for line in &group.lines {
                    write!(out, "{:16x}:  ", function.start + line.at)?;
                    if self.args.bytes {
                        let at = function.start + line.at;
                        let bytes = hex::spaced(&self.code.bytes[at..at + line.len]);
                        write!(out, "{bytes:30}  ")?;
                    }
                    writeln!(out, "{}", line.text)?;
                }
            }
        }
        Ok(())
    }

    fn json(&self) -> Json {
        let function = |function: &MachineFunction| {
            let mut native = Vec::new();
            for group in self.groups(function) {
                for line in &group.lines {
                    let at = function.start + line.at;
                    native.push(json!({
                        "offset": at,
                        "bytes": hex::plain(&self.code.bytes[at..at + line.len]),
                        "text": line.text,
                        "pc": group.pc,
                    }));
                }
            }
            json!({
                "name": self.function_at(function.pc),
                "offset": function.start,
                "size": function.len,
                "native": native,
            })
        };
        let functions: Vec<Json> = self.code.functions.iter().map(function).collect();
        let mut next = 0;
        let mut insns = Vec::new();
        while next < self.program.insns.len() {
            let pc = next as Pc;
            let insn = SlotText::new(&self.program.insns, next, self.args.style.into()).insn();
            next += insn.map_or(1, |insn| insn.slots() as usize);
            let mut json = json!({ "pc": pc, "text": self.text(pc) });
            if let Some((line, text)) = self.source(pc) {
                let btf = self.linked.btf.as_deref();
                let file = btf.and_then(|btf| btf.string(line.file_name_off).ok());
                json["source"] = json!({
                    "file": file, "line": line.line, "column": line.column, "text": text,
                });
            }
            insns.push(json);
        }
        json!({
            "name": self.program.def.name,
            "checks": self.checks,
            "size": self.code.bytes.len(),
            "insns": insns,
            "functions": functions,
        })
    }
}

impl Names for Listing<'_> {
    fn callee(&self, pc: Pc, callee: Callee) -> Option<String> {
        match callee {
            Callee::Helper(id) => Some(Helper::from_id(id)?.name.to_owned()),
            Callee::Local(off) => {
                let target = i64::from(pc) + 1 + i64::from(off);
                Some(self.function_at(Pc::try_from(target).ok()?).to_owned())
            }
            _ => None,
        }
    }

    fn imm64(&self, pc: Pc, _imm: Imm64) -> Option<String> {
        Some(self.linked.maps.get(*self.maps.get(&pc)?)?.name.clone())
    }
}
