//! The case files of `tests/cases`: a program, its input, and what comes of it.
//!
//! ```text
//! # what the case shows
//! -- asm
//! r0 = 2
//! exit
//! -- input
//! 00 01 02            (hex; r1 = the memory, r2 = its length)
//! -- run
//! r0 = 0x2            (or: trap: insn 1: ..., or: out of budget)
//! ```
//!
//! With a line `-- type xdp` (`socket_filter`, `sched_cls`) the input is a packet and
//! the program runs by TEST_RUN on the embedded kernel, and on Linux where it permits
//! and its verifier accepts; both must say the same. `-- verify` says what the verifiers
//! of both say of it (`accepted`, or the errno); one that they refuse runs unverified.
//!
//! Each case runs on the interpreter, as guarded code, and, where it is accepted, as
//! elided code. All must say the same, unless a section `-- jit` says what guarded code
//! does differently. `SKEP_BLESS=1` rewrites `-- verify`, `-- run` and `-- jit`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_abi::{Errno, ProgType};
use skep_isa::{Slot, assemble, encode};
use skep_sys::{Command, Fd, Kernel, Linux, ProgLoad, TestRun};
use skep_vm::Outcome;
use skep_vm::{Engine, RawMemory, Vm, run_raw};

/// A case file.
struct Case {
    path: PathBuf,
    text: String,
    slots: Vec<Slot>,
    input: Vec<u8>,
    prog_type: Option<ProgType>,
    verify: String,
    run: String,
    jit: String,
}

fn section<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("-- {name}\n"))?;
    Some(rest.split("\n-- ").next().unwrap_or(rest))
}

impl Case {
    fn read(path: PathBuf) -> Case {
        let text = std::fs::read_to_string(&path).unwrap();
        let asm = section(&text, "asm").unwrap_or_else(|| panic!("{}: no asm", path.display()));
        let insns = assemble(asm).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let input = section(&text, "input")
            .unwrap_or_default()
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        let prog_type = text
            .lines()
            .find_map(|line| line.strip_prefix("-- type "))
            .map(|name| ProgType::from_name(name).unwrap());
        let of = |name| section(&text, name).unwrap_or_default().trim_end().to_owned();
        let (verify, run, jit) = (of("verify"), of("run"), of("jit"));
        Case { slots: encode(&insns), path, input, prog_type, verify, run, jit, text }
    }

    fn bless(&self, found: &Found) {
        let (head, _) = self.text.split_once("-- run\n").unwrap_or((&self.text, ""));
        let (head, _) = head.split_once("-- verify\n").unwrap_or((head, ""));
        let mut text = head.to_owned();
        if !found.verdict.is_empty() {
            text += &format!("-- verify\n{}\n", found.verdict);
        }
        text += &format!("-- run\n{}\n", found.interpreted);
        if found.guarded != found.interpreted {
            text += &format!("-- jit\n{}\n", found.guarded);
        }
        std::fs::write(&self.path, text).unwrap();
    }

    /// What guarded code is to say.
    fn expected_guarded(&self) -> &str {
        if self.jit.is_empty() { &self.run } else { &self.jit }
    }
}

/// What the engines say of a case.
struct Found {
    verdict: String,
    interpreted: String,
    guarded: String,
    /// Where the verifier accepts it.
    elided: Option<String>,
}

fn run_on_all(case: &Case) -> Found {
    let Some(prog_type) = case.prog_type else {
        let [interpreted, guarded] =
            [Engine::Interpreter, Engine::Guarded].map(|engine| run_on_memory(case, engine));
        return Found { verdict: String::new(), interpreted, guarded, elided: None };
    };
    let run = |vm: Vm| run_on_kernel(Arc::new(vm), case, prog_type);
    let refused = |errno| format!("refused: {errno:?}");
    let unverified =
        |engine| run(Vm::new().unverified().with_engine(engine)).unwrap_or_else(refused);
    let guarded = unverified(Engine::Guarded);
    match run(Vm::new().with_engine(Engine::Interpreter)) {
        Ok(interpreted) => {
            let elided = Some(run(Vm::new()).unwrap_or_else(refused));
            Found { verdict: "accepted".into(), interpreted, guarded, elided }
        }
        Err(errno) => {
            let interpreted = unverified(Engine::Interpreter);
            Found { verdict: refused(errno), interpreted, guarded, elided: None }
        }
    }
}

/// Runs a case on bare memory.
fn run_on_memory(case: &Case, engine: Engine) -> String {
    let vm = Vm::with_cpus(1).with_budget(1 << 20).with_engine(engine);
    let mut memory = RawMemory::new(&case.input);
    match run_raw(&vm, &case.slots, &mut memory) {
        Ok(Outcome::Returned(r0)) => {
            let mut text = format!("r0 = {r0:#x}");
            if memory.bytes() != case.input {
                text.push_str("\nmemory =");
                for byte in memory.bytes() {
                    write!(text, " {byte:02x}").unwrap();
                }
            }
            text
        }
        Ok(Outcome::Trapped(trap)) => format!("trap: {trap}"),
        Ok(Outcome::OutOfBudget) => "out of budget".into(),
        Err(error) => format!("error: {error}"),
    }
}

/// Loads a case into a kernel and runs it on the packet; `None` where it is refused.
fn run_on_kernel(
    kernel: Arc<dyn Kernel>,
    case: &Case,
    prog_type: ProgType,
) -> Result<String, Errno> {
    let bytes = Slot::join(&case.slots);
    let mut log = vec![0; 1 << 16];
    let load = ProgLoad {
        prog_type: prog_type as u32,
        insn_cnt: case.slots.len() as u32,
        insns: Some((&bytes[..]).into()),
        license: Some((&b"GPL\0"[..]).into()),
        log_level: 1,
        log_size: log.len() as u32,
        log_buf: (&mut log[..]).into(),
        ..ProgLoad::default()
    };
    let program = Fd::open(&kernel, &mut Command::ProgLoad(Box::new(load)))?;
    let mut packet = vec![0; case.input.len() + 4096];
    let run = TestRun {
        prog_fd: program.raw() as u32,
        data_size_in: case.input.len() as u32,
        data_in: Some((&case.input[..]).into()),
        data_size_out: packet.len() as u32,
        data_out: (&mut packet[..]).into(),
        ..TestRun::default()
    };
    let mut command = Command::TestRun(Box::new(run));
    let result = kernel.bpf(&mut command);
    let Command::TestRun(run) = command else { unreachable!() };
    if let (Err(_), Some(diagnostic)) = (result, &run.diagnostic) {
        return Ok(format!("trap: {}", diagnostic.message));
    }
    result?;
    let (retval, size) = (run.retval, run.data_size_out as usize);
    let mut text = format!("retval = {retval:#x}");
    if packet[..size] != case.input {
        text.push_str("\npacket =");
        for byte in &packet[..size] {
            write!(text, " {byte:02x}").unwrap();
        }
    }
    Ok(text)
}

#[test]
fn every_case_runs_as_its_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases");
    let bless = std::env::var_os("SKEP_BLESS").is_some();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "case"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let (mut wrong, mut on_linux) = (Vec::new(), 0);
    for path in paths {
        let case = Case::read(path);
        let name = case.path.file_stem().unwrap().to_string_lossy().into_owned();
        let found = run_on_all(&case);
        if bless {
            case.bless(&found);
        }
        let elided = found.elided.as_deref().unwrap_or(&case.run);
        let said = [
            ("verdict", &*case.verify, &*found.verdict),
            ("interpreter", &*case.run, &*found.interpreted),
            ("guarded code", case.expected_guarded(), &*found.guarded),
            ("elided code", &*case.run, elided),
        ];
        for (what, expected, got) in said.into_iter().filter(|_| !bless) {
            if expected != got {
                wrong.push(format!("{name}: {what}: expected\n{expected}\ngot\n{got}\n"));
            }
        }
        let (verdict, outcome) = (found.verdict, found.interpreted);
        if let Some(prog_type) = case.prog_type {
            match run_on_kernel(Arc::new(Linux::new()), &case, prog_type) {
                Ok(linux) if linux != outcome => {
                    wrong.push(format!(
                        "{name}: Linux says\n{linux}\nthe embedded kernel\n{outcome}\n"
                    ));
                }
                Ok(_) => on_linux += 1,
                Err(Errno::EPERM) => println!("skipped: case {name} on Linux: not permitted"),
                Err(errno) if verdict != format!("refused: {errno:?}") => {
                    wrong.push(format!("{name}: Linux refuses it with {errno:?}: {verdict}\n"));
                }
                Err(_) => on_linux += 1,
            }
        }
    }
    println!("{on_linux} cases ran on Linux too");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
