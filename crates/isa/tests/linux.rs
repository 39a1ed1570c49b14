//! Our text in Linux's style against the verifier log of the running kernel, which
//! prints each instruction before it judges it. Skipped, saying so, where `bpf(2)` is
//! not permitted.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::sync::Arc;

use arbtest::arbitrary::{Result, Unstructured};
use skep_isa::{Callee, ImmKind, Insn, Slot, Style, assemble, disassemble, encode};
use skep_sys::{Command, Errno, Fd, Kernel, Linux, Output, ProgLoad};

/// Registers and stack slots with something in them.
const BEFORE: &str = "
    r6 = r1
    r0 = 0
    r2 = 2
    r3 = 3
    r4 = 4
    r5 = 5
    r7 = 7
    r8 = 8
    r9 = 9
    *(u64 *)(r10 - 8) = 1
";

/// Room for jumps of 1 slot.
const AFTER: &str = "
    r0 = 0
    r0 = 0
    exit
";

/// What Linux's log says for the instruction at `pc`; `None`, with a note, where
/// `bpf(2)` is not permitted.
fn logged(insns: &[Insn], pc: usize) -> Option<String> {
    let bytes = Slot::join(&encode(insns));
    let mut log = vec![0; 1 << 16];
    let mut load = Command::ProgLoad(Box::new(ProgLoad {
        prog_type: 1,
        insn_cnt: insns.len() as u32,
        insns: Some(bytes[..].into()),
        license: Some(b"GPL\0"[..].into()),
        log_level: 2,
        log_size: log.len() as u32,
        log_buf: Output::Slice(&mut log),
        ..ProgLoad::default()
    }));
    let kernel: Arc<dyn Kernel> = Arc::new(Linux::new());
    match Fd::open(&kernel, &mut load) {
        Ok(_) => {}
        Err(Errno::EPERM) => {
            println!("skipped: bpf(2) is not permitted");
            return None;
        }
        Err(_) => {}
    }
    let text = String::from_utf8_lossy(&log);
    let text = text.trim_end_matches('\0');
    let prefix = format!("{pc}: (");
    let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
    let line = line.unwrap_or_else(|| panic!("{}{text}", disassemble(insns, Style::Linux)));
    Some(format!("({}", line.split(';').next().unwrap_or_default().trim_end()))
}

/// An instruction that Linux's early checks let through to the log, which prints what
/// we print: no distance out of the program, no fd, no BTF id, no `callx`. Local calls
/// go back to the start.
fn printable(u: &mut Unstructured<'_>, to_start: i32) -> Result<Insn> {
    loop {
        let mut insn: Insn = u.arbitrary()?;
        match &mut insn {
            Insn::Ja { off } | Insn::Branch { off, .. } | Insn::MayGoto { off } => {
                *off = u.int_in_range(-1..=1)?;
            }
            Insn::Gotol { off } => *off = u.int_in_range(-1..=1)?,
            Insn::Call(Callee::Local(off)) => *off = to_start,
            Insn::Call(Callee::Kfunc { .. } | Callee::Register(_)) => continue,
            Insn::LoadImm64 { imm, .. } if imm.kind != ImmKind::Const => continue,
            _ => {}
        }
        return Ok(insn);
    }
}

#[test]
fn instructions_print_as_linux_logs_them() {
    let before = assemble(BEFORE).unwrap();
    let after = assemble(AFTER).unwrap();
    let mut numbers = fastrand::Rng::with_seed(1);
    let bytes: Vec<u8> = std::iter::repeat_with(|| numbers.u8(..)).take(1 << 18).collect();
    let mut source = Unstructured::new(&bytes);
    let mut seen = BTreeSet::new();
    for _ in 0..3_000 {
        let insn = printable(&mut source, -(before.len() as i32) - 2).unwrap();
        let mut insns = before.clone();
        // Linux refuses what no path reaches: a path that is never taken leads on.
        let around = format!("if r7 == 0 goto +{}", insn.slots());
        insns.extend(assemble(&around).unwrap());
        insns.push(insn);
        insns.extend((insn.slots() == 2).then_some(Insn::Hole));
        insns.extend(&after);
        let Some(line) = logged(&insns, before.len() + 1) else { return };
        assert_eq!(insn.display(Style::Linux).to_string(), line, "{insn:?}");
        seen.insert(encode(&[insn])[0].code);
    }
    println!("{} opcodes", seen.len());
    assert!(seen.len() > 110, "{}", seen.len());
}
