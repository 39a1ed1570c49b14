//! LLVM's disassembler reads code for every machine, and finds in it what the program says.

use std::io::Write;
use std::process::{Command, Stdio};

use skep_isa::{AluOp, AtomicOp, Callee, Cond, Insn, Operand, Order, Reg, Size, Width};
use skep_jit::{Checks, MachineCode, Options, Passes};

use super::{PORTS, Port};

/// Code as LLVM's text; `None` where LLVM is missing. Bytes that it cannot read fail.
fn disassemble(port: &Port, native: &MachineCode) -> Option<String> {
    let triple = format!("--triple={}-unknown-linux-gnu", port.name);
    let mut command = Command::new("llvm-mc-19");
    command.args(["--disassemble", &triple]);
    // What the back end takes for granted of a machine.
    match port.name {
        "riscv64" => command.arg("--mattr=+m,+a,+f,+d,+c"),
        "s390x" => command.arg("--mcpu=z14"),
        _ => &mut command,
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        println!("skipped: no llvm-mc-19 (package llvm-19)");
        return None;
    };
    let mut text = String::new();
    for function in &native.functions {
        for byte in &native.bytes[function.start..function.start + function.len] {
            text.push_str(&format!("{byte:#04x} "));
        }
    }
    let mut pipe = child.stdin.take().expect("it was asked for");
    pipe.write_all(text.as_bytes()).expect("LLVM reads it");
    drop(pipe);
    let output = child.wait_with_output().expect("it ran");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", port.name);
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Byte swaps, an atomic addition and, twice, a call of a function too large to be
/// inlined away without the pass for that.
fn program() -> Vec<Insn> {
    let (width, r0, r1) = (Width::W64, Reg::R0, Reg::R1);
    let base = Reg::R10;
    vec![
        Insn::Store { size: Size::DW, base, off: -8, src: Operand::Imm(7) },
        Insn::Atomic { op: AtomicOp::Add { fetch: true }, size: Size::DW, base, off: -8, src: r1 },
        Insn::ByteSwap { order: Order::Swap, size: Size::DW, dst: r1 },
        Insn::Call(Callee::Local(3)),
        Insn::Alu { op: AluOp::Mov, width, dst: r1, src: Operand::Reg(r0) },
        Insn::Call(Callee::Local(1)),
        Insn::Exit,
        Insn::Alu { op: AluOp::Mov, width, dst: r0, src: Operand::Reg(r1) },
        Insn::Branch { cond: Cond::Gt, width, dst: r0, src: Operand::Imm(9), off: 1 },
        Insn::Alu { op: AluOp::Mul, width, dst: r0, src: Operand::Reg(r1) },
        Insn::Exit,
    ]
}

#[test]
fn code_for_every_machine_decodes_and_holds_what_the_program_does() {
    // What an atomic addition, a byte swap, a call and a return look like.
    let words: [(&str, [&[&str]; 4]); 4] = [
        ("x86_64", [&["lock"], &["bswapq"], &["callq"], &["retq"]]),
        ("aarch64", [&["ldaxr", "ldaddal"], &["rev\t"], &["bl\t"], &["ret"]]),
        ("riscv64", [&["amoadd.d", "lr.d"], &["srli\t", "rev8"], &["jalr\t"], &["ret", "jr\t"]]),
        ("s390x", [&["laag", "csg"], &["lrvgr"], &["brasl"], &["br\t%r14"]]),
    ];
    for (port, (name, forms)) in PORTS.iter().zip(words) {
        assert_eq!(port.name, name);
        let machine = port.machine();
        for checks in [Checks::Elided, Checks::Guarded] {
            let inline = Passes::named("inline").expect("there is one");
            for passes in [Passes::NONE, Passes::ALL.without(inline)] {
                let options = Options { checks, passes };
                let native = port.compile(&machine, &program(), options).expect("it is compiled");
                let Some(text) = disassemble(port, &native) else { return };
                let count = |forms: &[&str]| -> usize {
                    let holds = |line: &&str| forms.iter().any(|form| line.contains(form));
                    text.lines().filter(holds).count()
                };
                let [atomic, swap, call, back] = forms;
                assert!(count(atomic) >= 1, "{name} {options:?} has no atomic:\n{text}");
                assert!(count(swap) >= 1, "{name} {options:?} swaps no bytes:\n{text}");
                assert!(count(call) >= 2, "{name} {options:?} does not call twice:\n{text}");
                assert!(count(back) >= 2, "{name} {options:?} has no two returns:\n{text}");
            }
        }
    }
}
