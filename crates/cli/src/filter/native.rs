//! `--native`: what the embedded kernel compiles the translation of a filter to.

use std::fmt::Write;

use skep::abi::ProgType;
use skep::isa::classic::{Filter, translate};
use skep::isa::{Slot, Style, encode};
use skep::sys::{Command, Kernel, ProgLoad};
use skep::vm::Vm;

use crate::dis::machine;
use crate::failure::Failure;

/// The machine code, behind each instruction of the translation.
pub fn listing(filters: &[Filter]) -> Result<String, Failure> {
    let insns = translate(filters).map_err(Failure::unusable)?;
    let slots: Vec<Slot> = encode(&insns);
    let bytes = Slot::join(&slots);
    let load = ProgLoad {
        prog_type: ProgType::SocketFilter as u32,
        insn_cnt: slots.len() as u32,
        insns: Some(bytes[..].into()),
        license: Some(b"MIT\0"[..].into()),
        ..ProgLoad::default()
    };
    let vm = Vm::new();
    let loaded = vm.bpf(&mut Command::ProgLoad(Box::new(load)));
    let program = loaded.and_then(|fd| vm.program(fd as i32));
    let program =
        program.map_err(|errno| Failure::refused(format!("cannot be loaded: {errno}")))?;
    let interpreted = || Failure::unusable("programs are interpreted on this machine");
    let (_, code) = vm.machine_code(&program).ok_or_else(interpreted)?.map_err(Failure::refused)?;
    let mut out = String::new();
    for function in &code.functions {
        let bytes = &code.bytes[function.start..function.start + function.len];
        let mut last = None;
        for line in machine::lines(function, bytes) {
            let next = function.lines.partition_point(|&(start, _)| start <= line.at);
            let pc = next.checked_sub(1).and_then(|index| function.lines[index].1);
            let insn = pc.filter(|_| !line.is_data && pc != last).map(|pc| pc as usize);
            if let Some((pc, insn)) = insn.and_then(|pc| Some((pc, insns.get(pc)?))) {
                let _ = writeln!(out, "{pc:8}: {}", insn.display(Style::Llvm));
            }
            last = pc;
            let _ = writeln!(out, "{:16x}:  {}", function.start + line.at, line.text);
        }
    }
    Ok(out)
}
