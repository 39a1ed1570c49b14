//! Calls that would let a program, or the kernel for it, reach what is not its own:
//! kernel objects where memory to write is taken, and null where memory is. Not every
//! Linux 6.18 refuses all of them.

use std::sync::Arc;

use skep_abi::{Errno, ProgType, flags};
use skep_btf::{Btf, Builder, FuncLinkage, Kind};
use skep_isa::{AluOp, Callee, Insn, Operand, Reg, Size, Width, encode};
use skep_verify::{Env, FuncInfo, Log, Program, VerifyError, verify};

/// `bpf_get_current_task_btf`
const CURRENT_TASK: u32 = 158;

fn kernel() -> Option<Arc<Btf>> {
    let raw = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    if raw.is_none() {
        println!("skipped: /sys/kernel/btf/vmlinux cannot be read");
    }
    Some(Arc::new(Btf::parse(raw?).expect("the kernel's types")))
}

fn mov(dst: Reg, src: Operand) -> Insn {
    Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src }
}

fn number(dst: Reg, imm: i32) -> Insn {
    mov(dst, Operand::Imm(imm))
}

fn stack(dst: Reg, off: i32) -> [Insn; 2] {
    let add = Insn::Alu { op: AluOp::Add, width: Width::W64, dst, src: Operand::Imm(off) };
    [mov(dst, Operand::Reg(Reg::R10)), add]
}

fn judge(kernel: &Arc<Btf>, program: Program) -> (Result<(), VerifyError>, String) {
    let env = Env { vmlinux: Some(Arc::clone(kernel)), ..Env::default() };
    let mut log = Log::new(Log::LEVEL1);
    let result = verify(&Arc::new(Program { gpl: true, ..program }), &env, &mut log).map(drop);
    (result, log.text().to_string())
}

/// A call of the kernel's function, if it has it; r0 is 0 in the end.
fn call(kernel: &Arc<Btf>, kind: ProgType, name: &str, arguments: &[Insn]) -> Option<Program> {
    let Some(id) = kernel.find(name, Kind::Func) else {
        println!("skipped: this kernel has no {name}");
        return None;
    };
    let callee = Callee::Kfunc { btf_id: id as i32, module: 0 };
    let mut insns = arguments.to_vec();
    insns.extend([Insn::Call(callee), number(Reg::R0, 0), Insn::Exit]);
    let flags = if kind == ProgType::Syscall { flags::prog::SLEEPABLE } else { 0 };
    Some(Program { slots: encode(&insns), kind, flags, ..Program::default() })
}

/// A program that gives the running task to a global function, which writes through it
/// or only reads.
fn gives_task(tag: Option<&str>, writes: bool) -> Program {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 1);
    let (context, pointer) = (builder.ptr(0), builder.ptr(int));
    let proto = builder.func_proto(int, &[("ctx", context)]);
    let main = builder.func("main", proto, FuncLinkage::Global);
    let proto = builder.func_proto(int, &[("p", pointer)]);
    let called = builder.func("called", proto, FuncLinkage::Global);
    if let Some(tag) = tag {
        builder.decl_tag(tag, called, 0, false);
    }
    let access = match writes {
        true => Insn::Store { size: Size::W, base: Reg::R1, off: 0, src: Operand::Imm(5) },
        false => Insn::Load { size: Size::W, signed: false, dst: Reg::R0, base: Reg::R1, off: 0 },
    };
    let cond = skep_isa::Cond::Eq;
    let (width, dst, src) = (Width::W64, Reg::R1, Operand::Imm(0));
    let insns = [
        Insn::Call(Callee::Helper(CURRENT_TASK)),
        mov(Reg::R1, Operand::Reg(Reg::R0)),
        Insn::Call(Callee::Local(2)),
        number(Reg::R0, 0),
        Insn::Exit,
        number(Reg::R0, 0),
        Insn::Branch { cond, width, dst, src, off: 1 },
        access,
        Insn::Exit,
    ];
    Program {
        slots: encode(&insns),
        kind: ProgType::SchedCls,
        btf: Some(Arc::new(builder.build().expect("types"))),
        func_info: vec![FuncInfo { pc: 0, type_id: main }, FuncInfo { pc: 5, type_id: called }],
        ..Program::default()
    }
}

#[test]
fn a_global_function_gets_no_kernel_object_as_memory() {
    let Some(kernel) = kernel() else { return };
    for writes in [true, false] {
        let (result, log) = judge(&kernel, gives_task(None, writes));
        assert_eq!(result.map_err(|error| error.errno), Err(Errno::EINVAL), "{log}");
        assert!(log.contains("only read is supported\n"), "{log}");
        assert!(log.contains("Caller passes invalid args into func#1 ('called')"), "{log}");
    }
    // What is declared as read with care may be anything, and is only read.
    let (result, log) = judge(&kernel, gives_task(Some("arg:untrusted"), false));
    assert!(result.is_ok(), "{log}");
    let (result, log) = judge(&kernel, gives_task(Some("arg:untrusted"), true));
    assert_eq!(result.map_err(|error| error.errno), Err(Errno::EACCES), "{log}");
}

#[test]
fn a_tag_must_fit_its_type() {
    let Some(kernel) = kernel() else { return };
    let (result, log) = judge(&kernel, gives_task(Some("arg:ctx"), false));
    assert_eq!(result.map_err(|error| error.errno), Err(Errno::EINVAL), "{log}");
    assert!(log.contains("arg#0 should be `struct __sk_buff *`\n"), "{log}");
}

#[test]
fn null_is_no_memory_for_a_kernel_function() {
    let Some(kernel) = kernel() else { return };
    let zeros: Vec<Insn> = (2..=5).map(|n| number(Reg::new(n).unwrap(), 0)).collect();
    let tuple: Vec<Insn> = [
        Insn::Store { size: Size::DW, base: Reg::R10, off: -16, src: Operand::Imm(0) },
        Insn::Store { size: Size::DW, base: Reg::R10, off: -8, src: Operand::Imm(0) },
    ]
    .into_iter()
    .chain(stack(Reg::R2, -16))
    .chain([number(Reg::R3, 12), number(Reg::R4, 0), number(Reg::R5, 0)])
    .collect();
    for (arguments, arg) in [(&zeros, 1), (&tuple, 3)] {
        let Some(program) = call(&kernel, ProgType::Xdp, "bpf_xdp_ct_lookup", arguments) else {
            continue;
        };
        let (result, log) = judge(&kernel, program);
        assert_eq!(result.map_err(|error| error.errno), Err(Errno::EACCES), "{log}");
        let line = format!("Possibly NULL pointer passed to trusted arg{arg}\n");
        assert!(log.contains(&line), "{log}");
    }
    let null = [number(Reg::R1, 0)];
    if let Some(program) = call(&kernel, ProgType::SchedCls, "bpf_dynptr_size", &null) {
        let (result, log) = judge(&kernel, program);
        assert_eq!(result.map_err(|error| error.errno), Err(Errno::EACCES), "{log}");
    }
}

#[test]
fn null_where_a_function_says_so_is_accepted() {
    let Some(kernel) = kernel() else { return };
    let mut arguments = stack(Reg::R1, -8).to_vec();
    arguments.extend([number(Reg::R2, 4), number(Reg::R3, 0), number(Reg::R4, 0)]);
    let name = "bpf_copy_from_user_str";
    if let Some(program) = call(&kernel, ProgType::Syscall, name, &arguments) {
        let (result, log) = judge(&kernel, program);
        assert!(result.is_ok(), "{log}");
    }
}
