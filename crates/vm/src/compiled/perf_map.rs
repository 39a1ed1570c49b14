//! Names of compiled programs for `perf`: with `SKEP_PERF_MAP` set, each is a line of
//! `/tmp/perf-PID.map`, as Linux's `tools/perf/Documentation/jit-interface.txt` has it.

use std::fs::OpenOptions;
use std::io::Write;

use skep_jit::Code;

/// Tells `perf` of a program's code, where that is asked for.
pub fn add(name: &[u8; 16], id: u32, code: &Code) {
    if std::env::var_os("SKEP_PERF_MAP").is_none() {
        return;
    }
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) else { return };
    // A profile without names is better than no run.
    let _ = file.write_all(line(name, id, code).as_bytes());
}

/// Address, length and name.
fn line(name: &[u8; 16], id: u32, code: &Code) -> String {
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let name = String::from_utf8_lossy(&name[..end]);
    let bytes = code.bytes();
    format!("{:x} {:x} skep_prog_{id}_{name}\n", bytes.as_ptr().addr(), bytes.len())
}

#[cfg(test)]
mod tests {
    use skep_isa::{AluOp, Insn, Operand, Reg, Width};

    use super::*;
    use skep_jit::{Passes, compile};

    #[test]
    fn a_line_holds_address_length_and_name() {
        let (op, width, dst) = (AluOp::Mov, Width::W64, Reg::R0);
        let insns = [Insn::Alu { op, width, dst, src: Operand::Imm(1) }, Insn::Exit];
        let code = compile(&insns, Passes::ALL).unwrap();
        let text = line(b"drop_all\0\0\0\0\0\0\0\0", 7, &code);
        let (start, len) = (code.bytes().as_ptr().addr(), code.bytes().len());
        assert_eq!(text, format!("{start:x} {len:x} skep_prog_7_drop_all\n"));
    }
}
